"""What a fit says of the kernels of one scope, and what it means for a chip: coefficients, level, interval.

    log c(chip, kernel) = log prior(chip) + pooled + δ_engine + δ_kernel + δ_family + δ_device + δ_series

`pooled` is a shift of the prior that each chip has by its kind and vendor; an effect δ is what an engine, one of its
kernels, an architecture family, a device or a series (a kernel on a device) adds. A chip stands on the effects that are
known of it. An interval is a conformal quantile of |log(predicted/measured)| among rows that stood on the same level.

May import: coefficients, identity_cache, likeness, types. `calibration.fit` makes these values, `coefficient_files`
reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np

from perfmodel.coefficients import Coefficient, Prior
from perfmodel.identity_cache import identity_cache
from perfmodel.likeness import STRANGER, Unlikeness, unlikeness
from perfmodel.types import Hardware

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Effect: TypeAlias = tuple[str, ...]
# τ: how far engines, kernels, families, devices and series stray from each other, in log
EFFECT_SD = {"engine": 0.1, "kernel": 0.25, "family": 0.15, "device": 0.1, "series": 0.2}
REGIMES = ("compute", "memory", "overhead")
LEVELS = ("datasheet", "family", "device")  # from the weakest to the strongest
DEVICES_LEFT_OUT = "devices_left_out"  # in a scope's errors, where these are of another split
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of unseen rows, at which half-widths are kept


def effects_of(hardware: Hardware, engine: str, kernel: str) -> tuple[Effect, ...]:
    """The effects that act on a kernel of an engine on a chip, from general to particular."""
    return (
        ("engine", engine),
        ("kernel", engine, kernel),
        ("family", hardware.family),
        ("device", hardware.id),
        ("series", hardware.id, engine, kernel),
    )


@dataclass(frozen=True, slots=True)
class Widths:
    """Half-widths of intervals in log time, of one scope at one level.

    Args:
        level: datasheet, family or device.
        by_regime: half-widths at `SHARES`, (regimes, shares). correlation: share of the variance that rows of one
            kernel on one device have in common.
        model_scale: what the half-width of a whole model, composed of those of its ops, is multiplied by, at `SHARES`:
            from measured models, 1 where there were none.
    """

    level: str
    by_regime: Array
    correlation: float
    model_scale: Array = field(default_factory=lambda: np.ones(len(SHARES)))

    @identity_cache(256)
    def scale(self, share: float) -> float:
        """The factor on the half-widths of whole models."""
        known = [half_normal_quantile(kept) for kept in SHARES]
        return float(np.interp(half_normal_quantile(share), known, self.model_scale))

    @identity_cache(256)
    def at(self, share: float) -> Array:
        """Half-widths of the regimes for a share of unseen cases; Gaussian between and beyond the shares kept.

        >>> widths = Widths("device", np.array([[0.1, 0.12, 0.15, 0.19, 0.25, 0.3]] * 3), 0.5)
        >>> widths.at(0.8).tolist(), bool(widths.at(0.85)[0] > 0.19)
        ([0.19, 0.19, 0.19], True)
        """
        z, known = half_normal_quantile(share), [half_normal_quantile(kept) for kept in SHARES]
        inside = np.clip(z, known[0], known[-1])
        found = np.array([np.interp(inside, known, row) for row in self.by_regime])
        return np.asarray(found * (z / inside))


@lru_cache(1024)
def half_normal_quantile(share: float) -> float:
    """Standard deviations on both sides of the mean that hold a share of a normal distribution.

    >>> round(half_normal_quantile(0.8), 4)
    1.2816
    """
    return NormalDist().inv_cdf(0.5 + share / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedScope:
    """What was fitted for the kernels of a scope; shifts are of logarithms.

    Args:
        runtime: of the measurements; launch times hold for it alone.
        names: of the coefficients. priors: their values at the fit, for the first chip. pooled, log_sd: the shift that
            all chips share, and the standard deviation it has left.
        effects: effect -> shift. vendors: (kind, vendor) of the chips measured; others stay at their priors.
        rows: how many were fitted. widths: half-widths by (level, "known" or "any" kernel).
        errors: of the rows when their device was left out, for reports. provenance: what it was fitted on.
        stays: coefficients of which the data say less than their priors; for the report of a fit.
    """

    scope: str
    runtime: str
    names: tuple[str, ...]
    priors: Array
    prior_sd: Array
    pooled: Array
    log_sd: Array
    effects: Mapping[Effect, Array]
    vendors: frozenset[tuple[str, str]]
    rows: int = 0
    widths: Mapping[tuple[str, str], Widths] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)
    provenance: str = ""
    stays: Array = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @property
    def pull(self) -> Array:
        """How far the data moved each coefficient, in standard deviations of its prior."""
        return self.pooled / self.prior_sd

    def covers(self, hardware: Hardware) -> bool:
        """Whether chips of its kind and vendor were measured."""
        return (hardware.kind, hardware.vendor) in self.vendors

    def level(self, hardware: Hardware) -> str:
        """What a prediction for the chip stands on."""
        if ("device", hardware.id) in self.effects:
            return "device"
        return "family" if ("family", hardware.family) in self.effects else "datasheet"

    def shift(self, hardware: Hardware, engine: str = "", kernel: str = "") -> Array:
        """What is added to the logarithms of a chip's priors.

        Args:
            engine, kernel: "" for a mean over what was measured on the chip.
        """
        found = self.pooled + sum(
            self.effects[effect] for effect in effects_of(hardware, engine, kernel) if effect in self.effects
        )
        own = [effect for effect in self.effects if effect[:2] == ("series", hardware.id)]
        if not engine and own:
            found = found + np.mean([self._of_kernel(effect) for effect in own], axis=0)
        return np.asarray(found)

    def _of_kernel(self, series: Effect) -> Array:
        engine, kernel = series[2:]
        return self.effects["engine", engine] + self.effects["kernel", engine, kernel] + self.effects[series]

    def coefficients(
        self, hardware: Hardware, runtime: str, priors: Mapping[str, Prior], engine: str = "", kernel: str = ""
    ) -> dict[str, Coefficient]:
        """Overrides for a chip, by "scope:name"; none if no chip of its kind and vendor was measured."""
        if not self.covers(hardware):
            return {}
        level = self.level(hardware)
        missing = {"device": (), "family": ("device",), "datasheet": ("family", "device")}[level]
        between = float(np.hypot.reduce([0.0, *(EFFECT_SD[kind] for kind in missing)]))
        found = {}
        for name, moved, spread in zip(self.names, self.shift(hardware, engine, kernel), self.log_sd, strict=True):
            if name not in priors or (runtime != self.runtime and name.endswith("launch_seconds")):
                continue  # what only a benchmark has is declared with the benchmarks; launches are of a runtime
            prior = priors[name].resolve(hardware, runtime)
            value, log_sd = prior.value * float(np.exp(moved)), float(np.hypot(spread, between))
            found[f"{self.scope}:{name}"] = Coefficient(f"{self.scope}:{name}", value, log_sd, level, self.provenance)
        return found

    def widths_for(self, hardware: Hardware, engine: str = "", kernel: str = "") -> Widths | None:
        """Half-widths for a chip; None where no interval was calibrated for what it stands on."""
        if not self.covers(hardware):
            return None
        known = "known" if engine and ("kernel", engine, kernel) in self.effects else "any"
        return self.widths.get((self.level(hardware), known))


def choose_scopes(
    found: Mapping[str, Sequence[FittedScope]],
    hardware: Hardware,
    find: Callable[[str], Hardware | None] = lambda _: None,
) -> dict[str, FittedScope]:
    """For each scope the fit that knows most of a chip.

    Of several that know as much, the one with the device that is most like the chip (`likeness`); of several that are
    as like it, the first.

    Args:
        find: id of a device that was fitted -> the chip, None if it is not known.
    """
    chosen = {}
    for name, fits in found.items():
        own = [fitted for fitted in fits if fitted.covers(hardware)]
        if own:
            most = max(LEVELS.index(fitted.level(hardware)) for fitted in own)
            best = [fitted for fitted in own if LEVELS.index(fitted.level(hardware)) == most]
            chosen[name] = best[0] if len(best) == 1 else min(best, key=lambda fitted: _unlike(fitted, hardware, find))
    return chosen


def _unlike(fitted: FittedScope, hardware: Hardware, find: Callable[[str], Hardware | None]) -> Unlikeness:
    """Of the device of a fit that is most like a chip."""
    devices = (find(effect[1]) for effect in fitted.effects if effect[0] == "device")
    return min((unlikeness(hardware, device) for device in devices if device), default=STRANGER)
