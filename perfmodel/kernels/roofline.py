"""The form all kernel times share: launch + p-norm of compute time and memory time.

    t = t0 + (Tc^p + Tm^p)^(1/p)

With p → ∞ compute and memory overlap fully (the classic roofline, Williams et al. 2009); with p = 1 they add. Each
formula returns the time split into what it is spent on; for this form the split is also the sensitivity:
∂t/∂log Tc = share of Tc, so the spread of a coefficient turns into the spread of a time without any sampling.

May import: coefficients, arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.coefficients import Coefficient

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Sensitivities: TypeAlias = tuple[tuple[Coefficient, Array], ...]
PLAIN_POWER = 8  # up to which powers of seconds stay within the range of numbers
TINY = 1e-30  # seconds; in place of 0 where something is divided by them
_TINY_POWER = 1e-300


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Times of a group of ops, arrays of shape (ops, configurations), split by what they are spent on.

    Args:
        compute_seconds, memory_seconds, overhead_seconds, network_seconds: they add up to the time.
        derive: gives `sensitivities`, which take as long as the times, and which calibrated intervals do not need.
    """

    compute_seconds: Array
    memory_seconds: Array
    overhead_seconds: Array
    derive: Callable[[], Sensitivities]
    network_seconds: Array | float = 0.0  # only collectives use the links

    @property
    def sensitivities(self) -> Sensitivities:
        """Coefficient -> ∂t/∂log(coefficient), in seconds; below 0 where more of it makes the op faster."""
        return self.derive()

    @property
    def seconds(self) -> Array:
        return self.compute_seconds + self.memory_seconds + self.overhead_seconds + self.network_seconds


def split_p_norm(compute_seconds: Array, memory_seconds: Array, p: float) -> tuple[Array, Array]:
    """(Tc^p + Tm^p)^(1/p), split into the shares of compute and memory; never below either of them.

    >>> [float(part) for part in split_p_norm(np.array(3.0), np.array(4.0), 2.0)]  # 5 = 1.8 + 3.2
    [1.8, 3.2]
    """
    if p > PLAIN_POWER:
        larger = np.maximum(np.maximum(compute_seconds, memory_seconds), TINY)
        parts = _split(compute_seconds / larger, memory_seconds / larger, p)
        return parts[0] * larger, parts[1] * larger
    return _split(compute_seconds, memory_seconds, p)


def _split(compute_seconds: Array, memory_seconds: Array, p: float) -> tuple[Array, Array]:
    compute_power, memory_power = compute_seconds**p, memory_seconds**p
    total = np.maximum(compute_power + memory_power, _TINY_POWER)
    scale = total ** (1 / p) / total
    return compute_power * scale, memory_power * scale
