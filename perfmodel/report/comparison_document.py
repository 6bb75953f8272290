"""The JSON document of a comparison; `schemas/comparison.schema.json` publishes its form.

All figures are SI. May import: types, comparison and below. To add a key: a line here and one in the schema, which
refuses keys it does not know.
"""

from __future__ import annotations

from typing import Any

from perfmodel.comparison import Comparison, PhaseComparison, Spent, ratio
from perfmodel.report.answers import Answer
from perfmodel.report.comparison_words import phase_sentences, whole_sentence
from perfmodel.report.documents import answer_document
from perfmodel.types import OpTime


def comparison_document(answers: tuple[Answer, Answer], comparison: Comparison) -> dict[str, Any]:
    """Both answers as `predict --json` lists them, and by phase the figures, terms and sentences of `--compare`."""
    a, b = comparison.a, comparison.b
    return {
        "a": answer_document(answers[0]),
        "b": answer_document(answers[1]),
        "seconds": _pair(comparison.a_time.seconds, comparison.b_time.seconds),
        "intervals": {"a": _interval(comparison.a_time), "b": _interval(comparison.b_time)},
        "parameters": _pair(a.parameters, b.parameters),
        "weight_bytes": _pair(a.memory_bytes["weights"], b.memory_bytes["weights"]),
        "phases": {phase.name: _phase_document(comparison, phase) for phase in comparison.phases},
        "reasons": [whole_sentence(comparison)],
    }


def _pair(a: float | None, b: float | None) -> dict[str, float | None]:
    """Both figures and A/B; null where a side has none."""
    return {"a": a, "b": b, "ratio": ratio(a, b) if a is not None and b is not None else None}


def _interval(time: OpTime) -> dict[str, float]:
    return {"low": time.low, "high": time.high}


def _phase_document(comparison: Comparison, phase: PhaseComparison) -> dict[str, Any]:
    a, b = phase.a, phase.b
    return {
        "repeats": {"a": phase.repeats[0], "b": phase.repeats[1]},
        "seconds": _pair(a.time.seconds, b.time.seconds),
        "intervals": {"a": _interval(a.time), "b": _interval(b.time)},
        "flops": _pair(a.flops, b.flops),
        "bytes": _pair(a.bytes, b.bytes),
        "launches": _pair(float(a.cost.launches), float(b.cost.launches)),
        "flops_per_byte": _pair(a.intensity, b.intensity),
        "flops_per_second": _pair(ratio(a.flops, a.time.seconds), ratio(b.flops, b.time.seconds)),
        "peak_share": _pair(a.peak_share, b.peak_share),
        "bytes_per_second": _pair(ratio(a.bytes, a.time.seconds), ratio(b.bytes, b.time.seconds)),
        "bandwidth_share": _pair(a.bandwidth_share, b.bandwidth_share),
        "difference_seconds": phase.difference_seconds,
        "terms": [
            {
                "term": term.name,
                "difference_seconds": term.difference_seconds,
                "a": _spent_document(term.a),
                "b": _spent_document(term.b),
            }
            for term in phase.terms
        ],
        "reasons": list(phase_sentences(comparison, phase)),
    }


def _spent_document(spent: Spent) -> dict[str, Any]:
    time = spent.time
    return {
        "seconds": time.seconds, "compute_seconds": time.compute_seconds, "memory_seconds": time.memory_seconds,
        "network_seconds": time.network_seconds, "overhead_seconds": time.overhead_seconds,
        "flops": spent.flops, "bytes": spent.bytes, "launches": float(spent.cost.launches), "ops": spent.runs,
    }  # fmt: skip
