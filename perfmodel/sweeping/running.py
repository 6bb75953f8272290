"""A sweep from its file to its table: `perfmodel.sweep`. May import: everything of sweeping."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.errors import InputError
from perfmodel.sweeping.columns import columns_of
from perfmodel.sweeping.dask_workers import dask_parts
from perfmodel.sweeping.fingerprint import fingerprint_of
from perfmodel.sweeping.local_workers import local_parts
from perfmodel.sweeping.parts import Parts, check_target, open_parts
from perfmodel.sweeping.points import Sweep
from perfmodel.sweeping.spec import read_sweep
from perfmodel.sweeping.table_files import format_of, join_parts

EXECUTORS = ("local", "dask")
MOST_WORKERS = 1024
Show = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep came to.

    Args:
        points: of its grids, those left out by conditions included; rows: in the file. parts: it was cut into;
            resumed: those that were there already.
    """

    out: str
    points: int
    rows: int
    parts: int
    resumed: int
    seconds: float


def sweep(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    *,
    out: str | os.PathLike[str],
    executor: str = "local",
    address: str | None = None,
    workers: int = 0,
    restart: bool = False,
    specs: str | None = None,
    show: Show | None = None,
) -> SweepResult:
    """Answer every point of a sweep into one table; a sweep that was stopped goes on from the parts that are done.

    The file is the same, byte by byte, whoever computed it and however often it was interrupted. Worker processes
    import the program that calls this: in a script, call it under `if __name__ == "__main__":`.

    Args:
        spec: a file, or the same data; see `sweeping.spec` and docs/sweeping.md. out: a .parquet or .csv file.
        executor: local (processes) or dask. address: of a Dask scheduler; None: a cluster of processes here.
        workers: processes; 0 for as many as there are cores. restart: forget the parts that are done.
        specs: a folder of own chips, models and engines. show: told (parts done, all, what is being done).

    Raises:
        PerfmodelError: mistakes in the file, all at once; a file that cannot be written; workers that are lost.
    """
    began = time.monotonic()
    target = Path(out).expanduser()
    form = format_of(target)
    check_target(target, None if isinstance(spec, Mapping) else spec)
    _check_executor(executor, address, workers)
    asked = read_sweep(spec, specs=specs)
    fingerprint = fingerprint_of(asked, form)
    parts = open_parts(target, fingerprint, restart=restart)
    try:
        resumed, rows = _completed(asked, form, fingerprint, parts, executor, address, workers, show or _silent)
    finally:
        parts.close()
    return SweepResult(out=str(out), points=asked.points, rows=rows, parts=asked.parts, resumed=resumed,
                       seconds=time.monotonic() - began)  # fmt: skip


def _silent(_done: int, _total: int, _label: str) -> None:
    return None


def _check_executor(executor: str, address: str | None, workers: int) -> None:
    problems = []
    if executor not in EXECUTORS:
        problems.append(f"unknown executor '{executor}' (known: {', '.join(EXECUTORS)})")
    if address is not None and executor != "dask":
        problems.append("an address is of a Dask scheduler: give --executor dask with it")
    if not 0 <= workers <= MOST_WORKERS:
        problems.append(f"workers must lie between 1 and {MOST_WORKERS}, not {workers}")
    if problems:
        raise InputError("; ".join(problems))


def _completed(
    asked: Sweep,
    form: str,
    fingerprint: str,
    parts: Parts,
    executor: str,
    address: str | None,
    workers: int,
    show: Show,
) -> tuple[int, int]:
    """(parts that were there, rows of the file) once all parts are done and joined."""
    total = asked.parts
    done = parts.done()
    resumed = len(done)
    left = [part for part in range(total) if part not in done]
    show(resumed, total, "resumed" if resumed else "started")
    count = workers or _cores()
    if left:
        # closed at once where a part cannot be written: the workers would compute on
        with closing(_computed(asked, left, form, fingerprint, executor, address, count)) as computed:
            for part, rows in computed:
                parts.write(part, rows)
                done.add(part)
                show(len(done), total, f"{len(done) * asked.points // total:,} points")
    show(total, total, "joining")
    try:
        rows_written = join_parts(form, map(parts.path, range(total)), parts.joined, columns_of(asked), asked.text)
        parts.finish()
    except OSError as error:
        with suppress(OSError):
            parts.joined.unlink(missing_ok=True)
        raise InputError(f"{parts.out} cannot be written: {error.strerror or error}. {parts.resume}") from None
    return resumed, rows_written


def _computed(
    asked: Sweep, left: list[int], form: str, fingerprint: str, executor: str, address: str | None, workers: int
) -> Generator[tuple[int, bytes], None, None]:
    if executor == "dask":
        return dask_parts(asked, left, form, fingerprint, workers, address)
    return local_parts(asked, left, form, fingerprint, workers)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
