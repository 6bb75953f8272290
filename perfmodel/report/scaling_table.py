"""The tables of `perfmodel scale`: models by size for each chip and phase, and what they say in words; CSV.

May import: planning, types, rich.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.planning.overtaking import contests
from perfmodel.planning.scaling import PHASE_RATES, SizeLine, SizePoint
from perfmodel.report.answers import Answer
from perfmodel.report.columns import NOTHING, PHASE_TITLES, setting_words
from perfmodel.report.formats import format_bytes, format_count, format_interval, format_number, format_seconds
from perfmodel.report.prediction_table import make_table
from perfmodel.report.scaling_words import REGIMES, contest_sentences, line_sentences
from perfmodel.report.standing import standing_sentences

if TYPE_CHECKING:
    from rich.console import Console


def print_lines(console: Console, lines: Sequence[SizeLine]) -> None:
    """Print what all lines share, then a table and its sentences for each."""
    common, own = line_titles(lines)
    console.print(", ".join(common), style="bold")
    for line, title in zip(lines, own, strict=True):
        console.print()
        console.print(title, style="bold")
        _print_table(console, line)
        for sentence in line_sentences(line):
            console.print(sentence)
    for contest in contests(lines):
        console.print()
        for sentence in contest_sentences(contest):
            console.print(sentence)


def print_scale(
    console: Console, lines: Sequence[SizeLine], answered: Sequence[Answer], refused: Sequence[Answer],
    notes: Sequence[str],
) -> None:  # fmt: skip
    """Print lines, then what chips refused, what the answers stand on, and notes."""
    print_lines(console, lines)
    console.print()
    for refusal in refusal_lines(refused):
        console.print(refusal)
    for sentence in standing_sentences([each.prediction for each in answered if each.prediction]):
        console.print(sentence, style="dim")
    for note in notes:
        console.print(f"Note: {note}")


def refusal_lines(refused: Sequence[Answer]) -> list[str]:
    """Each chip's reason once, with the models it is told of."""
    models: dict[tuple[str, str], list[str]] = {}
    for each in refused:
        models.setdefault((each.request.hardware, each.error), []).append(each.request.model)
    return [f"Refused: {', '.join(dict.fromkeys(names))} on {chip}: {error}" for (chip, error), names in models.items()]


def line_titles(lines: Sequence[SizeLine]) -> tuple[list[str], list[str]]:
    """What all lines were asked in common, and for each line its phase, chip and what else differs."""
    asked = [asked_words(line) for line in lines]
    common = [word for words in zip(*asked, strict=True) if len(set(words)) == 1 and (word := words[0])]
    varying = [len(set(words)) > 1 for words in zip(*asked, strict=True)]
    own = []
    for line, words in zip(lines, asked, strict=True):
        differing = [word for word, varies in zip(words, varying, strict=True) if varies and word]
        own.append(", ".join([f"{PHASE_TITLES[line.phase]} on {line.request.hardware}", *differing]))
    return common, own


def asked_words(line: SizeLine) -> tuple[str, ...]:
    """What a line was asked, apart from models and chip; "" for what it was not."""
    return line.family, *setting_words(line.request)


def _print_table(console: Console, line: SizeLine) -> None:
    rate = PHASE_RATES.get(line.phase, "").rpartition("_")[2]
    table = make_table(
        ("model", "left"), ("parameters", "right"), ("time", "right"), ("interval", "right"), ("exponent", "right"),
        ("regime", "left"), (f"{rate}/s" if rate else "", "right"), ("memory", "right"), ("fits", "left"),
    )  # fmt: skip
    for point in line.points:
        table.add_row(*_cells(point), style=None if point.fits else "dim")
    console.print(table)


def _cells(point: SizePoint) -> tuple[str, ...]:
    time = point.time
    return (
        point.model,
        format_count(point.parameters),
        format_seconds(time.seconds),
        format_interval(time.low, time.high, time.seconds),
        NOTHING if point.exponent is None else f"{point.exponent:.2f}",
        REGIMES[time.bound],
        format_number(point.rate_per_second) if point.rate_per_second else "",
        format_bytes(point.memory_bytes),
        "yes" if point.fits else "no",
    )


def lines_csv(lines: Sequence[SizeLine]) -> str:
    """One line per chip, phase and model."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([
        "hardware", "precision", "batch", "input_tokens", "output_tokens", "runtime", "layout", "family", "phase",
        "model", "parameters", "seconds", "low", "high", "bound", "exponent", "rate_per_second", "memory_bytes", "fits",
    ])  # fmt: skip
    for line in lines:
        asked = line.request
        for point in line.points:
            time = point.time
            writer.writerow([
                asked.hardware, asked.precision, asked.batch, asked.input_tokens, asked.output_tokens, asked.runtime,
                asked.layout, line.family, line.phase, point.model, point.parameters,
                time.seconds, time.low, time.high, time.bound,
                "" if point.exponent is None else point.exponent, point.rate_per_second, point.memory_bytes, point.fits,
            ])  # fmt: skip
    return text.getvalue()
