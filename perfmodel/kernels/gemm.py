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
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.identity_cache import identity_cache
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.quantize import quantize_seconds, quantized_bytes
from perfmodel.kernels.residency import memory_seconds
from perfmodel.kernels.roofline import Array, KernelTime, Sensitivities, split_p_norm
from perfmodel.kernels.sustained import Sustained, sustained_rate
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
Shapes: TypeAlias = tuple[
    Array, Array, Array, Array, Array
]  # G, M, N, K, memory seconds: (ops or 1, configurations or 1)
FEW = 64  # configurations that are not worth more than being computed
ROUNDING = 1e-9  # more than times of one tile differ by rounding
PIECE = 256  # configurations that choose among the same tiles


def gemm_sizes(kind: str, sizes: Mapping[str, Any]) -> tuple[Array, Array, Array, Array]:
    """(G, M, N, K) of a linear layer, a matmul, or a convolution as implicit GEMM."""
    if kind == "convolution":
        groups = sizes["g"]
        return groups, sizes["b"] * sizes["p"], sizes["o"] / groups, sizes["i"] * sizes["r"] / groups
    return sizes.get("g", 1.0), sizes["m"], sizes["n"], sizes["k"]


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
    setting = _setting(device, rate, flags, own_tiles)
    memory, chip = setting.memory, setting.chip
    quantized = quantized_bytes(sizes, flags)
    moved = cost.bytes - quantized
    g, m, n, k = (as_rows(size) for size in gemm_sizes(kind, sizes))
    if flags.get("sparse_2_4"):
        k = k / 2  # of which sparse matrix units skip half
    shapes = (g, m, n, k, as_rows(memory_seconds(moved, sizes, device, memory.value)))
    only_rows_vary = kind == "linear" and n.shape[1] == k.shape[1] == 1
    compute_part, memory_part, overhead = _fastest(shapes, chip, only_rows_vary=only_rows_vary)
    launches = setting.launch.value * device.launch_scale
    quantize_launch, quantize_memory, derive_quantize = quantize_seconds(quantized, sizes, flags, device)

    def derive() -> Sensitivities:
        uncapped = compute_part * (1 - setting.sustained.cap_share)
        return (
            *setting.sustained.sensitivities(compute_part),
            *((own, uncapped) for own in (setting.narrow, setting.cap) if own),
            (memory, memory_part + np.maximum(overhead - chip.split_seconds, 0.0)),
            (setting.split, np.minimum(overhead, chip.split_seconds)),  # partial sums go to memory too
            (setting.launch, launches + 0 * compute_part),
            *derive_quantize(),
            (setting.form, compute_part + memory_part),
        )

    return KernelTime(compute_part, memory_part + quantize_memory, overhead + (launches + quantize_launch), derive)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What does not depend on sizes.

    Args:
        narrow, cap: factors on the efficiency, and the coefficient of unpacked weights, where there are any.
    """

    chip: _Chip
    sustained: Sustained
    memory: Coefficient
    split: Coefficient
    launch: Coefficient
    form: Coefficient
    narrow: Coefficient | None
    cap: Coefficient | None


@identity_cache(512)
def _setting(device: Device, rate: Rate, flags: Mapping[str, Any], own_tiles: TileModel | None) -> _Setting:
    memory, split = device[MEMORY_EFFICIENCY], device[SPLIT_SECONDS]
    tiles = own_tiles or tile_model(device, rate, flags)
    efficiency, narrow = compute_efficiency(device, rate)
    rate, cap = unpacking_rate(device, rate, str(flags.get("weight", "")), UNPACKING_RATE)
    sustained = sustained_rate(device, rate, efficiency, narrow.value if narrow else 1.0)
    cores = (device.hardware.cores or 1) * tiles.resident if tiles.dealt else 1
    chip = _Chip(
        bytes_per_second=device.hardware.memory_bandwidth_bytes_per_second * memory.value,
        tiles=tiles,
        cores=cores,
        work_seconds=tiles.work_flops * (cores / sustained.flops_per_second),
        fill=device[tiles.fill].value * tiles.fill_scale,
        overlap=device[tiles.overlap].value,
        wave_strength=device[WAVE_STRENGTH].value,
        split_seconds=split.value * device.launch_scale,
    )
    return _Setting(chip, sustained, memory, split, device[LAUNCH_SECONDS], device[FORM], narrow, cap)


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
    """What the choice of a tile needs to know.

    Args:
        work_seconds: of a tile per K element, at the sustained rate of a core, (1, tiles, 1, 1).
    """

    bytes_per_second: float
    tiles: TileModel
    cores: int
    work_seconds: Array
    fill: float
    overlap: float
    wave_strength: float
    split_seconds: float


def as_rows(size: Any) -> Array:
    """A size as (ops or 1, configurations or 1)."""
    return size if isinstance(size, np.ndarray) and size.ndim == 2 else np.array(size, dtype=float, ndmin=2)


def _fastest(shapes: Shapes, chip: _Chip, *, only_rows_vary: bool) -> tuple[Array, Array, Array]:
    """Compute, memory and split-K seconds of the fastest tile for (G, M, N, K, memory seconds).

    A linear layer's time depends on its rows alone, so that in a sweep each distinct number of rows is computed once.
    """
    if not only_rows_vary or _configurations(shapes) <= FEW:
        return _fastest_likely(shapes, chip)
    m = np.broadcast_to(shapes[1], (shapes[1].shape[0], _configurations(shapes)))
    ops = max(array.shape[0] for array in shapes)
    changes = [op for op in range(1, m.shape[0]) if not np.array_equal(m[op], m[op - 1])]
    found = []
    for first, end in pairwise([0, *changes, ops]):
        distinct, place = _distinct(m[first])
        own: Shapes = tuple(array if array.shape[0] == 1 else array[first:end] for array in shapes)  # type: ignore[assignment]
        parts = _fastest_likely(_columns(own, distinct), chip)
        found.append([part.take(place, axis=1) for part in parts])
    compute, memory, extra = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return compute, memory, extra


def _configurations(shapes: Shapes) -> int:
    return max(len(array.T) for array in shapes)


def _distinct(values: Array) -> tuple[Any, Any]:
    """(where each distinct value is first, which of them each value is)."""
    new = np.concatenate([[True], values[1:] != values[:-1]])
    if np.all(values[1:] >= values[:-1]):  # as sweeps put them
        return np.flatnonzero(new), np.cumsum(new) - 1
    _, first, place = np.unique(values, return_index=True, return_inverse=True)
    return first, place


def _columns(shapes: Shapes, chosen: Any) -> Shapes:
    """Some configurations of the shapes; what does not vary stays as it is."""
    if isinstance(chosen, slice):
        return tuple(array if array.shape[1] == 1 else array[:, chosen] for array in shapes)  # type: ignore[return-value]
    return tuple(array if array.shape[1] == 1 else array.take(chosen, axis=1) for array in shapes)  # type: ignore[return-value]


def _fastest_likely(shapes: Shapes, chip: _Chip) -> tuple[Array, Array, Array]:
    """As `_fastest`, piece by piece, each only with the tiles and splits that can be the fastest of some.

    A kernel takes no less time for larger sizes. So a tile is out that takes longer for the smallest sizes of a piece
    than another for the largest; where pieces go from small to large few are left.
    """
    count = _configurations(shapes)
    if count <= FEW:
        return _fastest_tile(shapes, chip)
    starts = np.arange(0, count, PIECE)
    least, most = (_ends(shapes, reduce, starts) for reduce in (np.minimum, np.maximum))
    fastest = np.minimum.reduce(_seconds(most, chip), axis=(0, 1)) * (1 + ROUNDING)
    likely = (_seconds(least, chip) <= fastest).any(axis=2)  # (splits, tiles, pieces)
    changes = np.flatnonzero((likely[..., 1:] != likely[..., :-1]).any(axis=(0, 1))) + 1
    found = []
    for first, end in pairwise([0, *changes.tolist(), len(starts)]):
        own = _columns(shapes, slice(first * PIECE, end * PIECE))
        found.append(_fastest_tile(own, _with(chip, likely[..., first].any(axis=1), likely[..., first].any(axis=0))))
    compute, memory, extra = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    return compute, memory, extra


def _ends(shapes: Shapes, reduce: Any, starts: Any) -> Shapes:
    """The smallest or largest sizes of each piece."""
    return tuple(array if array.shape[1] == 1 else reduce.reduceat(array, starts, axis=1) for array in shapes)  # type: ignore[return-value]


def _with(chip: _Chip, splits: Any, tiles: Any) -> _Chip:
    """With some splits and tiles only."""
    model = chip.tiles
    kept = replace(model, rows=model.rows[:, tiles], columns=model.columns[:, tiles],
                   work_flops=model.work_flops[:, tiles], splits=model.splits[splits])  # fmt: skip
    return replace(chip, tiles=kept, work_seconds=chip.work_seconds[:, tiles])


def _waves(shapes: Shapes, chip: _Chip) -> Array:
    """Waves of each tile and split, (splits, tiles, ops, configurations)."""
    g, m, n, _, _ = shapes
    tiles, strength = chip.tiles, chip.wave_strength
    waves = (g * np.ceil(m / tiles.rows)) * (np.ceil(n / tiles.columns) / chip.cores * tiles.splits)
    whole = np.ceil(waves)
    whole *= strength
    waves *= 1 - strength
    waves += whole
    # below one wave the first term is at most 1: a tile takes its time even if others idle
    return np.maximum(waves, 1.0, out=waves)


def _extra(shapes: Shapes, chip: _Chip, splits: Array) -> Array:
    """Seconds that a split costs, its partial sums included; 0 for none."""
    g, m, n, _, _ = shapes
    return np.where(splits == 1, 0.0, chip.split_seconds + (2 / chip.bytes_per_second) * splits * (g * m * n))


def _seconds(shapes: Shapes, chip: _Chip) -> Array:
    """Seconds of every tile and split, without launches, (splits, tiles, ops, configurations)."""
    *_, k, memory = shapes
    splits, p = chip.tiles.splits, chip.overlap
    compute = _waves(shapes, chip) * chip.work_seconds * (k / splits + chip.fill)
    return np.asarray((compute**p + memory**p) ** (1 / p) + _extra(shapes, chip, splits))


def _fastest_tile(shapes: Shapes, chip: _Chip) -> tuple[Array, Array, Array]:
    """As `_fastest`. For one split the fastest tile has the least compute time, since bytes do not depend on tiles."""
    *_, k, memory = shapes
    splits, p = chip.tiles.splits[:, 0], chip.overlap
    work = _waves(shapes, chip)
    work *= chip.work_seconds
    compute = np.minimum.reduce(work, axis=1) * (k / splits + chip.fill)
    extra = _extra(shapes, chip, splits)
    if len(splits) == 1:
        return *split_p_norm(compute[0], memory, p), extra[0] + 0 * compute[0]
    own_compute, own_extra = _of_least((compute**p + memory**p) ** (1 / p) + extra, compute, extra)
    return *split_p_norm(own_compute, memory, p), own_extra


def _of_least(seconds: Array, compute: Array, extra: Array) -> tuple[Array, Array]:
    """Compute and extra seconds of the split that takes least, each (splits, ops, configurations)."""
    if seconds.shape[2] <= FEW:
        best = np.argmin(seconds, axis=0)
        return best.choose(compute), best.choose(extra)
    least, own_compute, own_extra = seconds[0], compute[0], extra[0]
    for place in range(1, len(seconds)):  # many times faster, of many configurations
        better = seconds[place] < least
        least = np.where(better, seconds[place], least)
        own_compute, own_extra = (
            np.where(better, compute[place], own_compute),
            np.where(better, extra[place], own_extra),
        )
    return own_compute, own_extra
