"""How unlike two chips are, for choosing what to go by where nothing was measured on the chip itself.

    1. an architecture family of its own: another microarchitecture has other kernels and other ways to memory
    2. precisions that one executes itself and the other does not: other instruction sets have other code paths
    3. |log2 of cores| + |log2 of vector FLOP/s per core|: how far the same code scales, and the width of its vectors

Compared in this order, a later one only where the earlier ones are equal. Whole models in fp32 on two machines
(calibration/measurements/, 19 models on a zen4 and a zen5 CPU, one core and two): the fit of the other number of cores
of the same family was off by 6 to 12 % in the median, that of the other family with as many cores by 21 to 39 %. What
the second and the third decide elsewhere is a guess. May import: types.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from perfmodel.types import Hardware

Unlikeness: TypeAlias = tuple[int, int, float]  # the less, the closer
STRANGER: Unlikeness = (2, 0, math.inf)  # a chip of which nothing is known


def unlikeness(one: Hardware, other: Hardware) -> Unlikeness:
    """How far apart two chips are; symmetric, (0, 0, 0.0) for a chip and itself."""
    return (
        int(one.family != other.family),
        len(set(one.native) ^ set(other.native)),
        _doublings(one.cores, other.cores) + _doublings(_core_rate(one), _core_rate(other)),
    )


def _core_rate(chip: Hardware) -> float:
    return chip.peaks.get(("vector", "fp32"), 0.0) / max(chip.cores, 1)


def _doublings(one: float, other: float) -> float:
    """|log2| of a ratio; infinite where one of the two is not known."""
    return math.log2(max(one, other) / min(one, other)) if one > 0 and other > 0 else math.inf
