"""A training step is the forward pass and twice its contractions, with the traffic that autograd's kernels have."""

from typing import Any

import pytest
from builders import chain, graph, w, x, y

from graphs.eager_examples import CONFIGS, SIZES, B, D, F, H, L, S, V, config_graph, eager
from perfmodel.costs import cost_graph, cost_op
from perfmodel.errors import GraphError
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.training import training_step
from perfmodel.types import Graph, Op

N = 4 * 64  # elements of the small tensors below


def step(*ops: tuple[Any, ...]) -> Graph:
    """The training step of a few ops over rows [4, 64]; w0 (a parameter of that shape) makes them need gradients."""
    names = dict.fromkeys(name for _, _, read, written, *_ in ops for name in (*read.split(), *written.split()))
    make = {"x": x, "w": w, "m": lambda name, shape, dtype: x(name, shape, "bool")}
    tensors = [make.get(name[0], y)(name, "4 64", "fp32") for name in names]
    whole = training_step(graph(tensors, *chain(*ops)))
    check_graph(whole)
    return whole


def backward(of: Graph, name: str) -> list[Op]:
    return [op for op in of.ops if op.name.startswith(f"{name}.backward")]


def passes(of: Graph, name: str) -> float:
    """How often the backward pass of an op goes over N fp32 elements."""
    return sum(cost_op(op, of.tensors).bytes for op in backward(of, name)) / (N * 4)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_backward_has_twice_the_contractions(model_type: str) -> None:
    forward = eager(model_type, training=True)
    whole = training_step(forward)
    check_graph(whole)
    assert whole.ops[: len(forward.ops)] == forward.ops
    assert cost_graph(whole, SIZES).matrix_flops == 3 * cost_graph(forward, SIZES).matrix_flops


@pytest.mark.torch
@pytest.mark.parametrize("model_type", CONFIGS)
def test_flops_are_those_that_torch_counts(model_type: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    kind = {"bert": "BertForPreTraining", "gpt2": "GPT2LMHeadModel", "opt": "OPTForCausalLM",
            "llama": "LlamaForCausalLM"}[model_type]  # fmt: skip
    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type], attn_implementation="eager")
    model = getattr(transformers, kind)(config)
    with FlopCounterMode(display=False) as counter:
        result = model(torch.ones((B, S), dtype=torch.int64))
        logits = result.prediction_logits if model_type == "bert" else result.logits
        pooled = result.seq_relationship_logits.sum() if model_type == "bert" else 0.0
        (logits.sum() + pooled).backward()
    classifier = 3 * 2 * B * D * 2 if model_type == "bert" else 0  # next-sentence head: two outputs, not in our graph
    ours = cost_graph(training_step(eager(model_type, training=True)), SIZES).matrix_flops
    assert ours + classifier == counter.get_total_flops()


@pytest.mark.parametrize("model_type", CONFIGS)
def test_bytes_grow_with_batch_and_length(model_type: str) -> None:
    whole = training_step(eager(model_type, training=True))
    moved = [cost_graph(whole, {"batch": b, "tokens": s}).bytes for b, s in ((1, 16), (2, 16), (2, 32))]
    assert moved == sorted(moved)
    assert moved[0] < moved[1] < moved[2]


def test_gradients_of_all_weights_have_their_shapes() -> None:
    whole = training_step(eager("gpt2", training=True))
    written = [whole.tensors[op.outputs[0]].shape for op in whole.ops if ".backward" in op.name]
    for shape in ((3 * D, D), (3 * D,), (D, F), (V, D), (S, D), (D,)):
        assert shape in written


def test_repeats_and_blocks_are_those_of_the_forward_pass() -> None:
    whole = training_step(eager("opt", training=True))
    repeats = {op.repeat for op in whole.ops if op.block == "layer"}
    assert repeats == {L}
    assert all(op.repeat == 1 for op in whole.ops if not op.block)


@pytest.mark.parametrize(
    ("kind", "function", "read", "wanted", "kernels"),
    [
        ("softmax", "softmax", "w0", 6, 2),
        ("pointwise", "gelu", "w0", 3, 1),
        ("pointwise", "mul", "w0", 2, 1),
        ("pointwise", "mul", "w0 w1", 6, 2),
        ("pointwise", "mul", "w0 x1", 3, 1),
        ("pointwise", "pow", "w0", 7, 3),
        ("pointwise", "where", "w0 m0", 2.25, 1),
        ("pointwise", "maximum", "w0", 10, 5),
        ("pointwise", "add", "w0 w1", 0, 0),
        ("normalization", "layer", "w0", 3, 1),
        ("copy", "permute", "w0", 2, 1),
    ],
)
def test_passes_over_memory(kind: str, function: str, read: str, wanted: float, kernels: int) -> None:
    own = step(("op", kind, read, "z", {"function": function}))
    assert passes(own, "op") == wanted
    assert len(backward(own, "op")) == kernels


def test_dropout_converts_its_mask() -> None:
    tensors = [w("w0", "4 64", "fp32"), y("z", "4 64", "fp32"), y("mask", "4 64", "bool")]
    own = training_step(graph(tensors, *chain(("op", "dropout", "w0", "z mask"))))
    assert cost_op(own.ops[0], own.tensors).bytes == 2.25 * N * 4
    assert passes(own, "op") == 6.25


def test_gradients_of_a_tensor_with_two_readers_are_added_once() -> None:
    own = step(
        ("a", "pointwise", "w0", "z", {"function": "gelu"}),
        ("b", "pointwise", "z", "p", {"function": "gelu"}),
        ("c", "pointwise", "z p", "q", {"function": "add"}),
    )
    sums = [op for op in own.ops if ".sum." in op.name]
    assert [op.name for op in sums] == ["b.backward.sum.z"]
    assert cost_op(sums[0], own.tensors).bytes == 3 * N * 4


def test_data_gets_no_gradient() -> None:
    tensors = [x("x0", "4 64", "fp32"), w("w0", "32 64", "fp32"), w("b0", "32", "fp32"), y("z", "4 32", "fp32")]
    own = training_step(graph(tensors, *chain(("fc", "linear", "x0 w0 b0", "z"))))
    names = [op.name for op in own.ops]
    assert "fc.backward.weight" in names
    assert "fc.backward.input" not in names
    assert cost_graph(own).matrix_flops == 2 * 2 * 4 * 64 * 32
    bias = next(op for op in own.ops if op.name == "fc.backward.bias")
    assert cost_op(bias, own.tensors).bytes == (4 * 32 + 32) * 4


def test_an_embedding_gets_a_dense_gradient() -> None:
    whole = training_step(eager("opt", training=True))
    zeros, rows = (
        next(op for op in whole.ops if op.name == f"embedding.backward.{part}") for part in ("zeros", "rows")
    )
    assert cost_op(zeros, whole.tensors, SIZES).bytes == V * D * 4
    assert cost_op(rows, whole.tensors, SIZES).bytes == (2 * B * S * D) * 4 + B * S * 8


def test_heads_shared_by_queries_are_summed() -> None:
    whole = training_step(eager("llama", training=True))
    summed = next(op for op in whole.ops if op.name.startswith("layer.attention.core.repeat_key.backward"))
    assert cost_op(summed, whole.tensors, SIZES).bytes == B * S * (D + D // 2) * 4
    assert CONFIGS["llama"]["num_key_value_heads"] < H


def test_fused_ops_are_refused_with_what_to_do() -> None:
    with pytest.raises(GraphError, match="`eager_graph` takes fused ops apart"):
        training_step(config_graph("gpt2"))
