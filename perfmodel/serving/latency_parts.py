"""TPOT and TTFT of a server in parts that add up to them: kernels by what they wait for, the host, prompts, queues.

A step table is linear in what its kernels take, so that each part has a table of its own: read at the same place, the
parts of a step add up to the step. What measured servers of the kind take more or less than the engine's model says is
a part by itself, and so is what the physical bound adds.

May import: everything of serving but prediction (its types alone), and latency_parts (the names of the parts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.latency_parts import ATTENTION, CACHE, COLLECTIVES, OTHERS, STARTS, WEIGHTS, Made, whole_latency
from perfmodel.latency_parts import COMPUTE as MATRICES
from perfmodel.serving import work as resources
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_time import class_pieces, class_seconds, host_seconds
from perfmodel.serving.steady_answers import LoopTerms, Server, terms_at_concurrency, terms_at_rate
from perfmodel.serving.steady_state import PROMPT, STEP, Steps, accepted_tokens, loop_steps, waiting_seconds
from perfmodel.serving.step_table import Array, StepTable
from perfmodel.serving.work import CHUNKS, CONTEXTS, SEQUENCES, TOKENS, Work

if TYPE_CHECKING:
    from perfmodel.serving.prediction import ServingPrediction

PER_LAYER, PER_STEP, PER_SEQUENCE = "host per layer", "host per step", "host per sequence"
DRAFTING, PLACE, MEASURED, BOUND = "drafting", "waiting for a place", "as measured servers", "physical bound"
ROUNDING = 1e-12  # share of a latency that is no part of it


def latency_parts(
    deployment: Deployment,
    server: Server,
    load: Mapping[str, float],
    sizes: Mapping[str, int],
    moved: Mapping[str, Array],
    totals: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """Seconds by part, of ttft and tpot; parts of no time are left out.

    Args:
        load: {"concurrency": users} or {"rate": requests per second}, as the closed form was asked.
        moved: factors on TTFT and TPOT from what is known of like servers. totals: what each adds up to.
    """
    terms = terms_at_rate(server, **load, **sizes) if "rate" in load else terms_at_concurrency(server, **load, **sizes)
    spent = {
        name: loop_steps(table, terms.loop, terms.batch) for name, table in part_tables(deployment, server).items()
    }
    place = _place(terms, moved) if "concurrency" in load else 0.0
    found = {
        "tpot": (_tpot_terms(terms, spent, server), float(moved["tpot"][0]), 0.0),
        "ttft": (_ttft_terms(terms, spent, server), float(moved["ttft"][0]), place),
    }
    return {metric: _closed(*own, total=totals[metric]) for metric, own in found.items()}


def _closed(parts: dict[str, float], factor: float, place: float, *, total: float) -> dict[str, float]:
    """The parts with what is known of like servers, waits for a place, and what the bound adds."""
    parts = parts | {MEASURED: sum(parts.values()) * (factor - 1), PLACE: place}
    beyond = total - sum(parts.values())
    if beyond > ROUNDING * total:
        parts[BOUND] = beyond
    return {name: seconds for name, seconds in parts.items() if abs(seconds) > ROUNDING * total}


def _tpot_terms(terms: LoopTerms, spent: Mapping[str, Steps], server: Server) -> dict[str, float]:
    made = float(np.asarray(accepted_tokens(terms.loop.drafts, server.coefficients)))
    parts = {name: _number(steps.decode) / made for name, steps in spent.items()}
    drafting = {DRAFTING: _number(terms.tpot[STEP]) - sum(parts.values())} if terms.loop.drafts else {}
    return parts | drafting | {name: _number(own) for name, own in terms.tpot.items() if name != STEP}


def _ttft_terms(terms: LoopTerms, spent: Mapping[str, Steps], server: Server) -> dict[str, float]:
    scale = server.coefficients["prefill_scale"]
    parts = {name: scale * _number(steps.prompt) for name, steps in spent.items()}
    return parts | {name: _number(own) for name, own in terms.ttft.items() if name != PROMPT}


def _place(terms: LoopTerms, moved: Mapping[str, Array]) -> float:
    """What a user waits for a place: a number of whole answers of others, as they are with what is known of them."""
    tpot, ttft = (sum(own.values()) * moved[metric] for metric, own in (("tpot", terms.tpot), ("ttft", terms.ttft)))
    return _number(waiting_seconds(terms.loop, np.asarray(tpot), np.asarray(ttft)))


def _number(value: Any) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def served_latencies(found: ServingPrediction) -> dict[str, Made]:
    """TTFT, TPOT and E2E of a server with their parts, to be compared with those of any other request.

    Args:
        found: predicted `with_parts`; its latencies are infinite where it has none.
    """
    made = {
        metric: Made(seconds=own.seconds, low=own.low, high=own.high, parts=found.parts.get(metric, {}))
        for metric, own in found.latencies.items()
    }
    whole = found.latencies["e2e"]
    return made | {"e2e": whole_latency(made["ttft"], made["tpot"], found.output_tokens, whole.low, whole.high)}


# ----------------------------------------------------------------------------------------------- tables of parts


def part_tables(deployment: Deployment, server: Server) -> dict[str, StepTable]:
    """A step table for each part; read at one place they add up to the deployment's."""
    c, work = server.coefficients, deployment.work
    kernels = {
        "token_seconds": (_kernel_parts(work.token, c), (len(TOKENS),)),
        "decode_seconds": (_kernel_parts(work.decode, c), (len(SEQUENCES), len(CONTEXTS))),
        "prefill_seconds": (_kernel_parts(work.prefill, c), (len(CHUNKS), len(CONTEXTS))),
    }
    names = dict.fromkeys(name for parts, _ in kernels.values() for name in parts)
    tables = {
        name: _table(
            **{field: parts[name].reshape(shape) for field, (parts, shape) in kernels.items() if name in parts}
        )
        for name in names
    }
    step = float(c["step_seconds"])
    return tables | {
        PER_LAYER: _table(fixed_seconds=float(host_seconds(deployment.host, c)) - step),
        PER_STEP: _table(fixed_seconds=step),
        PER_SEQUENCE: _table(sequence_seconds=float(c["sequence_seconds"])),
    }


def _table(**given: Any) -> StepTable:
    """A table of what is given, and of nothing else."""
    nothing: dict[str, Any] = {
        "token_seconds": np.zeros(len(TOKENS)),
        "decode_seconds": np.zeros((len(SEQUENCES), len(CONTEXTS))),
        "prefill_seconds": np.zeros((len(CHUNKS), len(CONTEXTS))),
    }
    return StepTable(
        tokens=TOKENS,
        decode_batch=SEQUENCES,
        decode_context=CONTEXTS,
        prefill_tokens=CHUNKS,
        prefill_context=CONTEXTS,
        **(nothing | given),
    )


def _kernel_parts(work: Work, c: Any) -> dict[str, Array]:
    """Kernel time by part, (n,) each; where the physical bound is longer than all kernels, they are drawn out to it."""
    whole = sum(class_seconds(work.classes, work.parts, c).values(), np.zeros(work.parts.shape[2]))
    longer = np.where(whole > 0, np.maximum(whole, work.bound) / np.where(whole > 0, whole, 1.0), 1.0)
    parts: dict[str, Array] = {}
    for name, own in zip(work.classes, work.parts, strict=True):
        for resource, seconds in class_pieces(name, own, c).items():
            part = _part_of(name, resource)
            parts[part] = parts.get(part, np.zeros(len(longer))) + seconds * longer
    return parts


def _part_of(name: str, resource: int) -> str:
    """The part that a class's time on a resource belongs to."""
    if name.startswith("collective"):
        return COLLECTIVES
    if resource == resources.OVERHEAD:
        return STARTS
    if name.startswith(("gemm", "experts")):
        return WEIGHTS if resource == resources.MEMORY else MATRICES
    if name.startswith("attention"):
        return CACHE if resource == resources.MEMORY else ATTENTION
    return OTHERS
