"""Collectives for real, between two processes: measured once, gone on with, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from perfmodel.errors import InputError, MachineBusyError, PeerError
from perfmodel.measuring.collective_calls import OPERATIONS, whole_bytes
from perfmodel.measuring.run_files import open_runs, read_runs
from perfmodel.measuring.timing import Protocol
from tests.measuring.measured import measure, needs_affinity, one_core_shared, points_of, start_measuring

pytest.importorskip("torch")

from perfmodel.measuring.collective_peers import started_peers
from perfmodel.measuring.collective_worker import Task
from perfmodel.measuring.collectives import collective_cases, collective_header, measure_collectives
from perfmodel.measuring.conditions import available_cores

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(available_cores() < 2, reason="needs two cores"),
]
SHORT = Protocol(budget_seconds=0.02, least_samples=5, most_samples=50)
SIZES = (1024, 65536)


def workers_of(process: int) -> list[psutil.Process]:
    """The processes between which another one measures."""
    try:
        children = psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if any("spawn_main" in part for part in child.cmdline())]


def gone(processes: list[psutil.Process], within_seconds: float) -> bool:
    """Whether all end in time."""
    _, alive = psutil.wait_procs(processes, timeout=within_seconds)
    return not alive


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All operations at two sizes, and fp8, which gloo adds up nowhere."""
    path = tmp_path_factory.mktemp("runs") / "collectives.jsonl"
    cases = collective_cases([2], "cpu", sizes_bytes=SIZES)
    cases += collective_cases([2], "cpu", sizes_bytes=SIZES, operations=["all_reduce"], dtypes=["fp8"])
    with open_runs(path, collective_header("cpu")) as runs:
        measured = measure_collectives(cases, runs, SHORT, force=True)
    assert measured.points == len(OPERATIONS) * len(SIZES)
    assert measured.skipped == {"all_reduce in fp8": "gloo: Invalid scalar type"}
    assert workers_of(os.getpid()) == []
    return path


def test_points_say_what_was_measured_and_how(file: Path) -> None:
    runs = read_runs(file)
    assert (runs.header["device"], runs.header["suite"]) == ("cpu", "collectives")
    found = {(point["operation"], point["bytes"]) for point in runs.points}
    assert found == {(name, size) for name in OPERATIONS for size in SIZES}
    for point in runs.points:
        assert (point["library"], point["devices"], point["dtype"], point["runtime"]) == ("gloo", 2, "fp32", "eager")
        assert 0 < point["minimum_seconds"] <= point["seconds"] < 1
        assert point["repeats"] >= SHORT.least_samples
        assert point["wall_over_cpu"] >= 1
        assert {"page_faults", "contaminated", "load", "drift", "date"} <= point.keys()


def test_what_is_there_is_not_measured_again(file: Path) -> None:
    before = file.read_bytes()
    cases = collective_cases([2], "cpu", sizes_bytes=SIZES)
    with open_runs(file, collective_header("cpu")) as runs:
        start = time.monotonic()
        assert measure_collectives(cases, runs, SHORT).points == 0
    assert time.monotonic() - start < 1  # no process was started
    assert file.read_bytes() == before


def test_sizes_are_shared_out_evenly() -> None:
    for processes in (2, 3, 7):
        for size in (1, 1000, 65536):
            assert whole_bytes(size, "fp32", processes) % (4 * processes) == 0
    assert whole_bytes(65536, "bf16", 2) == 65536


@pytest.mark.parametrize("operation", ["all_reduce", "send_recv"])
def test_a_killed_process_ends_all_and_is_named(operation: str) -> None:
    endless = Task(operation, 1024, "fp32", Protocol(budget_seconds=60.0, most_samples=10**9))

    def kill_one() -> None:
        with started_peers(2, "gloo") as peers:
            for pipe in peers.pipes:
                pipe.send(endless)
            time.sleep(0.3)
            os.kill(peers.processes[1].pid or 0, signal.SIGKILL)
            peers.gather(f"{operation} of 1024 bytes", 30)

    with pytest.raises(PeerError, match=f"{operation} of 1024 bytes over 2 processes failed: rank 1 was ended by"):
        kill_one()
    assert workers_of(os.getpid()) == []


@pytest.mark.slow
def test_a_process_that_hangs_times_out() -> None:
    def stop_one() -> None:
        with started_peers(2, "gloo", timeout_seconds=2.0) as peers:
            os.kill(peers.processes[1].pid or 0, signal.SIGSTOP)
            peers.ask(Task("all_reduce", 1024, "fp32", SHORT))

    with pytest.raises(PeerError, match=r"over 2 processes failed: rank 0: .*[Tt]imed out"):
        stop_one()
    assert workers_of(os.getpid()) == []


@pytest.mark.slow
def test_killed_it_goes_on_and_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    arguments = ("--collectives", "2", "--sizes", "1KiB,4KiB", "--operations", "all_reduce,broadcast,send_recv",
                 "--force", "--out", str(path))  # fmt: skip
    process = start_measuring(*arguments)
    end = time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") > 2) and time.monotonic() < end:
        time.sleep(0.01)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert gone(workers, 20)
    kept = path.read_bytes()
    code, out, err = measure(*arguments, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["measured"] == 6 - (kept.count(b"\n") - 1)
    assert (told["points"], told["skipped"]) == (6, [])
    assert path.read_bytes().startswith(kept)
    assert len({(point["operation"], point["bytes"]) for point in points_of(path)}) == 6


@pytest.mark.slow
def test_stopped_with_ctrl_c_it_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    process = start_measuring("--collectives", "--force", "--out", str(path), start_new_session=True)
    end = time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") > 1) and time.monotonic() < end:
        time.sleep(0.01)
    workers = workers_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"What was measured is in {path}" in err
    assert gone(workers, 5)


@needs_affinity
@pytest.mark.slow
def test_a_busy_machine_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    cases = collective_cases([2], "cpu", operations=["all_reduce"], sizes_bytes=[1 << 20])
    with open_runs(path, collective_header("cpu")) as runs, one_core_shared(2):
        with pytest.raises(MachineBusyError, match="off the cores"):
            measure_collectives(cases, runs, Protocol(budget_seconds=0.2, most_samples=100))
        assert points_of(path) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"processes": [1]}, "1 process: a collective needs at least 2"),
        ({"processes": [2, 4096]}, "4096 processes, but .* cores can be used here"),
        ({"operations": ["all_reduce", "shuffle"]}, r"unknown operation 'shuffle' \(known: all_reduce, .*send_recv\)"),
        ({"dtypes": ["fp7"]}, "not timed in 'fp7'"),
        ({"sizes_bytes": [0]}, "0 bytes are no size of a message"),
        ({"sizes_bytes": [1 << 39]}, "GiB of memory, and .* are free"),
    ],
)
def test_what_cannot_be_measured_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        collective_cases(**{"processes": [2], "device": "cpu"} | changed)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InputError, match=r"unknown operation.*'fp7'.*-1 bytes.*1 process"):
        collective_cases([1], "cpu", operations=["shuffle"], dtypes=["fp7"], sizes_bytes=[-1])
