"""Ops one by one: what they are called, which only look at memory in another way, and those of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx.defs
import pytest

from perfmodel.costs import cost_graph, find_kind
from perfmodel.graphs.onnx_table import TABLE
from tests.graphs.onnx_examples import kinds, ops, read

SIZES = {"batch": 4, "tokens": 32}


def test_every_standard_op_of_the_table_exists() -> None:
    named = [op for op in TABLE if "." not in op and op != "SimplifiedLayerNormalization"]
    assert [op for op in named if not onnx.defs.has(op)] == []


OTHER_INPUTS = {"BitwiseNot", "Not", "ConstantOfShape", "EyeLike", "Resize", "Split", "IsInf", "IsNaN", "Swish", "Gelu"}
OF_ONE_TENSOR = [
    op
    for op in sorted({*TABLE} - OTHER_INPUTS)
    if onnx.defs.has(op)
    and (onnx.defs.get_schema(op).min_input, onnx.defs.get_schema(op).min_output) == (1, 1)
    and not any(attribute.required for attribute in onnx.defs.get_schema(op).attributes.values())
]


@pytest.mark.parametrize("op", OF_ONE_TENSOR)
def test_ops_of_one_tensor_have_a_formula(op: str, tmp_path: Path) -> None:
    model = read(tmp_path, f"g (float[N, 3, 8, 8] x) => (float[] y) {{ a = {op}(x) b = Cast<to = 1>(a) y = Relu(b) }}")
    assert all(find_kind(found.kind) for found in ops(model)), kinds(model)
    assert cost_graph(model.phases["forward"], SIZES).bytes > 0


@pytest.mark.parametrize(
    ("body", "found"),
    [("y = Swish(x)", "silu"), ("y = RMSNormalization(x, g)", "rms"), ("y = Gelu(x)", "gelu"),
     ("y = RotaryEmbedding<num_heads = 4>(x, s, s)", "rope"),
     ("y = Attention<q_num_heads = 4, kv_num_heads = 4>(x, x, x)", "attention")],
)  # fmt: skip
def test_younger_ops(tmp_path: Path, body: str, found: str) -> None:
    text = f"g (float[batch, seq, 64] x, float[batch, seq, 8] s) => (float[] y) {{ {body} }}"
    assert kinds(read(tmp_path, text, {"g": [64]}, opset=24)) == [found]


def shapes(model: Any, op: Any) -> list[list[str]]:
    tensors = model.phases["forward"].tensors
    return [[str(dim) for dim in tensors[name].shape] for name in op.inputs]


def test_views_cost_nothing_and_copies_do(tmp_path: Path) -> None:
    head = "g (float[batch, seq, 64] x) => (float[] y) { n = Constant<value_ints = [0, 0, 4, 16]>() r = Reshape(x, n) "
    turned = "t = Transpose<perm = [0, 2, 1, 3]>(r) m = Constant<value_ints = [-1, 16]>() "
    assert kinds(read(tmp_path, head + turned + "y = Relu(t) }")) == ["relu"]
    assert kinds(read(tmp_path, head + turned + "f = Reshape(t, m) y = Relu(f) }")) == ["copy", "relu"]


def test_parts_of_a_tensor_are_views(tmp_path: Path) -> None:
    text = (
        "g (float[batch, 12, 8] x) => (float[] y) { a, b = Split<axis = 1, num_outputs = 2>(x) "
        "i = Constant<value = int64 {-1}>() c = Gather<axis = 1>(a, i) s = Constant<value_ints = [2]>() "
        "e = Constant<value_ints = [5]>() o = Constant<value_ints = [1]>() d = Slice(b, s, e, o) "
        "f = Relu(c) g2 = Unsqueeze(f, o) y = Add(d, g2) }"
    )
    assert kinds(read(tmp_path, text)) == ["relu", "add"]


def test_products_of_heads_are_copied_together_as_in_torch(tmp_path: Path) -> None:
    import torch

    from perfmodel.graphs.torch_module import trace_module

    class Scores(torch.nn.Module):
        def forward(self, q: Any, k: Any) -> Any:
            heads = (x.view(4, 32, 4, 16).transpose(1, 2) for x in (q, k))
            q, k = heads
            return q @ k.transpose(-1, -2)

    body = (
        "n = Constant<value_ints = [0, 0, 4, 16]>() a = Reshape(q, n) b = Reshape(k, n) "
        "c = Transpose<perm = [0, 2, 1, 3]>(a) d = Transpose<perm = [0, 2, 3, 1]>(b) y = MatMul(c, d)"
    )
    found = read(tmp_path, f"g (float[batch, seq, 64] q, float[batch, seq, 64] k) => (float[] y) {{ {body} }}")
    example = (torch.zeros(4, 32, 64), torch.zeros(4, 32, 64))
    truth = trace_module(Scores(), example, name="scores", source="a test", symbolic=False)
    assert kinds(found) == kinds(truth)
    assert cost_graph(found.phases["forward"], SIZES) == cost_graph(truth.phases["forward"])


@pytest.mark.parametrize(
    ("equation", "kind", "flops"),
    [("bsd,de->bse", "linear", 2 * 4 * 32 * 64 * 8), ("bsd,bte->bst", "onnx.Einsum", 0),
     ("bsd,btd->bst", "matmul", 2 * 4 * 32 * 32 * 64)],
)  # fmt: skip
def test_einsum(tmp_path: Path, equation: str, kind: str, flops: int) -> None:
    second = "w" if kind == "linear" else "x"
    text = f'g (float[batch, seq, 64] x) => (float[] y) {{ y = Einsum<equation = "{equation}">(x, {second}) }}'
    model = read(tmp_path, text, {"w": [64, 8]})
    assert ops(model)[0].kind == kind
    assert cost_graph(model.phases["forward"], SIZES).matrix_flops == flops


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_recurrent(tmp_path: Path, op: str, gates: int) -> None:
    weights = {"w": [2, gates * 16, 8], "r": [2, gates * 16, 16], "b": [2, 2 * gates * 16]}
    text = (
        f"g (float[10, batch, 8] x) => (float[10, 2, batch, 16] y) {{ y, h = {op}<hidden_size = 16, "
        'direction = "bidirectional">(x, w, r, b) }'
    )
    model = read(tmp_path, text, weights)
    torch_parameters = 2 * (gates * 16 * 8 + gates * 16 * 16 + 2 * gates * 16)
    assert model.parameters == torch_parameters
    assert cost_graph(model.phases["forward"], SIZES).matrix_flops == 2 * 2 * 10 * 4 * gates * 16 * (8 + 16)


MICROSOFT = {"g": [64], "b": [64], "w": [64, 192], "c": [192]}


@pytest.mark.parametrize(
    ("body", "found", "parameters"),
    [
        ("y, m, i, t = com.microsoft.SkipLayerNormalization(x, x, g, b)", ["layer"], 128),
        ("y, m, i, t = com.microsoft.SkipSimplifiedLayerNormalization(x, x, g)", ["rms"], 64),
        ("y = SimplifiedLayerNormalization(x, g)", ["rms"], 64),
        ("y = com.microsoft.BiasGelu(x, b)", ["gelu"], 64),
        ("y = com.microsoft.FastGelu(x)", ["gelu_tanh"], 0),
        ("y = com.microsoft.QuickGelu(x)", ["silu"], 0),
        ("y = com.microsoft.Attention<num_heads = 4>(x, w, c)", ["linear", "attention"], 64 * 192 + 192),
        ("y = com.microsoft.MultiHeadAttention<num_heads = 4>(x, x, x)", ["attention"], 0),
        ("y, k, v = com.microsoft.GroupQueryAttention<num_heads = 2, kv_num_heads = 1>(x)", ["attention"], 0),
        ("y, k, v = com.microsoft.GroupQueryAttention<num_heads = 2, kv_num_heads = 1, do_rotary = 1>(x)",
         ["rope", "rope", "attention"], 0),
    ],
)  # fmt: skip
def test_ops_of_onnxruntime(tmp_path: Path, body: str, found: list[str], parameters: int) -> None:
    model = read(tmp_path, f"g (float[batch, seq, 64] x) => (float[batch, seq, 64] y) {{ {body} }}", MICROSOFT)
    assert kinds(model) == found
    assert model.parameters == parameters


def test_packed_heads(tmp_path: Path) -> None:
    text = "g (float[batch, seq, 4, 3, 16] x) => (float[] y) { y = com.microsoft.MultiHeadAttention<num_heads = 4>(x) }"
    model = read(tmp_path, text)
    assert shapes(model, ops(model)[0]) == [["batch", "4", "tokens", "16"]] * 3


def test_grouped_heads_are_read_once(tmp_path: Path) -> None:
    text = (
        "g (float[batch, seq, 64] q, float[batch, seq, 16] k, float[batch, seq, 16] v) => (float[] y) { y, a, b = "
        "com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 1>(q, k, v) }"
    )
    model = read(tmp_path, text)
    assert shapes(model, ops(model)[0])[:2] == [["batch", "4", "tokens", "16"], ["batch", "1", "tokens", "16"]]
    assert ops(model)[0].attributes["causal"]
