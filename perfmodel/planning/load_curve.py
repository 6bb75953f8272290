"""Latencies of one replica over its load, and the largest load that keeps limits.

    curve = load_curve(deployment, demand)      one evaluation of the closed form, for all loads
    most = largest_share(curve, demand.limits)  requests/s (or users) of one replica
    replicas = ceil(load / most)

Replicas share the load evenly, so that the state of n of them at a load is that of one at a share of it. May import:
serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.planning.demand import Demand
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.known_effects import UNSTATED, effective_users, effects_of, moved_latencies, slowdown
from perfmodel.serving.servers import server_of
from perfmodel.serving.standing import Knowledge
from perfmodel.serving.steady_answers import Server, SteadyState, fixed_concurrency, open_curve
from perfmodel.serving.step_table import Array

POINTS = 64
LEAST_USERS = 0.02  # requests in flight of a replica that hardly has any
NEARLY = 0.99  # of the places: the last point that has a steady state
BEYOND_CAPACITY = 2.0  # users that wait for a place have long left any limit
CAPACITY = "capacity"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCurve:
    """One replica.

    Args:
        load: requests per second or users, ascending. seconds: means at each by metric (ttft, tpot, itl, e2e), infinite
            where there is no steady state. most: load that is sustained (of users: that have a place).
        bounds: seconds of a request alone that no software can be below.
    """

    load: Array
    seconds: Mapping[str, Array]
    bounds: Mapping[str, float]
    most: float
    known: Knowledge
    standing: str

    def at(self, load: float) -> dict[str, float]:
        """Mean seconds by metric; infinite beyond the curve."""
        return {metric: float(np.interp(load, self.load, own, right=np.inf)) for metric, own in self.seconds.items()}


def load_curve(deployment: Deployment, demand: Demand, *, specs: str | None = None) -> LoadCurve | None:
    """The curve of one replica; None where not one request fits.

    Args:
        demand: whose load is a rate or users, of the lengths that it has.
    """
    server = server_of(deployment, specs=specs)
    room = float(server.sequences(demand.input_tokens + demand.output_tokens / 2))
    if room < 1:
        return None
    if demand.concurrency:
        return _of_users(deployment, server, demand, room, specs)
    return _of_rates(deployment, server, demand, room, specs)


def _of_users(deployment: Deployment, server: Server, demand: Demand, room: float, specs: str | None) -> LoadCurve:
    most = room * server.groups
    users = np.geomspace(1.0, max(BEYOND_CAPACITY * most, 2.0), POINTS)
    state = fixed_concurrency(server, concurrency=users, **demand.sizes)
    factors, standing, known = effects_of(
        deployment, effective_users(state, 1), demand.sizes, UNSTATED, False, specs=specs
    )
    seconds, bounds = _seconds(deployment, server, demand, state, factors)
    return LoadCurve(load=users, seconds=seconds, bounds=bounds, most=most, known=known, standing=standing)


def _of_rates(deployment: Deployment, server: Server, demand: Demand, room: float, specs: str | None) -> LoadCurve:
    users = np.append(np.geomspace(LEAST_USERS, NEARLY * room, POINTS - 1), room)
    state = open_curve(server, users=users, **demand.sizes)
    rates = np.maximum.accumulate(state.requests_per_second)
    places = np.append(effective_users(state, 1)[:-1], room * server.groups)
    factors, standing, known = effects_of(deployment, places, demand.sizes, UNSTATED, False, specs=specs)
    slower = float(slowdown(server, {metric: own[-1:] for metric, own in factors.items()}, demand.sizes)[0])
    # what is known of the server moves its highest rate, and each load stands at the same share of it; the effects
    # are those of the users that the load would have without
    real = rates / slower
    moved = {metric: np.interp(real, rates, own) for metric, own in factors.items()}
    seconds, bounds = _seconds(deployment, server, demand, state, moved)
    endless = np.where(state.stable, 0.0, np.inf)
    return LoadCurve(
        load=real, seconds={metric: own + endless for metric, own in seconds.items()}, bounds=bounds,
        most=float(real[-1]), known=known, standing=standing,
    )  # fmt: skip


def _seconds(
    deployment: Deployment, server: Server, demand: Demand, state: SteadyState, factors: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, float]]:
    """(means by metric, none below what the chip can do; those bounds of a request alone)."""
    found, floors = moved_latencies(deployment, server, state, demand.sizes, factors)
    whole = ({metric: own[0] for metric, own in floors.items()}, found)
    bounds, seconds = (of_answers(own["ttft"], own["tpot"], demand.output_tokens) for own in whole)
    return seconds, {metric: float(own) for metric, own in bounds.items()}


def of_answers(ttft: Any, tpot: Any, output_tokens: int) -> dict[str, Any]:
    """Means by metric: those between tokens of a sequence (ITL) are as long as those per token of an answer."""
    return {"ttft": ttft, "tpot": tpot, "itl": tpot, "e2e": ttft + (output_tokens - 1) * tpot}


def largest_share(curve: LoadCurve, limits: Mapping[str, float]) -> tuple[float, str]:
    """(load that one replica carries within the limits, what ends it: ttft, tpot or capacity); 0 where none."""
    ends = {metric: _crossing(curve.load, curve.seconds[metric], limit) for metric, limit in limits.items()}
    metric = min(ends, key=lambda name: ends[name])
    # a wait for a place, or a queue without end, shows in first tokens, but it is room that lacks
    return ends[metric], CAPACITY if ends[metric] >= min(curve.most, float(curve.load[-2])) else metric


def _crossing(load: Array, seconds: Array, limit: float) -> float:
    above = np.flatnonzero(~(seconds <= limit))
    if not len(above):
        return float(load[-1])
    first = int(above[0])
    if not first:
        return 0.0
    low, high = float(seconds[first - 1]), float(seconds[first])
    share = (limit - low) / (high - low) if np.isfinite(high) else 0.0
    return float(load[first - 1] + share * (load[first] - load[first - 1]))
