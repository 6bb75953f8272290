"""An event loop for tests of coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Value = TypeVar("Value")


def run_apart(work: Coroutine[Any, Any, Value]) -> Value:
    """What it gives, from a thread of its own: Playwright leaves a running loop in that of the tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
