"""The table is the same byte by byte whoever computed it, and however often the work was interrupted."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import perfmodel
from perfmodel.errors import InputError, PeerError
from sweeping.specs import LONG, command

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    """The table as one worker makes it without interruption."""
    out = folder / "whole.parquet"
    perfmodel.sweep(LONG, out=out, workers=1)
    return out.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a table is to lie; in the end nothing else lies beside it."""
    yield tmp_path / "sweep.parquet"
    assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(".yaml")] == ["sweep.parquet"]


def wait_until(true: Callable[[], bool], process: Any) -> None:
    while not true() and process.poll() is None:
        time.sleep(0.002)


def parts(out: Path) -> int:
    return len(list(out.with_name(f"{out.name}.parts").glob("*.part")))


def test_two_workers(out: Path, whole: bytes) -> None:
    shown: list[int] = []
    result = perfmodel.sweep(LONG, out=out, workers=2, show=lambda done, total, label: shown.append(done))
    assert out.read_bytes() == whole
    assert result.parts > 10
    assert shown[0] == 0
    assert sorted(shown) == shown
    assert shown[-1] == result.parts


def test_killed_again_and_again(out: Path, whole: bytes) -> None:
    spec = out.with_name("sweep.yaml")
    spec.write_text(json.dumps(LONG))
    draw, before = random.Random(7), 0
    for _ in range(2):
        process = command(spec, out, "--workers", "2")
        goal = before + draw.randint(1, 4)
        wait_until(lambda goal=goal: parts(out) >= goal, process)  # type: ignore[misc]
        children = psutil.Process(process.pid).children()
        process.kill()
        process.communicate()
        before = parts(out)
        assert not out.exists()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive  # workers end with the process that started them
    process = command(spec, out, "--workers", "2", "--json")
    text, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(text)["resumed"] == before > 0
    assert out.read_bytes() == whole


def test_killed_while_the_parts_are_joined(out: Path, whole: bytes, folder: Path) -> None:
    """The state such a kill leaves: all parts, half a table, and some temporary file."""
    perfmodel.sweep(LONG, out=out, workers=2, show=lambda done, total, label: _copied(out, folder, label))
    out.unlink()
    kept = out.with_name(f"{out.name}.parts")
    shutil.copytree(folder / "kept", kept)
    (kept / "joined").write_bytes(whole[:1000])
    (kept / ".000003.part.0123abcd.tmp").write_bytes(b"torn")
    result = perfmodel.sweep(LONG, out=out)
    assert result.resumed == result.parts
    assert out.read_bytes() == whole


def _copied(out: Path, folder: Path, label: str) -> None:
    if label == "joining":
        shutil.copytree(out.with_name(f"{out.name}.parts"), folder / "kept")


def test_a_worker_that_dies_is_replaced(out: Path, whole: bytes) -> None:
    killed: list[int] = []

    def kill_one(done: int, _total: int, _label: str) -> None:
        if done >= 2 and not killed:
            worker = next(own for own in psutil.Process().children() if "spawn_main" in " ".join(own.cmdline()))
            killed.append(worker.pid)
            worker.kill()

    perfmodel.sweep(LONG, out=out, workers=2, show=kill_one)
    assert killed
    assert out.read_bytes() == whole


def crash(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_always_die_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perfmodel.sweeping import local_workers

    monkeypatch.setattr(local_workers, "compute_part", crash)
    monkeypatch.setattr(local_workers, "FRUITLESS", 2)
    with pytest.raises(PeerError, match="workers died 2 times in a row"):
        perfmodel.sweep(LONG, out=tmp_path / "sweep.parquet", workers=1)


def test_interrupted(out: Path, whole: bytes) -> None:
    spec = out.with_name("sweep.yaml")
    spec.write_text(json.dumps(LONG))
    process = command(spec, out, "--workers", "2", start_new_session=True)
    wait_until(lambda: parts(out) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (text, errors.count("\n")) == ("", 2)
    assert f"Stopped. What is done is kept in {out}.parts" in errors
    assert perfmodel.sweep(LONG, out=out).resumed >= 2
    assert out.read_bytes() == whole


def test_parts_of_another_sweep_are_not_mixed_in(out: Path, whole: bytes) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, _total: int, _label: str) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        perfmodel.sweep({**LONG, "level": 0.5}, out=out, workers=1, show=stop)
    with pytest.raises(InputError, match=r"2 parts of another sweep.*--restart"):
        perfmodel.sweep(LONG, out=out)
    assert perfmodel.sweep(LONG, out=out, restart=True).resumed == 0
    assert out.read_bytes() == whole
