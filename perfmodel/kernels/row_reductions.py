"""What softmax and layer norm do beside streaming: arithmetic per element, a reduction per row, a second read of rows.

    Tc = f·elements / vector peak + rows·c / (cores·clock)
    second read = read bytes / (1 + (L2 / (cores·R·bytes of a row))^6)

f is counted in FLOPs of the vector peak: issue slots for exponentials, shuffles and divisions, far above the FLOPs of
the equation. Up to 1024 columns softmax keeps a row in the registers of a warp; longer rows take a block of threads and
three passes. Layer norm gives each row a block: its statistics need the whole row, which is then read again, from the
memory if the rows in flight on all cores do not fit into the L2.

Evidence (fp32, one device left out, layer norm above 150 us): without the second read the median error is 19 instead of
10 %, without the cost per row 17 %. No gain: padding of short rows to powers of two, a cost per row of softmax, a
memory efficiency of their own. Devices that no fit has seen (ops of traced models): L4 2 % (softmax) and 12 % (layer
norm), MI250 6 and 5 %. The value of long softmax rows on AMD comes from MI100 alone, and that of NVIDIA halves from
Pascal (240) to Volta and later (150).

Letters: f FLOPs per element, c cycles per row, R rows in flight per core. May import: coefficients, device, roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.roofline import Array
from perfmodel.types import OpCost

_SOURCE = "NeuSight softmax and layer norm, fp32"
SOFTMAX_FLOPS = prior(
    "softmax.element_flops", 60.0, 0.3, meaning="issue slots per element, in FLOPs, rows in a warp", source=_SOURCE
)
SOFTMAX_BLOCK_FLOPS = prior(
    "softmax.block_element_flops", 110.0, 0.2, meaning="likewise, rows of over 1024 columns", source=_SOURCE,
    variants={"gpu.amd": (250.0, 0.4)},
)  # fmt: skip
NORMALIZATION_FLOPS = prior(
    "normalization.element_flops", 75.0, 0.4, meaning="issue slots per element, in FLOPs", source=_SOURCE
)
NORMALIZATION_CYCLES = prior(
    "normalization.row_cycles", 400.0, 0.4, meaning="core cycles of a row's reduction", source=_SOURCE
)
ROWS_IN_FLIGHT = prior(
    "normalization.rows_in_flight", 16.0, 0.3, meaning="rows per core between the two reads of a row", source=_SOURCE
)
WARP_COLUMNS = 1024
SHARPNESS = 6


@dataclass(frozen=True, slots=True)
class RowWork:
    """The work of row reductions in a group of ops, arrays (ops, configurations); zero for other ops.

    Args:
        seconds: of arithmetic. parts: what of it each coefficient stands for.
        second_read_bytes: rows read again from memory. second_read_slope: its derivative by log(rows in flight).
    """

    seconds: Array
    parts: tuple[tuple[Coefficient, Array], ...]
    second_read_bytes: Array
    second_read_slope: Array


def row_work(kinds: tuple[str, ...], sizes: Mapping[str, Any], cost: OpCost, device: Device) -> RowWork:
    """The work of those ops that are softmaxes or normalizations over rows (`columns` above 0).

    Args:
        kinds: one per op. sizes: `elements` and `columns` are read.
    """
    hardware = device.hardware
    columns = np.asarray(sizes["columns"], dtype=float)
    elements = np.asarray(sizes["elements"], dtype=float)
    of_softmax = _of_kind(kinds, "softmax") * (columns > 0)
    of_norm = _of_kind(kinds, "normalization") * (columns > 0)
    rows = elements / np.maximum(columns, 1.0)
    in_warp = columns <= WARP_COLUMNS
    per_flop = elements / device.vector_flops_per_second
    cores_hertz = hardware.cores * hardware.clock_hertz
    amounts = (
        (SOFTMAX_FLOPS, of_softmax * in_warp * per_flop),
        (SOFTMAX_BLOCK_FLOPS, of_softmax * ~in_warp * per_flop),
        (NORMALIZATION_FLOPS, of_norm * per_flop),
        (NORMALIZATION_CYCLES, of_norm * rows / cores_hertz if cores_hertz else 0 * rows),
    )
    parts = tuple((device[own], device[own].value * amount) for own, amount in amounts)
    seconds = sum((part for _, part in parts), np.zeros((1, 1)))
    second_read, slope = _second_read(rows, cost, device)
    return RowWork(seconds, parts, of_norm * second_read, of_norm * slope)


def _second_read(rows: Array, cost: OpCost, device: Device) -> tuple[Array, Array]:
    """Bytes of rows that are no longer in the cache when they are read again, and the derivative by log(R)."""
    hardware = device.hardware
    read = np.asarray(cost.read_bytes, dtype=float) + 0 * rows
    if not hardware.l2_bytes or not hardware.cores:
        return 0 * read, 0 * read
    in_flight = device[ROWS_IN_FLIGHT].value * hardware.cores * read / np.maximum(rows, 1.0)
    kept = 1 / (1 + (in_flight / hardware.l2_bytes) ** SHARPNESS)
    return np.asarray(read * (1 - kept)), np.asarray(read * (1 - kept) * kept * SHARPNESS)


def _of_kind(kinds: tuple[str, ...], kind: str) -> Array:
    return np.array([own == kind for own in kinds], dtype=float)[:, None]
