"""A clock that is set again and again, hours forward and back, as those of machines are."""

from __future__ import annotations

import time
from itertools import cycle

HOURS = 3600.0


def jump() -> None:
    """From now on in this process, each look at the time of day is hours off; what counts seconds goes on."""
    true, offsets = time.time, cycle((5 * HOURS, -7 * HOURS, 0.0, -HOURS, 30 * HOURS))
    time.time = lambda: true() + next(offsets)
    nanoseconds = time.time_ns
    time.time_ns = lambda: nanoseconds() + int(next(offsets) * 1e9)
