"""Rows that tell of a host rather than of kernels.

A serving engine timed launch by launch is as slow as its Python; in service it replays graphs. Eager torch is what
users of torch see, NCCL's own benchmark queues its launches, and gloo has no device to launch on: they tell of kernels.

May import: measurements.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.calibration.measurements import OpRows

HOST_TIMED = "timed launch by launch, so a host's time and no kernel's"
QUEUED = ("", "torch", "nccl", "gloo")  # software whose eager rows are kept


def is_host_time(rows: OpRows) -> bool:
    """Whether rows were timed launch by launch by a serving engine, whose predictions are of graphs."""
    return rows.runtime == "eager" and rows.engine not in QUEUED and not rows.conditions.get("kernel_only", 0.0)


def without_host_time(groups: Sequence[OpRows]) -> tuple[list[OpRows], dict[str, int]]:
    """(rows that speak of kernels, reason -> the number of others)."""
    kept = [rows for rows in groups if not is_host_time(rows)]
    left = sum(map(len, groups)) - sum(map(len, kept))
    return kept, {HOST_TIMED: left} if left else {}
