"""The view Serve: load, limits, and simulations with progress, cancel and mistakes."""

from __future__ import annotations

import time

from tests.web.browser.conftest import Opened, picture, plots, said, shown, until


def test_largest_load_within_limits(opened: Opened) -> None:
    page = opened("#serve")
    plots(page, "serve")
    assert "Within the limits" not in page.locator("#view-serve .summary").inner_text()
    shown(page).get_by_label("TPOT at most (s)").fill("0.03")
    said(page, "serve", "Within the limits")
    shown(page).get_by_label("Load as").select_option("rate")
    until(page, "document.querySelector('#view-serve figure').textContent.includes('requests per second')")
    assert shown(page).get_by_label("Requests in flight", exact=True).is_hidden()


def test_simulation(opened: Opened) -> None:
    page = opened("#serve?over=rate&rate=4&requests=2000&length_spread=0.2")
    plots(page, "serve")
    page.get_by_role("button", name="Simulate").click()
    until(page, "document.querySelector('.simulate .note').textContent.startsWith('2,000 requests')")
    plots(page, "serve", 5)
    note = page.locator(".simulate .note").inner_text()
    assert note.startswith("2,000 requests")
    assert "keeps up" in note
    assert "p99" in page.locator(".simulate table").first.inner_text()
    picture(page, "simulation-1360-light")


def test_cancel(opened: Opened) -> None:
    page = opened("#serve?over=rate&rate=25&requests=500000")
    plots(page, "serve")
    cancel, note = page.get_by_role("button", name="Cancel"), "document.querySelector('.simulate .note').textContent"
    for _ in range(4):  # a simulation may end before the click arrives
        page.get_by_role("button", name="Simulate").click()
        until(page, f"{note}.startsWith('Simulating')")
        begun = time.perf_counter()
        cancel.click()
        until(page, f"!{note}.startsWith('Simulating')")
        if page.evaluate(note) == "Cancelled.":
            break
    assert page.evaluate(note) == "Cancelled."
    assert time.perf_counter() - begun < 5
    assert cancel.is_hidden()
    assert page.get_by_role("button", name="Simulate").is_enabled()


def test_too_large_is_told_at_its_field(opened: Opened) -> None:
    page = opened("#serve?requests=900000")
    plots(page, "serve")
    page.get_by_role("button", name="Simulate").click()
    error = page.locator("#simulate-requests-error")
    error.wait_for()
    assert "900,000 requests are more than" in error.inner_text()
    assert page.locator("#simulate-requests").get_attribute("aria-invalid") == "true"
