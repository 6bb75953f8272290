"""Weights of 4 bits under 16-bit activations, which no matrix unit multiplies as they are.

Kernels unpack such weights in registers (Marlin, the llama.cpp family), so that they use the older matrix instructions,
which read registers: 2048 FLOPs a clock and SM on A100, and no more on the GPUs after it, whose peaks are those of
instructions on shared memory. May import: device and below.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.coefficients import Coefficient, Prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.precisions import find_format


def unpacking_rate(device: Device, rate: Rate, weight: str, prior: Prior) -> tuple[Rate, Coefficient | None]:
    """(the rate that a kernel can reach, the coefficient that caps it).

    Args:
        weight: format of the weights, "" for those of the compute dtype.
        prior: FLOPs per clock and SM on weights unpacked in registers; the cap is None where the peak lies below it.
    """
    hardware = device.hardware
    if hardware.vendor != "NVIDIA" or rate.dtype not in ("bf16", "fp16") or not weight or find_format(weight).bits >= 8:
        return rate, None
    cap = device[prior]
    reached = cap.value * hardware.cores * hardware.clock_hertz
    return (replace(rate, flops_per_second=reached), cap) if 0 < reached < rate.flops_per_second else (rate, None)
