"""Where one chip overtakes another."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import scale
from perfmodel.planning.overtaking import contests
from perfmodel.planning.scaling import SizeLine
from perfmodel.report.scaling_words import contest_sentences
from perfmodel.types import OpTime


@cache
def gpt2() -> SizeLine:
    (found,) = scale("gpt-2", "h100-sxm", phase="decode")
    return found


@pytest.fixture
def line() -> SizeLine:
    return gpt2()


def timed(line: SizeLine, chip: str, seconds: list[float], wide: float = 1.01) -> SizeLine:
    points = tuple(
        replace(point, time=OpTime(seconds=each, low=each / wide, high=each * wide))
        for point, each in zip(line.points, seconds, strict=True)
    )
    return replace(line, request=replace(line.request, hardware=chip), points=points)


def test_a_chip_overtakes_between_the_sizes_where_the_order_changes(line: SizeLine) -> None:
    (contest,) = contests([timed(line, "a", [1, 2, 4, 8]), timed(line, "b", [2, 3, 3.5, 4])])
    assert contest.order == ("a", "b")
    (found,) = contest.overtakings
    assert (found.below, found.above, found.sure) == ("a", "b", True)
    assert line.points[1].parameters < found.parameters < line.points[2].parameters
    assert 2 < found.seconds < 4
    words = contest_sentences(contest)
    assert words[0] == "A decode step of gpt-2: at the smallest size a, then b, by their times."
    assert words[1].startswith("Above about ")
    assert words[1].endswith(" parameters b is faster than a.")


def test_power_laws_cross_where_they_are_equal(line: SizeLine) -> None:
    sizes = [point.parameters for point in line.points]
    middle = (sizes[1] * sizes[2]) ** 0.5
    a, b = ([(size / middle) ** power for size in sizes] for power in (1.0, 0.5))
    (contest,) = contests([timed(line, "a", a), timed(line, "b", b)])
    (found,) = contest.overtakings
    assert found.parameters == pytest.approx(middle)
    assert found.seconds == pytest.approx(1.0)


def test_wide_intervals_make_it_uncertain(line: SizeLine) -> None:
    (contest,) = contests([timed(line, "a", [1, 2, 4, 8], 1.5), timed(line, "b", [2, 3, 3.5, 4], 1.5)])
    assert not contest.overtakings[0].sure
    assert "not certain" in contest_sentences(contest)[1]


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.lists(st.floats(0.1, 10), min_size=4, max_size=4))
def test_the_order_at_the_end_is_that_after_all_overtakings(a: list[float], b: list[float]) -> None:
    line = gpt2()
    (one,) = contests([timed(line, "a", a), timed(line, "b", b)])
    (other,) = contests([timed(line, "b", b), timed(line, "a", a)])
    assert [(each.below, each.above) for each in one.overtakings] == [
        (each.below, each.above) for each in other.overtakings
    ]
    ahead = [(x > y) - (x < y) for x, y in zip(a, b, strict=True)]
    signs = [sign for sign in ahead if sign]
    changes = sum(left != right for left, right in pairwise(signs))
    assert len(one.overtakings) == changes
    if one.overtakings and ahead[-1]:
        assert one.overtakings[-1].above == ("b" if ahead[-1] > 0 else "a")


def test_chips_are_only_compared_over_models_that_all_have(line: SizeLine) -> None:
    small = replace(line, points=line.points[:2])
    (contest,) = contests([timed(small, "a", [1, 2]), timed(line, "b", [2, 3, 0.1, 0.1])])
    assert contest.overtakings == ()
    assert contests([line]) == ()
    assert contests([line, replace(line, family="other", request=replace(line.request, hardware="b"))]) == ()


def test_usual_runtimes_do_not_keep_chips_apart() -> None:
    lines = scale("resnet", ["h100-sxm", "tpu-v5e"], precision="bf16")
    assert {each.request.runtime for each in lines} == {"eager", "compiled"}
    (contest,) = contests(lines)
    assert set(contest.order) == {"h100-sxm", "tpu-v5e"}
    both = [each for runtime in ("eager", "compiled") for each in scale("resnet", ["h100-sxm", "l4"], runtime=runtime)]
    assert len(contests(both)) == 2


def test_where_memory_ends() -> None:
    (line,) = scale("llama", "l4", phase="decode")
    assert line.memory_limit_bytes == 24 * 2**30
    fits = [point.parameters for point in line.points if point.fits]
    beyond = [point.parameters for point in line.points if not point.fits]
    assert line.fits_up_to is not None
    assert max(fits) < line.fits_up_to < min(beyond)
    (small,) = scale("gpt-2", "l4", phase="decode")
    assert small.fits_up_to is None
