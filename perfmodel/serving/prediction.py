"""A server's latencies with their intervals, and what they are made of: what `predict --engine` answers.

    deploy ─▶ Server ──fixed_concurrency | at_rate──▶ SteadyState ──effects, anchors, half-widths──▶ ServingPrediction

May import: everything of serving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perfmodel.economics import USUAL_SITE, Economics, Site, economics
from perfmodel.errors import InputError, UnmodelledError
from perfmodel.layouts import Layout
from perfmodel.notebooks import notebook_html
from perfmodel.power import Power
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.effects import expected, known_levels, model_family, slopes_of
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.engine_time import class_seconds, host_seconds, tabulate
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.latency_parts import latency_parts
from perfmodel.serving.physical_bounds import bound_latencies, running_step
from perfmodel.serving.power_use import serving_power
from perfmodel.serving.server_anchors import ServerAnchor, factors_from_anchors, only_version, own_anchors
from perfmodel.serving.standing import Knowledge, anchored_knowledge, knowledge_of
from perfmodel.serving.steady_answers import (
    Server,
    SteadyState,
    at_rate,
    fixed_concurrency,
    highest_rate,
)
from perfmodel.serving.steady_state import accepted_tokens
from perfmodel.serving.step_table import Array
from perfmodel.serving.work import CONTEXTS, SEQUENCES, TOKENS, work_at
from perfmodel.types import Hardware, Model

MOST_DRAFTS = 3  # of a measured server
UNSTATED = "unstated"  # a version or run that nothing was fitted on
DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS = 1024, 256
FAMILIES_OF_CLASSES = ("gemm", "experts", "attention", "collective", "streaming")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds with their interval; infinite where there is no steady state."""

    seconds: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPrediction:
    """The answer for one deployment and one load.

    Args:
        latencies: ttft, tpot, e2e, means over requests. throughput: requests, output_tokens per second, and
            output_tokens_per_gpu. running, waiting: requests, on the mean. capacity: sequences that can run at once.
        highest_rate: requests per second that are sustained. stable: whether this load is.
        power: of all chips, on the mean; None where it is unknown. devices: of all replicas.
        step_seconds: of one decoding step, by what it is spent on. level: what the interval is meant to hold.
        standing: datasheet, family, device or anchored. provenance: the data of the engine's coefficients.
        unmodelled: kinds of op without a formula, and their share of a step.
        parts: seconds that ttft and tpot are made of, by name, where they were asked for.
    """

    deployment: Deployment
    concurrency: float
    rate: float
    input_tokens: int
    output_tokens: int
    level: float
    latencies: Mapping[str, Latency]
    throughput: Mapping[str, float]
    running: float
    waiting: float
    capacity: float
    highest_rate: float
    stable: bool
    fits: bool
    standing: str
    devices: int = 1
    power: Power | None = None
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: str = ""
    notes: tuple[str, ...] = ()
    unmodelled: tuple[tuple[str, float], ...] = ()
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def serving_economics(found: ServingPrediction, site: Site = USUAL_SITE) -> Economics:
    """Money and energy of a server under its load."""
    return economics(
        found.deployment.hardware, found.devices, found.power, requests_per_second=found.throughput["requests"],
        input_tokens=found.input_tokens, output_tokens=found.output_tokens, site=site,
    )  # fmt: skip


def server_of(deployment: Deployment, *, drafts: int = 0, replicas: int = 1, specs: str | None = None) -> Server:
    """A deployment as the closed form sees it, with its engine's coefficients.

    Raises:
        InputError: drafts below 0, or no replica.
    """
    if drafts < 0 or replicas < 1:
        raise InputError(f"drafts must be at least 0 and replicas at least 1, got {drafts} and {replicas}")
    coefficients = load_engine_coefficients(deployment.engine.id, specs=specs)
    return Server(
        table=tabulate(deployment.work, deployment.host, coefficients, mixed=deployment.engine.mixed),
        coefficients=coefficients,
        sequences=deployment.capacity.sequences,
        chunk_tokens=deployment.engine.chunk_tokens,
        attention_data=deployment.layout.attention_data,
        drafts=drafts,
        replicas=replicas,
        pipeline=deployment.in_flight,
    )


def predict_serving(
    model: str | Model,
    hardware: str | Hardware,
    *,
    engine: str | EnginePolicy = "vllm",
    concurrency: float | None = None,
    rate: float | None = None,
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
    anchors: Sequence[ServerAnchor] = (),
    specs: str | None = None,
    with_parts: bool = False,
) -> ServingPrediction:
    """Mean latencies of a server, under users who each have one request in flight or under a rate of requests.

    Args:
        concurrency: requests in flight over all replicas; rate: requests per second over all replicas: one of them.
        input_tokens, output_tokens: of a request, on the mean. drafts: tokens guessed ahead in each step.
        version: of the engine, where it was measured. level: share of unseen cases that the interval should hold.
        strict: refuse models with ops without a formula. anchors: runs of this server, which shift TPOT and TTFT
            (`calibration.server_anchor_files`); the version is theirs, if none is given.
        with_parts: tell what TTFT and TPOT are made of.

    Raises:
        PerfmodelError: bad input; a prompt longer than the model's context; anchors of other deployments alone.

    >>> answer = predict_serving("llama-3.1-8b", "h100-sxm", concurrency=32, input_tokens=1000, output_tokens=200)
    >>> 0.005 < answer.latencies["tpot"].seconds < 0.020, answer.stable
    (True, True)
    """
    if (concurrency is None) == (rate is None):
        raise InputError("give either a concurrency (requests in flight) or a rate (requests per second)")
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1 (0.8 for an 80 % interval), got {level!r}")
    deployment = deploy(
        model, hardware, engine=engine, precision=precision, cache_precision=cache_precision, layout=layout, specs=specs
    )
    check_context(deployment, input_tokens, output_tokens)
    if strict and deployment.unmodelled:
        raise UnmodelledError(
            f"{deployment.subject} has ops without a formula: {', '.join(kind for kind, _ in deployment.unmodelled)}"
        )
    server = server_of(deployment, drafts=drafts, replicas=replicas, specs=specs)
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    top = float(highest_rate(server, **sizes)[0])
    state = _state(server, concurrency, rate, sizes)
    # effects at this load, and where every place is taken
    users = np.concatenate([effective_users(state, replicas), np.maximum(state.capacity, 1.0) / replicas])
    factors, standing, known = effects_of(deployment, users, sizes, version, bool(drafts), anchors=anchors, specs=specs)
    moved, full = ({metric: own[place : place + 1] for metric, own in factors.items()} for place in (0, 1))
    slower = float(slowdown(server, full, sizes)[0]) if top else 1.0
    if rate is not None and slower != 1.0:
        # what is known of the server moves its highest rate: the load stands at the same share of it
        state = _state(server, None, rate * slower, sizes)
    floors = bound_latencies(deployment, server, state, sizes)
    moved_by = zip(("ttft", "tpot"), moved_seconds(state, moved, output_tokens), strict=True)
    found = {metric: np.maximum(own, floors[metric]) for metric, own in moved_by}
    ttft, tpot = (float(own[0]) for own in found.values())
    parts: dict[str, dict[str, float]] = {}
    if with_parts and np.isfinite(ttft + tpot):
        load = {"concurrency": float(concurrency or 0)} if rate is None else {"rate": rate * slower}
        parts = latency_parts(deployment, server, load, sizes, moved, {"ttft": ttft, "tpot": tpot})
    answering = (output_tokens - 1) * tpot if output_tokens > 1 else 0.0
    requests = min(float(rate), top / slower) if rate is not None else float(concurrency or 0) / (ttft + answering)
    devices = deployment.layout.devices * replicas
    power = serving_power(
        deployment, ttft=ttft, tpot=tpot, requests_per_second=requests, closed=rate is None, replicas=replicas,
        drafts=drafts, accepted=float(accepted_tokens(drafts, server.coefficients)), level=level, **sizes,
    )  # fmt: skip
    return ServingPrediction(
        deployment=deployment,
        concurrency=float(concurrency or 0),
        rate=float(rate or 0),
        level=level,
        latencies={
            metric: Latency(seconds=float(seconds[0]), low=float(low[0]), high=float(high[0]))
            for metric, (seconds, low, high) in with_intervals(
                found, floors, half_widths(known, standing, level), output_tokens
            ).items()
        },
        throughput=throughput_of(requests, devices, output_tokens),
        devices=devices,
        power=power,
        running=requests * answering if requests else 0.0,
        waiting=requests * ttft if requests else float(concurrency or np.inf),
        capacity=float(state.capacity[0]),
        highest_rate=top / slower,
        stable=bool(state.stable[0]),
        fits=bool(state.fits[0]),
        standing=standing,
        step_seconds=_step_parts(deployment, server, state, sizes),
        provenance=server.coefficients.provenance,
        notes=tuple(_notes(deployment, server.coefficients, state, standing, version, drafts)),
        unmodelled=deployment.unmodelled,
        parts=parts,
        **sizes,
    )


def check_context(deployment: Deployment, input_tokens: int, output_tokens: int) -> None:
    """
    Raises:
        InputError: a request longer than the model's context.
    """
    most = deployment.model.max_context
    if most and input_tokens + output_tokens > most:
        raise InputError(
            f"{input_tokens} + {output_tokens} tokens do not fit into the context of {deployment.subject} ({most})"
        )


def effects_of(
    deployment: Deployment,
    users: Any,
    sizes: Mapping[str, int],
    version: str,
    speculative: bool,
    *,
    anchors: Sequence[ServerAnchor] = (),
    specs: str | None,
) -> tuple[dict[str, Array], str, Knowledge]:
    """(factors on TPOT and TTFT from what is known of like deployments, the level they stand on, that knowledge).

    Args:
        users: requests in flight, (n,). anchors: runs of this server.

    Raises:
        InputError: no anchor is of this deployment.
    """
    known = knowledge_of(deployment.engine.id, specs=specs)
    count = np.atleast_1d(np.asarray(users, dtype=float))
    family = model_family(deployment.subject)
    coefficients = load_engine_coefficients(deployment.engine.id, specs=specs)
    standing = standing_of(deployment, known, coefficients, family)
    factors = {metric: np.ones(len(count)) for metric in ("tpot", "ttft")}
    labels = {
        "family": family, "hardware": deployment.hardware.id, "engine": deployment.engine.id, "version": version,
        "precision": deployment.precision, "speculative": str(int(speculative)), "layout": str(deployment.layout),
        "lengths": f"{sizes['input_tokens']:g}x{sizes['output_tokens']:g}",
    }  # fmt: skip
    own = own_anchors(anchors, labels) if anchors else ()
    if version == UNSTATED:
        labels["version"] = only_version(own, version)
    columns = {name: [text] * len(count) for name, text in labels.items()}
    x = slopes_of(count, sizes["input_tokens"], sizes["output_tokens"])
    levels = known_levels(family in known.families, deployment.hardware.id in known.chips)
    factors |= {metric: np.exp(expected(each, columns, x, levels)) for metric, each in known.effects.items()}
    if not own:
        return factors, standing, known
    shifts = factors_from_anchors(own, known, labels, x)
    factors |= {metric: factors[metric] * shift for metric, shift in shifts.items()}
    return factors, "anchored", anchored_knowledge(known, standing, shifts)


def standing_of(deployment: Deployment, known: Knowledge, c: EngineCoefficients, family: str) -> str:
    """The level of a prediction without anchors: kernels that no fitted server ran take it from its device's."""
    standing = known.level(family, deployment.hardware.id)
    return "family" if standing == "device" and unfitted_classes(deployment, c) else standing


def unfitted_classes(deployment: Deployment, c: EngineCoefficients) -> list[str]:
    """Classes of contractions that no fitted server of the engine ran."""
    work = deployment.work
    classes = dict.fromkeys((*work.token.classes, *work.decode.classes))
    return [name for name in classes if name.startswith(("gemm", "experts")) and f"compute.{name}" not in c.values]


def half_widths(known: Knowledge, standing: str, level: float) -> dict[str, float]:
    """Half-widths of TTFT's and TPOT's intervals in log time."""
    return {metric: known.half_width(standing, metric, level) for metric in ("ttft", "tpot")}


def with_intervals(
    found: Mapping[str, Array], floors: Mapping[str, Array], widths: Mapping[str, float], output_tokens: Any
) -> dict[str, tuple[Array, Array, Array]]:
    """(seconds, low, high) of ttft, tpot and the whole answer, e2e.

    Args:
        found: ttft and tpot, (n,) each. floors: their physical bounds. widths: in log time. output_tokens: number or
            (n,).
    """
    ends = {
        metric: (own, np.maximum(own / np.exp(widths[metric]), floors[metric]), own * np.exp(widths[metric]))
        for metric, own in found.items()
    }
    (ttft, ttft_low, ttft_high), (tpot, tpot_low, tpot_high) = ends["ttft"], ends["tpot"]
    later = np.maximum(np.asarray(output_tokens, dtype=float) - 1, 0.0)
    # an answer of one token has no TPOT, not even an infinite one
    with np.errstate(invalid="ignore"):  # infinite where there is no steady state
        e2e = ttft + np.where(later > 0, later * tpot, 0.0)
        # their errors are nearly independent: the shares of the sum in quadrature
        low = e2e - np.hypot(ttft - ttft_low, later * (tpot - tpot_low))
        high = e2e + np.hypot(ttft_high - ttft, later * (tpot_high - tpot))
    endless = ~np.isfinite(e2e)
    return ends | {"e2e": (e2e, np.where(endless, e2e, low), np.where(endless, e2e, high))}


def _state(server: Server, concurrency: float | None, rate: float | None, sizes: Mapping[str, int]) -> SteadyState:
    if concurrency is not None:
        return fixed_concurrency(server, concurrency=concurrency, **sizes)
    return at_rate(server, rate=rate, **sizes)


def effective_users(state: SteadyState, replicas: int) -> Array:
    """Requests in flight that have a place, of one replica: what effects were fitted on."""
    return np.clip(state.running + state.waiting, 1.0, np.maximum(state.capacity, 1.0)) / replicas


def slowdown(server: Server, moved: Mapping[str, Array], sizes: Mapping[str, Any]) -> Array:
    """Time of an answer with the effects on its parts, against that without, where every place is taken, (n,)."""
    places = server.sequences(sizes["input_tokens"] + sizes["output_tokens"] / 2)
    full = fixed_concurrency(server, concurrency=places * server.groups, **sizes)
    ttft, tpot = moved_seconds(full, moved, sizes["output_tokens"])
    return np.asarray((ttft + np.maximum(sizes["output_tokens"] - 1, 0) * tpot) / full.e2e_seconds)


def moved_seconds(state: SteadyState, moved: Mapping[str, Array], output_tokens: Any) -> tuple[Array, Array]:
    """TTFT and TPOT with the effects on them; a wait for a place is a number of whole answers of others."""
    tpot, place = state.tpot_seconds, state.place_seconds
    own = state.ttft_seconds - place
    finite = np.isfinite(own + tpot)
    with np.errstate(invalid="ignore"):
        answers_ahead = place / (own + output_tokens * tpot)
        own, tpot = own * moved["ttft"], tpot * moved["tpot"]
        waiting = answers_ahead * (own + output_tokens * tpot)
    return own + np.where(finite, waiting, 0.0), tpot


def throughput_of(requests: float, devices: int, output_tokens: int) -> dict[str, float]:
    tokens = requests * output_tokens
    return {"requests": requests, "output_tokens": tokens, "output_tokens_per_gpu": tokens / devices}


def _step_parts(
    deployment: Deployment, server: Server, state: SteadyState, sizes: Mapping[str, int]
) -> dict[str, float]:
    """Seconds of one decoding step by kind of kernel, and of the host."""
    c = server.coefficients
    parts: dict[str, float] = {}
    batch, made, context = running_step(server, state, sizes)
    found = (
        (deployment.work.token, work_at(deployment.work.token, (TOKENS,), made)),
        (deployment.work.decode, work_at(deployment.work.decode, (SEQUENCES, CONTEXTS), batch, context)),
    )
    for own, (seconds, _) in found:
        for name, spent in class_seconds(own.classes, seconds, c).items():
            family = next((known for known in FAMILIES_OF_CLASSES if name.startswith(known)), "other")
            parts[family] = parts.get(family, 0.0) + float(spent[0])
    host = float(host_seconds(deployment.host, c)) + c["sequence_seconds"] * float(made[0])
    return parts | {"host": float(host)}


def _notes(
    deployment: Deployment, c: EngineCoefficients, state: SteadyState, standing: str, version: str, drafts: int
) -> list[str]:
    notes = list(deployment.notes)
    if drafts > MOST_DRAFTS:
        notes.append(f"servers with at most {MOST_DRAFTS} drafted tokens were measured: acceptance is extrapolated")
    if not state.fits[0]:
        notes.append("not one sequence fits into the cache: more devices, a narrower precision or shorter requests")
    elif not state.stable[0]:
        notes.append("more requests arrive than are served: the queue grows without end")
    elif state.capacity[0] < state.running[0] + state.waiting[0]:
        notes.append(f"more users than the {state.capacity[0]:.0f} that run at once: requests wait for a place")
    if standing == "datasheet":
        notes.append(f"no run of {deployment.engine.name} was fitted: tables of kernels and priors alone")
    elif unfitted := unfitted_classes(deployment, c):
        notes.append(f"no server with kernels of {', '.join(unfitted)} was fitted: intervals may be too narrow")
    if standing in ("datasheet", "family") and version != UNSTATED:
        notes.append("the engine's version makes no difference here: none was fitted for this model")
    return notes
