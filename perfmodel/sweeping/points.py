"""The points of a sweep: how they are numbered, cut into parts, and left out by conditions.

    point ─▶ (space, deployment, load)      the axes in the order of `axes.KINDS`, the last one changing fastest

Points of one deployment follow each other, so that a part computes few of them. Which points a part has depends on the
sweep alone. May import: axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.sweeping.axes import PLAN, SIMULATE, Axis, axes_of

Values: TypeAlias = tuple[Any, ...]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
MOST_POINTS = 1 << 17  # of a part: about half a second
DEPLOYMENTS = 16  # of a part at most: each takes as long as some thousand of its points
ONE_BY_ONE: Mapping[str, int] = {PLAN: 2, SIMULATE: 8}  # points of a part, each of which takes a second or more
COMPARISONS = {
    "at_least": np.greater_equal, "at_most": np.less_equal, "above": np.greater, "below": np.less,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What points have in common: on each axis that is named one of some values, or a number within bounds."""

    values: Mapping[str, Values]
    bounds: Mapping[str, Mapping[str, float]]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.values, *self.bounds)

    def holds(self, name: str, own: Values) -> Mask:
        """Which values of an axis it lets through; all of one it does not name."""
        found = np.ones(len(own), dtype=bool)
        if name in self.values:
            found &= np.array([value in self.values[name] for value in own])
        for bound, limit in self.bounds.get(name, {}).items():
            known = np.array([value is not None for value in own])
            found &= known & COMPARISONS[bound](np.array([value or 0 for value in own], dtype=float), limit)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A grid: every combination of the values of its axes, all of them named."""

    axes: Mapping[str, Values]

    @property
    def size(self) -> int:
        return math.prod(map(len, self.axes.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What is asked for.

    Args:
        kind: a name of `axes.KINDS`. spaces: their points follow each other. exclude: points that meet one of these
            conditions are left out; only: and those that meet none of these, if there are any.
        level: share of unseen cases that intervals should hold. columns: of the results; empty: all.
        part_points: of a part; 0: chosen. specs: a folder of own specs. text: the data it was read from, for the file.
    """

    kind: str
    spaces: tuple[Space, ...]
    exclude: tuple[Condition, ...] = ()
    only: tuple[Condition, ...] = ()
    level: float = 0.8
    columns: tuple[str, ...] = ()
    part_points: int = 0
    specs: str | None = None
    text: str = ""

    @property
    def points(self) -> int:
        """Of all spaces, left out ones included."""
        return sum(space.size for space in self.spaces)

    @property
    def parts(self) -> int:
        return sum(_parts_of(self, space) for space in self.spaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Points of one deployment.

    Args:
        settings: values of the axes that are the same for all. sizes: the others, (n,) each; None for an axis that is
            left to the command.
    """

    settings: Mapping[str, Any]
    sizes: Mapping[str, Any]
    count: int


def array_axes(kind: str) -> dict[str, Axis]:
    """The axes of a kind whose values are answered at once."""
    return {name: axis for name, axis in axes_of(kind).items() if axis.array}


def loads_of(kind: str, space: Space) -> int:
    """Points of each deployment."""
    return math.prod(len(space.axes[name]) for name in array_axes(kind))


def _points_per_part(sweep: Sweep, space: Space) -> int:
    if sweep.part_points:
        return sweep.part_points
    return ONE_BY_ONE.get(sweep.kind) or min(MOST_POINTS, DEPLOYMENTS * loads_of(sweep.kind, space))


def _parts_of(sweep: Sweep, space: Space) -> int:
    return -(-space.size // _points_per_part(sweep, space))


def runs_of(sweep: Sweep, part: int) -> Iterator[Run]:
    """The points of a part that are asked for, deployment by deployment."""
    for space in sweep.spaces:
        own = _parts_of(sweep, space)
        if part < own:
            points = _points_per_part(sweep, space)
            yield from _runs(sweep, space, part * points, min((part + 1) * points, space.size))
            return
        part -= own


def _runs(sweep: Sweep, space: Space, start: int, stop: int) -> Iterator[Run]:
    arrays = array_axes(sweep.kind)
    loads = loads_of(sweep.kind, space)
    for deployment in range(start // loads, -(-stop // loads)):
        first, last = max(start - deployment * loads, 0), min(stop - deployment * loads, loads)
        settings, rest = dict[str, Any](), deployment
        for name in reversed([name for name in space.axes if name not in arrays]):
            rest, place = divmod(rest, len(space.axes[name]))
            settings[name] = (space.axes[name][place], place)
        places = _places(space, arrays, np.arange(first, last))
        kept = np.flatnonzero(_asked(sweep, space, settings, places))
        if len(kept):
            yield Run(
                settings={name: settings[name][0] for name in space.axes if name in settings},
                sizes={name: _column(space.axes[name], place[kept]) for name, place in places.items()},
                count=len(kept),
            )


def _places(space: Space, arrays: Mapping[str, Axis], points: Any) -> dict[str, Any]:
    """For each array axis, which of its values every point has."""
    found: dict[str, Any] = {}
    for name in reversed(list(arrays)):
        points, found[name] = np.divmod(points, len(space.axes[name]))
    return {name: found[name] for name in arrays}


def _column(values: Values, places: Any) -> Any:
    return None if values == (None,) else np.asarray(values)[places]


def _asked(sweep: Sweep, space: Space, settings: Mapping[str, tuple[Any, int]], places: Mapping[str, Any]) -> Mask:
    count = len(next(iter(places.values())))

    def met(condition: Condition) -> Mask:
        found = np.ones(count, dtype=bool)
        for name in condition.names:
            if name in settings:
                found &= bool(condition.holds(name, (settings[name][0],))[0])
            else:
                found &= condition.holds(name, space.axes[name])[places[name]]
        return found

    asked = np.ones(count, dtype=bool)
    if sweep.only:
        asked &= np.any([met(condition) for condition in sweep.only], axis=0)
    for condition in sweep.exclude:
        asked &= ~met(condition)
    return asked


def is_empty(sweep: Sweep) -> bool:
    """Whether the conditions leave no point; looks for the first one."""
    return not any(True for part in range(sweep.parts) for _ in runs_of(sweep, part))
