"""The tiles of outputs that a core works on, by kind of unit: what `gemm` chooses the fastest of.

    eta  = side/(side + a) · (1 + a/170.7), at most 1;  side = 2·tm·tn/(tm + tn)
    a    = 500 · (FLOPs per cycle and core · bytes per element) / 8192

A tile reads operands along its sides for work in its area. They come through the shared memory, whose bytes per cycle
stayed the same while a core's FLOPs per cycle grew from 1024 (Ada) to 8192 (Blackwell): the faster a core, the larger
its tiles have to be. With it the error on a GPU left out falls from 9.5 to 9.0 % (bf16, median).

May import: coefficients, device, roofline, precisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.coefficients import Prior, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.roofline import Array
from perfmodel.precisions import element_bytes, find_format, quantized_format

_TABLES = "GEMM operator tables of A100, H100, B200, L40S"
# side of a tile of half rate, for a core of 4096 16-bit FLOPs per cycle (H100); of full rate (256×128)
HALF_SIDE, HALF_SIDE_RATE, FULL_SIDE = 500.0, 4096 * 2, 170.7
# a tile of one matrix instruction's rows streams weights without re-reading them from shared memory, so that the side
# rule does not hold; without it 4-bit weights would look compute-bound at batch 1, which no published kernel is
SKINNY_ROWS, SKINNY_EFFICIENCY = 16, 0.5
FILL_BYTES = 2  # the pipeline fill is declared for 16-bit elements; it is a number of bytes


@dataclass(frozen=True)
class TileModel:
    """The tiles a kind of unit works with.

    Args:
        rows, columns: of a tile, arrays (1, tiles, 1, 1). splits: ways to split K, not at all first, array
            (splits, 1, 1, 1).
        work_flops: FLOPs of a tile per K element, divided by the tile's efficiency eta, (1, tiles, 1, 1).
        fill: K elements of pipeline fill, times `fill_scale`. overlap: the exponent p of compute and memory.
        dealt: tiles are dealt out to the chip's cores in waves. resident: tiles that share a core, each at its part of
            the rate, so that a core with fewer of them is not busy.
    """

    rows: Array
    columns: Array
    splits: Array
    work_flops: Array
    fill: Prior
    overlap: Prior
    dealt: bool
    fill_scale: float = 1.0
    resident: int = 1


def _tile_model(
    tiles: tuple[tuple[int, int], ...],
    splits: tuple[int, ...] = (1,),
    *,
    name: str,
    fill: tuple[float, float],
    overlap: tuple[float, float],
    half_side: float = 0.0,
    full_side: float = 1.0,
    dealt: bool = False,
) -> TileModel:
    tm, tn = (np.array(column, dtype=float)[None, :, None, None] for column in zip(*tiles, strict=True))
    return TileModel(
        rows=tm,
        columns=tn,
        splits=np.array(splits, dtype=float)[:, None, None, None],
        work_flops=_work_flops(tm, tn, half_side, full_side),
        fill=prior(f"{name}.fill_elements", *fill, meaning="K elements of pipeline fill", source=_TABLES),
        overlap=prior(f"{name}.overlap", *overlap, meaning="exponent p of compute and memory", source=_TABLES),
        dealt=dealt,
    )


def _work_flops(tm: Array, tn: Array, half_side: float, full_side: float) -> Array:
    """2·tm·tn / eta."""
    side = 2 * tm * tn / (tm + tn)
    eta = np.minimum(side / (side + half_side) * (1 + half_side / full_side), 1.0)
    return np.asarray(2 * tm * tn / np.where(tm == SKINNY_ROWS, SKINNY_EFFICIENCY, eta))


# fill fitted 85-117, overlap 3.1-3.5
_MATRIX = _tile_model(
    ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (64, 32), (32, 64), (32, 32), (16, 128)),
    (1, 2, 4, 8, 16),
    name="gemm", fill=(95.0, 0.2), overlap=(3.5, 0.1), half_side=HALF_SIDE, full_side=FULL_SIDE, dealt=True,
)  # fmt: skip
# SIMT kernels: smaller tiles that lose less, compute and memory nearly additive
_VECTOR = _tile_model(
    ((128, 128), (128, 64), (64, 128), (64, 64), (128, 32), (32, 128), (64, 32), (32, 64), (32, 32)),
    (1, 4),
    name="simt", fill=(16.0, 0.5), overlap=(1.5, 0.3), half_side=8.0, full_side=128.0, dealt=True,
)  # fmt: skip
# a systolic array of 128 columns fed 8 rows at a time; SIMD registers of 16 columns
_SYSTOLIC = _tile_model(((8, 128),), name="systolic", fill=(64.0, 0.7), overlap=(3.3, 0.3))
_SIMD = _tile_model(((1, 16),), name="simd", fill=(16.0, 0.7), overlap=(2.0, 0.3))


def with_tiles(model: TileModel, tiles: tuple[tuple[int, int], ...], resident: int) -> TileModel:
    """A tile model with some of its tiles only, `resident` of them on a core, and K never split."""
    kept = [(int(m), int(n)) in tiles for m, n in zip(model.rows.ravel(), model.columns.ravel(), strict=True)]
    return replace(
        model, rows=model.rows[:, kept], columns=model.columns[:, kept], work_flops=model.work_flops[:, kept],
        splits=model.splits[:1], resident=resident,
    )  # fmt: skip


def full_width(rate: Rate) -> bool:
    """Whether products are of fp32, which have the tiles of SIMT kernels on matrix units, too."""
    return rate.unit == "vector" or rate.dtype == "fp32"


def tile_model(device: Device, rate: Rate, flags: Mapping[str, Any]) -> TileModel:
    """The tiles of a chip's unit for an op with these flags."""
    hardware = device.hardware
    if hardware.kind != "gpu":
        return _SIMD if hardware.kind == "cpu" else _SYSTOLIC
    if full_width(rate):
        return _VECTOR
    operand_bytes = _operand_bytes(rate.dtype)
    core_hertz = hardware.cores * hardware.clock_hertz
    core_rate = rate.flops_per_second * operand_bytes / core_hertz if core_hertz else float(HALF_SIDE_RATE)
    in_order = bool(flags.get("quantize_input")) and _scaled_in_blocks(str(flags.get("weight", "")))
    return _matrix_tiles(core_rate, FILL_BYTES / operand_bytes, in_order)


@lru_cache(maxsize=64)
def _matrix_tiles(core_rate: float, fill_scale: float, in_order: bool) -> TileModel:
    """Tiles of a matrix unit with `core_rate` FLOPs per cycle times bytes of an element.

    Args:
        in_order: products of blocks are scaled and added up in order. Such kernels (DeepGEMM, TensorRT-LLM, FlashInfer
            fp4) do not split the summed dimension: fitted, a split would cost 20 to 60 us.
    """
    half_side = HALF_SIDE * core_rate / HALF_SIDE_RATE
    return replace(
        _MATRIX,
        splits=_MATRIX.splits[:1] if in_order else _MATRIX.splits,
        work_flops=_work_flops(_MATRIX.rows, _MATRIX.columns, half_side, FULL_SIDE),
        fill_scale=fill_scale,
    )


@lru_cache
def _operand_bytes(dtype: str) -> float:
    """Bytes of an operand of a contraction; 4 where the dtype is a way to multiply fp32 (tf32)."""
    if dtype == "tf32":
        return 4.0
    return element_bytes(quantized_format(dtype))


@lru_cache
def _scaled_in_blocks(weight: str) -> bool:
    return bool(weight) and find_format(weight).block_in > 0
