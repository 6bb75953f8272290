"""Errors on what was never fitted: fit without each device, family or model in turn, and predict it from the others.

Kernels of an engine that other devices run too stay known; of the device left out, only its datasheet is. The interval
of a device comes from the errors of the other devices when they were left out (cross-conformal), so that no row is
judged by its own error. Whole models take their interval from those of their ops, by the rule of
`perfmodel.uncertainty`.

May import: units, scoring, model_scores, intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from perfmodel.calibration.intervals import calibrated_widths, model_scale
from perfmodel.calibration.model_scores import score_models
from perfmodel.calibration.scoring import Scored, score_ops
from perfmodel.calibration.units import Unit, fit_unit, group_of
from perfmodel.fitted_scopes import FittedScope
from perfmodel.types import Hardware

Fits = Mapping[str, Mapping[str, FittedScope]]  # by what was left out, then by scope
# too few families have two devices to calibrate a level of their own
UNSEEN_LEVELS = ("datasheet", "family")


def left_out_fits(
    unit: Unit,
    chips: Mapping[str, Hardware],
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> Fits:
    """What is fitted to all others, for each device, family or model; none if there is but one."""
    values = unit.values(leave_out, chips)
    found: dict[str, Mapping[str, FittedScope]] = {}
    for value in values if len(values) > 1 else ():
        if progress:
            progress(f"{unit.name} without {value}")
        found[value] = fit_unit(unit.without(leave_out, value, chips), chips)
    return found


def score_left_out(
    unit: Unit, fits: Fits, chips: Mapping[str, Hardware], leave_out: str = "hardware", *, engine_known: bool = True
) -> dict[str, list[Scored]]:
    """Ops of a unit by scope, predicted by the fits without them; their intervals still stand on the priors."""
    return {
        scope: [
            score_ops(rows, fits[value], chips[rows.hardware], engine_known=engine_known)
            for rows in groups
            if (value := group_of(leave_out, rows, chips))
        ]
        for scope, groups in unit.groups.items()
    }


def with_cross_intervals(sets: Sequence[Scored], share: float, leave_out: str = "hardware") -> list[Scored]:
    """Left-out rows of one scope, each with the interval that the errors of the others give it."""
    found = []
    for value, members in by_label(sets, leave_out).items():
        others = [own for own in sets if own.labels[leave_out] != value]
        if not others:
            return list(sets)
        widths = calibrated_widths(others, "datasheet").at(share)
        found += [replace(own, half_width=widths[own.regime]) for own in members]
    return found


def by_label(sets: Sequence[Scored], label: str) -> dict[str, list[Scored]]:
    """Sets by the value of a label."""
    found: dict[str, list[Scored]] = {}
    for own in sets:
        found.setdefault(own.labels[label], []).append(own)
    return found


def score_models_left_out(
    unit: Unit,
    fits: Fits,
    ops: Mapping[str, Sequence[Scored]],
    chips: Mapping[str, Hardware],
    share: float,
    leave_out: str = "hardware",
) -> tuple[list[Scored], dict[str, int]]:
    """Whole models predicted by the fits without them; their intervals are scaled by the errors of the others.

    Args:
        ops: left-out rows by scope, as `score_left_out` gives them.

    Returns:
        Sets of one row, and reason -> rows that cannot be predicted.
    """
    composed, skipped = score_models_composed(unit, fits, ops, chips, share, leave_out)
    found = []
    for value, members in by_label(composed, leave_out).items():
        others = [own for own in composed if own.labels[leave_out] != value]
        scale = model_scale(others, share) if others else 1.0
        found += [replace(own, half_width=own.half_width * scale) for own in members]
    return found, skipped


def score_models_composed(
    unit: Unit,
    fits: Fits,
    ops: Mapping[str, Sequence[Scored]],
    chips: Mapping[str, Hardware],
    share: float,
    leave_out: str = "hardware",
) -> tuple[list[Scored], dict[str, int]]:
    """As `score_models_left_out`, with half-widths that are composed of those of the ops and no more."""
    found: list[Scored] = []
    skipped: dict[str, int] = {}
    for value, own in fits.items():
        if leave_out == "model":  # on chips whose ops were fitted
            fitted = _with_widths(own, score_ops_of(unit, own, chips), ("device",))
        else:
            others = {scope: [one for one in sets if one.labels[leave_out] != value] for scope, sets in ops.items()}
            fitted = _with_widths(own, others, UNSEEN_LEVELS)
        facts = [fact for fact in unit.facts if group_of(leave_out, fact, chips) == value]
        sets, left = score_models(facts, dict.fromkeys(chips, fitted), chips, share)
        found += sets
        skipped |= {reason: skipped.get(reason, 0) + rows for reason, rows in left.items()}
    return found, skipped


def score_ops_of(
    unit: Unit, fitted: Mapping[str, FittedScope], chips: Mapping[str, Hardware]
) -> dict[str, list[Scored]]:
    """All ops of a unit by scope, predicted by one fit."""
    return {
        scope: [score_ops(rows, fitted, chips[rows.hardware]) for rows in groups]
        for scope, groups in unit.groups.items()
    }


def _with_widths(
    fitted: Mapping[str, FittedScope], ops: Mapping[str, Sequence[Scored]], levels: Sequence[str]
) -> dict[str, FittedScope]:
    """Fits with the half-widths that rows give to the levels."""
    found = {}
    for name, scope in fitted.items():
        sets = ops.get(name, ())
        own = {level: calibrated_widths(sets, level) for level in levels} if sets else {}
        widths = {(level, kernel): own[level] for level in own for kernel in ("any", "known")}
        found[name] = replace(scope, widths={**scope.widths, **widths})
    return found
