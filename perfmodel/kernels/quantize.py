"""Time of the kernels in front of a GEMM that rewrite its input in 8 or 4 bits.

    t  = launches · t0 + (Tr^4 + Tc^4 + Tm^4)^(1/4)
    Tr = rows · cr / (cores · clock)          Tc = bytes / (bq · cores · clock)
    Tm = (1 − rho) · bytes / (bandwidth · eq),  rho = 1 / (1 + (bytes / (share·L2))^6), as in residency

A thread block takes one row, which costs its start and its reduction (cr cycles) however short the row is; a core
converts bq bytes per cycle, which is what limits chips with much bandwidth. Benchmarks quantise the same rows again and
again (rho, where they say so); rho is 0 otherwise, so that a time stays above bytes / bandwidth.
Found on fp8 GEMMs of few columns; against one launch and bytes / bandwidth, the error on a GPU left out falls from 20.3
to 14.1 % (median), from 31 to 20 % (mean). How many kernels run, and what a row costs, differs by engine more than by
chip, which is why kernels may stray far here.

May import: coefficients, device, residency, roofline, precisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.residency import CACHE_SHARE
from perfmodel.kernels.roofline import Array, Sensitivities
from perfmodel.precisions import element_bytes, quantized_format

QUANTIZE_PREFIX = "quantize."  # of the coefficients below, and of no others
_SOURCE = "fp8 GEMM tables of H100, B200, L40S, at few columns"
LAUNCH_SECONDS = prior(
    "quantize.launch_seconds", 2.9e-6, 0.15, meaning="launch of a kernel that quantises a GEMM's input", source=_SOURCE,
    variants={"cpu": (3e-6, 0.7)},
)  # fmt: skip
MEMORY_EFFICIENCY = prior(
    "quantize.memory_efficiency", 0.7, 0.15, meaning="share of memory bandwidth while quantising", source=_SOURCE
)
ROW_CYCLES = prior(
    "quantize.row_cycles", 260.0, 1.0, meaning="cycles of a core per row", source=_SOURCE, kernel_log_sd=1.5
)
BYTES_PER_CYCLE = prior(
    "quantize.bytes_per_core_cycle", 12.0, 0.5, meaning="bytes a core reads and writes per cycle", source=_SOURCE,
    kernel_log_sd=0.6,
)  # fmt: skip
# kernels in front of the GEMM by what a scale holds for: of a whole tensor at run time: reset, maximum, scale, rewrite
KERNELS = {"static": 1, "row": 1, "block": 1, "tensor": 4}


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
) -> tuple[Any, Any, Callable[[], Sensitivities]]:
    """(launch seconds, memory seconds, what gives the sensitivities) of the kernels in front of a GEMM.

    Args:
        moved: what `quantized_bytes` says. sizes: m rows, as arrays. flags: `input_scale` says how many kernels run.
    """
    if not flags.get("quantize_input", False):
        return 0.0, 0.0, tuple
    hardware = device.hardware
    launch, memory = device[LAUNCH_SECONDS], device[MEMORY_EFFICIENCY]
    kernels = KERNELS[str(flags.get("input_scale", "static"))]
    launches = kernels * launch.value * device.launch_scale + 0 * moved
    by_memory = moved / (hardware.memory_bandwidth_bytes_per_second * memory.value)
    core_hertz = hardware.cores * hardware.clock_hertz
    if hardware.kind != "gpu" or not core_hertz:
        return launches, by_memory, lambda: ((launch, launches), (memory, by_memory))
    row, per_cycle = device[ROW_CYCLES], device[BYTES_PER_CYCLE]
    if "resident_bytes" in sizes and hardware.l2_bytes:
        filled = moved * (1 / (device[CACHE_SHARE].value * hardware.l2_bytes))
        sixth = filled * filled * filled
        sixth *= sixth
        by_memory = by_memory * (sixth / (1 + sixth))
    fourths = [
        _fourth(part)
        for part in (sizes["m"] * (row.value / core_hertz), moved / (per_cycle.value * core_hertz), by_memory)
    ]
    total = fourths[0] + fourths[1] + fourths[2]
    seconds = np.sqrt(np.sqrt(total))

    def derive() -> Sensitivities:
        parts = (part * (seconds / total) for part in fourths)
        return (launch, launches), *zip((row, per_cycle, memory), parts, strict=True)

    return launches, seconds, derive


def _fourth(seconds: Array) -> Array:
    """Fourth power; ** is many times slower."""
    square = seconds * seconds
    return square * square
