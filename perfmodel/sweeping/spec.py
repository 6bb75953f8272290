"""A sweep's file, read strictly: all mistakes at once, each with its line.

    kind: serving                       # serving, predict, plan or simulate
    grid:                               # every combination of
      model: llama-3.1-70b              #   one value, a list, or a range {from, to, steps, scale}
      concurrency: {from: 1, to: 512, steps: 20, scale: log}
    spaces:                             # each: the grid with axes of its own, or with other values
      - {hardware: h100-sxm, precision: [bf16, fp8], tp: [2, 4, 8]}
    exclude: [{precision: bf16, tp: 2}] # points that meet all of one entry; only: [...]: others
    columns: [ttft_s, tpot_s]           # of the results; all of them by default

May import: axes, points, columns.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from perfmodel.errors import nearest_names
from perfmodel.sweeping.axes import ALTERNATIVES, COUNT, FLAG, KINDS, SERVING, TEXT, Axis, axes_of, try_value
from perfmodel.sweeping.columns import result_names
from perfmodel.sweeping.points import COMPARISONS, MOST_POINTS, Condition, Space, Sweep, Values, is_empty
from perfmodel.yaml_strict import Document, describe, load_yaml, parse_yaml, unknown_key

KEYS = ("kind", "level", "grid", "spaces", "exclude", "only", "columns", "part_points")
RANGE_KEYS = ("from", "to", "steps", "scale")
SCALES = ("linear", "log")
MOST_VALUES = 1_000_000  # of one axis
LARGEST_PART = 8 * MOST_POINTS
Where: TypeAlias = tuple[str | int, ...]


def read_sweep(source: str | os.PathLike[str] | Mapping[str, Any], *, specs: str | None = None) -> Sweep:
    """A sweep from a file, or from the same data in Python.

    Args:
        specs: a folder of own chips, models and engines, searched first.

    Raises:
        SpecError: all mistakes, with file and line.
    """
    # data is read as the text it would be in a file: JSON is YAML, and one reader knows all the rules
    document = parse_yaml(_as_json(source), "sweep") if isinstance(source, Mapping) else load_yaml(Path(source))
    document.refuse()
    sweep = _read(document, specs)
    document.refuse()
    assert sweep is not None
    if is_empty(sweep):
        document.report("leaves no point: every combination is excluded", "only" if sweep.only else "exclude")
        document.refuse()
    return sweep


def _as_json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value), indent=1)


def _read(document: Document, specs: str | None) -> Sweep | None:
    data = document.data
    if not isinstance(data, dict):
        document.report(f"must hold keys and values, not {describe(data)}")
        return None
    for key in data:
        if any(key in axes_of(known) for known in KINDS):
            document.report(f"is an axis: write it under grid, as grid: {{{key}: ...}}", key)
        elif key not in KEYS:
            document.report(unknown_key(key, KEYS), key)
    kind = data.get("kind", SERVING)
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        nearest = nearest_names(str(kind), KINDS, 1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {known}"
        document.report(f"must be one of {known}, not {describe(kind)}; {hint}", "kind")
        return None
    level = data.get("level", 0.8)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        document.report(f"must lie between 0 and 1 (0.8 for 80 % intervals), not {describe(level)}", "level")
    part_points = data.get("part_points", 0)
    if "part_points" in data and (type(part_points) is not int or not 1 <= part_points <= LARGEST_PART):
        document.report(f"must be a whole number from 1 to {LARGEST_PART}, not {describe(part_points)}", "part_points")
    spaces = tuple(_spaces(document, kind, specs))
    exclude, only = (tuple(_conditions(document, kind, key, spaces, specs)) for key in ("exclude", "only"))
    columns = _columns(document, kind, spaces, specs)
    if document.problems:
        return None
    return Sweep(kind=kind, spaces=spaces, exclude=exclude, only=only, level=float(level), columns=columns,
                 part_points=part_points, specs=specs, text=json.dumps(data, sort_keys=True))  # fmt: skip


def _section(document: Document, value: Any, where: Where) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    document.report(f"must be a section with axes and their values, not {describe(value)}", *where)
    return {}


def _list(document: Document, key: str) -> Sequence[Any]:
    value = document.data.get(key, [])
    if isinstance(value, list):
        return value
    document.report(f"must be a list (lines with '- '), not {describe(value)}", key)
    return []


def _spaces(document: Document, kind: str, specs: str | None) -> Iterator[Space]:
    grid = _axes(document, kind, _section(document, document.data.get("grid", {}), ("grid",)), ("grid",), specs)
    own = _list(document, "spaces")
    if "spaces" in document.data and not own and isinstance(document.data["spaces"], list):
        document.report("is empty: leave it out, or give a list of spaces", "spaces")
    if not own:
        yield from _space(document, kind, grid, ("grid",))
    for place, section in enumerate(own):
        where = ("spaces", place)
        axes = _axes(document, kind, _section(document, section, where), where, specs)
        yield from _space(document, kind, grid | axes, where)


def _space(document: Document, kind: str, given: Mapping[str, Values], where: Where) -> Iterator[Space]:
    """The grid of these values and of what the others are by default; none where something is missing."""
    before = len(document.problems)
    if any(problem.key.startswith((".".join(map(str, where)), "grid")) for problem in document.problems):
        return  # what is missing may be what is wrong
    axes = axes_of(kind)
    choice = ALTERNATIVES.get(kind, ())
    missing = [name for name, axis in axes.items() if axis.needed and name not in given]
    if missing:
        document.report(f"lacks {' and '.join(missing)}: give values here, or in the grid", *where)
    chosen = [name for name in choice if name in given]
    if choice and len(chosen) != 1:
        what = "both are given" if chosen else "give one"
        document.report(f"needs either {' or '.join(choice)}: {what}", *where)
    if len(document.problems) == before:
        yield Space(axes={name: given.get(name, (axis.default,)) for name, axis in axes.items()})


def _axes(
    document: Document, kind: str, section: Mapping[str, Any], where: Where, specs: str | None
) -> dict[str, Values]:
    axes = axes_of(kind)
    found: dict[str, Values] = {}
    for name, value in section.items():
        if name in axes:
            found[name] = _values(document, axes[name], value, (*where, name), specs)
        else:
            document.report(f"{unknown_key(name, axes)} ({kind} has {', '.join(axes)})", *where, name)
    return found


def _values(document: Document, axis: Axis, value: Any, where: Where, specs: str | None) -> Values:
    if isinstance(value, dict):
        return _range(document, axis, value, where, specs)
    values = value if isinstance(value, list) else [value]
    if not values:
        document.report("is empty; give it a value or leave it out", *where)
    found: list[Any] = []
    for place, item in enumerate(values[:MOST_VALUES]):
        at = (*where, place) if isinstance(value, list) else where
        own = _value(document, axis, item, at, specs)
        if own is not None and own in found:
            document.report(f"{own} stands here twice", *at)
        found.append(own)
    return tuple(found)


def _value(document: Document, axis: Axis, item: Any, where: Where, specs: str | None) -> Any:
    value, problem = try_value(axis, item, specs)
    if problem:
        document.report(problem, *where)
    return value


def _range(document: Document, axis: Axis, value: Mapping[str, Any], where: Where, specs: str | None) -> Values:
    """The values of {from, to, steps, scale}; counts are rounded, and each stands there once."""
    before = len(document.problems)
    if not axis.is_range:
        kept = "names, not a range: write a list of them" if axis.what == TEXT else "true and false, not a range"
        document.report(f"takes {kept}", *where)
        return ()
    for key in value:
        if key not in RANGE_KEYS:
            document.report(unknown_key(key, RANGE_KEYS), *where, key)
    for key in RANGE_KEYS[:3]:
        if key not in value:
            document.report(f"lacks '{key}': a range is {{from: 1, to: 1024, steps: 11, scale: log}}", *where)
    scale, steps = value.get("scale", "linear"), value.get("steps", 2)
    if scale not in SCALES:
        document.report(f"must be {' or '.join(SCALES)}, not {describe(scale)}", *where, "scale")
    if "steps" in value and (type(steps) is not int or not 2 <= steps <= MOST_VALUES):
        document.report(f"must be a whole number from 2 to {MOST_VALUES}, not {describe(steps)}", *where, "steps")
    ends = [_value(document, axis, value[key], (*where, key), specs) for key in ("from", "to") if key in value]
    if len(document.problems) > before:
        return ()
    first, last = ends
    if not first < last:
        document.report(f"goes from {first:g} to {last:g}: 'from' must be the smaller one", *where)
        return ()
    if scale == "log" and first <= 0:
        document.report("must be above 0 on a log scale", *where, "from")
        return ()
    values = np.geomspace(first, last, steps) if scale == "log" else np.linspace(first, last, steps)
    if axis.what == COUNT:
        return tuple(dict.fromkeys(int(own) for own in np.rint(values)))
    return tuple(float(f"{own:.12g}") for own in values)  # the same on every machine


def _conditions(
    document: Document, kind: str, key: str, spaces: Sequence[Space], specs: str | None
) -> Iterator[Condition]:
    axes = axes_of(kind)
    for place, entry in enumerate(_list(document, key)):
        where = (key, place)
        values, bounds = dict[str, Values](), dict[str, Mapping[str, float]]()
        section = _section(document, entry, where)
        if isinstance(entry, dict) and not entry:
            document.report("is empty: name an axis and its values", *where)
        for name, value in section.items():
            at = (*where, name)
            if name not in axes:
                document.report(unknown_key(name, axes), *at)
            elif isinstance(value, dict):
                bounds[name] = _bounds(document, axes[name], value, at)
            else:
                values[name] = _values(document, axes[name], value, at, specs)
        found = Condition(values=values, bounds=bounds)
        yield found
        if spaces and not document.problems:
            _check_meant(document, found, spaces, where)


def _check_meant(document: Document, condition: Condition, spaces: Sequence[Space], where: Where) -> None:
    """A condition on a value that no space has is a slip of the pen."""
    for name in condition.names:
        if not any(condition.holds(name, space.axes[name]).any() for space in spaces):
            document.report("no point has such a value", *where, name)


def _bounds(document: Document, axis: Axis, value: Mapping[str, Any], where: Where) -> dict[str, float]:
    if axis.what in (TEXT, FLAG):
        document.report("has no bounds: write the values that are meant", *where)
        return {}
    found = {}
    for key, limit in value.items():
        if key not in COMPARISONS:
            document.report(unknown_key(key, COMPARISONS), *where, key)
        elif isinstance(limit, bool) or not isinstance(limit, int | float):
            document.report(f"must be a number, not {describe(limit)}", *where, key)
        else:
            found[key] = float(limit)
    if not value:
        document.report(f"is empty; known: {', '.join(COMPARISONS)}", *where)
    return found


def _columns(document: Document, kind: str, spaces: Sequence[Space], specs: str | None) -> tuple[str, ...]:
    """The names of results that are asked for.

    A phase's columns are there if a model of the sweep has it.
    """
    asked = _list(document, "columns")
    if "columns" in document.data and not asked:
        document.report("is empty: leave it out for all of them", "columns")
    if not asked or not spaces:
        return ()
    known = result_names(kind, spaces, specs)
    found = []
    for place, name in enumerate(asked):
        if name in known:
            found.append(str(name))
        elif name in axes_of(kind):
            document.report("is an axis; axes are written in any case", "columns", place)
        else:
            nearest = nearest_names(str(name), known)
            hint = f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(known)}"
            document.report(f"unknown column {describe(name)}; {hint}", "columns", place)
    return tuple(dict.fromkeys(found))
