"""Which assumption would change the choice: the best plan again, under each of them moved.

The curves of all plans are known; a moved load, limit, price or error is read from them anew. What their percentiles
have beyond their means is taken from the simulations that were made, for the others the median of these. Longer
requests need new curves, which are made for the plans next in rank only. Nothing is simulated again. May import:
planning sizing, plans, load_curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from perfmodel.planning.confidence import LEVEL
from perfmodel.planning.demand import Demand
from perfmodel.planning.load_curve import LoadCurve, largest_share, load_curve, of_answers
from perfmodel.planning.plans import Change, Plan, rank
from perfmodel.planning.sizing import deployed, too_many

FACTOR = 1.2  # that load, lengths, limits and prices are moved by
LOOKED_AT = 12  # plans whose curves are made anew for longer requests
WORDS = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One assumption moved.

    Args:
        load: factor. limits: factors by metric. slower: whether a plan is at the slow end of its intervals.
        dearer: factor on the price of a plan's chip. demand: with other lengths, None for the same.
    """

    name: str
    load: float = 1.0
    limits: Mapping[str, float] | None = None
    slower: Callable[[Plan], bool] = lambda own: False
    dearer: Callable[[Plan], float] = lambda own: 1.0
    demand: Demand | None = None


def what_changes(
    plans: Sequence[Plan], demand: Demand, *, max_gpus: int = 0, order: str = "gpus", specs: str | None = None
) -> tuple[Change, ...]:
    """The best plan under each moved assumption; nothing where the best plan was not simulated.

    Args:
        plans: best first.
    """
    if not plans or plans[0].confirmation is None:
        return ()
    best = plans[0]
    beyond = _beyond_means(plans, demand)
    return tuple(
        _change(case, _again(case, plans, demand, beyond, max_gpus, order, specs), best)
        for case in _cases(best, demand)
    )


def _cases(best: Plan, demand: Demand) -> list[_Case]:
    chip = best.candidate.hardware
    longer = {
        name: replace(demand, trace=None, **{name: round(FACTOR * count)}) for name, count in demand.sizes.items()
    }

    def of_chip(factor: float) -> Callable[[Plan], float]:
        return lambda own: factor if own.candidate.hardware.id == chip.id else 1.0

    cases = [
        _Case(name="load x 1.2", load=FACTOR),
        _Case(name="load / 1.2", load=1 / FACTOR),
        _Case(name="prompts x 1.2", demand=longer["input_tokens"]),
        _Case(name="answers x 1.2", demand=longer["output_tokens"]),
        *(_Case(name=f"limit on {WORDS[metric]} / 1.2", limits={metric: 1 / FACTOR}) for metric in demand.limits),
        _Case(name="best plan at the slow end of its interval", slower=lambda own: own is best),
        _Case(name="all plans at the slow end of their intervals", slower=lambda own: True),
    ]
    if chip.price_usd_per_hour:
        cases += [
            _Case(name=f"price of {chip.id} {sign} 20 %", dearer=of_chip(factor))
            for sign, factor in (("+", FACTOR), ("-", 2 - FACTOR))
        ]
    return cases


def _beyond_means(plans: Sequence[Plan], demand: Demand) -> dict[int, dict[str, float]]:
    """By the place of a plan: its percentiles over its means, by limited metric."""
    ratios: dict[int, dict[str, float]] = {}
    for place, own in enumerate(plans):
        if own.confirmation:
            means = own.curve.at(demand.load / own.replicas)
            ratios[place] = {
                metric: own.confirmation.seconds[metric] / means[metric]
                for metric in demand.limits
                if math.isfinite(means[metric])
            }
    usual = {
        metric: median([own[metric] for own in ratios.values() if metric in own] or [1.0]) for metric in demand.limits
    }
    return {place: usual | ratios.get(place, {}) for place in range(len(plans))}


def _again(
    case: _Case, plans: Sequence[Plan], demand: Demand, beyond: Mapping[int, Mapping[str, float]], max_gpus: int,
    order: str, specs: str | None,
) -> Plan | None:  # fmt: skip
    """The best plan in a case; None where no plan is left."""
    looked_at = plans[:LOOKED_AT] if case.demand else plans
    found = [_moved(case, own, demand, beyond[place], specs) for place, own in enumerate(looked_at)]
    held = [own for own in found if own and not too_many(own.gpus, max_gpus, "")]
    return min(held, key=lambda own: rank(own, order), default=None)


def _moved(case: _Case, own: Plan, demand: Demand, beyond: Mapping[str, float], specs: str | None) -> Plan | None:
    """A plan with the replicas that a case wants of it."""
    curve: LoadCurve | None = own.curve
    if case.demand:
        curve = load_curve(deployed(own.candidate, specs), case.demand, specs=specs)
    if curve is None:
        return None
    if case.slower(own):
        curve = _at_slow_end(curve, case.demand or demand)
    tighter = case.limits or {}
    limits = {metric: limit * tighter.get(metric, 1.0) / beyond[metric] for metric, limit in demand.limits.items()}
    share, _ = largest_share(curve, limits)
    if not share:
        return None
    load = case.load * demand.load
    replicas = math.ceil(load / share * (1 - 1e-9))
    if own.confirmation:  # what was simulated is known to do, and fewer are not
        replicas = min(replicas, own.replicas) if case.load < 1 else max(replicas, own.replicas)
    chip = own.candidate.hardware
    priced = replace(chip, price_usd_per_hour=chip.price_usd_per_hour * case.dearer(own))
    power = own.power and own.power * (replicas / own.replicas)
    return replace(own, replicas=replicas, power=power, candidate=replace(own.candidate, hardware=priced))


def _at_slow_end(curve: LoadCurve, demand: Demand) -> LoadCurve:
    """The curve of a replica whose latencies are those at the upper ends of their intervals: with as many requests in
    flight it answers fewer per second."""
    ttft, tpot = (
        curve.seconds[metric] * math.exp(curve.known.half_width(curve.standing, metric, LEVEL))
        for metric in ("ttft", "tpot")
    )
    seconds = of_answers(ttft, tpot, demand.output_tokens)
    if demand.concurrency:
        return replace(curve, seconds=seconds)
    steady = np.isfinite(seconds["e2e"])
    slower = np.interp(curve.load, curve.load[steady], seconds["e2e"][steady] / curve.seconds["e2e"][steady])
    return replace(curve, load=curve.load / slower, seconds=seconds, most=curve.most / float(slower[-1]))


def _change(case: _Case, found: Plan | None, best: Plan) -> Change:
    if found is None:
        return Change(assumption=case.name, candidate=None, replicas=0, gpus=0, usd_per_hour=0.0, flips=True)
    return Change(
        assumption=case.name,
        candidate=found.candidate,
        replicas=found.replicas,
        gpus=found.gpus,
        usd_per_hour=found.usd_per_hour,
        flips=str(found.candidate) != str(best.candidate),
    )
