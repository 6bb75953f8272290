"""The rows of a part, run by run: what is asked, what is answered, and why where nothing can be.

May import: the rows of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perfmodel.errors import PerfmodelError
from perfmodel.sweeping.axes import PLAN, PREDICT, SERVING, SIMULATE
from perfmodel.sweeping.planning_rows import plan_row
from perfmodel.sweeping.points import Run, Sweep
from perfmodel.sweeping.prediction_rows import prediction_rows
from perfmodel.sweeping.serving_rows import serving_rows
from perfmodel.sweeping.simulation_rows import simulation_row

_ARRAYS: Mapping[str, Callable[[Run, Sweep], dict[str, Any]]] = {SERVING: serving_rows, PREDICT: prediction_rows}
_SINGLE: Mapping[str, Callable[[Mapping[str, Any], Sweep], dict[str, Any]]] = {PLAN: plan_row, SIMULATE: simulation_row}


def rows_of(run: Run, sweep: Sweep) -> dict[str, Any]:
    """Columns of a run: a value for all of its points, or one for each.

    Axes keep their values; `refusal` says why a point has no results: one text, or one for each point ("": none).
    """
    asked = {**run.settings, **run.sizes}
    if sweep.kind not in _ARRAYS:
        return asked | _one_by_one(run, sweep)
    try:
        return asked | _ARRAYS[sweep.kind](run, sweep)
    except PerfmodelError as error:
        return asked | {"refusal": str(error)}


def _one_by_one(run: Run, sweep: Sweep) -> dict[str, Any]:
    """Points that are answered on their own."""
    answer = _SINGLE[sweep.kind]
    found: list[dict[str, Any]] = []
    for place in range(run.count):
        sizes = {name: None if own is None else own[place].item() for name, own in run.sizes.items()}
        try:
            found.append(answer({**run.settings, **sizes}, sweep))
        except PerfmodelError as error:
            found.append({"refusal": str(error)})
    names = dict.fromkeys(name for row in found for name in row)
    return {name: [row.get(name) for row in found] for name in names}
