"""The cells of a calibration's tables, the same on a terminal and in a Markdown report.

May import: calibration, formats, calibration_words. Errors are printed in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.calibration.local import SHARE, ScopeCalibration
from perfmodel.report.calibration_words import is_held
from perfmodel.report.formats import format_interval, format_seconds

Column: TypeAlias = tuple[str, Literal["left", "right"]]
GROUPS = ("deep", "block", "interleaved", "single")  # from what resembles models most
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Cells:
    """A table before it is drawn."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def error_cells(found: Sequence[ScopeCalibration]) -> Cells:
    """Errors on whole models by dtype and threads: a row before and one after; a single one where none was checked."""
    columns: tuple[Column, ...] = (
        ("dtype", "left"), ("threads", "right"), ("fitted", "right"), ("", "left"), ("median %", "right"),
        ("MAPE %", "right"), ("P90 %", "right"), ("bias %", "right"), (f"in {100 * SHARE:g} %", "right"),
    )  # fmt: skip
    rows = []
    for own in found:
        compiled = " compiled" if own.runtime == "compiled" else ""
        fixed = (f"{own.dtype}{compiled}", str(own.threads or _NONE), str(own.fitted.rows))
        if own.scores:
            rows.append((*fixed, "before", *_error_row(own.before)))
            rows.append(("", "", "", "after", *_error_row(own.after)))
        else:
            rows.append((*fixed, "unchecked", *(_NONE for _ in range(5))))
    return Cells(columns, tuple(rows))


def _error_row(metrics: Mapping[str, float]) -> tuple[str, ...]:
    percents = (f"{100 * metrics[name]:.1f}" for name in ("median_ape", "mape", "p90_ape"))
    return (*percents, f"{100 * metrics['bias']:+.1f}", f"{100 * metrics['coverage']:.0f} %")


def short_model_cells(own: ScopeCalibration) -> Cells:
    """Each whole model that was not fitted, for terminals that are narrow; the interval in the unit of the time."""
    columns: tuple[Column, ...] = (
        (f"not fitted, {own.dtype}", "left"), ("measured", "right"), ("predicted", "right"), ("interval", "right"),
        ("", "left"), ("error % (before)", "right"),
    )  # fmt: skip
    rows = []
    for score in own.scores:
        measured = score.measured_seconds
        seconds, low, high = score.after
        errors = f"{_error(seconds, measured)} ({_error(score.before[0], measured)})"
        interval = format_interval(low, high, seconds)
        rows.append(
            (
                score.name, format_seconds(measured), format_seconds(seconds), interval, _held(measured, score.after),
                errors,
            )
        )  # fmt: skip
    return Cells(columns, tuple(rows))


def model_cells(own: ScopeCalibration) -> Cells:
    """Each whole model that was not fitted: measured and predicted, after and before."""
    columns: tuple[Column, ...] = (
        (f"not fitted, {own.dtype}", "left"), ("measured", "right"), ("predicted", "right"), ("error %", "right"),
        (f"{100 * SHARE:g} % interval", "right"), ("", "left"), ("before", "right"), ("its error %", "right"),
        ("", "left"),
    )  # fmt: skip
    rows = []
    for score in own.scores:
        measured = score.measured_seconds
        seconds, low, high = score.after
        rows.append(
            (
                score.name, format_seconds(measured), format_seconds(seconds), _error(seconds, measured),
                f"{format_interval(low, high, seconds)} {format_seconds(seconds).split()[1]}",
                _held(measured, score.after), format_seconds(score.before[0]), _error(score.before[0], measured),
                _held(measured, score.before),
            )
        )  # fmt: skip
    return Cells(columns, tuple(rows))


def _error(predicted: float, measured: float) -> str:
    return f"{100 * (predicted / measured - 1):+.1f}"


def _held(measured: float, interval: tuple[float, float, float]) -> str:
    return "held" if is_held(measured, interval) else "missed"


def group_cells(own: ScopeCalibration) -> Cells:
    """How well the fitted programs are described, by group: errors of the fit itself, not of predictions."""
    columns: tuple[Column, ...] = (
        (f"fitted, {own.dtype}", "left"), ("programs", "right"), ("median %", "right"), ("P90 %", "right"),
        ("bias %", "right"),
    )  # fmt: skip
    rows = []
    for group, ratios in group_ratios(own).items():
        errors = np.abs(ratios - 1)
        median, worst = 100 * np.median(errors), 100 * np.quantile(errors, 0.9)
        bias = 100 * (np.median(ratios) - 1)
        rows.append((group, str(len(ratios)), f"{median:.1f}", f"{worst:.1f}", f"{bias:+.1f}"))
    return Cells(columns, tuple(rows))


def group_ratios(own: ScopeCalibration) -> Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Predicted over measured of the fitted programs by group, in the order of `GROUPS`."""
    present = {point.group for point in own.programs}
    names = [name for name in GROUPS if name in present] + sorted(present - set(GROUPS))
    return {
        name: np.array([one.predicted_seconds / one.measured_seconds for one in own.programs if one.group == name])
        for name in names
    }
