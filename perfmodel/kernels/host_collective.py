"""Kernel time of a collective between processes of one CPU, by gloo over the sockets of the host.

    t = t0 + crowd·(steps·t1 + (handled + own·local) / (clock·b)),   crowd = max(1, n / cores)

A message through a socket is copied by the core that sends it and by the one that receives it, a core's cycles and no
link's rate: `handled` counts what a process sends and receives, and it moves b bytes a cycle. What gloo does:

    all-reduce       a ring: 2(n − 1) steps, in each S/n is sent and S/n received
    reduce-scatter   a whole all-reduce over a copy of the input (local: S), of which the own share is copied out (S/n)
    all-gather       a ring of n − 1 steps into a buffer that is copied to the output (local: S)
    all-to-all       all messages at once
    broadcast        a tree: ⌈log₂ n⌉ steps of S each, in which a process sends or receives
    send-receive     one step, S sent and S received

Left out because they did not lower the error on sizes left out: a cost of adding up, another rate where a process only
sends or only receives, and a start without steps (which raised it from 17 to 27 %).

Letters: n processes, S bytes. Form and priors: gloo of torch 2.13 on two cores of an AMD EPYC (Zen 4), where two
processes and gloo's own threads take turns on the cores: t1 is mostly waiting for a turn, and should be shorter where
there are cores for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.errors import UnsupportedError
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
FORM = prior(
    "host_collective.form", 1.0, 0.3, meaning="what the form itself does not say about a collective of a host",
    source=_SOURCE,
)  # fmt: skip
USUAL_HERTZ = 3e9  # where a profile has no clock
_RINGS = {"all_reduce": 2, "reduce_scatter": 2, "all_gather": 1}  # rounds of n − 1 steps


def time_host_collective(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device
) -> KernelTime:
    """Times of a group of collectives; sizes as `costs.collective.cost_collective` names them, as arrays.

    Raises:
        UnsupportedError: the chip is no CPU.
    """
    hardware, operation = device.hardware, str(flags["operation"])
    if hardware.kind != "cpu":
        raise UnsupportedError(
            f"{hardware.id}: {flags['library']} moves messages through the memory of a CPU, and this is none; name "
            "another library, such as nccl."
        )
    buffer, n = (np.asarray(sizes[name], dtype=float) for name in ("bytes", "devices"))
    start, step, copied, own, form = (device[own] for own in (START_SECONDS, STEP_SECONDS, COPY_BYTES, OWN_SHARE, FORM))
    crowd = np.maximum(n / max(hardware.cores, 1), 1.0)
    several = np.where(n > 1, 1.0, 0.0)  # one process has nobody to talk to
    steps, handled, local = _work(operation, buffer, n)
    rate = (hardware.clock_hertz or USUAL_HERTZ) * copied.value / crowd
    starting, stepping = (start.value + 0 * buffer) * several, crowd * steps * step.value * several
    moving, copying = handled / rate * several, own.value * local / rate * several
    bound = link_bound_seconds(hardware, sizes, operation, cost, str(flags["fabric"])) * several
    transfer = np.maximum(moving + copying, bound)
    return KernelTime(
        0 * transfer,
        0 * transfer,
        starting + stepping,
        (
            (start, starting),
            (step, stepping),
            (copied, -(moving + copying)),
            (own, copying),
            (form, transfer),
        ),
        network_seconds=transfer,
    )


def _work(operation: str, buffer: Array, n: Array) -> tuple[Array, Array, Array]:
    """(steps that follow each other, bytes sent and received by the busiest process, bytes copied inside it)."""
    share = (n - 1) / n * buffer
    if operation in _RINGS:
        rounds = _RINGS[operation]
        local = {"all_gather": buffer, "reduce_scatter": buffer + buffer / n}.get(operation, 0 * buffer)
        return rounds * (n - 1) + 0 * buffer, rounds * 2 * share, local
    if operation == "all_to_all":
        return 1 + 0 * share, 2 * share, 0 * share
    if operation == "send_recv":
        return 1 + 0 * share, 2 * buffer + 0 * share, 0 * share
    levels = np.ceil(np.log2(n))
    return levels + 0 * share, levels * buffer, 0 * share
