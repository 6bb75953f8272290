"""Time of the kernels in front of a GEMM that rewrite its input in 8 or 4 bits.

    t  = launches · t0 + (Tr^4 + Tc^4 + Tm^4)^(1/4)
    Tr = rows · cr / (cores · clock)          Tc = bytes / (bq · cores · clock)
    Tm = (1 − rho) · bytes / (bandwidth · eq),  rho = 1 / (1 + (bytes / (share·L2))^6)

A thread block takes one row, which costs its start and its reduction (cr cycles) however short the row is; a core
converts bq bytes per cycle, which is what limits chips with much bandwidth; rows that the kernel before has just
written are still in the last cache.

May import: coefficients, device, residency, roofline, precisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.residency import CACHE_SHARE
from perfmodel.kernels.residency import SHARPNESS as RESIDENCY_SHARPNESS
from perfmodel.kernels.roofline import Array
from perfmodel.precisions import element_bytes, quantized_format

_SOURCE = "fp8 GEMM tables of H100, B200, L40S, at few columns"
LAUNCH_SECONDS = prior(
    "quantize.launch_seconds", 2.9e-6, 0.3, meaning="launch of a kernel that quantises a GEMM's input", source=_SOURCE,
    variants={"cpu": (3e-6, 0.7)},
)  # fmt: skip
MEMORY_EFFICIENCY = prior(
    "quantize.memory_efficiency", 0.7, 0.15, meaning="share of memory bandwidth while quantising", source=_SOURCE
)
ROW_CYCLES = prior(
    "quantize.row_cycles", 240.0, 1.0, meaning="cycles of a core per row", source=_SOURCE, kernel_log_sd=1.5
)
BYTES_PER_CYCLE = prior(
    "quantize.bytes_per_core_cycle", 6.5, 0.6, meaning="bytes a core reads and writes per cycle", source=_SOURCE,
    kernel_log_sd=0.6,
)
# kernels in front of the GEMM by what a scale holds for: of a whole tensor at run time: reset, maximum, scale, rewrite
KERNELS = {"static": 1, "row": 1, "block": 1, "tensor": 4}
SHARPNESS = 4


def quantized_bytes(sizes: Mapping[str, Any], flags: Mapping[str, Any]) -> Any:
    """Bytes that the kernels in front of a GEMM move to quantise its input; 0 where none runs."""
    if not flags.get("quantize_input", False):
        return 0.0
    reads = 2 if flags.get("input_scale", "static") in ("row", "tensor") else 1
    return np.asarray(sizes["m"] * sizes["k"], dtype=float) * (
        reads * element_bytes(str(flags["activation"])) + element_bytes(quantized_format(str(flags["compute"])))
    )


def quantize_seconds(
    moved: Array, sizes: Mapping[str, Any], flags: Mapping[str, Any], device: Device
) -> tuple[Any, Any, tuple[tuple[Coefficient, Array], ...]]:
    """(launch, memory) seconds of the kernels that quantise."""
    if not np.any(moved):
        return 0.0, 0.0, ()
    hardware = device.hardware
    launch, memory = device[LAUNCH_SECONDS], device[MEMORY_EFFICIENCY]
    row, per_cycle = device[ROW_CYCLES], device[BYTES_PER_CYCLE]
    launches = KERNELS[str(flags.get("input_scale", "static"))] * launch.value * device.launch_scale + 0 * moved
    by_memory = moved / (hardware.memory_bandwidth_bytes_per_second * memory.value)
    core_hertz = hardware.cores * hardware.clock_hertz
    if hardware.kind != "gpu" or not core_hertz:
        return launches, by_memory, ((launch, launches), (memory, by_memory))
    if hardware.l2_bytes:
        share = device[CACHE_SHARE].value
        by_memory = by_memory * (1 - 1 / (1 + (moved / (share * hardware.l2_bytes)) ** RESIDENCY_SHARPNESS))
    by_rows = sizes["m"] * (row.value / core_hertz) + 0 * moved
    by_cores = moved / (per_cycle.value * core_hertz)
    total = (by_rows**SHARPNESS + by_cores**SHARPNESS + by_memory**SHARPNESS) ** (1 / SHARPNESS)
    parts = [(part / total) ** SHARPNESS * total for part in (by_rows, by_cores, by_memory)]
    return launches, total, ((launch, launches), (row, parts[0]), (per_cycle, parts[1]), (memory, parts[2]))
