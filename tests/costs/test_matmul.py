"""Linear layers and matrix products: what their shapes must fulfil, and how weights count."""

import pytest
from builders import linear, op, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.costs.matmul import cost_linear
from perfmodel.errors import GraphError
from perfmodel.precisions import SCHEMES
from perfmodel.types import Tensor

sizes = st.integers(1, 5000)


@given(sizes, sizes, sizes)
def test_weights_are_read_once_whatever_the_batch(m: int, n: int, k: int) -> None:
    one, many = (cost_graph(linear(n, k), {"batch": batch}) for batch in (1, m))
    assert one.weight_bytes == many.weight_bytes == 2 * n * k
    assert many.matrix_flops == m * one.matrix_flops == 2 * m * n * k
    assert (many.read_bytes, many.write_bytes) == (2 * m * k, 2 * m * n)


@given(sizes, sizes, sizes)
def test_a_linear_layer_is_a_matmul_with_a_weight(m: int, n: int, k: int) -> None:
    product = op("matmul", [x("a", f"{m} {k}"), w("b", f"{n} {k}")], [y("c", f"{m} {n}")], {"transpose_b": True})
    layer = op("linear", [x("a", f"{m} {k}"), w("b", f"{n} {k}")], [y("c", f"{m} {n}")])
    assert cost_graph(product) == cost_graph(layer)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_storage_and_compute_are_apart(scheme: object) -> None:
    cost = cost_graph(linear(128, 256, scheme.activation, scheme.weight), {"batch": 4})  # type: ignore[attr-defined]
    wide = cost_graph(linear(128, 256, "fp32"), {"batch": 4})
    assert cost.matrix_flops == wide.matrix_flops
    assert cost.weight_bytes <= wide.weight_bytes


def test_quantising_the_input_is_a_kernel_of_its_own() -> None:
    sizes = {"m": 10, "n": 20, "k": 30, "weight_bytes": 600, "activation": "bf16", "output": "bf16", "compute": "int8"}
    plain, quantised = cost_linear(**sizes), cost_linear(**sizes, quantize_input=True)
    assert quantised.bytes - plain.bytes == 2 * 10 * 30  # written once, read once, a byte each
    assert quantised.launches == plain.launches + 1
    assert quantised.flops == plain.flops


def test_a_scale_of_the_whole_input_takes_a_pass_of_its_own() -> None:
    sizes = {"m": 10, "n": 20, "k": 30, "weight_bytes": 600, "activation": "bf16", "output": "bf16", "compute": "fp8"}
    static, row, tensor = (
        cost_linear(**sizes, quantize_input=True, input_scale=scale) for scale in ("static", "row", "tensor")
    )
    assert row.bytes - static.bytes == tensor.bytes - static.bytes == 10 * 30 * 2  # the rows are read once more
    assert (static.launches, row.launches, tensor.launches) == (2, 2, 5)
    assert cost_linear(**sizes, input_scale="tensor") == cost_linear(**sizes)  # nothing is quantised


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "message"),
    [
        ("linear", [x("x", "batch 8"), w("w", "16 9")], "batch 16", "input dimensions of 'x' and 'w' differ: 8 and 9"),
        ("linear", [x("x", "batch 8"), w("w", "16 8")], "batch 17", "sizes of output and product differ"),
        ("linear", [x("x", "batch 8"), w("w", "16")], "batch 16", "'w' needs at least 2 dimensions, has shape"),
        ("linear", [x("x", "batch 8")], "batch 16", "needs at least 2 inputs, has 1"),
        ("matmul", [x("a", "3 4"), y("b", "5 6")], "3 6", "summed dimensions of 'a' and 'b' differ: 4 and 5"),
        ("matmul", [x("a", "3 4"), y("b", "4 6")], "3 7", "output and product differ"),
        ("matmul", [x("a", "3 4"), y("b", "4")], "3", "'b' needs at least 2 dimensions"),
    ],
)
def test_shapes_that_do_not_fit(kind: str, inputs: list[Tensor], output: str, message: str) -> None:
    with pytest.raises(GraphError, match=f"op '{kind}' .*{message}"):
        cost_graph(op(kind, inputs, [y("y", output)]), {"batch": 1})


def test_a_tensor_that_is_not_there_is_named() -> None:
    good = linear()
    tensors = {name: own for name, own in good.tensors.items() if name != "w"}
    with pytest.raises(GraphError, match=r"op 'linear' .*its tensor 'w' is not in the graph"):
        cost_graph(good.__class__(name="broken", ops=good.ops, tensors=tensors))


def test_a_weight_in_pieces_costs_what_they_take_together() -> None:
    pieces = [w("a", "512 256", "q4_k"), w("b", "128 256", "q6_k")]
    whole = op("linear", [x("x", "4 256"), w("w", "640 256")], [y("y", "4 640")])
    stacked = op("linear", [x("x", "4 256"), *pieces, w("bias", "640")], [y("y", "4 640")], {"stacked": 2})
    own, theirs = cost_graph(stacked), cost_graph(whole)
    assert (own.matrix_flops, own.read_bytes, own.write_bytes) == (
        theirs.matrix_flops, theirs.read_bytes, theirs.write_bytes,
    )  # fmt: skip
    assert own.weight_bytes == 512 * 144 + 128 * 210 + 640 * 2


@pytest.mark.parametrize(
    ("second", "stacked", "message"),
    [("128 257", 2, "does not fit below"), ("8 128 256", 2, "does not fit below"), ("128 256", 3, "at least 4 inputs"),
     ("128 256", "2", "stacked must be"), ("128 256", 0, "stacked must be"), ("128 256", True, "stacked must be")],
)  # fmt: skip
def test_pieces_that_do_not_fit(second: str, stacked: object, message: str) -> None:
    layer = op("linear", [x("x", "4 256"), w("a", "512 256"), w("b", second)], [y("y", "4 640")], {"stacked": stacked})
    with pytest.raises(GraphError, match=message):
        cost_graph(layer)
