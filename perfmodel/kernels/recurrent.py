"""Kernel time of recurrent layers: steps that must follow each other.

    t = t0 + L·[ Tin + T·max(step launch, Tstep) ]

The input products of all steps are one GEMM (Tin); each step is a small GEMM with the hidden state (Tstep), whose
weights stay in the last cache when they fit and are read from memory at every step otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.gemm import LAUNCH_SECONDS, MEMORY_EFFICIENCY, compute_efficiency
from perfmodel.kernels.roofline import KernelTime, split_p_norm
from perfmodel.kernels.sustained import sustained_rate
from perfmodel.types import OpCost

STEP_SECONDS = prior(
    "recurrent.step_seconds", 4e-6, 0.6, meaning="one step of a fused recurrent kernel", source="no data; a wide guess",
    variants={"cpu": (6e-6, 0.7)},
)  # fmt: skip
FORM = prior("recurrent.form", 1.0, 0.4, meaning="what the form itself does not say", source="no data; a wide guess")
OVERLAP = 2.0


def time_recurrent(sizes: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate) -> KernelTime:
    """Times of a group of recurrent ops; sizes as `costs.recurrent.cost_recurrent` names them, as arrays."""
    efficiency, narrow = compute_efficiency(device, rate)
    sustained = sustained_rate(device, rate, efficiency, narrow.value if narrow else 1.0)
    memory, step, launch = device[MEMORY_EFFICIENCY], device[STEP_SECONDS], device[LAUNCH_SECONDS]
    steps = np.asarray(sizes["t"], dtype=float) * np.asarray(sizes["l"], dtype=float)
    weights = np.asarray(cost.weight_bytes, dtype=float)
    in_cache = weights <= device.hardware.l2_bytes / 2
    moved = np.asarray(cost.bytes, dtype=float) + np.where(in_cache, 0.0, weights * (np.asarray(sizes["t"]) - 1))
    compute_seconds, memory_seconds = split_p_norm(
        np.asarray(cost.matrix_flops, dtype=float) / sustained.flops_per_second,
        moved / (device.hardware.memory_bandwidth_bytes_per_second * memory.value),
        OVERLAP,
    )
    step_seconds = step.value * steps + 0 * compute_seconds
    launches = launch.value * device.launch_scale + 0 * compute_seconds
    return KernelTime(
        compute_seconds,
        memory_seconds,
        step_seconds + launches,
        lambda: (
            *sustained.sensitivities(compute_seconds),
            (memory, memory_seconds),
            (step, step_seconds),
            (launch, launches),
            (device[FORM], compute_seconds + memory_seconds),
        ),
    )
