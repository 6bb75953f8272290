"""`perfmodel measure` killed again and again over one file: it grows line by line, and holds each point once."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

from perfmodel.measuring.run_files import key_of, read_runs
from tests.faults.killing import listing, run_killed

RUNS = "runs.jsonl"
ARGUMENTS = (
    "measure", "--dtype", "fp32", "--threads", "1", "--programs", "^single (relu|linear 64x)", "--force",
    "--out", RUNS,
)  # fmt: skip


class KillingMeasure:
    """As `commands.Killing`, but that times are never the same twice."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, "measure"
        self.kills = self.resumes = 0
        self.torn: list[str] = []
        folder.mkdir()
        run_killed(ARGUMENTS, folder, at=1)  # starts the process that is forked
        begun = time.perf_counter()
        ended = run_killed(ARGUMENTS, folder)
        assert ended.code == 0, ended.output
        self.steps, self.seconds = ended.steps, time.perf_counter() - begun
        self.wanted = {key_of(point) for point in read_runs(folder / RUNS).points}
        self.start()

    def start(self) -> None:
        """Begin a file."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self._whole_lines = b""

    def kill(self, *, at: int = 0, after_seconds: float | None = None) -> bool:
        """Kill it once, where it goes on from the kill before; whether it was still running."""
        ended = run_killed(ARGUMENTS, self.folder, at=at, after_seconds=after_seconds)
        if not ended.killed:
            assert ended.code == 0, ended.output
            self._check_whole()
            self.start()
            return False
        self.kills += 1
        self._check_lines(f"measure at step {at}" if at else f"measure after {after_seconds:.3f} s")
        return True

    def _check_lines(self, where: str) -> None:
        """What was there is there, and all lines but the last are points."""
        path = self.folder / RUNS
        content = path.read_bytes() if path.exists() else b""
        lines = content[: content.rfind(b"\n") + 1]
        if not lines.startswith(self._whole_lines):
            self.torn.append(f"{where}: points of before are gone")
        for number, line in enumerate(lines.splitlines(), start=1):
            try:
                json.loads(line)
            except ValueError:
                self.torn.append(f"{where}: line {number} is torn")
        self._whole_lines = lines

    def resume(self) -> None:
        """Run it to the end, and begin anew."""
        ended = run_killed(ARGUMENTS, self.folder)
        if ended.code:
            self.torn.append(f"measure, run again: exit code {ended.code}: {ended.output[-300:]}")
        self._check_lines("measure, run again")
        self._check_whole()
        self.start()

    def _check_whole(self) -> None:
        self.resumes += 1
        counts = Counter(key_of(point) for point in read_runs(self.folder / RUNS).points)
        if set(counts) != self.wanted or set(counts.values()) != {1}:
            self.torn.append(f"measure, run again: {counts} instead of each point once")
        if listing(self.folder) != {RUNS}:
            self.torn.append(f"measure, run again: {listing(self.folder)} are left")
