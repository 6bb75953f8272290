"""What all routes share: workers, answers that are kept, jobs, uploads. May import: the server's side below it."""

from __future__ import annotations

import asyncio
import json
import time
import weakref
from contextlib import ExitStack
from typing import Any

from pydantic import BaseModel

from perfmodel.catalog import search_state
from perfmodel.own_folders import own_folder
from perfmodel.web.jobs import Jobs
from perfmodel.web.kept_uploads import KeptUploads
from perfmodel.web.limits import Limits
from perfmodel.web.response_cache import ResponseCache
from perfmodel.web.workers import SLOW_NICE, SLOW_START_SECONDS, Lane

STATE_SECONDS = 1.0  # after which the folders of the catalog are looked at again
SMALL = frozenset(("models", "hardware", "engines"))  # lists, which are also taken apart here


class Service:
    """Started and closed with the application."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._kept = ExitStack()
        folder = self._kept.enter_context(own_folder("serve"))
        weakref.finalize(self, self._kept.close)  # of an application that is never started
        for name in ("uploads", "empty"):
            (folder / name).mkdir()
        self.quick = Lane(limits, folder, workers=limits.workers, waiting=limits.waiting)
        self.slow = Lane(
            limits, folder, workers=limits.slow_workers, waiting=limits.slow_waiting, nice=SLOW_NICE,
            warming=("predict", "plan"), start_seconds=SLOW_START_SECONDS,
        )  # fmt: skip
        self.jobs = Jobs(self.slow, limits)
        self.uploads = KeptUploads(folder / "uploads", limits)
        self.cache = ResponseCache(limits.cache_bytes)
        self._state, self._looked = b"", 0.0
        self._lists: dict[bytes, Any] = {}

    async def start(self) -> None:
        """Bring up the workers, and wait for those that answer at once."""
        self.quick.start()
        self.slow.start()
        await self.quick.ready()

    async def close(self) -> None:
        """End all work."""
        await self.jobs.close()
        await asyncio.gather(self.quick.close(), self.slow.close())
        self._kept.close()

    async def answer(self, task: str, body: BaseModel | None = None) -> bytes:
        """The document of a quick task, from the answers that are kept if it is among them.

        Raises:
            Refusal: there is none.
        """
        text = body.model_dump_json().encode() if body is not None else b"{}"
        key = b"\n".join((task.encode(), self._catalog_state(), text))
        found = self.cache.get(key)
        if found is None:
            found = await self.quick.ask(framed(task, text, self.limits.quick_seconds), self.limits.quick_seconds)
            self.cache.put(key, found)
        return found

    async def listed(self, task: str) -> list[dict[str, Any]]:
        """A list of the catalog, taken apart."""
        text = await self.answer(task)
        key = task.encode() + text[:64] + str(len(text)).encode()
        if key not in self._lists:
            if len(self._lists) >= len(SMALL):
                self._lists.clear()
            self._lists[key] = json.loads(text)
        found: list[dict[str, Any]] = self._lists[key]
        return found

    def _catalog_state(self) -> bytes:
        """Changes when other files of the catalog are in force."""
        now = time.monotonic()
        if now - self._looked > STATE_SECONDS:
            self._state, self._looked = search_state().encode(), now
        return self._state


def framed(task: str, body: bytes, seconds: float) -> bytes:
    """A task as a worker reads it."""
    return b'{"task":"%b","seconds":%g,"body":%b}' % (task.encode(), seconds, body)
