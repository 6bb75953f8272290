"""The Pareto front against the definition, pair by pair."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perfmodel.errors import InputError
from perfmodel.planning import pareto
from perfmodel.planning.pareto import pareto_front

few_values = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, float("inf"), -float("inf"), float("nan")])
shapes = st.tuples(st.integers(0, 40), st.integers(1, 4))
tables = shapes.flatmap(lambda shape: arrays(float, shape, elements=few_values))


def by_definition(values: Any, directions: list[str]) -> list[bool]:
    signs = [1.0 if each == "min" else -1.0 for each in directions]
    rows = [[sign * value for sign, value in zip(signs, row, strict=True)] for row in values.tolist()]

    def beats(a: list[float], b: list[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    whole = [row for row in rows if all(value == value for value in row)]
    return [row in whole and not any(beats(other, row) for other in whole) for row in rows]


@given(tables, st.lists(st.sampled_from(["min", "max"]), min_size=4, max_size=4))
def test_as_by_definition(values: Any, directions: list[str]) -> None:
    wanted = directions[: values.shape[1]]
    assert pareto_front(values, wanted).tolist() == by_definition(values, wanted)


@given(st.integers(2, 4), st.integers(0, 1000))
def test_blocks_and_samples_change_nothing(axes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 12, size=(300, axes)).astype(float)
    whole = pareto_front(values, ["min"] * axes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "_BLOCK", 7)
        patch.setattr(pareto, "_SAMPLE", 20)
        patch.setattr(pareto, "_CELLS", 50)
        assert pareto_front(values, ["min"] * axes).tolist() == whole.tolist()
    assert whole.tolist() == by_definition(values, ["min"] * axes)


def test_a_million_rows_take_seconds() -> None:
    values = np.random.default_rng(1).normal(size=(1_000_000, 3))
    begin = time.perf_counter()
    front = pareto_front(values, ["min", "max", "min"])
    assert time.perf_counter() - begin < 20  # pair by pair it would be hours
    best = values[front]
    assert best[:, 0].min() == values[:, 0].min()
    assert best[:, 1].max() == values[:, 1].max()


def test_refusals() -> None:
    with pytest.raises(InputError, match="rows of 2 values"):
        pareto_front(np.zeros((3, 1)), ["min", "max"])
    with pytest.raises(InputError, match="not 'least'"):
        pareto_front(np.zeros((3, 2)), ["min", "least"])  # type: ignore[list-item]
    assert pareto_front(np.zeros((0, 2)), ["min", "max"]).tolist() == []
