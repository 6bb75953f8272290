"""The fewest replicas of a candidate by the closed form, or what it fails by.

    candidate ─deploy▶ load curve ─limits▶ replicas

May import: planning candidates, demand, load_curve, plans; serving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from perfmodel.economics import Site
from perfmodel.errors import PerfmodelError
from perfmodel.planning.candidates import Candidate, refusal
from perfmodel.planning.confidence import chance_of_limits, log_errors
from perfmodel.planning.demand import Demand
from perfmodel.planning.load_curve import LoadCurve, largest_share, load_curve
from perfmodel.planning.plans import CONTEXT, MAX_GPUS, MEMORY, REFUSED, Plan, Rejected
from perfmodel.serving.deployments import Deployment, deploy, room_of
from perfmodel.serving.latency_intervals import Latency
from perfmodel.serving.power_use import serving_power
from perfmodel.serving.servers import check_context

MOST_REPLICAS = 4096
Weights: TypeAlias = dict[tuple[object, ...], float]


def size_all(
    candidates: Sequence[Candidate], demand: Demand, max_gpus: int, site: Site, specs: str | None,
    told: Callable[[int], None] = lambda done: None,
) -> list[Plan | Rejected]:  # fmt: skip
    """Each candidate's plan by the closed form, or why it has none; in their order.

    Args:
        max_gpus: of a plan; 0: any number. site: where the devices of plans stand. told: how many are done, before
            each.
    """
    weights: Weights = {}
    found: list[Plan | Rejected] = []
    for place, candidate in enumerate(candidates):
        told(place)
        own = _size(candidate, demand, max_gpus, weights, specs)
        found.append(replace(own, site=site) if isinstance(own, Plan) else own)
    return found


def deployed(candidate: Candidate, specs: str | None) -> Deployment:
    """A replica of a candidate.

    Raises:
        PerfmodelError: a layout or precision that cannot be.
    """
    return deploy(
        candidate.model, candidate.hardware, engine=candidate.engine, precision=candidate.precision,
        layout=candidate.layout, specs=specs,
    )  # fmt: skip


def _size(candidate: Candidate, demand: Demand, max_gpus: int, weights: Weights, specs: str | None) -> Plan | Rejected:
    def left_out(binding: str, reason: str, bound: float = 0.0) -> Rejected:
        return Rejected(candidate=candidate, binding=binding, reason=reason, bound=bound)

    if reason := refusal(candidate):
        return left_out(REFUSED, reason)
    if reason := _too_heavy(candidate, weights):
        return left_out(MEMORY, reason)
    own = (candidate.model, candidate.hardware, candidate.engine, candidate.precision, candidate.layout)
    try:
        capacity, reason = room_of(*own)
        weights[_weights_key(candidate)] = capacity.parts["weights"]
        if reason:
            return left_out(MEMORY, reason)
        deployment = deployed(candidate, specs)
    except PerfmodelError as error:
        return left_out(REFUSED, f"refused: {error}")
    try:
        check_context(deployment, **demand.sizes)
    except PerfmodelError as error:
        return left_out(CONTEXT, str(error))
    curve = load_curve(deployment, demand, specs=specs)
    if curve is None:
        return left_out(MEMORY, "does not fit: the weights leave no room for the cache of one request")
    share, binding = largest_share(curve, demand.limits)
    replicas = math.ceil(demand.load / share * (1 - 1e-12)) if share else MOST_REPLICAS
    if not share or (demand.concurrency and replicas > demand.concurrency):
        binding, reason = _too_slow(curve, demand, binding)
        return left_out(binding, reason, curve.bounds[binding])
    if replicas > MOST_REPLICAS:
        return left_out(MAX_GPUS, f"too many devices: {replicas:,} replicas, more than {MOST_REPLICAS:,}")
    if reason := too_many(replicas * candidate.layout.devices, max_gpus, "by the closed form"):
        return left_out(MAX_GPUS, reason)
    return _plan_at(candidate, deployment, demand, curve, replicas, share, binding)


def _weights_key(candidate: Candidate) -> tuple[object, ...]:
    """What the weights of a device depend on: chips with fp4 keep some in other formats."""
    chip = candidate.hardware
    return (id(candidate.model), candidate.precision, candidate.layout, chip.native)


def _too_heavy(candidate: Candidate, weights: Weights) -> str:
    """What cannot fit before anything of it is computed: the weights of a device are known from another chip."""
    need, have = weights.get(_weights_key(candidate), 0.0) / 2**30, candidate.hardware.memory_bytes / 2**30
    return f"does not fit: weights alone take {need:.1f} of the {have:.0f} GiB of each device" if need > have else ""


def _plan_at(
    candidate: Candidate, deployment: Deployment, demand: Demand, curve: LoadCurve, replicas: int, share: float,
    binding: str,
) -> Plan:  # fmt: skip
    seconds = curve.at(demand.load / replicas)
    errors = log_errors(curve.known, curve.standing)
    first = seconds["ttft"] / seconds["e2e"]
    answered = demand.rate or demand.concurrency / seconds["e2e"]
    power = serving_power(
        deployment, ttft=seconds["ttft"], tpot=seconds["tpot"], requests_per_second=answered,
        closed=bool(demand.concurrency), replicas=replicas, **demand.sizes,
    )  # fmt: skip
    return Plan(
        candidate=candidate,
        replicas=replicas,
        latencies={metric: _interval(curve, metric, seconds[metric]) for metric in ("ttft", "tpot")},
        standing=curve.standing,
        confidence=chance_of_limits(seconds, demand.limits, errors, first),
        binding=binding,
        most=replicas * share,
        headroom=replicas * share / demand.load,
        requests_per_second=answered,
        input_tokens=demand.input_tokens,
        output_tokens=demand.output_tokens,
        curve=curve,
        power=power,
    )


def _interval(curve: LoadCurve, metric: str, seconds: float) -> Latency:
    wide = math.exp(curve.known.half_width(curve.standing, metric, 0.8))
    return Latency(seconds=seconds, low=max(seconds / wide, curve.bounds[metric]), high=seconds * wide)


def _too_slow(curve: LoadCurve, demand: Demand, binding: str) -> tuple[str, str]:
    """(the metric that fails most, why)."""
    alone = {metric: float(curve.seconds[metric][0]) for metric in demand.limits}
    broken = {metric: alone[metric] / limit for metric, limit in demand.limits.items() if not alone[metric] <= limit}
    if not broken:
        metric = binding if binding in demand.limits else next(iter(demand.limits))
        return metric, "too slow: even for one request alone the means are at the limits"
    worst = max(broken, key=lambda metric: broken[metric])
    words = ", ".join(f"{metric.upper()} is {alone[metric]:.3g} s" for metric in broken)
    reason = f"too slow: even for one request alone {words}"
    if curve.bounds[worst] > demand.limits[worst]:
        reason += f"; no software can be below {curve.bounds[worst]:.3g} s of {worst.upper()} there"
    return worst, reason


def too_many(gpus: int, max_gpus: int, why: str) -> str:
    """Why so many devices are refused; "" if they are not."""
    return f"too many devices: {gpus}, more than {max_gpus} ({why})" if max_gpus and gpus > max_gpus else ""
