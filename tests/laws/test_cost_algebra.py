"""Costs and times are monoids, and programs respect that: nothing costs nothing, two graphs cost what both do."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laws.strategies import (
    OPS,
    ROUNDING,
    UNMODELLED,
    chips,
    device_of,
    examples,
    graphs,
    joined,
    runtimes,
    sizes,
    timed,
)
from perfmodel.costs import cost_graph, cost_op, known_kinds
from perfmodel.program import compile_graph
from perfmodel.types import Graph, Hardware, OpCost

PARTS = ("compute_seconds", "memory_seconds", "network_seconds", "overhead_seconds", "host_seconds", "bound_seconds")


def figures(cost: OpCost) -> dict[Any, float]:
    own = {part.name: float(getattr(cost, part.name)) for part in fields(cost) if part.name != "flops"}
    return own | {key: float(value) for key, value in cost.flops.items()}


def same(left: OpCost, right: OpCost) -> None:
    a, b = figures(left), figures(right)
    for key in a | b:
        assert a.get(key, 0.0) == pytest.approx(b.get(key, 0.0), rel=ROUNDING)


def test_every_kind_of_op_is_drawn() -> None:
    assert {*OPS} - {*UNMODELLED} == {*known_kinds()}


@examples(60)
@given(graphs(), graphs(), sizes, st.integers(0, 50))
def test_costs_add_and_repeat(one: Graph, other: Graph, values: dict[str, int], count: int) -> None:
    a, b = cost_graph(one, values), cost_graph(other, values)
    same(a + OpCost(), a)
    same(OpCost() + a, a)
    same(a + b, b + a)
    same(a * count, sum((a for _ in range(count)), start=OpCost()))
    same((a + b) * count, a * count + b * count)
    same(a * 0, OpCost())
    both = joined([(replace(own, ops=(op,)), op.repeat) for own in (one, other) for op in own.ops])
    same(cost_graph(both, values), a + b)


@examples(40)
@given(graphs(), sizes)
def test_an_op_that_runs_no_time_costs_nothing(graph: Graph, values: dict[str, int]) -> None:
    never = replace(graph, ops=tuple(replace(op, repeat=0) for op in graph.ops))
    same(cost_graph(never, values), OpCost())


@examples(60)
@given(graphs(most=1), sizes.map(lambda values: values | {"batch": 0}))
def test_no_rows_have_no_work(graph: Graph, values: dict[str, int]) -> None:
    """Weights may be read, and a kernel started; nothing is computed, and no activation moves."""
    cost = cost_op(graph.ops[0], graph.tensors, {name: float(value) for name, value in values.items()})
    indices = graph.ops[0].kind in ("gather", "scatter")  # theirs do not count sequences
    assert cost.matrix_flops == cost.vector_flops == cost.link_bytes == 0
    assert cost.write_bytes == cost.cache_bytes == 0
    assert cost.read_bytes == 0 or indices


@examples(40)
@given(graphs(most=4), graphs(most=4), chips(), runtimes, sizes)
def test_a_program_of_two_graphs_takes_both(
    one: Graph, other: Graph, chip: Hardware, runtime: str, values: dict[str, int]
) -> None:
    chip = replace(chip, l2_bytes=0.0) if chip.kind == "cpu" else chip  # caches keep what one op leaves to the next
    both = joined([(replace(own, ops=(op,)), op.repeat) for own in (one, other) for op in own.ops])
    scopes = [{group.scope for group in compile_graph(own, device_of(chip, runtime)).groups} for own in (one, other)]
    whole_scopes = {group.scope for group in compile_graph(both, device_of(chip, runtime)).groups}
    assume(scopes[0] | scopes[1] == whole_scopes)  # a network of a framework is timed by another form than a step
    a, b, whole = (timed(own, chip, runtime, values) for own in (one, other, both))
    for part in PARTS:
        assert getattr(whole, part)[0] == pytest.approx(getattr(a, part)[0] + getattr(b, part)[0], rel=ROUNDING)


@examples(40)
@given(graphs(most=4), chips(), runtimes, sizes, st.integers(2, 9))
def test_a_graph_repeated_takes_as_many_times_as_long(
    graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], count: int
) -> None:
    chip = replace(chip, l2_bytes=0.0) if chip.kind == "cpu" else chip
    more = replace(graph, ops=tuple(replace(op, repeat=op.repeat * count) for op in graph.ops))
    once, often = (timed(own, chip, runtime, values) for own in (graph, more))
    for part in (*PARTS, "seconds"):
        assert getattr(often, part)[0] == pytest.approx(count * getattr(once, part)[0], rel=ROUNDING)


@examples(20)
@given(OPS["view"], chips(), runtimes, sizes)
def test_views_alone_take_no_time(view: Graph, chip: Hardware, runtime: str, values: dict[str, int]) -> None:
    hosted = chip.kind == "cpu"  # where eager code takes its time to make one
    found = timed(view, chip, runtime, values)
    assert found.bound_seconds[0] == 0
    assert hosted or found.seconds[0] == 0
    assert np.isfinite(found.seconds[0])
