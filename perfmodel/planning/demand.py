"""What a plan has to serve: the load and the limits. May import: errors, serving settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from perfmodel.errors import InputError
from perfmodel.fitted_scopes import half_normal_quantile
from perfmodel.serving.standing import Knowledge

MEAN = 0.0  # in place of a percentile
PERCENTILE = 95.0
LEVEL = 0.8  # share of unseen cases that the half-widths are read at


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A load and what its users are to see.

    Args:
        rate: requests per second that arrive at random, over all replicas; or concurrency: users who each have one
            request in flight. 0: the other one is given.
        input_tokens, output_tokens: of a request, on the mean.
        ttft_seconds, tpot_seconds: limits; 0: none. percentile: of requests that keep each of them; `MEAN`: the means.

    Raises:
        InputError: all that contradicts itself at once.
    """

    rate: float = 0.0
    concurrency: float = 0.0
    input_tokens: int
    output_tokens: int
    ttft_seconds: float = 0.0
    tpot_seconds: float = 0.0
    percentile: float = PERCENTILE

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InputError("; ".join(problems))

    @property
    def limits(self) -> Mapping[str, float]:
        """Seconds by metric, of those that are limited."""
        found = {"ttft": self.ttft_seconds, "tpot": self.tpot_seconds}
        return {metric: limit for metric, limit in found.items() if limit}

    @property
    def load(self) -> float:
        """Requests per second, or users."""
        return self.rate or self.concurrency

    @property
    def sizes(self) -> dict[str, int]:
        """Tokens of a request, by the names that serving has for them."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def _problems(demand: Demand) -> Iterator[str]:
    loads = {"rate": demand.rate, "concurrency": demand.concurrency}
    given = [name for name, value in loads.items() if value]
    if len(given) != 1:
        yield "give one load: a rate (requests per second) or a concurrency (requests in flight)" + (
            ", not both" if given else ""
        )
    for name, value in loads.items():
        if not (0 <= value < math.inf):
            yield f"{name} must be a positive number, not {value:g}"
    for name, count in demand.sizes.items():
        if count < 1:
            yield f"{name} must be at least 1, not {count}"
    for name, value in (("ttft", demand.ttft_seconds), ("tpot", demand.tpot_seconds)):
        if not 0 <= value < math.inf:
            yield f"the limit on {name.upper()} must be above 0, not {value:g} s"
    if not demand.ttft_seconds and not demand.tpot_seconds:
        yield "give a limit on TTFT, on TPOT or on both"
    if demand.tpot_seconds and demand.output_tokens == 1:
        yield "a limit on TPOT contradicts answers of one token, which have no further ones"
    if not 0 <= demand.percentile < 100:
        yield f"percentile must lie between 0 and 100, not {demand.percentile:g}"


def confidence_of(seconds: Mapping[str, float], limits: Mapping[str, float], known: Knowledge, standing: str) -> float:
    """P(every mean keeps its limit), errors lognormal and independent.

        P = Π Φ(ln(limit / predicted) / σ),  σ = half-width(80 %) / 1.2816

    Args:
        seconds: predicted means by metric. limits: by metric. standing: the level that the half-widths are of.

    Source: the half-widths are conformal (`serving.standing`); that their errors are lognormal between them is assumed.

    >>> round(confidence_of({"tpot": 0.02}, {"tpot": 0.02}, Knowledge(), "datasheet"), 3)
    0.5
    >>> round(confidence_of({"tpot": 0.02}, {"tpot": 0.02 * math.exp(0.25)}, Knowledge(), "datasheet"), 3)
    0.9
    """
    sure = 1.0
    for metric, limit in limits.items():
        spread = known.half_width(standing, metric, LEVEL) / half_normal_quantile(LEVEL)
        sure *= NormalDist().cdf(math.log(limit / seconds[metric]) / spread)
    return sure
