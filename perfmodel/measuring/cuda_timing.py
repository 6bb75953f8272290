"""Timing on a CUDA device: by events around eager calls, and by replay of a captured graph for the device's own time.

The eager time is what a user waits for, host included; the replayed one is the device's alone. Programs that cannot be
captured (they wait for the host, or allocate in ways a graph does not allow) have the first only.
May import: timing; torch inside functions.
"""

from __future__ import annotations

import statistics
from typing import Any

from perfmodel.measuring.timing import Call, Protocol, Timing

_WARM_UP_CALLS = 3
_LAUNCHES_PER_SAMPLE_SECONDS = 1e-3  # events resolve half a microsecond


def time_cuda_calls(call: Call, protocol: Protocol, before: Call | None = None) -> tuple[Timing, float | None]:
    """Time a program on the current device.

    Args:
        before: puts things back before each sample, untimed; such a program is not captured.

    Returns:
        The eager timing, and the seconds of the device alone (None: the program cannot be captured).
    """
    import torch

    for _ in range(max(protocol.warm_up, _WARM_UP_CALLS)):
        if before:
            before()
        call()
    torch.cuda.synchronize()
    eager = _time_with_events(call, protocol, before)
    replay = None if before else _captured(call)
    device_seconds = _time_with_events(replay, protocol).seconds if replay else None
    return eager, device_seconds


def _time_with_events(call: Call, protocol: Protocol, before: Call | None = None) -> Timing:
    calls = 1 if before else max(1, int(_LAUNCHES_PER_SAMPLE_SECONDS / max(_seconds(call, 1), 1e-6)))
    samples: list[float] = []
    elapsed = 0.0
    while len(samples) < protocol.least_samples or (
        elapsed < protocol.budget_seconds and len(samples) < protocol.most_samples
    ):
        if before:
            before()
        seconds = _seconds(call, calls)
        elapsed += seconds
        samples.append(seconds / calls)
    return Timing(
        seconds=statistics.median(samples),
        minimum_seconds=min(samples),
        repeats=len(samples),
        rejected=0,
        wall_over_cpu=1.0,
        page_faults=0.0,
        contaminated=False,
    )


def _seconds(call: Call, calls: int) -> float:
    """Of some calls, from the start of the first on the device to the end of the last."""
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) * 1e-3


def _captured(call: Call) -> Any:
    """A replay of the call as a CUDA graph, or None."""
    import torch

    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(side):  # capture wants a warm-up on a stream of its own
            call()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    graph.replay()
    torch.cuda.synchronize()
    return graph.replay
