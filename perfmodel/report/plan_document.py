"""Plans as JSON, and the commands that reproduce them.

All figures are SI; null where a price is unknown. `schemas/plan.schema.json` publishes the form. May import: planning
and below.
"""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from perfmodel.report.cost_words import economics_document
from perfmodel.report.documents import layout_document

if TYPE_CHECKING:
    from perfmodel.planning.capacity import Plan, PlanAnswer
    from perfmodel.planning.demand import Demand


def plan_schema() -> dict[str, Any]:
    """The JSON schema of `perfmodel plan --json`."""
    text = files("perfmodel.report").joinpath("schemas/plan.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def plan_document(answer: PlanAnswer, specs: str | None = None) -> dict[str, Any]:
    """All plans, best first, and why other candidates make none.

    Args:
        specs: the folder that was given, for the commands.
    """
    return {
        "feasible": [_plan(own, answer.demand, specs) for own in answer.feasible],
        "rejected": [{"candidate": str(own.candidate), "reason": own.reason} for own in answer.rejected],
    }


def _plan(own: Plan, demand: Demand, specs: str | None) -> dict[str, Any]:
    candidate, chip, simulated = own.candidate, own.candidate.hardware, own.confirmation
    return {
        "model": candidate.model.name,
        "hardware": chip.id,
        "engine": candidate.engine.id,
        "precision": own.deployment.precision,
        "layout": layout_document(candidate.layout),
        "replicas": own.replicas,
        "gpus": own.gpus,
        "cost_usd_per_hour": own.usd_per_hour or None,
        "cost_usd_per_million_tokens": own.usd_per_million_tokens or None,
        "price_date": chip.price_date if own.usd_per_hour else None,
        "economics": economics_document(own.economics, chip),
        **{f"{metric}_seconds": latency.seconds for metric, latency in own.latencies.items()},
        "intervals": {metric: {"low": latency.low, "high": latency.high} for metric, latency in own.latencies.items()},
        "confidence": own.confidence,
        "binding": own.binding,
        "headroom": own.headroom,
        "requests_per_second": own.requests_per_second,
        "level": own.standing,
        "command": predict_command(own, demand, specs),
        "simulation": None if simulated is None else {
            **{f"{metric}_seconds": seconds for metric, seconds in simulated.seconds.items()},
            "percentile": demand.percentile or None,
            "stable": simulated.stable,
            "requests": simulated.requests,
            "utilisation": simulated.utilisation,
            "command": simulate_command(own, demand, specs),
        },
        "notes": list(own.notes),
    }  # fmt: skip


def predict_command(own: Plan, demand: Demand, specs: str | None = None) -> str:
    """The command that gives a plan's means."""
    replicas = ["--replicas", str(own.replicas)] if own.replicas > 1 else []
    load = ["--rate", f"{demand.rate:.10g}"] if demand.rate else ["--concurrency", f"{demand.concurrency:.10g}"]
    return shlex.join(["perfmodel", "predict", *_server(own, specs), *replicas, *load, *_lengths(demand)])


def simulate_command(own: Plan, demand: Demand, specs: str | None = None) -> str:
    """The command that shows a confirmed plan's simulation, of one replica and its share, its start included.

    Raises:
        ValueError: the plan was not simulated.
    """
    from perfmodel.planning.confirming import SPREAD, arrival_of

    if own.confirmation is None:
        raise ValueError("the plan was not simulated")
    extra = ["--length-spread", f"{SPREAD:g}", "--requests", str(own.confirmation.requests)]
    arrival = arrival_of(demand, own.replicas)
    load = ["--concurrency", str(arrival.users)] if arrival.users else ["--rate", f"{arrival.rate:.6g}"]
    limits = [part for metric, limit in demand.limits.items() for part in (f"--slo-{metric}", f"{limit:g}")]
    return shlex.join(["perfmodel", "simulate", *_server(own, specs), *load, *_lengths(demand), *extra, *limits])


def _server(own: Plan, specs: str | None) -> list[str]:
    candidate = own.candidate
    degrees = {"--tp": candidate.layout.tensor, "--ep": candidate.layout.expert}
    return [
        candidate.source, "--hardware", candidate.hardware.id, "--engine", candidate.engine.id,
        *(["--precision", candidate.precision] if candidate.precision else []),
        *(part for name, degree in degrees.items() if degree > 1 for part in (name, str(degree))),
        *(["--specs", specs] if specs else []),
    ]  # fmt: skip


def _lengths(demand: Demand) -> list[str]:
    return ["--input-tokens", str(demand.input_tokens), "--output-tokens", str(demand.output_tokens)]
