"""Collectives: what a device sends, whatever runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from builders import op, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.costs.collective import OPERATIONS, PASSES, cost_collective
from perfmodel.errors import GraphError
from perfmodel.types import Graph, OpCost

operations = st.sampled_from(OPERATIONS)
buffers = st.integers(1, 2**30)
counts = st.integers(2, 1024)


def cost(size: Any, devices: Any, operation: str) -> OpCost:
    return cost_collective(
        bytes=size, devices=devices, devices_per_node=8, operation=operation, library="nccl", fabric=""
    )


def collective(operation: str, shape: str = "batch 64", out: str = "batch 64", **attributes: Any) -> Graph:
    return op("collective", [x("x", shape)], [y("y", out)], {"operation": operation, **attributes})


@given(buffers, operations)
def test_one_device_sends_nothing(size: int, operation: str) -> None:
    alone = cost(size, 1, operation)
    assert alone.link_bytes == alone.bytes == 0


@given(buffers, counts, operations)
def test_a_pass_sends_at_most_the_buffer(size: int, devices: int, operation: str) -> None:
    own = cost(size, devices, operation)
    assert size / 2 <= own.link_bytes / PASSES.get(operation, 1) <= size
    assert own.read_bytes == own.write_bytes <= size  # what is sent is read, what arrives is written


@given(buffers, counts)
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(size: int, devices: int) -> None:
    both = cost(size, devices, "reduce_scatter").link_bytes + cost(size, devices, "all_gather").link_bytes
    assert cost(size, devices, "all_reduce").link_bytes == both


@given(buffers, counts, operations, st.integers(1, 100))
def test_more_is_never_less(size: int, devices: int, operation: str, more: int) -> None:
    plain = cost(size, devices, operation).link_bytes
    assert cost(size + more, devices, operation).link_bytes > plain
    assert cost(size, devices + more, operation).link_bytes >= plain


@pytest.mark.parametrize("operation", OPERATIONS)
def test_devices_may_be_swept_or_symbolic(operation: str) -> None:
    devices = np.array([1.0, 2.0, 8.0])
    n, s = sympy.symbols("n s", positive=True)
    swept, symbolic = cost(4096.0, devices, operation).link_bytes, cost(s, n, operation).link_bytes
    for place, count in enumerate(devices):
        assert swept[place] == cost(4096.0, int(count), operation).link_bytes
        assert float(symbolic.subs({n: count, s: 4096})) == pytest.approx(swept[place])


def test_the_buffer_is_the_larger_side() -> None:
    """Each of 8 devices gives 64 elements to an all-gather, and gets 64 from a reduce-scatter: S is 8 times that."""
    gathered = collective("all_gather", out="8*batch 64", devices=8)
    scattered = collective("reduce_scatter", shape="8*batch 64", devices=8)
    for graph in (gathered, scattered):
        assert cost_graph(graph, {"batch": 3}).link_bytes == 7 * 3 * 64 * 2


def test_nodes_and_libraries_do_not_change_the_cost() -> None:
    plain = cost_graph(collective("all_reduce", devices=16), {"batch": 3})
    other = collective("all_reduce", devices=16, devices_per_node=8, library="custom", fabric="NVLink4")
    assert cost_graph(other, {"batch": 3}) == plain


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (collective("gossip", devices=8), "operation must be one of all_reduce, .*, is 'gossip'"),
        (collective("all_reduce"), "needs the attribute 'devices'"),
        (collective("all_gather", devices=8), "elements before and after all_gather over 8 devices differ"),
        (collective("reduce_scatter", devices=8), "elements before and after reduce_scatter over 8 devices differ"),
        (collective("all_to_all", out="batch 65", devices=8), "elements before and after all_to_all"),
    ],
)
def test_contradictions_are_named(graph: Graph, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        cost_graph(graph, {"batch": 1})
