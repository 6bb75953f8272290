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
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from perfmodel.coefficients import Coefficient, Prior, prior
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
Places: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]
SHARPNESS = 6


@dataclass(frozen=True, slots=True)
class RowWork:
    """The work of the row reductions among a group of ops, arrays (reductions, configurations).

    Args:
        ops: which ones of the group they are.
        seconds: of arithmetic. parts: what of it each coefficient stands for.
        second_read_bytes: rows read again from memory. second_read_slope: its derivative by log(rows in flight).
    """

    ops: Places
    seconds: Array
    parts: tuple[tuple[Coefficient, Array], ...]
    second_read_bytes: Array
    second_read_slope: Array

    def spread(self, values: Array, count: int) -> Array:
        """Values of the reductions among those of all ops, which have 0; (count, configurations)."""
        found = np.zeros((count, values.shape[1]))
        found[self.ops] = values
        return found


def row_work(kinds: tuple[str, ...], sizes: Mapping[str, Any], cost: OpCost, device: Device) -> RowWork | None:
    """The work of those ops that are softmaxes or normalizations over rows (`columns` above 0); None if none is.

    Args:
        kinds: one per op. sizes: `elements` and `columns` are read.
    """
    ops, is_softmax, is_norm = _reductions(kinds)
    if not len(ops):
        return None
    hardware = device.hardware
    columns, elements, read = (_of(ops, values) for values in (sizes["columns"], sizes["elements"], cost.read_bytes))
    rows = elements / np.maximum(columns, 1.0)
    works_by_row = columns > 0
    per_flop = works_by_row * elements / device.vector_flops_per_second
    cores_hertz = hardware.cores * hardware.clock_hertz
    amounts: list[tuple[Prior, Array]] = []
    second_read = slope = 0 * per_flop
    if is_softmax is not None:
        in_warp = columns <= WARP_COLUMNS
        amounts.append((SOFTMAX_FLOPS, is_softmax * in_warp * per_flop))
        amounts.append((SOFTMAX_BLOCK_FLOPS, is_softmax * ~in_warp * per_flop))
    if is_norm is not None:
        of_norm = works_by_row * is_norm
        amounts.append((NORMALIZATION_FLOPS, is_norm * per_flop))
        amounts.append((NORMALIZATION_CYCLES, of_norm * rows * (1 / cores_hertz if cores_hertz else 0.0)))
        second_read, slope = (of_norm * own for own in _second_read(rows, read, device))
    parts = tuple((device[own], device[own].value * amount) for own, amount in amounts)
    seconds = np.add.reduce([part for _, part in parts])
    return RowWork(ops, seconds, parts, second_read, slope)


@lru_cache(maxsize=1024)
def _reductions(kinds: tuple[str, ...]) -> tuple[Places, Array | None, Array | None]:
    """(places of softmaxes and normalizations; whether each is the one; the other), (reductions, 1) or None if none."""
    places = [place for place, kind in enumerate(kinds) if kind in ("softmax", "normalization")]
    softmax, norm = (
        np.array([[float(kinds[place] == kind)] for place in places]) for kind in ("softmax", "normalization")
    )
    return np.array(places, dtype=np.intp), softmax if softmax.any() else None, norm if norm.any() else None


def _of(ops: Places, values: Any) -> Array:
    """The rows of some ops; a value that all ops share is one row."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return values.take(ops, axis=0) if len(values) > 1 else values
    return np.array(values, dtype=float, ndmin=2)


def _second_read(rows: Array, read: Array, device: Device) -> tuple[Array, Array]:
    """Bytes of rows that are no longer in the cache when they are read again, and the derivative by log(R)."""
    hardware = device.hardware
    if not hardware.l2_bytes or not hardware.cores:
        return 0 * read, 0 * read
    in_flight = device[ROWS_IN_FLIGHT].value * hardware.cores * read / np.maximum(rows, 1.0)
    cube = (in_flight / hardware.l2_bytes) ** 2 * (in_flight / hardware.l2_bytes)
    kept = 1 / (1 + cube * cube)  # SHARPNESS, without a power, which takes many times longer
    again = read * (1 - kept)
    return again, again * kept * SHARPNESS
