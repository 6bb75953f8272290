"""At the width of a phone: the answer is in sight while something is changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.web.browser.conftest import Opened, plots, until
from tests.web.browser.test_views import ADDRESSES, faults

WIDTH = 390
GROUPS = {"predict": 3, "scale": 3, "serve": 4, "plan": 5}
IN_SIGHT = """(selector) => {
  const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
  return top >= 0 && top < innerHeight * 0.75 && bottom > 0;
}"""


def opened_group(page: Page, view: str) -> list[str]:
    """Headings of the groups that are open."""
    return page.locator(f"#view-{view} .group[open] > summary h3").all_inner_texts()


@pytest.mark.parametrize("view", ADDRESSES)
def test_the_answer_comes_first_and_groups_open_one_at_a_time(opened: Opened, view: str) -> None:
    address, count = ADDRESSES[view]
    page = opened(address, width=WIDTH)
    plots(page, view, count)
    summaries = page.locator(f"#view-{view} .group > summary")
    assert summaries.count() == GROUPS[view]
    assert opened_group(page, view) == []
    assert page.evaluate(IN_SIGHT, f"#view-{view} .summary")
    for place in range(GROUPS[view]):
        summaries.nth(place).focus()
        page.keyboard.press("Enter")
        assert len(opened_group(page, view)) == 1
        until(page, f"({IN_SIGHT})('#view-{view} .summary')")  # the answer, below the group
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTH
    assert faults(page) == []
    page.keyboard.press("Escape")
    assert opened_group(page, view) == []
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_slider_moves_and_the_answer_is_seen_to(opened: Opened) -> None:
    page = opened("#predict", width=WIDTH)
    plots(page, "predict", 3)
    page.evaluate("window.scrollTo(0, 500)")  # the bar stays above
    page.locator("#view-predict summary", has_text="Work").click()
    slider = page.locator("#predict-batch")
    slider.focus()
    page.keyboard.press("PageUp")
    until(page, "document.querySelector('#predict-batch-box').value !== '1'")
    assert page.evaluate(IN_SIGHT, "#predict-batch")
    page.keyboard.press("Escape")
    brief = page.locator("#view-predict summary", has_text="Work").locator(".brief").inner_text()
    assert f"batch {page.locator('#predict-batch-box').input_value()}," in brief


def test_a_mistake_opens_its_group(opened: Opened) -> None:
    page = opened("#predict?hardware=h1000", width=WIDTH)
    page.locator("#predict-hardware-error").wait_for()
    assert "unknown chip" in page.locator("#predict-hardware-error").inner_text()
    page.locator("#predict-hardware").focus()
    page.keyboard.type("l4")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove h1000").click()
    until(page, "document.querySelector('#view-predict table')?.textContent.includes('l4')")
    assert page.locator("#predict-hardware-error").is_hidden()


def test_a_window_that_grows_shows_the_whole_form(opened: Opened) -> None:
    page = opened("#serve", width=WIDTH)
    plots(page, "serve")
    assert opened_group(page, "serve") == []
    page.set_viewport_size({"width": 1360, "height": 900})
    until(page, "document.querySelectorAll('#view-serve .group[open]').length === 3")
    page.set_viewport_size({"width": WIDTH, "height": 844})
    until(page, "document.querySelectorAll('#view-serve .group[open]').length === 0")
