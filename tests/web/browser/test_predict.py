"""The view Predict: sliders, suggestions, models of one's own, mistakes where they are made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.page_latency import MEASURE
from tests.web.browser.conftest import Opened, plots, said, shown, until

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000, "hidden_size": 512,
    "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
    "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
}  # fmt: skip
BUSY = 4  # a plot may take that many times as long here as on a machine that does nothing else
MOST_MS = 150


def test_slider_to_plot(opened: Opened, record_property: pytest.FixtureRequest) -> None:
    page = opened("#predict?hardware=h100-sxm,l40s,l4")
    plots(page, "predict", 3)
    page.wait_for_load_state("networkidle")
    page.evaluate(MEASURE)
    slider = shown(page).get_by_label("Batch", exact=True)
    slider.focus()
    before = page.locator("#view-predict .summary").inner_text()
    for presses in range(8):
        page.keyboard.press("ArrowRight")
        until(page, f"window.seen.length > {presses}")
        page.wait_for_timeout(300)  # the curve along the batch, which follows
    seen = sorted(page.evaluate("window.seen"))
    median = seen[len(seen) // 2]
    record_property("slider_to_plot_ms", median)  # type: ignore[operator]
    print(f"slider to plot: median {median:.0f} ms of {[round(one) for one in seen]}")
    assert shown(page).get_by_label("Batch, exactly").input_value() != "1"
    assert page.locator("#view-predict .summary").inner_text() != before
    assert median <= BUSY * MOST_MS


def test_dragging_asks_one_at_a_time(opened: Opened) -> None:
    page = opened("#predict")
    plots(page, "predict", 3)
    page.wait_for_load_state("networkidle")
    under_way, most = 0, 0

    def begin(request: object) -> None:
        nonlocal under_way, most
        if "/predict" in getattr(request, "url", ""):
            under_way += 1
            most = max(most, under_way)

    def end(request: object) -> None:
        nonlocal under_way
        under_way -= "/predict" in getattr(request, "url", "")

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    shown(page).get_by_label("Input tokens", exact=True).focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    page.wait_for_load_state("networkidle")
    assert most <= 2, "the answer and the curve beside it"
    value = shown(page).get_by_label("Input tokens, exactly").input_value()
    until(
        page, f"document.querySelector('#view-predict .command code').textContent.includes('--input-tokens {value} ')"
    )


def test_suggestions(opened: Opened) -> None:
    page = opened("#predict")
    plots(page, "predict")
    box = page.get_by_role("combobox", name="Model")
    box.fill("qwen3 32")
    offers = page.get_by_role("listbox", name="Model").get_by_role("option")
    offers.first.wait_for()
    assert "qwen3-32b" in offers.first.inner_text()
    page.keyboard.press("Enter")
    said(page, "predict", "qwen3-32b")
    chips = page.get_by_role("combobox", name="Chips side by side")
    chips.fill("mi300")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove l40s").click()
    until(page, "document.querySelector('#view-predict table').textContent.includes('mi300x')")
    until(page, "location.hash === '#predict?model=qwen3-32b&hardware=h100-sxm,mi300x'")


def test_mistakes_stand_at_their_fields(opened: Opened) -> None:
    page = opened("#predict?hardware=h1000,l4&model=lama-3")
    model, chips = page.locator("#predict-model-error"), page.locator("#predict-hardware-error")
    model.wait_for()
    assert "unknown model 'lama-3'" in model.inner_text()
    assert "unknown chip 'h1000'" in chips.inner_text()
    assert page.get_by_role("combobox", name="Model").get_attribute("aria-invalid") == "true"
    box = shown(page).get_by_label("Batch, exactly")
    box.fill("0")
    page.locator("#predict-batch-error").wait_for()
    box.fill("four")
    until(page, "document.querySelector('#predict-batch-error').textContent.includes('integer')")
    box.fill("4")
    page.locator("#predict-batch-error").wait_for(state="hidden")
    page.get_by_role("combobox", name="Model").fill("llama-3.1-8b")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove h1000").click()
    plots(page, "predict")
    until(page, "document.querySelectorAll('#view-predict [aria-invalid]').length === 0")
    page.get_by_role("button", name="Remove l4").click()  # the last one
    chips.wait_for()
    assert chips.inner_text() == "is needed: give one"


def test_models_of_ones_own(opened: Opened, tmp_path: Path) -> None:
    page = opened("#predict")
    plots(page, "predict")
    page.get_by_text("A model of your own").click()
    text = shown(page).get_by_label("Paste a Hugging Face config.json")
    text.fill("{")
    page.get_by_role("button", name="Use this config").click()
    page.locator("#pasted-error").wait_for()
    assert "this is not JSON" in page.locator("#pasted-error").inner_text()
    text.fill(json.dumps(CONFIG | {"model_type": "unheard-of", "architectures": ["Unheard"]}))
    page.get_by_role("button", name="Use this config").click()
    until(page, "document.querySelector('#pasted-error').textContent.includes('unheard-of')")
    text.fill(json.dumps(CONFIG))
    shown(page).get_by_label("Call it").fill("tiny")
    page.get_by_role("button", name="Use this config").click()
    said(page, "predict", "tiny")
    link = (
        page.url if "upload" in page.url else page.evaluate("new Promise(r => setTimeout(() => r(location.href), 400))")
    )
    again = opened(link[link.index("#") :])
    said(again, "predict", "tiny")
    # a file that is none
    page.get_by_text("A model of your own").click()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    shown(page).get_by_label("Or upload an ONNX file").set_input_files(broken)
    page.locator("#onnx-error").wait_for()


def test_onnx_file(opened: Opened, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "one",
        [helper.make_tensor_value_info("x", kind, [1, 64])], [helper.make_tensor_value_info("y", kind, [1, 32])],
        [helper.make_tensor("w", kind, [64, 32], bytes(64 * 32 * 4), raw=True)],
    )  # fmt: skip
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph), path)
    page = opened("#predict")
    plots(page, "predict")
    page.get_by_text("A model of your own").click()
    shown(page).get_by_label("Or upload an ONNX file").set_input_files(path)
    said(page, "predict", "forward")
    assert shown(page).get_by_label("Output tokens", exact=True).is_hidden()
