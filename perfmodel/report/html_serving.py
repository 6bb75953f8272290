"""Reports of servers: `predict --engine`, `simulate`, `plan`.

May import: planning and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.report.documents import layout_document
from perfmodel.report.formats import format_interval, format_number, format_seconds, format_share, join_words
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_sources import chip_sources
from perfmodel.report.interval_plot import MOST_ROWS, Panel, Row, draw_intervals
from perfmodel.report.prediction_table import make_table
from perfmodel.report.serving_document import ServedAnswer, served_document

if TYPE_CHECKING:
    from rich.table import Table

    from perfmodel.planning.plans import Plan, PlanAnswer
    from perfmodel.serving.latency_intervals import Latency
    from perfmodel.serving.simulation_result import SimulationResult
    from perfmodel.serving.standing import MeanWidths
    from perfmodel.types import Hardware

TITLES = {"ttft": "time to first token (TTFT)", "tpot": "time per further token (TPOT)", "e2e": "whole answer"}
_ASKED = {
    "model": "{}", "hardware": "{}", "precision": "{}", "layout": "{}", "engine": "{}", "input_tokens": "{} in",
    "output_tokens": "{} out", "draft_tokens": "{} drafted", "concurrency": "{:g} users", "rate": "{:g} requests/s",
}  # fmt: skip
SURE = 0.99  # no interval is known better
PLAN_LEVEL = 0.8  # of the intervals of plans
_MOST_PLANS = 12  # drawn


def served_report(answers: Sequence[ServedAnswer]) -> Report:
    """Of `perfmodel predict --engine`."""
    from perfmodel.report.serving_table import print_served_answers

    found = [each for each in answers if each.prediction]
    return Report(
        kind="server",
        summary=list(_served_summary(answers)),
        headlines=_served_headlines(answers, found),
        pictures=_served_pictures(answers) if found else (),
        tell=lambda console: print_served_answers(console, answers),
        document=[served_document(each) for each in answers],
        sources=(
            *_standing(found),
            *chip_sources(each.prediction.deployment.hardware for each in found if each.prediction),
        ),
    )


def simulation_report(
    result: SimulationResult, subject: Mapping[str, Any], widths: MeanWidths | None, chip: Hardware
) -> Report:
    """Of `perfmodel simulate`."""
    from perfmodel.report.simulation_document import simulation_document
    from perfmodel.report.simulation_plot import draw_simulation
    from perfmodel.report.simulation_table import load_sentence, print_simulation, simulation_sentences
    from perfmodel.serving.simulation_result import goodput, percentiles, throughput

    headlines = []
    for name in ("ttft", "tpot"):
        if found := percentiles(result, name):
            note = f"mean {format_seconds(found['mean'])}, p99 {format_seconds(found['p99'])}"
            headlines.append(Headline(f"{TITLES[name]}, p95", format_seconds(found["p95"]), note))
    headlines.append(
        Headline("answered", f"{format_number(throughput(result)['requests'])} requests/s",
                 "keeps up" if result.stable else "does NOT keep up")
    )  # fmt: skip
    if good := goodput(result):
        headlines.append(Headline("keep the objectives", format_share(good["share"])))
    return Report(
        kind="simulation",
        summary=[load_sentence(result) + ".", *simulation_sentences(result)[:2]],
        headlines=headlines,
        pictures=[Picture("The run over time, and how latencies are distributed.", draw_simulation(result, subject))],
        tell=lambda console: print_simulation(console, result, subject, widths),
        document=simulation_document(result, subject, widths),
        sources=tuple(chip_sources([chip])),
    )


def plan_report(answer: PlanAnswer, specs: str | None, *, rejected: bool = False) -> Report:
    """Of `perfmodel plan`."""
    from perfmodel.report.plan_document import plan_document
    from perfmodel.report.plan_table import ROWS, demand_words, print_plans

    models = dict.fromkeys(own.candidate.model.name for own in answer.feasible)
    best = answer.feasible[0] if answer.feasible else None
    chips = {own.candidate.hardware.id: own.candidate.hardware for own in answer.feasible}
    return Report(
        kind="plan",
        title=": ".join([*([join_words(list(models))] if models else []), demand_words(answer.demand)]),
        summary=[_plan_sentence(best)] if best else ["No candidate serves this load within the limits."],
        headlines=_plan_headlines(best) if best else (),
        pictures=_plan_pictures(answer) if best else (),
        tell=lambda console: print_plans(console, answer, specs=specs, rows=3 * ROWS, rejected=rejected),
        document=plan_document(answer, specs),
        sources=tuple(chip_sources(chips.values())) if chips else (),
    )


# ---------------------------------------------------------------------------------------------------------- servers


def _served_summary(answers: Sequence[ServedAnswer]) -> Iterator[str]:
    from perfmodel.report.serving_table import largest_sentence

    stable = [(each, each.prediction) for each in answers if each.prediction and each.prediction.stable]
    if len(answers) == 1 and answers[0].prediction:
        own = answers[0].prediction
        if answers[0].largest:
            yield largest_sentence(answers[0].largest, own.level)
        elif own.stable:
            yield (
                f"First tokens come after {_latency(own.latencies['ttft'])}, further ones every "
                f"{_latency(own.latencies['tpot'])}, on the mean; "
                f"{format_number(own.throughput['output_tokens'])} tokens/s."
            )
        else:
            yield f"The server does NOT keep up; at most {format_number(own.highest_rate)} requests/s are sustained."
    elif stable:
        each, own = max(stable, key=lambda pair: pair[1].throughput["output_tokens"])
        yield (
            f"Of {len(answers)} combinations, {_label(each, answers)} makes the most tokens: "
            f"{format_number(own.throughput['output_tokens'])} a second, with TTFT {_latency(own.latencies['ttft'])} "
            f"and TPOT {_latency(own.latencies['tpot'])}."
        )
    missing = sum(each.prediction is None for each in answers)
    if missing:
        yield f"{missing} {'is' if missing == 1 else 'are'} refused: the results say why."


def _latency(own: Latency) -> str:
    if not math.isfinite(own.seconds):
        return "endlessly long"
    unit = format_seconds(own.seconds).split()[1]
    return f"{format_seconds(own.seconds)} ({format_interval(own.low, own.high, own.seconds)} {unit})"


def _latency_headline(label: str, own: Latency, level: float) -> Headline:
    value, _, interval = _latency(own).partition(" (")
    return Headline(label, value, f"{100 * level:g} % interval {interval.rstrip(')')}" if interval else "")


def _served_headlines(answers: Sequence[ServedAnswer], found: Sequence[ServedAnswer]) -> list[Headline]:
    if len(answers) != 1:
        return _best(answers, found)
    if not found or found[0].prediction is None:
        return []
    own = found[0].prediction
    rates = own.throughput
    tokens = Headline(
        "throughput",
        f"{format_number(rates['output_tokens'])} tokens/s",
        f"{format_number(rates['requests'])} requests/s",
    )
    users = [Headline("users within the limits", f"{found[0].largest.users:,}")] if found[0].largest else []
    return [
        *users,
        *(_latency_headline(TITLES[name], own.latencies[name], own.level) for name in ("ttft", "tpot")),
        tokens,
    ]


def _best(answers: Sequence[ServedAnswer], found: Sequence[ServedAnswer]) -> list[Headline]:
    """The most tokens and the shortest waits, each with whose they are."""
    stable = [(_label(each, answers), each.prediction) for each in found if each.prediction and each.prediction.stable]
    if not stable:
        return []
    label, own = max(stable, key=lambda pair: pair[1].throughput["output_tokens"])
    most = Headline("most tokens", f"{format_number(own.throughput['output_tokens'])} tokens/s", label)
    shortest = []
    for name in ("ttft", "tpot"):
        label, own = min(stable, key=lambda pair, name=name: pair[1].latencies[name].seconds)  # type: ignore[misc]
        headline = _latency_headline(f"shortest {name.upper()}", own.latencies[name], own.level)
        shortest.append(Headline(headline.label, headline.value, f"{headline.note}, {label}"))
    return [most, *shortest]


def _standing(found: Sequence[ServedAnswer]) -> Iterator[tuple[str, Table]]:
    """What each engine's figures were fitted on, and the level of each chip."""
    rows = {
        (own.deployment.hardware.id, own.deployment.engine.name, own.standing, f"{100 * own.level:g} %",
         own.provenance or "nothing: priors alone"): None
        for each in found if (own := each.prediction)
    }  # fmt: skip
    if rows:
        table = make_table(*((title, "left") for title in ("chip", "engine", "level", "intervals", "fitted on")))
        for row in rows:
            table.add_row(*row)
        yield "What the engines' figures stand on", table


def _label(answer: ServedAnswer, answers: Sequence[ServedAnswer]) -> str:
    """What sets an answer apart from the others."""
    varying = [name for name in _ASKED if len({str(each.asked.get(name)) for each in answers}) > 1]
    words = [_ASKED[name].format(answer.asked[name]) for name in varying if name in answer.asked]
    return ", ".join(words) or str(answer.asked["hardware"])


def _served_pictures(answers: Sequence[ServedAnswer]) -> list[Picture]:
    found = [(_label(each, answers), each.prediction) for each in answers if each.prediction]
    panels = [
        Panel(TITLES[name], [_row(label, own.latencies[name]) for label, own in found]) for name in ("ttft", "tpot")
    ]
    if not any(math.isfinite(row.seconds) for panel in panels for row in panel.rows):
        return []
    cut = f" The first {MOST_ROWS} are drawn." if len(found) > MOST_ROWS else ""
    return [Picture(f"Means with their {100 * found[0][1].level:g} % intervals.{cut}", draw_intervals(panels))]


def _row(label: str, own: Latency) -> Row:
    return Row(label, own.seconds, own.low, own.high)


# ------------------------------------------------------------------------------------------------------------ plans


def _plan_words(own: Plan) -> str:
    candidate = own.candidate
    layout = "" if candidate.layout.devices == 1 else f", {candidate.layout}"
    precision = candidate.precision or candidate.model.precision
    return f"{own.gpus:,} × {candidate.hardware.id} ({candidate.engine.id}, {precision}{layout})"


def _plan_sentence(own: Plan) -> str:
    replicas = f", as {own.replicas:,} replicas" if own.replicas > 1 else ""
    price = f", {format_number(own.usd_per_hour)} USD per hour" if own.usd_per_hour else ", of unknown price"
    confirmed = "" if own.confirmation else " It was not confirmed by a simulation: this is no recommendation."
    return (
        f"{_plan_words(own)}{replicas}{price}, serves {own.candidate.model.name} with TTFT "
        f"{_latency(own.latencies['ttft'])} and TPOT {_latency(own.latencies['tpot'])} on the mean.{confirmed}"
    )


def _plan_headlines(own: Plan) -> list[Headline]:
    layout = layout_document(own.candidate.layout)
    price = [
        Headline("cost", f"{format_number(own.usd_per_hour)} USD/h",
                 f"{format_number(own.usd_per_million_tokens)} USD per million tokens; prices of "
                 f"{own.candidate.hardware.price_date or 'an unknown date'}")
    ] if own.usd_per_hour else []  # fmt: skip
    return [
        Headline("devices", f"{own.gpus:,} × {own.candidate.hardware.id}", f"{own.replicas} × tp{layout['tp']}"),
        *price,
        *(_latency_headline(TITLES[name], own.latencies[name], PLAN_LEVEL) for name in ("ttft", "tpot")),
        _chance(own),
    ]  # fmt: skip


def _chance(own: Plan) -> Headline:
    """That the limits hold: for the percentile that was simulated, or for means alone."""
    confidence = own.confirmation.confidence if own.confirmation else own.confidence
    of = "of what was simulated" if own.confirmation else "of the means alone"
    value = format_share(confidence) if confidence < SURE else f"> {format_share(SURE)}"
    return Headline("chance that the limits hold", value, f"{of}; headroom {own.headroom:.2f} times the load")


def _plan_pictures(answer: PlanAnswer) -> list[Picture]:
    plans, limits = answer.feasible[:_MOST_PLANS], answer.demand.limits
    several = len({own.candidate.source for own in plans}) > 1
    panels = [
        Panel(
            TITLES[name],
            [
                _row((f"{own.candidate.model.name}, " if several else "") + _plan_words(own), own.latencies[name])
                for own in plans
            ],
            limits.get(name, 0.0),
        )
        for name in ("ttft", "tpot")
    ]
    return [Picture("The best plans: means with their 80 % intervals, and the limits.", draw_intervals(panels))]
