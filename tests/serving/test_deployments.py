"""Models on chips under engines: what is served in which precision, over which links, with which notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError, PerfmodelError, UnknownNameError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import deploy, served_model
from perfmodel.serving.engines import load_engine


def weight_bits(model: str, chip: str, precision: str | None, part: str) -> set[str]:
    graph = served_model(load_model(model), load_hardware(chip), precision).phases["decode"]
    return {tensor.dtype for name, tensor in graph.tensors.items() if tensor.kind == "weight" and part in name}


def test_the_same_question_is_answered_from_memory() -> None:
    assert deploy("llama-3.1-8b", "h100-sxm") is deploy("llama-3.1-8b", "h100-sxm")
    assert deploy("llama-3.1-8b", "h100-sxm", engine="sglang") is not deploy("llama-3.1-8b", "h100-sxm")


def test_objects_and_names_are_the_same() -> None:
    named = deploy("llama-3.1-8b", "h100-sxm", engine="vllm")
    given = deploy(load_model("llama-3.1-8b"), load_hardware("h100-sxm"), engine=load_engine("vllm"))
    assert (given.subject, given.precision, given.host, given.capacity.parts) == (
        named.subject, named.precision, named.host, named.capacity.parts
    )  # fmt: skip


def test_what_the_host_depends_on() -> None:
    dense, mixture = deploy("llama-3.1-8b", "h100-sxm").host, deploy("gpt-oss-20b", "h100-sxm").host
    assert (dense.layers, dense.experts, dense.sparse) == (32, 0, 0)
    assert (mixture.layers, mixture.experts) == (24, 1)


def test_four_bit_checkpoints_of_experts_keep_attention() -> None:
    assert weight_bits("qwen3-30b-a3b", "h100-sxm", "w4a16", "attention") == {"bf16"}
    assert "bf16" not in weight_bits("qwen3-30b-a3b", "h100-sxm", "w4a16", "experts.up")
    assert weight_bits("llama-3.1-8b", "h100-sxm", "w4a16", "attention.qkv.weight") != {"bf16"}
    assert weight_bits("qwen3-30b-a3b", "h100-sxm", "fp8", "attention.qkv.weight") != {"bf16"}


def test_block_scaled_weights_meet_what_the_chip_has() -> None:
    def computed(chip: str) -> set[str]:
        graph = served_model(load_model("gpt-oss-20b"), load_hardware(chip)).phases["decode"]
        return {str(op.attributes.get("compute", "")) for op in graph.ops if op.kind == "experts"}

    assert computed("b200") == {"fp8"}
    assert computed("h100-sxm") != {"fp8"}


def test_networks_between_nodes_are_known() -> None:
    inside, across = (deploy("llama-3.1-8b", "h100-sxm", layout=Layout(tensor=devices)) for devices in (8, 16))
    assert any("joined by NVLink" in note for note in inside.notes)
    assert not any("between nodes" in note for note in inside.notes)
    assert any("between nodes there is a network of 50.0 GB/s" in note for note in across.notes)


def test_pipelines_have_a_batch_in_flight_for_each_stage() -> None:
    own = deploy("llama-3.1-8b", "h100-sxm", layout=Layout(pipeline=2))
    assert own.in_flight == 2
    assert own.capacity.max_sequences == load_engine("vllm").max_sequences / 2
    uneven = deploy("llama-3.1-8b", "h100-sxm", layout=Layout(pipeline=3))
    assert uneven.in_flight == pytest.approx(32 / 11)


def test_what_cannot_be_deployed() -> None:
    with pytest.raises(InputError, match="does not generate tokens over a cache: no engine batches it"):
        deploy("bert-base", "h100-sxm")
    with pytest.raises(UnsupportedError, match="cannot run as tp3"):
        deploy("llama-3.1-8b", "h100-sxm", layout=Layout(tensor=3))
    with pytest.raises(UnsupportedError, match="do not make 64 pipeline stages"):
        deploy("llama-3.1-8b", "h100-sxm", layout=Layout(pipeline=64))
    with pytest.raises(UnknownNameError, match="unknown engine"):
        deploy("llama-3.1-8b", "h100-sxm", engine="vlm")
    with pytest.raises(PerfmodelError, match="fp5"):
        deploy("llama-3.1-8b", "h100-sxm", cache_precision="fp5")


def test_engines_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "engine_specs").mkdir()
    (tmp_path / "engine_specs" / "mine.yaml").write_text(
        "id: mine\nname: Mine\nsource: mine\nmax_sequences: 3\nnotes: [slow on Mondays]\n"
    )
    own = deploy("llama-3.1-8b", "h100-sxm", engine="mine", specs=str(tmp_path))
    assert own.capacity.sequences(100) == 3
    assert "slow on Mondays" in own.notes
