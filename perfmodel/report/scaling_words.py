"""How time grows with size, in sentences made from the numbers.

May import: planning and below. To add a sentence: a function that returns it, and its place in `line_sentences`.
"""

from __future__ import annotations

from itertools import pairwise

from perfmodel.planning.overtaking import Contest, Overtaking
from perfmodel.planning.scaling import Regime, SizeLine
from perfmodel.report.formats import format_bytes, format_count, format_number, format_share
from perfmodel.report.words import SUBJECTS

REGIMES = {"overhead": "launch-bound", "memory": "bandwidth-bound", "compute": "compute-bound",
           "network": "network-bound"}  # fmt: skip
SPENT = {"overhead": "starting kernels and fixed costs", "memory": "moving memory", "compute": "computing",
         "network": "the network"}  # fmt: skip
SAME_SIZE = "These models have nearly the same size: no exponent."
# exponents up to which the time is said to grow so
_GROWTHS = ((0.25, "hardly depends on size"), (0.85, "grows less than in proportion to size"),
            (1.1, "is about proportional to size"), (float("inf"), "grows faster than size"))  # fmt: skip


def line_sentences(line: SizeLine) -> tuple[str, ...]:
    """The answer, then each regime with what half the parameters would save."""
    if line.exponent is None:
        return ("One size: nothing to compare with.",) if len(line.points) == 1 else (SAME_SIZE, *_exceptions(line))
    regimes = (_regime(line, place) for place in range(len(line.regimes)))
    return (_growth(line), *regimes, *_exceptions(line), *_fitting(line))


def contest_sentences(contest: Contest) -> tuple[str, ...]:
    """Which chip is the faster one, and from which size another is."""
    about = f"{SUBJECTS[contest.phase]}{f' of {contest.family}' if contest.family else ''}"
    if not contest.overtakings:
        return (f"{about}: at all these sizes {', then '.join(contest.order)}, by their times.",)
    return (
        f"{about}: at the smallest size {', then '.join(contest.order)}, by their times.",
        *(_overtaking(each) for each in contest.overtakings),
    )


def _overtaking(found: Overtaking) -> str:
    sure = "" if found.sure else "; their intervals overlap near there, so that the place is not certain"
    return f"Above about {format_count(found.parameters)} parameters {found.above} is faster than {found.below}{sure}."


def _fitting(line: SizeLine) -> list[str]:
    """Where memory ends."""
    chip = f"{line.request.hardware} ({format_bytes(line.memory_limit_bytes)})"
    if not any(point.fits for point in line.points):
        return [f"None of these models fits into the memory of {chip}: the times tell how they would grow."]
    if line.fits_up_to is None:
        return []
    return [f"Above about {format_count(line.fits_up_to)} parameters nothing fits into the memory of {chip} any more."]


def _growth(line: SizeLine) -> str:
    small, large = line.points[0], line.points[-1]
    assert line.exponent is not None
    words = next(text for limit, text in _GROWTHS if line.exponent <= limit)
    times_larger = format_number(large.parameters / small.parameters)
    times_longer = format_number(large.time.seconds / small.time.seconds)
    return (
        f"{SUBJECTS[line.phase]} on {line.request.hardware} {words}: {times_larger} times the parameters take "
        f"{times_longer} times as long (exponent {line.exponent:.2f})."
    )


def _regime(line: SizeLine, place: int) -> str:
    regime = line.regimes[place]
    return f"{_where(line, place)} the most time goes into {SPENT[regime.bound]}{_gain(regime)}."


def _where(line: SizeLine, place: int) -> str:
    """`Below about 500 M parameters`, by the crossings on both sides."""
    below = format_count(line.crossings[place - 1].parameters) if place else ""
    above = format_count(line.crossings[place].parameters) if place < len(line.crossings) else ""
    if below and above:
        return f"Between about {below} and {above} parameters"
    if above:
        return f"Below about {above} parameters"
    return f"Above about {below} parameters" if below else "At all these sizes"


def _gain(regime: Regime) -> str:
    gain = regime.halving_gain
    if gain is None:
        return ""
    return f": half the parameters save {format_share(gain)}" if gain > 0 else ": fewer parameters save nothing"


def _exceptions(line: SizeLine) -> list[str]:
    """Models that are faster than the next smaller one."""
    return [
        f"{b.model} takes less time than the smaller {a.model}: size alone does not decide."
        for a, b in pairwise(line.points)
        if b.time.seconds < a.time.seconds and b.parameters > a.parameters
    ]
