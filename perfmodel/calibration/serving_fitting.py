"""Engines fitted to server runs, ready to be shipped: coefficients, effects, half-widths, errors of what was left out.

May import: serving_splits, serving.engine_files, fitting and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from perfmodel.calibration.fitting import data_entries
from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.serving_features import run_latencies
from perfmodel.calibration.serving_fit import Unknowns, fit_runs, unknowns_of
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.serving_runs import ServingSet, closed_loops, gather_serving
from perfmodel.calibration.serving_splits import METRICS, LeftOut, folds_of, labels_of, predict_left_out
from perfmodel.catalog import Specs
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES
from perfmodel.serving.effects import Effects, effects_to_json, fit_effects
from perfmodel.serving.engine_files import EngineFile
from perfmodel.serving.step_table import Array

# level -> (what is left out, anchor runs of each deployment) that its intervals and errors come from
LEFT_OUT = {"family": ("model", 0), "device": ("deployment", 0), "anchored": ("model", 1)}
SHARE = 0.8  # of the intervals whose coverage is reported
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOutcome:
    """What server runs gave.

    Args:
        file: as it is written. rows: measured runs in the files. used: of them, in the fit. unused: reason -> runs.
        unknowns: what was fitted. pulls: by how many standard deviations of its prior each of them moved.
    """

    file: EngineFile
    rows: int
    used: int
    unused: Mapping[str, int]
    unknowns: Unknowns
    pulls: Array


def fit_server_files(
    imported: Imported, *, about: str = "", specs: Specs = None, progress: Progress | None = None
) -> ServingOutcome:
    """Fit the engines of the closed loops in measured files.

    Args:
        about: where the runs come from, in words.

    Raises:
        InputError: the files hold ops or models too; no run can be used.
    """
    if imported.ops or imported.measurements:
        raise InputError(
            "these files hold runs of servers and also measured ops or models, whose coefficients are kept apart: "
            "fit them one after the other"
        )
    loops = closed_loops(imported.serving)
    source = about or ", ".join(dict.fromkeys(own.source for own in loops))
    outcome = fit_serving(loops, source=source, specs=specs, progress=progress)
    unused = {**imported.skipped, **outcome.unused}
    if static := sum(map(len, imported.serving)) - sum(map(len, loops)):
        unused["static batches, which are no load tests"] = static
    file = replace(outcome.file, data=data_entries(imported))
    return replace(outcome, file=file, rows=imported.rows, unused=unused)


def fit_serving(
    groups: Sequence[ServingRows],
    *,
    source: str = "server runs",
    specs: Specs = None,
    progress: Progress | None = None,
) -> ServingOutcome:
    """Fit the engines of server runs.

    A level whose split leaves nothing to fit (one model, one deployment) has no errors and no half-widths of its own.

    Raises:
        InputError: no run can be used.
    """
    data, skipped = gather_serving(groups, specs=specs, progress=progress)
    if data is None:
        reasons = "; ".join(f"{why} ({rows})" for why, rows in skipped.items())
        raise InputError(f"no server run can be fitted: {reasons or 'the files hold no load test'}")
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    if progress:
        progress(f"{len(data)} server runs")
    z = fit_runs(data.runs, unknowns, data.tpot, data.ttft)
    widths, errors = _levels(data, unknowns, progress)
    families = {
        engine: sorted({f for f, e in zip(data.labels["family"], data.labels["engine"], strict=True) if e == engine})
        for engine in data.runs.engines
    }
    chips = sorted(set(data.labels["hardware"]))
    effects = {metric: effects_to_json(own) for metric, own in _effects(data, unknowns, z).items()}
    file = EngineFile(
        fitted=date.today().isoformat(),
        provenance=f"{len(data)} runs of {len(data.groups)} deployments of {', '.join(sorted(data.runs.engines))} on "
        f"{', '.join(chips)} ({source})",
        shared=_named(unknowns, z, None),
        engines={name: _named(unknowns, z, place) for place, name in enumerate(data.runs.engines)},
        errors=errors,
        widths=widths,
        effects={"closed_loop": {"families": families, "chips": chips, "metrics": effects}},
    )
    return ServingOutcome(
        file=file, rows=sum(map(len, groups)), used=len(data), unused=skipped, unknowns=unknowns, pulls=z
    )


def _effects(data: ServingSet, unknowns: Unknowns, z: Array) -> dict[str, Effects]:
    """What the fit leaves of each metric that was measured."""
    found = {}
    own = run_latencies(data.runs, unknowns.coefficients(z, data.runs.engine))
    for metric, measured, seconds in zip(METRICS, (data.tpot, data.ttft), own, strict=True):
        off = np.log(measured / seconds)
        usable = np.isfinite(off)
        if usable.any():
            found[metric] = fit_effects(labels_of(data, usable), data.slopes[usable], off[usable])
    return found


def _levels(
    data: ServingSet, unknowns: Unknowns, progress: Progress | None
) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, Any]]]:
    """(half-widths, errors) by level and metric."""
    measured = dict(zip(METRICS, (data.tpot, data.ttft), strict=True))
    start = run_latencies(data.runs, unknowns.coefficients(np.zeros(len(unknowns.names)), data.runs.engine))
    found = {"datasheet": LeftOut.fixed(dict(zip(METRICS, start, strict=True)))}
    for standing, (split, anchors) in LEFT_OUT.items():
        if len(folds_of(data, split)[1]) > 1:
            found[standing] = predict_left_out(data, split, anchors=anchors, level=SHARE, progress=progress)
    widths: dict[str, dict[str, list[float]]] = {}
    errors: dict[str, dict[str, Any]] = {}
    for standing, left in found.items():
        for metric in METRICS:
            scored = np.isfinite(measured[metric]) & ~left.anchor
            if scored.any():
                off = np.log(measured[metric] / left.predicted[metric])[scored]
                widths.setdefault(standing, {})[metric] = [float(np.quantile(np.abs(off), share)) for share in SHARES]
                errors.setdefault(standing, {})[metric] = _errors(off, left.half_width[metric][scored])
    return widths, errors


def _errors(off: Array, half_width: Array) -> dict[str, Any]:
    """Of log measured − log predicted; coverage where the rows' intervals come from others than themselves."""
    errors = np.abs(np.expm1(-off))
    found = {
        "rows": len(errors),
        "median": float(np.median(errors)),
        "mape": float(errors.mean()),
        "p90": float(np.quantile(errors, 0.9)),
    }
    known = np.isfinite(half_width)
    return found | ({"coverage": float(np.mean(np.abs(off) <= half_width))} if known.all() else {})


def _named(unknowns: Unknowns, z: Array, engine: int | None) -> dict[str, float]:
    values = unknowns.values(z)
    if engine is None:
        return {name: float(values[place]) for name, place in unknowns.shared.items()}
    return {name: float(values[places[engine]]) for name, places in unknowns.own.items()}
