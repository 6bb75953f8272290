"""A server whose processes are killed, stopped or run out of memory answers each request, and the next one well."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from perfmodel.web.kept_uploads import KeptUploads
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import Refusal
from perfmodel.web.service import framed
from perfmodel.web.workers import Lane
from tests.faults.serving import ASKED, LONG, Server
from tests.web.event_loops import run_apart

pytestmark = [pytest.mark.web, pytest.mark.slow]
Value = TypeVar("Value")
PREDICT = framed("predict", b'{"model":["llama-3.1-8b"],"hardware":["h100-sxm"]}', 30)
SIMULATE = framed("simulate", b'{"model":"llama-3.1-8b","hardware":"h100-sxm","rate":10,"requests":900000}', 60)


def with_lane(folder: Path, limits: Limits, use: Callable[[Lane], Awaitable[Value]]) -> Value:
    (folder / "uploads").mkdir()

    async def run() -> Value:
        lane = Lane(limits, folder, workers=1, waiting=4)
        lane.start()
        try:
            await lane.ready()
            return await use(lane)
        finally:
            await lane.close()

    return run_apart(run())


async def asked(lane: Lane, task: bytes, seconds: float = 60) -> tuple[int, str]:
    """(status, text) of the answer."""
    try:
        return 200, (await lane.ask(task, seconds)).decode()
    except Refusal as refusal:
        return refusal.status, str(refusal)


@pytest.mark.parametrize("mebibytes", [250, 400])
def test_a_worker_without_memory_says_so_and_is_replaced(tmp_path: Path, mebibytes: int) -> None:
    """The limit is reached while modules are imported, which stay half imported in that process."""

    async def use(lane: Lane) -> tuple[list[tuple[int, str]], set[int], set[int]]:
        before = lane.processes()
        return [await asked(lane, task) for task in (SIMULATE, PREDICT)], before, lane.processes()

    answers, before, after = with_lane(tmp_path, Limits(workers=1, worker_bytes=mebibytes << 20), use)
    assert answers[0][0] in (413, 503), answers[0]
    if answers[0][0] == 413:
        assert "GiB that a worker may use" in answers[0][1]
    assert answers[1][0] == 200, answers[1]
    assert not before & after


def test_a_stopped_worker_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    async def use(lane: Lane) -> tuple[tuple[int, str], tuple[int, str]]:
        (worker,) = lane.processes()
        os.kill(worker, signal.SIGSTOP)  # it hangs, and does not even die by its own timer
        late = await asked(lane, PREDICT, 0.5)
        answer = await asked(lane, PREDICT)
        assert worker not in lane.processes()
        return late, answer

    late, answer = with_lane(tmp_path, Limits(workers=1), use)
    assert late[0] == 504
    assert answer[0] == 200


def test_folders_that_the_system_removed_are_made_again(tmp_path: Path) -> None:
    async def use(lane: Lane) -> tuple[int, str]:
        (tmp_path / "empty").rmdir()
        lane.kill_all()
        await asyncio.sleep(0.3)
        return await asked(lane, PREDICT)

    assert with_lane(tmp_path, Limits(workers=1), use)[0] == 200


def test_an_upload_without_room_is_told_and_one_that_was_removed_is_kept_again(tmp_path: Path) -> None:
    kept = KeptUploads(tmp_path / "uploads", Limits())
    first = kept.keep(b"{}", ".json")
    (path,) = (tmp_path / "uploads").iterdir()
    path.unlink()
    assert kept.keep(b"{}", ".json") == first
    assert path.read_bytes() == b"{}"
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("no folder")
    with pytest.raises(Refusal, match="no room") as told:
        kept.keep(b"{}", ".json")
    assert told.value.status == 503


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.wait()
    yield made
    made.kill()


def test_a_killed_worker_is_a_refusal_in_json_and_the_next_request_is_answered(server: Server, tmp_path: Path) -> None:
    before = server.http.post("/api/v1/predict", json=ASKED).content
    job = server.job(LONG)
    while server.http.get(f"/api/v1/simulate/{job}").json()["state"] == "waiting":
        time.sleep(0.05)
    for child in server.children():
        child.kill()
    told = server.result(job)
    assert told["state"] == "failed"
    assert "has died" in told["error"]
    # the worker that died while it had nothing to do may not be missed yet
    first = server.http.post("/api/v1/predict", json=ASKED | {"batch": [2]})
    if first.status_code != 200:
        assert (first.status_code, set(first.json())) == (503, {"error", "where"})
    assert server.http.post("/api/v1/predict", json=ASKED).content == before
    second = server.http.post("/api/v1/predict", json=ASKED | {"batch": [4]})
    assert second.status_code == 200, json.dumps(second.json())
    # told to end with a job running, it ends in time and leaves nothing
    server.job(LONG)
    children = server.children()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) in (0, -signal.SIGTERM, 143)
    assert time.monotonic() - begun < 20
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("perfmodel-")]
