"""Kernel time of fused attention, prefill and decode.

    t  = t0 + (Tc^p + Tm^p)^(1/p)                              Tm = bytes / (bandwidth · em)
    Tc = B·H·u·(pairs + S·s0/2 + cores·64·w·r/(B·H)) + blocks·b/(cores·clock) + r·c/clock
    u  = pad·(2·(C + V)/(rate · ec) + e/exponential rate)      seconds of one (query, key) pair
    r  = pairs/keys + keys/128                                 keys that one block goes through, one after another

What a chip computes beyond the visible pairs: half of a block of s0 keys at the last key of each query (and at the
first one in a window), and the wait for the last blocks of 64 rows, w of a block. The matrix unit works on 16 query
rows at least; grouped heads share them: pad = ceil(rows/16)·16/rows with rows = S·H/K. The exponentials of the softmax
run at 16 per core and clock and overlap only in part, which is why short heads and 8 bits reach less of the peak. A
block costs b cycles to start and to drain, which memory traffic hides as it hides any work. A few queries to a long
context are split over the keys, 128 ways at most, so that no block is as long as the context. Form and priors:
attention operator tables of A100, H100, B200 and L40S.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arithmetic import maximum, minimum
from perfmodel.coefficients import Coefficient, prior
from perfmodel.costs.attention import visible_keys, visible_pairs
from perfmodel.identity_cache import identity_cache
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.residency import memory_seconds
from perfmodel.kernels.roofline import KernelTime, Sensitivities, split_p_norm
from perfmodel.kernels.sustained import Sustained, sustained_rate
from perfmodel.precisions import element_bytes, quantized_format
from perfmodel.types import OpCost

_SOURCE = "attention operator tables of A100, H100, B200, L40S, fitted together"
LAUNCH_SECONDS = prior(
    "attention.launch_seconds", 12e-6, 0.4, meaning="launch, split over keys and its reduction", source=_SOURCE,
    variants={"tpu": (4e-6, 0.8), "cpu": (8e-6, 0.7), "accelerator": (12e-6, 0.8)},
)  # fmt: skip
COMPUTE_EFFICIENCY = prior(
    "attention.compute_efficiency", 0.5, 0.25, meaning="share of the matrix peak beside the softmax", source=_SOURCE,
    variants={"gpu.amd": (0.5, 0.35), "tpu": (0.55, 0.35), "cpu": (0.5, 0.5), "accelerator": (0.5, 0.5)},
)  # fmt: skip
NARROW_EFFICIENCY = prior(
    "attention.narrow_efficiency", 0.65, 0.2, meaning="share of that share which 8 bits keep", source=_SOURCE
)
MEMORY_EFFICIENCY = prior(
    "attention.memory_efficiency", 0.80, 0.12, meaning="achievable share of memory bandwidth for keys and values",
    source=_SOURCE,
    variants={"gpu.amd": (0.65, 0.25), "tpu": (0.7, 0.3), "cpu": (0.5, 0.45), "accelerator": (0.6, 0.4)},
)  # fmt: skip
BLOCK_CYCLES = prior(
    "attention.block_cycles", 4500.0, 0.4, meaning="cycles to start and drain a block of 64 rows of one kv head",
    source=_SOURCE,
)  # fmt: skip
EXPOSED_EXPONENTIALS = prior(
    "attention.exposed_exponentials", 0.55, 0.3, meaning="share of the softmax that matrix work does not hide",
    source=_SOURCE,
)  # fmt: skip
SHORT_PROMPT_TOKENS = prior(
    "attention.short_prompt_tokens", 100.0, 0.4, meaning="keys of a block s0: half a block is wasted at an edge",
    source=_SOURCE,
)  # fmt: skip
WAVE_SHARE = prior(
    "attention.wave_share", 0.75, 0.4, meaning="share of a block's work that cores wait for the last blocks",
    source=_SOURCE,
)  # fmt: skip
KEY_CYCLES = prior(
    "attention.key_cycles", 30.0, 0.5, meaning="latency of a block per key, beside its work", source=_SOURCE
)
FORM = prior(
    "attention.form", 1.0, 0.27, meaning="what the form itself does not say about a kernel", source=_SOURCE,
    variants={"cpu": (1.0, 0.4), "tpu": (1.0, 0.3), "accelerator": (1.0, 0.4)},
)  # fmt: skip
OVERLAP = 3.0
MINIMUM_ROWS = 16  # of a matrix instruction
BLOCK_ROWS = 64
MOST_SPLITS = 128  # over the keys
EXPONENTIALS_PER_CYCLE = 16  # of a core: SM and CU alike
EXPONENTIAL_FLOPS = 16  # of the vector peak, where cores or clock are unknown


def time_attention(
    sizes: Mapping[str, Any], flags: Mapping[str, Any], cost: OpCost, device: Device, rate: Rate
) -> KernelTime:
    """Times of a group of attention ops; sizes as `costs.attention.cost_attention` names them, as arrays."""
    setting = _setting(device, rate)
    b, h, k, s, t, c, v = (sizes[name] for name in ("b", "h", "k", "s", "t", "c", "v"))
    causal, windowed, window = flags["causal"], flags["windowed"], sizes["window"]
    pairs = visible_pairs(s, t, window, causal=causal, windowed=windowed)
    if windowed:
        pairs = maximum(pairs, 0.0)
    keys = visible_keys(s, t, window, causal=causal, windowed=windowed)
    rows = s * h / k
    padding = np.ceil(rows / MINIMUM_ROWS) * MINIMUM_ROWS / rows
    edge = half = s * setting.half_block
    if windowed:  # at the first key too, where there is one before the window
        edge = half + minimum(half, visible_pairs(s, t, window, causal=causal, windowed=False) - pairs)
    heads = b * h
    edge_pairs = heads * edge
    blocks_per_key = pairs / keys
    wait_pairs = blocks_per_key * setting.waiting_rows
    unseen_pairs = edge_pairs + wait_pairs
    computed_pairs = heads * pairs + unseen_pairs
    # the matrix work of visible pairs is the cost's, which may hold more than attention
    flops = cost.matrix_flops + unseen_pairs * (2 * (c + v))
    matrix_seconds = (padding / setting.sustained.flops_per_second) * flops
    exponential_seconds = (padding * setting.pair_seconds) * computed_pairs
    block_seconds = b * k * np.ceil(rows / BLOCK_ROWS) * setting.block_seconds
    chain_seconds = (blocks_per_key + keys / MOST_SPLITS) * setting.key_seconds
    compute_seconds = matrix_seconds + exponential_seconds + block_seconds + chain_seconds
    compute_part, memory_part = split_p_norm(
        compute_seconds, memory_seconds(cost.bytes, sizes, device, setting.memory.value), OVERLAP
    )
    launches = setting.launch.value * device.launch_scale

    def derive() -> Sensitivities:
        share = compute_part / compute_seconds
        pair_part = share * (matrix_seconds + exponential_seconds) / computed_pairs
        return (
            *setting.sustained.sensitivities(compute_part),
            *([(setting.narrow, compute_part)] if setting.narrow else []),
            (setting.memory, memory_part),
            (setting.launch, launches + 0 * compute_part),
            (setting.exposed, share * exponential_seconds),
            (setting.short, pair_part * edge_pairs),
            (setting.waves, pair_part * wait_pairs),
            (setting.block, share * block_seconds),
            (setting.latency, share * chain_seconds),
            (setting.form, compute_part + memory_part),
        )

    return KernelTime(compute_part, memory_part, launches + 0 * compute_part, derive)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What does not depend on sizes: coefficients, and what they make of the chip.

    Args:
        half_block: keys. waiting_rows: rows that the cores wait for. pair_seconds: exposed exponentials of a pair.
        block_seconds: of starting and draining a block on one of the cores. key_seconds: latency of a block per key.
    """

    sustained: Sustained
    narrow: Coefficient | None
    memory: Coefficient
    launch: Coefficient
    exposed: Coefficient
    short: Coefficient
    waves: Coefficient
    block: Coefficient
    latency: Coefficient
    form: Coefficient
    half_block: float
    waiting_rows: float
    pair_seconds: float
    block_seconds: float
    key_seconds: float


@identity_cache(256)
def _setting(device: Device, rate: Rate) -> _Setting:
    narrow = device[NARROW_EFFICIENCY]
    is_narrow = element_bytes(quantized_format(rate.dtype)) < 2
    exposed, short, waves = device[EXPOSED_EXPONENTIALS], device[SHORT_PROMPT_TOKENS], device[WAVE_SHARE]
    block, latency = device[BLOCK_CYCLES], device[KEY_CYCLES]
    cores, hertz = busy_cores(device)
    return _Setting(
        sustained=sustained_rate(device, rate, device[COMPUTE_EFFICIENCY], narrow.value if is_narrow else 1.0),
        narrow=narrow if is_narrow else None,
        memory=device[MEMORY_EFFICIENCY],
        launch=device[LAUNCH_SECONDS],
        exposed=exposed,
        short=short,
        waves=waves,
        block=block,
        latency=latency,
        form=device[FORM],
        half_block=short.value / 2,
        waiting_rows=cores * BLOCK_ROWS * waves.value,
        pair_seconds=exposed.value / exponentials_per_second(device),
        block_seconds=block.value / (cores * hertz) if cores else 0.0,
        key_seconds=latency.value / hertz if cores else 0.0,
    )


def exponentials_per_second(device: Device) -> float:
    """Rate of the special-function units."""
    cores, hertz = busy_cores(device)
    return EXPONENTIALS_PER_CYCLE * cores * hertz if cores else device.vector_flops_per_second / EXPONENTIAL_FLOPS


def busy_cores(device: Device) -> tuple[int, float]:
    """Cores that blocks are spread over, and their clock; (0, 0) where a chip has none or they are unknown."""
    hardware = device.hardware
    known = hardware.kind == "gpu" and hardware.cores and hardware.clock_hertz
    return (hardware.cores, hardware.clock_hertz) if known else (0, 0.0)
