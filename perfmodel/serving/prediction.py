"""A server's latencies with their intervals, and what they are made of: what `predict --engine` answers.

    deploy ─▶ Server ──fixed_concurrency | at_rate──▶ SteadyState ──effects, anchors, half-widths──▶ ServingPrediction

May import: everything of serving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from perfmodel.catalog import Specs
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.effects import expected, known_levels, model_family, slopes_of
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.engine_time import class_seconds, host_seconds, tabulate
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.server_anchors import ServerAnchor, factors_from_anchors, only_version, own_anchors
from perfmodel.serving.standing import Knowledge, anchored_half_width, knowledge_of
from perfmodel.serving.steady_answers import Server, SteadyState, at_rate, fixed_concurrency, highest_rate
from perfmodel.serving.work import CONTEXTS, SEQUENCES, TOKENS, work_at
from perfmodel.types import Hardware, Model

UNSTATED = "unstated"  # a version or run that nothing was fitted on
DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS = 1024, 256
METRICS = ("tpot", "ttft")
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
        step_seconds: of one decoding step, by what it is spent on. level: what the interval is meant to hold.
        standing: datasheet, family, device or anchored. memory_bytes: of one device, by part.
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
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: str = ""
    notes: tuple[str, ...] = ()


def server_of(deployment: Deployment, *, drafts: int = 0, replicas: int = 1, specs: Specs = None) -> Server:
    """A deployment as the closed form sees it, with its engine's coefficients."""
    coefficients = load_engine_coefficients(deployment.engine.id, specs=specs)
    return Server(
        table=tabulate(deployment.work, deployment.host, coefficients, mixed=deployment.engine.mixed),
        coefficients=coefficients,
        sequences=deployment.capacity.sequences,
        chunk_tokens=deployment.engine.chunk_tokens,
        attention_data=deployment.layout.attention_data,
        drafts=drafts,
        replicas=replicas,
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
    anchors: Sequence[ServerAnchor] = (),
    specs: Specs = None,
) -> ServingPrediction:
    """Mean latencies of a server, under users who each have one request in flight or under a rate of requests.

    Args:
        concurrency: requests in flight over all replicas; rate: requests per second over all replicas: one of them.
        input_tokens, output_tokens: of a request, on the mean. drafts: tokens guessed ahead in each step.
        version: of the engine, where it was measured; with anchors, theirs. level: share of unseen cases that the
            interval should hold. anchors: the server's own runs (`calibration.server_anchor_files`), which shift TPOT
            and TTFT.

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
    server = server_of(deployment, drafts=drafts, replicas=replicas, specs=specs)
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    if concurrency is not None:
        state = fixed_concurrency(server, concurrency=concurrency, **sizes)
    else:
        state = at_rate(server, rate=rate, **sizes)
    known = knowledge_of(deployment.engine.id, specs=specs)
    users = float(concurrency if concurrency is not None else max(state.running[0], 1.0))
    moved, standing, anchored = _standing(deployment, known, users, sizes, version, bool(drafts), anchors)
    top = float(highest_rate(server, **sizes)[0])
    return ServingPrediction(
        deployment=deployment,
        concurrency=float(concurrency or 0),
        rate=float(rate or 0),
        level=level,
        latencies=_latencies(state, moved, known, standing, anchored, level, output_tokens),
        throughput=_throughput(state, moved, server, deployment, concurrency, output_tokens),
        running=float(state.running[0]),
        waiting=float(state.waiting[0]),
        capacity=float(state.capacity[0]),
        highest_rate=top,
        stable=bool(state.stable[0]),
        fits=bool(state.fits[0]),
        standing="anchored" if anchored else standing,
        step_seconds=_step_parts(deployment, server.coefficients, state, sizes, replicas),
        provenance=server.coefficients.provenance,
        notes=tuple(_notes(deployment, state, standing, version)),
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


def _standing(
    deployment: Deployment,
    known: Knowledge,
    users: float,
    sizes: Mapping[str, int],
    version: str,
    speculative: bool,
    anchors: Sequence[ServerAnchor],
) -> tuple[dict[str, float], str, frozenset[str]]:
    """(factors on TPOT and TTFT from like deployments and anchors, the level without anchors, metrics with anchors)."""
    family = model_family(deployment.subject)
    moved = dict.fromkeys(METRICS, 1.0)
    labels = {
        "family": family, "hardware": deployment.hardware.id, "engine": deployment.engine.id, "version": version,
        "precision": deployment.precision, "speculative": str(int(speculative)), "layout": str(deployment.layout),
        "lengths": f"{sizes['input_tokens']:g}x{sizes['output_tokens']:g}",
    }  # fmt: skip
    own = own_anchors(anchors, labels) if anchors else ()
    if version == UNSTATED:
        labels["version"] = only_version(own, version)
    x = slopes_of([users], [sizes["input_tokens"]], [sizes["output_tokens"]])
    columns = {name: [text] for name, text in labels.items()}
    levels = known_levels(family in known.families, deployment.hardware.id in known.chips)
    moved |= {metric: float(np.exp(expected(each, columns, x, levels)[0])) for metric, each in known.effects.items()}
    anchored = factors_from_anchors(own, known, labels, x[0])
    moved |= {metric: moved[metric] * factor for metric, factor in anchored.items()}
    return moved, known.level(family, deployment.hardware.id), frozenset(anchored)


def _latencies(
    state: SteadyState,
    moved: Mapping[str, float],
    known: Knowledge,
    standing: str,
    anchored: frozenset[str],
    level: float,
    output_tokens: int,
) -> dict[str, Latency]:
    tpot = float(state.tpot_seconds[0]) * moved["tpot"]
    ttft = float(state.ttft_seconds[0]) * moved["ttft"]
    wide = {
        metric: float(np.exp(anchored_half_width(known, standing, metric, level) if metric in anchored
                             else known.half_width(standing, metric, level)))
        for metric in METRICS
    }  # fmt: skip
    found = {
        "ttft": Latency(seconds=ttft, low=ttft / wide["ttft"], high=ttft * wide["ttft"]),
        "tpot": Latency(seconds=tpot, low=tpot / wide["tpot"], high=tpot * wide["tpot"]),
    }
    later = max(output_tokens - 1, 0)
    # their errors are nearly independent: the shares of the sum in quadrature
    e2e = ttft + later * tpot
    low = e2e - np.hypot(ttft - found["ttft"].low, later * (tpot - found["tpot"].low)) if np.isfinite(e2e) else e2e
    high = e2e + np.hypot(found["ttft"].high - ttft, later * (found["tpot"].high - tpot)) if np.isfinite(e2e) else e2e
    return found | {"e2e": Latency(seconds=e2e, low=float(low), high=float(high))}


def _throughput(
    state: SteadyState,
    moved: Mapping[str, float],
    server: Server,
    deployment: Deployment,
    concurrency: float | None,
    output_tokens: int,
) -> dict[str, float]:
    requests = float(state.requests_per_second[0])
    if concurrency is not None and state.stable[0]:
        later = max(output_tokens - 1, 0)
        requests = concurrency / float(
            state.ttft_seconds[0] * moved["ttft"] + later * state.tpot_seconds[0] * moved["tpot"]
        )
    gpus = deployment.layout.devices * server.replicas
    tokens = requests * output_tokens
    return {"requests": requests, "output_tokens": tokens, "output_tokens_per_gpu": tokens / gpus}


def _step_parts(
    deployment: Deployment, c: EngineCoefficients, state: SteadyState, sizes: Mapping[str, int], replicas: int
) -> dict[str, float]:
    """Seconds of one decoding step by kind of kernel, and of the host."""
    ranks = deployment.layout.attention_data * replicas
    batch = np.array([max(float(state.running[0]) / ranks, 1.0)])
    context = np.array([sizes["input_tokens"] + sizes["output_tokens"] / 2])
    parts: dict[str, float] = {}
    work = deployment.work
    found = (
        (work.token, work_at(work.token, (TOKENS,), batch)),
        (work.decode, work_at(work.decode, (SEQUENCES, CONTEXTS), batch, context)),
    )
    for own, (seconds, _) in found:
        for name, spent in class_seconds(own.classes, seconds, c).items():
            family = next((known for known in FAMILIES_OF_CLASSES if name.startswith(known)), "other")
            parts[family] = parts.get(family, 0.0) + float(spent[0])
    host = float(host_seconds(deployment.host, c)) + c["sequence_seconds"] * float(batch[0])
    return parts | {"host": float(host)}


def _notes(deployment: Deployment, state: SteadyState, standing: str, version: str) -> list[str]:
    notes = list(deployment.notes)
    if not state.fits[0]:
        notes.append("not one sequence fits into the cache: more devices, a narrower precision or shorter requests")
    elif not state.stable[0]:
        notes.append("more requests arrive than are served: the queue grows without end")
    elif state.waiting[0] > state.running[0] and state.capacity[0] < state.running[0] + state.waiting[0]:
        notes.append("more users than the cache holds: requests wait for a place")
    if standing == "datasheet":
        notes.append(f"no run of {deployment.engine.name} was fitted: tables of kernels and priors alone")
    if standing in ("datasheet", "family") and version != UNSTATED:
        notes.append("the engine's version makes no difference here: none was fitted for this model")
    return notes
