"""Reports of tables: the rows that `perfmodel results` finds, or their summary.

May import: planning and below; the tables, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.errors import InputError
from perfmodel.report.html_page import Headline, Picture, Report

if TYPE_CHECKING:
    from perfmodel.planning.pivots import Pivot
    from perfmodel.planning.table_files import TableFile
    from perfmodel.planning.table_views import Rows

MOST_ROWS = 10_000  # of a page, which holds them twice: as a table, and as JSON has them


def rows_report(table: TableFile, rows: Rows, axes: Sequence[str]) -> Report:
    """Of rows.

    Args:
        axes: of the Pareto front, if one was asked for.

    Raises:
        InputError: more rows than a page can hold.
    """
    from perfmodel.report.results_document import rows_document
    from perfmodel.report.results_table import print_rows, rows_sentence

    if len(rows) > MOST_ROWS:
        raise InputError(
            f"--html: {len(rows):,} rows are more than the {MOST_ROWS:,} of a page: take fewer by --top, --where or "
            "--pareto, or sum them up by --pivot"
        )
    return Report(
        kind="results",
        title=f"{table.path}: {len(rows):,} rows",
        summary=[rows_sentence(rows, axes)],
        headlines=[Headline("rows", f"{len(rows):,}", f"of {rows.matched:,} that satisfy the condition")],
        pictures=(),
        tell=lambda console: print_rows(console, rows, table.kinds, axes),
        document=rows_document(table, rows),
    )


def pivot_report(table: TableFile, pivot: Pivot) -> Report:
    """Of a summary over two columns."""
    from perfmodel.report.results_document import pivot_document
    from perfmodel.report.results_plot import draw_pivot
    from perfmodel.report.results_table import pivot_title, print_pivot, value_text

    known = np.isfinite(pivot.cells)
    ends = [("least", np.nanargmin), ("greatest", np.nanargmax)] if known.any() else []

    def headline(name: str, place: int) -> Headline:
        row, column = np.unravel_index(place, pivot.cells.shape)
        labels = (pivot.rows, pivot.row_labels[row]), (pivot.columns, pivot.column_labels[column])
        where = ", ".join(f"{own} {value_text(label)}" for own, label in labels)
        return Headline(name, value_text(float(pivot.cells[row, column])), where)

    return Report(
        kind="results",
        title=f"{table.path}: {pivot_title(pivot)}",
        summary=[f"{pivot.matched:,} rows of {table.path}, summed up: the {pivot_title(pivot)}."],
        headlines=[headline(name, int(find(pivot.cells))) for name, find in ends],
        pictures=[Picture(f"The {pivot_title(pivot)}.", draw_pivot(pivot))],
        tell=lambda console: print_pivot(console, pivot),
        document=pivot_document(table, pivot),
    )
