"""The protocol tells what a call takes, and notices when other programs keep it from its core."""

from __future__ import annotations

import time

import pytest

from perfmodel.measuring.timing import Protocol, Timing, time_calls
from tests.measuring.measured import needs_affinity, one_core_shared

QUICK = Protocol(budget_seconds=0.1)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def work(rounds: int) -> int:
    """A fixed amount of work, which takes longer when it is kept off its core."""
    total = 0
    for number in range(rounds):
        total += number * number
    return total


@pytest.mark.parametrize("wait", [spin, time.sleep])
def test_a_call_of_known_length(wait: object) -> None:
    timing = time_calls(lambda: wait(0.003), Protocol(budget_seconds=0.2), threads=1)  # type: ignore[operator]
    assert 0.003 <= timing.minimum_seconds <= timing.seconds < 0.006
    assert timing.repeats >= 5


def test_sleeping_is_not_waiting_for_a_core() -> None:
    timing = time_calls(lambda: time.sleep(0.002), QUICK, threads=1)
    assert timing.wall_over_cpu < 2  # were sleep a wait, it would be above ten; other tests may keep the cores busy


def test_calls_that_are_too_short_for_a_clock_are_grouped() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    timing = time_calls(call, Protocol(budget_seconds=0.01, most_samples=20), threads=1)
    assert calls > 50 * (timing.repeats + timing.rejected)
    assert timing.seconds < 2e-6


def test_samples_are_few_for_slow_calls_and_limited_for_fast_ones() -> None:
    slow = time_calls(lambda: time.sleep(0.03), Protocol(budget_seconds=0.01), threads=1)
    fast = time_calls(lambda: spin(0.0002), Protocol(budget_seconds=10.0, most_samples=40), threads=1)
    assert slow.repeats == 5
    assert fast.repeats == 40


def test_what_is_put_back_before_each_sample_is_not_timed() -> None:
    done: list[str] = []

    def before() -> None:
        done.append("before")
        time.sleep(0.002)

    timing = time_calls(lambda: done.append("call"), Protocol(budget_seconds=0.05), threads=1, before=before)
    assert done == ["before", "call"] * (len(done) // 2)
    assert timing.seconds < 0.001


@needs_affinity
def test_a_neighbour_on_the_same_core_is_noticed() -> None:
    with one_core_shared():
        time.sleep(0.1)  # until it has started
        disturbed = time_calls(lambda: work(300_000), Protocol(budget_seconds=0.5), threads=1)
    assert disturbed.rejected >= 10
    assert disturbed.wall_over_cpu > 1.4
    assert disturbed.contaminated


@needs_affinity
def test_samples_between_two_turns_of_a_neighbour_are_kept() -> None:
    """A call much shorter than a time slice is seldom interrupted: its median stays that of an idle machine."""

    def timed() -> Timing:
        return time_calls(lambda: work(3000), Protocol(budget_seconds=0.4, most_samples=3000), threads=1)

    def kept() -> bool:
        alone = timed()
        with one_core_shared():
            time.sleep(0.1)
            shared = timed()
        return not shared.contaminated and shared.seconds < 1.5 * alone.seconds

    assert any(kept() for _ in range(4))  # other tests may be a second neighbour


@pytest.mark.torch
def test_threads_that_work_are_not_taken_for_contention() -> None:
    torch = pytest.importorskip("torch")
    from perfmodel.measuring.timing import reference_seconds

    a = torch.rand(300, 300)
    timing = time_calls(lambda: torch.mm(a, a), QUICK, threads=1)
    assert timing.seconds > 0
    first = reference_seconds()
    assert 0.5 < reference_seconds() / first < 2.0
