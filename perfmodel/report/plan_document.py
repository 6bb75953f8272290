"""Plans as JSON, and the commands that reproduce them.

All figures are SI; null where a price is unknown. `schemas/plan.schema.json` publishes the form. May import: planning
and below.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from perfmodel.report.cost_words import economics_document
from perfmodel.report.documents import layout_document

if TYPE_CHECKING:
    from perfmodel.planning.demand import Demand
    from perfmodel.planning.plans import Change, Plan, PlanAnswer
    from perfmodel.serving.launch import Launch


TAIL = 4  # standard deviations over the mean that the longest requests are taken for


def plan_document(answer: PlanAnswer, specs: str | None = None) -> dict[str, Any]:
    """All plans, best first, and why other candidates make none.

    Args:
        specs: the folder that was given, for the commands.
    """
    return {
        "feasible": [_plan(own, answer.demand, specs) for own in answer.feasible],
        "rejected": [
            {"candidate": str(own.candidate), "binding": own.binding, "reason": own.reason} for own in answer.rejected
        ],
        "changes": [_change(own) for own in answer.changes],
    }


def _change(own: Change) -> dict[str, Any]:
    return {
        "assumption": own.assumption,
        "candidate": None if own.candidate is None else str(own.candidate),
        "replicas": own.replicas,
        "gpus": own.gpus,
        "cost_usd_per_hour": own.usd_per_hour or None,
        "flips": own.flips,
    }


def _plan(own: Plan, demand: Demand, specs: str | None) -> dict[str, Any]:
    candidate, chip, simulated = own.candidate, own.candidate.hardware, own.confirmation
    launch = launch_of_plan(own, demand)
    return {
        "model": candidate.model.name,
        "hardware": chip.id,
        "engine": candidate.engine.id,
        "precision": candidate.precision or candidate.model.precision,
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
            "confidence": simulated.confidence,
            "means": dict(simulated.means),
            "means_within_intervals": means_within(own),
            "stable": simulated.stable,
            "requests": simulated.requests,
            "utilisation": simulated.utilisation,
            "command": simulate_command(own, demand, specs),
        },
        "launch": {"command": launch.command or None, "notes": list(launch.notes)},
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
    from perfmodel.planning.confirming import arrival_of

    if own.confirmation is None:
        raise ValueError("the plan was not simulated")
    arrival = arrival_of(demand, own.replicas)
    load = ["--concurrency", str(arrival.users)] if arrival.users else ["--rate", f"{arrival.rate:.6g}"]
    lengths = [*_lengths(demand), "--length-spread", f"{demand.spread:g}"]
    requests = ["--requests", str(own.confirmation.requests)]
    if demand.trace is not None:
        lengths = ["--trace", demand.trace.path]
        if demand.trace.arrival_seconds is not None and demand.rate:  # all replicas in turn, of which one was followed
            load, requests = ["--rate", f"{demand.rate:.6g}", "--replicas", str(own.replicas)], []
    limits = [
        part
        for metric, limit in demand.limits.items()
        if metric in ("ttft", "tpot")
        for part in (f"--slo-{metric}", f"{limit:g}")
    ]
    return shlex.join(["perfmodel", "simulate", *_server(own, specs), *load, *lengths, *requests, *limits])


def launch_of_plan(own: Plan, demand: Demand) -> Launch:
    """How to start a replica of a plan, for the longest requests that are to be expected."""
    from perfmodel.serving.launch import launch_of

    candidate, trace = own.candidate, demand.trace
    longest = (demand.input_tokens + demand.output_tokens) * (1 + TAIL * demand.spread)
    if trace is not None:
        longest = float((trace.input_tokens + trace.output_tokens).max())
    return launch_of(
        candidate.model, candidate.engine, candidate.layout, source=candidate.source, precision=candidate.precision,
        context_tokens=longest, replicas=own.replicas,
    )  # fmt: skip


def means_within(own: Plan) -> bool:
    """Whether the simulated means of a plan lie in the intervals of the closed form.

    Raises:
        ValueError: the plan was not simulated.
    """
    if own.confirmation is None:
        raise ValueError("the plan was not simulated")
    return all(
        own.latencies[metric].low <= seconds <= own.latencies[metric].high
        for metric, seconds in own.confirmation.means.items()
    )


def _server(own: Plan, specs: str | None) -> list[str]:
    candidate = own.candidate
    layout = candidate.layout
    degrees = {
        "--tp": layout.tensor, "--pp": layout.pipeline, "--ep": layout.expert, "--attention-dp": layout.attention_data,
    }  # fmt: skip
    return [
        candidate.source, "--hardware", candidate.hardware.id, "--engine", candidate.engine.id,
        *(["--precision", candidate.precision] if candidate.precision else []),
        *(part for name, degree in degrees.items() if degree > 1 for part in (name, str(degree))),
        *(["--specs", specs] if specs else []),
    ]  # fmt: skip


def _lengths(demand: Demand) -> list[str]:
    return ["--input-tokens", str(demand.input_tokens), "--output-tokens", str(demand.output_tokens)]
