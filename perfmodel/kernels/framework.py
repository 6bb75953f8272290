"""Kernel times of a framework that runs any model on a GPU (eager torch, torch.compile): coefficients by class of op.

    streaming      t = (1 + e_c)·Tm + n·t0
    contraction    t = ((κ·Tc)^p + ((1 + e_c)·Tm)^p)^(1/p) + n·t0,   κ = (1 + (k_c/s)^8)^(1/8)

with Tm = bytes/bandwidth (times 1/ecc, see memory_bound.py), Tc = FLOPs/peak, n kernels. s is the share of its clock
that a GPU holds under its power limit (sustained.py); a class that keeps the units less busy (k_c above s) is limited
by itself. e_c is at least 0 and κ at least 1, so that no time is below bytes/bandwidth or FLOPs/peak.

Of the kernels that a framework takes (cuDNN, cuBLAS, its own) less is known than of an engine's: there are no tiles or
waves here. All coefficients are fitted to whole models, where what a kernel costs its neighbours counts too.

Evidence: timm throughput tables (docs/accuracy.md), in 16 bits on two GPUs. With compute and memory
added instead, coefficients fall below the bounds, for what contractions hide, and held at the bounds they fit worse.
Terms for traffic through the cache lower the median error left out by less than one point.

May import: coefficients, device, framework_classes, memory_bound, roofline, sustained, types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import Prior, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.framework_classes import COMPUTING, MOVING, SMOOTH_RESIZES, STREAMING, UNFOLDS, OpClass
from perfmodel.kernels.memory_bound import ecc_efficiency
from perfmodel.kernels.roofline import Array, KernelTime, Sensitivities
from perfmodel.kernels.sustained import clock_share
from perfmodel.types import Hardware, Op, OpCost

_SOURCE = "timm throughput tables"
SHARPNESS = 8
SCORE_BYTES = 16.0  # attention scores in memory: in fp32, written and read, twice
RESIZE_WAVE = 512.0  # outputs of one plane that a core has in flight
_TINY = 1e-15


def _excess(name: str) -> Prior:
    return prior(
        f"framework.{name}.excess", 0.2, 1.0, meaning="time over that of moving the bytes once, beyond 1",
        source=_SOURCE, kernel_log_sd=1.0,
    )  # fmt: skip


def _slowdown(name: str) -> Prior:
    value, log_sd = (2.0, 0.8) if name.startswith("depthwise") else (1.15, 0.3)
    return prior(
        f"framework.{name}.slowdown", value, log_sd, meaning="time over that of the FLOPs at the peak",
        source=_SOURCE, kernel_log_sd=0.3,
    )  # fmt: skip


EXCESS = {name: _excess(name) for name in (*STREAMING, *MOVING)}
SLOWDOWN = {name: _slowdown(name) for name in COMPUTING}
OVERLAP = prior("framework.overlap", 1.0, 0.3, meaning="p - 1 of the norm over compute and memory time", source=_SOURCE)
SCORES = prior("framework.scores.passes", 1.1, 0.25, meaning="passes over attention scores in memory", source=_SOURCE)
RESIZE_SECONDS = prior(
    "framework.resize.seconds_per_plane", 330e-9, 0.3, meaning="smooth resize of one channel, eager, on a GPU",
    source=_SOURCE,
)  # fmt: skip
UNFOLD_SECONDS = prior(
    "framework.unfold.seconds_per_sample", 4e-6, 0.5, meaning="im2col of one sample, eager, on a GPU", source=_SOURCE
)
LAUNCH_SECONDS = prior(
    "framework.launch_seconds", 8e-6, 0.6, meaning="start, ramp and end of one kernel", source=_SOURCE,
    variants={"compiled": (5e-6, 0.6)},
)  # fmt: skip
FITTED = (*EXCESS.values(), *SLOWDOWN.values(), OVERLAP, SCORES, RESIZE_SECONDS, UNFOLD_SECONDS, LAUNCH_SECONDS)
_CLASSES = (*STREAMING, *MOVING)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the times of a group of ops are made of, without coefficients; arrays (ops, configurations).

    Args:
        moving, computing: places of the ops' classes in `_CLASSES` and `COMPUTING`; -1 for no compute.
        memory_seconds: bytes/bandwidth. compute_seconds: FLOPs/peak. kernels: launches.
        scores_seconds, planes, samples: units of `SCORES`, `RESIZE_SECONDS`, `UNFOLD_SECONDS`; 0 for most.
    """

    moving: np.ndarray[Any, np.dtype[np.int64]]
    computing: np.ndarray[Any, np.dtype[np.int64]]
    memory_seconds: Array
    compute_seconds: Array
    kernels: Array
    scores_seconds: Array
    planes: Array
    samples: Array


def framework_parts(
    classes: Sequence[OpClass], ops: Sequence[Op], sizes: Mapping[str, Any], cost: OpCost, device: Device,
    rate: Rate | None,
) -> Parts:  # fmt: skip
    """The parts of a group of ops.

    Args:
        classes, ops: one per row. sizes: the arguments of their cost formula as arrays (ops, configurations).
        cost: their cost, likewise. rate: peak of the dtype they compute in; None for ops that do not contract.
    """
    hardware = device.hardware
    ecc = ecc_efficiency(device)
    bandwidth = hardware.memory_bandwidth_bytes_per_second * (ecc.value if ecc else 1.0)
    memory = np.atleast_2d(np.asarray(cost.bytes, dtype=float)) / bandwidth + np.zeros((len(ops), 1))
    zero = np.zeros_like(memory)
    compute, scores = zero, zero
    if rate is not None:
        on_vector = [own.compute.startswith("depthwise") for own in classes]
        peaks = np.where(on_vector, min(device.vector_flops_per_second, rate.flops_per_second), rate.flops_per_second)[
            :, None
        ]
        compute = np.asarray(cost.matrix_flops, dtype=float) / peaks + zero
        if any(own.compute == "plain_attention" for own in classes):
            plain = _mask(own.compute == "plain_attention" for own in classes)
            scores = plain * sizes["b"] * sizes["h"] * sizes["s"] * sizes["t"] * SCORE_BYTES / bandwidth + zero
    slow = device.runtime == "eager"
    launches = np.asarray(cost.launches, dtype=float) + zero
    return Parts(
        moving=np.array([_CLASSES.index(own.memory) for own in classes]),
        computing=np.array([COMPUTING.index(own.compute) if own.compute else -1 for own in classes]),
        memory_seconds=memory,
        compute_seconds=compute,
        kernels=launches if device.runtime == "eager" else np.minimum(launches, 1),
        scores_seconds=scores,
        planes=_planes(ops, sizes, hardware) + zero if slow else zero,
        samples=_samples(ops, sizes) + zero if slow else zero,
    )


def _mask(chosen: Any) -> Array:
    return np.array([[float(one)] for one in chosen])


def _planes(ops: Sequence[Op], sizes: Mapping[str, Any], hardware: Hardware) -> Array | float:
    """Planes that eager torch resizes one by one, each in waves of a core's threads."""
    smooth = [op.kind == "resize" and op.attributes.get("function") in SMOOTH_RESIZES for op in ops]
    if not any(smooth):
        return 0.0
    return np.asarray(_mask(smooth) * _rows(sizes) * np.maximum(1.0, sizes["columns"] / (hardware.cores * RESIZE_WAVE)))


def _samples(ops: Sequence[Op], sizes: Mapping[str, Any]) -> Array | float:
    """Samples that eager torch unfolds one by one."""
    unfolded = [op.attributes.get("function") in UNFOLDS for op in ops]
    return np.asarray(_mask(unfolded) * _rows(sizes)) if any(unfolded) else 0.0


def _rows(sizes: Mapping[str, Any]) -> Array:
    return np.asarray(sizes["elements"] / np.maximum(sizes["columns"], 1))


def time_framework(parts: Parts, device: Device) -> KernelTime:
    """The times of a group of ops from their parts."""
    excess = np.array([device[EXCESS[name]].value for name in _CLASSES])[parts.moving][:, None]
    overlap = device[OVERLAP]
    p = 1 + overlap.value
    memory = (1 + excess) * parts.memory_seconds
    slowdown, share = _slowdowns(device)
    compute = np.where(parts.computing < 0, 0.0, slowdown[parts.computing])[:, None] * parts.compute_seconds
    larger = np.maximum(np.maximum(compute, memory), _TINY)
    compute_power, memory_power = (compute / larger) ** p, (memory / larger) ** p
    total = compute_power + np.maximum(memory_power, _TINY)
    scale = larger * total ** (1 / p - 1)
    compute_part, memory_part = compute_power * scale, memory_power * scale
    scores, resize, unfold, launch = (device[own] for own in (SCORES, RESIZE_SECONDS, UNFOLD_SECONDS, LAUNCH_SECONDS))
    passes = scores.value * parts.scores_seconds
    overheads = ((launch, parts.kernels), (resize, parts.planes), (unfold, parts.samples))

    def derive() -> Sensitivities:
        # d log t / d log p, for the spread of the overlap
        logs = sum(power * np.log(np.maximum(power, _TINY)) for power in (compute_power, memory_power))
        moved = np.maximum(compute, memory)
        bend = moved * total ** (1 / p) / p**2 * (logs / total - np.log(total)) * overlap.value
        found = [(coefficient, coefficient.value * units) for coefficient, units in overheads]
        found += [(scores, passes), (overlap, bend)]
        for place in dict.fromkeys(parts.moving.tolist()):
            own = (parts.moving == place)[:, None]
            found.append((device[EXCESS[_CLASSES[place]]], memory_part * own * excess / (1 + excess)))
        for place in dict.fromkeys(parts.computing[parts.computing >= 0].tolist()):
            own = (parts.computing == place)[:, None]
            found.append((device[SLOWDOWN[COMPUTING[place]]], compute_part * own * share[place]))
        return tuple(found)

    overhead = sum(coefficient.value * units for coefficient, units in overheads)
    return KernelTime(compute_part, memory_part + passes, np.asarray(overhead), derive)


def _slowdowns(device: Device) -> tuple[Array, Array]:
    """(κ, share of it that the class itself decides) of each compute class."""
    held = clock_share(device)
    ratio = np.array([
        (device[SLOWDOWN[name]].value / (1.0 if name.startswith("depthwise") else held)) ** SHARPNESS
        for name in COMPUTING
    ])  # fmt: skip
    return (1 + ratio) ** (1 / SHARPNESS), ratio / (1 + ratio)
