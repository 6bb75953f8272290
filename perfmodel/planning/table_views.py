"""Looking at a table: rows that satisfy a condition, sorted, the first so many, the Pareto front.

Pieces of the table go through one after the other; of each, what cannot be among the result is dropped at once, so that
memory holds the result and one piece. May import: conditions, errors, pareto, table_files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.errors import InputError, UnknownNameError
from perfmodel.planning.conditions import Condition, Kind
from perfmodel.planning.pareto import Direction, pareto_front
from perfmodel.planning.table_files import Array, Batch, TableFile, read_batches

Axis: TypeAlias = tuple[str, Direction]
_WAITING = 1 << 17  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is wanted of a table.

    Args:
        columns: those shown. sort: the most important column first, each from its "min" or "max" on; rows without a
            value come last. pareto: axes of which only the front is wanted. top: the most rows; None for all.
    """

    columns: tuple[str, ...]
    condition: Condition | None = None
    sort: tuple[Axis, ...] = ()
    pareto: tuple[Axis, ...] = ()
    top: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows found. matched: how many satisfy the condition; of: how many of them are on the front."""

    columns: Batch
    matched: int
    front: int | None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def check_columns(kinds: Mapping[str, Kind], columns: Sequence[str], numbers: bool = False) -> None:
    """
    Raises:
        UnknownNameError: no such column. InputError: it holds no numbers, where those are wanted.
    """
    for name in columns:
        if name not in kinds:
            raise UnknownNameError("column", name, kinds, f"The table has {', '.join(kinds)}")
        if numbers and kinds[name] not in ("integer", "real"):
            having = [each for each, kind in kinds.items() if kind in ("integer", "real")]
            held = "texts" if kinds[name] == "text" else "true or false"
            raise InputError(f"{name} holds {held}, and numbers are wanted; columns of numbers: {', '.join(having)}")


def select_rows(table: TableFile, view: View) -> Rows:
    """Collect the rows of a view.

    Raises:
        InputError: the file is damaged.
    """
    needed = _needed(view)
    pieces: list[Batch] = [{name: _nothing(table.kinds[name]) for name in needed}]
    matched = waiting = 0
    for batch in read_batches(table, needed, view.condition):
        pieces.append(batch)
        matched += len(batch[needed[0]])
        waiting += len(batch[needed[0]])
        if waiting > max(_WAITING, len(pieces[0][needed[0]])):  # as many new ones as are held: few copies
            pieces, waiting = [_reduced(_joined(pieces), view, table.kinds)], 0
    held = _reduced(_joined(pieces), view, table.kinds)
    front = len(held[needed[0]]) if view.pareto else None
    if view.sort:
        held = _taken(held, _order(held, view.sort, table.kinds))
    if view.top is not None:
        held = {name: column[: view.top] for name, column in held.items()}
    return Rows(columns={name: held[name] for name in view.columns}, matched=matched, front=front)


def stream_rows(table: TableFile, view: View) -> Iterator[Batch]:
    """The rows of a view piece by piece; as one piece where all must be known before the first can be told."""
    if view.sort or view.pareto:
        yield select_rows(table, view).columns
        return
    left = view.top
    for batch in read_batches(table, view.columns, view.condition):
        if left is not None:
            batch = {name: column[:left] for name, column in batch.items()}
            left -= len(batch[view.columns[0]])
        yield batch
        if left is not None and left <= 0:
            return


def _needed(view: View) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*view.columns, *(name for name, _ in (*view.sort, *view.pareto))]))


def _nothing(kind: Kind) -> Array:
    return np.empty(0, dtype={"integer": np.int64, "real": float}.get(kind, object))


def _joined(pieces: Sequence[Batch]) -> Batch:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _taken(batch: Batch, places: Array) -> Batch:
    return {name: column[places] for name, column in batch.items()}


def _reduced(held: Batch, view: View, kinds: Mapping[str, Kind]) -> Batch:
    """Without the rows that more rows cannot bring back into the result."""
    if view.pareto:
        axes = np.stack([held[name].astype(float) for name, _ in view.pareto], axis=1)
        return _taken(held, np.flatnonzero(pareto_front(axes, [direction for _, direction in view.pareto])))
    if view.top is None or len(next(iter(held.values()))) <= view.top:
        return held
    if not view.sort:
        return {name: column[: view.top] for name, column in held.items()}
    # in the order of the file, so that later rows of equal rank stay behind earlier ones
    return _taken(held, np.sort(_order(held, view.sort, kinds)[: view.top]))


def _order(held: Batch, sort: Sequence[Axis], kinds: Mapping[str, Kind]) -> Array:
    """Places of the rows in their order; rows of equal rank stay as they are."""
    ranks = []
    for name, direction in sort:
        rank = _ranks(held[name], kinds[name])
        ranks.append(rank if direction == "min" else -rank)
    return np.lexsort(ranks[::-1])


def _ranks(column: Array, kind: Kind) -> Array:
    """Numbers in the order of the values, NaN for missing ones, which sort last either way."""
    if kind != "text":
        return column.astype(float)
    known = np.array([value is not None for value in column], dtype=bool)
    ranks = np.full(len(column), np.nan)
    ranks[known] = np.unique(column[known].astype(str), return_inverse=True)[1]
    return ranks
