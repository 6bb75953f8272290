"""Clocks that are set while perfmodel works: what it measures and waits for are seconds, not times of day."""

from __future__ import annotations

import ast
import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from perfmodel.measuring.run_files import key_of, read_runs
from tests.faults.clock import HOURS, jump
from tests.faults.commands import SWEEP, Killing
from tests.faults.killing import run_killed
from tests.faults.measuring import ARGUMENTS, RUNS
from tests.web.event_loops import run_apart

PACKAGE = Path(__file__).parents[2] / "perfmodel"
# files that tell people the day or the time of day, and count nothing with it
DATED = {
    "measuring/suite_runner.py", "cli/html_reports.py", "cli/hardware.py", "calibration/fitting.py",
    "calibration/serving_fitting.py", "prices.py", "calibration/static_batch_fitting.py", "web/bodies.py",
}  # fmt: skip
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "Date.today"}


def clocks(path: Path) -> set[str]:
    """Looks at the time of day in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return (imported | used) & CLOCKS


def test_only_dates_are_of_the_time_of_day() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): clocks(path) for path in PACKAGE.rglob("*.py")}
    assert {name for name, looks in found.items() if looks} == DATED
    assert not any(looks & {"time.time", "time.time_ns"} for looks in found.values())


def test_a_sweep_is_the_same_whatever_the_clock_does(tmp_path: Path) -> None:
    steady = Killing(SWEEP, tmp_path / "steady").whole
    jumping = replace(SWEEP, arguments=(*SWEEP.arguments, "--json"), prepared=jump)
    folder = tmp_path / "jumping"
    folder.mkdir()
    SWEEP.prepare(folder)
    ended = run_killed(jumping.arguments, folder, prepare=jump)
    assert ended.code == 0, ended.output
    assert 0 < json.loads(ended.output)["seconds"] < HOURS
    assert (folder / "table.parquet").read_bytes() == steady["table.parquet"]


def test_times_are_measured_whatever_the_clock_does(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "files"
    folder.mkdir()
    ended = run_killed(ARGUMENTS, folder, prepare=jump)
    assert ended.code == 0, ended.output
    points = read_runs(folder / RUNS).points
    assert len({key_of(point) for point in points}) == len(points) > 5
    assert all(0 < point["seconds"] < 1 for point in points)
    assert all(0 < point["drift"] < 100 for point in points)


def test_simulations_are_remembered_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    from perfmodel.web.jobs import Jobs
    from perfmodel.web.limits import Limits

    class Lane:
        async def ask(self, *_: object) -> bytes:
            return b"{}"

    async def remembered() -> tuple[str, str]:
        jobs = Jobs(Lane(), Limits(job_seconds=60.0))  # type: ignore[arg-type]
        job = jobs.start("simulation", b"", 1.0)
        assert job.work is not None
        await job.work
        monkeypatch.setattr(time, "time", lambda: 1e12)
        late = jobs.find("simulation", job.id).state
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 61.0)
        try:
            gone = jobs.find("simulation", job.id).state
        except Exception as error:
            gone = str(error)
        await asyncio.sleep(0)
        return late, gone

    late, gone = run_apart(remembered())
    assert late == "done"
    assert "is forgotten" in gone
