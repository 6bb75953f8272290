"""Which chips, how many, and at what price: the fewest replicas of each candidate that keep limits under a load.

    candidates ─deploy▶ load curve ─limits▶ replicas ─rank▶ best first ─simulate▶ confirmed, or more replicas

A plan keeps the limits twice: by its means in closed form, and by the percentile that is asked for in a simulation. The
closed form alone gives each candidate the fewest replicas it can have. So candidates are taken in the order of their
rank; one that was not simulated is, gets replicas until its percentiles keep the limits, and goes back to the place
that it then has. The first few that come up again are the best plans. May import: everything of planning and serving.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from perfmodel.catalog_entries import model_entry
from perfmodel.economics import USUAL_SITE, Economics, Site, economics
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.planning.candidates import DEGREES, Candidate, candidates_of, chips_of, refusal
from perfmodel.planning.confirming import Confirmation, confirm
from perfmodel.planning.demand import PERCENTILE, Demand, confidence_of
from perfmodel.planning.load_curve import LoadCurve, largest_share, load_curve
from perfmodel.precisions import find_scheme
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engines import load_engine
from perfmodel.serving.power_use import serving_power
from perfmodel.serving.prediction import Latency, check_context, predict_serving
from perfmodel.serving.standing import knowledge_of

CONFIRMED = 3  # plans, the best ones
MOST_SIMULATED = 16  # candidates; beyond, plans stand on the closed form alone
TRIES = 12  # numbers of replicas of one candidate that are simulated
STEP = 0.05  # of the replicas, that are added where those do not do
MOST_REPLICAS = 4096
ORDERS = ("gpus", "cost", "energy")
Rank: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Replicas of a candidate that serve the load.

    Args:
        latencies: mean TTFT and TPOT with their 80 % intervals. confidence: that both means keep their limits.
        most: load that so many replicas carry within the limits; headroom: that over the load. binding: what ends it,
            ttft, tpot or capacity. usd_per_hour: of all its chips, 0 if the price is unknown.
        requests_per_second: answered. confirmation: of the best plans. closed: the load is users who ask again at
            once. site: where the devices stand.
    """

    candidate: Candidate
    deployment: Deployment
    replicas: int
    latencies: Mapping[str, Latency]
    standing: str
    confidence: float
    binding: str
    most: float
    headroom: float
    requests_per_second: float
    output_tokens: int
    closed: bool = False
    input_tokens: int = 0
    site: Site = USUAL_SITE
    confirmation: Confirmation | None = None
    notes: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Devices of all replicas."""
        return self.replicas * self.candidate.layout.devices

    @property
    def economics(self) -> Economics:
        """Money and energy at this load."""
        ttft, tpot = (self.latencies[metric].seconds for metric in ("ttft", "tpot"))
        sizes = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        power = serving_power(
            self.deployment, ttft=ttft, tpot=tpot, requests_per_second=self.requests_per_second, closed=self.closed,
            replicas=self.replicas, **sizes,
        )  # fmt: skip
        return economics(
            self.candidate.hardware, self.gpus, power, requests_per_second=self.requests_per_second, site=self.site,
            **sizes,
        )  # fmt: skip

    @property
    def usd_per_hour(self) -> float:
        """Of all devices, at the chip's price; 0 if it is unknown."""
        return self.economics.usd_per_hour or 0.0

    @property
    def usd_per_million_tokens(self) -> float:
        """Of output, at this load; 0 if the price is unknown."""
        return self.economics.usd_per_million_output_tokens or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A candidate that cannot serve the load, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """All plans, best first, and all candidates that make none."""

    demand: Demand
    feasible: tuple[Plan, ...]
    rejected: tuple[Rejected, ...]


def plan(
    model: str | Sequence[str],
    hardware: str | Sequence[str],
    *,
    input_tokens: int,
    output_tokens: int,
    rate: float = 0.0,
    concurrency: float = 0.0,
    ttft: float = 0.0,
    tpot: float = 0.0,
    percentile: float = PERCENTILE,
    engine: str | Sequence[str] = "vllm",
    precision: str | Sequence[str] | None = None,
    max_gpus: int = 0,
    order: str = "gpus",
    site: Site = USUAL_SITE,
    specs: str | None = None,
) -> PlanAnswer:
    """The fewest devices that serve a load within limits, over all candidates.

    Args:
        model, hardware, engine, precision: one or several; hardware may be `all-datacenter`.
        rate: requests per second; or concurrency: users. ttft, tpot: limits in seconds; 0: none.
        max_gpus: of a plan; 0: any number. order: gpus (then cost), cost (then gpus) or energy
            (joules per token, then gpus). site: electricity, PUE and utilisation.

    Raises:
        PerfmodelError: unknown names, a load or limits that contradict themselves, no candidate.

    >>> found = plan("llama-3.1-8b", "h100-sxm", rate=30, input_tokens=1000, output_tokens=200, ttft=1, tpot=0.05)
    >>> best = found.feasible[0]
    >>> best.gpus <= 4, best.confirmation.stable
    (True, True)
    """
    demand = Demand(
        rate=rate, concurrency=concurrency, input_tokens=input_tokens, output_tokens=output_tokens,
        ttft_seconds=ttft, tpot_seconds=tpot, percentile=percentile,
    )  # fmt: skip
    candidates = candidates_of(
        [(name, model_entry(name, specs)) for name in _several(model)],
        list({chip.id: chip for name in _several(hardware) for chip in chips_of(name, specs)}.values()),
        [load_engine(name, specs=specs) for name in _several(engine)],
        [find_scheme(name).name for name in _several(precision)] if precision else [None],
    )
    return plan_candidates(tuple(candidates), demand, max_gpus=max_gpus, order=order, site=site, specs=specs)


def plan_candidates(
    candidates: Sequence[Candidate], demand: Demand, *, max_gpus: int = 0, order: str = "gpus",
    site: Site = USUAL_SITE, specs: str | None = None,
) -> PlanAnswer:  # fmt: skip
    """As `plan`, over given candidates.

    Raises:
        InputError: there is none; no such order.
    """
    if not candidates:
        raise InputError(f"no candidate: no layout of {', '.join(map(str, DEGREES))} devices lies within a node")
    if order not in ORDERS:
        raise InputError(f"unknown order '{order}' (known: {', '.join(ORDERS)})")
    plans: list[Plan] = []
    rejected: list[Rejected] = []
    weights: dict[tuple[object, ...], float] = {}
    for candidate in candidates:
        try:
            _check_weights(candidate, weights)
            plans.append(replace(_plan_of(candidate, demand, max_gpus, weights, specs), site=site))
        except PerfmodelError as error:
            rejected.append(Rejected(candidate=candidate, reason=str(error)))
    best, rest, failed = _confirmed(plans, demand, max_gpus, order, specs)
    return PlanAnswer(demand=demand, feasible=(*best, *rest), rejected=(*rejected, *failed))


def _several(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _plan_of(
    candidate: Candidate, demand: Demand, max_gpus: int, weights: dict[tuple[object, ...], float], specs: str | None
) -> Plan:
    """The fewest replicas by the closed form.

    Raises:
        PerfmodelError: why there are none.
    """
    if reason := refusal(candidate):
        raise InputError(reason)
    try:
        deployment = deploy(
            candidate.model, candidate.hardware, engine=candidate.engine, precision=candidate.precision,
            layout=candidate.layout, specs=specs,
        )  # fmt: skip
    except PerfmodelError as error:
        raise InputError(f"refused: {error}") from None
    weights[_weights_key(candidate)] = deployment.capacity.parts["weights"]
    if not deployment.capacity.fits:
        raise InputError(next(note for note in deployment.notes if note.startswith("does not fit")))
    check_context(deployment, **demand.sizes)
    curve = load_curve(deployment, demand, specs=specs)
    if curve is None:
        raise InputError("does not fit: the weights leave no room for the cache of one request")
    share, binding = largest_share(curve, demand.limits)
    if not share:
        raise InputError(_too_slow(curve, demand))
    replicas = math.ceil(demand.load / share * (1 - 1e-12))
    if demand.concurrency and replicas > demand.concurrency:
        raise InputError(_too_slow(curve, demand))
    if replicas > MOST_REPLICAS:
        raise InputError(f"too many devices: {replicas:,} replicas, more than {MOST_REPLICAS:,}")
    _check_gpus(replicas * candidate.layout.devices, max_gpus, "by the closed form")
    return _plan_at(candidate, deployment, demand, curve, replicas, share, binding)


def _weights_key(candidate: Candidate) -> tuple[object, ...]:
    """What the weights of a device depend on: chips with fp4 keep some in other formats."""
    chip = candidate.hardware
    return (id(candidate.model), candidate.precision, candidate.layout, chip.native)


def _check_weights(candidate: Candidate, weights: Mapping[tuple[object, ...], float]) -> None:
    """Refuse what cannot fit before anything of it is computed.

    Raises:
        InputError: the weights of a device, known from another chip, are more than its memory.
    """
    need, have = weights.get(_weights_key(candidate), 0.0) / 2**30, candidate.hardware.memory_bytes / 2**30
    if need > have:
        raise InputError(f"does not fit: weights alone take {need:.1f} of the {have:.0f} GiB of each device")


def _plan_at(
    candidate: Candidate, deployment: Deployment, demand: Demand, curve: LoadCurve, replicas: int, share: float,
    binding: str,
) -> Plan:  # fmt: skip
    seconds = curve.at(demand.load / replicas)
    wide = {metric: math.exp(curve.known.half_width(curve.standing, metric, 0.8)) for metric in seconds}
    whole = seconds["ttft"] + (demand.output_tokens - 1) * seconds["tpot"]
    return Plan(
        candidate=candidate,
        deployment=deployment,
        replicas=replicas,
        latencies={
            metric: Latency(seconds=own, low=own / wide[metric], high=own * wide[metric])
            for metric, own in seconds.items()
        },
        standing=curve.standing,
        confidence=confidence_of(seconds, demand.limits, curve.known, curve.standing),
        binding=binding,
        most=replicas * share,
        headroom=replicas * share / demand.load,
        requests_per_second=demand.rate or demand.concurrency / whole,
        output_tokens=demand.output_tokens,
        input_tokens=demand.input_tokens,
        closed=bool(demand.concurrency),
    )


def _too_slow(curve: LoadCurve, demand: Demand) -> str:
    broken = [
        f"{metric.upper()} is {float(curve.seconds[metric][0]):.3g} s"
        for metric, limit in demand.limits.items()
        if not curve.seconds[metric][0] <= limit
    ]
    return f"too slow: even for one request alone {', '.join(broken) or 'the means are at the limits'}"


def _check_gpus(gpus: int, max_gpus: int, why: str) -> None:
    if max_gpus and gpus > max_gpus:
        raise InputError(f"too many devices: {gpus}, more than {max_gpus} ({why})")


def rank(found: Plan, order: str) -> Rank:
    """What plans are sorted by: ascending; an unknown price or power comes last."""
    own = found.economics
    keys = {"gpus": float(found.gpus), "cost": own.usd_per_hour, "energy": own.joules_per_output_token}
    first = {"cost": ("cost", "gpus"), "energy": ("energy", "gpus", "cost")}.get(order, ("gpus", "cost"))
    values = [*(keys[name] for name in first), own.usd_per_million_output_tokens]
    return (*(math.inf if value is None else value for value in values), -found.confidence)


def _confirmed(
    plans: Sequence[Plan], demand: Demand, max_gpus: int, order: str, specs: str | None
) -> tuple[list[Plan], list[Plan], list[Rejected]]:
    """(plans whose simulation keeps the limits, the others in their order, those whose simulation never did)."""
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
        simulated += 1
        try:
            held = _with_replicas(own, demand, max_gpus, specs)
            heapq.heappush(heap, (rank(held, order), place, held))
        except PerfmodelError as error:
            failed.append(Rejected(candidate=own.candidate, reason=str(error)))
    rest = [own for _, _, own in sorted(heap)]
    if len(best) < CONFIRMED:  # too many were simulated: those that held come first, nothing else is known to
        rest.sort(key=lambda own: own.confirmation is None)
    return best, rest, failed


def _with_replicas(own: Plan, demand: Demand, max_gpus: int, specs: str | None) -> Plan:
    """The plan with as many replicas as its simulation wants.

    Raises:
        InputError: with none that was tried do the percentiles keep the limits.
    """
    replicas, problem = own.replicas, ""
    for _ in range(TRIES):
        _check_gpus(replicas * own.candidate.layout.devices, max_gpus, f"with fewer, {problem}")
        found, in_flight = _exactly(own, demand, replicas, specs)
        problem = _broken(found, demand)
        if not problem:
            confirmation = confirm(own.deployment, demand, replicas, in_flight=in_flight, specs=specs)
            if not confirmation.problem:
                return replace(found, confirmation=confirmation)
            problem = confirmation.problem
        if demand.concurrency and replicas >= demand.concurrency:
            break
        replicas += max(1, round(STEP * replicas))
    raise InputError(f"simulation: {problem}, with {replicas} replicas still")


def _broken(found: Plan, demand: Demand) -> str:
    """The means that break a limit after all: the curve that the replicas were read from lies a little off."""
    return " and ".join(
        f"mean {metric.upper()} of {found.latencies[metric].seconds:.4g} s"
        for metric, limit in demand.limits.items()
        if found.latencies[metric].seconds > limit
    )


def _exactly(own: Plan, demand: Demand, replicas: int, specs: str | None) -> tuple[Plan, float]:
    """(the plan with so many replicas, as `predict --engine` has it; requests in flight)."""
    candidate = own.candidate
    found = predict_serving(
        candidate.model, candidate.hardware, engine=candidate.engine, precision=candidate.precision,
        layout=candidate.layout, replicas=replicas, specs=specs, rate=demand.rate or None,
        concurrency=demand.concurrency or None,
        input_tokens=demand.input_tokens, output_tokens=demand.output_tokens,
    )  # fmt: skip
    means = {metric: found.latencies[metric].seconds for metric in ("ttft", "tpot")}
    more = replicas / own.replicas
    exact = replace(
        own,
        replicas=replicas,
        latencies={metric: found.latencies[metric] for metric in means},
        confidence=confidence_of(means, demand.limits, knowledge_of(candidate.engine.id, specs=specs), found.standing),
        most=own.most * more,
        headroom=own.headroom * more,
        requests_per_second=found.throughput["requests"],
        notes=found.notes,
    )
    return exact, found.running + found.waiting
