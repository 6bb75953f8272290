"""Half-widths of intervals from residuals: conformal quantiles by regime, each device counting the same.

    q(share) = weighted quantile of |log(predicted/measured)| · (1 + INFLATION/devices)

Rows of one device are no independent cases: what is new with a new device is the device. The quantile over rows of n
devices is therefore too small for the next one. INFLATION was chosen on devices left out: with 0.5, 0.75 and 1.0 it
left 16, 13 and 11 % of the pairs of scope and device covered below 0.75, and 27, 35 and 40 % above 0.92
(docs/accuracy.md tells by scope and device). Split conformal prediction: Vovk et al. 2005.

May import: scoring, fitted_scopes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perfmodel.calibration.measurements import Array
from perfmodel.calibration.scoring import Scored
from perfmodel.fitted_scopes import REGIMES, SHARES, Widths

INFLATION = 0.75
LEAST_ROWS = 50  # of a regime; with fewer, all rows of the scope speak for it
SMALLEST = 0.01  # no interval is narrower than measurements repeat


def weighted_quantile(values: Array, weights: Array, shares: Sequence[float]) -> Array:
    """Smallest values that hold the given shares of the weight.

    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), [0.25, 0.75, 1.0]).tolist()
    [1.0, 2.0, 3.0]
    """
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(reached, np.asarray(shares) - 1e-12)
    return np.asarray(values[order][np.minimum(places, len(values) - 1)])


def calibrated_widths(sets: Sequence[Scored], level: str) -> Widths:
    """Half-widths for predictions of a level.

    Args:
        sets: rows that stood on that level (at least one row).
    """
    errors = np.abs(np.concatenate([own.log_ratio for own in sets]))
    regime = np.concatenate([own.regime for own in sets])
    weights = _device_weights(sets)
    devices = len({own.labels["hardware"] for own in sets})
    factor = 1.0 if level == "device" else 1 + INFLATION / devices
    rows = []
    for place in range(len(REGIMES)):
        chosen = regime == place
        if chosen.sum() < LEAST_ROWS:
            chosen = np.ones(len(errors), dtype=bool)
        rows.append(weighted_quantile(errors[chosen], weights[chosen], SHARES) * factor)
    return Widths(level, np.maximum(np.array(rows), SMALLEST), series_correlation(sets))


def model_scale(sets: Sequence[Scored], share: float) -> float:
    """Factor on the composed half-widths of whole models: the quantile of |log(predicted/measured)| over half-width.

    Args:
        sets: models predicted without their device, with the half-widths of their ops composed at `share`.
    """
    ratios = np.concatenate([np.abs(own.log_ratio) / own.half_width for own in sets])
    devices = len({own.labels["hardware"] for own in sets})
    return float(weighted_quantile(ratios, _device_weights(sets), [share])[0]) * (1 + INFLATION / devices)


def series_correlation(sets: Sequence[Scored]) -> float:
    """Share of the mean square error that rows of one kernel on one device have in common.

    E[m²] / E[e²] with e the error of a row and m the mean error of its series.
    """
    weights = _device_weights(sets)
    errors = np.concatenate([own.log_ratio for own in sets])
    series: dict[tuple[str, str, str], list[Array]] = {}
    for own in sets:
        series.setdefault(own.series, []).append(own.log_ratio)
    means = {key: float(np.concatenate(parts).mean()) for key, parts in series.items()}
    common = np.concatenate([np.full(len(own), means[own.series]) for own in sets])
    return float(np.clip((weights @ common**2) / max(weights @ errors**2, 1e-12), 0.05, 1.0))


def _device_weights(sets: Sequence[Scored]) -> Array:
    """A weight per row, so that each device counts the same; they add up to 1."""
    counts: dict[str, int] = {}
    for own in sets:
        counts[own.labels["hardware"]] = counts.get(own.labels["hardware"], 0) + len(own)
    weights = [np.full(len(own), 1 / counts[own.labels["hardware"]] / len(counts)) for own in sets]
    return np.concatenate(weights)
