"""The tables of `perfmodel compress`: each variant beside the original, why, and what it says in words; CSV.

May import: planning, types, rich.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from perfmodel.planning.compression import Compression, Variant, cost_per_million_usd
from perfmodel.report.columns import NOTHING, PHASE_TITLES, setting_words
from perfmodel.report.compression_words import compression_sentences
from perfmodel.report.formats import format_bytes, format_count, format_interval, format_number, format_seconds
from perfmodel.report.prediction_table import make_table
from perfmodel.report.standing import standing_sentences
from perfmodel.types import OpTime, Prediction

if TYPE_CHECKING:
    from rich.console import Console

ORIGINAL = "original"


def print_compressions(console: Console, results: Sequence[Compression]) -> None:
    """For each chip a table, the reasons and the sentences."""
    for place, result in enumerate(results):
        if place:
            console.print()
        console.print(compression_title(result), style="bold")
        _print_table(console, result)
        for each in result.variants:
            told = f"refused: {each.refused}" if each.refused else "; ".join(each.reasons)
            if told:
                console.print(f"{each.change.name}: {told}")
        console.print(" ".join(compression_sentences(result)))


def print_whole_compressions(console: Console, results: Sequence[Compression], notes: Sequence[str]) -> None:
    """Print compressions, what their originals stand on, and notes."""
    print_compressions(console, results)
    for sentence in standing_sentences([each.original for each in results]):
        console.print(sentence, style="dim")
    for note in notes:
        console.print(f"Note: {note}")


def compression_title(result: Compression) -> str:
    """What was asked."""
    request = result.original.request
    words = (f"{request.model} on {request.hardware}", *setting_words(request))
    return ", ".join(filter(None, words))


def _print_table(console: Console, result: Compression) -> None:
    phases = list(result.original.phases)
    priced = result.original.cost_usd > 0
    columns: list[tuple[str, Literal["left", "right"]]] = [("variant", "left")]
    for phase in phases:
        columns += [(PHASE_TITLES[phase], "right"), ("interval", "right"), ("x", "right")]
    columns += [("memory", "right"), ("fits", "left"), ("params", "right")]
    if priced:
        columns.append((_price_title(result.original), "right"))
    table = make_table(*columns)
    own = {name: phase.time for name, phase in result.original.phases.items()}
    table.add_row(ORIGINAL, *_cells(phases, own, dict.fromkeys(own, 1.0), result.original, priced))
    for each in result.variants:
        if each.prediction:
            cells = _cells(phases, each.times, each.speedups, each.prediction, priced)
            table.add_row(each.change.name, *cells, style=None if each.prediction.fits else "dim")
    console.print(table)


def _price_title(prediction: Prediction) -> str:
    return "$/M out" if prediction.request.output_tokens else "$/M"


def _cells(
    phases: Sequence[str],
    times: Mapping[str, OpTime],
    speedups: Mapping[str, float],
    prediction: Prediction,
    priced: bool,
) -> list[str]:
    cells = []
    for phase in phases:
        if phase not in times:
            cells += [NOTHING] * 3
            continue
        time = times[phase]
        cells += [
            format_seconds(time.seconds),
            format_interval(time.low, time.high, time.seconds),
            f"{speedups[phase]:.2f}",
        ]
    cells += [
        format_bytes(prediction.memory_bytes["total"]),
        "yes" if prediction.fits else "no",
        format_count(prediction.parameters),
    ]
    return [*cells, format_number(cost_per_million_usd(prediction))] if priced else cells


def compressions_csv(results: Sequence[Compression]) -> str:
    """One line per chip, variant and phase; a refused variant has one line without figures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([
        "model", "hardware", "precision", "batch", "input_tokens", "output_tokens", "runtime", "layout", "kind",
        "variant", "share", "phase", "seconds", "low", "high", "speedup", "parameters", "memory_bytes", "fits",
        "cost_usd_per_million", "reasons",
    ])  # fmt: skip
    for result in results:
        asked = result.original.request
        head = [asked.model, asked.hardware, asked.precision, asked.batch, asked.input_tokens, asked.output_tokens,
                asked.runtime, asked.layout]  # fmt: skip
        own = {name: phase.time for name, phase in result.original.phases.items()}
        for tail in _rows(ORIGINAL, ORIGINAL, 1.0, own, dict.fromkeys(own, 1.0), result.original, ""):
            writer.writerow([*head, *tail])
        for each in result.variants:
            for tail in _variant_rows(each):
                writer.writerow([*head, *tail])
    return text.getvalue()


def _variant_rows(each: Variant) -> list[list[object]]:
    change = each.change
    if each.prediction is None:
        return [[change.kind, change.name, change.share, *[""] * 9, f"refused: {each.refused}"]]
    return _rows(
        change.kind, change.name, change.share, each.times, each.speedups, each.prediction, "; ".join(each.reasons)
    )


def _rows(
    kind: str,
    name: str,
    share: float,
    times: Mapping[str, OpTime],
    speedups: Mapping[str, float],
    prediction: Prediction,
    reasons: str,
) -> list[list[object]]:
    return [
        [kind, name, share, phase, time.seconds, time.low, time.high, speedups[phase], prediction.parameters,
         prediction.memory_bytes["total"], prediction.fits, cost_per_million_usd(prediction), reasons]
        for phase, time in times.items()
    ]  # fmt: skip
