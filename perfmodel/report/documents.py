"""JSON documents and CSV rows of answers; `schemas/predict.schema.json` publishes the form of the first.

All figures are SI: seconds, bytes, FLOPs. May import: types, kernels and below. To add a key: a line here and one in
the schema, which refuses keys it does not know.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from perfmodel.closed_form import BlockForm, BoundChange, PhaseForm
from perfmodel.layouts import Layout
from perfmodel.report.answers import Answer, Explanation
from perfmodel.report.cost_words import economics_document
from perfmodel.types import OpPrediction, OpTime, PhasePrediction, Request

CSV_AMOUNTS = (
    "watts", "wall_watts", "joules_per_output_token", "tokens_per_joule", "usd_per_hour",
    "usd_per_million_output_tokens", "usd_per_million_tokens",
)  # fmt: skip


def dump_json(document: Any) -> str:
    """JSON text for people and programs."""
    return json.dumps(document, indent=2, allow_nan=False)


def answer_document(answer: Answer) -> dict[str, Any]:
    """An answer as `predict --json` lists it; a refused combination has `error` in place of the results."""
    asked = _request_document(answer.request) | {
        "emulated": [{"asked": asked, "used": used} for asked, used in answer.emulated]
    }
    prediction = answer.prediction
    if prediction is None:
        return asked | {"error": answer.error}
    return (
        asked
        | {
            "phases": {name: phase_document(phase) for name, phase in prediction.phases.items()},
            **({"first_token_seconds": prediction.first_token_seconds} if prediction.generates else {}),
            "seconds": prediction.seconds,
            "memory_bytes": dict(prediction.memory_bytes),
            "fits": prediction.fits,
            "throughput": dict(prediction.throughput),
            "cost_usd": prediction.cost_usd,
            "energy_joules": prediction.energy_joules,
            **(
                {"economics": economics_document(answer.economics, answer.hardware)}
                if answer.economics and answer.hardware
                else {}
            ),
            "unmodelled": [{"op": kind, "share": share} for kind, share in prediction.unmodelled],
            "provenance": {**prediction.provenance, "notes": list(answer.notes)},
        }
        | dict(answer.limits)
    )


def explanation_document(answer: Answer, why: Explanation) -> dict[str, Any]:
    """As `answer_document`, with a row per op, the reasons and the closed forms in each phase."""
    assert answer.prediction is not None
    document = answer_document(answer)
    for name, phase in answer.prediction.phases.items():
        document["phases"][name] |= {
            "ops": [op_document(op) for op in phase.ops],
            "reasons": list(why.sentences[name]),
            "bound_changes": [change_document(change) for change in why.changes[name]],
        }
        if name in why.forms:
            document["phases"][name]["closed_form"] = form_document(why.forms[name])
    return document


def phase_document(phase: PhasePrediction) -> dict[str, Any]:
    """A phase: its time, what it is spent on and, where its ops were explained, what it has to do."""
    times = _time_document(phase.time) | {"bound_seconds": phase.bound_seconds, "host_seconds": phase.host_seconds}
    if not phase.ops:
        return times
    return times | {
        "flops": phase.cost.matrix_flops + phase.cost.vector_flops,
        "matrix_flops": phase.cost.matrix_flops,
        "bytes": phase.cost.bytes,
        "fused_bytes": phase.cost.fused_bytes,
    }


def op_document(op: OpPrediction) -> dict[str, Any]:
    """An op, all its repeats together."""
    return {
        "name": op.name, "kind": op.kind, "block": op.block, "repeat": op.repeat, "share": op.share,
        **_time_document(op.time),
        "bound_seconds": op.bound_seconds,
        "flops": op.cost.matrix_flops + op.cost.vector_flops,
        "matrix_flops": op.cost.matrix_flops,
        "bytes": op.cost.bytes,
        "compute": op.compute, "emulated": op.emulated, "modelled": op.modelled, "variety": op.variety,
        "quantizing_seconds": op.quantizing.seconds,
    }  # fmt: skip


def csv_text(answers: Sequence[Answer]) -> str:
    """One line per answer, nested keys joined by underscores; columns that an answer lacks stay empty."""
    rows = [_flat(answer_document(answer)) for answer in answers]
    columns = [*dict.fromkeys(name for row in rows for name in row if name != "error"), "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _request_document(request: Request) -> dict[str, Any]:
    optional = {"image_size": request.image_size, "steps": request.steps}
    return {"model": request.model} | setting_document(request, **{name: own for name, own in optional.items() if own})


def setting_document(request: Request, **more: Any) -> dict[str, Any]:
    """What was asked apart from the model: the head of an answer about several of them.

    Args:
        more: sizes besides, which stand behind the batch.
    """
    return {
        "hardware": request.hardware,
        "precision": request.precision,
        "batch": request.batch,
        **more,
        "input_tokens": request.input_tokens,
        "output_tokens": request.output_tokens,
        "runtime": request.runtime,
        "layout": layout_document(request.layout),
        "level": request.level,
    }


def layout_document(layout: Layout) -> dict[str, Any]:
    """Devices by kind of parallelism."""
    document = {
        "tp": layout.tensor, "pp": layout.pipeline, "ep": layout.expert, "attention_dp": layout.attention_data,
    }  # fmt: skip
    return document | ({"sequence_parallel": True} if layout.sequence else {})


def _time_document(time: OpTime) -> dict[str, Any]:
    return {
        "seconds": time.seconds, "low": time.low, "high": time.high, "bound": time.bound,
        "compute_seconds": time.compute_seconds, "memory_seconds": time.memory_seconds,
        "network_seconds": time.network_seconds, "overhead_seconds": time.overhead_seconds,
    }  # fmt: skip


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an answer; of the provenance only its level."""
    row = {name: value for name, value in document.items() if not isinstance(value, dict | list)}
    row |= document["layout"]
    row["emulated"] = " ".join(f"{pair['asked']}->{pair['used']}" for pair in document["emulated"])
    for name, phase in document.get("phases", {}).items():
        row |= {f"{name}_{key}": phase[key] for key in ("seconds", "low", "high", "bound")}
    for section in ("memory_bytes", "throughput"):
        unit = "_bytes" if section == "memory_bytes" else "_per_second"
        row |= {f"{name}{unit}": value for name, value in document.get(section, {}).items()}
    amounts = document.get("economics", {})
    row |= {name: amounts[name] for name in CSV_AMOUNTS if amounts.get(name) is not None}
    if "provenance" in document:
        row["stands_on"] = document["provenance"]["level"]
        row["unmodelled"] = " ".join(f"{entry['op']}:{entry['share']:.3g}" for entry in document["unmodelled"])
    return row


def form_document(form: PhaseForm) -> dict[str, Any]:
    """Closed forms as Python expressions in b, s and t."""
    return {
        "symbols": dict(form.symbols),
        "blocks": [_block_document(block) for block in form.blocks],
        "total": _block_document(form.total),
        "cache_bytes_per_token": str(form.cache_bytes_per_token),
    }


def _block_document(block: BlockForm) -> dict[str, Any]:
    return {
        "block": block.block,
        "repeat": block.repeat,
        "flops": str(block.flops),
        "causal_flops": str(block.causal_flops),
        "bytes": str(block.bytes),
        "fused_bytes": str(block.fused_bytes),
        "parameters": block.parameters,
    }


def change_document(change: BoundChange) -> dict[str, Any]:
    """Where a bound changes; `at` is null where no size is large enough."""
    return {
        "op": change.subject or None,
        "size": change.symbol,
        "at": change.at,
        "asked": change.value,
        "compute_over_memory": change.seconds_ratio,
    }
