"""Files of measured runs -> anchors of predictions: each run beside what is predicted for it without anchors.

Whole models are an anchor each; measured ops are gathered, one anchor for each kernel on each device.

May import: sources, scoring, model_scores and below.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from perfmodel.anchoring import LEVEL, REPEATS_SD, Anchor, Subject
from perfmodel.calibration.model_scores import score_models
from perfmodel.calibration.scopes import by_scope
from perfmodel.calibration.scoring import Scored, score_ops
from perfmodel.calibration.sources import read_measurements
from perfmodel.catalog import Specs, load_hardware, search_state
from perfmodel.coefficient_files import scopes_for
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import half_normal_quantile

MOST_FACTS = 30  # rows of one kernel are no independent facts: they never count for more


def read_anchors(path: str | os.PathLike[str], *, specs: Specs = None) -> tuple[Anchor, ...]:
    """The anchors in a file of measurements, in any format that `perfmodel validate` reads.

    Raises:
        InputError: it cannot be read, or none of its runs can be predicted.
    """
    stamp = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
    folders = (specs,) if isinstance(specs, str | os.PathLike) else tuple(specs or ())
    return _read(os.fspath(path), stamp, tuple(str(folder) for folder in folders), search_state())


@lru_cache(16)
def _read(path: str, _modified: int, specs: tuple[str, ...], _folders: str) -> tuple[Anchor, ...]:
    imported = read_measurements(path, specs=specs)
    names = [rows.hardware for rows in imported.ops] + [fact.hardware for fact in imported.measurements]
    chips = {name: load_hardware(name, specs=specs) for name in dict.fromkeys(names)}
    fitted = {name: scopes_for(chip, specs=specs) for name, chip in chips.items()}
    scopes, skipped = by_scope(imported.ops, chips)
    ops = [
        score_ops(rows, fitted[rows.hardware], chips[rows.hardware], LEVEL)
        for groups in scopes.values()
        for rows in groups
    ]
    models, more = score_models(imported.measurements, fitted, chips, LEVEL)
    anchors = (*map(_model_anchor, models), *_op_anchors(ops))
    if not anchors:
        told = {**imported.skipped, **imported.unscored, **skipped, **more}
        reasons = "; ".join(f"{reason} ({rows})" for reason, rows in told.items())
        raise InputError(f"{path} has no run to anchor a prediction on: {reasons}.")
    return anchors


def _model_anchor(own: Scored) -> Anchor:
    return Anchor(
        subject=Subject(
            hardware=own.labels["hardware"],
            shares=own.shares,
            sd=float(own.half_width[0]) / half_normal_quantile(LEVEL),
            model=own.labels["model"],
            phase=own.labels["phase"],
        ),
        log_ratio=-float(own.log_ratio[0]),
    )


def _op_anchors(sets: Iterable[Scored]) -> list[Anchor]:
    """One anchor for each kernel on each device, as sure as its rows agree."""
    series: dict[tuple[str, ...], list[Scored]] = {}
    for own in sets:
        series.setdefault((*own.series, own.labels["scope"]), []).append(own)
    return [_op_anchor(parts) for parts in series.values()]


def _op_anchor(parts: list[Scored]) -> Anchor:
    errors = np.concatenate([own.log_ratio for own in parts])
    sd = float(np.median(np.concatenate([own.half_width for own in parts]))) / half_normal_quantile(LEVEL)
    scatter = float(errors.std()) / min(len(errors), MOST_FACTS) ** 0.5 if len(errors) > 1 else sd
    labels = parts[0].labels
    subject = Subject(hardware=labels["hardware"], shares={labels["scope"]: 1.0}, sd=sd)
    return Anchor(subject=subject, log_ratio=-float(np.median(errors)), noise=float(np.hypot(REPEATS_SD, scatter)))
