"""Which rows of a table no other row beats: the Pareto front over any number of axes.

Row a dominates row b if a is at least as good on every axis and better on one. Equal rows do not dominate each other,
so ties stay together. Sorted lexicographically, a row can be dominated only by rows before it:

- two axes: a row stays if its second value is below all before it, one running minimum, O(n log n);
- more: blocks of rows against the front so far, then within the block, O(n · front).

Of a long table, rows that a few good ones beat are thrown out before, which mostly leaves little to compare.

The maximal-vector problem is that of Kung, Luccio and Preparata, "On Finding the Maxima of a Set of Vectors", J. ACM 22
(1975). May import: errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from perfmodel.errors import InputError

Array: TypeAlias = np.ndarray[Any, Any]
Direction: TypeAlias = Literal["min", "max"]

_BLOCK = 256  # rows that are compared among each other at once
_SAMPLE = 1 << 13  # rows above which the best of a sample weed out the rest first
_STRONG = 16
_CELLS = 1 << 22  # comparisons held in memory at once


def pareto_front(values: Any, directions: Sequence[Direction]) -> Array:
    """The rows that no other row dominates, ties included.

    Args:
        values: (n, k) numbers, one column per axis. A row with a NaN can be compared with nothing and is never on the
            front.
        directions: for each axis, whether "min" or "max" is better.

    Returns:
        (n,) booleans.

    Raises:
        InputError: the shapes do not agree, there is no axis, or a direction is neither "min" nor "max".

    >>> seconds_and_accuracy = [[1.0, 70.0], [2.0, 80.0], [3.0, 75.0], [2.0, 80.0]]
    >>> pareto_front(seconds_and_accuracy, ["min", "max"]).tolist()
    [True, True, False, True]
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or not directions or table.shape[1] != len(directions):
        raise InputError(f"a Pareto front needs rows of {len(directions)} values each, got the shape {table.shape}")
    if wrong := [each for each in directions if each not in ("min", "max")]:
        raise InputError(f"an axis of a Pareto front is better at its min or max, not '{wrong[0]}'")
    smaller_is_better = table * np.where([each == "min" for each in directions], 1.0, -1.0)
    places = np.flatnonzero(~np.isnan(smaller_is_better).any(axis=1))
    if len(places) > _SAMPLE:
        places = places[_not_beaten_by_sample(smaller_is_better[places])]
    front = np.zeros(len(table), dtype=bool)
    if len(places):
        front[places] = _of_costs(smaller_is_better[places])
    return front


def _of_costs(costs: Array) -> Array:
    """The front where less is better on every axis and nothing is NaN."""
    order = np.lexsort(costs.T[::-1])
    ordered = costs[order]
    first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])  # of equal rows
    distinct = ordered[first]
    kept = _of_two(distinct) if distinct.shape[1] <= 2 else _of_many(distinct)
    front = np.empty(len(costs), dtype=bool)
    front[order] = kept[np.cumsum(first) - 1]
    return front


def _of_two(costs: Array) -> Array:
    """Of distinct rows in lexicographic order; with one axis, the first row alone."""
    last = costs[:, -1]
    return np.concatenate([[True], last[1:] < np.minimum.accumulate(last)[:-1]])


def _of_many(costs: Array) -> Array:
    """Of distinct rows in lexicographic order, over three axes or more."""
    kept = np.zeros(len(costs), dtype=bool)
    front = costs[:0]
    for start in range(0, len(costs), _BLOCK):
        block = costs[start : start + _BLOCK]
        places = np.flatnonzero(~_dominated(block, front))
        places = places[~_dominated(block[places], block[places])]
        kept[start + places] = True
        front = np.concatenate([front, block[places]])
    return kept


def _not_beaten_by_sample(costs: Array) -> Array:
    """Places of the rows that the best of every so-many-th row do not dominate."""
    sample = costs[:: -(-len(costs) // _SAMPLE)]
    sample = sample[_of_costs(sample)]
    ranks = sum(np.searchsorted(np.sort(axis), axis) for axis in sample.T)
    left = np.arange(len(costs))
    for strong in sample[np.argsort(ranks, kind="stable")[:_STRONG]]:
        rows = costs[left]
        left = left[~((rows >= strong).all(axis=1) & (rows > strong).any(axis=1))]
    return left


def _dominated(rows: Array, by: Array) -> Array:
    """For each row, whether one of `by` is as good on every axis and not the same row."""
    beaten = np.zeros(len(rows), dtype=bool)
    step = max(1, _CELLS // max(1, len(rows)))
    for start in range(0, len(by), step):
        others = by[start : start + step]
        as_good = np.ones((len(rows), len(others)), dtype=bool)
        better = np.zeros_like(as_good)
        for axis in range(rows.shape[1]):
            as_good &= others[:, axis] <= rows[:, axis, None]
            better |= others[:, axis] < rows[:, axis, None]
        beaten |= (as_good & better).any(axis=1)
    return beaten
