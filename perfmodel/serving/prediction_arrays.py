"""Many loads of one deployment at once: what `predict_serving` answers for each, as arrays.

    found = predict_serving_arrays(deployment, concurrency=users, input_tokens=2000, output_tokens=300)
    found.columns["tpot_low_seconds"]

The same formulas as `prediction`, in blocks that stay in a processor's cache; what depends on the lengths alone (the
highest rate, the bound of a prompt) is computed once for each pair of lengths. May import: prediction and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.effects import Effects, effect_columns, known_levels, model_family
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.known_effects import UNSTATED, effective_users, labels_of, moved_latencies, slowdown, standing_of
from perfmodel.serving.latency_intervals import half_widths, with_intervals
from perfmodel.serving.servers import server_of
from perfmodel.serving.standing import Knowledge, knowledge_of
from perfmodel.serving.steady_answers import Over, Server, highest_rate, state_at
from perfmodel.serving.step_table import Array

BLOCK = 8192  # loads whose intermediate arrays stay in cache
METRICS = ("ttft", "tpot", "e2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingArrays:
    """Answers for n loads.

    Args:
        standing: datasheet, family or device; of all of them.
        columns: arrays (n,) by name: `<metric>_seconds`, `<metric>_low_seconds`, `<metric>_high_seconds` of ttft, tpot
            and e2e (infinite where there is no steady state), requests_per_second, output_tokens_per_second, running,
            waiting, capacity, highest_rate, stable, fits; as `ServingPrediction` has them.
    """

    standing: str
    columns: Mapping[str, np.ndarray[Any, Any]]


def predict_serving_arrays(
    deployment: Deployment,
    *,
    concurrency: Any = None,
    rate: Any = None,
    input_tokens: Any,
    output_tokens: Any,
    drafts: int = 0,
    replicas: int = 1,
    version: str = UNSTATED,
    level: float = 0.8,
    specs: str | None = None,
) -> ServingArrays:
    """As `predict_serving` without anchors, for loads that broadcast to one dimension.

    Prompts longer than the model's context are not refused: a caller knows which of its loads are meant.

    Raises:
        InputError: no load or two kinds of it; a size that is not positive.

    >>> from perfmodel.serving.deployments import deploy
    >>> server = deploy("llama-3.1-8b", "h100-sxm")
    >>> found = predict_serving_arrays(server, concurrency=[1, 32], input_tokens=1000, output_tokens=200)
    >>> bool(0.005 < found.columns["tpot_seconds"][1] < 0.020), found.columns["stable"].tolist()
    (True, [True, True])
    """
    if (concurrency is None) == (rate is None):
        raise InputError("give either a concurrency (requests in flight) or a rate (requests per second)")
    load = concurrency if rate is None else rate
    sizes = [np.atleast_1d(np.asarray(x, dtype=float)) for x in (load, input_tokens, output_tokens)]
    n, i, o = np.broadcast_arrays(*sizes)
    server = server_of(deployment, drafts=drafts, replicas=replicas, specs=specs)
    known = _known_of(deployment, version, specs)
    widths = half_widths(known.knowledge, known.standing, level)
    blocks = [
        _block(deployment, server, known, widths, "concurrency" if rate is None else "rate", n[own], i[own], o[own])
        for own in (slice(start, start + BLOCK) for start in range(0, len(n), BLOCK))
    ]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}
    return ServingArrays(standing=known.standing, columns=columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a deployment: the levels whose effects help it, and its labels but for the lengths."""

    knowledge: Knowledge
    standing: str
    labels: Mapping[str, str]
    levels: tuple[str, ...]


def _known_of(deployment: Deployment, version: str, specs: str | None) -> _Known:
    known = knowledge_of(deployment.engine.id, specs=specs)
    family = model_family(deployment.subject)
    coefficients = load_engine_coefficients(deployment.engine.id, specs=specs)
    return _Known(
        knowledge=known,
        standing=standing_of(deployment, known, coefficients, family),
        labels=labels_of(deployment, version),
        levels=known_levels(family in known.families, deployment.hardware.id in known.chips),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """The different pairs of lengths of a block, (p,), and the place of each row's pair among them, (n,)."""

    input_tokens: Array
    output_tokens: Array
    place: np.ndarray[Any, np.dtype[np.intp]]

    @property
    def sizes(self) -> dict[str, Array]:
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def _pairs_of(i: Array, o: Array) -> _Pairs:
    pairs, place = np.unique(i + 1j * o, return_inverse=True)
    return _Pairs(input_tokens=pairs.real, output_tokens=pairs.imag, place=place)


def _block(
    deployment: Deployment, server: Server, known: _Known, widths: Mapping[str, float], over: Over, n: Array,
    i: Array, o: Array,
) -> dict[str, np.ndarray[Any, Any]]:  # fmt: skip
    sizes = {"input_tokens": i, "output_tokens": o}
    pairs = _pairs_of(i, o)
    place, replicas = pairs.place, server.replicas
    top = highest_rate(server, **pairs.sizes)
    state = state_at(server, over, n, **sizes)
    effects = {metric: _effects(known, server, metric, pairs) for metric in ("tpot", "ttft")}
    moved = {metric: own.factors(effective_users(state, replicas), place) for metric, own in effects.items()}
    slower = _slowdown(server, effects, pairs, top)
    if over == "rate" and np.any(slower != 1.0):
        state = state_at(server, over, n * slower[place], **sizes)
    found, floors = moved_latencies(deployment, server, state, sizes, moved)
    most = (top / slower)[place]
    with np.errstate(invalid="ignore"):  # infinite where there is no steady state
        answering = np.where(o > 1, (o - 1) * found["tpot"], 0.0)
        requests = np.minimum(n, most) if over == "rate" else n / (found["ttft"] + answering)
        running, waiting = requests * answering, requests * found["ttft"]
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for metric, ends in with_intervals(found, floors, widths, o).items():
        for name, own in zip(("seconds", "low_seconds", "high_seconds"), ends, strict=True):
            columns[f"{metric}_{name}"] = own
    served = requests > 0
    return columns | {
        "requests_per_second": requests,
        "output_tokens_per_second": requests * o,
        "running": np.where(served, running, 0.0),
        "waiting": np.where(served, waiting, np.inf if over == "rate" else n),
        "capacity": state.capacity,
        "highest_rate": most,
        "stable": state.stable,
        "fits": state.fits,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _PairEffects:
    """Log of the factor on a metric, linear in the log of users: at the usual number of them, and its slope, (p,)."""

    usual_users: float
    at_usual: Array
    slope: Array

    def factors(self, users: Array, place: Any) -> Array:
        return np.asarray(np.exp(self.at_usual[place] + self.slope[place] * np.log(users / self.usual_users)))


def _effects(known: _Known, server: Server, metric: str, pairs: _Pairs) -> _PairEffects:
    effects = known.knowledge.effects.get(metric, Effects(variances={}, noise=0.0))
    labels = {**known.labels, "speculative": str(int(bool(server.drafts)))}
    usual, at_usual, slope = effect_columns(effects, labels, pairs.input_tokens, pairs.output_tokens, known.levels)
    return _PairEffects(usual_users=usual, at_usual=at_usual, slope=slope)


def _slowdown(server: Server, effects: Mapping[str, _PairEffects], pairs: _Pairs, top: Array) -> Array:
    """`known_effects.slowdown` of each pair of lengths; 1 where not one request fits."""
    slower = np.ones_like(top)
    fitting = np.flatnonzero(top > 0)
    if len(fitting):
        i, o = pairs.input_tokens[fitting], pairs.output_tokens[fitting]
        places = np.maximum(server.sequences(i + o / 2) * server.groups, 1.0) / server.replicas
        full = {metric: own.factors(places, fitting) for metric, own in effects.items()}
        slower[fitting] = slowdown(server, full, {"input_tokens": i, "output_tokens": o})
    return slower
