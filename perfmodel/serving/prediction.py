"""A server's latencies with their intervals, and what they are made of: what `predict --engine` answers.

    open_server ─▶ Server ──state_at──▶ SteadyState ──effects, anchors, half-widths──▶ ServingPrediction

May import: everything of serving.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from perfmodel.economics import USUAL_SITE, Economics, Site, economics
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.notebooks import notebook_html
from perfmodel.power import Power
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import class_seconds, host_seconds
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.known_effects import (
    UNSTATED,
    effective_users,
    effects_of,
    moved_latencies,
    slowdown,
    unfitted_classes,
)
from perfmodel.serving.latency_intervals import Latency, half_widths, latencies_at, with_intervals
from perfmodel.serving.latency_parts import latency_parts
from perfmodel.serving.physical_bounds import running_step
from perfmodel.serving.power_use import serving_power
from perfmodel.serving.server_anchors import ServerAnchor
from perfmodel.serving.servers import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, open_server
from perfmodel.serving.standing import Knowledge
from perfmodel.serving.steady_answers import Over, Server, SteadyState, highest_rate, state_at
from perfmodel.serving.steady_state import accepted_tokens
from perfmodel.serving.work import CONTEXTS, SEQUENCES, TOKENS, work_at
from perfmodel.types import Hardware, Model

MOST_DRAFTS = 3  # of a measured server
FAMILIES_OF_CLASSES = ("gemm", "experts", "attention", "collective", "streaming")


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
    """Money and energy of a server under its load.

    Args:
        found: whose chip has the price. site: where the devices stand, and how busy they are.
    """
    return economics(
        found.deployment.hardware, found.devices, found.power, requests_per_second=found.throughput["requests"],
        input_tokens=found.input_tokens, output_tokens=found.output_tokens, site=site,
    )  # fmt: skip


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
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    deployment, server = open_server(
        model, hardware, engine=engine, precision=precision, cache_precision=cache_precision, layout=layout,
        drafts=drafts, replicas=replicas, level=level, strict=strict, specs=specs, **sizes,
    )  # fmt: skip
    over: Over = "concurrency" if rate is None else "rate"
    top = float(highest_rate(server, **sizes)[0])
    state = state_at(server, over, concurrency if rate is None else rate, **sizes)
    # effects at this load, and where every place is taken
    users = np.concatenate([effective_users(state, replicas), np.maximum(state.capacity, 1.0) / replicas])
    factors, standing, known = effects_of(deployment, users, sizes, version, bool(drafts), anchors=anchors, specs=specs)
    moved, full = ({metric: own[place : place + 1] for metric, own in factors.items()} for place in (0, 1))
    slower = float(slowdown(server, full, sizes)[0]) if top else 1.0
    if rate is not None and slower != 1.0:
        # what is known of the server moves its highest rate: the load stands at the same share of it
        state = state_at(server, over, rate * slower, **sizes)
    found, floors = moved_latencies(deployment, server, state, sizes, moved)
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
        latencies=latencies_at(with_intervals(found, floors, half_widths(known, standing, level), output_tokens)),
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
        notes=tuple(_notes(deployment, server.coefficients, state, standing, version, drafts, known)),
        unmodelled=deployment.unmodelled,
        parts=parts,
        **sizes,
    )


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


def fitted_versions(known: Knowledge, engine: str) -> list[str]:
    """The releases of an engine that runs were fitted of, the oldest first."""
    found = {label[2] for label in known.effects["tpot"].means if label[:2] == ("version", engine)} - {""}
    return sorted(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])


def _notes(
    deployment: Deployment,
    c: EngineCoefficients,
    state: SteadyState,
    standing: str,
    version: str,
    drafts: int,
    known: Knowledge,
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
    elif version != UNSTATED and version not in (fitted := fitted_versions(known, deployment.engine.id)):
        others = f": {', '.join(fitted)} were" if fitted else ""
        notes.append(f"no run of {deployment.engine.id} {version} was fitted{others}; the version makes no difference")
    return notes
