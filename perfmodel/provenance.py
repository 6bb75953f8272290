"""What a prediction stands on, told with it: level, interval, coefficients, data.

The level of a prediction is the weakest one among the kernels that take a noticeable share of its time.
May import: coefficients, fitted_scopes, kernels and below.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from perfmodel.fitted_scopes import DEVICES_LEFT_OUT, LEVELS, Array, FittedScope
from perfmodel.identity_cache import identity_cache
from perfmodel.kernels import Device
from perfmodel.types import Hardware

NOTICEABLE = 0.2  # share of a phase's time below which a scope does not decide the level


def standing(device: Device, fitted: Mapping[str, FittedScope], shares: Mapping[str, float]) -> dict[str, Any]:
    """Level, interval and coefficients of a prediction.

    Args:
        fitted: what was fitted for the chip, by scope. shares: largest share of a phase's time by scope.
    """
    hardware = device.hardware
    levels = {scope: _level(scope, fitted, hardware) for scope in shares}
    noticed = _noticed(shares)
    coverage = {scope: _coverage(fitted[scope], levels[scope]) if scope in device.widths else None for scope in noticed}
    widened = [scope for scope in noticed if scope in device.widths and coverage[scope] is None]
    figures = {
        key: hardware.figures[key].source for key in ("memory.bandwidth", "memory.capacity") if key in hardware.figures
    }
    return {
        "level": weakest_level(shares, fitted, hardware),
        "levels": levels,
        "interval": interval_sentence(coverage, levels, widened),
        "coverage": coverage,
        "widened": widened,
        "hardware": hardware.path or hardware.id,
        "hardware_sources": figures,
        "coefficients": dict(_coefficients(device, device.coefficients_used)),
    }


@identity_cache(512)
def _coefficients(device: Device, _used: int) -> dict[str, dict[str, Any]]:
    """The coefficients read so far, by name."""
    return {
        coefficient.name: {
            "value": coefficient.value,
            "log_sd": coefficient.log_sd,
            "level": coefficient.level,
            "provenance": coefficient.provenance,
        }
        for coefficient in device.used_coefficients
    }


def _coverage(fitted: FittedScope, level: str) -> float | None:
    """The share of left-out rows inside their 80 % intervals, of devices left out unless the chip itself was measured;
    None where one device was measured, so that nothing tells how far another is off."""
    left_out = fitted.errors if level == LEVELS[-1] else fitted.errors.get(DEVICES_LEFT_OUT, fitted.errors)
    return float(left_out["coverage"]) if "coverage" in left_out else None


def weakest_level(shares: Mapping[str, float], fitted: Mapping[str, FittedScope], hardware: Hardware) -> str:
    """The weakest level among the scopes that take a noticeable share of the time."""
    return min((_level(scope, fitted, hardware) for scope in _noticed(shares)), key=LEVELS.index, default=LEVELS[0])


def weakest_levels(
    shares: Mapping[str, Array], fitted: Mapping[str, FittedScope], hardware: Hardware
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """`weakest_level` of each configuration, as a place in `LEVELS`; shares are (configurations,)."""
    ranks = np.array([LEVELS.index(_level(scope, fitted, hardware)) for scope in shares])
    noticed = np.stack([own >= NOTICEABLE for own in shares.values()])
    noticed |= ~noticed.any(axis=0)
    return np.asarray(np.where(noticed, ranks[:, None], len(LEVELS)).min(axis=0))


def _noticed(shares: Mapping[str, float]) -> list[str]:
    return [scope for scope, share in shares.items() if share >= NOTICEABLE] or list(shares)


def _level(scope: str, fitted: Mapping[str, FittedScope], hardware: Hardware) -> str:
    return fitted[scope].level(hardware) if scope in fitted else LEVELS[0]


def interval_sentence(
    coverage: Mapping[str, float | None], levels: Mapping[str, str], widened: Collection[str] = ()
) -> str:
    """Where intervals come from.

    Args:
        coverage: by scope the share of rows of devices left out that lay in their 80 % interval, whatever share is
            asked for; None where only the spread of the priors gives one. levels: by scope.
        widened: scopes of which one device was measured, whose errors a spread between devices widens for others.

    >>> levels = {"gemm.bf16": "device", "streaming": "family", "gemm.bf16.w4": "datasheet"}
    >>> interval_sentence({"gemm.bf16": 0.86, "streaming": 0.82, "gemm.bf16.w4": None}, levels)
    'errors on the chip itself (gemm.bf16), errors on devices left out (streaming: 80 % ones held 82 %), priors, \
unchecked (gemm.bf16.w4)'
    """
    known = {scope: held for scope, held in coverage.items() if held is not None}
    own = sorted(scope for scope in known if levels[scope] == LEVELS[-1])
    unseen = sorted(known.keys() - set(own))
    guessed = sorted(coverage.keys() - known.keys() - set(widened))
    if not known and not widened:
        return "spread of the priors; not yet checked against measurements"
    parts = [f"errors on the chip itself ({', '.join(own)})"] if own else []
    if unseen:
        held = _range([known[scope] for scope in unseen])
        parts.append(f"errors on devices left out ({', '.join(unseen)}: 80 % ones held {held})")
    if widened:
        parts.append(f"errors on another chip and a guessed spread between chips, unchecked ({', '.join(widened)})")
    if guessed:
        parts.append(f"priors, unchecked ({', '.join(guessed)})")
    return ", ".join(parts)


def _range(shares: list[float]) -> str:
    low, high = round(100 * min(shares)), round(100 * max(shares))
    return f"{low} %" if low == high else f"{low}–{high} %"
