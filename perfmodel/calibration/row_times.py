"""Measured ops through the formulas that predictions use: `OpRows` -> predicted seconds.

May import: measurements, costs, kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.calibration.measurements import Array, OpRows
from perfmodel.coefficients import Coefficient, prior
from perfmodel.costs import find_kind
from perfmodel.errors import InputError
from perfmodel.kernels import Device, KernelTime, contraction_rate, time_group
from perfmodel.types import Hardware, OpCost

EVENT_FLOOR_SECONDS = prior(
    "benchmark.event_floor_seconds", 25e-6, 0.35, meaning="gap between two events around one eager kernel",
    source="NeuSight operators; a property of the host, 20 to 35 us on six machines",
)  # fmt: skip
_IN_CACHE = ("resident_bytes",)  # conditions that kernel times know about


@dataclass(frozen=True)
class RowTimes:
    """Predictions for the rows of an `OpRows`, arrays (rows,).

    Args:
        seconds: predicted. log_sd: of log(seconds), from the spreads of the coefficients.
        bound_seconds: max(FLOPs/peak, bytes/bandwidth). regime: index into `REGIMES`, what most of the time goes to.
        coefficients: those that were used.
    """

    seconds: Array
    log_sd: Array
    bound_seconds: Array
    regime: Array
    coefficients: tuple[Coefficient, ...]


REGIMES = ("compute", "memory", "overhead")


def time_rows(rows: OpRows, hardware: Hardware, overrides: Mapping[str, Coefficient] | None = None) -> RowTimes:
    """Predict measured ops.

    Args:
        overrides: coefficients by name that replace the priors.

    Raises:
        InputError: a kind without a kernel formula. UnsupportedError: a compute dtype the chip refuses.
    """
    device = Device(hardware, rows.runtime, overrides or {})
    kernel, cost = _kernel(rows, device)
    seconds = kernel.seconds[0]
    variance = sum((part[0] / seconds * coefficient.log_sd) ** 2 for coefficient, part in _shared(kernel))
    parts = np.array(
        np.broadcast_arrays(kernel.compute_seconds[0], kernel.memory_seconds[0], kernel.overhead_seconds[0])
    )
    return RowTimes(
        seconds=seconds,
        log_sd=np.sqrt(variance) + np.zeros_like(seconds),
        bound_seconds=_bound(rows, cost, device),
        regime=parts.argmax(axis=0),
        coefficients=device.used_coefficients,
    )


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
    return (_with_event_floor(kernel, device) if np.any(rows.conditions.get("event_floor", 0)) else kernel), cost


def _with_event_floor(kernel: KernelTime, device: Device) -> KernelTime:
    """The time between two events around one eager call: the host's gap between them is inside."""
    floor = device[EVENT_FLOOR_SECONDS]
    overhead = kernel.overhead_seconds + floor.value + 0 * kernel.seconds
    return replace(
        kernel,
        overhead_seconds=overhead,
        sensitivities=(*kernel.sensitivities, (floor, floor.value + 0 * overhead)),
    )


def _with_extra_work(cost: OpCost, rows: OpRows, compute: str) -> OpCost:
    """The cost with what the benchmark does inside the timed region beside the op."""
    flops = rows.conditions.get("extra_flops", 0.0)
    return cost + OpCost(
        flops={("matrix", compute): np.atleast_2d(flops)} if compute and np.any(flops) else {},
        read_bytes=np.atleast_2d(rows.conditions.get("extra_bytes", 0.0)),
    )


def _shared(kernel: KernelTime) -> list[tuple[Coefficient, Array]]:
    """Sensitivities with parts of the same coefficient added up."""
    found: dict[str, tuple[Coefficient, Array]] = {}
    for coefficient, part in kernel.sensitivities:
        previous = found.get(coefficient.name)
        found[coefficient.name] = (coefficient, part if previous is None else previous[1] + part)
    return list(found.values())


def _bound(rows: OpRows, cost: OpCost, device: Device) -> Array:
    bound: Array = np.asarray(cost.bytes, dtype=float) / device.hardware.memory_bandwidth_bytes_per_second
    asked = str(rows.flags.get("compute", ""))
    if asked:
        rate = contraction_rate(device.hardware, asked)
        bound = np.maximum(bound, np.asarray(cost.matrix_flops, dtype=float) / rate.flops_per_second)
    flat: Array = np.broadcast_to(bound, (1, len(rows)))[0]
    return flat
