"""Errors on what was never fitted: fit without each device or family in turn, and predict it from the others.

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
from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.model_scores import score_models
from perfmodel.calibration.scoring import Scored, score_ops
from perfmodel.calibration.units import Unit, fit_unit
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import FittedScope
from perfmodel.types import Hardware

LEAVE_OUT = ("hardware", "family")
Fits = Mapping[str, Mapping[str, FittedScope]]  # by what was left out, then by scope


def group_of(leave_out: str, chip: Hardware) -> str:
    """What is left out together with a chip.

    Raises:
        InputError: there is no such way.
    """
    if leave_out not in LEAVE_OUT:
        raise InputError(f"measurements can be left out by {' or '.join(LEAVE_OUT)}, not by {leave_out}")
    return chip.id if leave_out == "hardware" else chip.family


def left_out_fits(
    unit: Unit,
    chips: Mapping[str, Hardware],
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> Fits:
    """What is fitted to all others, for each device or family; none if there is but one."""
    left: dict[str, list[str]] = {}
    for device in unit.devices:
        left.setdefault(group_of(leave_out, chips[device]), []).append(device)
    found: dict[str, Mapping[str, FittedScope]] = {}
    for value, devices in left.items() if len(left) > 1 else ():
        if progress:
            progress(f"{unit.name} without {value}")
        found[value] = fit_unit(unit.without(devices), chips)
    return found


def score_left_out(
    unit: Unit, fits: Fits, chips: Mapping[str, Hardware], leave_out: str = "hardware", *, engine_known: bool = True
) -> dict[str, list[Scored]]:
    """Ops of a unit by scope, predicted by the fits without them; their intervals still stand on the priors."""
    return {
        scope: [
            score_ops(rows, fits[group_of(leave_out, chip)], chip, engine_known=engine_known)
            for rows in groups
            if (chip := chips[rows.hardware])
        ]
        for scope, groups in unit.groups.items()
    }


def with_cross_intervals(
    sets: Sequence[Scored], chips: Mapping[str, Hardware], share: float, leave_out: str = "hardware"
) -> list[Scored]:
    """Left-out rows of one scope, each with the interval that the errors of the others give it."""
    by_group = grouped(sets, chips, leave_out)
    if len(by_group) < 2:
        return list(sets)
    found = []
    for group, members in by_group.items():
        others = [own for other, parts in by_group.items() if other != group for own in parts]
        widths = calibrated_widths(others, "datasheet").at(share)
        found += [replace(own, half_width=widths[own.regime]) for own in members]
    return found


def grouped(sets: Sequence[Scored], chips: Mapping[str, Hardware], leave_out: str) -> dict[str, list[Scored]]:
    """Sets by what is left out together."""
    found: dict[str, list[Scored]] = {}
    for own in sets:
        found.setdefault(group_of(leave_out, chips[own.labels["hardware"]]), []).append(own)
    return found


def score_models_left_out(
    facts: Sequence[Measurement],
    fits: Fits,
    ops: Mapping[str, Sequence[Scored]],
    chips: Mapping[str, Hardware],
    share: float,
    leave_out: str = "hardware",
) -> tuple[list[Scored], dict[str, int]]:
    """Whole models predicted by the fits without their device; their intervals come from the other devices.

    Args:
        ops: left-out rows by scope, as `score_left_out` gives them.

    Returns:
        Sets of one row, and reason -> rows that cannot be predicted.
    """
    composed, skipped = score_models_composed(facts, fits, ops, chips, share, leave_out)
    found = []
    for group, members in grouped(composed, chips, leave_out).items():
        others = [own for own in composed if group_of(leave_out, chips[own.labels["hardware"]]) != group]
        scale = model_scale(others, share) if others else 1.0
        found += [replace(own, half_width=own.half_width * scale) for own in members]
    return found, skipped


def score_models_composed(
    facts: Sequence[Measurement],
    fits: Fits,
    ops: Mapping[str, Sequence[Scored]],
    chips: Mapping[str, Hardware],
    share: float,
    leave_out: str = "hardware",
) -> tuple[list[Scored], dict[str, int]]:
    """As `score_models_left_out`, with half-widths that are composed of those of the ops and no more."""
    fitted: dict[str, Mapping[str, FittedScope]] = {}
    for device in dict.fromkeys(fact.hardware for fact in facts):
        group = group_of(leave_out, chips[device])
        others = {
            scope: [own for own in sets if group_of(leave_out, chips[own.labels["hardware"]]) != group]
            for scope, sets in ops.items()
        }
        fitted[device] = {scope: with_widths(own, others.get(scope, ())) for scope, own in fits.get(group, {}).items()}
    return score_models(facts, fitted, chips, share)


def with_widths(scope: FittedScope, sets: Sequence[Scored]) -> FittedScope:
    """A fit with the half-widths that left-out rows give to what was never measured."""
    if not sets:
        return scope
    unseen = calibrated_widths(sets, "datasheet")
    levels = ("datasheet", "family")  # too few families have two devices to calibrate a level of their own
    return replace(
        scope,
        widths={**scope.widths, **{(level, kernel): replace(unseen, level=level) for level in levels
                                   for kernel in ("any", "known")}},
    )  # fmt: skip
