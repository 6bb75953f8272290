"""The page without a mouse: everything is reached, in order, and can be seen to be."""

from __future__ import annotations

from tests.web.browser.conftest import Opened, plots, until

FOCUSED = """() => {
  const own = document.activeElement;
  const outline = getComputedStyle(own.matches('.check input') ? own.nextElementSibling : own).outlineStyle;
  const label = own.labels?.[0]?.textContent ?? own.getAttribute('aria-label') ?? own.textContent;
  return { id: own.id, label: label.trim(), seen: outline !== 'none' };
}"""


def test_walk(opened: Opened) -> None:
    page = opened("#predict")
    plots(page, "predict", 3)
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["label"], f"something without a name has the focus: {focused}"
        assert focused["seen"], f"the focus on {focused} cannot be seen"
        seen.append(focused["id"] or focused["label"])
        if focused["label"] == "HTML":
            break
    order = ["Predict", "Plan", "copy-link", "theme", "predict-model", "predict-hardware", "predict-precision-bf16",
             "predict-tp", "predict-batch", "predict-batch-box", "predict-input_tokens", "predict-level", "JSON",
             "HTML"]  # fmt: skip
    places = [seen.index(name) for name in order]
    assert places == sorted(places)


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
