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
from perfmodel.calibration.static_batch_rows import METRICS, StaticSet, gather_static, take_static
from perfmodel.calibration.static_batch_scores import EVERY, LEAST_ROWS
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
    predicted = {split: left_out(data, split, progress)[0] for split in LEFT_OUT}
    engines = {}
    for fit in fits:
        own = fit_static(take_static(data, np.flatnonzero(data.labels["fit"] == fit)))
        engines[fit] = {name: float(value) for name, value in own.coefficients.values.items()}
    return EngineFile(
        fitted=date.today().isoformat(),
        provenance=f"{len(data)} figures of {len(data.groups)} deployments ({source})",
        engines=engines,
        errors={split: errors_by(data, own, fits) for split, own in predicted.items()},
        widths=widths_by(data, list(predicted.values()), fits),
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


def widths_by(data: StaticSet, predicted: Sequence[Array], fits: Sequence[str]) -> dict[str, Any]:
    """Half-widths at `SHARES` from left-out rows: engine -> figure, and `EVERY` engine together."""
    off = np.abs(np.log(np.stack(predicted) / data.measured))
    found: dict[str, Any] = {}
    for name in (EVERY, *fits):
        for figure, metric in enumerate(METRICS):
            rows = (data.figure == figure) & ((data.labels["fit"] == name) | (name == EVERY))
            own = off[:, rows][np.isfinite(off[:, rows])]
            if len(own) >= LEAST_ROWS:
                found.setdefault(name, {})[metric] = [float(np.quantile(own, share)) for share in SHARES]
    return found
