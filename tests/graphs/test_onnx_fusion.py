"""Patterns of exporters, written out by hand, against the layer they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graphs.onnx_examples import kinds, ops, read

X = "g (float[batch, seq, 64] x) => (float[batch, seq, 64] y)"
HEADS = "(float[batch, 4, seq, 16] q, float[batch, 4, seq, 16] k, float[batch, 4, seq, 16] v)"
Y = "=> (float[batch, 4, seq, 16] y)"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("s = Sigmoid(x) y = Mul(x, s)", "silu"),
        ("c = Constant<value = float {1.702}>() t = Mul(c, x) s = Sigmoid(t) y = Mul(s, x)", "silu"),
        ("h = HardSigmoid(x) y = Mul(h, x)", "hardswish"),
        ("a = Constant<value = float {3.0}>() z = Constant<value = float {0.0}>() m = Constant<value = float {6.0}>() "
         "b = Add(x, a) c = Clip(b, z, m) d = Mul(x, c) y = Div(d, m)", "hardswish"),
        ("s = Softplus(x) t = Tanh(s) y = Mul(x, t)", "mish"),
        ("r = Constant<value = float {1.414}>() o = Constant<value = float {1.0}>() "
         "h = Constant<value = float {0.5}>() d = Div(x, r) "
         "e = Erf(d) a = Add(e, o) b = Mul(x, a) y = Mul(b, h)", "gelu"),
        ("r = Constant<value = float {0.707}>() o = Constant<value = float {1.0}>() "
         "h = Constant<value = float {0.5}>() d = Mul(r, x) "
         "e = Erf(d) a = Add(o, e) b = Mul(h, x) y = Mul(a, b)", "gelu"),
        ("o = Constant<value = float {1.0}>() h = Constant<value = float {0.5}>() t = Constant<value = float {3.0}>() "
         "c = Constant<value = float {0.0447}>() p = Pow(x, t) q = Mul(p, c) r = Add(x, q) s = Mul(r, h) u = Tanh(s) "
         "a = Add(u, o) b = Mul(x, a) y = Mul(b, h)", "gelu_tanh"),
    ],
)  # fmt: skip
def test_activations(tmp_path: Path, body: str, found: str) -> None:
    assert kinds(read(tmp_path, f"{X} {{ {body} }}")) == [found]


def test_a_gate_is_not_an_activation_of_x(tmp_path: Path) -> None:
    model = read(tmp_path, f"{X} {{ n = Neg(x) s = Sigmoid(n) y = Mul(x, s) }}")
    assert kinds(model) == ["neg", "sigmoid", "mul"]


NORM = "e = Constant<value = float {0.00001}>() t = Constant<value = float {2.0}>() "
CENTRED = "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Pow(d, t) v = ReduceMean<axes = [-1]>(p) a = Add(v, e) "
SQUARES = "p = Mul(x, x) v = ReduceMean<axes = [-1]>(p) a = Add(v, e) s = Sqrt(a) "


@pytest.mark.parametrize(
    ("body", "found", "inputs"),
    [
        (CENTRED + "s = Sqrt(a) n = Div(d, s) g = Mul(n, gamma) y = Add(beta, g)", "layer", 3),
        (CENTRED + "s = Sqrt(a) y = Div(d, s)", "layer", 1),
        (SQUARES + "r = Reciprocal(s) n = Mul(x, r) y = Mul(gamma, n)", "rms", 2),
        (SQUARES + "n = Div(x, s) y = Mul(n, gamma)", "rms", 2),
    ],
)
def test_norms(tmp_path: Path, body: str, found: str, inputs: int) -> None:
    weights = {"gamma": [64], "beta": [64]}
    model = read(tmp_path, f"{X} {{ {NORM} {body} }}", weights, opset=17)  # where axes are an attribute
    assert kinds(model) == [found]
    assert len(ops(model)[0].inputs) == inputs
    assert model.parameters == 64 * (inputs - 1)


SCALE = "c = Constant<value = float {0.25}>() "


@pytest.mark.parametrize(
    "body",
    [
        "t = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, t) u = Mul(s, c) p = Softmax(u) y = MatMul(p, v)",
        "t = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, t) u = Div(s, c) p = Softmax(u) y = MatMul(p, v)",
        "a = Mul(q, c) b = Mul(k, c) t = Transpose<perm = [0, 1, 3, 2]>(b) s = MatMul(a, t) p = Softmax(s) "
        "y = MatMul(p, v)",
        "s = com.microsoft.FusedMatMul<transB = 1, alpha = 0.25>(q, k) p = Softmax(s) y = MatMul(p, v)",
    ],
)
def test_attention(tmp_path: Path, body: str) -> None:
    model = read(tmp_path, f"g {HEADS} {Y} {{ {SCALE} {body} }}")
    assert kinds(model) == ["attention"]
    assert [*map(str, model.phases["forward"].tensors[ops(model)[0].inputs[1]].shape)] == ["batch", "4", "tokens", "16"]
    assert not ops(model)[0].attributes.get("masked", False)


MASKED = "t = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, t) "
RANGES = (
    "h = Shape<start = 2, end = 3>(q) z = Constant<value = int64 {0}>() o = Constant<value = int64 {1}>() "
    "n = Squeeze(h) r = Range(z, n, o) a1 = Constant<value_ints = [1]>() a0 = Constant<value_ints = [0]>() "
    "rows = Unsqueeze(r, a1) columns = Unsqueeze(r, a0) low = Constant<value = float {-1000000.0}>() "
    "zero = Constant<value = float {0.0}>() "
)


@pytest.mark.parametrize(
    ("mask", "causal"),
    [("later = Less(rows, columns) m = Where(later, low, zero)", True),
     ("now = GreaterOrEqual(rows, columns) m = Where(now, zero, low)", True),
     ("now = GreaterOrEqual(columns, columns) w = Expand(now, hh) m = Where(w, zero, low)", False)],
)  # fmt: skip
def test_a_triangle_makes_it_causal_and_no_mask_is_built(tmp_path: Path, mask: str, causal: bool) -> None:
    body = f"{RANGES} hh = Concat<axis = 0>(h, h) {mask} u = Add(s, m) p = Softmax(u) y = MatMul(p, v)"
    model = read(tmp_path, f"g {HEADS} {Y} {{ {MASKED} {body} }}")
    assert kinds(model) == ["attention"]
    assert ops(model)[0].attributes == {"causal": causal}


def test_a_mask_too_large_to_compute_is_known_by_what_it_repeats(tmp_path: Path) -> None:
    """[batch, 1, 600, 600]: at the sizes that are traced its values are known for some and for others not."""
    body = (
        f"{RANGES} b = Shape<start = 0, end = 1>(q) f = Constant<value_ints = [1, 600, 600]>() "
        "w = Concat<axis = 0>(b, f) now = GreaterOrEqual(rows, columns) all = Expand(now, w) m = Where(all, zero, low) "
        "u = Add(s, m) p = Softmax(u) y = MatMul(p, v)"
    )
    model = read(tmp_path, f"g {HEADS} {Y} {{ {MASKED} {body} }}".replace("seq", "600"))
    assert model.phases["forward"].symbols == ("batch",)
    assert ops(model)[0].attributes == {"causal": True}


@pytest.mark.parametrize("body", ["u = Add(s, mask)", "u = Add(mask, s)"])
def test_a_mask_from_outside_is_read(tmp_path: Path, body: str) -> None:
    inputs = HEADS.replace(")", ", float[batch, 1, seq, seq] mask)")
    model = read(tmp_path, f"g {inputs} {Y} {{ {MASKED} {body} p = Softmax(u) y = MatMul(p, v) }}")
    assert ops(model)[0].attributes["masked"]
    assert ops(model)[0].inputs[3] == "mask"


def test_grouped_keys_count_once(tmp_path: Path) -> None:
    heads = HEADS.replace("4, seq, 16] k", "2, seq, 16] k")
    body = (
        "one = Constant<value_ints = [2]>() wide = Constant<value_ints = [1, 1, 2, 1, 1]>() "
        "back = Constant<value_ints = [0, 4, -1, 16]>() a = Unsqueeze(k, one) b = Expand(a, wide) "
        "kk = Reshape(b, back) t = Transpose<perm = [0, 1, 3, 2]>(kk) s = MatMul(q, t) p = Softmax(s) y = MatMul(p, v)"
    )
    model = read(tmp_path, f"g {heads} {Y} {{ {body} }}")
    assert kinds(model) == ["attention"]
    assert model.phases["forward"].tensors[ops(model)[0].inputs[1]].shape[1] == 2


def test_what_is_read_elsewhere_stays(tmp_path: Path) -> None:
    text = f"g {HEADS} => (float[batch, 4, seq, 16] y, float[batch, 4, seq, seq] p)"
    model = read(tmp_path, f"{text} {{ {MASKED} p = Softmax(s) y = MatMul(p, v) }}")
    assert "attention" in kinds(model)
    assert "softmax" in kinds(model)
