"""The largest load that keeps an objective: how many users a server can have before it becomes too slow.

Mean TTFT and TPOT of the closed form grow with the users, so the answer is one below the first number that breaks the
objective; all numbers up to twice what the cache holds are evaluated at once (of very many, an even choice).

May import: prediction and below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.known_effects import UNSTATED, effective_users, effects_of, moved_latencies
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from perfmodel.serving.server_anchors import ServerAnchor
from perfmodel.serving.servers import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, check_context, server_of
from perfmodel.serving.simulation_settings import Objective
from perfmodel.serving.steady_answers import fixed_concurrency
from perfmodel.serving.step_table import Array
from perfmodel.types import Hardware, Model

BEYOND_CAPACITY = 2  # users that wait for a place have long left any objective
MOST_EVALUATED = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestLoad:
    """How many users keep an objective.

    Args:
        objective: limits on mean TTFT and TPOT. users: in flight at most; 0 where even one alone breaks it.
        sure: users at most where the slow ends of the intervals are to keep it, too.
        limit: ttft or tpot, which one more user breaks; "" where none does, up to the most that was looked at.
        alone, beyond: seconds of one user, and of one user more, by metric.
    """

    objective: Objective
    users: int
    sure: int
    limit: str
    alone: Mapping[str, float]
    beyond: Mapping[str, float]


def largest_load(
    deployment: Deployment,
    objective: Objective,
    *,
    input_tokens: int = DEFAULT_INPUT_TOKENS,
    output_tokens: int = DEFAULT_OUTPUT_TOKENS,
    drafts: int = 0,
    replicas: int = 1,
    version: str = UNSTATED,
    level: float = 0.8,
    anchors: Sequence[ServerAnchor] = (),
    specs: str | None = None,
) -> LargestLoad:
    """Users at most, over all replicas, whose mean latencies keep an objective.

    Args:
        objective: with one limit at least. The others as `predict_serving`.

    Raises:
        InputError: no limit, or one that is no positive number.

    >>> llama = deploy("llama-3.1-8b", "h100-sxm")
    >>> found = largest_load(llama, Objective(tpot_seconds=0.02), input_tokens=1000, output_tokens=200)
    >>> 30 < found.sure < found.users < 200, found.limit
    (True, 'tpot')
    """
    limits = _limits(objective)
    check_context(deployment, input_tokens, output_tokens)
    sizes = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    server = server_of(deployment, drafts=drafts, replicas=replicas, specs=specs)
    room = float(deployment.capacity.sequences(input_tokens + output_tokens / 2)) * server.groups
    most = max(int(BEYOND_CAPACITY * room), 1) + 1
    users = np.unique(np.round(np.linspace(1, most, min(most, MOST_EVALUATED))))
    state = fixed_concurrency(server, concurrency=users, **sizes)
    own = effective_users(state, replicas)
    factors, standing, known = effects_of(deployment, own, sizes, version, bool(drafts), anchors=anchors, specs=specs)
    found, _ = moved_latencies(deployment, server, state, sizes, factors)
    slow = {metric: own * np.exp(known.half_width(standing, metric, level)) for metric, own in found.items()}
    places, broken = _kept(found, limits)
    sure, _ = _kept(slow, limits)
    return LargestLoad(
        objective=objective,
        users=int(users[places - 1]) if places else 0,
        sure=int(users[sure - 1]) if sure else 0,
        limit=broken,
        alone={metric: float(own[0]) for metric, own in found.items()},
        beyond={metric: float(own[min(places, len(own) - 1)]) for metric, own in found.items()},
    )


def predict_largest_load(
    model: str | Model,
    hardware: str | Hardware,
    objective: Objective,
    *,
    engine: str | EnginePolicy = "vllm",
    precision: str | None = None,
    cache_precision: str | None = None,
    layout: Layout | None = None,
    strict: bool = False,
    specs: str | None = None,
    **load: Any,
) -> tuple[LargestLoad, ServingPrediction]:
    """The largest load, and the prediction for it.

    Args:
        load: as `largest_load`. The others as `predict_serving`.

    Raises:
        InputError: even a user alone breaks the objective; says what the best is.
    """
    where: dict[str, Any] = {
        "engine": engine, "precision": precision, "cache_precision": cache_precision, "layout": layout, "specs": specs,
    }  # fmt: skip
    deployment = deploy(model, hardware, **where)
    found = largest_load(deployment, objective, specs=specs, **load)
    if not found.users:
        raise InputError(_impossible(deployment, found))
    return found, predict_serving(model, hardware, concurrency=found.users, strict=strict, **where, **load)


def _limits(objective: Objective) -> dict[str, float]:
    limits = {"ttft": objective.ttft_seconds, "tpot": objective.tpot_seconds}
    given = {metric: limit for metric, limit in limits.items() if limit is not None}
    wrong = [f"{metric.upper()} objective must be above 0, not {own:g}" for metric, own in given.items() if not own > 0]
    if wrong or not given:
        raise InputError("; ".join(wrong) or "an objective limits TTFT, TPOT or both")
    return given


def _kept(found: Mapping[str, Array], limits: Mapping[str, float]) -> tuple[int, str]:
    """(how many numbers of users lie below the first that breaks a limit, the limit it breaks)."""
    first = {metric: _first_above(found[metric], limit) for metric, limit in limits.items()}
    metric = min(first, key=lambda name: first[name])
    return first[metric], metric if first[metric] < len(found[metric]) else ""


def _first_above(values: Array, limit: float) -> int:
    above = np.flatnonzero(~(values <= limit))
    return int(above[0]) if len(above) else len(values)


def _impossible(deployment: Deployment, found: LargestLoad) -> str:
    where = f"{deployment.subject} in {deployment.precision} on {deployment.layout.devices} {deployment.hardware.id}"
    if not np.isfinite(found.alone["tpot"]):
        return f"{where}: not one request fits (more devices, a narrower precision or shorter requests help)"
    return f"{where}: too slow even for one user (TTFT {found.alone['ttft']:.3g} s, TPOT {found.alone['tpot']:.3g} s)"
