"""Shapes that follow from sizes, conditions that are known, and what depends on values."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.errors import ModelError
from tests.graphs.onnx_examples import kinds, ops, read

X = "g (float[batch, seq, 64] x) => (float[batch, seq, 64] y)"


def test_targets_computed_from_shapes(tmp_path: Path) -> None:
    body = (
        "s = Shape(x) i = Constant<value = int64 {0}>() j = Constant<value = int64 {1}>() b = Gather(s, i) "
        "t = Gather(s, j) z = Constant<value_ints = [0]>() bb = Unsqueeze(b, z) tt = Unsqueeze(t, z) "
        "n = Mul(bb, tt) c = Constant<value_ints = [4, 16]>() flat = Concat<axis = 0>(n, c) r = Reshape(x, flat) "
        "a = Neg(r) y = Reshape(a, s)"
    )
    model = read(tmp_path, f"{X} {{ {body} }}")
    assert kinds(model) == ["neg"]
    assert [str(dim) for dim in model.phases["forward"].tensors["Neg_12.out"].shape] == ["batch*tokens", "4", "16"]


BRANCH = "then_branch = a () => (float[batch, seq, 64] l) { l = Relu(x) }, else_branch = b () => (float[batch, seq, 64] r) { r = Tanh(x) }"  # noqa: E501


@pytest.mark.parametrize(("rank", "found"), [(3, "relu"), (2, "tanh")])
def test_a_condition_on_the_rank_is_followed(tmp_path: Path, rank: int, found: str) -> None:
    body = (
        f"s = Shape(x) n = Size(s) k = Constant<value = int64 {{{rank}}}>() c = Equal(n, k) t = If<{BRANCH}>(c) "
        "y = Neg(t)"
    )
    assert kinds(read(tmp_path, f"{X} {{ {body} }}")) == [found, "neg"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("z = Constant<value = float {0.0}>() m = ReduceMax<keepdims = 0>(x) c = Greater(m, z) "
         f"y = If<{BRANCH}>(c)", "which branch runs depends on values"),
        ("n = NonZero(x) f = Cast<to = 1>(n) y = Relu(f)", "how many elements it returns depends on values"),
        ("i = Cast<to = 7>(x) z = Constant<value_ints = [-1]>() f = Reshape(i, z) e = Expand(x, f) y = Relu(e)",
         "depends on values"),
        ("k = Constant<value = int64 {3}>() t = Constant<value = bool {1}>() y = Loop<body = l (int64 i, bool c, "
         "float[batch, seq, 64] v) => (bool d, float[batch, seq, 64] w) { d = Identity(c) w = Relu(v) }>(k, t, x)",
         "how often it runs depends on values"),
        ("n = Constant<value_ints = [7, 5]>() y = Reshape(x, n)", r"over inputs of the shapes \[\d+, \d+, 64\], \[2\]"),
    ],
)  # fmt: skip
def test_what_depends_on_values_is_refused_by_name(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(ModelError, match=rf"model\.onnx: node '\w+' \(\w+\).*{said}"):
        read(tmp_path, f"{X} {{ {body} }}")


def test_constants_are_computed_when_the_model_is_loaded(tmp_path: Path) -> None:
    text = "g (float[N, 64] x) => (float[N, 128] y) { t = Transpose(w) c = Cast<to = 1>(t) y = MatMul(x, c) }"
    model = read(tmp_path, text, {"w": [128, 64]}, {"w": 10})
    assert kinds(model) == ["linear"]
    assert model.phases["forward"].tensors[ops(model)[0].inputs[1]].dtype == "fp32"
    assert model.parameters == 64 * 128


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    text = (
        "g (float[N, 8] x) => (float[N, 8] y) { y = my.domain.Twice(x) }\n"
        '<domain: "my.domain", opset_import: ["" : 18]> Twice (a) => (c) { b = Neg(a) c = Relu(b) }'
    )
    assert kinds(read(tmp_path, text)) == ["neg", "relu"]
