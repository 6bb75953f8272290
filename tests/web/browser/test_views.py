"""Each view loads and draws, at desktop and phone width, in light and dark, without a fault that axe calls serious."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page

from perfmodel import __version__
from tests.web.browser.conftest import Opened, picture, plots, until

PLAN = "#plan?degrees=1&hardware=h100-sxm,l40s&ttft=2&plan_rate=2"
ADDRESSES = {
    "predict": ("#predict?hardware=h100-sxm,l4&precision=bf16,w4a16", 3),
    "scale": ("#scale?phase=decode", 1),
    "serve": ("#serve?slo_tpot=0.03", 1),
    "plan": (PLAN, 2),
}
SERIOUS = {"serious", "critical"}


def faults(page: Page) -> list[str]:
    """What axe-core finds serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{own['id']}: {own['help']}: {[node['html'][:120] for node in own['nodes'][:3]]}"
        for own in found
        if own["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("view", ADDRESSES)
@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (390, "dark")])
def test_view(opened: Opened, view: str, width: int, scheme: Literal["light", "dark"]) -> None:
    address, count = ADDRESSES[view]
    page = opened(address, width=width, scheme=scheme)
    plots(page, view, count)
    until(page, f"document.querySelector('#view-{view} .summary').textContent.length > 40")
    picture(page, f"{view}-{width}-{scheme}")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"the page is {wide} px wide"
    for details in page.locator(f"#view-{view} details").all():
        details.evaluate("each => each.open = true")
    assert faults(page) == []


@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (390, "dark")])
@pytest.mark.parametrize("address", ["static/help.html", "api"])
def test_pages_beside_it(opened: Opened, address: str, width: int, scheme: Literal["light", "dark"]) -> None:
    page = opened(address, width=width, scheme=scheme)
    picture(page, f"{address.rpartition('/')[2].removesuffix('.html')}-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults(page) == []
    page.go_back()


def test_footer_tells_the_version_and_leads_to_explanations(opened: Opened) -> None:
    page = opened("#scale")
    until(page, f"document.querySelector('footer').textContent.includes('perfmodel {__version__}')")
    page.get_by_role("link", name="How to read it").click()
    until(page, "document.title.startsWith('How to read it')")
    page.get_by_role("link", name="perfmodel").click()
    until(page, "document.title.startsWith('Predict')")


def test_theme_is_kept(opened: Opened) -> None:
    page = opened("#scale")
    button = page.locator("#theme")
    assert button.inner_text() == "Theme: auto"
    button.click()
    button.click()
    assert button.inner_text() == "Theme: dark"
    background = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(background) == "rgb(16, 21, 28)"
    page.reload()
    assert button.inner_text() == "Theme: dark"
    assert page.evaluate(background) == "rgb(16, 21, 28)"
    button.click()  # for the tests after this one
    assert button.inner_text() == "Theme: auto"
