"""The JSON document of `perfmodel scale`; `schemas/scale.schema.json` publishes its form.

All figures are SI. May import: planning and below. To add a key: a line here and one in the schema, which refuses keys
it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.planning.overtaking import Contest, contests
from perfmodel.planning.scaling import Regime, SizeLine, SizePoint
from perfmodel.report.answers import Answer
from perfmodel.report.documents import setting_document
from perfmodel.report.scaling_words import contest_sentences, line_sentences


def scale_document(lines: Sequence[SizeLine], refused: Sequence[Answer], notes: Sequence[str]) -> dict[str, Any]:
    """Every line with its points, regimes, crossings and sentences, and the combinations that a chip refuses."""
    return {
        "lines": [_line_document(line) for line in lines],
        "contests": [_contest_document(contest) for contest in contests(lines)],
        "refused": [
            {
                "model": each.request.model, "hardware": each.request.hardware, "precision": each.request.precision,
                "error": each.error,
            }
            for each in refused
        ],
        "notes": list(notes),
    }  # fmt: skip


def _line_document(line: SizeLine) -> dict[str, Any]:
    return {
        **setting_document(line.request),
        "family": line.family,
        "phase": line.phase,
        "exponent": line.exponent,
        "points": [_point_document(point) for point in line.points],
        "regimes": [_regime_document(line, regime) for regime in line.regimes],
        "crossings": [
            {"parameters": each.parameters, "seconds": each.seconds, "below": each.below, "above": each.above}
            for each in line.crossings
        ],
        "memory_limit_bytes": line.memory_limit_bytes,
        "fits_up_to": line.fits_up_to,
        "reasons": list(line_sentences(line)),
    }


def _contest_document(contest: Contest) -> dict[str, Any]:
    return {
        "family": contest.family,
        "phase": contest.phase,
        "order": list(contest.order),
        "overtakings": [
            {"parameters": each.parameters, "seconds": each.seconds, "below": each.below, "above": each.above,
             "sure": each.sure}
            for each in contest.overtakings
        ],
        "reasons": list(contest_sentences(contest)),
    }  # fmt: skip


def _point_document(point: SizePoint) -> dict[str, Any]:
    time = point.time
    return {
        "model": point.model, "parameters": point.parameters,
        "seconds": time.seconds, "low": time.low, "high": time.high, "bound": time.bound,
        "compute_seconds": time.compute_seconds, "memory_seconds": time.memory_seconds,
        "network_seconds": time.network_seconds, "overhead_seconds": time.overhead_seconds,
        "exponent": point.exponent, "rate_per_second": point.rate_per_second,
        "memory_bytes": point.memory_bytes, "fits": point.fits,
    }  # fmt: skip


def _regime_document(line: SizeLine, regime: Regime) -> dict[str, Any]:
    return {
        "bound": regime.bound,
        "models": [point.model for point in line.points[regime.first : regime.last + 1]],
        "exponent": regime.exponent,
        "halving_gain": regime.halving_gain,
    }
