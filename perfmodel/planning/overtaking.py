"""Where one chip overtakes another: the size of model from which the order of their times is the other way round.

    lines ──of one phase, asked alike, on two chips──▶ sign of log t_A / t_B between neighbours ──▶ Overtaking

May import: scaling and below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from perfmodel.planning.scaling import SizeLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaking:
    """At about so many parameters two chips take the same time.

    Args:
        seconds: of the phase there. below, above: chips; each is the faster one on that side.
        sure: whether the two intervals are apart at the models on both sides.
    """

    family: str
    phase: str
    parameters: float
    seconds: float
    below: str
    above: str
    sure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Chips that answer the same question: their order at the smallest model that all have, and where it changes.

    Args:
        order: chips, the fastest first.
    """

    family: str
    phase: str
    order: tuple[str, ...]
    overtakings: tuple[Overtaking, ...]


def contests(lines: Sequence[SizeLine]) -> tuple[Contest, ...]:
    """One for each question that several chips answer, over the models that all of them have.

    >>> from perfmodel import scale
    >>> (contest,) = contests(scale("gpt-2", ["l4", "h100-sxm"], phase="decode"))
    >>> contest.order, contest.overtakings
    (('h100-sxm', 'l4'), ())
    """
    found = []
    for rivals in _groups(lines):
        chips = {line.request.hardware for line in rivals}
        common = set.intersection(*({point.model for point in line.points} for line in rivals))
        if len(chips) == len(rivals) > 1 and common:
            found.append(_contest(rivals, common))
    return tuple(found)


def _groups(lines: Sequence[SizeLine]) -> list[list[SizeLine]]:
    """Lines that answer one question; runtimes, of which chips have usual ones, count only where a chip has several."""
    runtimes: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        place = (line.family, line.phase, line.request.hardware)
        runtimes.setdefault(place, set()).add(line.request.runtime)
    several = any(len(each) > 1 for each in runtimes.values())
    asked: dict[object, list[SizeLine]] = {}
    for line in lines:
        runtime = line.request.runtime if several else ""
        question = replace(line.request, hardware="", model="", image_size=0, steps=0, runtime=runtime)
        asked.setdefault((line.family, line.phase, question), []).append(line)
    return list(asked.values())


def _contest(lines: Sequence[SizeLine], models: set[str]) -> Contest:
    shared = [replace(line, points=tuple(each for each in line.points if each.model in models)) for line in lines]
    ranked = sorted(shared, key=lambda line: line.points[0].time.seconds)
    return Contest(
        family=lines[0].family,
        phase=lines[0].phase,
        order=tuple(line.request.hardware for line in ranked),
        overtakings=tuple(
            sorted(
                (each for a, b in combinations(ranked, 2) for each in _overtakings(a, b)),
                key=lambda each: each.parameters,
            )
        ),
    )


def _overtakings(a: SizeLine, b: SizeLine) -> list[Overtaking]:
    """Where the two lines cross, on straight lines between neighbours in logarithms; ties are left to the next size."""
    behind = []  # (place, log of t_A / t_B), without ties
    for place, (one, other) in enumerate(zip(a.points, b.points, strict=True)):
        gap = math.log(one.time.seconds / other.time.seconds)
        if gap:
            behind.append((place, gap))
    found = []
    for (start, before), (end, after) in pairwise(behind):
        if before * after < 0:
            at = before / (before - after)
            below, above = (a, b) if before < 0 else (b, a)
            small, large = a.points[start], a.points[end]
            found.append(
                Overtaking(
                    family=a.family,
                    phase=a.phase,
                    parameters=small.parameters * (large.parameters / small.parameters) ** at,
                    seconds=small.time.seconds * (large.time.seconds / small.time.seconds) ** at,
                    below=below.request.hardware,
                    above=above.request.hardware,
                    sure=all(_apart(a, b, place) for place in (start, end)),
                )
            )
    return found


def _apart(a: SizeLine, b: SizeLine, place: int) -> bool:
    one, other = a.points[place].time, b.points[place].time
    return one.high < other.low or other.high < one.low
