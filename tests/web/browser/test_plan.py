"""The view Plan: from a form to a ranked table, and what goes wrong at its field."""

from __future__ import annotations

from tests.web.browser.conftest import Opened, plots, shown, until


def test_plan_by_its_form(opened: Opened) -> None:
    page = opened("#plan")
    shown(page).get_by_label("TTFT at most (s)").fill("2")
    shown(page).get_by_label("Devices at most").fill("-1")
    for degree in ("2", "4", "8"):
        page.locator(f"label[for=plan-degrees-{degree}]").click()
    page.get_by_role("button", name="Plan", exact=True).click()
    page.locator("#plan-max_gpus-error").wait_for()
    shown(page).get_by_label("Devices at most").fill("")
    page.get_by_role("button", name="Plan", exact=True).click()
    plots(page, "plan", 2)
    assert "keep" in page.locator("#view-plan .summary").inner_text()
    assert page.locator("#plan-max_gpus-error").is_hidden()
    rows = page.locator("#view-plan table").first.locator("tbody tr")
    assert rows.count() >= 2
    rows.nth(1).get_by_role("radio").check()
    until(page, "document.querySelectorAll('#view-plan input[type=radio]')[1].checked")
    chosen = rows.nth(1).locator(".plan").evaluate("own => own.firstChild.textContent")
    assert chosen in page.locator("#view-plan h3", has_text="The chosen plan").inner_text()
    assert f"--hardware {chosen.split()[2]} " in page.locator("#view-plan .command code").nth(1).inner_text()


def test_a_plan_tells_how_far_it_is_and_can_be_cancelled(opened: Opened) -> None:
    page = opened("#plan")
    shown(page).get_by_label("Requests per second, exactly").fill("300")
    note = "document.querySelector('#view-plan .more .note').textContent"
    page.get_by_role("button", name="Plan", exact=True).click()
    until(page, f"/^\\d+ of \\d+ candidates in closed form|^Simulating llama/.test({note})")
    assert page.locator("#view-plan progress").is_visible()
    page.get_by_role("button", name="Cancel").first.click()
    until(page, f"{note} === 'Cancelled.'")
    assert page.get_by_role("button", name="Cancel").first.is_hidden()
    assert page.locator("#view-plan progress").is_hidden()
