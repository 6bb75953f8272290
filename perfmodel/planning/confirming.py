"""A plan followed request by request: whether the percentile of its users keeps the limits, and the queue its length.

One replica is simulated under its share of the load: arrivals at random, as a router that draws replicas makes them,
which is no milder than one that deals requests out in turn. May import: serving, demand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perfmodel.planning.demand import MEAN, Demand
from perfmodel.serving.deployment_simulation import simulate_deployment
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.simulation_result import SimulationResult, latencies
from perfmodel.serving.workload import CLOSED, Arrival, drawn_lengths, make_workload

LEAST_REQUESTS, MOST_REQUESTS = 2000, 100_000
TURNS = 10  # requests for each that is in flight on the mean
SETTLING = 0.2  # share of the requests, the first ones, that see a server fill up and are not counted
SPREAD = 0.2  # of lengths, standard deviation over mean: users whose answers are all alike move in step


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a simulation of a plan found.

    Args:
        seconds: the percentile that was asked for (or the mean) by metric. stable: the queue does not grow.
        requests: that were followed. utilisation: of the rate that the deployment can answer. problem: "" if it holds.
    """

    seconds: Mapping[str, float]
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
    """
    requests = requests_for(in_flight / replicas)
    arrival = arrival_of(demand, replicas)
    lengths = drawn_lengths(requests, demand.input_tokens, demand.output_tokens, spread=SPREAD, seed=0)
    result = simulate_deployment(
        deployment,
        make_workload(arrival, *lengths, seed=0),
        coefficients=load_engine_coefficients(deployment.engine.id, specs=specs),
    )
    seconds = {metric: _statistic(result, metric, demand.percentile) for metric in ("ttft", "tpot")}
    return Confirmation(
        seconds=seconds,
        stable=result.stable,
        requests=requests,
        utilisation=result.utilisation,
        problem=_problem(result, seconds, demand),
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
    values = latencies(result, metric)
    settled = values[int(SETTLING * len(values)) :]
    if not len(settled):
        return 0.0  # answers of one token have no TPOT
    return float(settled.mean() if percentile == MEAN else np.percentile(settled, percentile))


def _problem(result: SimulationResult, seconds: Mapping[str, float], demand: Demand) -> str:
    if result.rejected:
        return f"the simulation turns requests away ({', '.join(result.rejected)})"
    if not result.stable:
        return "the simulation is not stable: more requests arrive than are answered"
    broken = [
        f"{metric.upper()} {statistic_name(demand.percentile)} of {seconds[metric]:.3g} s"
        for metric, limit in demand.limits.items()
        if seconds[metric] > limit
    ]
    return f"{' and '.join(broken)} in the simulation" if broken else ""
