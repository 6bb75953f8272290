"""Plans as a table. May import: planning, plan_document, formats, prediction_table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from perfmodel.report.cost_words import site_words
from perfmodel.report.formats import (
    format_in_flight,
    format_interval,
    format_number,
    format_seconds,
    format_share,
    join_words,
)
from perfmodel.report.plan_document import launch_of_plan, means_within, predict_command, simulate_command
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from perfmodel.planning.demand import Demand
    from perfmodel.planning.plans import Plan, PlanAnswer
    from perfmodel.serving.latency_intervals import Latency

ROWS = 10
_SURE = 0.99
_EXAMPLES = 3  # reasons shown of a kind


def print_plans(
    console: Console, answer: PlanAnswer, *, specs: str | None = None, rows: int = ROWS, rejected: bool = False
) -> None:
    """The best plans in a row each, what they stand on, what would change the choice, and what was left out.

    Args:
        rejected: show every candidate that was left out, not only how many.
    """
    demand = answer.demand
    console.print(demand_words(demand), style="bold")
    if answer.feasible:
        console.print()
        _print_rows(console, answer, rows)
        console.print()
        for sentence in _sentences(answer, specs):
            console.print(sentence, soft_wrap=True)
        _print_changes(console, answer)
    _print_rejected(console, answer, rejected)


def print_plan(console: Console, own: Plan) -> None:
    """One plan: its row, and what it stands on."""
    table = _table(several=True)
    table.add_row(*_row(own, None, several=True))
    console.print(table)
    priced = own.usd_per_hour > 0
    price = f" Prices of {own.candidate.hardware.price_date or 'an unknown date'}." if priced else ""
    console.print(f"Intervals of the means: 80 %.{price} Level: {own.standing}.", style="dim")
    for note in own.notes:
        console.print(f"Note: {note}")


def demand_words(demand: Demand) -> str:
    """`10 requests/s, 2000 tokens in, 300 out; TTFT ≤ 2.00 s and TPOT ≤ 50.0 ms (P95)`."""
    from perfmodel.planning.confirming import statistic_name

    load = f"{demand.rate:g} requests/s" if demand.rate else format_in_flight(demand.concurrency)
    limits = [f"{name.upper()} ≤ {format_seconds(limit)}" for name, limit in demand.limits.items()]
    return f"{load}, {_lengths(demand)}; {join_words(limits)} ({statistic_name(demand.percentile)})"


def _lengths(demand: Demand) -> str:
    lengths = f"{demand.input_tokens} tokens in, {demand.output_tokens} out"
    return f"{lengths} on the mean of {Path(demand.trace.path).name}" if demand.trace else lengths


def _print_rows(console: Console, answer: PlanAnswer, rows: int) -> None:
    several = len({own.candidate.source for own in answer.feasible}) > 1
    table = _table(several)
    for own in answer.feasible[:rows]:
        table.add_row(*_row(own, answer.demand, several))
    console.print(table)


def _table(several: bool) -> Table:
    """Empty; with a column for the model, if there are several."""
    names = ("model", "chip") if several else ("chip",)
    return make_table(
        *((name, "left") for name in (*names, "engine", "precision", "layout")),
        ("GPUs", "right"), ("USD/h", "right"), ("USD/M", "right"), ("J/token", "right"),
        ("TTFT", "right"), ("interval", "right"),
        ("TPOT", "right"), ("interval", "right"), ("sure", "right"), ("headroom", "right"), ("by", "left"),
        ("simulated", "left"), gap=1,
    )  # fmt: skip


def _row(own: Plan, demand: Demand | None, several: bool) -> list[str]:
    candidate = own.candidate
    priced, joules = own.usd_per_hour > 0, own.economics.joules_per_output_token
    replicas = f"{own.replicas} x " if own.replicas > 1 else ""
    return [
        *([candidate.model.name] if several else []),
        candidate.hardware.id,
        candidate.engine.id,
        candidate.precision or candidate.model.precision,
        f"{replicas}{candidate.layout}",
        f"{own.gpus:,}",
        format_number(own.usd_per_hour) if priced else "?",
        format_number(own.usd_per_million_tokens) if priced else "?",
        "?" if joules is None else format_number(joules),
        *_cells(own.latencies["ttft"]),
        *_cells(own.latencies["tpot"]),
        _sure(own.confirmation.confidence) if own.confirmation else f"({_sure(own.confidence)})",
        f"{own.headroom:.2f}",
        own.binding,
        _simulated(own, demand),
    ]


def _sure(confidence: float) -> str:
    return format_share(confidence) if confidence < _SURE else "> 99 %"  # no interval is known that well


def _shown(demand: Demand | None) -> list[str]:
    """Metrics whose percentiles are shown."""
    limits = demand.limits if demand else ()
    return ["ttft", "tpot", *(metric for metric in ("itl", "e2e") if metric in limits)]


def _simulated(own: Plan, demand: Demand | None) -> str:
    if own.confirmation is None:
        return "no"
    return " / ".join(format_seconds(own.confirmation.seconds[metric]) for metric in _shown(demand))


def _cells(latency: Latency) -> tuple[str, str]:
    return format_seconds(latency.seconds), format_interval(latency.low, latency.high, latency.seconds)


def _sentences(answer: PlanAnswer, specs: str | None) -> list[str]:
    from perfmodel.planning.confirming import statistic_name

    best, demand = answer.feasible[0], answer.demand
    chips = {own.candidate.hardware.id: own.candidate.hardware for own in answer.feasible[:ROWS]}
    dates = [f"{name} {chip.price_date}" for name, chip in chips.items() if chip.price_usd_per_hour]
    unknown = [name for name, chip in chips.items() if not chip.price_usd_per_hour]
    statistic = statistic_name(demand.percentile)
    metrics = join_words([metric.upper() for metric in _shown(demand)])
    found = [
        f"{len(answer.feasible):,} candidates serve this load; TTFT and TPOT are means with 80 % intervals, 'by' is "
        "what ends the headroom.",
        f"'simulated': {statistic} of {metrics} in a stable simulation of one replica with its share of the load; "
        "where there is none, only means are known to keep the limits.",
        f"'sure': the chance that the limits hold, for the simulated {statistic}; (in brackets) for the means alone.",
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
    launch = launch_of_plan(best, demand)
    found += [f"Start: {launch.command}"] if launch.command else []
    found += [f"       {note}" for note in launch.notes]
    inside = "lie within" if means_within(best) else "leave"
    means = " and ".join(
        f"{metric.upper()} {format_seconds(seconds)}" for metric, seconds in best.confirmation.means.items()
    )
    found.append(
        f"It holds with {_sure(best.confirmation.confidence)} ({statistic}); its simulated means, {means}, {inside} "
        "the intervals of the closed form."
    )
    return found + [f"Note: {note}" for note in best.notes]


def _print_changes(console: Console, answer: PlanAnswer) -> None:
    if not answer.changes:
        return
    best = answer.feasible[0]
    console.print()
    table = make_table(("what would change the choice", "left"), ("best then", "left"), ("GPUs", "right"), gap=2)
    for own in answer.changes:
        if own.candidate is None:
            table.add_row(own.assumption, "no plan is left", "")
            continue
        layout = f"{own.replicas} x {own.candidate.layout}" if own.replicas > 1 else str(own.candidate.layout)
        precision = own.candidate.precision or own.candidate.model.precision
        other = f"{own.candidate.hardware.id}, {own.candidate.engine.id}, {precision}, {layout}"
        same = "the same" if own.replicas == best.replicas else f"the same chip and engine, {layout}"
        table.add_row(own.assumption, other if own.flips else same, f"{own.gpus:,}")
    console.print(table)


def _print_rejected(console: Console, answer: PlanAnswer, every: bool) -> None:
    if not answer.rejected:
        return
    kinds = Counter(own.reason.partition(":")[0] for own in answer.rejected)
    words = ", ".join(
        f"{count:,} {kind if count == 1 else kind.replace('does not', 'do not')}" for kind, count in kinds.most_common()
    )
    console.print(f"Left out: {words}{'.' if every or not answer.feasible else ' (--rejected shows each).'}")
    for metric, limit in answer.demand.limits.items() if not answer.feasible else ():
        if least := _least_bound(answer, metric, limit):
            console.print(least, soft_wrap=True)
    for kind in kinds if every or not answer.feasible else ():
        shown = [own for own in answer.rejected if own.reason.startswith(kind)]
        for own in shown if every else shown[:_EXAMPLES]:
            console.print(f"  {own.candidate}: {own.reason}", soft_wrap=True)


def _least_bound(answer: PlanAnswer, metric: str, limit: float) -> str:
    """That no candidate can keep a limit, whatever its software; "" where one could."""
    bounds = [own for own in answer.rejected if own.binding == metric]
    if not bounds or any(own.bound <= limit for own in bounds):
        return ""
    best = min(bounds, key=lambda own: own.bound)
    return (
        f"The limit of {format_seconds(limit)} on {metric.upper()} lies below what any of these chips can do: at best "
        f"{format_seconds(best.bound)}, {best.candidate}."
    )
