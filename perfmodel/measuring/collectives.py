"""Collectives between processes of this machine, timed into a file of runs: gloo on CPUs, NCCL on CUDA devices.

Points that other programs disturbed are put off and tried again at the end, as those of a suite are. Where a process
dies or hangs, measuring ends with an error; what was measured is in the file. May import: errors, and the files of
this folder; torch inside functions. To add an operation: see collective_calls.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.errors import InputError, PeerError
from perfmodel.measuring.collective_calls import ELEMENT_BYTES, LIBRARIES, OPERATIONS, whole_bytes
from perfmodel.measuring.collective_peers import TIMEOUT_SECONDS, Peers, started_peers
from perfmodel.measuring.collective_timing import PROTOCOL
from perfmodel.measuring.collective_worker import Task
from perfmodel.measuring.conditions import available_cores, free_memory_bytes
from perfmodel.measuring.run_files import Point, RunFile, key_of
from perfmodel.measuring.suite_runner import Clock, Progress, busy, new_header, point_of
from perfmodel.measuring.timing import Protocol, Timing

SUITE = "collectives"
SIZES = tuple(4**power << 10 for power in range(9))  # 1 KiB to 64 MiB
_PROCESS_BYTES = 300 << 20  # of a process with torch in it, without its buffers
_BUFFERS = 3  # the two of the caller, and one of the library
_ATTEMPTS = 3  # of a disturbed point
_LARGEST_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class CollectiveCase:
    """One point that is to be measured."""

    operation: str
    size_bytes: int
    processes: int
    dtype: str
    library: str

    @property
    def kind(self) -> str:
        """What a library has or has not."""
        return f"{self.operation} in {self.dtype}"

    @property
    def label(self) -> dict[str, Any]:
        """The part of its point that is known before."""
        return {
            "operation": self.operation,
            "bytes": self.size_bytes,
            "devices": self.processes,
            "library": self.library,
            "dtype": self.dtype,
            "threads": 1,
            "runtime": "eager",
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of the cases: points measured now, and what the library cannot do -> why."""

    points: int
    skipped: Mapping[str, str]


def collective_cases(
    processes: Sequence[int],
    device: str,
    *,
    operations: Sequence[str] = OPERATIONS,
    sizes_bytes: Sequence[int] = SIZES,
    dtypes: Sequence[str] = ("fp32",),
) -> list[CollectiveCase]:
    """All points of a run; those of one number of processes in a random order, which is always the same.

    Raises:
        InputError: what cannot be measured here, all of it at once.
    """
    wrong = [f"unknown operation '{name}' (known: {', '.join(OPERATIONS)})" for name in operations
             if name not in OPERATIONS]  # fmt: skip
    wrong += [f"collectives are not timed in '{name}' (known: {', '.join(ELEMENT_BYTES)})" for name in dtypes
              if name not in ELEMENT_BYTES]  # fmt: skip
    wrong += [f"{size} bytes are no size of a message: from 1 byte to 1 TiB" for size in sizes_bytes
              if not 1 <= size <= _LARGEST_BYTES]  # fmt: skip
    wrong += _refused_counts(processes, device)
    if not wrong and device == "cpu":
        wrong = _too_large(max(processes), max(sizes_bytes))
    if wrong:
        raise InputError("; ".join(wrong))
    found: list[CollectiveCase] = []
    for count in processes:
        own = dict.fromkeys(
            CollectiveCase(name, whole_bytes(size, dtype, count), count, dtype, LIBRARIES[device])
            for dtype in dtypes
            for name in operations
            for size in sizes_bytes
        )
        found += random.Random(0).sample(list(own), len(own))
    return found


def _refused_counts(processes: Sequence[int], device: str) -> list[str]:
    most, what = (available_cores(), "cores") if device == "cpu" else (_cuda_devices(), "CUDA devices")
    if most < 2:
        return [f"a collective needs at least 2 processes, each with one of the {what}: {most} can be used here"]
    wrong = [f"{count} process: a collective needs at least 2" for count in processes if count < 2]
    return wrong + [
        f"{count} processes, but {most} {what} can be used here: several on one only wait for each other"
        for count in processes
        if count > most
    ]


def default_processes(device: str) -> int:
    """How many processes are measured if nobody says: two on a CPU, else one for each CUDA device."""
    return 2 if device == "cpu" else _cuda_devices()


def _cuda_devices() -> int:
    import torch

    return int(torch.cuda.device_count())


def _too_large(processes: int, largest_bytes: int) -> list[str]:
    needed, free = processes * (_PROCESS_BYTES + _BUFFERS * largest_bytes), free_memory_bytes()
    if not free or needed <= free:
        return []
    return [
        f"{processes} processes with messages of {largest_bytes / 2**20:.0f} MiB need about {needed / 2**30:.1f} GiB "
        f"of memory, and {free / 2**30:.1f} are free; take fewer or smaller ones"
    ]


def collective_header(device: str) -> dict[str, Any]:
    """What a file says of the machine and of the conditions."""
    header = new_header(device, SUITE)
    if device == "cuda":
        import torch

        header["versions"] |= {"nccl": ".".join(map(str, torch.cuda.nccl.version()))}
    return header


def measure_collectives(
    cases: Sequence[CollectiveCase],
    runs: RunFile,
    protocol: Protocol = PROTOCOL,
    *,
    force: bool = False,
    progress: Progress = lambda done, total, label: None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Measured:
    """Measure what is not in the file yet.

    Args:
        force: keep disturbed points as they are, marked contaminated. timeout_seconds: of one collective.

    Raises:
        MachineBusyError: points were disturbed again and again. PeerError: a process died or hangs. InputError: the
            file cannot be written.
    """
    clock, skipped, points = Clock(runs.header), dict[str, str](), 0
    for count in dict.fromkeys(case.processes for case in cases):
        own = [case for case in cases if case.processes == count]
        waiting = [case for case in own if key_of(case.label) not in runs.done]
        if not waiting:
            continue

        def shown(label: str) -> None:
            progress(sum(key_of(case.label) in runs.done for case in cases), len(cases), label)

        shown(f"starting {count} processes")
        try:
            with started_peers(count, waiting[0].library, timeout_seconds) as peers:
                points += _measure_all(waiting, runs, protocol, peers, clock, skipped, force, shown)
        except PeerError as error:
            raise PeerError(
                f"{error}. {len(runs.done)} points are in {runs.path}; the same command goes on from there."
            ) from None
    return Measured(points, skipped)


def _measure_all(
    waiting: Sequence[CollectiveCase],
    runs: RunFile,
    protocol: Protocol,
    peers: Peers,
    clock: Clock,
    skipped: dict[str, str],
    force: bool,
    shown: Callable[[str], None],
) -> int:
    """The number of points measured; operations that the library lacks are put into `skipped`."""
    total = len(waiting)
    points = 0
    for _ in range(_ATTEMPTS):
        disturbed = []
        for case in waiting:
            if case.kind in skipped:
                continue
            shown(f"{case.operation} {case.size_bytes} bytes, {case.processes} processes")
            point = _measure(case, protocol, peers, clock, skipped)
            if point is None:
                continue
            if force or not point["contaminated"]:
                runs.append(point)
                points += 1
            else:
                disturbed.append(case)
        waiting = disturbed
        if not waiting:
            return points
    raise busy(f"{len(waiting)} of {total} points were disturbed {_ATTEMPTS} times", runs, "")


def _measure(
    case: CollectiveCase, protocol: Protocol, peers: Peers, clock: Clock, skipped: dict[str, str]
) -> Point | None:
    drift = clock.drift()
    kind, answer = peers.ask(Task(case.operation, case.size_bytes, case.dtype, protocol))
    if kind == "unsupported":
        skipped[case.kind] = f"{case.library}: {answer}"
        return None
    timing: Timing = answer
    return point_of(case.label, timing, drift)
