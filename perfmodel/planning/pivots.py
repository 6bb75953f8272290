"""A table summed up over two of its columns: a row for each value of one, a column for each value of the other.

Mean, least, greatest and count are gathered piece by piece; a median keeps the values of its one column. May import:
conditions, errors, table_files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from perfmodel.errors import InputError
from perfmodel.planning.conditions import Condition, Kind
from perfmodel.planning.table_files import Array, TableFile, read_batches

Summary: TypeAlias = Literal["mean", "min", "max", "median", "count"]
SUMMARIES: tuple[Summary, ...] = get_args(Summary)
Label: TypeAlias = float | int | str
MOST_LABELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivot:
    """A summary of `value` for each pair of a row and a column.

    Args:
        rows, columns: names of the table's columns. row_labels, column_labels: their values, in order; "" for none.
        cells: (rows, columns), NaN where there is nothing. matched: rows of the table that were looked at.
    """

    rows: str
    columns: str
    value: str
    summary: Summary
    row_labels: tuple[Label, ...]
    column_labels: tuple[Label, ...]
    cells: Array
    matched: int


def pivot(
    table: TableFile, rows: str, columns: str, value: str, summary: Summary = "mean", condition: Condition | None = None
) -> Pivot:
    """Sum a table up.

    Raises:
        InputError: more values than `MOST_LABELS` on a side, no row to sum up, or the file is damaged.
    """
    sides = (_Labels(rows, table.kinds[rows]), _Labels(columns, table.kinds[columns]))
    gathered: _Sums | _Values = _Values() if summary == "median" else _Sums()
    matched = 0
    for batch in read_batches(table, [rows, columns, value], condition):
        own = _numbers(batch[value], table.kinds[value])
        known = ~np.isnan(own)
        matched += len(own)
        first, second = (side.codes(batch[side.name][known]) for side in sides)
        gathered.add(first * MOST_LABELS + second, own[known])
    if not all(side.known for side in sides):
        raise InputError(f"{table.path}: none of {matched} rows has a {value} to sum up")
    orders = [side.ordered() for side in sides]
    return Pivot(
        rows=rows, columns=columns, value=value, summary=summary, matched=matched,
        row_labels=tuple(label for label, _ in orders[0]), column_labels=tuple(label for label, _ in orders[1]),
        cells=gathered.cells(summary)[np.ix_([place for _, place in orders[0]], [place for _, place in orders[1]])],
    )  # fmt: skip


def _numbers(column: Array, kind: Kind) -> Array:
    """What is summed up; of texts only whether they are there, for a count."""
    if kind == "text":
        return np.array([np.nan if value is None else 1.0 for value in column])
    return column.astype(float)


class _Sums:
    """Count, sum, least and greatest of each cell."""

    def __init__(self) -> None:
        self.counts, self.totals = np.zeros(MOST_LABELS**2), np.zeros(MOST_LABELS**2)
        self.least, self.greatest = np.full(MOST_LABELS**2, np.inf), np.full(MOST_LABELS**2, -np.inf)

    def add(self, cells: Array, values: Array) -> None:
        self.counts += np.bincount(cells, minlength=MOST_LABELS**2)
        self.totals += np.bincount(cells, values, minlength=MOST_LABELS**2)
        np.minimum.at(self.least, cells, values)
        np.maximum.at(self.greatest, cells, values)

    def cells(self, summary: Summary) -> Array:
        """(MOST_LABELS, MOST_LABELS), NaN where no value came."""
        means = self.totals / np.maximum(self.counts, 1)
        found = {"count": self.counts, "mean": means, "min": self.least, "max": self.greatest}[summary]
        return np.where(self.counts > 0, found, np.nan).reshape(MOST_LABELS, MOST_LABELS)


class _Values:
    """All values, for what cannot be gathered otherwise."""

    def __init__(self) -> None:
        self.places: list[Array] = [np.empty(0, dtype=np.int64)]
        self.values: list[Array] = [np.empty(0)]

    def add(self, cells: Array, values: Array) -> None:
        self.places.append(cells)
        self.values.append(values)

    def cells(self, summary: Summary) -> Array:
        """As `_Sums.cells`."""
        places, values = np.concatenate(self.places), np.concatenate(self.values)
        order = np.argsort(places, kind="stable")
        cells, starts = np.unique(places[order], return_index=True)
        found = np.full(MOST_LABELS**2, np.nan)
        for cell, own in zip(cells, np.split(values[order], starts[1:]), strict=bool(len(cells))):
            found[cell] = np.median(own)
        return found.reshape(MOST_LABELS, MOST_LABELS)


class _Labels:
    """The distinct values of a column, numbered as they are met."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name, self.kind = name, kind
        self.known: dict[Label, int] = {}

    def codes(self, column: Array) -> Array:
        if self.kind == "truth":
            column = np.array(["" if value is None else str(value).lower() for value in column])
        elif self.kind == "text":
            column = np.array(["" if value is None else value for value in column])
        distinct, places = np.unique(column, return_inverse=True)
        numbers = [self.known.setdefault(_label(value, self.kind), len(self.known)) for value in distinct]
        if len(self.known) > MOST_LABELS:
            raise InputError(f"{self.name} has more than {MOST_LABELS} values: too many for a side of a table")
        return np.array(numbers, dtype=np.int64)[places]

    def ordered(self) -> list[tuple[Label, int]]:
        """The labels with their places, in their order; what is missing comes last."""
        return sorted(self.known.items(), key=lambda pair: (pair[0] == "", "" if pair[0] == "" else pair[0]))


def _label(value: Any, kind: Kind) -> Label:
    """A label for a value: NaN, which equals nothing, becomes an empty text."""
    if kind in ("text", "truth"):
        return str(value)
    return "" if np.isnan(value) else int(value) if float(value).is_integer() else float(value)
