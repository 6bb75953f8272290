"""Runs the cases of a reader, one after the other, under limits; started by `run`.

python -m tests.fuzz.child READER BEGIN END FOLDER        a line for each case into FOLDER/told.jsonl
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from perfmodel.graphs.timm_models import import_timm
from tests.fuzz import guards
from tests.fuzz.cases import Finding, case_of, fresh, judge, place_of, write_case
from tests.fuzz.readers import BY_NAME, Reader

USING_TIMM = ("anchors", "model name", "command line", "overrides")
PEAK_CASES = 20  # between two looks at how little memory is held, which take milliseconds
WARMING = 40  # cases that import what the reader needs, before anything is measured


def main(name: str, begin: int, end: int, folder: Path) -> None:
    reader = BY_NAME[name]
    work = folder / "case"
    if name in USING_TIMM:
        import_timm()
    for seed in range(WARMING):
        _warm(reader, -1 - seed, work)
    guards.limit_memory()
    fence = guards.Fence(folder, programs=reader.works)
    with (folder / "told.jsonl").open("a", encoding="utf-8", buffering=1) as told:
        for seed in range(begin, end):
            told.write(json.dumps({"seed": seed, **_run(reader, seed, work, fence)}) + "\n")


def _warm(reader: Reader, seed: int, work: Path) -> None:
    path = write_case(fresh(work), case_of(reader, seed))
    os.chdir(work)
    try:
        judge(reader, path)
    except (Finding, MemoryError, SystemExit):
        return


def _run(reader: Reader, seed: int, work: Path, fence: guards.Fence) -> dict[str, Any]:
    """What became of a case: whether it was read, its time and memory, and the finding if there is one."""
    path = write_case(fresh(work), case_of(reader, seed))
    os.chdir(work)
    if seed % PEAK_CASES == 0:
        guards.reset_peak()
    before = guards.peak_bytes()
    found: dict[str, Any] = {}
    begun = time.process_time()
    try:
        with ExitStack() as watched:
            watched.enter_context(fence.closed())
            watched.enter_context(guards.time_limit(reader.seconds))
            found["read"] = judge(reader, path)
    except Finding as error:
        found["finding"] = str(error)
    except guards.TooLong as error:
        found["finding"] = f"TooLong: {error}\n{place_of(error)}"
    except (MemoryError, SystemExit, KeyboardInterrupt) as error:
        found["finding"] = f"{type(error).__name__}: {error}\n{place_of(error)}"
    found["seconds"] = time.process_time() - begun
    found["bytes"] = max(guards.peak_bytes() - before, 0)
    if fence.crossed and "finding" not in found:
        found["finding"] = f"went out of its folder: {'; '.join(fence.crossed[:5])}"
    if found["bytes"] > guards.MEMORY_BYTES and "finding" not in found:
        found["finding"] = f"took {found['bytes'] / 2**20:.0f} MiB of memory"
    return found


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
