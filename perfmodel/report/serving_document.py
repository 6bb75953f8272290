"""Servers' predictions as JSON and CSV; `schemas/predict-serving.schema.json` publishes the form of the first.

All figures are SI; null where there is nothing finite to tell. May import: serving.prediction and below. To add a key:
a line here and one in the schema, which refuses keys it does not know."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfmodel.report.cost_words import economics_document
from perfmodel.report.documents import CSV_AMOUNTS, layout_document
from perfmodel.report.formats import format_share

if TYPE_CHECKING:
    from perfmodel.economics import Economics
    from perfmodel.serving.largest_load import LargestLoad
    from perfmodel.serving.latency_intervals import Latency
    from perfmodel.serving.prediction import ServingPrediction


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """One combination: what was asked (by name), and the prediction or why there is none.

    Args:
        largest: where the largest load was asked for, which is then the prediction's. economics: money and energy.
    """

    asked: Mapping[str, Any]
    prediction: ServingPrediction | None
    error: str = ""
    largest: LargestLoad | None = None
    economics: Economics | None = None


def served_document(answer: ServedAnswer) -> dict[str, Any]:
    """One answer as JSON; what is infinite (no steady state) is null."""
    asked = {name: value for name, value in answer.asked.items() if name != "layout"}
    document: dict[str, Any] = {**asked, "layout": layout_document(answer.asked["layout"])}
    found = answer.prediction
    if found is None:
        return document | {"error": answer.error}
    capacity = found.deployment.capacity
    if answer.largest:
        document["largest_load"] = _largest(answer.largest)
    return document | {
        "phases": {name: _latency(own) for name, own in found.latencies.items()},
        "throughput": {name: finite(value) for name, value in found.throughput.items()},
        "running": finite(found.running),
        "waiting": finite(found.waiting),
        "stable": found.stable,
        "fits": found.fits,
        "capacity_sequences": finite(found.capacity),
        "highest_rate": finite(found.highest_rate),
        **({"economics": economics_document(answer.economics, found.deployment.hardware)} if answer.economics else {}),
        "step_seconds": dict(found.step_seconds),
        "memory_bytes": {name: float(value) for name, value in capacity.parts.items()},
        "provenance": {
            "level": found.standing,
            "interval": found.level,
            "engine": found.deployment.engine.name,
            "fitted": found.provenance,
            "notes": list(found.notes),
        },
        "unmodelled": [{"op": kind, "share": share} for kind, share in found.unmodelled],
    }


def served_notes(answers: Sequence[ServedAnswer]) -> list[str]:
    """What is assumed, and what is left out, each once; with the chips that it holds for, if not for all."""
    found = [each.prediction for each in answers if each.prediction]
    counted = dict.fromkeys(
        f"without a formula, only its memory traffic counted: {kind}, up to {format_share(share)}"
        for each in found
        for kind, share in each.unmodelled
    )
    chips: dict[str, dict[str, None]] = {}
    for each in found:
        for note in each.notes:
            chips.setdefault(note, {})[each.deployment.hardware.id] = None
    everybody = {each.deployment.hardware.id for each in found}
    notes = (
        note if len(own) == len(everybody) or any(chip in note for chip in own) else f"{', '.join(own)}: {note}"
        for note, own in chips.items()
    )
    return [*counted, *notes]


def served_csv(answers: Sequence[ServedAnswer]) -> str:
    """One line per answer."""
    rows = []
    for answer in answers:
        row: dict[str, Any] = {name: str(value) for name, value in answer.asked.items()}
        found = answer.prediction
        if found:
            for name, own in found.latencies.items():
                row |= {f"{name}_seconds": own.seconds, f"{name}_low": own.low, f"{name}_high": own.high}
            row |= {f"{name}_per_second": value for name, value in found.throughput.items()}
            row |= {"running": found.running, "waiting": found.waiting, "stable": found.stable, "fits": found.fits}
            amounts = {name: getattr(answer.economics, name, None) for name in CSV_AMOUNTS}
            row |= {name: value for name, value in amounts.items() if value is not None}
            row |= {"concurrency_sure": answer.largest.sure} if answer.largest else {}
            row |= {"capacity": found.capacity, "highest_rate": found.highest_rate, "level": found.standing}
        rows.append(row | {"error": answer.error})
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _largest(found: LargestLoad) -> dict[str, Any]:
    return {
        "objective": {"ttft_seconds": found.objective.ttft_seconds, "tpot_seconds": found.objective.tpot_seconds},
        "concurrency": found.users,
        "concurrency_sure": found.sure,
        "limit": found.limit or None,
        "beyond": {f"{metric}_seconds": finite(value) for metric, value in found.beyond.items()},
    }


def _latency(latency: Latency) -> dict[str, float | None]:
    return {"seconds": finite(latency.seconds), "low": finite(latency.low), "high": finite(latency.high)}


def finite(value: float) -> float | None:
    """A number that JSON can hold."""
    return float(value) if math.isfinite(value) else None
