"""Kernel time of state-space scans: a roofline whose efficiencies are guesses, for lack of data.

    t = launches·t0 + (Tc^p + Tm^p)^(1/p),  Tc = FLOPs / (peak · e),  Tm = bytes / (bandwidth · em)

The selective scan computes on the vector unit, most of it exponentials, which run at a fraction of its peak; the
chunked scan of Mamba-2 on the matrix unit, in chunks of a few hundred tokens whose states pass through memory. In a
decode step both read and write their state and do little else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.memory_bound import LAUNCH_SECONDS
from perfmodel.kernels.roofline import KernelTime, split_p_norm
from perfmodel.types import OpCost

_SOURCE = "no data; a wide guess"
MEMORY_EFFICIENCY = prior(
    "state_space.memory_efficiency", 0.6, 0.4, meaning="achievable share of memory bandwidth", source=_SOURCE,
)  # fmt: skip
VECTOR_EFFICIENCY = prior(
    "state_space.vector_efficiency", 0.25, 0.5, meaning="share of the vector peak that a selective scan reaches",
    source="exponentials run at a quarter to a sixteenth of it; no data",
)  # fmt: skip
MATRIX_EFFICIENCY = prior(
    "state_space.matrix_efficiency", 0.3, 0.5, meaning="share of the matrix peak that a chunked scan reaches",
    source=_SOURCE,
)  # fmt: skip
OVERLAP = 2.0
_STATE_BYTES = 4  # states between chunks are kept in fp32
_STATE_PASSES = 4  # written by their chunk, read and written by the pass over chunks, read for the outputs


def time_state_space(
    kind: str, sizes: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate | None
) -> KernelTime:
    """Times of a group of scans; sizes as `costs.state_space` names them, as arrays.

    Args:
        rate: of the matrix unit; None for the selective scan.
    """
    memory, launch = device[MEMORY_EFFICIENCY], device[LAUNCH_SECONDS]
    compute = device[VECTOR_EFFICIENCY if rate is None else MATRIX_EFFICIENCY]
    peak = device.vector_flops_per_second if rate is None else rate.flops_per_second
    flops = cost.vector_flops if rate is None else cost.matrix_flops
    moved = np.asarray(cost.bytes, dtype=float)
    if kind == "state_space_scan":
        moved = moved + _chunk_state_bytes(sizes)
    compute_seconds, memory_seconds = split_p_norm(
        np.asarray(flops, dtype=float) / (peak * compute.value),
        moved / (device.hardware.memory_bandwidth_bytes_per_second * memory.value),
        OVERLAP,
    )
    launches = launch.value * device.launch_scale * np.asarray(cost.launches, dtype=float) + 0 * compute_seconds
    return KernelTime(
        compute_seconds,
        memory_seconds,
        launches,
        lambda: ((compute, compute_seconds), (memory, memory_seconds), (launch, launches)),
    )


def _chunk_state_bytes(sizes: Mapping[str, Any]) -> Any:
    """Traffic of the states of all chunks but the last, which becomes the cache."""
    tokens, chunk = (np.asarray(sizes[name], dtype=float) for name in ("s", "q"))
    states = np.asarray(sizes["b"]) * np.asarray(sizes["h"]) * np.asarray(sizes["p"]) * np.asarray(sizes["n"])
    return _STATE_BYTES * _STATE_PASSES * states * np.maximum(np.ceil(tokens / chunk) - 1, 0)
