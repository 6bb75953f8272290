"""Kernel time of everything that streams memory: pointwise ops, norms, softmax, copies, lookups, pooling.

    t = launches·t0 + (Tv^p + Tm^p)^(1/p),  Tv = FLOPs / (vector peak · ev),  Tm = bytes / (bandwidth · em · ecc)

with em by family of op. Softmax and layer norm stream like pointwise ops and have work of their own on top, see
row_reductions.py. ecc is 1 but for cards whose memory keeps the check bits beside the data.
Priors: NeuSight vector ops (fp32, P4, P100, V100, T4, A100, MI100). With one device left out the median error of all
rows is 7.5 % (pointwise), 13 % (softmax), 8 % (layer norm); of those above 150 us 4, 12, 10 %, without ecc 9 % for
pointwise. What remains of pointwise is P100, whose HBM reaches 0.74 of its bandwidth; that of V100 reaches 0.92.

Letters: none; sizes are bytes and FLOPs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, Prior, prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.residency import memory_seconds, reread_bytes
from perfmodel.kernels.roofline import KernelTime, split_p_norm
from perfmodel.kernels.row_reductions import ROWS_IN_FLIGHT, row_work
from perfmodel.types import OpCost

_SOURCE = "NeuSight vector operators"
LAUNCH_SECONDS = prior(
    "memory_bound.launch_seconds", 2.2e-6, 0.5, meaning="launch and drain of one kernel", source=_SOURCE,
    variants={"eager": (5.5e-6, 0.5), "compiled": (3.5e-6, 0.5), "tpu": (0.7e-6, 0.7), "cpu": (1.5e-6, 0.7),
              "cpu.eager": (6e-6, 0.6), "accelerator": (4e-6, 0.8)},
)  # fmt: skip
VECTOR_EFFICIENCY = prior(
    "memory_bound.vector_efficiency", 0.6, 0.4, meaning="share of the vector peak",
    source="NeuSight powers with general exponents",
)  # fmt: skip
OVERLAP = 2.0
# P4 and T4 reach 0.75 of their bandwidth where HBM cards reach 0.86; an L4, which is not among them, 0.775
ECC_EFFICIENCY = prior(
    "memory_bound.ecc_efficiency", 0.90, 0.04, meaning="bandwidth left beside error correction in GDDR", source=_SOURCE,
)  # fmt: skip
# of NVIDIA's data-centre and workstation cards; GDDR6X, and GDDR7 without that option, correct on the die. That GDDR7
# with the option pays as GDDR6 does is seen on one card alone (RTX PRO 6000 Max-Q, whole models)
INLINE_ECC_MEMORY = ("GDDR5", "GDDR6", "GDDR7 ECC")


def _efficiency(family: str, value: float, log_sd: float, cpu: float) -> Prior:
    return prior(
        f"{family}.memory_efficiency", value, log_sd, meaning="achievable share of memory bandwidth", source=_SOURCE,
        variants={"cpu": (cpu, 0.35), "tpu": (0.8, 0.2), "accelerator": (0.6, 0.4)},
    )  # fmt: skip


EFFICIENCIES = {
    "pointwise": _efficiency("pointwise", 0.86, 0.08, 0.6),
    "copy": _efficiency("copy", 0.70, 0.20, 0.5),
    "gather": _efficiency("gather", 0.55, 0.40, 0.4),
    "dropout": _efficiency("dropout", 0.80, 0.15, 0.4),
}
_FAMILY = {
    "pointwise": "pointwise",
    "reduce": "pointwise",
    "dropout": "dropout",
    "causal_convolution": "pointwise",
    "scan": "copy",
    "softmax": "pointwise",
    "normalization": "pointwise",
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
_TINY = 1e-30
FORM = prior(
    "memory_bound.form", 1.0, 0.10, meaning="what the form itself does not say about a kernel", source=_SOURCE,
    variants={"cpu": (1.0, 0.35), "tpu": (1.0, 0.3), "accelerator": (1.0, 0.35)},
)  # fmt: skip


def family(kind: str) -> str:
    """The efficiency family of an op kind; unmodelled ops count as lookups, the slowest."""
    return _FAMILY.get(kind, "gather")


def time_memory_bound(kinds: tuple[str, ...], sizes: Mapping[str, Any], cost: OpCost, device: Device) -> KernelTime:
    """Times of a group of streaming ops, one kind per row; `cost` holds arrays (ops, configurations).

    Args:
        sizes: `elements` and `columns` of ops that reduce rows are read, and what residency.py reads.
    """
    efficiencies = [device[EFFICIENCIES[family(kind)]] for kind in kinds]
    vector, launch, ecc = device[VECTOR_EFFICIENCY], device[LAUNCH_SECONDS], ecc_efficiency(device)
    work = row_work(kinds, sizes, cost, device)
    moved = np.asarray(cost.bytes, dtype=float) + reread_bytes(sizes, device) + work.second_read_bytes
    shares = np.array([used.value for used in efficiencies])[:, None] * (ecc.value if ecc else 1.0)
    pointwise = np.asarray(cost.vector_flops, dtype=float) / (device.vector_flops_per_second * vector.value)
    vector_seconds = np.maximum(pointwise, work.seconds)
    compute_part, memory_part = split_p_norm(vector_seconds, memory_seconds(moved, sizes, device, shares), OVERLAP)
    # eager runs some functions as several kernels; compiled and captured code runs each as one
    kernels = cost.launches if device.runtime == "eager" else np.minimum(cost.launches, 1)
    launches = launch.value * device.launch_scale * np.asarray(kernels, dtype=float)
    by_family = tuple(
        (shared, memory_part * np.array([used is shared for used in efficiencies])[:, None])
        for shared in dict.fromkeys(efficiencies)
    )
    scale = compute_part / np.maximum(vector_seconds, _TINY)
    own = (
        *((coefficient, part * scale) for coefficient, part in work.parts),
        (device[ROWS_IN_FLIGHT], memory_part * work.second_read_slope / np.maximum(moved, 1.0)),
        (vector, compute_part * (pointwise >= work.seconds)),
        *(((ecc, memory_part),) if ecc else ()),
        (launch, launches),
        (device[FORM], compute_part + memory_part),
    )
    return KernelTime(compute_part, memory_part, launches, (*by_family, *own))


def ecc_efficiency(device: Device) -> Coefficient | None:
    """The share of bandwidth that is left where check bits lie beside the data; None where they do not."""
    hardware = device.hardware
    inline = hardware.kind == "gpu" and hardware.vendor == "NVIDIA" and hardware.memory_type in INLINE_ECC_MEMORY
    return device[ECC_EFFICIENCY] if inline else None
