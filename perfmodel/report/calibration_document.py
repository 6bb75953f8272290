"""The JSON document of a calibration; `schemas/calibrate.schema.json` publishes its form.

All figures are SI; errors and shares are fractions. May import: calibration, calibration_words. To add a key: a line
here and one in the schema, which refuses keys it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

from perfmodel.calibration.local import ModelScore, ScopeCalibration
from perfmodel.report.calibration_words import Conditions, is_held


def calibration_document(
    found: Sequence[ScopeCalibration],
    conditions: Conditions,
    *,
    profile: str | PathLike[str],
    coefficients: Sequence[str | PathLike[str]],
    report: str | PathLike[str] | None,
) -> dict[str, Any]:
    """A calibration as `perfmodel calibrate --json` prints it.

    Args:
        profile, coefficients, report: files that were written; no report is null.
    """
    return {
        "device": conditions.device,
        "machine": dict(conditions.machine),
        "conditions": {
            "versions": dict(conditions.versions),
            "suite": conditions.suite,
            "created": conditions.created,
            "load": list(conditions.load),
            "drift": conditions.drift,
            "runs": conditions.runs,
            "disturbed": conditions.disturbed,
        },
        "profile": fspath(profile),
        "coefficients": [fspath(path) for path in coefficients],
        "report": None if report is None else fspath(report),
        "scopes": [_scope_document(own) for own in found],
    }


def _scope_document(own: ScopeCalibration) -> dict[str, Any]:
    return {
        "scope": own.fitted.scope,
        "hardware": own.chip.id,
        "dtype": own.dtype,
        "runtime": own.runtime,
        "threads": own.threads,
        "runs": own.fitted.rows,
        "anchors": list(own.anchors),
        "before": dict(own.before),
        "after": dict(own.after),
        "models": [_model_document(score) for score in own.scores],
        "skipped": dict(own.skipped),
    }


def _model_document(score: ModelScore) -> dict[str, Any]:
    return {
        "name": score.name,
        "measured_seconds": score.measured_seconds,
        "before": _prediction(score.measured_seconds, score.before),
        "after": _prediction(score.measured_seconds, score.after),
    }


def _prediction(measured: float, interval: tuple[float, float, float]) -> dict[str, Any]:
    seconds, low, high = interval
    return {"seconds": seconds, "low": low, "high": high, "held": is_held(measured, interval)}
