"""Timing on a CUDA device: by events around eager calls, and by replay of a captured graph for the device's own time.

    eager    host and device together: a sample begins on an idle device, and as many calls follow each other as take a
             millisecond. Of calls that follow each other the slower one of both sets the pace.
    replay   the device alone. The host starts the whole graph at once, which takes some microseconds: of a graph that
             is shorter than that, the replay is the time of its start

What cannot be captured has the first only: calls that wait for the host, that put something back before each sample, or
that allocate in ways a graph does not allow. Waiting is found before anything is captured, since a capture that fails
leaves its stream current and, in some versions of torch, its memory taken.

May import: timing, collector; torch inside functions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from perfmodel.measuring.timing import Call, Protocol, Sample, Timing, take_samples, thread_waits, wall_over_cpu

_WARM_UP_CALLS = 3  # kernels are loaded at their first call; torch wants as many on a side stream before a capture
_SHORTEST_SAMPLE_SECONDS = 1e-3  # events resolve half a microsecond
_REFERENCE_SIZE, _REFERENCE_REPEATS = 2048, 10
_WAKING_SECONDS = 0.05  # of work, after which an idle device has raised its clock


def time_cuda_calls(call: Call, protocol: Protocol, before: Call | None = None) -> tuple[Timing, float | None]:
    """Time a program on the current device.

    Args:
        before: puts things back before each sample, untimed; such a program is not captured.

    Returns:
        The eager timing, and the seconds of the device alone (None: the program cannot be captured).
    """
    import torch

    def restore() -> None:
        if before:
            before()
            torch.cuda.synchronize()  # what it started would hide how long the host takes for the first kernels

    for _ in range(max(protocol.warm_up, _WARM_UP_CALLS)):
        restore()
        call()
    torch.cuda.synchronize()
    if before:
        return take_samples(lambda: _sample(call, 1), protocol, 1, restore), None
    eager = _time(call, protocol)
    replay = _captured(call)
    return eager, _time(replay, protocol).seconds if replay else None


def _time(call: Call, protocol: Protocol) -> Timing:
    calls = max(1, int(_SHORTEST_SAMPLE_SECONDS / max(_sample(call, 1).seconds, 1e-6)))
    return take_samples(lambda: _sample(call, calls), protocol, calls)


def _sample(call: Call, calls: int) -> Sample:
    """Of some calls, from the start of the first on an idle device to the end of the last."""
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    waits, begun = thread_waits(), time.perf_counter()
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    ratio = wall_over_cpu(time.perf_counter() - begun, waits)
    return Sample(float(start.elapsed_time(end)) * 1e-3 / calls, ratio or 1.0)


def _captured(call: Call) -> Callable[[], None] | None:
    """A replay of the call as a CUDA graph, or None. Its inputs and outputs are the tensors that the call goes by."""
    import torch

    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    side.wait_stream(current)
    try:
        with torch.cuda.stream(side), _waiting_refused():
            for _ in range(_WARM_UP_CALLS):
                call()
        current.wait_stream(side)
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:
        torch.cuda.set_stream(current)  # a capture that fails does not
        torch.cuda.synchronize()
        return None
    replay: Callable[[], None] = graph.replay
    replay()
    torch.cuda.synchronize()
    return replay


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """Ops that wait for the device raise a RuntimeError, most of them."""
    import torch

    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


@contextmanager
def fp32_products(dtype: str) -> Iterator[None]:
    """Products and convolutions of fp32 tensors in full, or in TF32 for dtype tf32: of torch's defaults one is this and
    one is that."""
    import torch

    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = dtype == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def cuda_reference_seconds() -> float:
    """Seconds of a fixed product in fp32 on the device, the least of a few once it is awake: how fast its clock is now.

    It shows that a device grew hot or shares its power; not the clock that it holds under the load of a program.
    """
    import torch

    with torch.inference_mode(), torch.autocast("cuda", enabled=False), fp32_products("fp32"):
        a = torch.full((_REFERENCE_SIZE, _REFERENCE_SIZE), 0.5, device="cuda")
        end = time.perf_counter() + _WAKING_SECONDS
        while time.perf_counter() < end:
            torch.mm(a, a)
            torch.cuda.synchronize()
        return min(_sample(lambda: torch.mm(a, a), 1).seconds for _ in range(_REFERENCE_REPEATS))


def clock_megahertz() -> int:
    """The clock of the device's cores as its driver told last; 0 where it cannot be asked (nvidia-ml-py is missing)."""
    import torch

    try:
        return int(torch.cuda.clock_rate())
    except Exception:  # of NVML, which has errors of its own: a figure to look at is no reason to stop
        return 0
