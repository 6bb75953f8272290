"""What measured servers say about a deployment, and its latencies with that.

    effects_of       factors on TPOT and TTFT, and the level that they stand on
    moved_latencies  TTFT and TPOT of a steady state with those factors, never below what the chip can do

May import: effects, standing, server_anchors, physical_bounds, steady_answers and below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.serving.deployments import Deployment
from perfmodel.serving.effects import expected, known_levels, model_family, slopes_of
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.physical_bounds import bound_latencies
from perfmodel.serving.server_anchors import ServerAnchor, factors_from_anchors, only_version, own_anchors
from perfmodel.serving.standing import Knowledge, anchored_knowledge, knowledge_of
from perfmodel.serving.steady_answers import Server, SteadyState, fixed_concurrency
from perfmodel.serving.step_table import Array

UNSTATED = "unstated"  # a version or run that nothing was fitted on


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
        **labels_of(deployment, version), "speculative": str(int(speculative)),
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


def labels_of(deployment: Deployment, version: str) -> dict[str, str]:
    """What effects know a deployment by, whatever its requests and drafts are."""
    return {
        "family": model_family(deployment.subject), "hardware": deployment.hardware.id, "engine": deployment.engine.id,
        "version": version, "precision": deployment.precision, "layout": str(deployment.layout),
    }  # fmt: skip


def standing_of(deployment: Deployment, known: Knowledge, c: EngineCoefficients, family: str) -> str:
    """The level of a prediction without anchors: kernels that no fitted server ran take it from its device's."""
    standing = known.level(family, deployment.hardware.id)
    return "family" if standing == "device" and unfitted_classes(deployment, c) else standing


def unfitted_classes(deployment: Deployment, c: EngineCoefficients) -> list[str]:
    """Classes of contractions that no fitted server of the engine ran."""
    work = deployment.work
    classes = dict.fromkeys((*work.token.classes, *work.decode.classes))
    return [name for name in classes if name.startswith(("gemm", "experts")) and f"compute.{name}" not in c.values]


def effective_users(state: SteadyState, replicas: int) -> Array:
    """Requests in flight that have a place, of one replica: what effects were fitted on."""
    return np.clip(state.running + state.waiting, 1.0, np.maximum(state.capacity, 1.0)) / replicas


def slowdown(server: Server, factors: Mapping[str, Array], sizes: Mapping[str, Any]) -> Array:
    """Time of an answer with the effects on its parts, against that without, where every place is taken, (n,)."""
    places = server.sequences(sizes["input_tokens"] + sizes["output_tokens"] / 2)
    full = fixed_concurrency(server, concurrency=places * server.groups, **sizes)
    ttft, tpot = _moved(full, factors, sizes["output_tokens"])
    return np.asarray((ttft + np.maximum(sizes["output_tokens"] - 1, 0) * tpot) / full.e2e_seconds)


def moved_latencies(
    deployment: Deployment, server: Server, state: SteadyState, sizes: Mapping[str, Any], factors: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """(TTFT and TPOT with the effects on them, never below their physical bounds; those bounds), (n,) each."""
    floors = bound_latencies(deployment, server, state, sizes)
    ttft, tpot = _moved(state, factors, sizes["output_tokens"])
    return {"ttft": np.maximum(ttft, floors["ttft"]), "tpot": np.maximum(tpot, floors["tpot"])}, floors


def _moved(state: SteadyState, factors: Mapping[str, Array], output_tokens: Any) -> tuple[Array, Array]:
    """TTFT and TPOT with the effects on them; a wait for a place is a number of whole answers of others."""
    tpot, place = state.tpot_seconds, state.place_seconds
    own = state.ttft_seconds - place
    finite = np.isfinite(own + tpot)
    with np.errstate(invalid="ignore"):
        answers_ahead = place / (own + output_tokens * tpot)
        own, tpot = own * factors["ttft"], tpot * factors["tpot"]
        waiting = answers_ahead * (own + output_tokens * tpot)
    return own + np.where(finite, waiting, 0.0), tpot
