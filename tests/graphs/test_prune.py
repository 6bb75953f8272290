"""Structured pruning: a pruned graph is, op by op, the graph of a model that was built smaller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.prune import prune_channels, prune_heads, prune_layers
from perfmodel.precisions import find_scheme
from perfmodel.types import Graph

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 512, "num_hidden_layers": 6,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 1408, "vocab_size": 1000,
    "max_position_embeddings": 4096, "torch_dtype": "bfloat16", "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
}  # fmt: skip
SHARES = st.floats(0.01, 1.0)
PHASES = pytest.mark.parametrize("phase", ["prefill", "decode"])


def llama(**changes: int) -> dict[str, Graph]:
    return dict(load_config(CONFIG | changes, name="llama", source="test").phases)


def parts(graph: Graph) -> tuple[object, ...]:
    check_graph(graph)
    return graph.ops, dict(graph.tensors)


@PHASES
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_fewer_heads_are_a_config_with_fewer_heads(phase: str, groups: int) -> None:
    built = llama(num_attention_heads=4 * groups, num_key_value_heads=groups)[phase]
    assert parts(prune_heads(llama()[phase], groups / 4)) == parts(built)


@PHASES
@given(keep=SHARES)
def test_fewer_channels_are_a_config_with_a_narrower_mlp(phase: str, keep: float) -> None:
    width = max(int(1408 * keep + 0.5), 1)
    assert parts(prune_channels(llama()[phase], keep)) == parts(llama(intermediate_size=width)[phase])


@PHASES
@given(keep=SHARES)
def test_fewer_layers_are_a_config_with_fewer_layers(phase: str, keep: float) -> None:
    count = max(int(6 * keep + 0.5), 1)
    shorter, built = prune_layers(llama()[phase], keep), llama(num_hidden_layers=count)[phase]
    sizes = {"batch": 3, "context": 200} | ({"tokens": 100} if phase == "prefill" else {})
    assert sum_of(shorter, **sizes) == sum_of(built, **sizes)
    assert dict(shorter.tensors) == dict(built.tensors)


def sum_of(graph: Graph, **sizes: int) -> object:
    return cost_graph(graph.bind(**sizes))


def test_widths_are_rounded_up_only_where_asked() -> None:
    graph = llama()["prefill"]
    assert prune_channels(graph, 0.7).tensors["layer.mlp.down.weight"].shape == (512, 986)
    assert prune_channels(graph, 0.7, multiple=64).tensors["layer.mlp.down.weight"].shape == (512, 1024)
    assert prune_channels(graph, 0.999, multiple=1024).tensors["layer.mlp.down.weight"].shape == (512, 1408)


@given(keep=SHARES)
def test_rewrites_go_together_in_any_order(keep: float) -> None:
    graph = llama()["decode"]
    one = prune_layers(prune_channels(prune_heads(graph, keep), keep), keep)
    other = prune_heads(prune_layers(prune_channels(graph, keep), keep), keep)
    assert parts(one) == parts(other)


@given(less=SHARES, more=SHARES)
def test_more_pruning_never_has_more_flops_or_weights(less: float, more: float) -> None:
    less, more = sorted((less, more))
    graph = llama()["prefill"]
    for prune in (prune_heads, prune_channels, prune_layers):
        small, large = (cost_graph(prune(graph, keep).bind(batch=1, tokens=64, context=64)) for keep in (less, more))
        assert small.matrix_flops <= large.matrix_flops
        assert small.weight_bytes <= large.weight_bytes


@pytest.mark.parametrize(
    ("prune", "model", "reason"),
    [
        (prune_heads, "falcon-7b", "only one key-value head"),
        (prune_heads, "deepseek-v2-lite", "cannot be taken out of every attention|mixes these channels"),
        (prune_heads, "t5-small", "every attention"),
        (prune_channels, "mixtral-8x7b", "experts"),
    ],
)
def test_what_cannot_be_pruned_is_refused_with_the_reason(prune, model: str, reason: str) -> None:
    graph = next(iter(load_model(model).phases.values()))
    with pytest.raises(UnsupportedError, match=reason):
        prune(graph, 0.5)


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_shares_are_checked(keep: float) -> None:
    for prune in (prune_heads, prune_channels, prune_layers):
        with pytest.raises(InputError, match="above 0 and up to 1"):
            prune(llama()["decode"], keep)


def test_vit_heads_leave_the_residual_stream_alone() -> None:
    graph = load_model("vit-b-16").phases["forward"]
    pruned = prune_heads(graph, 0.5)
    check_graph(pruned)
    assert pruned.tensors["layer.attention.qkv.weight"].shape == (1152, 768)
    assert pruned.tensors["layer.attention.qkv.bias"].shape == (1152,)
    assert pruned.tensors["layer.attention.output.weight"].shape == (768, 384)


def test_precision_can_be_changed_afterwards() -> None:
    from perfmodel.graphs.rewrite import quantize

    own, wanted = find_scheme("bf16"), find_scheme("w4a16")
    graph = llama()["prefill"]
    assert parts(quantize(prune_channels(graph, 0.5), own, wanted)) == parts(
        prune_channels(quantize(graph, own, wanted), 0.5)
    )
