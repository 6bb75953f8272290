"""Two processes that write the same: nothing is torn or lost, and locks of processes that are gone hold nobody."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.file_locks import is_at, one_at_a_time, try_lock
from perfmodel.own_folders import own_folder
from perfmodel.sweeping.parts import open_parts
from perfmodel.whole_files import whole_file, write_whole
from tests.faults.killing import listing

CONTEXT = multiprocessing.get_context("fork")
LARGE = 1 << 20


def started(work: Any, *arguments: Any) -> Any:
    process = CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def write_often(path: Path, letter: str, times: int) -> None:
    for _ in range(times):
        write_whole(path, letter * LARGE)


def test_writers_and_readers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    write_whole(path, "a" * LARGE)
    writers = [started(write_often, path, letter, 12) for letter in "bcd"]
    looks = 0
    while any(writer.is_alive() for writer in writers):
        content = path.read_text()
        assert len(content) == LARGE
        assert len(set(content)) == 1
        looks += 1
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert looks
    assert listing(tmp_path) == {"mine.json"}


def write_and_wait(path: Path, ready: Any) -> None:
    with whole_file(path) as beside:
        beside.write_text("half")
        ready.set()
        time.sleep(60)


def test_what_a_killed_writer_leaves_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path, ready = tmp_path / "mine.json", CONTEXT.Event()
    writer = started(write_and_wait, path, ready)
    ready.wait(20)
    write_whole(path, "whole")
    (unfinished,) = listing(tmp_path) - {"mine.json"}
    assert (tmp_path / unfinished).read_text() == "half"
    (tmp_path / ".mine.json.notes.tmp").write_text("of somebody")
    writer.kill()
    writer.join()
    assert unfinished in listing(tmp_path)
    write_whole(path, "again")
    assert listing(tmp_path) == {"mine.json", ".mine.json.notes.tmp"}


def add_one(folder: Path, times: int) -> None:
    for _ in range(times):
        with one_at_a_time(folder):
            count = int((folder / "count").read_text())
            time.sleep(0.002)
            write_whole(folder / "count", str(count + 1))


def test_no_update_is_lost(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    processes = [started(add_one, tmp_path, 8) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert (tmp_path / "count").read_text() == "24"
    assert listing(tmp_path) == {"count"}


def hold(folder: Path, ready: Any) -> None:
    with one_at_a_time(folder):
        ready.set()
        time.sleep(60)


def test_a_process_that_does_not_end_its_turn_is_told_and_one_that_is_gone_holds_nobody(tmp_path: Path) -> None:
    ready = CONTEXT.Event()
    holder = started(hold, tmp_path, ready)
    ready.wait(20)
    with (
        pytest.raises(InputError, match=r"written by another process for more than 0\.1 s"),
        one_at_a_time(tmp_path, 0.1),
    ):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with one_at_a_time(tmp_path, 0.1):
        pass


def wait_in_folder(ready: Any, told: Any) -> None:
    with own_folder("tests") as folder:
        (folder / "content").write_text("x")
        told.send(folder)
        ready.set()
        time.sleep(60)


def test_folders_go_with_their_process_or_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "perfmodel-tests-others").mkdir()  # no name of ours
    here, there = CONTEXT.Pipe()
    ready = CONTEXT.Event()
    process = started(wait_in_folder, ready, there)
    ready.wait(20)
    left = here.recv()
    with own_folder("tests") as folder:
        assert folder.is_dir()
        assert left.is_dir()  # its process lives
    assert not folder.exists()
    process.kill()
    process.join()
    assert left.is_dir()
    with own_folder("tests"):
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["perfmodel-tests-others"]


def test_a_lock_on_a_removed_file_is_not_one_on_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    descriptor = os.open(path, os.O_RDWR)
    try:
        assert try_lock(descriptor)
        assert is_at(descriptor, path)
        path.unlink()
        assert not is_at(descriptor, path)
        path.write_text("second")
        assert not is_at(descriptor, path)
    finally:
        os.close(descriptor)


def open_and_finish(out: Path, times: int) -> None:
    """Sweeps without parts, one after the other; another process at it is a refusal."""
    done = 0
    while done < times:
        try:
            parts = open_parts(out, "fingerprint")
        except InputError as error:
            if "another process is at this sweep" not in str(error):
                raise
            continue
        parts.joined.write_text(str(os.getpid()))
        parts.write(0, b"rows")
        assert parts.done() == {0}
        parts.finish()
        done += 1


def test_sweeps_into_one_file_are_one_after_the_other(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    processes = [started(open_and_finish, out, 20) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert int(out.read_text()) in [process.pid for process in processes]
    assert listing(tmp_path) == {"table.csv"}
