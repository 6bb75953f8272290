"""The JSON document of `perfmodel tradeoff`; `schemas/tradeoff.schema.json` publishes its form.

All figures are SI. May import: planning and below. To add a key: a line here and one in the schema, which refuses keys
it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from perfmodel.planning.tradeoff import Front, Tradeoff, TradeoffPoint
from perfmodel.report.documents import setting_document
from perfmodel.report.tradeoff_words import front_sentences


def tradeoff_document(answer: Tradeoff, notes: Sequence[str]) -> dict[str, Any]:
    """Every front with all its points and sentences, and the rows that were left out."""
    limits = {name: getattr(answer.budget, name) for name in ("seconds", "memory_bytes", "cost_usd")}
    return {
        "table": {"path": answer.table.path, "metric": answer.table.metric, "unit": answer.table.unit},
        "latency": answer.latency,
        "lower_is_better": answer.lower_is_better,
        "costed": answer.costed,
        "budget": {name: limit if math.isfinite(limit) else None for name, limit in limits.items()},
        "fronts": [_front_document(answer, front) for front in answer.fronts],
        "left_out": [{"line": row.line, "model": row.model, "reason": row.reason} for row in answer.left_out],
        "notes": list(notes),
    }


def _front_document(answer: Tradeoff, front: Front) -> dict[str, Any]:
    return {
        **setting_document(front.points[0].prediction.request),
        "best": None if front.best is None else front.best.row.model,
        "surely_within": None if front.sure is None else front.sure.row.model,
        "points": [_point_document(point) for point in front.points],
        "reasons": list(front_sentences(answer, front)),
    }


def _point_document(point: TradeoffPoint) -> dict[str, Any]:
    return {
        "model": point.row.model,
        "line": point.row.line,
        "accuracy": point.row.accuracy,
        "image_size": point.prediction.request.image_size,
        "parameters": point.prediction.parameters,
        "seconds": point.seconds,
        "low": point.low,
        "high": point.high,
        "memory_bytes": point.prediction.memory_bytes["total"],
        "fits": point.prediction.fits,
        "cost_usd": point.cost_usd,
        "standing": point.standing,
        "within_latency_budget": point.within,
        "apart_from_next": point.apart,
        "level": point.prediction.provenance["level"],
    }
