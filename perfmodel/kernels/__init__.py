"""How long ops take on a chip: OpCost + Device -> KernelTime, one file per family of kernels.

Every formula is `t0 + p-norm(compute, memory)` with named coefficients (see roofline.py), or `t0 + traffic/links` for
collectives, and is never below bytes/bandwidth, FLOPs/peak or traffic/links. May import: everything below it (costs,
coefficients, types, ...). To add a family: a file with its priors and its formula, and a line in `time_group`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.arithmetic import maximum
from perfmodel.costs.collective import ACROSS_NODES, COLLECTIVE, HOST
from perfmodel.kernels.attention import time_attention
from perfmodel.kernels.collective import time_collective
from perfmodel.kernels.convolution import WINOGRAD_SHORTCUT, time_convolution, winograd_applies, works_with_winograd
from perfmodel.kernels.device import RUNTIMES, Device, Rate, contraction_rate, fitted_device, resolve_runtime
from perfmodel.kernels.experts import time_experts
from perfmodel.kernels.gemm import time_gemm
from perfmodel.kernels.host_collective import time_host_collective
from perfmodel.kernels.links import link_bound_seconds
from perfmodel.kernels.memory_bound import time_memory_bound
from perfmodel.kernels.recurrent import time_recurrent
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.kernels.state_space import time_state_space
from perfmodel.precisions import find_format, quantized_format
from perfmodel.types import Hardware, OpCost

__all__ = [
    "RUNTIMES", "Device", "KernelTime", "Rate", "bound_seconds", "contraction_rate", "fitted_device", "resolve_runtime",
    "scope_of", "time_group",
]  # fmt: skip

_SCANS = ("selective_scan", "state_space_scan")
_GEMM_KINDS = ("linear", "matmul", "index_scores", "gated_delta_rule")


def scope_of(kind: str, flags: Mapping[str, Any], rate: Rate | None) -> str:
    """Which fitted coefficients an op goes by: kernels of other kinds or dtypes have others."""
    if kind == COLLECTIVE:
        # the way between nodes has coefficients of its own, which nothing measured inside one speaks of
        return f"{COLLECTIVE}.{flags['library']}" + (".network" if flags.get("fabric") == ACROSS_NODES else "")
    if kind in _SCANS:
        return "state_space"
    if rate is None:
        return "streaming"
    if kind == "attention":
        return "attention.prefill" if flags.get("causal") or not flags.get("cached") else "attention.decode"
    family = kind if kind in ("experts", "recurrent", "convolution") else "gemm"
    # fp32 runs the same kernels' tiles on either unit, and one power limit decides both
    name = f"{family}.{rate.dtype if rate.unit == 'matrix' or rate.dtype == 'fp32' else rate.unit}"
    return name + _weight_class(str(flags.get("weight", "")), rate.dtype)


@lru_cache
def _weight_class(weight: str, compute: str) -> str:
    """Weights that are unpacked on the way (w4a16), or scaled in blocks, run through kernels of their own."""
    if not weight:
        return ""
    bits = find_format(weight).bits
    if bits < find_format(quantized_format(compute)).bits:
        return f".w{bits:g}"
    return ".block" if weight == "fp8_block" else ""


def time_group(
    kinds: tuple[str, ...],
    sizes: Mapping[str, Any],
    flags: Mapping[str, Any],
    cost: OpCost,
    device: Device,
    rate: Rate | None,
    scope: str = "",
) -> KernelTime:
    """Times of a group of ops.

    Args:
        kinds: one per op; all the same unless they only stream memory.
        sizes: the arguments of their cost formula as arrays (ops, configurations). cost: their cost, likewise.
        rate: peak of the dtype they compute in; None for ops that do not contract.
        scope: what `scope_of` says of them, where that is known.
    """
    device = device.in_scope(scope or scope_of(kinds[0], flags, rate))
    if kinds[0] == COLLECTIVE:
        timed = time_host_collective if flags.get("fabric") == HOST else time_collective
        return timed(sizes, flags, cost, device)
    if kinds[0] in _SCANS:
        return time_state_space(kinds[0], sizes, cost, device, rate)
    if rate is None:
        return time_memory_bound(kinds, sizes, cost, device)
    if kinds[0] == "convolution":
        return time_convolution(sizes, flags, cost, device, rate)
    if kinds[0] in _GEMM_KINDS:
        return time_gemm(kinds[0], sizes, flags, cost, device, rate)
    if kinds[0] == "attention":
        return time_attention(sizes, flags, cost, device, rate)
    if kinds[0] == "experts":
        return time_experts(sizes, flags, cost, device, rate)
    return time_recurrent(sizes, cost, device, rate)


def bound_seconds(
    kind: str,
    sizes: Mapping[str, Any],
    flags: Mapping[str, Any],
    cost: OpCost,
    hardware: Hardware,
    rate: Rate | None,
    cached: Sequence[Array] = (),
) -> Array:
    """The physical bound of a group of ops: max(bytes/bandwidth, FLOPs/peak, traffic/links); arguments as above.

    Args:
        cached: shares of the bytes that come from caches, and not from memory.
    """
    bound: Array = cost.bytes / hardware.memory_bandwidth_bytes_per_second
    if cached:
        bound = bound * (1 - sum(cached))
    if kind == COLLECTIVE:
        return np.maximum(
            bound, link_bound_seconds(hardware, sizes, str(flags["operation"]), cost, str(flags.get("fabric", "")))
        )
    if rate is None:
        return bound
    flops = cost.matrix_flops
    if kind == "convolution" and works_with_winograd(hardware, rate):
        flops = np.where(winograd_applies(sizes, flags), flops / WINOGRAD_SHORTCUT, flops)
    larger: Array = maximum(bound, flops / rate.flops_per_second)
    return larger
