"""Which form times the kernels of a whole network, and under which coefficients: one door to both forms.

    framework.py     GPUs in 16 bits or TF32, eager or compiled, without a KV cache
    cpu_network.py   CPUs, eager or compiled

Serving kernels, graph replay, fp32 on GPUs (which was measured op by op) and other accelerators are timed kernel by
kernel. May import: cpu_network, framework, framework_classes, device, types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from perfmodel.coefficients import Prior
from perfmodel.kernels.cpu_network import FITTED as CPU_FITTED
from perfmodel.kernels.cpu_network import RECURRENT, CpuParts, time_cpu
from perfmodel.kernels.device import Device
from perfmodel.kernels.framework import FITTED, Parts, time_framework
from perfmodel.kernels.framework_classes import OWN_KERNELS
from perfmodel.kernels.roofline import KernelTime
from perfmodel.types import Hardware

NetworkParts: TypeAlias = Parts | CpuParts
RUNTIMES = ("eager", "compiled")
# what contractions compute in; TF32 runs the same kernels as 16 bits but was not measured
_GPU_DTYPES = {"fp16", "bf16", "tf32"}
CPU_DTYPES = {"fp32", "fp16", "bf16", "int8"}
_ON_CPU = "framework.cpu."


def network_scope(hardware: Hardware, runtime: str, dtypes: Sequence[str], *, has_cache: bool) -> str:
    """The scope of the fitted coefficients that a whole network is timed by; "" if it is timed kernel by kernel.

    Args:
        dtypes: what its contractions compute in. has_cache: it is a step over a KV cache.

    On a CPU each dtype has kernels of its own, and a scope: that of the narrowest one, which most of the work is in.
    """
    if runtime not in RUNTIMES or not dtypes:
        return ""
    if hardware.kind == "gpu":
        return f"framework.gpu.{runtime}" if set(dtypes) <= _GPU_DTYPES and not has_cache else ""
    if hardware.kind != "cpu" or not set(dtypes) <= CPU_DTYPES:
        return ""
    narrow = [dtype for dtype in ("int8", "bf16", "fp16") if dtype in dtypes]
    return f"{_ON_CPU}{runtime}" + (f".{narrow[0]}" if narrow else "")


def has_own_kernels(kind: str, scope: str) -> bool:
    """Whether ops of a kind are timed by a kernel form of their own inside such a network."""
    return kind in OWN_KERNELS and not (kind == RECURRENT and is_cpu_scope(scope))


def is_cpu_scope(scope: str) -> bool:
    """Whether networks of a scope run on CPUs."""
    return scope.startswith(_ON_CPU)


def fitted_priors(scope: str) -> tuple[Prior, ...]:
    """The coefficients that are fitted for a scope."""
    return CPU_FITTED if is_cpu_scope(scope) else FITTED


def time_parts(parts: NetworkParts, device: Device) -> KernelTime:
    """The times of a group of ops from their parts."""
    return time_cpu(parts, device) if isinstance(parts, CpuParts) else time_framework(parts, device)
