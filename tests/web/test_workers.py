"""Worker processes: what takes too long is killed, and the next task finds another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from perfmodel.web.limits import Limits
from perfmodel.web.refusals import Refusal
from perfmodel.web.service import framed
from perfmodel.web.workers import Lane
from tests.web.event_loops import run_apart

Value = TypeVar("Value")
LIMITS = Limits(workers=1)
PREDICT_BODY = b'{"model":["llama-3.1-8b"],"hardware":["h100-sxm"]}'
PREDICT = framed("predict", PREDICT_BODY, 20)
LONG = b'{"model":"llama-3.1-8b","hardware":"h100-sxm","rate":10,"requests":5000000}'


def with_lane(
    tmp_path: Path, use: Callable[[Lane], Awaitable[Value]], *, waiting: int = 4, limits: Limits = LIMITS
) -> Value:
    """What `use` gives, with one worker."""
    for name in ("uploads", "empty"):
        (tmp_path / name).mkdir()

    async def run() -> Value:
        lane = Lane(limits, tmp_path, workers=1, waiting=waiting)
        lane.start()
        try:
            return await use(lane)
        finally:
            await lane.close()
            assert not lane.processes()

    return run_apart(run())


async def refusal_of(answer: Awaitable[bytes]) -> Refusal:
    with pytest.raises(Refusal) as told:
        await answer
    return told.value


def test_a_task_beyond_its_time_is_killed_and_the_next_one_answered(tmp_path: Path) -> None:
    async def use(lane: Lane) -> tuple[Refusal, bytes, set[int], set[int]]:
        await lane.ready()
        before = lane.processes()
        late = await refusal_of(lane.ask(framed("simulate", LONG, 0.3), 0.3))
        answer = await lane.ask(PREDICT, 20)
        return late, answer, before, lane.processes()

    late, answer, before, after = with_lane(tmp_path, use)
    assert late.status == 504
    assert "longer than the 0.3 s" in str(late)
    assert json.loads(answer)[0]["model"] == "llama-3.1-8b"
    assert not before & after


def test_one_more_than_may_wait_is_refused_at_once(tmp_path: Path) -> None:
    async def use(lane: Lane) -> list[Any]:
        return await asyncio.gather(*(lane.ask(PREDICT, 20) for _ in range(4)), return_exceptions=True)

    found = with_lane(tmp_path, use, waiting=2)
    assert sum(isinstance(own, bytes) for own in found) == 3
    refused = [own for own in found if isinstance(own, Refusal)]
    assert [own.status for own in refused] == [429]
    assert refused[0].retry_seconds == 1


def test_a_worker_that_dies_is_told_of_and_replaced(tmp_path: Path) -> None:
    async def use(lane: Lane) -> tuple[Refusal, bytes]:
        await lane.ready()
        asked = asyncio.create_task(refusal_of(lane.ask(framed("simulate", LONG, 20), 20)))
        await asyncio.sleep(0.3)
        lane.kill_all()
        return await asked, await lane.ask(PREDICT, 20)

    died, answer = with_lane(tmp_path, use)
    assert died.status == 503
    assert json.loads(answer)


def test_work_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    async def use(lane: Lane) -> tuple[set[int], set[int]]:
        await lane.ready()
        before = lane.processes()
        asked = asyncio.create_task(lane.ask(framed("simulate", LONG, 20), 20))
        await asyncio.sleep(0.3)
        asked.cancel()
        await asyncio.wait([asked])
        return before, lane.processes()

    before, after = with_lane(tmp_path, use)
    assert before
    assert not before & after


def test_progress_is_told_and_never_goes_back(tmp_path: Path) -> None:
    seen: list[float] = []

    async def use(lane: Lane) -> bytes:
        body = LONG.replace(b"5000000", b"400000")
        return await lane.ask(framed("simulate", body, 60), 60, lambda share, _: seen.append(share))

    result = json.loads(with_lane(tmp_path, use))["result"]
    assert result["requests"] == 400_000
    assert seen == sorted(seen)
    assert all(0 <= share <= 1 for share in seen)


def test_a_worker_for_long_tasks_has_made_a_plan_before_it_is_asked(tmp_path: Path) -> None:
    for name in ("uploads", "empty"):
        (tmp_path / name).mkdir()
    seen: list[str] = []

    async def run() -> bytes:
        lane = Lane(LIMITS, tmp_path, workers=1, waiting=1, warming=("predict", "plan"))
        lane.start()
        try:
            await lane.ready()
            assert len(lane.processes()) == 1
            body = PREDICT_BODY[:-1] + b',"rate":1,"input_tokens":100,"output_tokens":10,"ttft":1,"tp":[1,2]}'
            return await lane.ask(framed("plan", body, 60), 60, lambda share, stage: seen.append(f"{share:g} {stage}"))
        finally:
            await lane.close()

    plans = json.loads(run_apart(run()))["feasible"]
    assert plans[0]["hardware"] == "h100-sxm"
    # what was done before tells nothing to whoever asks first
    assert seen[:2] == ["0 0 of 2 candidates in closed form", "0.25 1 of 2 candidates in closed form"]
    assert seen[-1] == "0.9 what would change the choice"


def test_a_lane_that_closes_while_a_worker_gets_ready_leaves_none(tmp_path: Path) -> None:
    for name in ("uploads", "empty"):
        (tmp_path / name).mkdir()

    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children()}

    async def run() -> set[int]:
        lane = Lane(LIMITS, tmp_path, workers=1, waiting=1, warming=("predict", "plan"))
        others = children()
        lane.start()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if children() - others:
                break
        assert not lane.processes(), "it is not ready yet"
        await lane.close()
        return children() - others

    assert run_apart(run()) == set()
