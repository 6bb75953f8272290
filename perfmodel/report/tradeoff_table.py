"""The tables of `perfmodel tradeoff`: the front from the most accurate down, then the others; CSV of all.

May import: planning, types, rich.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.planning.tradeoff import Front, Tradeoff, TradeoffPoint
from perfmodel.report.columns import NOTHING, layout_words, length_words
from perfmodel.report.formats import format_bytes, format_count, format_interval, format_number, format_seconds
from perfmodel.report.prediction_table import make_table
from perfmodel.report.standing import standing_sentences
from perfmodel.report.tradeoff_words import LATENCY_TITLES, budget_words, format_accuracy, front_sentences

if TYPE_CHECKING:
    from rich.console import Console

WHOLE = 20  # models up to which a table shows those off the front, too
STANDINGS = {"front": "front", "open": "open", "beaten": "", "over": "over budget", "too big": "does not fit"}
_CSV = (
    "hardware", "precision", "batch", "input_tokens", "output_tokens", "runtime", "layout", "latency", "model", "line",
    "image_size", "accuracy", "parameters", "seconds", "low", "high", "memory_bytes", "fits", "cost_usd", "standing",
    "within_latency_budget", "apart_from_next", "best",
)  # fmt: skip


def print_tradeoff(console: Console, answer: Tradeoff, *, every: bool) -> None:
    """Print a table and its sentences for each setting.

    Args:
        every: also the models off the front of a long table.
    """
    for place, front in enumerate(answer.fronts):
        if place:
            console.print()
        console.print(front_title(answer, front), style="bold")
        _print_table(console, answer, front, every=every)
        for sentence in front_sentences(answer, front):
            console.print(sentence)


def print_whole_tradeoff(console: Console, answer: Tradeoff, told: Sequence[str], *, every: bool) -> None:
    """Print fronts, what their predictions stand on, and what is told of rows left out.

    Args:
        every: as of `print_tradeoff`.
    """
    print_tradeoff(console, answer, every=every)
    console.print()
    for sentence in standing_sentences([point.prediction for front in answer.fronts for point in front.points]):
        console.print(sentence, style="dim")
    for line in told:
        console.print(line)


def front_title(answer: Tradeoff, front: Front) -> str:
    """`top1 against latency on h100-sxm, fp32, batch 1, runtime eager, budget 5.00 ms`."""
    request = front.points[0].prediction.request
    parts = [
        f"{answer.table.metric} against {LATENCY_TITLES[answer.latency]} on {request.hardware}",
        _shared([point.prediction.request.precision for point in front.points], "own precisions"),
        f"batch {request.batch}",
        *length_words(request),
        layout_words(str(request.layout)),
        f"runtime {_shared([point.prediction.request.runtime for point in front.points], 'of each')}",
    ]
    if budget := budget_words(answer.budget, answer.costed):
        parts.append(f"budget {budget}")
    return ", ".join(part for part in parts if part)


def _shared(values: Sequence[str], else_: str) -> str:
    """What all have in common."""
    return values[0] if len(set(values)) == 1 else else_


def _print_table(console: Console, answer: Tradeoff, front: Front, *, every: bool) -> None:
    shown = front.points if every or len(front.points) <= WHOLE else front.front
    sizes = any(point.prediction.request.image_size for point in shown)
    costs = any(point.cost_usd for point in shown)
    columns = [("model", "left"), *([("pixels", "right")] if sizes else []), ("parameters", "right"),
               (answer.table.metric, "right"), (LATENCY_TITLES[answer.latency], "right"), ("interval", "right"),
               ("memory", "right"), *([(f"USD/M {answer.costed}", "right")] if costs else []),
               ("", "left")]  # fmt: skip
    table = make_table(*columns)  # type: ignore[arg-type]
    for point in shown:
        cells = [
            point.row.model,
            *([str(point.prediction.request.image_size or NOTHING)] if sizes else []),
            format_count(point.prediction.parameters),
            format_accuracy(point.row.accuracy, answer.table),
            format_seconds(point.seconds),
            format_interval(point.low, point.high, point.seconds),
            format_bytes(point.prediction.memory_bytes["total"]),
            *([format_number(point.cost_usd) if point.cost_usd else NOTHING] if costs else []),
            _standing(point, front),
        ]
        table.add_row(*cells, style="dim" if point.standing in ("over", "too big") else None)
    console.print(table)
    if hidden := len(front.points) - len(shown):
        console.print(f"{hidden} models off the front are not shown: --all shows them.", style="dim")


def _standing(point: TradeoffPoint, front: Front) -> str:
    words = STANDINGS[point.standing]
    if point is front.best:
        words = "best" if point.within == "yes" else "best, if within budget"
    elif point.standing == "front" and point.within == "unsure":
        words += ", if within budget"
    return words


def tradeoff_csv(answer: Tradeoff) -> str:
    """One line per setting and model."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for front in answer.fronts:
        for point in front.points:
            asked = point.prediction.request
            writer.writerow([
                asked.hardware, asked.precision, asked.batch, asked.input_tokens, asked.output_tokens, asked.runtime,
                asked.layout, answer.latency, point.row.model, point.row.line, asked.image_size, point.row.accuracy,
                point.prediction.parameters, point.seconds, point.low, point.high,
                point.prediction.memory_bytes["total"], point.prediction.fits, _or_empty(point.cost_usd),
                point.standing, point.within, _or_empty(point.apart), point is front.best,
            ])  # fmt: skip
    return text.getvalue()


def _or_empty(value: float | bool | None) -> float | bool | str:
    return "" if value is None else value
