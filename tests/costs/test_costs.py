"""One line per op kind: FLOPs, bytes and kernels counted by hand; the same formula for ints, arrays and symbols.

To add an op kind: a line in `CASES`. Its numbers are those of batch 2, 3 tokens and a context of 5.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import sympy
from builders import cache, op, w, x, y
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.costs import cost_graph, cost_op, is_modelled, known_kinds
from perfmodel.types import Graph, OpCost

VALUES = {"batch": 2, "tokens": 3, "context": 5}
ROWS = "batch tokens 8"  # 48 elements, 96 bytes


@dataclass(frozen=True)
class Case:
    """An op and what it costs: (matrix FLOPs, vector FLOPs), (read, written, weight, cache bytes), kernels."""

    kind: str
    inputs: list[Any]
    outputs: list[Any]
    flops: tuple[float, float]
    bytes: tuple[float, float, float, float]
    launches: int = 1
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return op(self.kind, self.inputs, self.outputs, self.attributes)


# fmt: off
CASES = [
    Case("linear", [x("x", ROWS), w("w", "16 8"), w("b", "16")], [y("y", "batch tokens 16")],
         (2 * 6 * 16 * 8, 0), (96, 192, 2 * (128 + 16), 0)),
    Case("linear", [x("x", ROWS), w("w", "16 8", "fp8")], [y("y", "batch tokens 16")],
         (2 * 6 * 16 * 8, 0), (96 + 48, 192 + 48, 128 + 4, 0), 2, {"compute": "fp8", "quantize_input": True}),
    Case("linear", [x("x", ROWS), w("w", "16 8", "nvfp4")], [y("y", "batch tokens 16")],
         (2 * 6 * 16 * 8, 0), (96 + 24, 192 + 24, 64 + 16, 0), 2, {"compute": "fp4", "quantize_input": True}),
    Case("matmul", [y("a", "batch 4 tokens 8"), y("b", "batch 4 context 8")], [y("c", "batch 4 tokens context")],
         (2 * 8 * 3 * 5 * 8, 0), (2 * (192 + 320), 240, 0, 0), 1, {"transpose_b": True}),
    Case("matmul", [y("a", "batch 4 tokens context"), cache("b", "batch 4 context 8")], [y("c", "batch 4 tokens 8")],
         (2 * 8 * 3 * 5 * 8, 0), (240, 2 * 192, 0, 2 * 320)),
    Case("attention", [x("q", "batch 4 tokens 8"), cache("k", "batch 2 context 8"), cache("v", "batch 2 context 8")],
         [y("o", "batch 4 tokens 8")],
         (2 * 2 * 4 * 10.5 * 16, 5 * 2 * 4 * 10.5), (384, 384, 0, 2 * 2 * 2 * 5 * 16), 1, {"causal": True}),
    Case("attention", [x("q", "batch 4 tokens 8"), x("k", "batch 4 tokens 8"), x("v", "batch 4 tokens 8")],
         [y("o", "batch 4 tokens 8")],
         (2 * 2 * 4 * 9 * 16, 5 * 2 * 4 * 9), (3 * 384, 384, 0, 0)),
    Case("index_scores", [x("q", "batch 4*tokens 8"), cache("k", "batch 1 context 8"), x("w", "batch tokens 4")],
         [y("s", "batch 1 tokens context")],
         (2 * 2 * 4 * 10.5 * 8, 0), (384 + 48, 60, 0, 160), 1, {"causal": True}),
    Case("gated_delta_rule", [x("qkv", "batch 96 tokens"), x("rates", "batch tokens 4"), cache("state", "batch 4 8 8")],
         [y("o", "batch tokens 4 8"), cache("state", "batch 4 8 8")],
         (2 * 2 * 4 * 3 * 3 * 8 * 8, 0), (1152 + 48, 384, 0, 2 * 1024)),
    Case("selective_scan", [x("x", "batch 8 tokens"), x("step", "batch tokens 8"), w("rates", "8 4"),
                            cache("state", "batch 8 4")], [y("o", "batch tokens 8"), cache("state", "batch 8 4")],
         (0, 48 * (7 * 4 + 14)), (192, 96, 64, 2 * 128)),
    Case("state_space_scan", [x("mixed", "batch 24 tokens"), x("step", "batch tokens 2"), w("rates", "2"),
                              cache("state", "batch 2 8 4")],
         [y("o", "batch tokens 16"), cache("state", "batch 2 8 4")],
         (6 * (2 * 2 * 4 + 2 * 16 + 4 * 4 * 16), 6 * 2 * (8 + 2)), (288 + 24, 192, 4, 2 * 256), 5,
         {"groups": 1, "chunk": 2, "launches": 5}),
    Case("causal_convolution", [x("x", "batch 8 tokens"), w("w", "8 1 4"), cache("past", "batch 8 3")],
         [y("o", "batch 8 tokens"), cache("past", "batch 8 3")],
         (0, 48 * (2 * 4 + 5)), (96, 96, 64, 2 * 96)),
    Case("cache_append", [y("new", "batch 2 tokens 8")], [cache("c", "batch 2 context 8")], (0, 0), (192, 0, 0, 192)),
    Case("experts", [x("x", ROWS), w("up", "4 12 8"), w("down", "4 8 6")], [y("y", ROWS)],
         (2 * 12 * 8 * 18, 12 * (4 * 12 + 2 * 8)), (12 * 26 * 2, (12 * 18 + 48) * 2, 1152 * 63 / 64, 0), 5,
         {"experts_per_token": 2, "gated": True}),
    Case("collective", [x("x", ROWS)], [y("y", ROWS)], (0, 0), (72, 72, 0, 0), 1,
         {"operation": "all_reduce", "devices": 4}),
    Case("collective", [x("x", ROWS)], [y("y", "4*batch tokens 8")], (0, 0), (288, 288, 0, 0), 1,
         {"operation": "all_gather", "devices": 4}),
    Case("convolution", [x("x", "batch 4 8 8"), w("w", "6 2 3 3")], [y("y", "batch 6 8 8")],
         (2 * 2 * 64 * 9 * 2 * 6, 0), (1024, 1536, 216, 0), 1, {"groups": 2}),
    Case("recurrent", [x("x", "batch tokens 4"), w("wi", "16 4"), w("wh", "16 4")], [y("y", "batch tokens 4")],
         (2 * 6 * 16 * 8, 10 * 6 * 16), (48, 48, 256, 0), 4, {"cell": "lstm", "hidden": 4}),
    Case("normalization", [x("x", ROWS), w("w", "8"), w("b", "8")], [y("y", ROWS)],
         (0, 8 * 48), (96, 96, 32, 0), 1, {"function": "layer"}),
    Case("normalization", [x("x", ROWS), y("r", ROWS), w("w", "8")], [y("y", ROWS), y("sum", ROWS)],
         (0, 5 * 48), (192, 192, 16, 0), 6, {"function": "rms", "residual": True}),
    Case("softmax", [x("x", "batch 4 tokens context")], [y("y", "batch 4 tokens context")],
         (0, 5 * 120), (240, 240, 0, 0)),
    Case("pointwise", [x("x", ROWS), y("z", ROWS)], [y("y", ROWS)],
         (0, 48), (192, 96, 0, 0), 1, {"function": "add"}),
    Case("pointwise", [x("x", "batch tokens 16")], [y("y", ROWS)],
         (0, 6 * 48), (192, 96, 0, 0), 3, {"function": "silu_mul"}),
    Case("pointwise", [x("x", ROWS), w("w", "8")], [y("y", ROWS)],
         (0, 48 * (1 + 8 + 1)), (96, 96, 16, 0), 1, {"function": "fused", "functions": ["add", "gelu", "mul"]}),
    Case("normalization", [x("x", ROWS)], [y("y", ROWS)],
         (0, 48 * (1 + 5)), (96, 96, 0, 0), 1, {"function": "fused", "functions": ["add", "rms", "cast"]}),
    Case("softmax", [x("x", ROWS)], [y("y", ROWS)],
         (0, 48 * (1 + 5)), (96, 96, 0, 0), 1, {"function": "fused", "functions": ["div", "softmax"]}),
    Case("reduce", [x("x", ROWS)], [y("y", "batch tokens")],
         (0, 48 * (4 + 1)), (96, 12, 0, 0), 1, {"function": "fused", "functions": ["sigmoid", "sum"]}),
    Case("reduce", [x("x", ROWS)], [y("y", "batch tokens")], (0, 48), (96, 12, 0, 0), 1, {"function": "mean"}),
    Case("dropout", [x("x", ROWS)], [y("y", ROWS), y("mask", ROWS, "bool")],
         (0, 2 * 48), (96, 96 + 48, 0, 0), 1, {"function": "dropout"}),
    Case("copy", [x("x", ROWS)], [y("y", ROWS, "fp32")], (0, 0), (96, 192, 0, 0), 1, {"function": "cast"}),
    Case("embedding", [x("i", "batch tokens", "int64"), w("table", "100 8")], [y("y", ROWS)],
         (0, 0), (48, 96, 96, 0)),
    Case("gather", [x("x", "batch context 8"), x("i", "tokens", "int64")], [y("y", ROWS)], (0, 0), (96 + 24, 96, 0, 0)),
    Case("scatter", [x("x", "batch context 8"), x("i", "tokens", "int64"), x("v", ROWS)], [y("y", "batch context 8")],
         (0, 0), (96 + 24, 96, 0, 0)),
    Case("pool", [x("x", "batch 4 8 8")], [y("y", "batch 4 4 4")],
         (0, 128 * 4), (1024, 256, 0, 0), 1, {"function": "max", "kernel": [2, 2]}),
    Case("resize", [x("x", "batch 4 8 8")], [y("y", "batch 4 16 16")],
         (0, 11 * 2048), (1024, 4096, 0, 0), 1, {"function": "bilinear"}),
    Case("topk", [x("x", ROWS)], [y("v", "batch tokens 2"), y("i", "batch tokens 2", "int64")],
         (0, 2 * 48), (96, 24 + 96, 0, 0), 2, {"count": 2, "function": "topk"}),
    Case("topk", [x("x", ROWS)], [y("v", ROWS), y("i", ROWS, "int64")],
         (0, 2 * 48 * 8), (96 * 8, (96 + 384) * 8, 0, 0), 4, {"function": "sort"}),
    Case("scan", [x("x", ROWS)], [y("y", ROWS)], (0, 48), (96, 96, 0, 0), 1, {"function": "cumsum"}),
    Case("view", [x("x", ROWS)], [y("y", "batch 4 tokens 2")], (0, 0), (0, 0, 0, 0), 0),
    Case("aten.mystery", [x("x", ROWS), w("w", "8")], [y("y", ROWS)], (0, 0), (96, 96, 16, 0)),
]
# fmt: on
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{CASES.index(case)}")


@each_case
def test_counted_by_hand(case: Case) -> None:
    cost = cost_graph(case.graph, VALUES)
    assert (cost.matrix_flops, cost.vector_flops) == case.flops
    assert (cost.read_bytes, cost.write_bytes, cost.weight_bytes, cost.cache_bytes) == case.bytes
    assert cost.bytes == sum(case.bytes)
    assert cost.launches == case.launches


def test_every_kind_has_a_line() -> None:
    assert {case.kind for case in CASES if is_modelled(case.graph.ops[0])} == set(known_kinds())
    assert not is_modelled(CASES[-1].graph.ops[0])


def figures(cost: OpCost) -> list[Any]:
    parts = ("read_bytes", "write_bytes", "weight_bytes", "cache_bytes", "link_bytes", "launches")
    return [cost.matrix_flops, cost.vector_flops, *(getattr(cost, part) for part in parts)]


values = st.builds(
    lambda batch, tokens, more: {"batch": batch, "tokens": tokens, "context": tokens + more},
    st.integers(1, 512),
    st.integers(1, 4096),
    st.integers(0, 100_000),
)


@each_case
@settings(max_examples=10)
@given(rows=st.lists(values, min_size=1, max_size=3))
def test_ints_arrays_and_symbols_agree(case: Case, rows: list[dict[str, int]]) -> None:
    own, tensors = case.graph.ops[0], case.graph.tensors
    arrays = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    symbols = {name: sympy.Symbol(name, integer=True, positive=True) for name in rows[0]}
    by_array, by_symbol = (figures(cost_op(own, tensors, given)) for given in (arrays, symbols))
    for place, row in enumerate(rows):
        numbers = {symbols[name]: value for name, value in row.items()}
        wanted = figures(cost_op(own, tensors, row))
        assert [np.broadcast_to(column, len(rows))[place] for column in by_array] == pytest.approx(wanted, rel=1e-9)
        assert [float(sympy.sympify(part).subs(numbers)) for part in by_symbol] == pytest.approx(wanted, rel=1e-9)


@each_case
@given(row=values)
def test_nothing_is_negative_and_more_is_never_less(case: Case, row: dict[str, int]) -> None:
    own, tensors = case.graph.ops[0], case.graph.tensors
    cost = figures(cost_op(own, tensors, row))
    larger = figures(cost_op(own, tensors, row | {"batch": row["batch"] + 1}))
    assert all(0 <= part <= more for part, more in zip(cost, larger, strict=True))


def test_a_graph_is_the_sum_of_its_ops_and_repeats() -> None:
    one = CASES[0].graph
    repeated = op("linear", CASES[0].inputs, CASES[0].outputs, repeat=7)
    assert cost_graph(repeated, VALUES) == cost_graph(one, VALUES) * 7
