"""Kernel time of a collective between processes of one CPU, by gloo over the sockets of the host.

    t = t0 + crowd·(steps·t1 + (handled + own·local + fresh·new) / (clock·b)),   crowd = max(1, n / cores)

A message through a socket is copied by the core that sends it and by the one that receives it, a core's cycles and no
link's rate: `handled` counts what a process sends and receives, and it moves b bytes a cycle. Where gloo needs a buffer
of its own of 32 MiB or more, that is `new` at each call: the system hands it out page by page. What gloo does:

    all-reduce       a ring: 2(n − 1) steps, in each S/n is sent and S/n received
    reduce-scatter   a whole all-reduce over a copy of the input (local: S), of which the own share is copied out (S/n)
    all-gather       a ring of n − 1 steps into a buffer of its own that is copied to the output (local: S)
    all-to-all       all messages at once
    broadcast        a tree: ⌈log₂ n⌉ steps of S each, in which a process sends or receives
    send-receive     one step, S sent and S received

Sizes left out of a fit are 13 % wrong (median), two measurements differ by 12 %. Left out since they did not lower
that error: a cost of adding up, another rate where a process only sends or only receives. A start without steps raises
it by half and more.

Letters: n processes, S bytes. Form and priors: gloo of torch 2.13 on two cores of an AMD EPYC (Zen 4), where two
processes and gloo's own threads take turns on the cores: t1 is mostly waiting for a turn, and should be shorter where
there are cores for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.errors import UnsupportedError
from perfmodel.kernels.cpu_network import FRESH_BYTES
from perfmodel.kernels.device import Device
from perfmodel.kernels.links import link_bound_seconds
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.types import OpCost

_SOURCE = "gloo between two processes of an AMD EPYC (Zen 4), 2 cores"
START_SECONDS = prior(
    "host_collective.start_seconds", 25e-6, 0.8, meaning="handing a collective to gloo's threads and back",
    source=_SOURCE,
)  # fmt: skip
STEP_SECONDS = prior(
    "host_collective.step_seconds", 190e-6, 0.7, meaning="waking the next process through a socket", source=_SOURCE,
)  # fmt: skip
COPY_BYTES = prior(
    "host_collective.bytes_per_cycle", 0.74, 0.35, meaning="bytes that a core sends or receives in a cycle",
    source=_SOURCE,
)  # fmt: skip
OWN_SHARE = prior(
    "host_collective.own_share", 1.0, 0.4, meaning="cost of a copy inside a process over that of one through a socket",
    source=_SOURCE,
)  # fmt: skip
FRESH_SHARE = prior(
    "host_collective.fresh_share", 1.6, 0.4, meaning="cost of memory fresh from the system over one through a socket",
    source=_SOURCE,
)  # fmt: skip
FORM = prior(
    "host_collective.form", 1.0, 0.3, meaning="what the form itself does not say about a collective of a host",
    source=_SOURCE,
)  # fmt: skip
USUAL_HERTZ = 3e9  # where a profile has no clock


def time_host_collective(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device
) -> KernelTime:
    """Times of a group of collectives; sizes as `costs.collective.cost_collective` names them, as arrays.

    Raises:
        UnsupportedError: the chip is no CPU.

    An all-reduce of 16 MiB between two processes on two cores, in microseconds: 25 + 2·190 of waiting and 2·16.8 MB at
    0.74 bytes in a cycle of 4.5 GHz; gloo takes 9600.

    >>> from perfmodel.catalog import load_hardware
    >>> from perfmodel.costs.collective import cost_collective
    >>> sizes = {"bytes": 2**24, "devices": 2, "devices_per_node": 2}
    >>> flags = {"operation": "all_reduce", "library": "gloo", "fabric": "host"}
    >>> device = Device(load_hardware("epyc-zen4-2-cores"), "eager", {})
    >>> kernel = time_host_collective(sizes, flags, cost_collective(**sizes, **flags), device)
    >>> round(1e6 * float(kernel.overhead_seconds)), round(1e6 * float(kernel.network_seconds))
    (405, 10076)
    """
    hardware, operation = device.hardware, str(flags["operation"])
    if hardware.kind != "cpu":
        raise UnsupportedError(
            f"{hardware.id}: {flags['library']} moves messages through the memory of a CPU, and this is none; name "
            "another library, such as nccl."
        )
    buffer, n = (np.asarray(sizes[name], dtype=float) for name in ("bytes", "devices"))
    start, step, copied = device[START_SECONDS], device[STEP_SECONDS], device[COPY_BYTES]
    own, fresh = device[OWN_SHARE], device[FRESH_SHARE]
    several = np.where(n > 1, 1.0, 0.0)  # one process has nobody to talk to
    crowd = np.maximum(n / max(hardware.cores, 1), 1.0) * several
    work = _work(operation, buffer, n)
    a_byte = crowd / ((hardware.clock_hertz or USUAL_HERTZ) * copied.value)
    starting, stepping = start.value * several + 0 * buffer, crowd * work.steps * step.value
    copying, faulting = own.value * work.local * a_byte, fresh.value * work.new * a_byte
    moving = work.handled * a_byte + copying + faulting
    bound = link_bound_seconds(hardware, sizes, operation, cost, str(flags["fabric"])) * several
    transfer = np.maximum(moving, bound)
    return KernelTime(
        0 * transfer,
        0 * transfer,
        starting + stepping,
        lambda: (
            (start, starting),
            (step, stepping),
            (copied, -moving),
            (own, copying),
            (fresh, faulting),
            (device[FORM], transfer),
        ),
        network_seconds=transfer,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What the busiest process has to do, arrays of one shape.

    Args:
        steps: that follow each other. handled: bytes sent and received. local: bytes copied inside the process.
        new: of these, bytes of memory fresh from the system.
    """

    steps: Array
    handled: Array
    local: Array
    new: Array


def _work(operation: str, buffer: Array, n: Array) -> _Work:
    share, none = (n - 1) / n * buffer, 0 * n * buffer
    fresh = np.where(buffer >= FRESH_BYTES, buffer, 0.0) + none
    ring = n - 1 + none
    if operation == "all_reduce":
        return _Work(2 * ring, 4 * share, none, none)
    if operation == "reduce_scatter":
        return _Work(2 * ring, 4 * share, buffer + buffer / n, fresh)
    if operation == "all_gather":
        return _Work(ring, 2 * share, buffer + none, fresh)
    if operation == "all_to_all":
        return _Work(1 + none, 2 * share, none, none)
    if operation == "send_recv":
        return _Work(1 + none, 2 * buffer + none, none, none)
    levels = np.ceil(np.log2(n))
    return _Work(levels + none, levels * buffer, none, none)
