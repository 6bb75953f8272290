"""A server along its load: TTFT, TPOT and throughput with their intervals, and where it is saturated.

Each point is what `predict_serving` answers at that load; the deployment is made once, and the closed form evaluated
for all loads together. Rates that nobody named are those that keep a given number of users in flight: nothing has to be
searched for them, and users are read from a fine curve. May import: serving.prediction and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.known_effects import UNSTATED, effective_users, effects_of, moved_latencies, slowdown
from perfmodel.serving.latency_intervals import Latency, half_widths, latencies_at, with_intervals
from perfmodel.serving.prediction import throughput_of
from perfmodel.serving.servers import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, open_server
from perfmodel.serving.standing import Knowledge
from perfmodel.serving.steady_answers import Over, Server, SteadyState, highest_rate, open_curve, state_at
from perfmodel.serving.step_table import Array
from perfmodel.types import Hardware, Model

BEYOND = 2.0  # times the places, to which users are followed unless told
MOST_USERS = 1 << 20
FIRST, NEARLY = 0.02, 0.99  # of the highest rate: the first and the last point, unless told
FINE, LEAST_USERS = 256, 0.01  # points of the curve that users are read from, and of a rank where it begins


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCurve:
    """A deployment at many loads, in their order.

    Args:
        over: what loads are: concurrency (requests in flight) or rate (requests per second), over all replicas.
        latencies: means with their intervals by metric, as `ServingPrediction` has them. throughput: by name.
        stable: whether there is a steady state. capacity: sequences that can run at once. highest_rate: requests per
            second that are sustained: where the server is saturated.
    """

    deployment: Deployment
    over: Over
    loads: Array
    latencies: tuple[Mapping[str, Latency], ...]
    throughput: tuple[Mapping[str, float], ...]
    stable: np.ndarray[Any, np.dtype[np.bool_]]
    capacity: float
    highest_rate: float
    standing: str
    level: float
    input_tokens: int
    output_tokens: int


def serving_curve(
    model: str | Model,
    hardware: str | Hardware,
    *,
    over: Over = "concurrency",
    loads: Array | None = None,
    points: int = 32,
    engine: str | EnginePolicy = "vllm",
    input_tokens: int = DEFAULT_INPUT_TOKENS,
    output_tokens: int = DEFAULT_OUTPUT_TOKENS,
    precision: str | None = None,
    cache_precision: str | None = None,
    layout: Layout | None = None,
    drafts: int = 0,
    replicas: int = 1,
    version: str = UNSTATED,
    level: float = 0.8,
    strict: bool = False,
    specs: str | None = None,
) -> ServingCurve:
    """Mean latencies and throughput of a server over its load.

    Args:
        loads: at least one, above 0; None for `points` of them: users from one to twice the places, or rates
            up to nearly the highest.
        engine and all further ones: as `predict_serving`.

    Raises:
        PerfmodelError: bad input; a request longer than the model's context.

    >>> curve = serving_curve("llama-3.1-8b", "h100-sxm", loads=np.array([1.0, 64.0]))
    >>> slow, fast = (own["output_tokens"] for own in curve.throughput)
    >>> 20 < fast / slow < 64
    True
    """
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    deployment, server = open_server(
        model, hardware, engine=engine, precision=precision, cache_precision=cache_precision, layout=layout,
        drafts=drafts, replicas=replicas, level=level, strict=strict, specs=specs, **sizes,
    )  # fmt: skip
    top = float(highest_rate(server, **sizes)[0])
    places = _places(server, sizes)

    def moved_by(state: SteadyState) -> tuple[dict[str, Array], str, Knowledge]:
        """Effects at each load, and where every place is taken."""
        users = np.append(effective_users(state, replicas), max(places * server.groups, 1.0) / replicas)
        return effects_of(deployment, users, sizes, version, bool(drafts), specs=specs)

    def slower_by(factors: Mapping[str, Array]) -> float:
        return float(slowdown(server, {metric: own[-1:] for metric, own in factors.items()}, sizes)[0]) if top else 1.0

    if over == "rate" and loads is None and places >= 1:
        rates, users = _fine_curve(server, places, sizes)
        wanted = np.linspace(FIRST, NEARLY, points) * rates[-1]
        state = open_curve(server, users=np.interp(wanted, rates, users), **sizes)
        slower = slower_by(moved_by(state)[0])
        at = state.requests_per_second / slower
        # effects are those of the users that the load would have without
        factors, standing, known = moved_by(open_curve(server, users=np.interp(at, rates, users), **sizes))
    else:
        at = _loads(over, places * server.groups, points) if loads is None else loads
        state = state_at(server, over, at, **sizes)
        factors, standing, known = moved_by(state)
        slower = slower_by(factors)
        if over == "rate" and slower != 1.0:  # the load stands at the same share of the highest rate
            state = state_at(server, over, at * slower, **sizes)
    own_factors = {metric: own[:-1] for metric, own in factors.items()}
    found, floors = moved_latencies(deployment, server, state, sizes, own_factors)
    ends = with_intervals(found, floors, half_widths(known, standing, level), output_tokens)
    latencies = tuple(latencies_at(ends, place) for place in range(len(at)))
    requests = np.minimum(at, top / slower) if over == "rate" else at / ends["e2e"][0]
    devices = deployment.layout.devices * replicas
    throughput = tuple(throughput_of(float(own), devices, output_tokens) for own in requests)
    return ServingCurve(
        deployment=deployment,
        over=over,
        loads=at,
        latencies=latencies,
        throughput=throughput,
        stable=state.stable,
        capacity=places * server.groups,
        highest_rate=top / slower,
        standing=standing,
        level=level,
        **sizes,
    )


def _places(server: Server, sizes: Mapping[str, int]) -> float:
    """Sequences that one rank can run at once; below 1 where none fits."""
    return float(server.sequences(sizes["input_tokens"] + sizes["output_tokens"] / 2))


def _fine_curve(server: Server, places: float, sizes: Mapping[str, int]) -> tuple[Array, Array]:
    """(requests per second of all ranks, ascending; users of one rank that they keep in flight)."""
    users = np.append(np.geomspace(LEAST_USERS, 0.99 * places, FINE - 1), places)
    state = open_curve(server, users=users, **sizes)
    return np.maximum.accumulate(state.requests_per_second), users


def _loads(over: Over, places: float, points: int) -> Array:
    """From hardly any load to beyond what the server carries."""
    if over == "rate":  # nothing fits: all rates are alike
        return np.linspace(FIRST, NEARLY, points)
    return np.unique(np.rint(np.geomspace(1.0, min(max(BEYOND * places, 4.0), MOST_USERS), points)))
