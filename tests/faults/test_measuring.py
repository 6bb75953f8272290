"""Runs of this machine: killed and gone on with, put aside when they are done, and merged with what others fitted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from perfmodel import file_locks
from perfmodel.cli.calibration_runs import _begin, measured_anew
from perfmodel.errors import InputError
from perfmodel.home import COEFFICIENTS
from perfmodel.measuring.run_files import key_of, locked_runs, open_runs, read_runs
from tests.cli.running import run
from tests.faults.commands import RECORDED
from tests.faults.killing import listing
from tests.faults.measuring import KillingMeasure
from tests.measuring.test_run_files import HEADER, point

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_measuring_goes_on_wherever_it_was(tmp_path: Path) -> None:
    killing = KillingMeasure(tmp_path / "files")
    for at in (2, 5):  # half of the header; half of a point
        assert killing.kill(at=at)
    killing.resume()
    assert killing.torn == []


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "mine-quick.jsonl"
    with open_runs(path, HEADER) as file:
        file.append(point("first"))
        file.append(point("second"))
    return path


WANTED = [key_of(point("first")), key_of(point("second"))]


def test_runs_are_gone_on_with_until_a_report_tells_of_them(runs: Path) -> None:
    from perfmodel.calibration.local import run_file_entries

    before = runs.read_bytes()
    _begin(runs, HEADER, [*WANTED, key_of(point("third"))], "")  # killed while measuring
    _begin(runs, HEADER, WANTED, "a report of other runs")  # killed while fitting or writing
    assert runs.read_bytes() == before
    (entry,) = run_file_entries([runs])
    _begin(runs, HEADER, WANTED, f"fitted to {entry['sha256']}")
    assert listing(runs.parent) == {"mine-quick.previous.jsonl"}
    assert runs.with_suffix(".previous.jsonl").read_bytes() == before


@pytest.mark.parametrize("kept", [0, 20])
def test_a_file_that_was_killed_before_its_first_line_is_begun_again(runs: Path, kept: int) -> None:
    runs.write_bytes(runs.read_bytes()[:kept])
    _begin(runs, HEADER, WANTED, "")
    assert listing(runs.parent) == {"mine-quick.jsonl"}
    with open_runs(runs, HEADER) as file:
        file.append(point("first"))
    assert [found["program"] for found in read_runs(runs).points] == [point("first")["program"]]


def test_runs_that_cannot_be_fitted_are_measured_anew(runs: Path) -> None:
    from perfmodel.cli.calibration_runs import Source

    nothing = read_runs(runs)
    for measured, left in ((False, "mine-quick.jsonl"), (True, "mine-quick.unfitted.jsonl")):
        source = Source(nothing, nothing, (runs,), lambda: None, measured=measured)  # type: ignore[arg-type,return-value]
        with pytest.raises(InputError, match="too few"), measured_anew(source):
            raise InputError("too few")
        assert listing(runs.parent) == {left}


def test_runs_that_another_process_appends_to_are_not_put_aside(runs: Path) -> None:
    before = runs.read_bytes()
    with open_runs(runs, HEADER), pytest.raises(InputError, match="being written by another process"):
        _begin(runs, {**HEADER, "suite": "full"}, WANTED, "")
    assert listing(runs.parent) == {"mine-quick.jsonl"}
    assert runs.read_bytes() == before


def test_a_file_that_is_removed_while_it_grows_is_told(runs: Path) -> None:
    with open_runs(runs, HEADER) as file:
        runs.unlink()
        with pytest.raises(InputError, match="was removed or replaced"):
            file.append(point("third"))
    assert not runs.exists()


def test_a_file_that_was_put_aside_before_it_was_locked_is_not_taken(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = runs.with_suffix(".previous.jsonl")
    real = file_locks.try_lock

    def put_aside_first(descriptor: int) -> bool | None:
        if not aside.exists():
            os.replace(runs, aside)
        return real(descriptor)

    monkeypatch.setattr("perfmodel.measuring.run_files.try_lock", put_aside_first)
    with locked_runs(runs) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), runs.stat())
        assert not runs.read_bytes()


def brought(folder: Path, dtype: str) -> str:
    lines = RECORDED.read_text(encoding="utf-8").splitlines(keepends=True)
    points = [line for line in lines[1:] if (own := json.loads(line))["dtype"] == dtype and own["threads"] == 1]
    path = folder / f"{dtype}.jsonl"
    path.write_text("".join([lines[0], *points[::20]]), encoding="utf-8")
    return str(path)


def test_what_another_process_fits_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calibrations of one machine: the second reads what is there when the first has written, not before."""
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    command = ("calibrate", "--name", "that-box", "--from")
    done = run(*command, brought(tmp_path, "bf16"))
    assert done.exit_code == 0, done.output
    path = tmp_path / "home" / COEFFICIENTS / "that-box-1-threads.json"
    others = path.read_bytes()
    path.unlink()
    descriptor = os.open(path.parent, os.O_RDONLY)
    assert file_locks.try_lock(descriptor)
    waits: list[float] = []

    def other_process_writes(seconds: float) -> None:
        waits.append(seconds)
        assert not path.exists()
        path.write_bytes(others)
        os.close(descriptor)

    class Time:
        monotonic = staticmethod(file_locks.time.monotonic)
        sleep = staticmethod(other_process_writes)

    monkeypatch.setattr(file_locks, "time", Time)
    done = run(*command, brought(tmp_path, "fp32"))
    assert done.exit_code == 0, done.output
    assert len(waits) == 1
    scopes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["scopes"]
    assert set(scopes) > set(json.loads(others)["scopes"])
