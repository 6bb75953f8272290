"""Watts of a chip at work: what it draws idle, what being awake costs, and the energy of what it computes and moves.

    P = idle + smooth minimum (n = 8) of (P_wanted − idle, TDP − idle),   P_wanted = awake + FLOP/s·e_FLOP + bit/s·e_bit

Idle is 0.11 of the TDP (80 W of an H200, 62 W of an A100 SXM, 17 to 29 W of an RTX 3090 and RTX 6000 Ada, as
nvidia-smi tells), awake 0.32. The three coefficients of work were fitted on 53 public measurements of dense language
models under vLLM on H100 and B200 (ML.ENERGY Benchmark v3: mean power in steady state, 8 to 2048 sequences; prompts,
whose lengths are not told, taken as 300 tokens). Fitted on H100 alone they give B200 with a median error of 3.6 % (80 %
of runs within 7.5 %), on B200 alone H100 with 9 %; no other chip was checked. Half-widths of intervals are judgement,
and their coverage is not checked on devices left out. What differs between chips:

- e_FLOP: half as much with half the bits; by process node as `kernels.sustained.NODE_ENERGY`; FLOPs of vector units as
  `power.energy_per_flop_joules` there (NeuSight).
- e_bit: that of the memory itself (Micron, "Ultra-Bandwidth Solutions": HBM2E 6.0, GDDR6X 7.25, GDDR6 7.5 pJ; the
  others are usual figures of the literature), and the way from there to the cores, 6.5 pJ at 4-5 nm.

May import: types, kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.identity_cache import identity_cache
from perfmodel.kernels.sustained import ENERGY_PER_FLOP_JOULES, NODE_ENERGY
from perfmodel.types import Hardware, OpCost

IDLE_SHARE = 0.11
AWAKE_SHARE = 0.32
FLOP_JOULES = 1.6e-12  # of matrix units, in 16 bits, at 4-5 nm: operands from registers and caches, issue, losses
PATH_BIT_JOULES = 6.5e-12  # from memory to the cores, at 4-5 nm
LINK_BIT_JOULES = 10e-12  # of links between devices, both ends: the order of magnitude of serial links
SHARPNESS = 8
# the longest name that memory.type begins with counts
MEMORY_BIT_JOULES = {
    "HBM2": 6.0e-12, "HBM3": 4.5e-12, "HBM4": 4.5e-12, "GDDR5": 14e-12, "GDDR6": 7.5e-12, "GDDR6X": 7.25e-12,
    "GDDR7": 6.5e-12, "LPDDR": 6e-12, "DDR": 17e-12, "MRDIMM": 17e-12, "SRAM": 1e-12,
}  # fmt: skip
_OTHER_MEMORY = 10e-12
_WIDTH = {"fp64": 4.0, "fp32": 2.0, "tf32": 1.5, "fp8": 0.55, "int8": 0.55, "fp6": 0.5, "fp4": 0.3, "int4": 0.3}
_UNKNOWN_NODE = 7.0
_NEWEST = NODE_ENERGY[-1][1]
MEASURED_FAMILIES = ("hopper", "blackwell")
_HALF_WIDTHS = {"device": 0.12, "family": 0.3, "datasheet": 0.45}  # of the log, for 80 %
_NORMAL_80 = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Mean watts with their interval. level: what they stand on: device (H100, B200 and their kin), family (other
    GPUs) or datasheet."""

    watts: float
    low: float
    high: float
    level: str

    def __mul__(self, devices: float) -> Power:
        return Power(watts=self.watts * devices, low=self.low * devices, high=self.high * devices, level=self.level)


def idle_watts(hardware: Hardware) -> float:
    """Watts of a chip that has nothing to do; 0 where its TDP is unknown."""
    return IDLE_SHARE * hardware.power_watts


def dynamic_joules(cost: OpCost, hardware: Hardware) -> Any:
    """Energy of work itself, above what the chip draws anyway: FLOPs·e_FLOP + 8·bytes·e_bit.

    Args:
        cost: of a device, in FLOPs and bytes; sizes may be arrays.

    >>> from perfmodel.catalog import load_hardware
    >>> cost = OpCost(flops={("matrix", "bf16"): 1e12}, weight_bytes=1e9)
    >>> round(dynamic_joules(cost, load_hardware("h100-sxm")), 3)  # 1.6 J + 8e9 bit · 11 pJ
    1.688
    """
    matrix, vector, byte = _work_joules(hardware)
    joules = cost.bytes * byte + cost.link_bytes * (8 * LINK_BIT_JOULES)
    for (unit, dtype), value in cost.flops.items():
        joules = joules + value * (matrix * _WIDTH.get(dtype, 1.0) if unit == "matrix" else vector)
    return joules


@identity_cache(256)
def _work_joules(hardware: Hardware) -> tuple[float, float, float]:
    """Joules of a FLOP of a matrix unit in 16 bits, of one of a vector unit, and of a byte."""
    node = _node_factor(hardware)
    bit = memory_bit_joules(hardware.memory_type) + PATH_BIT_JOULES * node
    return FLOP_JOULES * node, ENERGY_PER_FLOP_JOULES.value * _NEWEST * node, 8 * bit


def memory_bit_joules(memory_type: str) -> float:
    """
    >>> memory_bit_joules("GDDR6X"), memory_bit_joules("DDR5-4800 x12")
    (7.25e-12, 1.7e-11)
    """
    known = [name for name in MEMORY_BIT_JOULES if memory_type.upper().startswith(name)]
    return MEMORY_BIT_JOULES[max(known, key=len)] if known else _OTHER_MEMORY


def power_watts(hardware: Hardware, dynamic_watts: Any, awake: Any = 1.0) -> Any:
    """Mean watts of a chip that is awake for a share of the time: never below idle, never above its TDP.

    Args:
        dynamic_watts: `dynamic_joules` per second, on the mean over the time that it is awake. awake: share of the
            time; else it idles. Both may be arrays.

    >>> from perfmodel.catalog import load_hardware
    >>> h100 = load_hardware("h100-sxm")
    >>> [round(float(power_watts(h100, watts))) for watts in (0, 200, 400, 4000)]
    [224, 424, 604, 700]
    >>> round(float(power_watts(h100, 0, awake=0)))
    77
    """
    tdp, idle = hardware.power_watts, idle_watts(hardware)
    if not tdp:
        return np.zeros_like(np.asarray(dynamic_watts, dtype=float))
    room = tdp - idle
    wanted = ((AWAKE_SHARE - IDLE_SHARE) * tdp + np.asarray(dynamic_watts, dtype=float)) / room
    return idle + awake * room * (wanted**-SHARPNESS + 1) ** (-1 / SHARPNESS)


def power_of(hardware: Hardware, dynamic_watts: float, *, awake: float = 1.0, level: float = 0.8) -> Power:
    """`power_watts` with its interval, which stays between idle and TDP.

    Args:
        level: share of unseen cases that the interval is meant to hold.
    """
    watts = float(power_watts(hardware, dynamic_watts, awake))
    spread = math.exp(half_width(hardware, level))
    return Power(
        watts=watts,
        low=max(watts / spread, min(idle_watts(hardware), watts)),
        high=min(watts * spread, hardware.power_watts),
        level=power_level(hardware),
    )


def power_level(hardware: Hardware) -> str:
    """What the watts of a chip stand on."""
    if hardware.kind != "gpu":
        return "datasheet"
    return "device" if hardware.family in MEASURED_FAMILIES else "family"


def half_width(hardware: Hardware, level: float) -> float:
    """Of the log of watts, normal errors taken."""
    from statistics import NormalDist

    return _HALF_WIDTHS[power_level(hardware)] * NormalDist().inv_cdf((1 + level) / 2) / _NORMAL_80


def _node_factor(hardware: Hardware) -> float:
    """Energy of an operation against that at 4-5 nm."""
    nanometres = hardware.process_nm or _UNKNOWN_NODE
    return next(value for lower, value in NODE_ENERGY if nanometres >= lower) / _NEWEST
