"""The latencies of a batch alone, without a server, in the parts that those of servers have.

May import: errors, types, comparison, latency_parts.
"""

from __future__ import annotations

from perfmodel.comparison import HOST, phase_terms, whole_time
from perfmodel.errors import InputError
from perfmodel.latency_parts import (
    ATTENTION,
    CACHE,
    COLLECTIVES,
    COMPUTE,
    OTHERS,
    STARTS,
    WEIGHTS,
    Made,
    whole_latency,
)  # fmt: skip
from perfmodel.types import OpTime, PhasePrediction, Prediction

_MATRICES = ("linear layers", "matrix products", "expert layers")


def static_latencies(prediction: Prediction) -> dict[str, Made]:
    """TTFT, TPOT and E2E of a batch alone: its prefill, its decode step, its whole request.

    Args:
        prediction: from `perfmodel.explain`.

    Raises:
        InputError: a model that makes no tokens, or a prediction without a row per op.
    """
    phases, name = prediction.phases, prediction.request.model
    if "decode" not in phases or "prefill" not in phases:
        raise InputError(f"{name} makes no tokens one by one: only its like can stand beside it, not a server")
    if not phases["decode"].ops:
        raise InputError("no ops to compare: make the prediction with perfmodel.explain instead of predict")
    before = [phase for label, phase in phases.items() if label != "decode"]
    ttft = _made(sum((phase.time for phase in before), OpTime()), *before)
    tpot = _made(phases["decode"].time, phases["decode"])
    whole = whole_time(prediction)
    e2e = whole_latency(ttft, tpot, prediction.request.output_tokens, whole.low, whole.high)
    return {"ttft": ttft, "tpot": tpot, "e2e": e2e}


def _made(time: OpTime, *phases: PhasePrediction) -> Made:
    parts: dict[str, float] = {}
    for phase in phases:
        for term, spent in phase_terms(phase).items():
            for name, seconds in _pieces(term, spent.time).items():
                parts[name] = parts.get(name, 0.0) + seconds
    return Made(seconds=time.seconds, low=time.low, high=time.high, parts=parts)


def _pieces(term: str, time: OpTime) -> dict[str, float]:
    """The parts that a term of a phase belongs to."""
    if term == HOST:
        return {HOST: time.seconds}
    if term == COLLECTIVES:
        return {COLLECTIVES: time.seconds}
    started = {STARTS: time.overhead_seconds}
    if term in _MATRICES or term == "attention":
        moving, computing = (CACHE, ATTENTION) if term == "attention" else (WEIGHTS, COMPUTE)
        rest = time.seconds - time.overhead_seconds - time.compute_seconds
        return {moving: rest, computing: time.compute_seconds} | started
    return {OTHERS: time.seconds - time.overhead_seconds} | started
