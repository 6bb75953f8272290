"""A calibration for people, on a terminal: errors before and after, whole models one by one, what it stands on.

May import: calibration, calibration_cells, calibration_words, prediction_table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from perfmodel.calibration.local import SHARE, ScopeCalibration
from perfmodel.report.calibration_cells import Cells, error_cells, short_model_cells
from perfmodel.report.calibration_words import (
    Conditions,
    next_sentences,
    result_sentences,
    scope_words,
    standing_sentences,
)
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def calibration_tables(found: Sequence[ScopeCalibration]) -> tuple[Table, ...]:
    """The errors of all dtypes and threads, then a table of whole models for each that has some."""
    return (_draw(error_cells(found)), *(_draw_folding(short_model_cells(own)) for own in found if own.scores))


def _draw(cells: Cells) -> Table:
    table = make_table(*cells.columns)
    for row in cells.rows:
        table.add_row(*row)
    return table


def _draw_folding(cells: Cells) -> Table:
    """A table of which only the first column gives way where the terminal is narrow: it has words, not numbers."""
    table = _draw(cells)
    for place, column in enumerate(table.columns):
        column.no_wrap = place > 0
    return table


def print_calibration(
    console: Console,
    found: Sequence[ScopeCalibration],
    conditions: Conditions,
    name: str,
    files: Mapping[str, Sequence[str | PathLike[str]]],
) -> None:
    """Print a calibration.

    Args:
        name: of the profile. files: what was written, by what it is: {"Profile": [...], "Coefficients": [...]}.
    """
    errors, *models = calibration_tables(found)
    console.print("Errors on whole models that were not fitted", style="bold")
    console.print(errors)
    checked = iter(models)
    for own in found:
        console.print()
        console.print(scope_words(own), style="bold")
        console.print(anchor_sentence(own))
        if own.scores:
            console.print(next(checked))
        for model, reason in own.skipped.items():
            console.print(f"  not predicted: {model}: {reason}")
    console.print()
    for own in found:
        for sentence in result_sentences(own):
            console.print(sentence)
    console.print()
    for sentence in standing_sentences(conditions):
        console.print(sentence, style="dim")
    console.print(
        f"Errors are |predicted/measured - 1|; bias > 0: predicted too slow; in {100 * SHARE:g} %: share inside their "
        f"{100 * SHARE:g} % interval. Before: the same profile with the coefficients that perfmodel ships.",
        style="dim",
    )
    console.print()
    for what, paths in files.items():
        for path in paths:
            console.print(f"{what}: {path}", soft_wrap=True)
    for command in next_sentences(found, name):
        console.print(f"Next: {command}", soft_wrap=True)


def anchor_sentence(own: ScopeCalibration) -> str:
    """What was fitted."""
    if not own.programs:
        return f"Fitted: the anchors {'; '.join(own.anchors)}, and no programs."
    programs = f"Fitted: {len(own.programs)} programs"
    return f"{programs}, and as anchors {'; '.join(own.anchors)}." if own.anchors else f"{programs}, no anchors."
