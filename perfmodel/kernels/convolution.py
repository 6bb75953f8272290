"""Kernel time of convolutions: as an implicit GEMM or, for 3x3 kernels on CUDA cores, by Winograd's algorithm.

    direct     GEMM of B·P rows, O columns, R·I summed, at the peak times ed
    F(m×m)     (m+2)² GEMMs of B·⌈√P/m⌉² rows, O columns, I summed: (m+2)² products per m² outputs instead of 9·m²
    t          the least of direct, F(2×2) in one kernel at the peak times ew, and F(4×4), at the peak times ep, with
               kernels that transform

F(4×4) writes and reads input, weights and output with 36 numbers per tile of 4x4 (9 weights); F(2×2) keeps its 16 in
shared memory. Winograd (Lavin and Gray 2016) can be up to 4 times faster than FLOPs/peak of the direct method; cuDNN
takes it in fp32 where it is faster. Matrix units do not need it.

Evidence (NeuSight, P4, P100, V100, T4, one left out, median error): 19 %; without Winograd 24 %, with the tiles of
plain GEMMs 21 %. Small convolutions are still predicted too fast.

Letters: B batch, I and O channels, P output positions, R kernel size, m side of an output tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.gemm import time_gemm
from perfmodel.kernels.residency import memory_seconds
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.kernels.tiles import tile_model, with_tiles
from perfmodel.precisions import element_bytes, quantized_format
from perfmodel.types import Hardware, OpCost

_SOURCE = "NeuSight fp32 convolutions, 3x3, cuDNN in benchmark mode"
DIRECT_EFFICIENCY = prior(
    "convolution.direct_efficiency", 0.8, 0.2, meaning="rate of an implicit GEMM over a plain one", source=_SOURCE
)
WINOGRAD_EFFICIENCY = prior(
    "convolution.winograd_efficiency", 0.6, 0.2, meaning="rate of fused F(2x2) over a plain GEMM", source=_SOURCE
)
PRODUCT_EFFICIENCY = prior(
    "convolution.product_efficiency", 0.65, 0.2, meaning="rate of the products of F(4x4) over a GEMM", source=_SOURCE
)
TRANSFORM_EFFICIENCY = prior(
    "convolution.transform_efficiency", 0.65, 0.3, meaning="share of bandwidth while transforming", source=_SOURCE
)
# these kernels work on large tiles, need several on a core to keep it busy, and never split the summed dimension, so
# that small batches leave most of a chip idle
TILES = ((128, 128), (128, 64), (128, 32))
FUSED_TILES = ((128, 128),)
PRODUCT_TILES = ((128, 64), (64, 128), (64, 64), (128, 32), (32, 128))
RESIDENT_TILES = 3
FUSED_SIDE, TRANSFORMED_SIDE = 2, 4
WINOGRAD_SHORTCUT = 4.0  # fewer products than the direct method: 9·16 instead of 36
KERNEL_POSITIONS = 9  # 3x3
TRANSFORM_KERNELS = 3  # of input, weights and output
SAME_SIZE = 0.6  # input over output positions: below 1 with padding, 4 at stride 2


def time_convolution(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate
) -> KernelTime:
    """Times of a group of convolutions.

    Args:
        sizes: arguments of `costs.convolution.cost_convolution`, arrays (ops, configurations).
    """
    if not works_with_winograd(device.hardware, rate):
        return time_gemm("convolution", sizes, flags, cost, device, rate)
    direct = _tiled("convolution", sizes, flags, cost, device, rate, device[DIRECT_EFFICIENCY], TILES)
    usable = winograd_applies(sizes, flags)
    if not np.any(usable):
        return direct
    products = winograd_products(sizes, FUSED_SIDE)
    side = np.sqrt(products["g"])  # a block of threads does all products of its outputs: a tile of one larger GEMM
    whole = {"m": side * products["m"], "n": side * products["n"], "k": products["k"]}
    fused = _tiled("matmul", whole, flags, cost, device, rate, device[WINOGRAD_EFFICIENCY], FUSED_TILES)
    return _least(_least(direct, fused, usable), _transformed(sizes, flags, cost, device, rate), usable)


def winograd_products(sizes: Mapping[str, Any], side: int) -> dict[str, Array]:
    """(G, M, N, K) of the products of F(side×side, 3×3).

    >>> sizes = {"b": np.array([[2.0]]), "p": np.array([[56.0**2]]), "o": np.array([[64.0]]), "i": np.array([[32.0]])}
    >>> {name: float(size[0, 0]) for name, size in winograd_products(sizes, 4).items()}  # 2·14·14 tiles of 6·6 numbers
    {'g': 36.0, 'm': 392.0, 'n': 64.0, 'k': 32.0}
    """
    p = np.asarray(sizes["p"], dtype=float)
    tiles = sizes["b"] * np.ceil(np.sqrt(p) / side) ** 2
    return {"g": np.full_like(p, (side + 2) ** 2), "m": tiles, "n": sizes["o"] + 0 * p, "k": sizes["i"] + 0 * p}


def works_with_winograd(hardware: Hardware, rate: Rate) -> bool:
    """Whether a chip has kernels of its own for convolutions: GPUs without matrix units for the dtype."""
    return hardware.kind == "gpu" and rate.unit == "vector"


def winograd_applies(sizes: Mapping[str, Any], flags: Mapping[str, Any]) -> Array:
    """3x3, stride 1, ungrouped: as many input as output positions, within the padding."""
    share = sizes["input_elements"] / (sizes["b"] * sizes["i"] * sizes["p"])
    square = (sizes["r"] == KERNEL_POSITIONS) & (sizes["g"] == 1) & (share > SAME_SIZE) & (share < 1 / SAME_SIZE)
    return np.asarray(square & (not flags["transposed"]))


def _transformed(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate
) -> KernelTime:
    """Kernels that transform, before and after a batched GEMM."""
    products = winograd_products(sizes, TRANSFORMED_SIDE)
    g, m, n, k = (products[name] for name in "gmnk")
    moved = g * (m * k + m * n + k * n) * element_bytes(quantized_format(rate.dtype))
    efficiency, share = device[PRODUCT_EFFICIENCY], device[TRANSFORM_EFFICIENCY]
    tiles = with_tiles(tile_model(device, rate, {}), PRODUCT_TILES, RESIDENT_TILES)
    gemm = time_gemm("matmul", products, flags, OpCost(read_bytes=moved), device, _scaled(rate, efficiency), tiles)
    transforms = memory_seconds(np.asarray(cost.bytes, dtype=float) + moved, sizes, device, share.value)
    return replace(
        gemm,
        memory_seconds=gemm.memory_seconds + transforms,
        overhead_seconds=gemm.overhead_seconds * (1 + TRANSFORM_KERNELS),
        derive=lambda: (*gemm.sensitivities, (efficiency, gemm.compute_seconds), (share, transforms)),
    )


def _tiled(
    kind: str,
    sizes: Mapping[str, Any],
    flags: Mapping[str, Any],
    cost: OpCost,
    device: Device,
    rate: Rate,
    efficiency: Coefficient,
    tiles: tuple[tuple[int, int], ...],
) -> KernelTime:
    """`time_gemm` with some tiles, at a share of the rate."""
    model = with_tiles(tile_model(device, rate, {}), tiles, RESIDENT_TILES)
    kernel = time_gemm(kind, sizes, flags, cost, device, _scaled(rate, efficiency), model)
    return replace(kernel, derive=lambda: (*kernel.sensitivities, (efficiency, kernel.compute_seconds)))


def _scaled(rate: Rate, efficiency: Coefficient) -> Rate:
    return replace(rate, flops_per_second=rate.flops_per_second * efficiency.value)


def _least(first: KernelTime, second: KernelTime, usable: Array) -> KernelTime:
    """The faster one for each op; the second only where it is usable."""
    take = np.logical_and(second.seconds < first.seconds, usable)
    return KernelTime(
        np.where(take, second.compute_seconds, first.compute_seconds),
        np.where(take, second.memory_seconds, first.memory_seconds),
        np.where(take, second.overhead_seconds, first.overhead_seconds),
        lambda: (
            *((coefficient, np.where(take, 0.0, part)) for coefficient, part in first.sensitivities),
            *((coefficient, np.where(take, part, 0.0)) for coefficient, part in second.sensitivities),
        ),
    )
