"""What a plan has to serve: the load and the limits. May import: errors, serving workload and traces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.trace_files import Trace
from perfmodel.serving.workload import MAX_TOKENS

MEAN = 0.0  # in place of a percentile
PERCENTILE = 95.0
SPREAD = 0.2  # of lengths, standard deviation over mean: users whose answers are all alike move in step
MOST_SPREAD = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A load and what its users are to see.

    Args:
        rate: requests per second that arrive at random, over all replicas; or concurrency: users who each have one
            request in flight. 0: the other one is given.
        input_tokens, output_tokens: of a request, on the mean.
        ttft_seconds, tpot_seconds, itl_seconds, e2e_seconds: limits on the time to the first token, per further token
            of an answer, between two tokens, and of a whole answer; 0: none.
        percentile: of requests (of gaps, for ITL) that keep each of them; `MEAN`: the means.
        spread: of lengths, lognormal, standard deviation over mean. trace: recorded lengths in their place, and
            arrivals, brought to `rate`, where it has times.

    Raises:
        InputError: all that contradicts itself at once.
    """

    rate: float = 0.0
    concurrency: float = 0.0
    input_tokens: int
    output_tokens: int
    ttft_seconds: float = 0.0
    tpot_seconds: float = 0.0
    itl_seconds: float = 0.0
    e2e_seconds: float = 0.0
    percentile: float = PERCENTILE
    spread: float = SPREAD
    trace: Trace | None = None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InputError("; ".join(problems))

    @property
    def limits(self) -> Mapping[str, float]:
        """Seconds by metric, of those that are limited."""
        return {metric: limit for metric, limit in _limits(self).items() if limit}

    @property
    def load(self) -> float:
        """Requests per second, or users."""
        return self.rate or self.concurrency

    @property
    def sizes(self) -> dict[str, int]:
        """Tokens of a request, by the names that serving has for them."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def traced_demand(trace: Trace, *, rate: float = 0.0, concurrency: float = 0.0, **limits: Any) -> Demand:
    """A demand with the lengths of a trace and, unless there are users or a rate, the rate of its own times.

    Args:
        limits: as `Demand`.

    Raises:
        InputError: a trace without times and without a load beside it, and all that contradicts itself.
    """
    if not rate and not concurrency:
        times = trace.arrival_seconds
        if times is None or len(times) < 2 or not times[-1] > 0:
            raise InputError(f"{trace.path} has no arrival times: give a rate or a concurrency beside it")
        rate = (len(times) - 1) / float(times[-1])
    prompts, answers = (max(round(float(np.mean(own))), 1) for own in (trace.input_tokens, trace.output_tokens))
    return Demand(
        trace=trace, rate=rate, concurrency=concurrency, input_tokens=prompts, output_tokens=answers, **limits
    )


def _limits(demand: Demand) -> dict[str, float]:
    return {
        "ttft": demand.ttft_seconds, "tpot": demand.tpot_seconds, "itl": demand.itl_seconds, "e2e": demand.e2e_seconds,
    }  # fmt: skip


def _problems(demand: Demand) -> Iterator[str]:
    loads, limits = {"rate": demand.rate, "concurrency": demand.concurrency}, _limits(demand)
    given = [name for name, value in loads.items() if value]
    if len(given) != 1:
        yield "give one load: a rate (requests per second) or a concurrency (requests in flight)" + (
            ", not both" if given else ""
        )
    for name, value in loads.items():
        if not (0 <= value < math.inf):
            yield f"{name} must be a positive number, not {value:g}"
    for name, count in demand.sizes.items():
        if not 1 <= count <= MAX_TOKENS:
            yield f"{name} must be at least 1 and at most {MAX_TOKENS:,}, not {count}"
    for name, value in limits.items():
        if not 0 <= value < math.inf:
            yield f"the limit on {name.upper()} must be above 0, not {value:g} s"
    if not any(limits.values()):
        yield "give a limit on TTFT, TPOT, ITL or E2E, or on several"
    for name in ("tpot", "itl"):
        if limits[name] and demand.output_tokens == 1:
            yield f"a limit on {name.upper()} contradicts answers of one token, which have no further ones"
    if 0 < demand.e2e_seconds <= demand.ttft_seconds and demand.output_tokens > 1:
        yield (
            f"the limits contradict each other: a whole answer within {demand.e2e_seconds:g} s has its first token "
            f"before that, so that {demand.ttft_seconds:g} s of TTFT limit nothing, raise the one or lower the other"
        )
    if not 0 <= demand.percentile < 100:
        yield f"percentile must lie between 0 and 100, not {demand.percentile:g}"
    if not 0 <= demand.spread <= MOST_SPREAD:
        yield f"the spread of lengths must lie between 0 and {MOST_SPREAD:g}, not {demand.spread:g}"
