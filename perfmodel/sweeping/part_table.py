"""The rows of a part as columns of one type each, before they become Arrow or CSV.

May import: columns; numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.sweeping.axes import COUNT, FLAG, NUMBER, TEXT
from perfmodel.sweeping.columns import REFUSAL, Column

_TYPES: Mapping[str, Any] = {TEXT: np.int32, COUNT: np.int64, NUMBER: np.float64, FLAG: np.bool_}  # else: float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One column of a part.

    Args:
        values: (n,); of texts their places among `texts`. missing: where there is nothing, (n,).
    """

    column: Column
    values: np.ndarray[Any, Any]
    missing: np.ndarray[Any, np.dtype[np.bool_]]
    texts: tuple[str, ...] = ()


def part_table(columns: Sequence[Column], runs: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Filled]:
    """The columns of a part.

    Args:
        runs: (how many points, `rows.rows_of` them).
    """
    refused = np.concatenate([_refused(own.get(REFUSAL), count) for count, own in runs]) if runs else np.zeros(0, bool)
    return [_filled(column, runs, None if column.is_axis or column.name == REFUSAL else refused) for column in columns]


def _refused(reason: Any, count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if isinstance(reason, list):
        return np.array([bool(own) for own in reason])
    return np.full(count, bool(reason))


def _filled(column: Column, runs: Sequence[tuple[int, Mapping[str, Any]]], refused: Any) -> Filled:
    total = sum(count for count, _ in runs)
    values = np.zeros(total, dtype=_TYPES.get(column.what, np.float32))
    missing = np.ones(total, dtype=bool)
    texts: dict[str, int] = {}
    start = 0
    for count, own in runs:
        here = slice(start, start + count)
        start += count
        found = own.get(column.name)
        if found is None:
            continue
        if column.what == TEXT:
            places = _places(found, texts, count)
            values[here], missing[here] = np.maximum(places, 0), places < 0
        else:
            numbers = _numbers(found, count)
            known = np.isfinite(numbers)
            with np.errstate(over="ignore"):
                values[here] = numbers if known.all() else np.where(known, numbers, 0)
            missing[here] = ~known
    if refused is not None:
        missing |= refused
        values[refused] = 0
    return Filled(column=column, values=values, missing=missing, texts=tuple(texts))


def _numbers(found: Any, count: int) -> np.ndarray[Any, Any]:
    """As an array; what is not there is no finite number."""
    if isinstance(found, list):
        found = np.array([np.nan if own is None else own for own in found], dtype=float)
    return np.broadcast_to(np.asarray(found), (count,))


def _places(found: Any, texts: dict[str, int], count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    if isinstance(found, str):
        return np.full(count, texts.setdefault(found, len(texts)) if found else -1, dtype=np.int32)
    return np.array([texts.setdefault(own, len(texts)) if own else -1 for own in found], dtype=np.int32)
