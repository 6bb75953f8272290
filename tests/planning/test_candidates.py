"""What may serve a model."""

from __future__ import annotations

from perfmodel import load_hardware, load_model
from perfmodel.layouts import Layout
from perfmodel.planning.candidates import Candidate, candidates_of, chips_of, layouts_for, pipelines_of, refusal
from perfmodel.serving.engines import load_engine


def test_datacenter_chips() -> None:
    everyone = {chip.id for chip in chips_of("all-datacenter")}
    assert {"h100-sxm", "l40s", "mi300x", "rtx-pro-6000-server"} <= everyone
    assert not {"rtx-4090", "apple-m3-max", "jetson-agx-orin-64gb", "tpu-v5e", "xeon-8480"} & everyone
    assert {chip.vendor for chip in chips_of("nvidia-datacenter")} == {"NVIDIA"}
    assert [chip.id for chip in chips_of("l4")] == ["l4"]


def test_layouts_lie_within_a_node() -> None:
    dense, experts = load_model("llama-3.1-8b"), load_model("mixtral-8x7b")
    node = load_hardware("h100-sxm")
    assert [str(own) for own in layouts_for(dense, node)] == ["tp1", "tp2", "tp4", "tp8"]
    assert Layout(tensor=4, expert=4) in layouts_for(experts, node)
    assert [own.devices for own in layouts_for(dense, load_hardware("dgx-spark"))] == [1]


def test_every_combination() -> None:
    model, chips = load_model("llama-3.1-8b"), [load_hardware("h100-sxm"), load_hardware("l4")]
    engines = [load_engine("vllm"), load_engine("trtllm")]
    found = list(candidates_of([("llama-3.1-8b", model)], chips, engines, ["bf16", "fp8"], (1, 2)))
    assert len(found) == len(set(map(str, found))) == 16


def test_an_engine_of_one_vendor() -> None:
    def on(chip: str) -> Candidate:
        return Candidate(
            source="llama-3.1-8b", model=load_model("llama-3.1-8b"), hardware=load_hardware(chip),
            engine=load_engine("trtllm"), precision=None, layout=Layout(),
        )  # fmt: skip

    assert "NVIDIA" in refusal(on("mi300x"))
    assert refusal(on("h100-sxm")) == ""


def test_pipelines_are_for_what_fits_in_no_layout_of_a_node() -> None:
    model = load_model("llama-3.1-8b")
    found = list(candidates_of(
        [("llama-3.1-8b", model)], [load_hardware("h100-sxm")], [load_engine("vllm"), load_engine("mlc-llm")], [None]
    ))  # fmt: skip
    assert {str(own.layout) for own in pipelines_of(found, [])} == {"tp8-pp2", "tp8-pp4"}
    assert {own.engine.id for own in pipelines_of(found, [])} == {"vllm"}
    assert pipelines_of(found[:1], found[1:4]) == []


def test_attention_may_have_sequences_of_its_own_where_there_are_experts() -> None:
    found = layouts_for(load_model("deepseek-v3"), load_hardware("h200-sxm"))
    assert Layout(attention_data=8, expert=8) in found
    assert not any(own.attention_data > 1 for own in layouts_for(load_model("llama-3.1-8b"), load_hardware("h100-sxm")))
