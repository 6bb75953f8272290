"""What a simulation found: every request's times, and figures drawn from them.

    TTFT = first token − arrival        TPOT = (finish − first token)/(tokens − 1)        E2E = finish − arrival
    queue = start − arrival             gap = time between the tokens of neighbouring steps of one sequence

May import: errors, workload, simulation_settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.notebooks import notebook_html
from perfmodel.serving.simulation_settings import Objective
from perfmodel.serving.workload import Array, Counts

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
LATENCIES = ("ttft", "tpot", "e2e", "queue", "itl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The whole deployment over time, thinned to at most a few thousand moments; each array (m,).

    Args:
        running, waiting: requests. cache_share: of all KV blocks that hold running requests.
    """

    seconds: Array
    running: Array
    waiting: Array
    cache_share: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """The requests that were served, in the order of their arrival, and how the deployment fared.

    Args:
        arrival_seconds, start_seconds, first_token_seconds, finish_seconds: of each request, (n,).
        input_tokens, output_tokens: of each, answers cut to the context. replica: where its prompt was computed last.
        rejected: reason -> requests that could not be served at all. cut: answers shortened to the context.
        preemptions: caches lost for want of blocks. prefix_hits: prompts whose beginning was found in a cache.
        capacity_per_second: requests/s that the deployment answers when there are always some waiting.
        utilisation: arrivals, in a closed loop answers, per second over that rate.
        stable: the queue does not grow without end.
        running_mean: requests that run, on the mean. cache_mean, cache_max: shares of the KV blocks of all replicas.
        busy: share of time that replicas compute.
        gap_seconds, gap_counts: distribution of gaps: middle of each bin, and how many fell into it.
        workload: its name. notes: what to know.
    """

    arrival_seconds: Array
    start_seconds: Array
    first_token_seconds: Array
    finish_seconds: Array
    input_tokens: Counts
    output_tokens: Counts
    replica: Counts
    rejected: Mapping[str, int]
    cut: int
    preemptions: int
    prefix_hits: int
    capacity_per_second: float
    utilisation: float
    stable: bool
    running_mean: float
    cache_mean: float
    cache_max: float
    busy: float
    gap_seconds: Array
    gap_counts: Array
    timeline: Timeline
    objective: Objective
    workload: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    @property
    def wall_seconds(self) -> float:
        """From the first arrival to the last token."""
        return float(self.finish_seconds.max() - self.arrival_seconds[0])

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def latencies(result: SimulationResult, name: str) -> Array:
    """Seconds of each request: ttft, tpot (of answers with two tokens or more), e2e or queue."""
    if name == "ttft":
        return result.first_token_seconds - result.arrival_seconds
    if name == "e2e":
        return result.finish_seconds - result.arrival_seconds
    if name == "queue":
        return result.start_seconds - result.arrival_seconds
    several = result.output_tokens > 1
    decoding = result.finish_seconds[several] - result.first_token_seconds[several]
    return decoding / (result.output_tokens[several] - 1)


def percentiles(result: SimulationResult, name: str) -> dict[str, float] | None:
    """Mean and percentiles of a latency of `LATENCIES`; None where no request has it."""
    if name == "itl":
        return _gap_percentiles(result)
    values = latencies(result, name)
    if not len(values):
        return None
    found = np.percentile(values, list(PERCENTILES.values()))
    return {"mean": float(values.mean())} | dict(zip(PERCENTILES, map(float, found), strict=True))


def _gap_percentiles(result: SimulationResult) -> dict[str, float] | None:
    if not result.gap_counts.sum():
        return None
    return {"mean": gap_percentile(result, 0.0)} | {
        name: gap_percentile(result, percent) for name, percent in PERCENTILES.items()
    }


def gap_percentile(result: SimulationResult, percent: float) -> float:
    """Percentile of the time between two tokens of a sequence, or the mean for 0; 0 s where no answer has two."""
    total = float(result.gap_counts.sum())
    if not total:
        return 0.0
    if not percent:
        return float(result.gap_counts @ result.gap_seconds) / total
    below = np.cumsum(result.gap_counts) / total
    return float(result.gap_seconds[np.searchsorted(below, percent / 100 - 1e-12)])


def throughput(result: SimulationResult) -> dict[str, float]:
    """Requests and tokens per second, from the first arrival to the last token."""
    seconds = result.wall_seconds
    inputs, outputs = float(result.input_tokens.sum()), float(result.output_tokens.sum())
    return {
        "requests": len(result) / seconds,
        "input_tokens": inputs / seconds,
        "output_tokens": outputs / seconds,
        "tokens": (inputs + outputs) / seconds,
    }


def good_requests(result: SimulationResult) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each request kept its objective; one of a single token has no TPOT to keep."""
    objective = result.objective
    good = np.ones(len(result), dtype=bool)
    if objective.ttft_seconds is not None:
        good &= latencies(result, "ttft") <= objective.ttft_seconds
    if objective.tpot_seconds is not None:
        decoding = result.finish_seconds - result.first_token_seconds
        good &= decoding <= objective.tpot_seconds * (result.output_tokens - 1) * (1 + 1e-9)
    return good


def goodput(result: SimulationResult) -> dict[str, float] | None:
    """Requests/s that keep the objective, and their share of all, rejected ones included; None without an objective."""
    if result.objective == Objective():
        return None
    good = int(good_requests(result).sum())
    asked = len(result) + sum(result.rejected.values())
    return {"requests": good / result.wall_seconds, "share": good / asked}
