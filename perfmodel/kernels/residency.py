"""Reads that the last on-chip cache answers, where a benchmark goes through the same bytes again and again.

    rho = 1 / (1 + (resident / (share·L2))^6)
    Tm  = (1 − rho)·bytes/(bandwidth·em) + rho·min(bytes / (l2b·cores·clock), bytes/(bandwidth·em))

`resident` is the memory touched between two uses of the same byte. In a model's own run it is the whole model, so that
rho is 0; it matters for reading benchmark tables. Within one op it is short where an operand is broadcast: a mask that
all heads share comes from the cache if what a head moves fits into it, else from memory once per head.

May import: coefficients, device, roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.coefficients import prior
from perfmodel.kernels.device import Device
from perfmodel.kernels.roofline import Array

_SOURCE = "GEMM and decode-attention tables of A100, H100, B200, L40S"
CACHE_SHARE = prior(
    "cache.usable_share", 0.8, 0.2, meaning="share of the last cache that stays resident", source=_SOURCE
)
CACHE_BYTES_PER_CYCLE = prior(
    "cache.bytes_per_core_cycle", 12.0, 0.4, meaning="bytes a core reads from the last cache per clock", source=_SOURCE
)
SHARPNESS = 6


def memory_seconds(moved: Array, sizes: Mapping[str, Any], device: Device, efficiency: float | Array) -> Array:
    """Seconds to move bytes; faster where `sizes["resident_bytes"]` says that a benchmark finds them in the cache."""
    hardware = device.hardware
    from_memory = moved / (hardware.memory_bandwidth_bytes_per_second * efficiency)
    cores_hertz = hardware.cores * hardware.clock_hertz
    if "resident_bytes" not in sizes or not hardware.l2_bytes or not cores_hertz:
        return from_memory
    resident = resident_share(np.asarray(sizes["resident_bytes"], dtype=float), device)
    from_cache = np.minimum(moved / (device[CACHE_BYTES_PER_CYCLE].value * cores_hertz), from_memory)
    return (1 - resident) * from_memory + resident * from_cache


def resident_share(touched_bytes: Array, device: Device) -> Array:
    """rho: the share of bytes still in the last cache after `touched_bytes` have been moved; 1 for an unknown size."""
    if not device.hardware.l2_bytes:
        return np.ones_like(touched_bytes)
    usable = device[CACHE_SHARE].value * device.hardware.l2_bytes
    return np.asarray(1 / (1 + (touched_bytes / usable) ** SHARPNESS))


def reread_bytes(sizes: Mapping[str, Any], device: Device) -> Array | float:
    """Bytes of broadcast operands that come from memory again (see `costs.streaming`)."""
    again = sizes.get("reread_bytes", 0.0)
    if isinstance(again, float) and not again:  # of all ops, as for most groups
        return 0.0
    touched = np.asarray(sizes.get("reuse_bytes", 0.0), dtype=float)
    return np.asarray(again * (1 - resident_share(touched, device)))
