"""Kernel time of everything that streams memory: pointwise ops, norms, softmax, copies, lookups, pooling.

    t = launches·t0 + (Tv^p + Tm^p)^(1/p),  Tv = FLOPs / vector peak,  Tm = bytes / (bandwidth · em)

with em by family of op. Priors: NeuSight vector ops (fp32, P4 to A100, MI100).

Letters: none; sizes are bytes and FLOPs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import Prior, prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.residency import memory_seconds, reread_bytes
from perfmodel.kernels.roofline import KernelTime, split_p_norm
from perfmodel.types import OpCost

_SOURCE = "NeuSight vector operators"
LAUNCH_SECONDS = prior(
    "memory_bound.launch_seconds", 2.2e-6, 0.5, meaning="launch and drain of one kernel", source=_SOURCE,
    variants={"eager": (5.5e-6, 0.5), "compiled": (3.5e-6, 0.5), "tpu": (0.7e-6, 0.7), "cpu": (1.5e-6, 0.7),
              "cpu.eager": (6e-6, 0.6), "accelerator": (4e-6, 0.8)},
)  # fmt: skip
VECTOR_EFFICIENCY = prior(
    "memory_bound.vector_efficiency", 0.6, 0.4, meaning="share of the vector peak", source="no data; a wide guess",
)  # fmt: skip
OVERLAP = 2.0


def _efficiency(family: str, value: float, log_sd: float, cpu: float) -> Prior:
    return prior(
        f"{family}.memory_efficiency", value, log_sd, meaning="achievable share of memory bandwidth", source=_SOURCE,
        variants={"cpu": (cpu, 0.35), "tpu": (0.8, 0.2), "accelerator": (0.6, 0.4)},
    )  # fmt: skip


EFFICIENCIES = {
    "pointwise": _efficiency("pointwise", 0.84, 0.10, 0.6),
    "softmax": _efficiency("softmax", 0.71, 0.15, 0.5),
    "normalization": _efficiency("normalization", 0.65, 0.25, 0.5),
    "copy": _efficiency("copy", 0.70, 0.20, 0.5),
    "gather": _efficiency("gather", 0.55, 0.40, 0.4),
    "dropout": _efficiency("dropout", 0.77, 0.15, 0.4),
}
_FAMILY = {
    "pointwise": "pointwise",
    "reduce": "pointwise",
    "dropout": "dropout",
    "scan": "softmax",
    "softmax": "softmax",
    "normalization": "normalization",
    "copy": "copy",
    "cache_append": "copy",
    "view": "copy",
    "pool": "pointwise",
    "resize": "gather",
    "embedding": "gather",
    "gather": "gather",
    "scatter": "gather",
    "topk": "gather",
}
FORM = prior(
    "memory_bound.form", 1.0, 0.10, meaning="what the form itself does not say about a kernel", source=_SOURCE,
    variants={"cpu": (1.0, 0.35), "tpu": (1.0, 0.3), "accelerator": (1.0, 0.35)},
)  # fmt: skip


def family(kind: str) -> str:
    """The efficiency family of an op kind; unmodelled ops count as lookups, the slowest."""
    return _FAMILY.get(kind, "gather")


def time_memory_bound(kinds: tuple[str, ...], sizes: Mapping[str, Any], cost: OpCost, device: Device) -> KernelTime:
    """Times of a group of streaming ops, one kind per row; `cost` holds arrays (ops, configurations)."""
    efficiencies = [device[EFFICIENCIES[family(kind)]] for kind in kinds]
    vector, launch = device[VECTOR_EFFICIENCY], device[LAUNCH_SECONDS]
    moved = np.asarray(cost.bytes, dtype=float) + reread_bytes(sizes, device)
    shares = np.array([used.value for used in efficiencies])[:, None]
    compute_part, memory_part = split_p_norm(
        np.asarray(cost.vector_flops, dtype=float) / (device.vector_flops_per_second * vector.value),
        memory_seconds(moved, sizes, device, shares),
        OVERLAP,
    )
    # eager runs some functions as several kernels; compiled and captured code runs each as one
    kernels = cost.launches if device.runtime == "eager" else np.minimum(cost.launches, 1)
    launches = launch.value * device.launch_scale * np.asarray(kernels, dtype=float)
    by_family = tuple(
        (shared, memory_part * np.array([used is shared for used in efficiencies])[:, None])
        for shared in dict.fromkeys(efficiencies)
    )
    own = (
        (vector, compute_part),
        (launch, launches),
        (device[FORM], compute_part + memory_part),
    )
    return KernelTime(compute_part, memory_part, launches, (*by_family, *own))
