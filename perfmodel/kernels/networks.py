"""Which form times the kernels of a whole network, and under which coefficients: one door to both forms.

    framework.py     GPUs in 16 bits or TF32, eager or compiled, without a KV cache; a GPU that was calibrated itself
                     also in fp32 and over a KV cache, each dtype with coefficients of its own
    cpu_network.py   CPUs, eager or compiled

Serving kernels, graph replay, fp32 on GPUs (which was measured op by op) and other accelerators are timed kernel by
kernel. May import: cpu_network, framework, framework_classes, device, host, types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from perfmodel.coefficients import Prior
from perfmodel.kernels.cpu_network import FITTED as CPU_FITTED
from perfmodel.kernels.cpu_network import RECURRENT, CpuParts, time_cpu
from perfmodel.kernels.device import Device
from perfmodel.kernels.framework import FITTED, Parts, time_framework
from perfmodel.kernels.framework_classes import OWN_KERNELS
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.roofline import KernelTime
from perfmodel.types import Hardware

NetworkParts: TypeAlias = Parts | CpuParts
RUNTIMES = ("eager", "compiled")
# what contractions compute in; TF32 runs the same kernels as 16 bits but was not measured
_GPU_DTYPES = {"fp16", "bf16", "tf32"}
CALIBRATED_DTYPES = ("fp16", "bf16", "tf32", "fp32")  # of a GPU that is calibrated itself, narrow ones first
CPU_DTYPES = {"fp32", "fp16", "bf16", "int8"}
_ON_CPU, _ON_GPU = "framework.cpu.", "framework.gpu."


def network_scope(
    hardware: Hardware,
    runtime: str,
    dtypes: Sequence[str],
    *,
    has_cache: bool,
    kept: Sequence[str] = (),
    fitted: Collection[str] = (),
) -> str:
    """The scope of the fitted coefficients that a whole network is timed by; "" if it is timed kernel by kernel.

    Args:
        dtypes: what its contractions compute in. has_cache: it is a step over a KV cache.
        kept: what tensors are kept in, for a network without contractions. fitted: scopes with coefficients of their
            own, by which a GPU that was calibrated itself goes.

    On a CPU each dtype has kernels of its own, and a scope: that of the narrowest one, which most of the work is in.
    There one unit does all, so that it may also be that of what tensors are kept in.
    """
    if runtime not in RUNTIMES:
        return ""
    if hardware.kind == "gpu":
        own = (calibrated_scope(runtime, dtype) for dtype in _calibrated_dtypes(dtypes, kept))
        shared = dtypes and set(dtypes) <= _GPU_DTYPES and not has_cache
        return next((scope for scope in own if scope in fitted), shared_scope(runtime) if shared else "")
    used = dtypes or [dtype for dtype in kept if dtype in CPU_DTYPES]
    if hardware.kind != "cpu" or not used or not set(used) <= CPU_DTYPES:
        return ""
    narrow = [dtype for dtype in ("int8", "bf16", "fp16") if dtype in used]
    return f"{_ON_CPU}{runtime}" + (f".{narrow[0]}" if narrow else "")


def calibrated_scope(runtime: str, dtype: str) -> str:
    """The scope of what is fitted on one GPU: each dtype by itself, with what the host takes for a launch."""
    return f"{_ON_GPU}{runtime}.{dtype}"


def shared_scope(runtime: str) -> str:
    """The scope of what is fitted on GPUs in 16 bits, for others of their kind."""
    return f"{_ON_GPU}{runtime}"


def _calibrated_dtypes(dtypes: Sequence[str], kept: Sequence[str]) -> Iterator[str]:
    """The dtypes that a network on a calibrated GPU may be one of: the narrowest it computes in; without contractions,
    that of its tensors, which may be fp32 under TF32, too."""
    if not set(dtypes) <= set(CALIBRATED_DTYPES):
        return
    for dtype in CALIBRATED_DTYPES:
        if dtype in dtypes:
            yield dtype
            return
    if not dtypes:
        yield from (dtype for dtype in ("fp16", "bf16", "fp32") if dtype in kept)
        yield from ["tf32"] if "fp32" in kept else []


def has_own_kernels(kind: str, scope: str) -> bool:
    """Whether ops of a kind are timed by a kernel form of their own inside such a network."""
    return kind in OWN_KERNELS and not (kind == RECURRENT and is_cpu_scope(scope))


def is_cpu_scope(scope: str) -> bool:
    """Whether networks of a scope run on CPUs."""
    return scope.startswith(_ON_CPU)


def fitted_priors(scope: str) -> tuple[Prior, ...]:
    """The coefficients that are fitted for a scope."""
    if is_cpu_scope(scope):
        return CPU_FITTED
    return FITTED if scope in map(shared_scope, RUNTIMES) else (*FITTED, HOST_SECONDS)


def time_parts(parts: NetworkParts, device: Device) -> KernelTime:
    """The times of a group of ops from their parts."""
    return time_cpu(parts, device) if isinstance(parts, CpuParts) else time_framework(parts, device)
