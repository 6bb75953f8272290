"""Parts computed by processes of this machine.

A worker that dies takes no part with it: the pool is started again and the unfinished parts are done again, as long as
something comes of it. Workers end with the process that started them, however it ends. May import: computing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from perfmodel.errors import PeerError
from perfmodel.sweeping.computing import compute_part
from perfmodel.sweeping.points import Sweep

FRUITLESS = 3  # deaths of workers in a row without a part done between them
AHEAD = 2  # parts of each worker that are under way or waiting for it


def local_parts(
    sweep: Sweep, parts: Sequence[int], form: str, fingerprint: str, workers: int
) -> Generator[tuple[int, bytes], None, None]:
    """(part, its rows) as they are done.

    Raises:
        PeerError: workers die again and again.
    """
    left = dict.fromkeys(parts)
    fruitless = 0
    while left:
        try:
            with closing(_pool_parts(sweep, list(left), form, fingerprint, min(workers, len(left)))) as computed:
                for part, rows in computed:
                    del left[part]
                    fruitless = 0
                    yield part, rows
        except BrokenProcessPool:
            fruitless += 1
            if fruitless == FRUITLESS:
                raise PeerError(
                    f"workers died {FRUITLESS} times in a row (killed, or out of memory?): try fewer --workers. What "
                    "is done is kept; the same command goes on from there"
                ) from None


def _pool_parts(
    sweep: Sweep, parts: Sequence[int], form: str, fingerprint: str, workers: int
) -> Generator[tuple[int, bytes], None, None]:
    # numpy's BLAS starts a thread per core in each worker, and nothing here multiplies large matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = get_context("spawn")
    ends, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(ends,))
    try:
        waiting = iter(parts)
        running: dict[Future[bytes], int] = {}
        while True:
            for part in waiting:
                running[pool.submit(compute_part, sweep, part, form, fingerprint)] = part
                if len(running) >= AHEAD * workers:
                    break
            if not running:
                return
            _leave_results_to_workers(pool, workers)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        _leave_results_to_workers(pool, 0)
        alive.close()  # the workers end, whatever they are at
        ends.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_results_to_workers(pool: ProcessPoolExecutor, workers: int) -> None:
    """Close this process's own end for writing results once so many workers have theirs.

    A worker that is killed in the midst of a result would else leave its reader here waiting for the rest for ever: the
    pipe only ends when nobody can write to it.
    """
    if len(pool._processes or ()) >= workers and pool._result_queue is not None:
        pool._result_queue._writer.close()  # type: ignore[attr-defined]  # there is no public way


def _begin(ends: Connection) -> None:
    """Ctrl-C is for the process that started this one; its end, and the end of the work, end this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(ends,), daemon=True).start()


def _end_with(ends: Any) -> None:
    try:
        ends.recv()
    except (EOFError, OSError):
        os._exit(0)
