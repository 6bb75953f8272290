"""Static batches scored: with the coefficients at hand, or with each device, family, model or deployment left out.

An interval is the quantile of |log measured − log predicted| of rows that were left out: those of the same engine and
figure where there are `LEAST_ROWS`, else those of all engines, each of which counts the same. No row decides its own
width.

May import: static_batch_fit, intervals, scoring and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.calibration.intervals import INFLATION, weighted_quantile
from perfmodel.calibration.scoring import KEYS, Scored
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.static_batch_fit import SPLITS, left_out, prior_values
from perfmodel.calibration.static_batch_rows import (
    METRICS,
    TPOT,
    TTFT,
    StaticSet,
    gather_static,
    predict_static,
    take_static,
)
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import REGIMES, SHARES
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients, load_engine_files
from perfmodel.serving.step_table import Array
from perfmodel.serving.work import COMPUTE, MEMORY, NETWORK, OVERHEAD

PHASE = "static batch"
LEAST_ROWS = 20  # of an engine and a figure, for a width of their own
EVERY = "all"  # engines together, among widths
# where no file has any: half-widths at 80 % of what left-out engines strayed by (docs/serving-engines.md)
PRIOR_WIDTH = 0.4


def score_static(
    groups: Sequence[ServingRows],
    *,
    leave_out: str | None = None,
    level: float = 0.8,
    specs: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Scored], dict[str, int]]:
    """Predict the figures of static batches; and why some cannot be: reason -> rows.

    Args:
        groups: server runs of any kind; those that are no static batches are passed over.
        leave_out: one of `static_batch_fit.SPLITS`, or None to predict with the coefficients at hand.

    Raises:
        InputError: no such split.
    """
    if leave_out is not None and leave_out not in SPLITS:
        raise InputError(f"static batches can be left out by {', '.join(SPLITS)}, not by {leave_out!r}")
    data, skipped = gather_static(groups, specs=specs, progress=progress)
    if data is None:
        return [], skipped
    if leave_out is None:
        predicted, stands = shipped(data, specs)
        widths = shipped_widths(data, level, specs)
        return _scored(data, predicted, widths, stands), skipped
    predicted, fold = left_out(data, leave_out, progress)
    for fit in dict.fromkeys(data.labels["fit"]):
        alone = int(((data.labels["fit"] == fit) & np.isnan(predicted)).sum())
        if alone:
            reason = f"static batches of {fit}: of one {leave_out} only, so none can be left out"
            skipped[reason] = skipped.get(reason, 0) + alone
    widths = fold_widths(data, np.log(data.measured / predicted), fold, level)
    return _scored(data, predicted, widths, np.full(len(data), "left out")), skipped


def shipped(data: StaticSet, specs: str | None = None) -> tuple[Array, np.ndarray[Any, Any]]:
    """Figures with the coefficients of files, else priors; and the level that each stands on."""
    predicted = np.zeros(len(data))
    stands = np.full(len(data), "datasheet", dtype=object)
    for fit in dict.fromkeys(data.labels["fit"]):
        rows = np.flatnonzero(data.labels["fit"] == fit)
        c = load_engine_coefficients(fit, specs=specs)
        if c.level == "prior":
            c = EngineCoefficients(values=prior_values(fit))
        else:
            stands[rows] = "family"  # fitted on this engine, not on this very deployment
        predicted[rows] = predict_static(take_static(data, rows), c)
    return predicted, stands


def shipped_widths(data: StaticSet, level: float, specs: str | None = None) -> Array:
    """Half-widths from the files of coefficients."""
    known: dict[str, Any] = {}
    for file in load_engine_files(specs=specs).values():
        if EVERY in file.widths:
            known |= file.widths
    found = np.full(len(data), PRIOR_WIDTH)
    for row, (fit, figure) in enumerate(zip(data.labels["fit"], data.figure, strict=True)):
        metric = METRICS[figure]
        kept = known.get(fit, {}).get(metric) or known.get(EVERY, {}).get(metric)
        if kept:
            found[row] = np.interp(level, SHARES, kept)
    return found


def fold_widths(data: StaticSet, off: Array, fold: np.ndarray[Any, Any], level: float) -> Array:
    """Half-widths for the rows of each fold, from the left-out rows of the others."""
    errors = np.abs(off)
    found = np.full(len(data), PRIOR_WIDTH)
    for figure in range(len(METRICS)):
        scored = (data.figure == figure) & np.isfinite(errors)
        for name in dict.fromkeys(fold[scored]):
            test = (data.figure == figure) & (fold == name)
            others = scored & (fold != name)
            own = others & (data.labels["fit"] == data.labels["fit"][test][0])
            chosen = own if own.sum() >= LEAST_ROWS else others
            if chosen.any():
                found[test] = half_widths(errors[chosen], data.labels["fit"][chosen], fold[chosen], [level])[0]
    return found


def half_widths(errors: Array, fits: np.ndarray[Any, Any], folds: np.ndarray[Any, Any], shares: Sequence[float]) -> Any:
    """Quantiles of left-out errors in which each engine counts the same, widened as `intervals` does for few folds."""
    counts = {name: float((fits == name).sum()) for name in dict.fromkeys(fits)}
    weights = np.array([1 / counts[name] for name in fits])
    return weighted_quantile(errors, weights, shares) * (1 + INFLATION / len(set(folds)))


def _scored(data: StaticSet, predicted: Array, widths: Array, stands: np.ndarray[Any, Any]) -> list[Scored]:
    regime, bound = _regimes(data), _bounds(data)
    sets = []
    for place, own in enumerate(data.groups):
        for figure, metric in enumerate(METRICS):
            rows = np.flatnonzero((data.group == place) & (data.figure == figure) & np.isfinite(predicted))
            if len(rows):
                sets.append(
                    Scored(
                        labels=_labels(data, own, place, str(stands[rows[0]])),
                        measured=data.measured[rows],
                        predicted=predicted[rows],
                        half_width=widths[rows],
                        bound=bound[rows],
                        regime=regime[rows],
                        rows=own.rows[data.place[rows]],
                        metric=metric,
                        sizes=own.sizes_at(data.place[rows]),
                    )
                )
    return sets


def _labels(data: StaticSet, own: ServingRows, place: int, level: str) -> Mapping[str, str]:
    deployment = data.deployments[place]
    return dict.fromkeys(KEYS, "") | {
        "hardware": own.hardware, "family": deployment.hardware.family, "engine": own.engine, "version": own.version,
        "precision": own.precision, "runtime": deployment.engine.runtime, "model": own.subject, "phase": PHASE,
        "layout": str(own.layout), "level": level, "source": own.source, "file": own.file,
    }  # fmt: skip


def _bounds(data: StaticSet) -> Array:
    """The physical bound of a prompt's time, dealt out to all stages, and of a step; none of the other figures."""
    prefill = data.parts.prefill.bound * data.batch.chunks / np.asarray(data.batch.stages)
    chosen = [data.figure == TTFT, data.figure == TPOT]
    return np.select(chosen, [prefill, data.parts.decode.bound], 0.0)


def _regimes(data: StaticSet) -> np.ndarray[Any, Any]:
    """What most of a step is spent on, of prompts for a first token and else of decoding; an index into `REGIMES`."""
    parts = np.where(data.figure == TTFT, data.parts.prefill.parts, data.parts.decode.parts).sum(axis=0)
    found = {"compute": parts[COMPUTE], "memory": parts[MEMORY] + parts[NETWORK], "overhead": parts[OVERHEAD]}
    return np.asarray(np.array([found[name] for name in REGIMES]).argmax(axis=0))
