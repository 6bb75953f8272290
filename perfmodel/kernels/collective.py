"""Kernel time of a collective between devices, by NCCL and by the frameworks' own all-reduce.

    NCCL     t = t0 + steps·t1 + t2·S/(S + S0) + (traffic + own·S/n) / (links·e)
    direct   t = min( t0' + (n − 1)·S/(links·e'),  NCCL )

Steps follow each other around a ring: n − 1 in each pass, one for an all-to-all; across nodes as many as a tree over
the nodes has levels. Messages well above S0 go through a protocol with longer pipelines (NCCL's Simple instead of LL
and LL128), which costs t2 to fill. A device also moves its own share, out of place, at a part `own` of the cost of one
that crosses a link. PCIe without direct access runs through the host: e falls with a power of the devices on it.

The frameworks' own all-reduce reads its peers' memory directly, everything from everyone in one shot; what is larger,
or has no direct links, it leaves to NCCL. Latencies of NCCL are cycles and scale with the clock; the direct kernel only
waits for its links.

Left out because they did not lower the error on a device left out: reduction in switches (large all-reduces of 8
devices on H100 and B200 fit the ring's curve as well), a direct all-reduce in two shots, a pipeline that grows with
the steps, minima over the protocols, and a copy of the message in eager mode.

Letters: n devices, S bytes. Form and priors: NCCL and all-reduce tables of A100, H100, B200 and L40S.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.costs.collective import PASSES
from perfmodel.kernels.device import Device
from perfmodel.kernels.links import Links, link_bound_seconds, links_between
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.types import OpCost

AT_ONCE = ("all_to_all", "send_recv")  # all messages go out together, none waits for another
_SOURCE = "NCCL and all-reduce tables of A100, H100, B200"
START_SECONDS = prior(
    "collective.start_seconds", 8.2e-6, 0.35, meaning="launch and first handshake of an NCCL kernel", source=_SOURCE,
    variants={"tpu": (3e-6, 0.8), "accelerator": (10e-6, 0.8)},
)  # fmt: skip
STEP_SECONDS = prior(
    "collective.step_seconds", 0.9e-6, 0.35, meaning="one step around the ring over direct links", source=_SOURCE,
    variants={"tpu": (0.7e-6, 0.8), "accelerator": (1.5e-6, 0.8)},
)  # fmt: skip
HOST_STEP_SECONDS = prior(
    "collective.host_step_seconds", 1.2e-6, 0.5, meaning="one step around the ring through the host's memory",
    source="NCCL table of L40S",
)  # fmt: skip
NETWORK_STEP_SECONDS = prior(
    "collective.network_step_seconds", 14e-6, 0.5, meaning="one step to another node",
    source="NCCL's own tuning table (Simple); vidur's A100 nodes agree",
)  # fmt: skip
PIPELINE_SECONDS = prior(
    "collective.pipeline_seconds", 32e-6, 0.35, meaning="filling the pipeline of large messages", source=_SOURCE,
)  # fmt: skip
PIPELINE_BYTES = prior(
    "collective.pipeline_bytes", 5e6, 0.7, meaning="message size that pays half of it", source=_SOURCE,
)  # fmt: skip
LINK_EFFICIENCY = prior(
    "collective.link_efficiency", 0.73, 0.12, meaning="achievable share of the links' bandwidth", source=_SOURCE,
    variants={"gpu.amd": (0.65, 0.3), "tpu": (0.75, 0.3), "accelerator": (0.6, 0.4)},
)  # fmt: skip
HOST_EFFICIENCY = prior(
    "collective.host_efficiency", 0.65, 0.25, meaning="share of PCIe bandwidth between two devices of a host",
    source="NCCL table of L40S",
)  # fmt: skip
HOST_CONTENTION = prior(
    "collective.host_contention", 1.9, 0.35, meaning="power with which more devices than two on a host slow each other",
    source="NCCL table of L40S, one machine: 1 would be a shared path of fixed bandwidth",
)  # fmt: skip
NETWORK_EFFICIENCY = prior(
    "collective.network_efficiency", 0.4, 0.7, meaning="share of the network cards' bandwidth",
    source="between vidur's A100 nodes (0.2) and cards that read GPU memory directly (0.8); a wide guess",
)  # fmt: skip
OWN_SHARE = prior(
    "collective.own_share", 0.3, 0.5, meaning="cost of moving the own share over that of one across a link",
    source=_SOURCE,
)  # fmt: skip
DIRECT_START_SECONDS = prior(
    "direct_all_reduce.start_seconds", 4.9e-6, 0.35, meaning="launch and barrier of a direct all-reduce",
    source=_SOURCE,
)  # fmt: skip
DIRECT_EFFICIENCY = prior(
    "direct_all_reduce.link_efficiency", 0.52, 0.2, meaning="share of the links' bandwidth that direct reads reach",
    source=_SOURCE,
)  # fmt: skip
FORM = prior(
    "collective.form", 1.0, 0.25, meaning="what the form itself does not say about a collective", source=_SOURCE,
    variants={"tpu": (1.0, 0.4), "accelerator": (1.0, 0.4)},
)  # fmt: skip


def time_collective(sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device) -> KernelTime:
    """Times of a group of collectives; sizes as `costs.collective.cost_collective` names them, as arrays.

    Raises:
        UnsupportedError: the chip's profile gives no bandwidth for the links it needs.

    An all-reduce of 256 MiB over the 8 GPUs of an A100 node, in microseconds: 1.277 (clock) · (8.2 + 14·0.9 + 31.4) of
    waiting and (469.8 + 0.3·33.6) MB / (0.73·300 GB/s) of moving; NCCL takes 2183.

    >>> from perfmodel.catalog import load_hardware
    >>> from perfmodel.costs.collective import cost_collective
    >>> sizes = {"bytes": 2**28, "devices": 8, "devices_per_node": 8}
    >>> flags = {"operation": "all_reduce", "library": "nccl", "fabric": "NVLink3"}
    >>> device = Device(load_hardware("a100-sxm-80gb"), "graphs", {})
    >>> kernel = time_collective(sizes, flags, cost_collective(**sizes, **flags), device)
    >>> round(1e6 * float(kernel.overhead_seconds), 1), round(1e6 * float(kernel.network_seconds), 1)
    (66.7, 2191.0)
    """
    buffer, n, per_node = (np.asarray(sizes[name], dtype=float) for name in ("bytes", "devices", "devices_per_node"))
    operation, hardware = str(flags["operation"]), device.hardware
    links = links_between(hardware, n, per_node)
    way = _nccl(buffer, n, links, operation, cost, device)
    if flags["library"] == "custom" and operation == "all_reduce":
        way = _faster(_direct(buffer, n, links, device), way)
    bound = np.maximum(
        link_bound_seconds(hardware, sizes, operation, cost),
        np.asarray(cost.bytes, dtype=float) / hardware.memory_bandwidth_bytes_per_second,
    )
    transfer = np.maximum(way.transfer, bound)
    several = np.where(n > 1, 1.0, 0.0)  # one device has nobody to talk to
    parts = (*way.parts, (device[FORM], transfer))
    return KernelTime(
        0 * transfer,
        0 * transfer,
        way.overhead * several,
        lambda: tuple((coefficient, part * several) for coefficient, part in parts),
        network_seconds=transfer * several,
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run a collective: waiting, moving, and ∂t/∂log of the coefficients."""

    overhead: Array
    transfer: Array
    parts: tuple[tuple[Coefficient, Array], ...]

    @property
    def seconds(self) -> Array:
        return self.overhead + self.transfer


def _nccl(buffer: Array, n: Array, links: Links, operation: str, cost: OpCost, device: Device) -> _Way:
    scale = device.launch_scale
    launch, pipeline, half = device[START_SECONDS], device[PIPELINE_SECONDS], device[PIPELINE_BYTES]
    steps = _steps(operation, links, device)
    launching = launch.value * scale + 0 * buffer
    # a single message between two devices has no pipeline to fill: nothing is reduced or passed on
    filling = (operation != "send_recv") * pipeline.value * scale * buffer / (buffer + half.value)
    rate, shares = _rate(links, device)
    own = device[OWN_SHARE]
    sent = np.asarray(cost.link_bytes, dtype=float)
    own_bytes = own.value * buffer / n if operation in PASSES else 0 * sent
    transfer = (sent + own_bytes) / rate
    return _Way(
        launching + filling + sum(seconds for _, seconds in steps),
        transfer,
        (
            (launch, launching),
            *steps,
            (pipeline, filling),
            (half, filling * half.value / (buffer + half.value)),
            (own, own_bytes / rate),
            *((coefficient, transfer * weight) for coefficient, weight in shares),
        ),
    )


def _steps(operation: str, links: Links, device: Device) -> list[tuple[Coefficient, Array]]:
    """Seconds that messages wait for each other, by the kind of link."""
    inside, levels = links.inside - 1, np.ceil(np.log2(links.nodes))
    if operation in AT_ONCE:
        inside, levels = np.minimum(inside, 1.0), np.minimum(levels, 1.0)
    passes, scale = PASSES.get(operation, 1), device.launch_scale
    ways = (
        (STEP_SECONDS, np.where(links.direct, inside, 0.0), scale),
        (HOST_STEP_SECONDS, np.where(links.direct, 0.0, inside), 1.0),
        (NETWORK_STEP_SECONDS, levels, 1.0),
    )
    return [
        (device[step], passes * count * device[step].value * factor) for step, count, factor in ways if np.any(count)
    ]


def _rate(links: Links, device: Device) -> tuple[Array, list[tuple[Coefficient, Array]]]:
    """Bytes a second that a device sends, and |∂log/∂log| of the coefficients it depends on.

    A ring across nodes also passes through each of them, and goes at the pace of the slower way.
    """
    rate, weights = _rate_inside(links, device)
    across = links.nodes > 1
    if not np.any(across):  # a coefficient that does not act is not read, so that provenance does not name it
        return rate, weights
    network = device[NETWORK_EFFICIENCY]
    by_network = across & (links.bytes_per_second * min(network.value, 1.0) < np.where(links.inside > 1, rate, np.inf))
    rate = np.where(by_network, links.bytes_per_second * min(network.value, 1.0), rate)
    weights = [(coefficient, np.where(by_network, 0.0, weight)) for coefficient, weight in weights]
    return rate, [*weights, (network, np.where(by_network, 1.0, 0.0))]


def _rate_inside(links: Links, device: Device) -> tuple[Array, list[tuple[Coefficient, Array]]]:
    """As `_rate`, to another device of the node."""
    rate, weights = links.inside_bytes_per_second, []
    if np.any(links.direct):
        own = device[LINK_EFFICIENCY]
        rate = np.where(links.direct, rate * min(own.value, 1.0), rate)
        weights.append((own, np.where(links.direct, 1.0, 0.0)))
    if not np.all(links.direct):
        host, contention = device[HOST_EFFICIENCY], device[HOST_CONTENTION]
        crowd = np.where(links.direct, 1.0, np.maximum(links.inside / 2, 1.0))
        rate = np.where(links.direct, rate, rate * min(host.value, 1.0) / crowd**contention.value)
        weights += [(host, np.where(links.direct, 0.0, 1.0)), (contention, contention.value * np.log(crowd))]
    return rate, weights


def _direct(buffer: Array, n: Array, links: Links, device: Device) -> _Way:
    """Every device reads every other's message; never where some of them have no direct link."""
    launch, efficiency = device[DIRECT_START_SECONDS], device[DIRECT_EFFICIENCY]
    reachable = (links.nodes == 1) & (links.direct | (n <= 2))
    launching = np.where(reachable, launch.value, np.inf)
    transfer = (n - 1) * buffer / (links.bytes_per_second * min(efficiency.value, 1.0))
    return _Way(launching, transfer, ((launch, launching), (efficiency, transfer)))


def _faster(left: _Way, right: _Way) -> _Way:
    """For each message the way that takes less."""
    first = left.seconds <= right.seconds
    return _Way(
        np.where(first, left.overhead, right.overhead),
        np.where(first, left.transfer, right.transfer),
        (
            *((coefficient, np.where(first, part, 0.0)) for coefficient, part in left.parts),
            *((coefficient, np.where(first, 0.0, part)) for coefficient, part in right.parts),
        ),
    )
