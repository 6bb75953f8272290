"""Errors on what was never fitted: fit without each device or family in turn, and predict it from the others.

Kernels of an engine that other devices run too stay known; of the device left out, only its datasheet is. The interval
of a device comes from the errors of the other devices when they were left out (cross-conformal), so that no row is
judged by its own error.

May import: fit, scoring, intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from perfmodel.calibration.fit import fit_scope
from perfmodel.calibration.intervals import calibrated_widths
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.scoring import Scored, score_ops
from perfmodel.coefficients import Prior
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import FittedScope
from perfmodel.types import Hardware

LEAVE_OUT = ("hardware", "family")


def group_of(leave_out: str, chip: Hardware) -> str:
    """What is left out together with a chip.

    Raises:
        InputError: ops cannot be left out that way.
    """
    if leave_out not in LEAVE_OUT:
        raise InputError(f"ops can be left out by {' or '.join(LEAVE_OUT)}, not by {leave_out}")
    return chip.id if leave_out == "hardware" else chip.family


def left_out_fits(
    scope: str,
    groups: Sequence[OpRows],
    chips: Mapping[str, Hardware],
    priors: Sequence[Prior],
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> dict[str, FittedScope]:
    """What is fitted to all others, for each device or family; none if there is but one."""
    left = {rows.hardware: group_of(leave_out, chips[rows.hardware]) for rows in groups}
    values = tuple(dict.fromkeys(left.values()))
    found = {}
    for value in values if len(values) > 1 else ():
        if progress:
            progress(f"{scope} without {value}")
        found[value] = fit_scope(scope, [rows for rows in groups if left[rows.hardware] != value], chips, priors)
    return found


def score_left_out(
    groups: Sequence[OpRows],
    fits: Mapping[str, FittedScope],
    chips: Mapping[str, Hardware],
    leave_out: str = "hardware",
    *,
    engine_known: bool = True,
) -> list[Scored]:
    """Rows of one scope predicted by the fits without them; their intervals still stand on the priors.

    Args:
        fits: as `left_out_fits` gives them.
    """
    found = []
    for rows in groups:
        chip = chips[rows.hardware]
        fitted = fits[group_of(leave_out, chip)]
        found.append(score_ops(rows, {fitted.scope: fitted}, chip, engine_known=engine_known))
    return found


def with_cross_intervals(
    sets: Sequence[Scored], chips: Mapping[str, Hardware], share: float, leave_out: str = "hardware"
) -> list[Scored]:
    """Left-out rows of one scope, each with the interval that the errors of the others give it."""
    group = {own.labels["hardware"]: group_of(leave_out, chips[own.labels["hardware"]]) for own in sets}
    found = []
    for value in dict.fromkeys(group.values()):
        others = [own for own in sets if group[own.labels["hardware"]] != value]
        widths = calibrated_widths(others, "datasheet").at(share)
        found += [replace(own, half_width=widths[own.regime]) for own in sets if group[own.labels["hardware"]] == value]
    return found
