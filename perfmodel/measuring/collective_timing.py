"""The protocol by which a collective is timed by all of its processes together.

All wait for each other, make one call (on a GPU several, between two events), and a sample is the time of the slowest.
After a round of samples every process hears what the others measured, so that all decide alike whether to go on.

Processes of one machine also wait for each other's threads, most of all where there are few cores: their waits alone
do not show a neighbour. What other programs took of the cores does; a round counts as disturbed by the smaller one.

    wait = min(longest wait of a thread, core seconds that others used),  wall_over_cpu = wall / (wall - wait)

May import: collector, timing; torch inside functions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfmodel.collector import collector_paused
from perfmodel.measuring.timing import Call, Protocol, Sample, Timing, page_faults, thread_waits, timing_of, wants_more

PROTOCOL = Protocol(budget_seconds=0.4, least_samples=10, most_samples=400, warm_up=3)
Exchange = Callable[[Sequence[float]], list[list[float]]]

_ROUND_SECONDS = 0.1
_STAT = Path("/proc/stat")
_TICK_SECONDS = 0.01  # of the kernel's account of idle cores
_LAUNCHES_PER_SAMPLE_SECONDS = 1e-3  # events resolve half a microsecond


@dataclass(frozen=True, slots=True)
class _Account:
    """What a process knows of its threads and of the cores at some moment.

    Args:
        seconds: of the clock. waits: of its threads, nanoseconds. busy_seconds: CPU time of the process.
        idle_seconds: of the cores it may use, all together; None where nobody counts them. cores: how many.
    """

    seconds: float
    waits: dict[str, int]
    busy_seconds: float
    idle_seconds: float | None
    cores: int


def time_collective(call: Call, protocol: Protocol, exchange: Exchange, wait_for_all: Call, *, cuda: bool) -> Timing:
    """Time a collective; every process of the group calls this at once, and all get the same answer.

    Args:
        exchange: numbers of this process -> those of all, by rank. wait_for_all: returns when all have called it.
        cuda: the call only queues work on the current device.
    """
    sample = _queued_sample if cuda else _host_sample
    first = _warm_up(call, protocol, wait_for_all, sample)
    first = max(row[0] for row in exchange([first]))
    calls = max(1, int(_LAUNCHES_PER_SAMPLE_SECONDS / max(first, 1e-6))) if cuda else 1
    size = min(max(1, int(_ROUND_SECONDS / max(first * calls, 1e-6))), protocol.most_samples // 4)
    kept: list[Sample] = []
    rejected: list[Sample] = []
    elapsed = 0.0
    with collector_paused():
        faults = page_faults()
        while wants_more(kept, rejected, elapsed, protocol):
            before = _account()
            seconds = []
            for _ in range(size):
                wait_for_all()
                seconds.append(sample(call, calls))
            rows = exchange([*_spent(before, _account()), *seconds])
            elapsed += max(row[0] for row in rows)
            ratio = 1.0 if cuda else _wall_over_cpu(rows)
            slowest = [max(column) for column in list(zip(*rows, strict=True))[_SPENT:]]
            own = kept if ratio <= protocol.most_wall_over_cpu else rejected
            own += [Sample(value, ratio) for value in slowest]
        faults = page_faults() - faults
    faults_of_a_call = faults / ((len(kept) + len(rejected)) * calls)
    return timing_of(kept, rejected, max(row[0] for row in exchange([faults_of_a_call])), protocol)


def _warm_up(call: Call, protocol: Protocol, wait_for_all: Call, sample: Callable[[Call, int], float]) -> float:
    seconds = 0.0
    for _ in range(max(1, protocol.warm_up)):
        wait_for_all()
        seconds = sample(call, 1)
    return seconds


def _host_sample(call: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _queued_sample(call: Call, calls: int) -> float:
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    seconds: float = start.elapsed_time(end) * 1e-3
    return seconds / calls


_SPENT = 4  # numbers of `_spent`


def _spent(before: _Account, after: _Account) -> tuple[float, float, float, float]:
    """Between two accounts: (wall, longest wait of a thread, CPU time, time that its cores were not idle); the last is
    negative where nobody counts it."""
    wall = after.seconds - before.seconds
    wait = max((after.waits[thread] - before.waits.get(thread, 0) for thread in after.waits), default=0) * 1e-9
    taken = -1.0
    if before.idle_seconds is not None and after.idle_seconds is not None:
        taken = max(0.0, after.cores * wall - (after.idle_seconds - before.idle_seconds))
    return wall, wait, after.busy_seconds - before.busy_seconds, taken


def _wall_over_cpu(rows: Sequence[Sequence[float]]) -> float:
    """How much longer a round took because of other programs, from what each process spent.

    >>> quiet, spinning = [[0.1, 0.03, 0.06, 0.13]] * 2, [[0.1, 0.03, 0.05, 0.2]] * 2
    >>> round(_wall_over_cpu(quiet), 3), round(_wall_over_cpu(spinning), 3)
    (1.0, 1.429)
    """
    wall, wait, _, taken = (max(row[place] for row in rows) for place in range(_SPENT))
    if taken < 0:
        return 1.0
    others = max(0.0, taken - sum(row[2] for row in rows) - _TICK_SECONDS)
    return wall / max(wall - min(wait, others), 1e-9)


def _account() -> _Account:
    idle, cores = _idle()
    return _Account(time.perf_counter(), thread_waits(), time.process_time(), idle, cores)


def _idle() -> tuple[float | None, int]:
    """(seconds for which the cores that this process may use were idle, how many these are)."""
    try:
        usable = os.sched_getaffinity(0)
        lines = _STAT.read_text().splitlines()
    except (AttributeError, OSError):
        return None, 0
    fields = [line.split() for line in lines if line.startswith("cpu") and not line.startswith("cpu ")]
    own = [row for row in fields if int(row[0][3:]) in usable]
    return sum(int(row[4]) + int(row[5]) for row in own) * _TICK_SECONDS, len(own)
