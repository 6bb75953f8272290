"""Points are numbered, cut into parts and left out the same way, however the parts are cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perfmodel.sweeping.points import Sweep, array_axes, runs_of
from perfmodel.sweeping.spec import read_sweep
from sweeping.specs import SERVING


def all_points(sweep: Sweep) -> list[dict[str, Any]]:
    arrays = array_axes(sweep.kind)
    found = []
    for part in range(sweep.parts):
        for run in runs_of(sweep, part):
            for place in range(run.count):
                sizes = {name: None if run.sizes[name] is None else run.sizes[name][place] for name in arrays}
                found.append(run.settings | sizes)
    return found


def by_hand(sweep: Sweep) -> list[dict[str, Any]]:
    """Every combination, and those left out by the conditions of `SERVING` as one reads them."""
    found = []
    for space in sweep.spaces:
        for values in product(*space.axes.values()):
            point = dict(zip(space.axes, values, strict=True))
            small = point["hardware"] == "l4" and point["precision"] == "fp8"
            if not small and not (point["input_tokens"] > 2000 and point["concurrency"] >= 300):
                found.append(point)
    return found


def test_points_are_every_combination_but_those_left_out() -> None:
    sweep = read_sweep(SERVING)
    assert sweep.points == 9 * 5 * 2 * 12
    points = all_points(sweep)
    assert points == by_hand(sweep)
    assert len(points) < sweep.points


@given(points=st.integers(1, 1200))
def test_how_parts_are_cut_is_of_no_consequence(points: int) -> None:
    sweep = read_sweep({**SERVING, "spaces": SERVING["spaces"][:1]})
    cut = replace(sweep, part_points=points)
    assert cut.parts == -(-sweep.points // points)
    assert all_points(cut) == all_points(sweep)


def test_only_keeps_what_meets_one_of_them() -> None:
    only = [{"hardware": "l4"}, {"tp": 3, "concurrency": {"below": 2}}]
    points = all_points(read_sweep({**SERVING, "exclude": [], "only": only}))
    assert points
    assert all(own["hardware"] == "l4" or (own["tp"] == 3 and own["concurrency"] == 1) for own in points)
    assert {own["hardware"] for own in points} == {"l4", "h100-sxm"}
