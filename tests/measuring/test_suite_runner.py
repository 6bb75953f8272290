"""Measuring a suite for real: interrupted at any point it goes on, and notices when others use its core."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import MachineBusyError, UnsupportedError
from perfmodel.measuring.programs import TimedProgram
from perfmodel.measuring.run_files import open_runs
from tests.measuring.measured import (
    lasting_parts,
    measure,
    needs_affinity,
    one_core_shared,
    points_of,
    start_measuring,
)

pytest.importorskip("torch")

from perfmodel.measuring.program_parts import Each
from perfmodel.measuring.suite_runner import PROTOCOLS, Task, measure_suite, new_header, suite_tasks

pytestmark = pytest.mark.torch

# --force: whoever else uses the machine may not fail the tests
FEW = ("--programs", "^single chain of|^interleaved (gelu|add|silu) ", "--dtype", "fp32", "--force")


def wait_for_points(path: Path, count: int) -> None:
    """Until the file has a header and so many points."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{path} did not get {count} points")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that was measured in one go."""
    path = tmp_path_factory.mktemp("runs") / "whole.jsonl"
    code, out, err = measure(*FEW, "--out", str(path))
    assert code == 0, err
    assert f"Measured 31 of 31 points: {path}" in out
    return path


def test_points_say_what_was_measured_and_how(uninterrupted: Path) -> None:
    for point in points_of(uninterrupted):
        assert point["group"] in ("single", "interleaved")
        assert (point["dtype"], point["threads"], point["runtime"]) == ("fp32", 1, "eager")
        assert 0 < point["minimum_seconds"] <= point["seconds"] < 0.1
        assert point["repeats"] >= 5
        assert point["wall_over_cpu"] >= 1
        assert point["drift"] > 0.3
        assert point["page_faults"] >= 0


def test_the_kernel_is_what_takes_the_time(uninterrupted: Path) -> None:
    """More ops take longer, whatever the machine: layer norms than relus, four views and a relu than one."""
    seconds = {point["program"]: point["minimum_seconds"] for point in points_of(uninterrupted)}
    assert seconds["chain of layer norm modules"] > seconds["chain of relu modules"]
    assert seconds["chain of relu modules"] > seconds["chain of relu"]
    assert seconds["chain of four views and relu"] > seconds["chain of view and relu"] > seconds["chain of relu"]


def test_killed_at_random_points_it_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    chance = random.Random(5)
    counts = sorted(chance.sample(range(1, 28), 2))
    for count in counts:
        process = start_measuring(*FEW, "--out", str(path))
        wait_for_points(path, count)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    kept = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"program": "chain of')  # the crash of a machine may also leave half a line
    code, out, err = measure(*FEW, "--out", str(path))
    assert code == 0, err
    assert "were there already" in out
    assert path.read_bytes().startswith(kept)
    assert lasting_parts(path) == lasting_parts(uninterrupted)
    assert [point["program"] for point in points_of(path)] == [point["program"] for point in points_of(uninterrupted)]


def test_stopped_with_ctrl_c_it_says_how_to_go_on(uninterrupted: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    process = start_measuring(*FEW, "--out", str(path))
    wait_for_points(path, 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"What was measured is in {path}; the same command goes on from there" in err
    assert out == ""
    done = points_of(path)
    assert 4 <= len(done) < 31
    assert lasting_parts(path)[0] in lasting_parts(uninterrupted)


def test_a_finished_run_measures_nothing_again(uninterrupted: Path) -> None:
    before = uninterrupted.read_bytes()
    code, out, _ = measure(*FEW, "--out", str(uninterrupted), "--json")
    assert code == 0
    assert '"measured": 0' in out
    assert uninterrupted.read_bytes() == before


@needs_affinity
def test_a_busy_machine_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    tasks = suite_tasks("quick", ["fp32"], [1], 1 << 25, "^deep 16 basic")
    with open_runs(path, new_header("cpu", "quick")) as runs, one_core_shared():
        with pytest.raises(MachineBusyError, match=r"off the cores.*load average.*--force") as raised:
            measure_suite(tasks, runs, PROTOCOLS["quick"])
        assert raised.value.exit_code == 2
        assert points_of(path) == []
        assert measure_suite(tasks, runs, PROTOCOLS["quick"], force=True) == 1
    (point,) = points_of(path)
    assert point["contaminated"]
    assert point["wall_over_cpu"] > 1.3
    assert point["rejected"] > 0


def test_programs_that_fail_are_named_when_all_others_are_measured(tmp_path: Path) -> None:
    import torch

    def sum_of(shape: tuple[int, ...]) -> Any:
        return lambda dtype: (Each(torch.add, 2), (torch.ones(shape, dtype=dtype), torch.ones(4, dtype=dtype)))

    programs = [TimedProgram(f"add {shape}", "single", sum_of(shape)) for shape in ((4,), (3,), (2, 4))]
    path = tmp_path / "runs.jsonl"
    with (
        open_runs(path, new_header("cpu", "quick")) as runs,
        pytest.raises(UnsupportedError, match=r"cannot run 1 programs here, .*fp32 add \(3,\) \(The size of tensor a"),
    ):
        measure_suite([Task(program, "fp32", 1) for program in programs], runs, PROTOCOLS["quick"], force=True)
    assert [point["program"] for point in points_of(path)] == ["add (4,)", "add (2, 4)"]
