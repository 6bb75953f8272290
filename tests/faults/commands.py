"""Commands that write files, and what must hold of the files after a kill and after the same command is run again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.calibration.fitted import gemm_table
from tests.calibration.test_validation import TRUTH
from tests.faults.killing import Ended, listing, run_killed
from tests.sweeping.specs import SERVING

RECORDED = Path(__file__).parents[2] / "calibration" / "measurements" / "epyc-zen5-2-cores" / "quick.jsonl"
HOME = "home"
OLD = b"what was there before\n"


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the files it writes.

    Args:
        prepare: puts what it reads into a folder. old: files that it replaces. working: names that begin with one of
            these may be there after a kill. prepared: is called in its process before it starts.
    """

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    old: Mapping[str, bytes] = field(default_factory=dict)
    working: tuple[str, ...] = ()
    prepared: Callable[[], None] | None = None


def _fit(folder: Path) -> None:
    gemm_table(folder / "gemm.csv", {"h100-sxm": TRUTH["h100-sxm"], "l40s": TRUTH["l40s"]}, rows=24)


def _sweep(folder: Path) -> None:
    grid = SERVING["grid"] | {"concurrency": {"from": 1, "to": 400, "steps": 6, "scale": "log"}}
    (folder / "sweep.json").write_text(json.dumps(SERVING | {"grid": grid, "part_points": 100}))


def _calibrate(folder: Path) -> None:
    lines = RECORDED.read_text(encoding="utf-8").splitlines(keepends=True)
    points = [line for line in lines[1:] if (own := json.loads(line))["dtype"] == "fp32" and own["threads"] == 1]
    (folder / "runs.jsonl").write_text("".join([lines[0], *points[::20]]), encoding="utf-8")


def _nothing(_: Path) -> None:
    return None


def _standing_clock() -> None:
    """Pages tell when they were made."""
    import datetime

    class Standing(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Standing:
            return cls(2026, 1, 1, tzinfo=tz)

    datetime.datetime = Standing  # type: ignore[misc]


FIT = Command("fit", ("fit", "gemm.csv", "--out", "mine.json"), _fit, {"mine.json": OLD})
SWEEP = Command(
    "sweep", ("sweep", "sweep.json", "--out", "table.parquet", "--workers", "1"), _sweep, {"table.parquet": OLD},
    working=("table.parquet.parts/",),
)  # fmt: skip
CALIBRATE = Command("calibrate", ("calibrate", "--from", "runs.jsonl", "--name", "that-box"), _calibrate)
SIMULATE = Command(
    "simulate",
    ("simulate", "llama-3.1-8b", "--hardware", "h100-sxm", "--rate", "5", "--requests", "40", "--plot", "run.png",
     "--html", "run.html"),
    _nothing, {"run.png": OLD, "run.html": OLD}, prepared=_standing_clock,
)  # fmt: skip


class Killing:
    """A command that is killed and run again, in one folder, with what an undisturbed run writes."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command, self.folder = command, folder
        self.kills = self.resumes = 0
        self.torn: list[str] = []
        self._start()
        self.steps = self._run().steps
        self.whole = self._contents()
        begun = time.perf_counter()
        again = self._run()
        self.seconds = time.perf_counter() - begun  # the first one has started the process that is forked
        assert again.code == 0, again.output
        assert self._contents() == self.whole, f"{command.name} does not give the same twice"

    def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.command.prepare(self.folder)
        for name, content in self.command.old.items():
            (self.folder / name).write_bytes(content)
        self.before = self._contents()

    def _run(self, *, at: int = 0, after_seconds: float | None = None) -> Ended:
        return run_killed(
            self.command.arguments, self.folder, at=at, after_seconds=after_seconds,
            environment={"PERFMODEL_HOME": str(self.folder / HOME)}, prepare=self.command.prepared,
        )  # fmt: skip

    def _contents(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in listing(self.folder)}

    def kill(self, *, at: int = 0, after_seconds: float | None = None) -> bool:
        """Kill it once, from the beginning, and look at its files; whether it was still running."""
        self._start()
        ended = self._run(at=at, after_seconds=after_seconds)
        if not ended.killed:
            assert ended.code == 0, ended.output
            return False
        self.kills += 1
        where = f"{self.command.name} at step {at}" if at else f"{self.command.name} after {after_seconds:.3f} s"
        for name, content in self._contents().items():
            if Path(name).name.startswith(".") or name.startswith(self.command.working):
                continue
            if content not in (self.before.get(name), self.whole.get(name)):
                self.torn.append(f"{where}: {name} holds {len(content)} bytes")
        self.torn += [f"{where}: {name} is gone" for name in self.before.keys() - self._contents().keys()]
        return True

    def resume(self) -> None:
        """Run it again to the end: the same files as of an undisturbed run, and no other."""
        ended = self._run()
        self.resumes += 1
        if ended.code:
            self.torn.append(f"{self.command.name}: exit code {ended.code}: {ended.output[-300:]}")
            return
        found = self._contents()
        for name in sorted(found.keys() | self.whole.keys()):
            if found.get(name) != self.whole.get(name):
                state = "left over" if name not in self.whole else "missing" if name not in found else "different"
                self.torn.append(f"{self.command.name}, run again: {name} is {state}")
