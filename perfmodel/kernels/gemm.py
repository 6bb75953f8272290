"""Kernel time of matrix multiplications and convolutions (as implicit GEMM).

    t  = t0 + min over (tile, split) of (Tc^p + Tm^p)^(1/p)
    Tc = waves · 2·tm·tn·(K/split + fill) / (P_core · eta),  P_core = sustained rate / cores
    Tm = bytes / (bandwidth · em)   (+ partial sums when the K dimension is split)

A tile of tm×tn outputs runs on one core (SM, CU); w = G·ceil(M/tm)·ceil(N/tn)·split / cores tiles fall to each, and
waves is 1 below one wave and between w and ceil(w) above it: a full ceil is measurably wrong. Small tiles reach less of
the peak (eta, see tiles). A split of K costs a second kernel. What quantises the input is in quantize.
Form and priors: fits on GEMM tables of A100, H100, B200 and L40S, one device left out.

Letters: M rows, N columns, K summed, G independent products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.quantize import quantize_seconds, quantized_bytes
from perfmodel.kernels.residency import memory_seconds
from perfmodel.kernels.roofline import Array, KernelTime, split_p_norm
from perfmodel.kernels.sustained import sustained_rate
from perfmodel.kernels.tiles import TileModel, full_width, tile_model
from perfmodel.kernels.unpacking import unpacking_rate
from perfmodel.types import Hardware, OpCost

_TABLES = "GEMM operator tables of A100, H100, B200, L40S"
_FP32 = "NeuSight fp32 GEMMs and whole models"
LAUNCH_SECONDS = prior(
    "gemm.launch_seconds", 2.75e-6, 0.3, meaning="launch and drain of one kernel", source=_TABLES,
    variants={"eager": (5.5e-6, 0.5), "compiled": (3.5e-6, 0.5), "tpu": (1e-6, 0.7), "cpu": (2e-6, 0.7),
              "cpu.eager": (8e-6, 0.6), "accelerator": (5e-6, 0.8)},
)  # fmt: skip
COMPUTE_EFFICIENCY = prior(
    "gemm.compute_efficiency", 0.82, 0.10, meaning="issue efficiency of the matrix unit", source=_TABLES,
    variants={"gpu.amd": (0.65, 0.15), "gpu.intel": (0.7, 0.25), "gpu.apple": (0.8, 0.2), "tpu": (0.8, 0.15),
              "cpu": (0.7, 0.3), "accelerator": (0.8, 0.2)},
)  # fmt: skip
VECTOR_EFFICIENCY = prior(
    "gemm.vector_efficiency", 0.93, 0.05, meaning="share of the fp32 peak a GEMM in full width reaches",
    source=_FP32, variants={"cpu": (0.7, 0.3), "tpu": (0.5, 0.5)},
)  # fmt: skip
ISSUE_EFFICIENCY = prior(
    "gemm.vector_issue_efficiency", 0.79, 0.06,
    meaning="the same where multiplications take every issue slot, over where they leave one free", source=_FP32,
)  # fmt: skip
NARROW_EFFICIENCY = prior(
    "gemm.fp8_efficiency", 0.85, 0.2, meaning="8-bit issue efficiency over the 16-bit one", source=_TABLES,
)  # fmt: skip
FP4_EFFICIENCY = prior(
    "gemm.fp4_efficiency", 0.6, 0.4, meaning="4-bit issue efficiency over the 16-bit one", source=_TABLES,
)  # fmt: skip
UNPACKING_RATE = prior(
    "gemm.unpacking_flops_per_core_cycle", 2048.0, 0.35, meaning="matrix FLOPs on weights unpacked in registers",
    source="operator tables of experts with 4-bit weights on H100 and B200; no dense ones were measured",
)  # fmt: skip
MEMORY_EFFICIENCY = prior(
    "gemm.memory_efficiency", 0.80, 0.08, meaning="achievable share of memory bandwidth", source=_TABLES,
    variants={"gpu.amd": (0.75, 0.15), "tpu": (0.85, 0.12), "cpu": (0.75, 0.25), "accelerator": (0.75, 0.2)},
)  # fmt: skip
FORM = prior(
    "gemm.form", 1.0, 0.12, meaning="what the form itself does not say about a kernel", source=_TABLES,
    variants={"cpu": (1.0, 0.35), "tpu": (1.0, 0.25), "accelerator": (1.0, 0.35)},
)  # fmt: skip

WAVE_STRENGTH = prior("gemm.wave_strength", 0.13, 0.3, meaning="how much of a wave's remainder is lost", source=_TABLES)
SPLIT_SECONDS = prior(
    "gemm.split_seconds", 2.5e-6, 0.3, meaning="time that splitting the summed dimension adds", source=_TABLES,
    kernel_log_sd=1.5,
)  # fmt: skip
_LANES_WITH_SLOTS = 100
_NARROW = {"fp8": NARROW_EFFICIENCY, "int8": NARROW_EFFICIENCY, "fp4": FP4_EFFICIENCY, "int4": FP4_EFFICIENCY}
Shapes: TypeAlias = tuple[Array, Array, Array, Array, Array]  # G, M, N, K, memory seconds: (ops, configurations or 1)
_CHUNK = 512  # configurations at a time, so that temporaries stay in cache
_ONE = np.ones((1, 1))


def gemm_sizes(kind: str, sizes: Mapping[str, Any]) -> tuple[Array, Array, Array, Array]:
    """(G, M, N, K) of a linear layer, a matmul, or a convolution as implicit GEMM."""
    if kind == "convolution":
        groups = sizes["g"]
        return groups, sizes["b"] * sizes["p"], sizes["o"] / groups, sizes["i"] * sizes["r"] / groups
    return sizes.get("g", _ONE), sizes["m"], sizes["n"], sizes["k"]


def time_gemm(
    kind: str,
    sizes: Mapping[str, Any],
    flags: Mapping[str, Any],
    cost: OpCost,
    device: Device,
    rate: Rate,
    own_tiles: TileModel | None = None,
) -> KernelTime:
    """Times of a group of GEMM-like ops.

    Args:
        sizes: arrays (ops, configurations) as `gemm_sizes` wants them.
        cost: their OpCost, arrays of the same shape. rate: what the compute dtype runs at on the chip.
        own_tiles: those of kernels that are no plain GEMMs.
    """
    memory, split = device[MEMORY_EFFICIENCY], device[SPLIT_SECONDS]
    tiles = own_tiles or tile_model(device, rate, flags)
    efficiency, narrow = compute_efficiency(device, rate)
    rate, cap = unpacking_rate(device, rate, str(flags.get("weight", "")), UNPACKING_RATE)
    sustained = sustained_rate(device, rate, efficiency, narrow.value if narrow else 1.0)
    chip = _Chip(
        flops_per_second=sustained.flops_per_second,
        bytes_per_second=device.hardware.memory_bandwidth_bytes_per_second * memory.value,
        cores=(device.hardware.cores or 1) * tiles.resident if tiles.dealt else 1,
        tiles=tiles,
        fill=device[tiles.fill].value * tiles.fill_scale,
        overlap=device[tiles.overlap].value,
        wave_strength=device[WAVE_STRENGTH].value,
        split_seconds=split.value * device.launch_scale,
    )
    quantized = quantized_bytes(sizes, flags)
    moved = np.asarray(cost.bytes, dtype=float) - quantized
    g, m, n, k = gemm_sizes(kind, sizes)
    if flags.get("sparse_2_4"):
        k = k / 2  # of which sparse matrix units skip half
    shapes = (g, m, n, k, memory_seconds(moved, sizes, device, memory.value))
    only_rows_vary = kind == "linear" and sizes["n"].shape[1] == sizes["k"].shape[1] == 1
    compute_part, memory_part, overhead = _fastest(shapes, chip, only_rows_vary=only_rows_vary)
    launch = device[LAUNCH_SECONDS]
    launches = launch.value * device.launch_scale + 0 * compute_part
    quantize_launch, quantize_memory, quantize_parts = quantize_seconds(quantized, sizes, flags, device)
    return KernelTime(
        compute_part,
        memory_part + quantize_memory,
        overhead + launches + quantize_launch,
        (
            *sustained.sensitivities(compute_part),
            *(((narrow, compute_part * (1 - sustained.cap_share)),) if narrow else ()),
            *(((cap, compute_part * (1 - sustained.cap_share)),) if cap else ()),
            (memory, memory_part + np.maximum(overhead - split.value * device.launch_scale, 0.0)),
            (split, np.minimum(overhead, split.value * device.launch_scale)),  # partial sums go to memory too
            (launch, launches),
            *quantize_parts,
            (device[FORM], compute_part + memory_part),
        ),
    )


def _issue_bound(hardware: Hardware) -> bool:
    """Whether a multiply-add each clock on all lanes leaves no issue slot for loads and addresses.

    So it is on SMs with 128 lanes (32 for each of four schedulers; Volta, Turing and A100 have 16) and on those of
    Pascal (32 for each of two or four schedulers).
    """
    lanes = hardware.peaks.get(("vector", "fp32"), 0.0) / (2 * hardware.cores * hardware.clock_hertz or 1.0)
    return hardware.vendor == "NVIDIA" and (hardware.family == "pascal" or lanes > _LANES_WITH_SLOTS)


def compute_efficiency(device: Device, rate: Rate) -> tuple[Coefficient, Coefficient | None]:
    """The coefficient for the share of the peak, and a factor on top of it: narrow dtypes, fp32 without issue slots."""
    if rate.unit == "vector" or (device.hardware.kind == "gpu" and full_width(rate)):
        return device[VECTOR_EFFICIENCY], device[ISSUE_EFFICIENCY] if _issue_bound(device.hardware) else None
    return device[COMPUTE_EFFICIENCY], device[_NARROW[rate.dtype]] if rate.dtype in _NARROW else None


@dataclass(frozen=True, slots=True)
class _Chip:
    """What the choice of a tile needs to know: sustained rates, cores, tiles."""

    flops_per_second: float
    bytes_per_second: float
    cores: int
    tiles: TileModel
    fill: float
    overlap: float
    wave_strength: float
    split_seconds: float


def _fastest(shapes: Shapes, chip: _Chip, *, only_rows_vary: bool) -> tuple[Array, Array, Array]:
    """Compute, memory and split-K seconds of the fastest tile for (G, M, N, K, memory seconds).

    Long sweeps go in chunks that stay in cache; a linear layer's time depends on its rows alone, so that each distinct
    number of rows is computed once.
    """
    configurations = max(array.shape[1] for array in shapes)
    if configurations <= _CHUNK:
        return _fastest_tile(shapes, chip)
    if only_rows_vary:
        return _each_row_once(shapes, chip)
    chunks = [slice(start, start + _CHUNK) for start in range(0, configurations, _CHUNK)]
    found_chunks = [_fastest_tile(_columns(shapes, chunk), chip) for chunk in chunks]
    return tuple(np.concatenate(parts, axis=1) for parts in zip(*found_chunks, strict=True))  # type: ignore[return-value]


def _each_row_once(shapes: Shapes, chip: _Chip) -> tuple[Array, Array, Array]:
    """`_fastest` for every distinct number of rows M of each op, spread over the configurations again."""
    found = []
    m = np.broadcast_to(shapes[1], (shapes[1].shape[0], max(array.shape[1] for array in shapes)))
    for op, rows in enumerate(m):
        if op == 0 or not np.array_equal(rows, m[op - 1]):
            _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        parts = _fastest(_columns(_row(shapes, op), first), chip, only_rows_vary=False)
        found.append([part[:, inverse] for part in parts])
    compute, memory, extra = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return compute, memory, extra


def _row(shapes: Shapes, op: int) -> Shapes:
    """The shapes of one op."""
    return tuple(array if array.shape[0] == 1 else array[op : op + 1] for array in shapes)  # type: ignore[return-value]


def _columns(shapes: Shapes, chosen: Any) -> Shapes:
    """Some configurations of the shapes; what does not vary stays as it is."""
    return tuple(array if array.shape[1] == 1 else array[:, chosen] for array in shapes)  # type: ignore[return-value]


def _fastest_tile(shapes: Shapes, chip: _Chip) -> tuple[Array, Array, Array]:
    """As `_fastest`. For one split the fastest tile has the least compute time, since bytes do not depend on tiles."""
    g, m, n, k, memory = shapes
    tiles, splits, strength = chip.tiles, chip.tiles.splits, chip.wave_strength
    w = (g * np.ceil(m / tiles.rows)) * (np.ceil(n / tiles.columns) / chip.cores) * splits
    # below one wave the first term is at most 1: a tile takes its time even if others idle
    waves = np.maximum(strength * np.ceil(w) + (1 - strength) * w, 1.0)
    per_k = (waves * (tiles.work_flops * (chip.cores / chip.flops_per_second))).min(axis=1)
    splits = splits[:, 0]
    compute = per_k * (k / splits + chip.fill)
    p = chip.overlap
    if len(splits) == 1:
        return *split_p_norm(compute[0], memory, p), np.zeros_like(compute[0])
    extra = np.where(splits > 1, chip.split_seconds + 2 * splits * (g * m * n) / chip.bytes_per_second, 0.0)
    best = np.argmin((compute**p + memory**p) ** (1 / p) + extra, axis=0)
    return *split_p_norm(np.choose(best, compute), memory, p), np.choose(best, extra)
