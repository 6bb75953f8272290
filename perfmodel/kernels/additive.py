"""Kernel times of a framework that runs any model (torch eager, torch.compile): a sum with coefficients by class of op.

    t = d_c·bytes/bandwidth + l_c·bytes/(64 B·cores·clock) + a_c·FLOPs/peak + b·FLOPs/(512·cores·clock) + launches·t0

Of the classes of kernels that a framework takes (cuDNN, cuBLAS, its own streaming kernels) less is known than of an
engine's: so there are no tiles or waves here but one number per class and resource, all fitted to whole models, in
which what a kernel leaves unused by itself and what it costs its neighbours count alike. `peak` is what the power limit
sustains. d_c and a_c are never below 1, so that no time is below bytes/bandwidth or FLOPs/peak.

Evidence: timm throughput tables, docs/accuracy.md. A maximum of the two resources instead of their sum, or one
efficiency for all classes, about doubles the error on families left out.

To add a class: its name in `MEMORY` or `COMPUTE` with a prior, and where `memory_class` or `compute_class` gives it.
May import: coefficients, device, roofline, sustained, types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from perfmodel.coefficients import Coefficient, Prior, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.kernels.sustained import clock_share
from perfmodel.types import Op, OpCost

_SOURCE = "timm throughput tables"
CACHE_BYTES_PER_CYCLE = 64.0  # of one core, the unit of l_c
BALANCE_FLOPS_PER_CYCLE = 512.0  # of one core, the unit of b
HEAVY_FUNCTIONS = {
    "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "erf", "exp", "pow", "general_pow", "softplus", "mish",
    "hardswish", "elu", "log", "sin", "cos", "log_sigmoid", "celu", "selu",
}  # fmt: skip
STEM_CHANNELS = 4  # images have at most so many


def _passes(name: str) -> Prior:
    return prior(
        f"additive.{name}.passes", 1.1, 0.25, meaning="time over that of moving the bytes once", source=_SOURCE,
        variants={"cpu": (1.3, 0.4)},
    )  # fmt: skip


def _on_chip(name: str) -> Prior:
    return prior(
        f"additive.{name}.on_chip", 0.6, 0.6, meaning="time over that of 64 bytes a core and cycle", source=_SOURCE,
        variants={"cpu": (0.6, 0.8)},
    )  # fmt: skip


def _inverse(name: str, value: float = 1.15, log_sd: float = 0.3) -> Prior:
    return prior(
        f"additive.{name}.inverse_efficiency", value, log_sd, meaning="time over that of the FLOPs at the peak",
        source=_SOURCE,
    )  # fmt: skip


MEMORY = (
    "convolution", "pointwise_convolution", "depthwise", "grouped", "stem", "linear", "matmul", "attention",
    "batch_norm", "row_norm", "light", "heavy", "softmax", "pool", "reduce", "copy", "cast", "weight_cast", "gather",
    "resize",
)  # fmt: skip
PASSES = {name: _passes(name) for name in MEMORY}
ON_CHIP = {name: _on_chip(name) for name in MEMORY}
COMPUTE = {
    name: _inverse(name)
    for name in ("convolution_3x3", "convolution", "pointwise_convolution", "grouped", "stem", "linear", "matmul",
                 "attention", "masked_attention", "plain_attention")
} | {name: _inverse(name, 2.0, 0.8) for name in ("depthwise_3x3", "depthwise_5x5", "depthwise_large")}  # fmt: skip
BALANCE = {
    name: prior(
        f"additive.{name}.balance", 0.25, 0.8, meaning="time over that of 512 FLOPs a core and cycle", source=_SOURCE
    )
    for name in ("main", "other")
}
_MAIN = ("convolution_3x3", "convolution", "pointwise_convolution", "linear")
SCORES = prior("additive.scores.passes", 1.1, 0.25, meaning="passes over attention scores in memory", source=_SOURCE)
SCORE_BYTES = 16.0  # scores in fp32, written and read, twice
RESIZE_SECONDS = prior(
    "additive.resize.seconds_per_plane", 330e-9, 0.3, meaning="eager bilinear or bicubic resize of one channel",
    source=_SOURCE,
)  # fmt: skip
RESIZE_WAVE = 512.0  # outputs of one plane that a core has in flight
UNFOLD_SECONDS = prior(
    "additive.unfold.seconds_per_sample", 4e-6, 0.5, meaning="eager im2col, sample by sample", source=_SOURCE
)
LAUNCH_SECONDS = prior(
    "additive.launch_seconds", 8e-6, 0.6, meaning="start and end of one kernel", source=_SOURCE,
    variants={"compiled": (5e-6, 0.6), "cpu": (6e-6, 0.8)},
)  # fmt: skip
Resource = Literal["memory", "compute", "overhead"]


@dataclass(frozen=True, slots=True)
class OpClass:
    """What decides the coefficients of an op."""

    memory: str
    compute: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the time of a group of ops: seconds per unit of a coefficient, (ops, configurations)."""

    prior: Prior
    resource: Resource
    seconds: Array


def class_of(op: Op, sizes: Mapping[str, Any]) -> OpClass:
    """The class of an op.

    Args:
        sizes: the arguments of its cost formula.
    """
    if op.kind == "convolution":
        return _convolution_class(op, sizes)
    if op.kind == "attention":
        plain = "plain_attention" if op.attributes.get("math") else ""
        return OpClass("attention", plain or ("masked_attention" if op.attributes.get("masked") else "attention"))
    if op.kind in ("linear", "experts", "recurrent"):
        return OpClass("linear", "linear")
    if op.kind in ("matmul", "index_scores", "gated_delta_rule"):
        return OpClass("matmul", "matmul")
    return OpClass(_streaming_class(op))


def _convolution_class(op: Op, sizes: Mapping[str, Any]) -> OpClass:
    channels, groups, kernel = sizes["i"], sizes["g"], sizes["r"]
    if isinstance(channels, int) and channels <= STEM_CHANNELS:
        return OpClass("stem", "stem")
    if groups == channels:
        side = "3x3" if kernel <= 9 else "5x5" if kernel <= 25 else "large"
        return OpClass("depthwise", f"depthwise_{side}")
    if groups != 1:
        return OpClass("grouped", "grouped")
    if kernel == 1:
        return OpClass("pointwise_convolution", "pointwise_convolution")
    return OpClass("convolution", "convolution_3x3" if kernel == 9 and not _strided(op) else "convolution")


def _strided(op: Op) -> bool:
    stride = op.attributes.get("stride", 1)
    return any(step > 1 for step in (stride if isinstance(stride, list | tuple) else (stride,)))


def _streaming_class(op: Op) -> str:
    function = str(op.attributes.get("function", ""))
    names = {str(name) for name in op.attributes.get("functions", (function,))}
    if op.kind == "normalization":
        return "row_norm" if names & {"layer", "group", "instance", "rms"} else "batch_norm"
    if op.kind in ("pointwise", "dropout"):
        if "batch" in names:
            return "batch_norm"
        return "heavy" if names & HEAVY_FUNCTIONS else "light"
    if op.kind in ("copy", "cache_append", "view"):
        return function if function in ("cast", "weight_cast") else "copy"
    if op.kind in ("softmax", "pool", "resize"):
        return op.kind
    return "reduce" if op.kind in ("reduce", "scan", "topk") else "gather"


def additive_terms(
    classes: Sequence[OpClass], ops: Sequence[Op], sizes: Mapping[str, Any], cost: OpCost, device: Device,
    rate: Rate | None,
) -> list[Term]:  # fmt: skip
    """The parts of the times of a group of ops.

    Args:
        classes, ops: one per row. sizes: the arguments of their cost formula as arrays (ops, configurations).
        cost: their cost, likewise. rate: peak of the dtype they compute in; None for ops that do not contract.
    """
    hardware, clock = device.hardware, clock_share(device)
    cycles = hardware.cores * (hardware.tensor_clock_hertz or hardware.clock_hertz) * clock
    moved = np.asarray(cost.bytes, dtype=float)
    terms = []
    for name in dict.fromkeys(own.memory for own in classes):
        bytes_ = moved * _mask(own.memory == name for own in classes)
        terms.append(Term(PASSES[name], "memory", bytes_ / hardware.memory_bandwidth_bytes_per_second))
        if cycles:
            terms.append(Term(ON_CHIP[name], "memory", bytes_ / (cycles * CACHE_BYTES_PER_CYCLE)))
    terms.append(Term(LAUNCH_SECONDS, "overhead", _kernels(cost, device) * np.ones_like(moved)))
    if rate is not None:
        terms += _compute_terms(classes, sizes, cost, device, rate, cycles, clock)
    if device.runtime == "eager" and hardware.kind == "gpu":
        terms += _slow_paths(ops, sizes, device)
    return terms


def _mask(chosen: Any) -> Array:
    return np.array([[float(one)] for one in chosen])


def _kernels(cost: OpCost, device: Device) -> Array:
    launches = np.asarray(cost.launches, dtype=float)
    return launches if device.runtime == "eager" else np.minimum(launches, 1)


def _compute_terms(
    classes: Sequence[OpClass], sizes: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate, cycles: float,
    clock: float,
) -> list[Term]:  # fmt: skip
    flops = np.asarray(cost.matrix_flops, dtype=float)
    terms = []
    for name in dict.fromkeys(own.compute for own in classes):
        own = flops * _mask(one.compute == name for one in classes)
        on_vector = name.startswith("depthwise") and device.hardware.kind == "gpu"
        peak = device.vector_flops_per_second if on_vector else rate.flops_per_second
        terms.append(Term(COMPUTE[name], "compute", own / (peak * clock)))
        if cycles and not on_vector:
            balance = BALANCE["main" if name in _MAIN else "other"]
            terms.append(Term(balance, "compute", own / (cycles * BALANCE_FLOPS_PER_CYCLE)))
        if name == "plain_attention":
            scores = sizes["b"] * sizes["h"] * sizes["s"] * sizes["t"] * _mask(one.compute == name for one in classes)
            seconds = scores * SCORE_BYTES / device.hardware.memory_bandwidth_bytes_per_second
            terms.append(Term(SCORES, "memory", seconds))
    return terms


def _slow_paths(ops: Sequence[Op], sizes: Mapping[str, Any], device: Device) -> list[Term]:
    """Kernels of eager torch that work plane by plane, or sample by sample."""
    terms = []
    if any(op.kind == "resize" for op in ops):
        smooth = _mask(
            op.kind == "resize" and op.attributes.get("function") in ("bilinear", "bicubic") for op in ops
        )
        waves = np.maximum(1.0, sizes["columns"] / (device.hardware.cores * RESIZE_WAVE))
        terms.append(Term(RESIZE_SECONDS, "overhead", smooth * _rows(sizes) * waves))
    if any(op.attributes.get("function") in ("im2col", "col2im") for op in ops):
        unfolded = _mask(op.attributes.get("function") in ("im2col", "col2im") for op in ops)
        terms.append(Term(UNFOLD_SECONDS, "overhead", unfolded * _rows(sizes)))
    return terms


def _rows(sizes: Mapping[str, Any]) -> Array:
    return np.asarray(sizes["elements"] / np.maximum(sizes["columns"], 1))


def term_value(coefficient: Coefficient, resource: Resource) -> float:
    """A coefficient as it enters a time; what would beat bytes/bandwidth or FLOPs/peak is held at 1."""
    bounded = coefficient.name.endswith((".passes", ".inverse_efficiency"))
    return max(coefficient.value, 1.0) if bounded and resource != "overhead" else coefficient.value


def time_additive(terms: Sequence[Term], device: Device) -> KernelTime:
    """The times of a group of ops from their parts."""
    parts: dict[str, Any] = {"compute": 0.0, "memory": 0.0, "overhead": 0.0}
    sensitivities = []
    for term in terms:
        coefficient = device[term.prior]
        seconds = term_value(coefficient, term.resource) * term.seconds
        parts[term.resource] = parts[term.resource] + seconds
        sensitivities.append((coefficient, seconds))
    zero = np.zeros_like(terms[0].seconds)
    return KernelTime(
        parts["compute"] + zero, parts["memory"] + zero, parts["overhead"] + zero, tuple(sensitivities)
    )
