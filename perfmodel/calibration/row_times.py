"""Measured ops through the formulas that predictions use: `OpRows` -> predicted seconds.

May import: measurements, costs, kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perfmodel.calibration.measurements import Array, OpRows
from perfmodel.coefficients import prior
from perfmodel.costs import find_kind
from perfmodel.errors import InputError
from perfmodel.kernels import Device, KernelTime, bound_seconds, contraction_rate, scope_of, time_group
from perfmodel.program import HOST_OVERLAP, overlap
from perfmodel.types import Hardware, OpCost
from perfmodel.uncertainty import op_half_widths, regimes

# a property of host and software, not of the chip: two runs of the source on one A100 machine give 26 and 15 us
EVENT_FLOOR_SECONDS = prior(
    "benchmark.event_floor_seconds", 27e-6, 0.25, meaning="time between two events around the cheapest eager call",
    source="NeuSight operators: 26, 26, 27, 32, 45 us on five hosts with NVIDIA GPUs",
    variants={"gpu.amd": (15e-6, 0.3)},  # MI250 in the source's one-layer models; MI100's own operators say 16.6
)  # fmt: skip
HIDDEN_SHARE = prior(
    "benchmark.hidden_share", 0.62, 0.1, meaning="part of the floor that a running kernel hides",
    source="NeuSight operators: 0.4 to 0.8 on six hosts",
)  # fmt: skip
HOST_CALL_SECONDS = prior(
    "benchmark.host_call_seconds", 30e-6, 0.4, meaning="host time of one eager call of a framework's all-reduce",
    source="all-reduce tables; a property of the host, 20 us on two machines and 44 us on two others",
)  # fmt: skip
_IN_CACHE = ("resident_bytes",)  # conditions that kernel times know about


@dataclass(frozen=True)
class RowTimes:
    """Predictions for the rows of an `OpRows`, arrays (rows,).

    Args:
        seconds: predicted. half_width: of the interval, in log time.
        bound_seconds: max(FLOPs/peak, bytes/bandwidth, traffic/links). regime: index into `fitted_scopes.REGIMES`.
        scope: of the kernels.
    """

    seconds: Array
    half_width: Array
    bound_seconds: Array
    regime: Array
    scope: str


def time_rows(rows: OpRows, device: Device, share: float = 0.8) -> RowTimes:
    """Predict measured ops.

    Args:
        device: the chip with what was fitted for it. share: of unseen rows that the interval is meant to hold.

    Raises:
        InputError: a kind without a kernel formula. UnsupportedError: a compute dtype the chip refuses.
    """
    kernel, cost = _kernel(rows, device)
    scope = row_scope(rows, device.hardware)
    return RowTimes(
        seconds=kernel.seconds[0],
        half_width=np.broadcast_to(op_half_widths(kernel, scope, device, share), kernel.seconds.shape)[0],
        bound_seconds=_bound(rows, cost, device),
        regime=np.broadcast_to(regimes(kernel), kernel.seconds.shape)[0],
        scope=scope,
    )


def row_scope(rows: OpRows, hardware: Hardware) -> str:
    """Which fitted coefficients measured ops go by.

    Raises:
        UnsupportedError: a compute dtype the chip refuses.
    """
    asked = str(rows.flags.get("compute", ""))
    return scope_of(rows.kind, rows.flags, contraction_rate(hardware, asked) if asked else None)


def row_seconds(rows: OpRows, device: Device) -> Array:
    """Predicted seconds alone: what a fit evaluates again and again."""
    seconds: Array = _kernel(rows, device)[0].seconds[0]
    return seconds


def _kernel(rows: OpRows, device: Device) -> tuple[KernelTime, OpCost]:
    kind = find_kind(rows.kind)
    if kind is None:
        raise InputError(f"there is no kernel formula for '{rows.kind}' yet")
    asked = str(rows.flags.get("compute", ""))
    rate = contraction_rate(device.hardware, asked) if asked else None
    sizes = {name: np.atleast_2d(np.asarray(value, dtype=float)) for name, value in rows.cost_arguments.items()}
    cost = _with_extra_work(kind.cost(**sizes, **rows.flags), rows, asked)
    conditions = {
        name: np.atleast_2d(np.asarray(rows.conditions[name], dtype=float))
        for name in _IN_CACHE
        if name in rows.conditions
    }
    kernel = time_group((rows.kind,), sizes | conditions, rows.flags, cost, device, rate)
    device = device.in_scope(row_scope(rows, device.hardware))
    work = np.atleast_2d(np.asarray(rows.conditions.get("event_floor", 0.0), dtype=float))
    if np.any(work):
        kernel = _with_event_floor(kernel, device, work)
    if np.any(rows.conditions.get("host_paced", 0)):
        kernel = _with_host_pace(kernel, device)
    return kernel, cost


def _with_event_floor(kernel: KernelTime, device: Device, work: Array) -> KernelTime:
    """The time between two events around one eager call, whose host works `work` times as long as for the cheapest.

    t = floor·(work − h) + max(floor·h, kernel): the GPU waits for the host to make the call, and then for the kernel
    or, if that is shorter, for the host to record the second event.
    """
    floor, share = device[EVENT_FLOOR_SECONDS], device[HIDDEN_SHARE]
    hidden = floor.value * share.value
    visible = np.asarray(kernel.seconds > hidden, dtype=float)
    waiting = hidden * (1 - visible)
    overhead = kernel.overhead_seconds * visible + waiting + floor.value * work - hidden
    return KernelTime(
        kernel.compute_seconds * visible,
        kernel.memory_seconds * visible,
        overhead,
        lambda: (
            *((coefficient, part * visible) for coefficient, part in kernel.sensitivities),
            (floor, floor.value * work - hidden + waiting),
            (share, hidden * visible),
        ),
    )


def _with_host_pace(kernel: KernelTime, device: Device) -> KernelTime:
    """The time of one of many eager calls in a row: as long as the host needs for a call, where that is longer."""
    host, alone = device[HOST_CALL_SECONDS], kernel.seconds
    seconds = overlap(alone, host.value + 0 * alone)
    share = (alone / seconds) ** (HOST_OVERLAP - 1)  # ∂ overlapped / ∂ device time
    return replace(
        kernel,
        overhead_seconds=kernel.overhead_seconds + seconds - alone,
        derive=lambda: (
            *((coefficient, part * share) for coefficient, part in kernel.sensitivities),
            (host, seconds - share * alone),
        ),
    )


def _with_extra_work(cost: OpCost, rows: OpRows, compute: str) -> OpCost:
    """The cost with what the benchmark does inside the timed region beside the op."""
    flops = rows.conditions.get("extra_flops", 0.0)
    return cost + OpCost(
        flops={("matrix", compute): np.atleast_2d(flops)} if compute and np.any(flops) else {},
        read_bytes=np.atleast_2d(rows.conditions.get("extra_bytes", 0.0)),
    )


def _bound(rows: OpRows, cost: OpCost, device: Device) -> Array:
    asked = str(rows.flags.get("compute", ""))
    rate = contraction_rate(device.hardware, asked) if asked else None
    bound = bound_seconds(rows.kind, rows.sizes, rows.flags, cost, device.hardware, rate)
    flat: Array = np.broadcast_to(bound, (1, len(rows)))[0]
    return flat
