"""What the latencies of a request are made of, server or not, in parts that can be compared.

    TTFT = sum of its parts,  TPOT = sum of its parts,  E2E = TTFT + (tokens - 1) * TPOT

Parts have the same names for a server and for a batch alone, so that any two requests can be put side by side:

    B - A = sum over the parts of (b_i - a_i)

May import: errors. To add a part: a name here, and where it comes from in static_latencies.py or
serving/latency_parts.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.errors import InputError

WEIGHTS, COMPUTE, CACHE, ATTENTION = "weights read", "matrix compute", "KV cache read", "attention compute"
COLLECTIVES, OTHERS, STARTS = "collectives", "other kernels", "kernel starts"
FIRST, FURTHER = "first token", "further tokens"
METRICS = ("ttft", "tpot", "e2e")
SAME = 1e-9  # relative difference that is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A latency, its interval, and the parts that add up to it, in seconds."""

    seconds: float
    low: float
    high: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seconds of a part on both sides; 0 where a side has none."""

    name: str
    a: float
    b: float

    @property
    def difference_seconds(self) -> float:
        """What B takes more than A."""
        return self.b - self.a


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyComparison:
    """A latency on both sides; parts by their difference, the largest first."""

    metric: str
    a: Made
    b: Made
    parts: tuple[Part, ...]

    @property
    def difference_seconds(self) -> float:
        """What B takes more than A."""
        return self.b.seconds - self.a.seconds

    @property
    def ratio(self) -> float:
        """B over A."""
        return self.b.seconds / self.a.seconds

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """Of B over A, if the errors of the two have nothing in common: half-widths in logarithms add as squares."""
        a, b = self.a, self.b
        low = math.hypot(math.log(b.seconds / b.low), math.log(a.high / a.seconds))
        high = math.hypot(math.log(b.high / b.seconds), math.log(a.seconds / a.low))
        return self.ratio * math.exp(-low), self.ratio * math.exp(high)

    @property
    def same(self) -> bool:
        """Whether nothing differs, rounding apart."""
        limit = SAME * max(self.a.seconds, self.b.seconds)
        return all(abs(part.difference_seconds) <= limit for part in self.parts)


def compare_latencies(a: Mapping[str, Made], b: Mapping[str, Made]) -> tuple[LatencyComparison, ...]:
    """Each latency that both sides have, A beside B.

    Args:
        a, b: by metric (`METRICS`), from `static_latencies` or `serving.latency_parts.served_latencies`.

    Raises:
        InputError: a latency that is infinite: a server without a steady state.

    >>> one = {"tpot": Made(seconds=3.0, low=2.0, high=4.0, parts={"weights read": 2.0, "collectives": 1.0})}
    >>> two = {"tpot": Made(seconds=4.0, low=3.0, high=5.0, parts={"weights read": 1.0, "collectives": 3.0})}
    >>> (found,) = compare_latencies(one, two)
    >>> [(part.name, part.difference_seconds) for part in found.parts]
    [('collectives', 2.0), ('weights read', -1.0)]
    """
    for side, made in (("A", a), ("B", b)):
        if not all(math.isfinite(each.seconds) for each in made.values()):
            raise InputError(
                f"{side} has no steady state at this load: its latencies have no end, and nothing compares"
            )
    return tuple(_compare(metric, a[metric], b[metric]) for metric in METRICS if metric in a and metric in b)


def _compare(metric: str, a: Made, b: Made) -> LatencyComparison:
    names = dict.fromkeys((*a.parts, *b.parts))
    parts = [Part(name=name, a=a.parts.get(name, 0.0), b=b.parts.get(name, 0.0)) for name in names]
    ranked = tuple(sorted(parts, key=lambda part: -abs(part.difference_seconds)))
    return LatencyComparison(metric=metric, a=a, b=b, parts=ranked)


def whole_latency(ttft: Made, tpot: Made, output_tokens: int, low: float, high: float) -> Made:
    """E2E of a request: its first token, and those behind it."""
    further = max(output_tokens - 1, 0) * tpot.seconds
    return Made(seconds=ttft.seconds + further, low=low, high=high, parts={FIRST: ttft.seconds, FURTHER: further})
