"""Kernel time of a mixture-of-experts block (grouped GEMMs, routing and combining).

    t    = t0 + (Tc^p + Tm^p)^(1/p) + passes·T·D bytes / (bandwidth·em)
    Tc   = 2·rows·(U·(D + fill) + D·(F + fill)) / (sustained rate·ec)
    rows = active·m / (1 − exp(−m·active/pairs))
    Tm   = (weights of the active experts + activations) / (bandwidth·em)

`pairs` (token, expert) pairs fall on `active` experts; each pads its rows to tiles of m. The rows of one expert are
taken as exponentially distributed, whose expected number of tiles is 1/(1 − exp(−m/mean)): between one tile for each
expert that has few rows and half a tile on top for one that has many. Each of the two products pays the pipeline fill,
the same number of bytes along K for every dtype.

Form and priors: MoE operator tables of A100, H100, B200 and L40S, one device left out. Not kept, as the error on the
device left out did not fall: whole waves of tiles over the cores, a choice among tile sizes with their own efficiency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.residency import memory_seconds
from perfmodel.kernels.roofline import Array, KernelTime, split_p_norm
from perfmodel.kernels.sustained import sustained_rate
from perfmodel.kernels.unpacking import unpacking_rate
from perfmodel.precisions import element_bytes, quantized_format
from perfmodel.types import OpCost

_SOURCE = "MoE operator tables of A100, H100, B200, L40S"
LAUNCH_SECONDS = prior(
    "experts.launch_seconds", 35e-6, 0.4, meaning="routing, sorting, combining and launches", source=_SOURCE,
    variants={"eager": (60e-6, 0.7), "tpu": (20e-6, 0.8), "cpu": (30e-6, 0.8), "accelerator": (40e-6, 0.8)},
)  # fmt: skip
COMPUTE_EFFICIENCY = prior(
    "experts.compute_efficiency", 0.58, 0.25, meaning="share of the matrix peak of grouped GEMMs", source=_SOURCE,
    variants={"gpu.amd": (0.45, 0.4), "cpu": (0.4, 0.5)},
)  # fmt: skip
NARROW_EFFICIENCY = prior(
    "experts.narrow_efficiency", 0.95, 0.4, meaning="8- and 4-bit efficiency over the 16-bit one", source=_SOURCE,
)  # fmt: skip
MEMORY_EFFICIENCY = prior(
    "experts.memory_efficiency", 0.86, 0.12, meaning="achievable share of memory bandwidth", source=_SOURCE,
    variants={"gpu.amd": (0.7, 0.25), "cpu": (0.6, 0.4)},
)  # fmt: skip
FORM = prior("experts.form", 1.0, 0.25, meaning="what the form itself does not say about a kernel", source=_SOURCE)
TILE_ROWS = prior(
    "experts.tile_rows", 30.0, 0.5, meaning="rows of a tile, to which an expert's rows are padded", source=_SOURCE,
)  # fmt: skip
FILL_BYTES = prior(
    "experts.fill_bytes", 1200.0, 0.5, meaning="pipeline fill of each of the two products, in bytes along K",
    source=_SOURCE, variants={"cpu": (32.0, 0.7), "tpu": (256.0, 0.7)},
)  # fmt: skip
TOKEN_PASSES = prior(
    "experts.token_passes", 6.0, 0.5, meaning="passes over the tokens' hidden states to route, permute and combine",
    source=_SOURCE,
)  # fmt: skip
UNPACKING_RATE = prior(
    "experts.unpacking_flops_per_core_cycle", 2048.0, 0.3, meaning="matrix FLOPs on weights unpacked in registers",
    source=_SOURCE,
)  # fmt: skip
OVERLAP = 2.0  # p; 1.5 does equally well, 1 and 3 worse
_WIDE_BYTES = 2.0  # of an element in the dtypes the fill was found for; wider ones have not been measured
_NARROW = ("fp8", "int8", "fp4", "int4", "fp6")


def time_experts(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate
) -> KernelTime:
    """Times of a group of expert blocks.

    Args:
        sizes: as `costs.experts.cost_experts` names them, as arrays. cost: theirs; it knows how tokens chose.
    """
    memory, launch, passes = device[MEMORY_EFFICIENCY], device[LAUNCH_SECONDS], device[TOKEN_PASSES]
    tile, fill = device[TILE_ROWS], device[FILL_BYTES]
    narrow = device[NARROW_EFFICIENCY] if rate.dtype in _NARROW else None
    rate, cap = unpacking_rate(device, rate, str(flags.get("weight", "")), UNPACKING_RATE)
    sustained = sustained_rate(device, rate, device[COMPUTE_EFFICIENCY], narrow.value if narrow else 1.0)
    e, t, d, u, f = (np.asarray(sizes[name], dtype=float) for name in ("e", "t", "d", "u", "f"))
    pairs = np.asarray(cost.matrix_flops, dtype=float) / (2 * d * (u + f))
    active = e * np.asarray(cost.weight_bytes / sizes["weight_bytes"], dtype=float)
    rows, tile_share = padded_rows(pairs, active, tile.value)
    element = element_bytes(quantized_format(rate.dtype)) if narrow else _WIDE_BYTES
    filled, useful = fill.value / element * (u + d), d * (u + f)
    compute_seconds, streaming_seconds = split_p_norm(
        2 * rows * (useful + filled) / sustained.flops_per_second,
        memory_seconds(np.asarray(cost.bytes, dtype=float), sizes, device, memory.value),
        OVERLAP,
    )
    bandwidth = device.hardware.memory_bandwidth_bytes_per_second * memory.value
    routing = passes.value * t * d * element_bytes(str(flags["activation"])) / bandwidth + 0 * compute_seconds
    launches = launch.value * device.launch_scale + 0 * compute_seconds
    return KernelTime(
        compute_seconds,
        streaming_seconds + routing,
        launches,
        lambda: (
            *sustained.sensitivities(compute_seconds),
            *((coefficient, compute_seconds) for coefficient in (narrow, cap) if coefficient),
            (memory, streaming_seconds + routing),
            (passes, routing),
            (tile, compute_seconds * tile_share),
            (fill, compute_seconds * (filled / (useful + filled))),
            (launch, launches),
            (device[FORM], compute_seconds + streaming_seconds),
        ),
    )


def padded_rows(pairs: Array, active: Array, tile_rows: float) -> tuple[Array, Array]:
    """(rows of all experts once padded, ∂log(rows)/∂log(tile rows)).

    >>> [float(part.round(2)) for part in padded_rows(np.array(8.0), np.array(8.0), 32.0)]  # a row each: a tile each
    [256.0, 1.0]
    >>> [float(part.round(2)) for part in padded_rows(np.array(8e4), np.array(8.0), 32.0)]  # half a tile on 10 000 rows
    [80128.07, 0.0]
    """
    tiles = tile_rows * active / np.maximum(pairs, active)  # an active expert has a row at least
    share = 1 - tiles / np.expm1(tiles)
    return active * tile_rows / -np.expm1(-tiles), share
