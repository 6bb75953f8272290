"""What the fullest stage of a pipeline keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.catalog import load_hardware
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.graph_file import parse_graph
from perfmodel.graphs.graph_text import dump_graph
from perfmodel.graphs.shard import shard
from perfmodel.graphs.shard_stages import shard_stage
from perfmodel.layouts import Layout
from perfmodel.memory import memory_need
from perfmodel.types import Model

SIZES = {"batch": 4, "tokens": 500, "context": 1000}


def need(model: Model) -> dict[str, float]:
    return memory_need(model, load_hardware("h100-sxm"), "graphs").evaluate(SIZES)


@pytest.mark.parametrize("name", ["llama-3.1-70b", "gpt-oss-120b", "qwen3-235b-a22b", "deepseek-v3", "gemma-3-27b"])
@pytest.mark.parametrize("layout", [Layout(pipeline=2), Layout(pipeline=4, tensor=2), Layout(pipeline=7)], ids=str)
def test_a_stage_keeps_its_layers_and_one_end(name: str, layout: Layout) -> None:
    """No less than an even share of what the devices keep, and no more than that, a layer and one end."""
    model = load_model(name)
    all_stages, stage = shard(model, layout), shard_stage(model, layout)
    for graph in stage.phases.values():
        check_graph(graph)
    layers = model.facts["layers"]
    most = -(-layers // layout.pipeline)
    repeats = {op.block: op.repeat for op in stage.phases["decode"].ops if op.block}
    assert sum(repeats.values()) == most
    whole, own = need(all_stages), need(stage)
    assert own["cache"] >= whole["cache"] / layout.pipeline
    assert own["weights"] >= whole["weights"] / layout.pipeline
    ends = whole["weights"] - _layer_weights(all_stages)
    assert own["weights"] <= ends + _layer_weights(all_stages) * 1.1 * most / layers


def _layer_weights(model: Model) -> float:
    graph = model.phases["decode"]
    blocks = tuple(f"{op.block}." for op in graph.ops if op.block)
    inside = {name: own for name, own in graph.tensors.items() if name.startswith(blocks) or own.kind != "weight"}
    only = Model(name="", phases={"decode": type(graph)(name="", ops=(), tensors=inside)}, parameters=0, precision="",
                 source="")  # fmt: skip
    return need(only)["weights"]


def test_dense_layers_in_front_are_in_the_first_stage() -> None:
    """3 dense layers, then 58 with experts: a stage of 16 layers has nothing but experts."""
    model = load_model("deepseek-v3")
    assert model.facts["layer_order"] == ["dense_layer"] * 3 + ["moe_layer"] * 58
    decode = shard_stage(model, Layout(pipeline=4)).phases["decode"]
    assert {op.block: op.repeat for op in decode.ops if op.block} == {"moe_layer": 16}


def test_without_an_order_layers_of_one_kind_follow_each_other() -> None:
    model = load_model("gemma-3-1b")
    written = parse_graph(dump_graph(model))
    assert need(shard_stage(written, Layout(pipeline=2))) == need(shard_stage(model, Layout(pipeline=2)))
    unordered = Model(name="x", phases=model.phases, parameters=1, precision="bf16", source="")
    decode = shard_stage(unordered, Layout(pipeline=2)).phases["decode"]
    assert sum({op.block: op.repeat for op in decode.ops if op.block}.values()) == 13


@given(st.integers(1, 8))
def test_each_batch_in_flight_keeps_a_cache(batches: int) -> None:
    model = load_model("llama-3.2-1b")
    one, several = (need(shard_stage(model, Layout(pipeline=2), batches=count)) for count in (1, batches))
    assert several["cache"] == batches * one["cache"]
    assert several["weights"] == one["weights"]


def test_without_a_pipeline_a_stage_is_the_model_of_the_device() -> None:
    model = load_model("llama-3.2-1b")
    assert shard_stage(model, Layout(tensor=2)) == shard(model, Layout(tensor=2))
    assert shard_stage(model, Layout()) is model
