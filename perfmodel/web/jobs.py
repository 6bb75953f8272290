"""Simulations and plans that go on while their client does something else. May import: limits, refusals, workers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from typing import Any, Literal, TypeAlias

from perfmodel.web.limits import Limits
from perfmodel.web.refusals import NOT_FOUND, TOO_MANY, Refusal, refuse
from perfmodel.web.strict_json import dump_json
from perfmodel.web.workers import Lane

Kind: TypeAlias = Literal["simulation", "plan"]
State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER = ("done", "failed", "cancelled")


class Job:
    """A task with an id, its progress and what is being done, and in the end its document or why there is none."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.id = kind, secrets.token_hex(8)
        self.state: State = "waiting"
        self.progress, self.stage = 0.0, ""
        self.document = b"null"
        self.refusal: Refusal | None = None
        self.ended = 0.0
        self.work: asyncio.Task[None] | None = None

    def advance(self, share: float, stage: str) -> None:
        """Progress never goes back, and only the end is all of it."""
        self.state, self.stage = "running", stage
        self.progress = max(self.progress, min(share, 0.999))

    def end(self, state: State) -> None:
        self.state, self.ended = state, time.monotonic()

    def as_json(self) -> bytes:
        """The state, with the parts of the document where it is done."""
        head: dict[str, Any] = {"id": self.id, "state": self.state, "progress": self.progress, "stage": self.stage}
        if self.refusal is not None:
            head |= self.refusal.document()
        text = dump_json(head)
        return text[:-1] + b"," + self.document[1:] if self.state == "done" else text


class Jobs:
    """All that were started and are remembered.

    Args:
        lane: of their workers.
    """

    def __init__(self, lane: Lane, limits: Limits) -> None:
        self._lane, self._limits = lane, limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def start(self, kind: Kind, task: bytes, seconds: float) -> Job:
        """A new one.

        Raises:
            Refusal: as many as are remembered are not over yet, or too many wait.
        """
        self._forget()
        unfinished = sum(job.state not in OVER for job in self._jobs.values())
        if unfinished >= self._limits.slow_workers + self._limits.slow_waiting:
            raise refuse(TOO_MANY, f"{unfinished} simulations and plans run or wait: ask again later", "server", 5)
        job = Job(kind)
        self._jobs[job.id] = job
        job.work = asyncio.create_task(self._run(job, task, seconds))
        return job

    async def _run(self, job: Job, task: bytes, seconds: float) -> None:
        try:
            job.document = await self._lane.ask(task, seconds, job.advance)
        except Refusal as refusal:
            job.refusal = refusal
            job.end("failed")
        except asyncio.CancelledError:
            job.end("cancelled")
            raise
        else:
            job.progress, job.stage = 1.0, ""
            job.end("done")

    def find(self, kind: Kind, job_id: str) -> Job:
        """
        Raises:
            Refusal: there is none of that id (any more).
        """
        self._forget()
        job = self._jobs.get(job_id)
        if job is None or job.kind != kind:
            raise refuse(NOT_FOUND, f"no {kind} {job_id}: it was never started, or is forgotten", "id")
        return job

    async def cancel(self, job: Job) -> None:
        """End a job that runs or waits; one that is over stays as it is."""
        if job.work is not None and job.state not in OVER:
            job.work.cancel()
            await asyncio.wait([job.work])
            if job.state not in OVER:  # cancelled before its first step
                job.end("cancelled")

    async def close(self) -> None:
        """End all that are not over."""
        for job in list(self._jobs.values()):
            await self.cancel(job)

    def _forget(self) -> None:
        """Those that ended long ago, and the oldest that ended where there are too many."""
        now = time.monotonic()
        over = [job for job in self._jobs.values() if job.state in OVER]
        surplus = len(self._jobs) - self._limits.jobs
        for place, job in enumerate(over):
            if place < surplus or now - job.ended > self._limits.job_seconds:
                del self._jobs[job.id]
