"""Models over devices: what all devices have and do together is the model, and what they send is what theory says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.gguf_writer import gguf_bytes, llama_tensors, metadata_of, q4_k_m
from perfmodel.catalog import load_hardware
from perfmodel.costs import cost_graph, cost_op
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs import list_models, load_model, model_spec
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.shard import LOAD_SKEW, sends_tokens, shard
from perfmodel.graphs.shard_counts import base_name
from perfmodel.kernels import Device
from perfmodel.layouts import Layout
from perfmodel.predict import predict
from perfmodel.program import compile_graph, time_program
from perfmodel.types import Graph, Model, Op, OpCost

SIZES = {"batch": 8, "tokens": 384, "context": 1024}
DENSE = ("llama-3.1-8b", "gemma-2-9b", "opt-6.7b", "phi-4")
MIXTURES = (
    "mixtral-8x7b",
    "qwen3-30b-a3b",
    "gpt-oss-120b",
    "deepseek-v3",
    "kimi-k2.5",
    "glm-5",
    "llama-4-scout-17b-16e",
)
# what every device does itself: projections to latents and what is made of them, routers, indexers
WHOLE = ("attention.qkv_a", "attention.kv_a", "moe.router", "indexer.query", "indexer.key", "indexer.weights",
         "indexer.scores", "moe.latent_in", "moe.latent_out", "moe.shared_gate")  # fmt: skip
_LINEAR = {
    "model_type": "qwen3_5_moe_text", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1024, "linear_num_key_heads": 4,
    "linear_num_value_heads": 8, "linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4,
    "layer_types": [*["linear_attention"] * 3, "full_attention"], "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64, "num_experts": 16, "num_experts_per_tok": 2, "intermediate_size": 512,
}  # fmt: skip
_SPACE = {"hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 512, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 96}  # fmt: skip
CONFIGS: dict[str, Mapping[str, Any]] = {
    "qwen3.5-moe": _LINEAR,
    "mamba": {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 512, "state_size": 8},
    "mamba2": {"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 512, "state_size": 8,
               "num_heads": 8, "head_dim": 16, "n_groups": 2, "chunk_size": 16},
    "falcon-h1": {"model_type": "falcon_h1", **_SPACE, "mamba_d_state": 8, "mamba_expand": 2, "mamba_n_heads": 8,
                  "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_chunk_size": 16, "mamba_d_ssm": 128,
                  "mamba_rms_norm": True},
    "nemotron-h": {"model_type": "nemotron_h", "hidden_size": 64, "vocab_size": 512, "num_attention_heads": 4,
                   "num_key_value_heads": 2, "intermediate_size": 96,
                   "layers_block_type": ["mamba", "moe", "attention", "mlp"], "mamba_num_heads": 8,
                   "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 2, "head_dim": 16, "n_routed_experts": 4,
                   "moe_intermediate_size": 32, "moe_shared_expert_intermediate_size": 48, "num_experts_per_tok": 2,
                   "moe_latent_size": 24},
}  # fmt: skip
LAYOUTS = (
    Layout(tensor=2), Layout(tensor=8), Layout(tensor=4, sequence=True), Layout(pipeline=3),
    Layout(tensor=4, expert=4), Layout(tensor=4, expert=2), Layout(attention_data=4),
    Layout(attention_data=4, expert=4),
    Layout(attention_data=16, expert=16), Layout(tensor=2, attention_data=8, expert=16, sequence=True),
    Layout(tensor=2, attention_data=2, expert=2, pipeline=2),
)  # fmt: skip


def model(name: str) -> Model:
    return load_config(CONFIGS[name], name=name, source="test") if name in CONFIGS else load_model(name)


def spread_or_refused(own: Model, layout: Layout) -> tuple[Model | None, str]:
    """A model over the devices of a layout, or why that cannot work."""
    try:
        return shard(own, layout, node=8), ""
    except UnsupportedError as error:
        return None, str(error)


def collectives(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.kind == "collective"]


def costs(graph: Graph) -> dict[str, OpCost]:
    return {op.name: cost_op(op, graph.tensors, SIZES) * op.repeat for op in graph.ops}


# --------------------------------------------------------------------------------- all devices are the model


def test_one_device_is_the_model_itself() -> None:
    own = load_model("qwen3-30b-a3b")
    assert shard(own, Layout()) is own


@pytest.mark.parametrize("name", [*DENSE, *MIXTURES, *CONFIGS])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_flops_of_all_devices_are_those_of_the_model(name: str, phase: str) -> None:
    """Each op is shared by both devices, or done by both."""
    whole = model(name).phases[phase]
    parts = costs(shard(model(name), Layout(tensor=2)).phases[phase])
    for op in whole.ops:
        own = cost_op(op, whole.tensors, SIZES) * op.repeat
        times = 1 if base_name(op.name, op.block) in WHOLE else 2
        assert parts[op.name].matrix_flops * times == pytest.approx(own.matrix_flops, rel=1e-12), op.name


@pytest.mark.parametrize("name", ["llama-3.1-8b", "opt-6.7b", "mixtral-8x7b"])
def test_weights_and_caches_of_all_devices_are_those_of_the_model(name: str) -> None:
    """Norms, routers and biases of what is added up lie on every device."""
    for phase, whole in load_model(name).phases.items():
        part = shard(load_model(name), Layout(tensor=8)).phases[phase]
        for tensor in whole.tensors.values():
            if tensor.kind not in ("weight", "cache"):
                continue
            own = part.tensors[tensor.name]
            elements = math.prod(dim for dim in tensor.shape if isinstance(dim, int)) * tensor.copies
            own_elements = math.prod(dim for dim in own.shape if isinstance(dim, int)) * own.copies
            copied = "norm" in tensor.name or tensor.name.endswith(("router.weight", "output.bias", "down.bias"))
            copied |= tensor.name == "positions.weight"
            padded = -elements % 8 if "vocab" in tensor.name or tensor.name.startswith(("embedding", "head")) else 0
            assert own_elements * (1 if copied else 8) >= elements, tensor.name
            assert own_elements * (1 if copied else 8) <= elements + padded * 8192, tensor.name
            assert own.dtype == tensor.dtype


@pytest.mark.parametrize(("experts", "shared"), [(8, 1), (4, 2), (2, 4)])
def test_experts_of_all_devices_are_those_of_the_model(experts: int, shared: int) -> None:
    """Each of E experts is on one device, or in parts on several; pairs and active experts add up."""
    own = load_model("qwen3-235b-a22b")
    layout = Layout(tensor=8, expert=experts)
    whole, part = own.phases["decode"], shard(own, layout).phases["decode"]
    assert layout.experts_split == shared
    assert part.tensors["layer.moe.experts.gate_up.weight"].shape == (128 // experts, 2 * 1536 // shared, 4096)
    assert part.tensors["layer.moe.experts.down.weight"].shape == (128 // experts, 4096, 1536 // shared)
    name = "layer.moe.experts"
    all_experts, some = costs(whole)[name], costs(part)[name]
    assert some.weight_bytes * 8 == pytest.approx(all_experts.weight_bytes)
    assert some.matrix_flops * 8 == pytest.approx(LOAD_SKEW * all_experts.matrix_flops)


@pytest.mark.parametrize("name", [name for name in list_models() if "decode" in load_model(name).phases])
def test_every_decoder_of_the_catalog_is_spread_or_refused_with_a_reason(name: str) -> None:
    reasons = ("do not divide", "only decoder", "no experts", "cannot be spread over")
    own, layouts = load_model(name), [LAYOUTS[place] for place in (0, 1, 3, 9)]
    found = [spread_or_refused(own, layout) for layout in layouts]
    for sharded, refusal in found:
        assert sharded or any(reason in refusal for reason in reasons)
        assert_sound(sharded)
    assert sum(sharded is not None for sharded, _ in found) >= 1 or name.startswith("t5")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_kind_of_mixer_is_spread(name: str, layout: Layout) -> None:
    sharded, refusal = spread_or_refused(model(name), layout)
    assert sharded or "do not divide" in refusal or "experts" in refusal
    assert_sound(sharded)


def assert_sound(sharded: Model | None) -> None:
    """Graphs that make sense, and whose ops all have a cost."""
    for graph in sharded.phases.values() if sharded else ():
        check_graph(graph)
        assert cost_graph(graph, SIZES).bytes > 0


# ------------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize(("tensor", "kv_heads"), [(4, 2), (8, 1), (16, 1)])
def test_kv_heads_are_copied_where_there_are_too_few(tensor: int, kv_heads: int) -> None:
    sharded = shard(load_model("llama-3.1-8b"), Layout(tensor=tensor))
    graph = sharded.phases["decode"]
    assert graph.tensors["layer.attention.append.key_cache"].shape[1] == kv_heads
    assert graph.tensors["layer.attention.qkv.weight"].shape[0] == (32 // tensor + 2 * kv_heads) * 128
    assert any("with copies" in note for note in sharded.notes) == (tensor > 8)


def test_the_latent_cache_is_on_every_device_its_heads_are_shared() -> None:
    whole = load_model("deepseek-v3").phases["decode"]
    part = shard(load_model("deepseek-v3"), Layout(tensor=8)).phases["decode"]
    cache = "moe_layer.attention.append.latent_cache"
    assert part.tensors[cache] == whole.tensors[cache]
    assert part.tensors["moe_layer.attention.core.out"].shape[1] == 128 // 8
    assert part.tensors["moe_layer.attention.kv_b.key.weight"].shape == (16, 128, 512)
    assert part.tensors["moe_layer.attention.qkv_a.weight"] == whole.tensors["moe_layer.attention.qkv_a.weight"]


def test_norms_over_shared_channels_add_up_their_squares() -> None:
    """MiniMax-M2 normalises queries and keys over all heads: both sums go into one small message."""
    graph = shard(load_model("minimax-m2"), Layout(tensor=8)).phases["decode"]
    (sums,) = (op for op in collectives(graph) if "norm_sums" in op.name)
    assert [str(dim) for dim in graph.tensors[sums.outputs[0]].shape] == ["batch", "1", "2"]
    assert graph.tensors["layer.attention.query_norm.weight"].shape == (48 * 128 // 8,)
    readers = [op.name for op in graph.ops if sums.outputs[0] in op.inputs]
    assert readers == ["layer.attention.query_norm", "layer.attention.key_norm"]


# ---------------------------------------------------------------------------------------------- what is sent


@given(st.sampled_from([2, 4, 8]), st.integers(1, 64), st.integers(1, 4096))
def test_bytes_sent_by_tensor_parallelism(tensor: int, batch: int, tokens: int) -> None:
    """Two all-reduces a layer and one of the embedding, of [batch, tokens, hidden]; a gather of the logits."""
    sizes = {"batch": batch, "tokens": tokens, "context": tokens}
    activation, logits = batch * tokens * 4096 * 2, batch * 128256 * 2
    reduced = 2 * (tensor - 1) / tensor * activation * (2 * 32 + 1)
    for sequence in (False, True):
        graph = shard(load_model("llama-3.1-8b"), Layout(tensor=tensor, sequence=sequence)).phases["prefill"]
        values = sizes if not sequence else {name: float(size) for name, size in sizes.items()}
        assert cost_graph(graph, values).link_bytes == pytest.approx(reduced + (tensor - 1) / tensor * logits)


@pytest.mark.parametrize("layout", [Layout(attention_data=4), Layout(attention_data=4, expert=4)], ids=str)
def test_bytes_sent_between_attention_groups(layout: Layout) -> None:
    """All tokens to all groups, and the results back: (d - 1) times a group's own activations, twice a layer."""
    graph = shard(load_model("qwen3-30b-a3b"), layout).phases["prefill"]
    own = SIZES["batch"] * SIZES["tokens"] * 2048 * 2
    assert cost_graph(graph, SIZES).link_bytes == pytest.approx(48 * 2 * 3 * own)
    assert {op.attributes["operation"] for op in collectives(graph)} == {"all_gather", "reduce_scatter"}


def test_bytes_sent_to_experts() -> None:
    """A message for each of a token's 8 experts, and one back; 15 of 16 leave the device."""
    graph = shard(load_model("qwen3-30b-a3b"), Layout(attention_data=16, expert=16)).phases["prefill"]
    own = SIZES["batch"] * SIZES["tokens"] * 2048 * 2
    assert cost_graph(graph, SIZES).link_bytes == pytest.approx(48 * 2 * 8 * own * 15 / 16)
    assert {op.attributes["operation"] for op in collectives(graph)} == {"all_to_all"}
    assert str(graph.tensors["layer.moe.experts.out"].shape[0]) == "16*batch"


@pytest.mark.parametrize(
    ("layout", "sent"),
    [
        (Layout(attention_data=16, expert=16), True),
        (Layout(attention_data=8, expert=8), False),  # no more devices than a token has experts
        (Layout(attention_data=16), False),
        (Layout(tensor=16, expert=16), False),
        (Layout(tensor=2, attention_data=16, expert=16), False),  # an expert lies on two devices
    ],
)
def test_when_tokens_are_sent_to_experts(layout: Layout, sent: bool) -> None:
    graph = load_model("qwen3-30b-a3b").phases["decode"]
    (experts,) = (op for op in graph.ops if op.kind == "experts")
    assert sends_tokens(layout, experts) == sent


def test_engines_reduce_inside_a_node_and_nccl_between_nodes() -> None:
    graph = shard(load_model("llama-3.1-70b"), Layout(tensor=8, pipeline=2), node=4).phases["decode"]
    found = {op.name: op.attributes for op in collectives(graph)}
    assert found["layer.mlp.down.all_reduce"] == {
        "operation": "all_reduce", "devices": 8, "library": "nccl", "devices_per_node": 4, "fabric": "network",
    }  # fmt: skip
    graph = shard(load_model("llama-3.1-70b"), Layout(tensor=8)).phases["decode"]
    attributes = next(op.attributes for op in collectives(graph))
    assert attributes == {"operation": "all_reduce", "devices": 8, "library": "custom"}


@pytest.mark.parametrize(("layout", "node", "inside", "across"), [
    (Layout(pipeline=4), 8, 3, 0), (Layout(tensor=4, pipeline=4), 8, 2, 1), (Layout(tensor=8, pipeline=4), 8, 0, 3),
    (Layout(tensor=2, pipeline=4), 0, 3, 0),
])  # fmt: skip
def test_messages_between_stages(layout: Layout, node: int, inside: int, across: int) -> None:
    graph = shard(load_model("llama-3.1-70b"), layout, node=node).phases["decode"]
    counts = {op.attributes.get("fabric", ""): op.repeat for op in collectives(graph) if "pipeline" in op.name}
    assert (counts.get("", 0), counts.get("network", 0)) == (inside, across)
    sent = sum(cost.link_bytes for name, cost in costs(graph).items() if name.startswith("pipeline"))
    assert sent == (layout.pipeline - 1) * SIZES["batch"] * 8192 * 2


def test_sequence_parallel_norms_see_a_share_of_the_tokens() -> None:
    own = load_model("llama-3.1-8b")
    whole, part = (shard(own, Layout(tensor=4, sequence=sequence)).phases["prefill"] for sequence in (False, True))
    for name in ("layer.input_norm", "layer.mlp_norm", "final_norm"):
        assert costs(part)[name].vector_flops * 4 == costs(whole)[name].vector_flops
    assert costs(part)["layer.attention.qkv"].matrix_flops == costs(whole)["layer.attention.qkv"].matrix_flops
    operations = [op.attributes["operation"] for op in collectives(part) if op.block]
    assert operations == ["all_gather", "reduce_scatter"] * 2


# --------------------------------------------------------------------------------------------------- refusals


def test_all_reasons_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        shard(load_model("deepseek-v3"), Layout(tensor=5, attention_data=64, expert=320))
    for reason in ("128 query heads", "channels of a feed-forward", "256 experts cannot be spread over 320 devices"):
        assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "layout", "reason"), [
    ("falcon-7b", Layout(tensor=2), "71 query heads do not divide over 2 devices"),
    ("llama-3.1-8b", Layout(tensor=2, expert=2), "no experts to spread over 2 devices"),
    ("llama-3.1-8b", Layout(pipeline=64), "32 layers do not make 64 pipeline stages"),
    ("mixtral-8x7b", Layout(tensor=16, expert=16), "8 experts cannot be spread over 16 devices"),
    ("bert-base", Layout(tensor=2), "only decoder language models"),
    ("vit-b-16", Layout(tensor=2), "only decoder language models"),
    ("t5-base", Layout(tensor=2), "only decoder language models"),
    ("sdxl", Layout(tensor=2), "only decoder language models"),
])  # fmt: skip
def test_what_cannot_work_is_refused(name: str, layout: Layout, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        shard(load_model(name), layout)


def test_a_bound_model_is_refused() -> None:
    own = load_model("llama-3.1-8b")
    phases = {name: graph.bind(batch=4) for name, graph in own.phases.items()}
    with pytest.raises(InputError, match="spread the model over devices before"):
        shard(Model(name="x", phases=phases, parameters=1, precision="bf16", source=""), Layout(tensor=2))


def test_blocks_of_scales_that_are_cut_are_named() -> None:
    sharded = shard(load_model("gpt-oss-120b"), Layout(tensor=8))
    assert any("blocks of 32 mxfp4 weights" in note for note in sharded.notes)


def test_the_image_encoder_runs_whole_on_every_device() -> None:
    own = load_model("kimi-k2.5")
    sharded = shard(own, Layout(tensor=8))
    assert sharded.phases["encode_image"] is own.phases["encode_image"]
    assert "the image encoder runs whole on every device" in sharded.notes


# ------------------------------------------------------------------------------------------------------- time


@settings(max_examples=30)
@given(
    st.sampled_from(("llama-3.1-8b", "qwen3-30b-a3b", "gpt-oss-20b", "deepseek-v2-lite", "qwen3.5-moe")),
    st.sampled_from((Layout(tensor=2), Layout(tensor=2, expert=2), Layout(attention_data=4, expert=4),
                     Layout(tensor=4, sequence=True), Layout(attention_data=2))),
    st.integers(0, 9), st.integers(0, 12),
)  # fmt: skip
def test_no_device_takes_longer_than_one_would_alone(name: str, layout: Layout, batch: int, tokens: int) -> None:
    """Without collectives; a single device has the sequences of all attention groups."""
    own, device = model(name), Device(load_hardware("h100-sxm"), "graphs", {})
    sharded, _ = spread_or_refused(own, layout)
    sizes = {"batch": 2**batch, "tokens": 2**tokens, "context": 2**tokens}
    for phase, graph in sharded.phases.items() if sharded else ():
        part = compile_graph(graph, device)
        times = time_program(part, sizes)
        network = sum(
            float((group.repeats @ (kernel.seconds + 0 * group.repeats[:, None]))[0])
            for group, kernel in zip(part.groups, times.kernels, strict=True)
            if group.kinds[0] == "collective"
        )
        alone = time_program(
            compile_graph(own.phases[phase], device), sizes | {"batch": 2**batch * layout.attention_data}
        )
        assert float(times.device_seconds[0]) - network <= float(alone.device_seconds[0]) * (1 + 1e-9)


# ------------------------------------------------------------------------------------------------ weight files


def test_pieces_of_a_weight_in_several_formats_are_each_cut(tmp_path: Path) -> None:
    """Q4_K_M keeps values in Q6_K below queries and keys in Q4_K."""
    config = model_spec("llama-3.1-8b")["config"]
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf_bytes(metadata_of("llama", config), llama_tensors(config, q4_k_m(32))))
    own = load_model(str(file))
    whole, part = own.phases["decode"].tensors, shard(own, Layout(tensor=16)).phases["decode"].tensors
    assert [whole[f"layer.attention.qkv.weight.{place}"].shape[0] for place in (0, 1)] == [4096 + 1024, 1024]
    # 2 of 32 query heads, a kv head of which another device has a copy
    assert [part[f"layer.attention.qkv.weight.{place}"].shape[0] for place in (0, 1)] == [256 + 128, 128]
    one, two = (predict(own, "rtx-4090", layout=Layout(tensor=tensor)).memory_bytes["weights"] for tensor in (1, 2))
    assert two * 2 == pytest.approx(one, rel=1e-3)
