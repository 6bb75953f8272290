"""Engines fitted to server runs, ready to be shipped: coefficients, effects, half-widths, errors of what was left out.

May import: serving_splits, serving.engine_files and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from perfmodel.calibration.serving_features import run_latencies
from perfmodel.calibration.serving_fit import Unknowns, fit_runs, unknowns_of
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.serving_runs import gather_serving
from perfmodel.calibration.serving_splits import METRICS, LeftOut, labels_of, predict_left_out
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES
from perfmodel.serving.effects import effects_to_json, fit_effects
from perfmodel.serving.engine_files import EngineFile
from perfmodel.serving.step_table import Array

# level -> (what is left out, anchor runs of each deployment) that its intervals and errors come from
LEFT_OUT = {"family": ("model", 0), "device": ("deployment", 0), "anchored": ("model", 1)}


def fit_serving(
    groups: Sequence[ServingRows],
    *,
    source: str = "server runs",
    specs: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> EngineFile:
    """Fit the engines of server runs.

    Raises:
        InputError: no run can be used, or of one model only.
    """
    data, skipped = gather_serving(groups, specs=specs, progress=progress)
    if data is None:
        raise InputError(
            "no server run can be fitted: " + "; ".join(f"{why} ({rows})" for why, rows in skipped.items())
        )
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    if progress:
        progress(f"{len(data)} server runs")
    z = fit_runs(data.runs, unknowns, data.tpot, data.ttft)
    start = run_latencies(data.runs, unknowns.coefficients(np.zeros(len(z)), data.runs.engine))
    own = run_latencies(data.runs, unknowns.coefficients(z, data.runs.engine))
    measured = dict(zip(METRICS, (data.tpot, data.ttft), strict=True))
    effects = {}
    for metric, seconds in zip(METRICS, own, strict=True):
        off = np.log(measured[metric] / seconds)
        usable = np.isfinite(off)
        found = fit_effects(labels_of(data, usable), data.slopes[usable], off[usable])
        effects[metric] = effects_to_json(found)
    widths = {"datasheet": {m: _quantiles(np.log(measured[m] / s)) for m, s in zip(METRICS, start, strict=True)}}
    errors = {"datasheet": {m: _errors(measured[m], s) for m, s in zip(METRICS, start, strict=True)}}
    for standing, (split, anchors) in LEFT_OUT.items():
        left = predict_left_out(data, split, anchors=anchors, progress=progress)
        widths[standing] = {m: _quantiles(_off(left, measured[m], m)) for m in METRICS}
        errors[standing] = {m: _errors(np.where(left.anchor, np.nan, measured[m]), left.predicted[m]) for m in METRICS}
    families = {
        engine: sorted({f for f, e in zip(data.labels["family"], data.labels["engine"], strict=True) if e == engine})
        for engine in data.runs.engines
    }
    chips = sorted(set(data.labels["hardware"]))
    return EngineFile(
        fitted=date.today().isoformat(),
        provenance=f"{len(data)} runs of {len(data.groups)} deployments ({source})",
        shared=_named(unknowns, z, None),
        engines={name: _named(unknowns, z, place) for place, name in enumerate(data.runs.engines)},
        errors=errors,
        widths=widths,
        effects={"closed_loop": {"families": families, "chips": chips, "metrics": effects}},
    )


def _named(unknowns: Unknowns, z: Array, engine: int | None) -> dict[str, float]:
    values = unknowns.values(z)
    if engine is None:
        return {name: float(values[place]) for name, place in unknowns.shared.items()}
    return {name: float(values[places[engine]]) for name, places in unknowns.own.items()}


def _off(left: LeftOut, measured: Array, metric: str) -> Array:
    return np.log(np.where(left.anchor, np.nan, measured) / left.predicted[metric])


def _quantiles(off: Array) -> list[float]:
    usable = np.abs(off[np.isfinite(off)])
    return [float(np.quantile(usable, share)) for share in SHARES]


def _errors(measured: Array, predicted: Array) -> dict[str, Any]:
    off = np.abs(predicted / measured - 1)
    usable = off[np.isfinite(off)]
    return {
        "rows": len(usable),
        "median": float(np.median(usable)),
        "mape": float(usable.mean()),
        "p90": float(np.quantile(usable, 0.9)),
    }
