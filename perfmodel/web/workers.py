"""Worker processes as the server sees them: tasks wait in a bounded queue, and what takes too long is killed.

May import: frames, limits, refusals.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from perfmodel.web import frames
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import TIMEOUT, TOO_MANY, UNAVAILABLE, Refusal, refuse

Progress: TypeAlias = Callable[[float, str], None]
START_SECONDS = 60.0
SLOW_NICE = 10
SLOW_START_SECONDS = 300.0  # with loops that are compiled, beside whatever else the machine does
# a process group of its own, so that Ctrl-C is the server's alone; not a session, by which systems share out processors
_PROGRAM = """import json, os, sys
if hasattr(os, "setpgid"): os.setpgid(0, 0)
from perfmodel.web.worker import main
main(json.loads(sys.argv[1]))"""
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._asked, self._told = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, limits: Limits, folder: Path, *, nice: int, warming: Sequence[str], seconds: float) -> Worker:
        """A process that is ready.

        Args:
            warming: tasks that it does before (`worker.WARMING`). seconds: that it may take for them.

        Raises:
            EOFError, TimeoutError: it does not come up.
        """
        (folder / "empty").mkdir(parents=True, exist_ok=True)  # systems remove temporary files that are old
        settings = {"limits": asdict(limits), "uploads": str(folder / "uploads"), "nice": nice,
                    "warming": list(warming)}  # fmt: skip
        # in an empty folder, so that no name is a file by accident
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, json.dumps(settings), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, cwd=folder / "empty", 
            env=os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        worker = cls(process)
        try:
            async with asyncio.timeout(seconds):
                await worker.receive()
        except BaseException:
            worker.kill()
            await worker.ended()
            raise
        return worker

    async def send(self, payload: bytes) -> None:
        self._asked.write(frames.packed(frames.ASKED, payload))
        await self._asked.drain()

    async def receive(self) -> tuple[bytes, bytes]:
        return await frames.receive_frame(self._told)

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def ended(self) -> None:
        """Wait until the process is gone, and its pipes with it."""
        await self.process.wait()
        self._asked.close()
        with suppress(OSError):
            await self._asked.wait_closed()

    def kill(self) -> None:
        """At once; the system takes back all that it held."""
        with suppress(ProcessLookupError):
            self.process.kill()


class Lane:
    """Workers for tasks of one kind.

    Args:
        workers: processes. waiting: tasks that may wait for one of them. nice: lower priority of the processes.
        warming: what each does before the first task, in at most so many start_seconds.
    """

    def __init__(
        self, limits: Limits, folder: Path, *, workers: int, waiting: int, nice: int = 0,
        warming: Sequence[str] = ("predict",), start_seconds: float = START_SECONDS,
    ) -> None:  # fmt: skip
        self._limits, self._folder, self._nice = limits, folder, nice
        self._warming, self._start_seconds = warming, start_seconds
        self._most, self._waiting = workers, waiting
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._free = asyncio.Semaphore(workers)
        self._queued = 0
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Bring up all workers beside whatever else happens."""
        for _ in range(self._most - len(self._all) - len(self._starting)):
            task = asyncio.create_task(self._start_idle())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def ready(self) -> None:
        """Wait until those that are being started are there."""
        await asyncio.gather(*self._starting, return_exceptions=True)

    async def _start_idle(self) -> None:
        self._idle.append(await self._new())

    async def _new(self) -> Worker:
        worker = await Worker.start(
            self._limits, self._folder, nice=self._nice, warming=self._warming, seconds=self._start_seconds
        )
        self._all.add(worker)
        return worker

    async def ask(self, task: bytes, seconds: float, progress: Progress | None = None) -> bytes:
        """The document of a task.

        Args:
            task: as the worker reads it. seconds: that it may take once a worker has it.

        Raises:
            Refusal: too many wait; it took too long; the worker has a reason, or is gone.
        """
        if self._free.locked() and self._queued >= self._waiting:
            raise refuse(TOO_MANY, f"{self._queued} requests wait for an answer already: ask again later", "server", 1)
        self._queued += 1
        try:
            await self._free.acquire()
        finally:
            self._queued -= 1
        try:
            return await self._ask_worker(task, seconds, progress)
        finally:
            self._free.release()

    async def _ask_worker(self, task: bytes, seconds: float, progress: Progress | None) -> bytes:
        worker = await self._take()
        try:
            async with asyncio.timeout(seconds):
                await worker.send(task)
                kind, payload = await worker.receive()
                while kind == frames.PROGRESS:
                    if progress is not None:
                        progress(*json.loads(payload))
                    kind, payload = await worker.receive()
        except TimeoutError:
            self._drop(worker)
            told = f"this takes longer than the {seconds:g} s that the server spends on a request: ask for less"
            raise refuse(TIMEOUT, told, "server") from None
        except (EOFError, OSError):
            self._drop(worker)
            raise refuse(UNAVAILABLE, "the process that worked on this has died: ask for less", "server", 1) from None
        except BaseException:  # nobody waits for the answer any more
            self._drop(worker)
            raise
        if kind == frames.SPENT:
            self._drop(worker)
        else:
            self._idle.append(worker)
        if kind != frames.ANSWER:
            document = json.loads(payload)
            raise Refusal.of(document, document["status"])
        return payload

    async def _take(self) -> Worker:
        """The worker that was busy last, whose caches are warmest; a new one where none is left."""
        while True:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._all.discard(worker)
            if not self._starting:
                break
            await asyncio.wait(self._starting, return_when=asyncio.FIRST_COMPLETED)
        try:
            return await self._new()
        except (EOFError, OSError):
            raise refuse(UNAVAILABLE, "no process can be started to work on this", "server", 5) from None

    def _drop(self, worker: Worker) -> None:
        """End a worker, and start another in its place."""
        self._end(worker)
        self.start()

    def _end(self, worker: Worker) -> None:
        self._all.discard(worker)
        worker.kill()
        task = asyncio.create_task(worker.ended())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def processes(self) -> set[int]:
        """Ids of those that live."""
        return {worker.process.pid for worker in self._all if worker.alive}

    def kill_all(self) -> None:
        """At once; a task that one of them has is refused, and the next one finds another."""
        for worker in self._all:
            worker.kill()

    async def close(self) -> None:
        """End all workers."""
        for task in self._starting:
            task.cancel()
        await self.ready()
        for worker in list(self._all):
            self._end(worker)
        self._idle.clear()
        await asyncio.gather(*self._ending)
