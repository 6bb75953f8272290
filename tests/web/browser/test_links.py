"""An address is an answer: links restore what was asked, and the way back leads back."""

from __future__ import annotations

import pytest

from tests.web.browser.conftest import Opened, plots, shown, until

LINKS = {
    "predict": "#predict?model=qwen3-8b&hardware=l40s,a100-sxm-80gb&precision=bf16,fp8&batch=16&input_tokens=4096"
    "&along=input_tokens&why=a100-sxm-80gb/bf16",
    "scale": "#scale?hardware=l4&sizes=qwen&phase=prefill",
    "serve": "#serve?hardware=l40s&precision=fp8&engine=sglang&over=rate&rate=2.5&slo_ttft=1.5&seed=3",
}


@pytest.mark.parametrize("view", LINKS)
def test_link_restores(opened: Opened, view: str) -> None:
    page = opened(LINKS[view])
    plots(page, view)
    page.locator("#copy-link").focus()
    page.keyboard.press("Enter")  # the address of all that the form holds
    asked = dict(part.split("=") for part in LINKS[view].split("?")[1].split("&"))
    found = dict(
        part.split("=") for part in page.evaluate("decodeURIComponent(location.hash)").split("?")[1].split("&")
    )
    assert found == asked
    if view == "predict":
        assert page.locator("#predict-batch-box").input_value() == "16"
        assert shown(page).get_by_label("fp8", exact=True).is_checked()
        until(page, "document.querySelector('#view-predict .reasons').textContent.includes('a100-sxm-80gb, bf16')")
    if view == "serve":
        assert page.locator("#serve-slo_ttft").input_value() == "1.5"
        assert shown(page).get_by_label("Engine").input_value() == "sglang"


def test_views_share_what_is_asked_and_back_leads_back(opened: Opened) -> None:
    page = opened("#predict?model=qwen3-8b&hardware=l40s")
    plots(page, "predict")
    page.get_by_role("link", name="Serve").click()
    plots(page, "serve")
    assert page.get_by_role("combobox", name="Model").input_value() == "qwen3-8b"
    assert page.get_by_role("combobox", name="Chip").input_value() == "l40s"
    assert page.title() == "Serve – perfmodel"
    page.go_back()
    until(page, "!document.querySelector('#view-predict').hidden")
    assert "#predict?model=qwen3-8b&hardware=l40s" in page.url
    page.go_forward()
    until(page, "!document.querySelector('#view-serve').hidden")
