"""`perfmodel explain` of servers as tables: the parts of each latency, of one request or of two side by side; CSV.

May import: latency_parts, formats, term_cells, latency_words, latency_document, rich.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.latency_parts import LatencyComparison, Made, Part
from perfmodel.report.answers import Answer
from perfmodel.report.formats import format_interval, format_share
from perfmodel.report.latency_document import Explained
from perfmodel.report.latency_words import TITLES, compared_sentences, made_sentence, meanings
from perfmodel.report.prediction_table import heading_of, make_table, notes_of
from perfmodel.report.serving_document import ServedAnswer, served_notes
from perfmodel.report.serving_table import served_heading, standing_sentence
from perfmodel.report.term_cells import cells_for

if TYPE_CHECKING:
    from rich.console import Console


def print_explained(console: Console, explained: Explained, *, top: int) -> None:
    """Print what the latencies of one server are made of.

    Args:
        top: parts at most in each table, the largest; 0 for all.
    """
    console.print(title_of(explained), style="bold")
    names: dict[str, None] = {}
    for metric in ("ttft", "tpot"):
        made = explained.latencies[metric]
        console.print()
        if not made.parts:
            console.print(f"The {TITLES[metric]} has no end: there is no steady state.")
            continue
        names |= dict.fromkeys(_print_made(console, metric, made, top))
        console.print(made_sentence(metric, made))
    _print_footer(console, [explained], list(names))


def print_compared(
    console: Console, pair: tuple[Explained, Explained], found: Sequence[LatencyComparison], *, top: int
) -> None:
    """Print two requests side by side: each latency with its parts, and why they differ in words.

    Args:
        top: parts at most in each table, those that differ most; 0 for all.
    """
    for side, explained in zip("AB", pair, strict=True):
        console.print(f"{side}  {title_of(explained)}", style="bold")
    console.print()
    for sentence in compared_sentences(found):
        console.print(sentence)
    names: dict[str, None] = {}
    if not all(each.same for each in found):
        for each in found:
            console.print()
            names |= dict.fromkeys(_print_comparison(console, each, top))
    _print_footer(console, pair, list(names))


def title_of(explained: Explained) -> str:
    """What was asked, in one line."""
    answer = explained.answer
    if isinstance(answer, ServedAnswer):
        return served_heading(answer)
    return heading_of(answer.request, answer.precision)


def parts_csv(found: Sequence[LatencyComparison]) -> str:
    """One line for each latency and part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["latency", "part", "a_seconds", "b_seconds", "difference_seconds"])
    for each in found:
        for part in each.parts:
            writer.writerow([each.metric, part.name, part.a, part.b, part.difference_seconds])
    return text.getvalue()


# ------------------------------------------------------------------------------------------------------ tables


def _print_made(console: Console, metric: str, made: Made, top: int) -> list[str]:
    """The table; the names in it are returned."""
    cells = cells_for(made.seconds)
    table = make_table((TITLES[metric], "left"), (cells.unit, "right"), ("share", "right"))
    ranked = sorted(made.parts.items(), key=lambda part: -abs(part[1]))
    shown = [part for part in ranked if abs(part[1]) >= cells.smallest / 2]
    kept = shown[: top - 1] if 0 < top < len(shown) else shown
    rest = made.seconds - sum(own for _, own in kept)
    for name, own in kept:
        table.add_row(name, cells.cell(own), format_share(own / made.seconds))
    if len(kept) < len(shown):
        table.add_row(f"{len(shown) - len(kept)} others", cells.cell(rest), "")
    table.add_row("all", cells.cell(made.seconds), "", style="bold")
    console.print(table)
    return [name for name, _ in kept]


def _print_comparison(console: Console, found: LatencyComparison, top: int) -> list[str]:
    cells = cells_for(max(found.a.seconds, found.b.seconds))
    title = f"{TITLES[found.metric]}, {cells.unit}"
    table = make_table((title, "left"), ("A", "right"), ("B", "right"), ("B-A", "right"))
    shown = [part for part in found.parts if max(abs(part.a), abs(part.b)) >= cells.smallest / 2]
    kept = shown[: top - 1] if 0 < top < len(shown) else shown
    others = shown[len(kept) :]
    rows = list(kept)
    if others:
        rows.append(Part(name=f"{len(others)} others", a=sum(x.a for x in others), b=sum(x.b for x in others)))
    for row in rows:
        table.add_row(row.name, cells.cell(row.a), cells.cell(row.b), cells.signed(row.difference_seconds))
    a, b = found.a, found.b
    whole = (cells.cell(a.seconds), cells.cell(b.seconds), cells.signed(found.difference_seconds))
    table.add_row("all", *whole, style="bold")
    table.add_row("interval", *(format_interval(x.low, x.high, max(a.seconds, b.seconds)) for x in (a, b)), "")
    console.print(table)
    return [part.name for part in kept]


def _print_footer(console: Console, explained: Sequence[Explained], names: Sequence[str]) -> None:
    console.print()
    for meaning in meanings(names):
        console.print(meaning, style="dim")
    servers = [each.answer for each in explained if isinstance(each.answer, ServedAnswer)]
    batches = [each.answer for each in explained if isinstance(each.answer, Answer)]
    for sentence in dict.fromkeys(standing_sentence(each.prediction) for each in servers if each.prediction):
        console.print(sentence, style="dim")
    for note in dict.fromkeys([*served_notes(servers), *notes_of(batches)]):
        console.print(f"Note: {note}")
