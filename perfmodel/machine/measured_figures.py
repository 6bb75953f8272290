"""Figures of a profile after a measurement: a bound is never below what was measured.

- A peak is the larger one of itself and the measured rate times `MARGIN`. It is never lowered: how much of its peak a
  library reaches is what is fitted, and even a guessed clock bounds better than one library does.
- A memory bandwidth that is known is raised likewise; an assumed one is replaced, because reading memory reaches nearly
  all there is, and the assumption may be far off.

`MARGIN` is by how much the best of many runs may still miss what the machine can do. May import: errors, types,
hardware_profile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from perfmodel.errors import InputError
from perfmodel.hardware_profile import DTYPES, UNITS
from perfmodel.types import Figure

MARGIN = 1.05
DETECTED = "detected: operating system"
MEASURED = "measured on this machine"
ASSUMED = "assumed: not told by the system"


def make_figure(value: float, dimension: str, source: str, confidence: str, note: str = "") -> Figure:
    """A figure; rates keep six digits."""
    value = value if dimension in ("bytes", "count") else six_digits(value)
    return Figure(value=value, dimension=dimension, source=source, confidence=confidence, note=note)


def six_digits(value: float) -> float:
    """A derived figure is not known to more."""
    return float(f"{value:.6g}")


def with_measured(
    figures: Mapping[str, Figure], peaks: Mapping[str, float], bandwidth: float = 0.0, cache_bandwidth: float = 0.0
) -> dict[str, Figure]:
    """The figures, raised or replaced by what was measured.

    Args:
        peaks: dtype -> FLOP/s; one without a peak of its own, which is computed through another, is left out.
        bandwidth, cache_bandwidth: bytes/s of memory and of the last cache; 0 where they were not measured.

    Raises:
        InputError: what is no positive finite number, or no dtype; all of them at once.
    """
    _check_measured(peaks, (bandwidth, cache_bandwidth))
    found = dict(figures)
    for dtype, rate in peaks.items():
        own = {key: figure for key, figure in figures.items() if key in {f"peaks.{unit}.{dtype}" for unit in UNITS}}
        if own:
            key = max(own, key=lambda candidate: own[candidate].value)
            found[key] = _raised(own[key], rate)
    memory = found["memory.bandwidth"]
    if bandwidth and memory.source == ASSUMED:
        note = f"plus {MARGIN - 1:.0%}; replaces an assumed {gigabytes(memory.value)}"
        found["memory.bandwidth"] = make_figure(bandwidth * MARGIN, "bytes_per_second", MEASURED, "medium", note)
    elif bandwidth:
        found["memory.bandwidth"] = _raised(memory, bandwidth)
    if cache_bandwidth:
        key = "caches.llc_bandwidth" if "caches.llc" in found else "caches.l2_bandwidth"
        note = f"plus {MARGIN - 1:.0%}"
        found[key] = make_figure(cache_bandwidth * MARGIN, "bytes_per_second", MEASURED, "medium", note)
    return found


def _raised(figure: Figure, measured: float) -> Figure:
    """The figure, or what was measured with its margin where that is more: a bound is not below it."""
    if figure.value >= measured * MARGIN:
        return figure
    note = joined(figure.note, f"raised to what was measured plus {MARGIN - 1:.0%}")
    return replace(figure, value=six_digits(measured * MARGIN), source=MEASURED, confidence="medium", note=note)


def _check_measured(peaks: Mapping[str, float], speeds: tuple[float, float]) -> None:
    wrong = [f"'{dtype}' is no dtype of a peak ({', '.join(DTYPES)})" for dtype in peaks if dtype not in DTYPES]
    wrong += [
        f"the measured {dtype} rate must be above 0, not {rate!r}"
        for dtype, rate in peaks.items()
        if not (math.isfinite(rate) and rate > 0)
    ]
    wrong += [
        f"a measured bandwidth must be 0 or more, not {speed!r}"
        for speed in speeds
        if not (math.isfinite(speed) and speed >= 0)
    ]
    if wrong:
        raise InputError("; ".join(wrong) + ".")


def gigabytes(value: float) -> str:
    """Bytes per second in words."""
    return f"{value / 1e9:.4g} GB/s"


def joined(*parts: str) -> str:
    """The notes that are not empty, as one."""
    return "; ".join(part for part in parts if part)
