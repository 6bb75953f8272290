"""`perfmodel explain` of servers as JSON; schemas/explain-serving.schema.json and latency-comparison.schema.json.

All figures are SI. May import: latency_parts, answers, documents, serving_document, latency_words. To add a key: a line
here and one in the schema, which refuses keys it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.latency_parts import LatencyComparison, Made
from perfmodel.report.answers import Answer
from perfmodel.report.documents import answer_document
from perfmodel.report.latency_words import compared_sentences, made_sentence
from perfmodel.report.serving_document import ServedAnswer, finite, served_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A request, of a server or of a batch alone, and what its latencies are made of."""

    answer: ServedAnswer | Answer
    latencies: Mapping[str, Made]


def explained_document(explained: Explained) -> dict[str, Any]:
    """The answer as `predict --json` lists it, and the parts of TTFT and TPOT."""
    made = {name: own for name, own in explained.latencies.items() if own.parts and name != "e2e"}
    return {
        "answer": _answer(explained),
        "parts": {name: dict(own.parts) for name, own in made.items()},
        "reasons": [made_sentence(name, own) for name, own in made.items()],
    }


def compared_document(pair: tuple[Explained, Explained], found: Sequence[LatencyComparison]) -> dict[str, Any]:
    """Both answers, and each latency with the parts of the difference, the largest first."""
    return {
        "a": _answer(pair[0]),
        "b": _answer(pair[1]),
        "latencies": {each.metric: _compared(each) for each in found},
        "reasons": list(compared_sentences(found)),
    }


def _answer(explained: Explained) -> dict[str, Any]:
    answer = explained.answer
    return served_document(answer) if isinstance(answer, ServedAnswer) else answer_document(answer)


def _compared(found: LatencyComparison) -> dict[str, Any]:
    low, high = found.ratio_interval
    return {
        "a": _made(found.a),
        "b": _made(found.b),
        "difference_seconds": found.difference_seconds,
        "ratio": {"value": found.ratio, "low": low, "high": high},
        "parts": [
            {"part": part.name, "a": part.a, "b": part.b, "difference_seconds": part.difference_seconds}
            for part in found.parts
        ],
    }


def _made(made: Made) -> dict[str, float | None]:
    return {"seconds": finite(made.seconds), "low": finite(made.low), "high": finite(made.high)}
