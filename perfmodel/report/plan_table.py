"""Plans as a table. May import: planning, plan_document, formats, prediction_table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from perfmodel.report.cost_words import site_words
from perfmodel.report.formats import format_interval, format_number, format_seconds, format_share, join_words
from perfmodel.report.plan_document import predict_command, simulate_command
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console

    from perfmodel.planning.capacity import Plan, PlanAnswer
    from perfmodel.planning.demand import Demand
    from perfmodel.serving.prediction import Latency

ROWS = 10
_SURE = 0.99
_EXAMPLES = 3  # reasons shown of a kind


def print_plans(console: Console, answer: PlanAnswer, *, specs: str | None = None, rows: int = ROWS) -> None:
    """The best plans in a row each, what they stand on, and what was left out."""
    demand = answer.demand
    console.print(_heading(demand), style="bold")
    if answer.feasible:
        console.print()
        _print_rows(console, answer, rows)
        console.print()
        for sentence in _sentences(answer, specs):
            console.print(sentence, soft_wrap=True)
    _print_rejected(console, answer)


def _heading(demand: Demand) -> str:
    from perfmodel.planning.confirming import statistic_name

    load = f"{demand.rate:g} requests/s" if demand.rate else f"{demand.concurrency:g} requests in flight"
    limits = [f"{name.upper()} ≤ {format_seconds(limit)}" for name, limit in demand.limits.items()]
    return (
        f"{load}, {demand.input_tokens} tokens in, {demand.output_tokens} out; {join_words(limits)} "
        f"({statistic_name(demand.percentile)})"
    )


def _print_rows(console: Console, answer: PlanAnswer, rows: int) -> None:
    several = len({own.candidate.source for own in answer.feasible}) > 1
    names = ("model", "chip") if several else ("chip",)
    table = make_table(
        *((name, "left") for name in (*names, "engine", "precision", "layout")),
        ("GPUs", "right"), ("USD/h", "right"), ("USD/M", "right"), ("J/token", "right"),
        ("TTFT", "right"), ("interval", "right"),
        ("TPOT", "right"), ("interval", "right"), ("sure", "right"), ("headroom", "right"), ("by", "left"),
        ("simulated", "left"), gap=1,
    )  # fmt: skip
    for own in answer.feasible[:rows]:
        table.add_row(*_row(own, several))
    console.print(table)


def _row(own: Plan, several: bool) -> list[str]:
    candidate = own.candidate
    priced, joules = own.usd_per_hour > 0, own.economics.joules_per_output_token
    replicas = f"{own.replicas} x " if own.replicas > 1 else ""
    return [
        *([candidate.model.name] if several else []),
        candidate.hardware.id,
        candidate.engine.id,
        own.deployment.precision,
        f"{replicas}{candidate.layout}",
        f"{own.gpus:,}",
        format_number(own.usd_per_hour) if priced else "?",
        format_number(own.usd_per_million_tokens) if priced else "?",
        "?" if joules is None else format_number(joules),
        *_cells(own.latencies["ttft"]),
        *_cells(own.latencies["tpot"]),
        format_share(own.confidence) if own.confidence < _SURE else "> 99 %",  # no interval is known that well
        f"{own.headroom:.2f}",
        own.binding,
        _simulated(own),
    ]


def _simulated(own: Plan) -> str:
    if own.confirmation is None:
        return "no"
    return " / ".join(format_seconds(seconds) for seconds in own.confirmation.seconds.values())


def _cells(latency: Latency) -> tuple[str, str]:
    return format_seconds(latency.seconds), format_interval(latency.low, latency.high, latency.seconds)


def _sentences(answer: PlanAnswer, specs: str | None) -> list[str]:
    from perfmodel.planning.confirming import statistic_name

    best, demand = answer.feasible[0], answer.demand
    chips = {own.candidate.hardware.id: own.candidate.hardware for own in answer.feasible[:ROWS]}
    dates = [f"{name} {chip.price_date}" for name, chip in chips.items() if chip.price_usd_per_hour]
    unknown = [name for name, chip in chips.items() if not chip.price_usd_per_hour]
    found = [
        f"{len(answer.feasible):,} candidates serve this load; TTFT and TPOT are means with 80 % intervals, 'sure' is "
        "the chance that both keep their limits, 'by' is what ends the headroom.",
        f"'simulated': {statistic_name(demand.percentile)} of TTFT and TPOT in a stable simulation of one replica "
        "with its share of the load; where there is none, only means are known to keep them.",
    ]
    if dates:
        found.append(f"Prices (USD per device and hour) of: {', '.join(dates)}.")
    found.append(f"USD/M, J/token: per (million) output tokens; J of the chips. {site_words(best.site)}")
    if unknown:
        found.append(f"No price is known of {', '.join(unknown)}.")
    if best.confirmation is None:
        found.append("No candidate was found whose simulation keeps the limits: none of these is a recommendation.")
        return found
    found.append(f"Best: {predict_command(best, demand, specs)}")
    found.append(f"      {simulate_command(best, demand, specs)}")
    return found + [f"Note: {note}" for note in best.notes]


def _print_rejected(console: Console, answer: PlanAnswer) -> None:
    if not answer.rejected:
        return
    kinds = Counter(own.reason.partition(":")[0] for own in answer.rejected)
    words = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    console.print(f"Left out: {words}.")
    if answer.feasible:
        return
    for kind in kinds:
        shown = [own for own in answer.rejected if own.reason.startswith(kind)][:_EXAMPLES]
        for own in shown:
            console.print(f"  {own.candidate}: {own.reason}", soft_wrap=True)
