"""Engines fitted to static batches, ready to be shipped: coefficients, half-widths, errors of what was left out.

May import: static_batch_scores, serving.engine_files and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.static_batch_fit import fit_static, left_out
from perfmodel.calibration.static_batch_rows import METRICS, StaticSet, gather_static, predict_static, take_static
from perfmodel.calibration.static_batch_scores import EVERY, LEAST_ROWS, half_widths
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES
from perfmodel.serving.engine_files import EngineFile
from perfmodel.serving.step_table import Array

LEFT_OUT = ("hardware", "model")


def fit_static_batches(
    groups: Sequence[ServingRows],
    *,
    source: str = "static batches",
    specs: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> EngineFile:
    """Fit the engines of static batches.

    Raises:
        InputError: no row can be used.
    """
    data, skipped = gather_static(groups, specs=specs, progress=progress)
    if data is None:
        reasons = "; ".join(f"{why} ({rows})" for why, rows in skipped.items())
        raise InputError(f"no static batch can be fitted: {reasons or 'the files hold none'}")
    fits = list(dict.fromkeys(map(str, data.labels["fit"])))
    left = {split: left_out(data, split, progress) for split in LEFT_OUT}
    engines, inside = {}, np.full(len(data), np.nan)
    for fit in fits:
        rows = np.flatnonzero(data.labels["fit"] == fit)
        c = fit_static(take_static(data, rows)).coefficients
        engines[fit] = {name: float(value) for name, value in c.values.items()}
        if not any(np.isfinite(predicted[rows]).any() for predicted, _ in left.values()):
            inside[rows] = predict_static(take_static(data, rows), c)  # nothing else tells how far it strays
    return EngineFile(
        fitted=date.today().isoformat(),
        provenance=f"{len(data)} figures of {len(data.groups)} deployments ({source})",
        engines=engines,
        errors={split: errors_by(data, predicted, fits) for split, (predicted, _) in left.items()},
        widths=widths_by(data, list(left.values()), fits) | widths_by(data, [(inside, data.labels["fit"])], fits, 1),
    )


def errors_by(data: StaticSet, predicted: Array, fits: Sequence[str]) -> dict[str, Any]:
    """Errors of left-out rows: engine -> figure -> rows, median, mean and ninth decile."""
    off = np.abs(predicted / data.measured - 1)
    found: dict[str, Any] = {}
    for fit in fits:
        for figure, metric in enumerate(METRICS):
            own = off[(data.labels["fit"] == fit) & (data.figure == figure) & np.isfinite(off)]
            if len(own):
                found.setdefault(fit, {})[metric] = {
                    "rows": len(own),
                    "median": float(np.median(own)),
                    "mape": float(own.mean()),
                    "p90": float(np.quantile(own, 0.9)),
                }
    return found


def widths_by(
    data: StaticSet, left: Sequence[tuple[Array, Any]], fits: Sequence[str], least: int = LEAST_ROWS
) -> dict[str, Any]:
    """Half-widths at `SHARES` from left-out rows: engine -> figure, and `EVERY` engine together.

    Args:
        left: predictions, and what was left out with each. least: rows from which an engine has a width of its own.
    """
    off = np.concatenate([np.abs(np.log(predicted / data.measured)) for predicted, _ in left])
    fold = np.concatenate([own for _, own in left])
    fit, figures = np.tile(data.labels["fit"], len(left)), np.tile(data.figure, len(left))
    found: dict[str, Any] = {}
    for name in (*fits, EVERY) if least > 1 else fits:
        for figure, metric in enumerate(METRICS):
            rows = (figures == figure) & ((fit == name) | (name == EVERY)) & np.isfinite(off)
            if rows.sum() >= least:
                kept = half_widths(off[rows], fit[rows], fold[rows], SHARES)
                found.setdefault(name, {})[metric] = [float(width) for width in kept]
    return found
