"""Freed memory stays with the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MANY = """
import resource
import numpy as np
from perfmodel.allocation import keep_freed_memory

if {kept}:
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    arrays = [np.ones(1 << 17) for _ in range(4)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what other C libraries do is theirs")
def test_arrays_fault_once() -> None:
    # a Dask worker that ran in this process may have left settings of the allocator behind
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = {
        kept: int(
            subprocess.run(
                [sys.executable, "-c", MANY.format(kept=kept)], capture_output=True, check=True, env=env
            ).stdout
        )
        for kept in (True, False)
    }
    assert faults[True] < faults[False] / 4
