"""Runs of `perfmodel measure` in processes of their own, and neighbours that take their cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# what of a point depends on the moment
OF_THE_MOMENT = {
    "seconds", "minimum_seconds", "repeats", "rejected", "wall_over_cpu", "page_faults", "contaminated", "load",
    "drift", "date",
}  # fmt: skip

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux to choose cores")


def start_measuring(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """`perfmodel measure ARGUMENTS`, programs and models on one thread."""
    threads = [] if "--collectives" in arguments else ["--threads", "1"]
    command = [sys.executable, "-m", "perfmodel", "measure", *threads, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def measure(*arguments: str, **options: Any) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of it."""
    process = start_measuring(*arguments, **options)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def points_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def lasting_parts(path: Path) -> list[dict[str, Any]]:
    """The points without what depends on the moment, in the order of their names."""
    kept = [{key: value for key, value in point.items() if key not in OF_THE_MOMENT} for point in points_of(path)]
    return sorted(kept, key=lambda point: json.dumps(point))


@contextmanager
def one_core_shared(neighbours: int = 1) -> Iterator[None]:
    """This thread, and processes started from it, share one core with programs that never pause."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    spin = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    spinning = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(neighbours)]
    try:
        for process in spinning:
            assert process.stdout is not None
            process.stdout.readline()  # on a busy machine they would else begin when all is measured
        yield
    finally:
        for process in spinning:
            process.kill()
            process.communicate()
        os.sched_setaffinity(0, cores)
