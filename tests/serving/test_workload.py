"""Arrivals and lengths: rates, spreads, seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.serving.workload import (
    ARRIVALS,
    Arrival,
    drawn_lengths,
    lognormal_lengths,
    make_workload,
    on_off_arrivals,
    resampled_lengths,
)

COUNT = 100_000


def arrivals(count: int = COUNT, seed: int = 0, **settings: object) -> np.ndarray:
    lengths = [np.ones(count, dtype=np.int32)] * 2
    return make_workload(Arrival(**settings), *lengths, seed=seed).arrival_seconds


@pytest.mark.parametrize(
    ("settings", "variance"),
    [
        ({"process": "constant"}, 0.0),
        ({"process": "poisson"}, 1.0),
        ({"process": "gamma", "burstiness": 1.0}, 1.0),
        ({"process": "gamma", "burstiness": 0.25}, 4.0),
        ({"process": "gamma", "burstiness": 4.0}, 0.25),
    ],
)
def test_gaps_have_the_rate_and_the_spread(settings: dict, variance: float) -> None:
    gaps = np.diff(arrivals(rate=8.0, **settings))
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.02)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(variance, rel=0.05, abs=1e-9)


def test_bursts_have_the_rate_on_the_mean_and_are_silent_between() -> None:
    times = on_off_arrivals(COUNT, 5.0, np.random.default_rng(0), on_seconds=2.0, off_seconds=6.0)
    assert COUNT / times[-1] == pytest.approx(5.0, rel=0.02)
    assert np.all(times % 8.0 <= 2.0 + 1e-9)


@given(st.sampled_from(sorted(ARRIVALS)), st.integers(1, 50), st.integers(0, 2**31), st.floats(0.01, 1e4))
def test_arrivals_ascend_from_zero_on(process: str, count: int, seed: int, rate: float) -> None:
    times = arrivals(count, seed, process=process, rate=rate)
    assert times[0] >= 0
    assert np.all(np.diff(times) >= 0)


def test_a_rate_only_stretches_time() -> None:
    for process in ("constant", "poisson", "gamma"):
        slow, fast = (arrivals(100, process=process, rate=rate) for rate in (1.0, 10.0))
        np.testing.assert_allclose(slow, 10 * fast)


def test_lognormal_lengths() -> None:
    lengths = lognormal_lengths(COUNT, 400, 0.8, np.random.default_rng(0))
    assert lengths.mean() == pytest.approx(400, rel=0.02)
    assert lengths.std() / lengths.mean() == pytest.approx(0.8, rel=0.03)
    assert lengths.min() >= 1
    assert np.all(lognormal_lengths(10, 400, 0, np.random.default_rng(0)) == 400)


def test_lengths_of_one_seed() -> None:
    first, again, other = (drawn_lengths(50, 100, 30, spread=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0] / 100, first[1] / 30)


def test_resampled_lengths_stay_in_pairs() -> None:
    prompts = np.arange(1, 11, dtype=np.int32)
    drawn = resampled_lengths(1000, prompts, prompts * 7, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[0] * 7, drawn[1])
    assert set(drawn[0].tolist()) == set(range(1, 11))


def test_closed_loops() -> None:
    lengths = [np.ones(5000, dtype=np.int32)] * 2
    loop = make_workload(Arrival(process="closed", users=7, think_seconds=2.0), *lengths)
    assert loop.users == 7
    assert loop.think_seconds.mean() == pytest.approx(2.0, rel=0.05)
    assert len(make_workload(Arrival(process="closed", users=7), *lengths).think_seconds) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"process": "poison"}, r"unknown arrivals 'poison' \(known: poisson, gamma, constant, on-off, closed\)"),
        ({"process": "poisson"}, "rate must be above 0, not 0"),
        ({"process": "gamma", "rate": -1.0, "burstiness": 0.0}, "rate must be above 0, not -1; burstiness must be"),
        ({"process": "closed", "rate": 1.0}, "needs users, at least 1; a closed loop has no rate"),
        ({"process": "on-off", "rate": 1.0, "off_seconds": -1.0}, "off_seconds must not be negative"),
    ],
)
def test_arrivals_that_make_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        arrivals(10, **settings)


def test_lengths_that_make_no_sense() -> None:
    with pytest.raises(InputError, match=r"not 0; input tokens must lie .* not 0; output tokens .*; a spread of -1"):
        drawn_lengths(0, 0, 1e12, spread=-1)
