"""A server's mean latencies with their intervals, from the half-widths of what its prediction stands on.

May import: standing and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.serving.standing import Knowledge
from perfmodel.serving.step_table import Array

Ends: TypeAlias = tuple[Array, Array, Array]  # seconds, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds with their interval; infinite where there is no steady state."""

    seconds: float
    low: float
    high: float


def half_widths(known: Knowledge, standing: str, level: float) -> dict[str, float]:
    """Half-widths of TTFT's and TPOT's intervals in log time."""
    return {metric: known.half_width(standing, metric, level) for metric in ("ttft", "tpot")}


def with_intervals(
    found: Mapping[str, Array], floors: Mapping[str, Array], widths: Mapping[str, float], output_tokens: Any
) -> dict[str, Ends]:
    """(seconds, low, high) of ttft, tpot and the whole answer, e2e.

    Args:
        found: ttft and tpot, (n,) each. floors: their physical bounds. widths: in log time. output_tokens: number or
            (n,).
    """
    ends = {
        metric: (own, np.maximum(own / np.exp(widths[metric]), floors[metric]), own * np.exp(widths[metric]))
        for metric, own in found.items()
    }
    (ttft, ttft_low, ttft_high), (tpot, tpot_low, tpot_high) = ends["ttft"], ends["tpot"]
    later = np.maximum(np.asarray(output_tokens, dtype=float) - 1, 0.0)
    # an answer of one token has no TPOT, not even an infinite one
    with np.errstate(invalid="ignore"):  # infinite where there is no steady state
        e2e = ttft + np.where(later > 0, later * tpot, 0.0)
        # their errors are nearly independent: the shares of the sum in quadrature
        low = e2e - np.hypot(ttft - ttft_low, later * (tpot - tpot_low))
        high = e2e + np.hypot(ttft_high - ttft, later * (tpot_high - tpot))
    endless = ~np.isfinite(e2e)
    return ends | {"e2e": (e2e, np.where(endless, e2e, low), np.where(endless, e2e, high))}


def latencies_at(ends: Mapping[str, Ends], place: int = 0) -> dict[str, Latency]:
    """The latencies of one load of those that `with_intervals` was given."""
    return {
        metric: Latency(seconds=float(seconds[place]), low=float(low[place]), high=float(high[place]))
        for metric, (seconds, low, high) in ends.items()
    }
