"""The tables of `perfmodel results`: rows, or a summary over two columns.

May import: planning, formats, rich.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.planning.conditions import Kind
from perfmodel.planning.pivots import Pivot
from perfmodel.planning.table_views import Rows
from perfmodel.report.columns import NOTHING
from perfmodel.report.formats import format_number, join_words
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console


def print_rows(console: Console, rows: Rows, kinds: Mapping[str, Kind], axes: Sequence[str]) -> None:
    """Print rows and how many there are.

    Args:
        axes: of the Pareto front, if one was asked for.
    """
    table = make_table(*((name, "left" if kinds[name] in ("text", "truth") else "right") for name in rows.columns))
    for row in zip(*(column.tolist() for column in rows.columns.values()), strict=True):
        table.add_row(*map(value_text, row))
    if len(rows):
        console.print(table)
    console.print(rows_sentence(rows, axes), style="dim")


def rows_sentence(rows: Rows, axes: Sequence[str]) -> str:
    """`Pareto front of usd_per_hour and tpot_s: 3 of 1,200 rows.`"""
    found = rows.matched if rows.front is None else rows.front
    whole = f"{rows.matched:,} rows" if rows.matched != 1 else "1 row"
    if not rows.matched:
        return "No row satisfies the condition."
    text = whole if rows.front is None else f"Pareto front of {join_words(list(axes))}: {rows.front:,} of {whole}"
    return f"{text}; the first {len(rows):,} are shown." if len(rows) < found else f"{text}."


def value_text(value: Any) -> str:
    """A cell: four digits of a real number, `–` for a missing value.

    >>> value_text(0.0123456), value_text(1234567), value_text(None), value_text(True)
    ('0.01235', '1234567', '–', 'yes')
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    small = value != 0 and math.isfinite(value) and abs(value) < 1e-6
    return f"{value:.4g}" if small else format_number(value, 4)


def print_pivot(console: Console, pivot: Pivot) -> None:
    """Print a summary: what it is of, then a row for each label."""
    console.print(pivot_title(pivot), style="bold")
    table = make_table(
        (pivot.rows, "left" if isinstance(pivot.row_labels[0], str) else "right"),
        *((value_text(label), "right") for label in pivot.column_labels),
    )
    for label, cells in zip(pivot.row_labels, pivot.cells.tolist(), strict=True):
        table.add_row(value_text(label), *map(value_text, cells))
    console.print(table)
    console.print(f"{pivot.matched:,} rows.", style="dim")


def pivot_title(pivot: Pivot) -> str:
    """`mean of ttft_s by hardware (down) and tp (across)`."""
    return f"{pivot.summary} of {pivot.value} by {pivot.rows} (down) and {pivot.columns} (across)"


def pivot_csv(pivot: Pivot) -> str:
    """A line per row label."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([pivot.rows, *pivot.column_labels])
    for label, cells in zip(pivot.row_labels, pivot.cells.tolist(), strict=True):
        writer.writerow([label, *("" if math.isnan(cell) else cell for cell in cells)])
    return text.getvalue()
