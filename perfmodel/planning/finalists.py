"""The best plans, confirmed by simulation: each gets replicas until its percentiles keep the limits.

The closed form alone gives each candidate the fewest replicas it can have. So candidates are taken in the order of
their rank; one that was not simulated is, gets replicas until its percentiles keep the limits, and goes back to the
place that it then has. The first few that come up again are the best plans. May import: planning sizing, confirming.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace

from perfmodel.errors import PerfmodelError
from perfmodel.planning.confidence import chance_of_limits, log_errors
from perfmodel.planning.confirming import Confirmation, confirm
from perfmodel.planning.demand import Demand
from perfmodel.planning.plans import MAX_GPUS, UNSTABLE, Plan, Rejected, rank
from perfmodel.planning.sizing import deployed, too_many
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from perfmodel.serving.standing import knowledge_of

CONFIRMED = 3  # plans, the best ones
MOST_SIMULATED = 16  # candidates; beyond, plans stand on the closed form alone
TRIES = 12  # numbers of replicas of one candidate that are simulated
LEFT = 0.75  # share of the simulations that is left after one of them: how many there will be, none knows
STEP = 0.05  # of the replicas, that are added where those do not do


def confirmed(
    plans: Sequence[Plan], demand: Demand, max_gpus: int, order: str, specs: str | None,
    told: Callable[[str, float], None] = lambda text, share: None,
) -> tuple[list[Plan], list[Plan], list[Rejected]]:  # fmt: skip
    """(plans whose simulation keeps the limits, the others in their order, those whose simulation never did).

    Args:
        told: what is being simulated, and a guess what share of all simulations is done.
    """
    heap = [(rank(own, order), place, own) for place, own in enumerate(plans)]
    heapq.heapify(heap)
    best: list[Plan] = []
    failed: list[Rejected] = []
    simulated = 0
    while heap and len(best) < CONFIRMED:
        _, place, own = heap[0]
        if own.confirmation:
            best.append(heapq.heappop(heap)[2])
            continue
        if simulated == MOST_SIMULATED:
            break
        heapq.heappop(heap)
        told(f"simulating {own.candidate}", 1 - LEFT**simulated)
        simulated += 1
        held = _with_replicas(own, demand, max_gpus, specs)
        if isinstance(held, Plan):
            heapq.heappush(heap, (rank(held, order), place, held))
        else:
            failed.append(held)
    rest = [own for _, _, own in sorted(heap, key=lambda entry: entry[:2])]
    if len(best) < CONFIRMED:  # too many were simulated: those that held come first, nothing else is known to
        rest.sort(key=lambda own: own.confirmation is None)
    return best, rest, failed


def _with_replicas(own: Plan, demand: Demand, max_gpus: int, specs: str | None) -> Plan | Rejected:
    """The plan with as many replicas as its simulation wants, or what it fails by."""
    replicas, binding, problem = own.replicas, UNSTABLE, ""
    for _ in range(TRIES):
        why = f"with fewer, {problem}" if problem else "by the closed form"
        if reason := too_many(replicas * own.candidate.layout.devices, max_gpus, why):
            return Rejected(candidate=own.candidate, binding=MAX_GPUS, reason=reason)
        try:
            held, binding, problem = _tried(own, demand, replicas, specs)
        except PerfmodelError as error:
            return Rejected(candidate=own.candidate, binding=binding, reason=f"simulation: {error}")
        if not problem:
            return held
        if demand.concurrency and replicas >= demand.concurrency:
            break
        replicas += max(1, round(STEP * replicas))
    reason = f"simulation: {problem}, with {replicas} replicas still"
    return Rejected(candidate=own.candidate, binding=binding, reason=reason)


def _tried(own: Plan, demand: Demand, replicas: int, specs: str | None) -> tuple[Plan, str, str]:
    """(the plan with so many replicas, what it fails by, how; "" if it holds)."""
    found = _predicted(own, demand, replicas, specs)
    exact = _exactly(own, demand, replicas, found, specs)
    for metric, limit in demand.limits.items():
        mean = found.latencies["tpot" if metric == "itl" else metric].seconds
        if mean > limit:  # the curve that the replicas were read from lies a little off
            return exact, metric, f"mean {metric.upper()} of {mean:.4g} s"
    in_flight = found.running + found.waiting
    followed = confirm(deployed(own.candidate, specs), demand, replicas, in_flight=in_flight, specs=specs)
    return replace(exact, confirmation=followed), _broken(followed, demand), followed.problem


def _broken(followed: Confirmation, demand: Demand) -> str:
    """The metric that lies furthest above its limit; the queue where it grows."""
    broken = [metric for metric, limit in demand.limits.items() if followed.seconds[metric] > limit]
    if not followed.stable or not broken:
        return UNSTABLE
    return max(demand.limits, key=lambda metric: followed.seconds[metric] / demand.limits[metric])


def _predicted(own: Plan, demand: Demand, replicas: int, specs: str | None) -> ServingPrediction:
    candidate = own.candidate
    return predict_serving(
        candidate.model, candidate.hardware, engine=candidate.engine, precision=candidate.precision,
        layout=candidate.layout, replicas=replicas, specs=specs, rate=demand.rate or None,
        concurrency=demand.concurrency or None, input_tokens=demand.input_tokens, output_tokens=demand.output_tokens,
    )  # fmt: skip


def _exactly(own: Plan, demand: Demand, replicas: int, found: ServingPrediction, specs: str | None) -> Plan:
    """The plan with so many replicas, as `predict --engine` has it."""
    seconds = {metric: latency.seconds for metric, latency in found.latencies.items()}
    seconds["itl"] = seconds["tpot"]
    errors = log_errors(knowledge_of(own.candidate.engine.id, specs=specs), found.standing)
    first = seconds["ttft"] / seconds["e2e"]
    more = replicas / own.replicas
    return replace(
        own,
        replicas=replicas,
        latencies={metric: found.latencies[metric] for metric in ("ttft", "tpot")},
        confidence=chance_of_limits(seconds, demand.limits, errors, first),
        most=own.most * more,
        headroom=own.headroom * more,
        requests_per_second=found.throughput["requests"],
        power=found.power,
        notes=found.notes,
    )
