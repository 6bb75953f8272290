"""The rows a validation missed by most, each with the likeliest reason.

May import: scoring, fitted_scopes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.calibration.measurements import Array
from perfmodel.calibration.scoring import Scored
from perfmodel.fitted_scopes import REGIMES

SERIES_SHARE = 0.5  # of a row's error, above which its whole kernel is to blame
FAR_FROM_BOUND = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    """A row with its error and reason.

    Args:
        ratio: predicted over measured. sizes: of the op, by name.
    """

    labels: Mapping[str, str]
    row: int
    measured: float
    predicted: float
    sizes: Mapping[str, float]
    reason: str

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured


def worst_rows(sets: Sequence[Scored], count: int) -> tuple[WorstRow, ...]:
    """The rows with the largest |log(predicted/measured)|, at most one of each kernel on each device."""
    bias = _series_bias(sets)
    candidates = []
    for own in sets:
        errors = np.abs(own.log_ratio)
        place = int(errors.argmax())
        candidates.append((float(errors[place]), own, place))
    chosen: dict[tuple[str, ...], WorstRow] = {}
    for _, own, place in sorted(candidates, key=lambda candidate: -candidate[0]):
        key = (*own.series, own.labels["scope"], own.labels["model"])
        if key not in chosen and len(chosen) < count:
            chosen[key] = WorstRow(
                labels=own.labels,
                row=int(own.rows[place]),
                measured=float(own.measured[place]),
                predicted=float(own.predicted[place]),
                sizes={name: float(values[place]) for name, values in own.sizes.items()},
                reason=_reason(own, place, bias),
            )
    return tuple(chosen.values())


def _series_bias(sets: Sequence[Scored]) -> dict[tuple[str, ...], tuple[float, int]]:
    """(median log ratio, rows) of each kernel on each device."""
    ratios: dict[tuple[str, ...], list[Array]] = {}
    for own in sets:
        ratios.setdefault((*own.series, own.labels["scope"]), []).append(own.log_ratio)
    return {key: (float(np.median(np.concatenate(parts))), sum(map(len, parts))) for key, parts in ratios.items()}


def _series_name(own: Scored) -> str:
    return "the whole kernel" if own.metric == "latency" else "this server"


def _reason(own: Scored, place: int, bias: Mapping[tuple[str, ...], tuple[float, int]]) -> str:
    error, measured = float(own.log_ratio[place]), float(own.measured[place])
    bound, regime = float(own.bound[place]), REGIMES[int(own.regime[place])]
    middle, rows = bias[(*own.series, own.labels["scope"])]
    if measured < bound:
        return f"measured {bound / measured:.2g} times faster than its work allows: a size, a unit or a cache"
    if rows > 1 and abs(middle) > SERIES_SHARE * abs(error) and middle * error > 0:
        direction = "faster" if middle > 0 else "slower"
        return f"{_series_name(own)} runs {np.exp(abs(middle)):.2g} times {direction} than predicted ({rows} rows)"
    if error < 0 and bound * FAR_FROM_BOUND < measured:
        return f"measured at {bound / measured:.1%} of what its work allows, others like it do better ({regime}-bound)"
    if not own.kernel_known and own.labels["kernel"]:
        return f"no other device ran this kernel, so its coefficients are a mean over kernels ({regime}-bound)"
    return f"predicted {regime}-bound at this size"
