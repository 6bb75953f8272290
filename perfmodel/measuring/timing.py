"""The protocol by which a torch program is timed on a CPU.

A sample is one call (several, if a call is shorter than 0.1 ms) with its wall time, and the longest time that any
thread of the process stood ready to run without a core, from the kernel's own account (/proc/self/task/*/schedstat).
That wait is what other programs take away, whatever the threads do. Process CPU time over threads would say the same
only if all threads worked all the time, but the pool's idle threads first spin and then sleep, and many ops run on one
thread only. Where the kernel keeps no such account, one thread's CPU time stands in for it; several threads cannot be
checked then.

    wall_over_cpu = wall / (wall - wait)

A sample above `most_wall_over_cpu` is rejected and repeated. May import: collector; torch
inside functions.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfmodel.collector import collector_paused

Call = Callable[[], object]

_SHORTEST_SAMPLE_SECONDS = 1e-4
_TASKS = Path("/proc/self/task")
_REFERENCE_SIZE = 192  # of a product whose factors stay in the second-level cache
_REFERENCE_REPEATS = 30


@dataclass(frozen=True, slots=True)
class Protocol:
    """How long and how often a program is timed.

    Args:
        budget_seconds: samples are taken until they have taken this long together.
        least_samples, most_samples: but never fewer or more than these.
        most_wall_over_cpu: a sample above this was kept off its cores, and is rejected.
        most_rejected: rejected samples, as a multiple of those wanted, after which a point is given up.
        warm_up: calls before the first sample.
    """

    budget_seconds: float = 0.06
    least_samples: int = 5
    most_samples: int = 300
    most_wall_over_cpu: float = 1.2
    most_rejected: float = 2.0
    warm_up: int = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one program.

    Args:
        seconds, minimum_seconds: of one call, median and least of the samples that were kept.
        repeats, rejected: samples that were kept and that were not.
        wall_over_cpu: median over all samples; 1 when no thread ever waited for a core.
        page_faults: minor ones in one call, on average.
        contaminated: too few samples could be kept: all of them count.
    """

    seconds: float
    minimum_seconds: float
    repeats: int
    rejected: int
    wall_over_cpu: float
    page_faults: float
    contaminated: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: seconds of a call, and how much longer that was than it would have been with its cores."""

    seconds: float
    wall_over_cpu: float


def time_calls(call: Call, protocol: Protocol, threads: int, before: Call | None = None) -> Timing:
    """Time a program: warm-up, then samples until the budget is used.

    Args:
        call: runs the program once.
        threads: of torch, which the caller has set.
        before: puts things back before each sample, untimed; samples are single calls then.
    """
    first = _warm_up(call, protocol.warm_up, before)
    calls = 1 if before else max(1, int(_SHORTEST_SAMPLE_SECONDS / max(first, 1e-7)))
    return take_samples(lambda: _sample(call, calls, threads), protocol, calls, before)


def take_samples(sample: Callable[[], Sample], protocol: Protocol, calls: int, before: Call | None = None) -> Timing:
    """Samples until the budget is used.

    Args:
        sample: takes one. calls: that are in it.
        before: puts things back before each sample, untimed.
    """
    kept: list[Sample] = []
    rejected: list[Sample] = []
    with collector_paused():
        faults = page_faults()
        start = time.perf_counter()
        while wants_more(kept, rejected, time.perf_counter() - start, protocol):
            if before:
                before()
            taken = sample()
            (kept if taken.wall_over_cpu <= protocol.most_wall_over_cpu else rejected).append(taken)
        faults = page_faults() - faults
    return timing_of(kept, rejected, faults / ((len(kept) + len(rejected)) * calls), protocol)


def timing_of(
    kept: Sequence[Sample], rejected: Sequence[Sample], faults_of_a_call: float, protocol: Protocol
) -> Timing:
    """What samples say of a program."""
    everything = [*kept, *rejected]
    contaminated = len(kept) < protocol.least_samples
    counted = [own.seconds for own in (everything if contaminated else kept)]
    return Timing(
        seconds=statistics.median(counted),
        minimum_seconds=min(counted),
        repeats=len(counted),
        rejected=len(everything) - len(kept),
        wall_over_cpu=statistics.median(own.wall_over_cpu for own in everything),
        page_faults=faults_of_a_call,
        contaminated=contaminated,
    )


def wants_more(kept: Sequence[Sample], rejected: Sequence[Sample], elapsed: float, protocol: Protocol) -> bool:
    """Whether a point needs further samples after so many seconds."""
    if len(kept) >= protocol.most_samples:
        return False
    if len(kept) >= protocol.least_samples:
        return elapsed < protocol.budget_seconds
    wanted = protocol.least_samples * protocol.most_rejected
    return len(rejected) < wanted or elapsed < protocol.budget_seconds


def _warm_up(call: Call, calls: int, before: Call | None) -> float:
    """Seconds of the last of the calls: the first ones compile, allocate and repack."""
    elapsed = 0.0
    for _ in range(max(1, calls)):
        if before:
            before()
        start = time.perf_counter()
        call()
        elapsed = time.perf_counter() - start
    return elapsed


def _sample(call: Call, calls: int, threads: int) -> Sample:
    waits, cpu = thread_waits(), time.thread_time()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    wall = time.perf_counter() - start
    cpu = time.thread_time() - cpu
    ratio = wall_over_cpu(wall, waits)
    if ratio is None:
        ratio = wall / max(cpu, 1e-9) if threads == 1 else 1.0
    return Sample(wall / calls, max(1.0, ratio))


def wall_over_cpu(wall: float, before: Mapping[str, int]) -> float | None:
    """Wall time over that without what the thread which waited longest has waited since; None where nobody counts.

    Args:
        before: what `thread_waits` was then.
    """
    after = thread_waits()
    if not before:
        return None
    wait = max(after[thread] - before.get(thread, 0) for thread in after) * 1e-9
    return wall / max(wall - wait, 1e-9)


def thread_waits() -> dict[str, int]:
    """Nanoseconds that each thread of the process has waited for a core so far; empty where nobody counts them."""
    found: dict[str, int] = {}
    try:
        for thread in os.listdir(_TASKS):
            try:
                found[thread] = int((_TASKS / thread / "schedstat").read_bytes().split()[1])
            except (FileNotFoundError, ProcessLookupError):  # it has ended
                continue
    except (OSError, IndexError, ValueError):
        return {}
    return found


def page_faults() -> int:
    """Minor ones of this process so far."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def reference_seconds() -> float:
    """Seconds of a small fixed product on one thread: how fast the core's clock is now.

    The least CPU time of many repetitions, so that other programs hardly touch it.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.autocast("cpu", enabled=False):  # which a model may be timed under
            a = torch.full((_REFERENCE_SIZE, _REFERENCE_SIZE), 0.5)
            times = []
            for _ in range(_REFERENCE_REPEATS):
                start = time.thread_time()
                torch.mm(a, a)
                times.append(time.thread_time() - start)
            return min(times)
    finally:
        torch.set_num_threads(threads)


def load_average() -> float:
    """Runnable programs over the last minute; 0 where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0
