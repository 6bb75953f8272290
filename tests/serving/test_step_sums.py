"""Steps added up in closed form against steps one by one, read from the table itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.serving.step_sums import ALONE, CONTEXT_KNOTS, TOKEN_KNOTS, lay_out, run_seconds, steps_until
from perfmodel.serving.step_table import step_seconds
from serving.deployments import random_table

sizes = {"seed": st.integers(0, 1000), "batch": st.integers(1, 64), "context": st.floats(1, 9000)}
growths = st.sampled_from([1.0, 1.75, 2.5])


@given(**sizes, growth=growths, steps=st.integers(1, 300))
def test_a_run_is_the_sum_of_its_steps(seed: int, batch: int, context: float, growth: float, steps: int) -> None:
    table = random_table(seed)
    times = lay_out(table, max_sequences=64)
    single = step_seconds(table, sequences=batch, context=context + growth * np.arange(steps))
    assert run_seconds(times, ALONE + batch, context, growth, steps) == pytest.approx(single.sum(), rel=1e-9)


@given(**sizes, growth=growths, seconds=st.floats(0, 300))
def test_steps_until_a_time_has_passed(seed: int, batch: int, context: float, growth: float, seconds: float) -> None:
    table = random_table(seed)
    times = lay_out(table, max_sequences=64)
    ends = np.cumsum(step_seconds(table, sequences=batch, context=context + growth * np.arange(400)))
    expected = min(int(np.searchsorted(ends, seconds)) + 1, 400)
    found = steps_until(times, ALONE + batch, context, growth, 400, seconds)
    assert found == expected or abs(ends[min(found, expected) - 1] - seconds) < 1e-9


def test_steps_that_get_shorter() -> None:
    times = lay_out(random_table(0), max_sequences=1)
    times[CONTEXT_KNOTS] = np.arange(times.shape[1]) * 1000.0
    times[ALONE + 1] = np.linspace(5.0, 1.0, times.shape[1])
    ends = np.cumsum(np.interp(np.arange(1, 1000), times[CONTEXT_KNOTS], times[ALONE + 1]))
    for seconds in (0.0, 3.0, 700.0, float(ends[500])):
        assert steps_until(times, ALONE + 1, 1.0, 1.0, 999, seconds) == int(np.searchsorted(ends, seconds)) + 1


def test_rows_are_lengthened_along_their_last_piece() -> None:
    short, long = (lay_out(random_table(1), max_sequences=3, width=width) for width in (0, 20))
    assert (short.shape[1], long.shape[1]) == (max(8, short.shape[1]), 20)
    np.testing.assert_allclose(np.diff(long[TOKEN_KNOTS])[8:], np.diff(long[TOKEN_KNOTS])[-1])
    for context in (5.0, 3000.0, 9000.0):
        values = [run_seconds(times, ALONE + 2, context, 1.0, 50) for times in (short, long)]
        assert values[0] == pytest.approx(values[1], rel=1e-12)
