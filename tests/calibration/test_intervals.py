"""Conformal half-widths: they hold what they promise on rows and devices that were not used for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.intervals import SMALLEST, calibrated_widths, series_correlation, weighted_quantile
from perfmodel.calibration.scoring import KEYS, Scored


def scored(device: str, log_ratio: np.ndarray, regime: np.ndarray | None = None, kernel: str = "") -> Scored:
    count = len(log_ratio)
    return Scored(
        labels=dict.fromkeys(KEYS, "") | {"hardware": device, "kernel": kernel},
        measured=np.ones(count), predicted=np.exp(log_ratio), half_width=np.zeros(count), bound=np.zeros(count),
        regime=np.zeros(count, dtype=int) if regime is None else regime, rows=np.arange(1, count + 1),
    )  # fmt: skip


def test_device_level_holds_its_share_on_fresh_rows() -> None:
    random = np.random.default_rng(0)
    widths = calibrated_widths([scored("a", random.normal(0, 0.2, 4000))], "device")
    fresh = np.abs(random.normal(0, 0.2, 20000))
    for share in (0.5, 0.8, 0.9, 0.95):
        assert np.mean(fresh <= widths.at(share)[0]) == pytest.approx(share, abs=0.02)


def test_unseen_devices_are_covered_on_average() -> None:
    random = np.random.default_rng(1)

    def device(name: str) -> Scored:
        return scored(name, random.normal(random.normal(0, 0.1), 0.15, 400))

    covered = []
    for _ in range(60):
        widths = calibrated_widths([device(name) for name in "abc"], "datasheet")
        covered.append(np.mean(np.abs(device("new").log_ratio) <= widths.at(0.8)[0]))
    assert 0.78 <= np.mean(covered) <= 0.92


def test_regimes_have_their_own_width_where_there_are_rows_enough() -> None:
    random = np.random.default_rng(2)
    regime = np.repeat([0, 1, 2], [500, 500, 5])
    errors = random.normal(0, np.where(regime == 1, 0.4, 0.1))
    compute, memory, overhead = calibrated_widths([scored("a", errors, regime)], "device").at(0.8)
    assert memory > 3 * compute
    assert compute < overhead < memory  # too few rows: those of all regimes


def test_each_device_counts_the_same() -> None:
    large, small = scored("a", np.full(5000, 0.1)), scored("b", np.full(50, 0.5))
    assert calibrated_widths([large, small], "device").at(0.6)[0] > 0.4
    assert calibrated_widths([large], "device").at(0.6)[0] == pytest.approx(0.1)


def test_errors_that_a_series_has_in_common_are_correlated() -> None:
    random = np.random.default_rng(3)
    common = [scored("a", random.normal(0.5, 0.05, 300)), scored("b", random.normal(-0.5, 0.05, 300))]
    own = [scored("a", random.normal(0, 0.5, 300)), scored("b", random.normal(0, 0.5, 300))]
    assert series_correlation(common) > 0.9
    assert series_correlation(own) < 0.1


def test_no_interval_is_narrower_than_measurements_repeat() -> None:
    assert calibrated_widths([scored("a", np.zeros(100))], "device").at(0.5).min() == SMALLEST


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_weighted_quantile_holds_at_least_its_share(values: list[float], share: float) -> None:
    column = np.array(values)
    (quantile,) = weighted_quantile(column, np.ones(len(column)), [share])
    assert np.mean(column <= quantile) >= share - 1e-9
    assert quantile in column


@given(st.floats(0.05, 0.99), st.floats(0.05, 0.99))
def test_half_widths_grow_with_the_share(first: float, second: float) -> None:
    widths = calibrated_widths([scored("a", np.random.default_rng(4).normal(0, 0.3, 500))], "device")
    low, high = sorted((first, second))
    assert (widths.at(low) <= widths.at(high) + 1e-12).all()
