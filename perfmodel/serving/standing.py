"""What is known of an engine from measured servers: effects, half-widths of intervals, and the level they stand on.

    datasheet   kernels and priors alone: the engine was not fitted
    family      the engine was fitted, but not with this model's architecture, or not on this chip
    device      the engine was fitted with this architecture, and on this chip
    anchored    runs of this very deployment were given

Half-widths are conformal: quantiles of |log measured − log predicted| of runs that were left out in the same way. May
import: engine_files, effects, fitted_scopes, identity_cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perfmodel.catalog import Specs
from perfmodel.fitted_scopes import SHARES, half_normal_quantile
from perfmodel.identity_cache import identity_cache
from perfmodel.serving.effects import Effects, effects_from_json
from perfmodel.serving.engine_files import EngineFile, load_engine_files

STANDINGS = ("datasheet", "family", "device", "anchored")
# where no file has any: from servers predicted by tables and priors alone (docs/serving.md), at `SHARES`
PRIOR_WIDTHS: Mapping[str, tuple[float, ...]] = {
    "tpot": (0.12, 0.16, 0.20, 0.25, 0.34, 0.44),
    "ttft": (0.38, 0.52, 0.67, 0.92, 1.26, 1.59),
}


# variances of effects where no server of an engine was fitted: those of vLLM, SGLang and TensorRT-LLM, rounded
_USUAL_VARIANCES: Mapping[str, tuple[float, Mapping[str, float]]] = {
    "tpot": (0.004, {"model": 0.001, "model on hardware": 0.004, "model in engine": 0.006, "cell": 0.005,
                     "layout": 0.006}),
    "ttft": (0.033, {"model": 0.03, "model on hardware": 0.03, "model in engine": 0.03, "cell": 0.035,
                     "layout": 0.012}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Of one engine.

    Args:
        families: architectures it was fitted with. chips: those that any engine was. effects: by metric (tpot, ttft).
        widths: standing -> metric -> half-widths at `SHARES`.
    """

    families: frozenset[str] = frozenset()
    chips: frozenset[str] = frozenset()
    fitted: bool = False
    effects: Mapping[str, Effects] = field(default_factory=dict)
    widths: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    def level(self, family: str, hardware: str) -> str:
        """What a prediction for an architecture on a chip stands on."""
        if not self.fitted:
            return "datasheet"
        return "device" if family in self.families and hardware in self.chips else "family"

    def effects_of(self, metric: str) -> Effects:
        """What was fitted for a metric; else effects that are usual, none of which is known."""
        noise, variances = _USUAL_VARIANCES[metric]
        return self.effects.get(metric) or Effects(variances=variances, noise=noise)

    def half_width(self, standing: str, metric: str, share: float) -> float:
        """Half-width in log time for a share of unseen cases; Gaussian between and beyond the shares kept.

        >>> round(Knowledge().half_width("datasheet", "tpot", 0.8), 3)
        0.25
        """
        kept = self.widths.get(standing, {}).get(metric) or PRIOR_WIDTHS[metric]
        known = [half_normal_quantile(own) for own in SHARES]
        z = half_normal_quantile(share)
        inside = float(np.clip(z, known[0], known[-1]))
        return float(np.interp(inside, known, kept)) * z / inside


def anchored_knowledge(known: Knowledge, standing: str, metrics: Collection[str]) -> Knowledge:
    """What is known with anchors: the half-widths of its level "anchored" are the level's own for metrics that no
    anchor measured, and for the others the narrower ones of that level and of anchored deployments."""
    widths = {}
    for metric in PRIOR_WIDTHS:
        levels = ("anchored", standing) if metric in metrics else (standing,)
        widths[metric] = [min(known.half_width(own, metric, share) for own in levels) for share in SHARES]
    return replace(known, widths={**known.widths, "anchored": widths})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanWidths:
    """Intervals of mean latencies.

    Args:
        standing: the level they stand on. share: of unseen cases that they should hold. widths: half-widths in log time
            by metric (ttft, tpot).
    """

    standing: str
    share: float
    widths: Mapping[str, float]

    def interval(self, metric: str, seconds: float) -> tuple[float, float]:
        """(low, high) around a mean.

        >>> own = MeanWidths(standing="family", share=0.8, widths={"tpot": 0.0953102})
        >>> [round(end, 4) for end in own.interval("tpot", 0.022)]
        [0.02, 0.0242]
        """
        factor = float(np.exp(self.widths[metric]))
        return seconds / factor, seconds * factor


def simulated_widths(engine: str, *, share: float = 0.8, specs: Specs = None) -> MeanWidths:
    """Intervals of a simulation's means.

    A simulation has the engine's coefficients, and none of the effects of like deployments that take a prediction to
    its device level: where the engine was fitted at all, its errors are those of the family level.

    Raises:
        SpecError: a file with mistakes.
    """
    known = knowledge_of(engine, specs=specs)
    standing = "family" if known.fitted else "datasheet"
    widths = {metric: known.half_width(standing, metric, share) for metric in ("ttft", "tpot")}
    return MeanWidths(standing=standing, share=share, widths=widths)


def knowledge_of(engine: str, *, specs: Specs = None) -> Knowledge:
    """What the files at hand say of an engine.

    Raises:
        SpecError: a file with mistakes.
    """
    found = Knowledge()
    for file in load_engine_files(specs=specs).values():
        if engine in file.engines and "closed_loop" in file.effects:
            found = _read(file, engine)
    return found


@identity_cache(64)
def _read(file: EngineFile, engine: str) -> Knowledge:
    data: Mapping[str, Any] = file.effects["closed_loop"]
    return Knowledge(
        families=frozenset(data.get("families", {}).get(engine, ())),
        chips=frozenset(data.get("chips", ())),
        fitted=True,
        effects={metric: effects_from_json(own) for metric, own in data.get("metrics", {}).items()},
        widths=file.widths,
    )
