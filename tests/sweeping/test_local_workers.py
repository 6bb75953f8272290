"""Workers of this machine that die at the worst moment."""

from __future__ import annotations

import os
import struct
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import pytest

from perfmodel.sweeping.local_workers import _leave_results_to_workers


def die_while_answering() -> None:
    """Ends this worker when it has written the length of its result and nothing of the result."""
    frame: Any = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000))
    os._exit(1)


def test_a_worker_that_dies_in_the_midst_of_its_result_is_noticed() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(die_while_answering)
        _leave_results_to_workers(pool, 2)  # one has no way to answer yet: nothing is closed
        assert not pool._result_queue._writer.closed  # type: ignore[attr-defined]
        _leave_results_to_workers(pool, 1)
        with pytest.raises(BrokenProcessPool):
            future.result(timeout=60)
