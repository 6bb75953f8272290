"""A plan followed request by request: whether the percentile of its users keeps the limits, and the queue its length.

One replica is simulated under its share of the load: arrivals at random, as a router that draws replicas makes them,
which is no milder than one that deals requests out in turn; of a trace with times, every n-th request, as n replicas in
turn see it. May import: serving, confidence, demand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.errors import InputError
from perfmodel.fitted_scopes import half_normal_quantile
from perfmodel.planning.confidence import LEVEL, UTILISATION, chance_of_limits
from perfmodel.planning.demand import MEAN, Demand
from perfmodel.serving.deployment_simulation import simulate_deployment
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.simulation_result import SimulationResult, gap_percentile, latencies
from perfmodel.serving.standing import simulated_widths
from perfmodel.serving.trace_files import trace_workload
from perfmodel.serving.workload import CLOSED, Arrival, Workload, drawn_lengths, make_workload

LEAST_REQUESTS, MOST_REQUESTS = 2000, 100_000
TURNS = 10  # requests for each that is in flight on the mean
SETTLING = 0.2  # share of the requests, the first ones, that see a server fill up and are not counted
FULLEST = 0.95  # share of what a replica can answer; nearer to all of it, a draw of requests decides what grows
LEAST_TRACED = 100  # requests of a trace for each replica, below which a percentile means nothing
METRICS = ("ttft", "tpot", "itl", "e2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a simulation of a plan found.

    Args:
        seconds: the percentile that was asked for (or the mean) by metric: ttft, tpot, itl, e2e. means: of ttft, tpot.
        confidence: that it keeps all limits, with the errors of simulated means. stable: the queue does not grow.
        requests: that were followed. utilisation: of the rate that the deployment can answer. problem: "" if it holds.
    """

    seconds: Mapping[str, float]
    means: Mapping[str, float]
    confidence: float
    stable: bool
    requests: int
    utilisation: float
    problem: str


def confirm(
    deployment: Deployment, demand: Demand, replicas: int, *, in_flight: float, specs: str | None = None
) -> Confirmation:
    """Simulate one of several replicas of a deployment that share a load.

    Args:
        in_flight: requests in flight of all replicas that the closed form expects, which the length goes by.

    Raises:
        InputError: a trace that is too short for so many replicas.
    """
    workload = share_of(demand, replicas, requests_for(in_flight / replicas))
    result = simulate_deployment(
        deployment, workload, coefficients=load_engine_coefficients(deployment.engine.id, specs=specs)
    )
    seconds = {metric: _statistic(result, metric, demand.percentile) for metric in METRICS}
    means = {metric: _statistic(result, metric, MEAN) for metric in ("ttft", "tpot")}
    return Confirmation(
        seconds=seconds,
        means=means,
        confidence=_confidence(result, seconds, demand, deployment.engine.id, specs),
        stable=result.stable,
        requests=len(workload),
        utilisation=result.utilisation,
        problem=_problem(result, seconds, demand),
    )


def share_of(demand: Demand, replicas: int, requests: int) -> Workload:
    """The requests of one replica.

    Raises:
        InputError: a trace that is too short for so many replicas.
    """
    trace = demand.trace
    if trace is None:
        lengths = drawn_lengths(requests, demand.input_tokens, demand.output_tokens, spread=demand.spread, seed=0)
        return make_workload(arrival_of(demand, replicas), *lengths, seed=0)
    if demand.concurrency or trace.arrival_seconds is None:
        return trace_workload(trace, requests=requests, arrival=arrival_of(demand, replicas))
    whole = trace_workload(trace, rate=demand.rate)
    own = slice(0, None, replicas)
    if len(whole) < LEAST_TRACED * replicas:
        raise InputError(
            f"{trace.path} has {len(whole):,} requests, fewer than {LEAST_TRACED} for each of {replicas} replicas "
            "(without its times, and with a rate, requests are drawn from it)"
        )
    return replace(
        whole,
        arrival_seconds=whole.arrival_seconds[own][:MOST_REQUESTS],
        input_tokens=whole.input_tokens[own][:MOST_REQUESTS],
        output_tokens=whole.output_tokens[own][:MOST_REQUESTS],
    )


def arrival_of(demand: Demand, replicas: int) -> Arrival:
    """How requests reach one replica, whole users at least as many as its share."""
    if demand.concurrency:
        return Arrival(process=CLOSED, users=math.ceil(demand.concurrency / replicas))
    return Arrival(rate=demand.rate / replicas)


def requests_for(in_flight: float) -> int:
    """Requests of a simulation: enough that most see a server that has filled up."""
    return int(np.clip(TURNS * in_flight, LEAST_REQUESTS, MOST_REQUESTS))


def statistic_name(percentile: float) -> str:
    """`P95` or `mean`."""
    return "mean" if percentile == MEAN else f"P{percentile:g}"


def _statistic(result: SimulationResult, metric: str, percentile: float) -> float:
    if metric == "itl":
        return gap_percentile(result, percentile)
    values = latencies(result, metric)
    settled = values[int(SETTLING * len(values)) :]
    if not len(settled):
        return 0.0  # answers of one token have no TPOT
    return float(settled.mean() if percentile == MEAN else np.percentile(settled, percentile))


def _confidence(
    result: SimulationResult, seconds: Mapping[str, float], demand: Demand, engine: str, specs: str | None
) -> float:
    widths = simulated_widths(engine, share=LEVEL, specs=specs).widths
    errors = {metric: width / half_normal_quantile(LEVEL) for metric, width in widths.items()}
    # in a closed loop users wait, and the queue cannot grow
    load = {} if demand.concurrency else {UTILISATION: max(result.utilisation, 1e-9)}
    known = {metric: max(seconds[metric], 1e-9) for metric in demand.limits}
    first = _statistic(result, "ttft", MEAN) / _statistic(result, "e2e", MEAN)
    return chance_of_limits(known | load, demand.limits, errors, first)


def _problem(result: SimulationResult, seconds: Mapping[str, float], demand: Demand) -> str:
    if result.rejected:
        return f"the simulation turns requests away ({', '.join(result.rejected)})"
    if not result.stable:
        return "the simulation is not stable: more requests arrive than are answered"
    if not demand.concurrency and result.utilisation > FULLEST:
        return f"the simulation uses {result.utilisation:.0%} of what can be answered, more than {FULLEST:.0%}"
    broken = [
        f"{metric.upper()} {statistic_name(demand.percentile)} of {seconds[metric]:.3g} s"
        for metric, limit in demand.limits.items()
        if seconds[metric] > limit
    ]
    return f"{' and '.join(broken)} in the simulation" if broken else ""
