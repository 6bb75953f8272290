"""The page without a mouse: everything is reached, in order, and can be seen to be."""

from __future__ import annotations

import pytest

from tests.web.browser.conftest import Opened, plots, until

FOCUSED = """() => {
  const own = document.activeElement;
  const { outlineStyle } = getComputedStyle(own.matches('.check input') ? own.nextElementSibling : own);
  const { top, bottom } = own.getBoundingClientRect();
  const heading = own.matches('summary') ? own.querySelector('h3') : own.labels?.[0];
  const label = heading?.textContent ?? own.getAttribute('aria-label') ?? own.textContent;
  return { id: own.id, label: label.trim(), seen: outlineStyle !== 'none' && bottom > 0 && top < innerHeight };
}"""
ORDERS = {
    "predict": ["Predict", "Plan", "copy-link", "theme", "Model", "predict-model", "Chips", "predict-hardware",
                "predict-precision-bf16", "predict-tp", "predict-batch", "predict-batch-box", "predict-input_tokens",
                "predict-level", "JSON", "HTML"],
    "scale": ["Scale", "theme", "scale-sizes", "scale-hardware", "scale-batch", "scale-phase", "CSV", "HTML"],
    "serve": ["Serve", "theme", "serve-model", "serve-engine", "serve-replicas", "serve-over", "serve-concurrency",
              "serve-slo_ttft", "serve-prices-0", "serve-utilisation", "serve-pue", "simulate-requests", "Simulate",
              "Copy", "PNG", "HTML"],
    "plan": ["Plan", "theme", "plan-model", "plan-demand", "plan-plan_rate", "plan-ttft", "plan-order",
             "plan-hardware", "plan-engines", "plan-degrees-1", "plan-prices-0", "plan-prices-1", "plan-electricity",
             "JSON", "HTML"],
}  # fmt: skip


@pytest.mark.parametrize("view", ORDERS)
def test_walk(opened: Opened, view: str) -> None:
    page = opened(f"#{view}")
    if view == "plan":
        page.wait_for_load_state("networkidle")
    else:
        plots(page, view, 3 if view == "predict" else 1)
    for details in page.locator(f"#view-{view} .group:not([open]) > summary").all():
        details.click()
    page.locator("body").evaluate("own => { own.tabIndex = -1; own.focus(); own.removeAttribute('tabindex'); }")
    seen: list[str] = []
    for _ in range(90):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["label"], f"something without a name has the focus: {focused}"
        assert focused["seen"], f"the focus on {focused} cannot be seen"
        seen.append(focused["id"] or focused["label"])
        if focused["label"] == "HTML":
            break
    places = [seen.index(name) for name in ORDERS[view]]
    assert places == sorted(places), seen


def test_escape_closes_suggestions_and_leaves_what_was_chosen(opened: Opened) -> None:
    page = opened("#serve")
    plots(page, "serve")
    for field, kept in (("model", "llama-3.1-8b"), ("hardware", "h100-sxm")):
        box = page.locator(f"#serve-{field}")
        box.focus()
        page.keyboard.type("b2")
        offers = page.locator(f"#serve-{field}-list")
        until(page, f"!document.querySelector('#serve-{field}-list').hidden || {str(field == 'model').lower()}")
        page.keyboard.press("Escape")
        assert offers.is_hidden()
        assert box.input_value() == kept
        assert box.get_attribute("aria-expanded") == "false"
        assert page.evaluate("document.activeElement.id") == f"serve-{field}"


def test_answer_by_keyboard_alone(opened: Opened) -> None:
    page = opened("#predict")
    plots(page, "predict")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the answer"
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the last of the views
    until(page, "document.title.startsWith('Plan')")
    page.get_by_role("link", name="Predict").focus()
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'title-predict'")
    page.locator("#predict-hardware").focus()
    page.keyboard.type("b200")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#view-predict table').textContent.includes('b200')")
    page.keyboard.press("Backspace")
    until(page, "!document.querySelector('#view-predict table').textContent.includes('b200')")
    # what changed is told to those who do not see it
    until(page, "document.getElementById('said').textContent.includes('h100-sxm')")
