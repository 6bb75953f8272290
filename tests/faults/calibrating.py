"""`perfmodel calibrate` killed while it measures, fits and writes: it goes on, and fits what its files of runs hold."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

from perfmodel.measuring.run_files import key_of, read_runs
from tests.faults.killing import Ended, listing, run_killed

NAME, HOME, OTHER = "mine", "home", "other"
ARGUMENTS = (
    "calibrate", "--dtype", "fp32", "--threads", "1", "--programs", "^block", "--no-models", "--force", "--name", NAME
)  # fmt: skip


class KillingCalibration:
    """As `commands.Killing`, but that times are never the same twice: the end is compared to a fit of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, "calibrate"
        self.kills = self.resumes = 0
        self.torn: list[str] = []
        folder.mkdir()
        begun = time.perf_counter()
        ended = self._run()
        assert ended.code == 0, ended.output
        self.steps, self.seconds = ended.steps, time.perf_counter() - begun
        self.wanted = {name: self._points(name) for name in self._run_files()}
        self._start()

    def _start(self) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self._points_before = 0

    def _run(self, *, at: int = 0, after_seconds: float | None = None) -> Ended:
        environment = {"PERFMODEL_HOME": str(self.folder / HOME)}
        return run_killed(ARGUMENTS, self.folder, at=at, after_seconds=after_seconds, environment=environment)

    def _run_files(self) -> list[str]:
        return sorted(name for name in listing(self.folder) if name.endswith(".jsonl"))

    def _points(self, name: str) -> Counter[object]:
        return Counter(key_of(point) for point in read_runs(self.folder / name).points)

    def kill(self, *, at: int = 0, after_seconds: float | None = None) -> bool:
        """Kill it once, where it goes on from the kill before; whether it was still running."""
        ended = self._run(at=at, after_seconds=after_seconds)
        if not ended.killed:
            assert ended.code == 0, ended.output
            self._check()
            return False
        self.kills += 1
        if self._count() < self._points_before:
            self.torn.append(f"calibrate at step {at}, after {after_seconds} s: points of before are gone")
        self._points_before = self._count()
        return True

    def _count(self) -> int:
        """Whole lines of all files of runs."""
        return sum((self.folder / name).read_bytes().count(b"\n") for name in self._run_files())

    def resume(self) -> None:
        """Run it to the end, compare, and begin anew."""
        ended = self._run()
        if ended.code:
            self.torn.append(f"calibrate, run again: exit code {ended.code}: {ended.output[-300:]}")
        self._check()

    def _check(self) -> None:
        self.resumes += 1
        found = {name: self._points(name) for name in self._run_files()}
        if found != self.wanted:
            self.torn.append(f"calibrate, run again: {found} instead of each point once")
        if strays := [name for name in listing(self.folder) if name.endswith(".tmp")]:
            self.torn.append(f"calibrate, run again: {strays} are left")
        fitted = self._fitted(HOME)
        ended = run_killed(
            ("calibrate", "--name", NAME, "--force", "--from", *self._run_files()[::-1]), self.folder,
            environment={"PERFMODEL_HOME": str(self.folder / OTHER)},
        )  # fmt: skip
        if ended.code or self._fitted(OTHER) != fitted:
            self.torn.append(f"calibrate, run again: not what a fit of its runs gives: {ended.output[-300:]}")
        self._start()

    def _fitted(self, home: str) -> dict[str, bytes]:
        """The coefficients, but for the list of files, whose order is that in which they were named."""
        folder = self.folder / home / "coefficients"
        return {path.name: path.read_bytes().partition(b'"scopes"')[2] for path in folder.glob("*.json")}
