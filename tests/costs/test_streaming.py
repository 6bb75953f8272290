"""Ops that mostly move memory: what is read and written, and what must fit."""

import pytest
from builders import op, streaming, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph, op_arguments
from perfmodel.costs.streaming import POINTWISE_FLOPS
from perfmodel.errors import GraphError

rows = st.integers(1, 10_000)


@given(rows, st.sampled_from([*sorted(POINTWISE_FLOPS), "add", "anything"]))
def test_pointwise(batch: int, function: str) -> None:
    cost = cost_graph(streaming("pointwise", 16, function=function), {"batch": batch})
    assert cost.bytes == 2 * batch * 16 * 2
    assert cost.vector_flops == batch * 16 * POINTWISE_FLOPS.get(function, 1)


@given(rows)
def test_a_broadcast_operand_is_read_once(batch: int) -> None:
    small = op("pointwise", [x("x", "batch 16"), x("scale", "16")], [y("y", "batch 16")])
    assert cost_graph(small, {"batch": batch}).read_bytes == 2 * (16 * batch + 16)


@given(st.lists(st.sampled_from(["add", "gelu", "rms", "softmax", "cast"]), min_size=1, max_size=8))
def test_a_fused_kernel_does_the_work_of_its_functions(functions: list[str]) -> None:
    fused = streaming("pointwise", 16, function="fused", functions=functions)
    alone = {"rms": ("normalization", "rms"), "softmax": ("softmax", "softmax"), "cast": ("copy", "cast")}
    steps = [alone.get(function, ("pointwise", function)) for function in functions]
    parts = [cost_graph(streaming(kind, 16, function=function), {"batch": 3}) for kind, function in steps]
    cost = cost_graph(fused, {"batch": 3})
    assert cost.vector_flops == sum(part.vector_flops for part in parts)
    assert cost.bytes == 2 * 3 * 16 * 2
    assert cost.launches == 1


@given(rows)
def test_a_lookup_reads_rows_and_not_the_table(batch: int) -> None:
    table = op("embedding", [x("i", "batch", "int64"), w("t", "100000 16")], [y("y", "batch 16")])
    cost = cost_graph(table, {"batch": batch})
    assert cost.weight_bytes == batch * 16 * 2
    assert cost.read_bytes == batch * 8


@pytest.mark.parametrize(
    ("kind", "attributes", "elements", "columns"),
    [
        ("normalization", {"function": "layer"}, 2 * 6 * 4 * 5, 5),
        ("normalization", {"function": "group"}, 2 * 6 * 4 * 5, 6 * 4 * 5),
        ("normalization", {"function": "instance"}, 2 * 6 * 4 * 5, 4 * 5),
        ("normalization", {"function": "batch"}, 0, 0),  # the statistics are known
        ("softmax", {"axis_size": 6}, 2 * 6 * 4 * 5, 6),
        ("pointwise", {"function": "gelu"}, 0, 0),
    ],
)
def test_what_is_reduced_over(kind: str, attributes: dict[str, object], elements: int, columns: int) -> None:
    shape = "2 6 4 5"
    graph = op(kind, [x("x", shape)], [y("y", shape)], attributes)
    sizes = op_arguments(graph.ops[0], graph.tensors).sizes
    assert (sizes["elements"], sizes["columns"]) == (elements, columns)


def test_kernels_that_eager_starts_can_be_said_by_the_op() -> None:
    assert cost_graph(streaming("pointwise", function="rope"), {"batch": 1}).launches == 10
    assert cost_graph(streaming("pointwise", function="rope", launches=1), {"batch": 1}).launches == 1


def test_a_view_costs_nothing_but_must_keep_all_elements() -> None:
    good = op("view", [x("x", "batch 16")], [y("y", "batch 4 4")])
    assert cost_graph(good, {"batch": 8}).bytes == cost_graph(good, {"batch": 8}).launches == 0
    wrong = op("view", [x("x", "batch 16")], [y("y", "batch 4 5")])
    with pytest.raises(GraphError, match=r"op 'view' .*16\*batch and 20\*batch"):
        cost_graph(wrong, {"batch": 1})


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "attributes", "message"),
    [
        ("normalization", "batch 16", "batch 17", {}, "sizes of input and output differ"),
        ("normalization", "batch 16", "batch 16", {"function": "lair"}, "function must be one of layer, .* is 'lair'"),
        ("softmax", "", "batch 16", {}, "needs at least 1 inputs, has 0"),
    ],
)
def test_what_does_not_fit(kind: str, inputs: str, output: str, attributes: dict[str, object], message: str) -> None:
    wrong = op(kind, [x("x", inputs)] if inputs else [], [y("y", output)], attributes)
    with pytest.raises(GraphError, match=f"op '{kind}' .*{message}"):
        cost_graph(wrong, {"batch": 1})


def test_the_widths_of_a_table_and_its_rows() -> None:
    wrong = op("embedding", [x("i", "batch", "int64"), w("t", "100 16")], [y("y", "batch 17")])
    with pytest.raises(GraphError, match=r"op 'embedding' .*widths of table and output differ: 16 and 17"):
        cost_graph(wrong, {"batch": 1})
