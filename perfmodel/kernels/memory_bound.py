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
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, Prior, prior
from perfmodel.identity_cache import identity_cache
from perfmodel.kernels.device import Device
from perfmodel.kernels.residency import memory_seconds, reread_bytes
from perfmodel.kernels.roofline import Array, KernelTime, Sensitivities, split_p_norm
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
    setting = _setting(kinds, device)
    work = row_work(kinds, sizes, cost, device)
    moved = np.asarray(cost.bytes + reread_bytes(sizes, device), dtype=float)
    pointwise = np.asarray(cost.vector_flops, dtype=float) / setting.flops_per_second
    vector_seconds = pointwise
    if work:
        moved = moved + work.spread(work.second_read_bytes, len(kinds))
        vector_seconds = np.maximum(pointwise, work.spread(work.seconds, len(kinds)))
    compute_part, memory_part = split_p_norm(
        vector_seconds, memory_seconds(moved, sizes, device, setting.memory_shares), OVERLAP
    )
    # eager runs some functions as several kernels; compiled and captured code runs each as one
    kernels = cost.launches if device.runtime == "eager" else np.minimum(cost.launches, 1)
    launches = setting.launch.value * device.launch_scale * np.asarray(kernels, dtype=float)

    def derive() -> Sensitivities:
        scale = compute_part / np.maximum(vector_seconds, _TINY)
        own_seconds: Array | float = 0.0
        own = []
        if work:
            own_seconds = work.spread(work.seconds, len(kinds))
            own = [(coefficient, work.spread(part, len(kinds)) * scale) for coefficient, part in work.parts]
            again = memory_part * work.spread(work.second_read_slope, len(kinds)) / np.maximum(moved, 1.0)
            own.append((device[ROWS_IN_FLIGHT], again))
        by_family = [
            (shared, memory_part * np.array([[float(used is shared)] for used in setting.efficiencies]))
            for shared in dict.fromkeys(setting.efficiencies)
        ]
        return (
            *by_family,
            *own,
            (setting.vector, compute_part * (pointwise >= own_seconds)),
            *(((setting.ecc, memory_part),) if setting.ecc else ()),
            (setting.launch, launches),
            (setting.form, compute_part + memory_part),
        )

    return KernelTime(compute_part, memory_part, launches, derive)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What does not depend on sizes.

    Args:
        efficiencies: one per op. memory_shares: of the bandwidth that each op reaches, (ops, 1).
        flops_per_second: of the vector unit.
    """

    efficiencies: tuple[Coefficient, ...]
    vector: Coefficient
    launch: Coefficient
    ecc: Coefficient | None
    form: Coefficient
    memory_shares: Array
    flops_per_second: float


@identity_cache(1024)
def _setting(kinds: tuple[str, ...], device: Device) -> _Setting:
    efficiencies = tuple(device[EFFICIENCIES[family(kind)]] for kind in kinds)
    vector, ecc = device[VECTOR_EFFICIENCY], ecc_efficiency(device)
    return _Setting(
        efficiencies=efficiencies,
        vector=vector,
        launch=device[LAUNCH_SECONDS],
        ecc=ecc,
        form=device[FORM],
        memory_shares=np.array([[used.value] for used in efficiencies]) * (ecc.value if ecc else 1.0),
        flops_per_second=device.vector_flops_per_second * vector.value,
    )


def ecc_efficiency(device: Device) -> Coefficient | None:
    """The share of bandwidth that is left where check bits lie beside the data; None where they do not."""
    hardware = device.hardware
    inline = hardware.kind == "gpu" and hardware.vendor == "NVIDIA" and hardware.memory_type in INLINE_ECC_MEMORY
    return device[ECC_EFFICIENCY] if inline else None
