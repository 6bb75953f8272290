"""Predictions of server runs that nothing was fitted on: deployments, a model, a system or a chip family left out.

    without one ──fit_runs──▶ coefficients ──fit_effects──▶ effects ──▶ predictions of the one, with or without anchors

An interval is the quantile of |log measured − log predicted| over the rows of the other folds, each predicted when it
was left out itself: no row decides its own width. May import: serving_runs, serving_fit, serving_effects and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.calibration.serving_features import take_runs
from perfmodel.calibration.serving_fit import Unknowns, fit_runs, predict_rows, unknowns_of
from perfmodel.calibration.serving_runs import ServingSet
from perfmodel.errors import InputError
from perfmodel.serving.effects import ANCHORED_LEVELS, CELL, Effects, anchored, expected_where, fit_effects
from perfmodel.serving.step_table import Array

Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
# what can be left out -> the labels that make one of them, and into how many folds many of them are dealt
SPLITS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "deployment": ((*CELL, "layout"), 10),
    "model": (("family",), 0),
    "hardware": (("hardware",), 0),
    "family": (("chip_family",), 0),
}
METRICS = ("tpot", "ttft")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Predictions in seconds by metric, and what they stand on.

    Args:
        fold: of each row. anchor: rows that were given as anchors, which are not scored.
        half_width: of the interval, in log, by metric.
    """

    predicted: Mapping[str, Array]
    half_width: Mapping[str, Array]
    fold: np.ndarray[tuple[int], np.dtype[np.intp]]
    anchor: Mask

    @classmethod
    def fixed(cls, predicted: Mapping[str, Array]) -> LeftOut:
        """Predictions that no row had a say in: one fold, no anchors, no half-widths."""
        count = len(next(iter(predicted.values())))
        return cls(
            predicted=predicted,
            half_width={metric: np.full(count, np.nan) for metric in predicted},
            fold=np.zeros(count, dtype=np.intp),
            anchor=np.zeros(count, dtype=bool),
        )


def predict_left_out(
    data: ServingSet,
    split: str,
    *,
    anchors: int = 0,
    level: float = 0.8,
    progress: Callable[[str], None] | None = None,
) -> LeftOut:
    """Predict every run from a fit without it.

    Args:
        split: one of `SPLITS`. anchors: runs of each (model, system, engine version, precision) that are given.

    Raises:
        InputError: nothing to leave out.
    """
    fold, names = folds_of(data, split)
    if len(names) < 2:
        raise InputError(f"the server runs are of one {split} only: none can be left out")
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    logs = {metric: np.full(len(data), np.nan) for metric in METRICS}
    anchor = np.zeros(len(data), dtype=bool)
    for place, name in enumerate(names):
        if progress:
            progress(f"server runs without {name}")
        test = fold == place
        found, given = _predict_fold(data, unknowns, test, anchors)
        anchor |= given
        for metric in METRICS:
            logs[metric][test] = found[metric][test]
    measured = {"tpot": data.tpot, "ttft": data.ttft}
    widths = {m: cross_widths(np.log(measured[m]) - logs[m], fold, anchor, level) for m in METRICS}
    return LeftOut(
        predicted={metric: np.exp(own) for metric, own in logs.items()}, half_width=widths, fold=fold, anchor=anchor
    )


def folds_of(data: ServingSet, split: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], list[str]]:
    """The fold of each run, and what is left out in each."""
    parts, dealt = SPLITS[split]
    keys = ["|".join(own) for own in zip(*(data.labels[part] for part in parts), strict=True)]
    names = sorted(set(keys))
    order = {name: place for place, name in enumerate(names)}
    if dealt and len(names) > dealt:
        turn = np.random.default_rng(0).permutation(len(names)) % dealt
        return np.array([turn[order[key]] for key in keys]), [f"fold {turn} of {dealt}" for turn in range(dealt)]
    return np.array([order[key] for key in keys]), names


def _predict_fold(data: ServingSet, unknowns: Unknowns, test: Mask, anchors: int) -> tuple[dict[str, Array], Mask]:
    train = ~test
    fitted = take_runs(data.runs, np.flatnonzero(train))
    z = fit_runs(fitted, unknowns, data.tpot[train], data.ttft[train])
    own = dict(zip(METRICS, map(np.log, predict_rows(data.runs, unknowns, z, np.arange(len(data)))), strict=True))
    measured = {"tpot": np.log(data.tpot), "ttft": np.log(data.ttft)}
    known = _known(data, train)
    given = np.zeros(len(data), dtype=bool)
    if anchors:
        given = choose_anchors(data, test, anchors)
    if not anchors and not any(own[test].any() for own in known):
        return own, given  # no effect is applied
    for metric in METRICS:
        off = measured[metric] - own[metric]
        usable = train & np.isfinite(off)
        effects = fit_effects(labels_of(data, usable), data.slopes[usable], off[usable])
        own[metric] = own[metric] + expected_where(effects, data.labels, data.slopes, *known)
        if anchors:
            own[metric] = own[metric] + from_anchors(data, effects, measured[metric] - own[metric], given, test)
    return own, given


def _known(data: ServingSet, train: Mask) -> tuple[Mask, Mask]:
    """Of each row, whether its engine was fitted with its architecture, and any engine on its chip."""

    def seen(*parts: str) -> Mask:
        keys = list(zip(*(data.labels[part] for part in parts), strict=True))
        fitted = {key for key, used in zip(keys, train, strict=True) if used}
        return np.array([key in fitted for key in keys])

    return seen("engine", "family"), seen("hardware")


def labels_of(data: ServingSet, rows: Any) -> dict[str, list[str]]:
    """The labels of some rows."""
    places = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else rows
    return {name: [column[place] for place in places] for name, column in data.labels.items()}


def choose_anchors(data: ServingSet, test: Mask, count: int) -> Mask:
    """Runs of each deployment's cell that tell most of the others: one in the middle, then the farthest from those."""
    given = np.zeros(len(data), dtype=bool)
    cells: dict[tuple[str, ...], list[int]] = {}
    for row in np.flatnonzero(test & np.isfinite(data.tpot) & np.isfinite(data.ttft)):
        cells.setdefault(tuple(data.labels[part][row] for part in CELL), []).append(int(row))
    for rows in cells.values():
        if len(rows) <= count:
            continue
        x = data.slopes[rows]
        chosen = [int(np.argmin(((x - np.median(x, axis=0)) ** 2).sum(axis=1)))]
        while len(chosen) < count:
            distance = ((x[:, None] - x[chosen][None]) ** 2).sum(axis=2).min(axis=1)
            chosen.append(int(np.argmax(distance)))
        given[[rows[place] for place in chosen]] = True
    return given


def from_anchors(data: ServingSet, effects: Effects, off: Array, given: Mask, asked: Mask) -> Array:
    """What the anchors say of the runs that are asked for, cell by cell; `off` is log measured − log predicted."""
    moved = np.zeros(len(data))
    cells: dict[tuple[str, ...], list[int]] = {}
    for row in np.flatnonzero(asked):
        cells.setdefault(tuple(data.labels[part][row] for part in CELL), []).append(int(row))
    for rows in cells.values():
        told = [row for row in rows if given[row] and np.isfinite(off[row])]
        if told:
            mean, _ = anchored(
                effects, labels_of(data, told), data.slopes[told], off[told], labels_of(data, rows), data.slopes[rows],
                ANCHORED_LEVELS,
            )  # fmt: skip
            moved[rows] = mean
    return moved


def cross_widths(off: Array, fold: Any, anchor: Mask, level: float) -> Array:
    """Half-widths for the rows of each fold, from the rows of all others."""
    widths = np.full(len(off), np.nan)
    scored = np.isfinite(off) & ~anchor
    for place in np.unique(fold):
        others = np.abs(off[scored & (fold != place)])
        if len(others):
            widths[fold == place] = np.quantile(others, level)
    return widths
