"""`perfmodel explain --compare`: two answers side by side, and the terms that differ.

Times of the terms are in one unit with as many decimals each, so that a reader can add them up. May import: types,
comparison and below, rich.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from perfmodel.comparison import Comparison, PhaseComparison, Spent, Term, ratio
from perfmodel.report.answers import Answer
from perfmodel.report.columns import NOTHING, PHASE_TITLES
from perfmodel.report.comparison_words import SAME, are_same, phase_sentences, whole_sentence
from perfmodel.report.formats import (
    format_bytes,
    format_count,
    format_flops,
    format_interval,
    format_number,
    format_seconds,
    format_share,
)
from perfmodel.report.prediction_table import heading_of, make_table, print_footer
from perfmodel.report.term_cells import cells_for
from perfmodel.types import OpTime
from perfmodel.units import format_quantity

if TYPE_CHECKING:
    from rich.console import Console

PARTS = ("compute", "memory", "network", "overhead")
_WIDTH = 12  # of a column of times, at most


def print_comparison(console: Console, answers: tuple[Answer, Answer], comparison: Comparison, *, top: int) -> None:
    """Print both answers side by side, by phase: figures, terms, and what they mean in words.

    Args:
        top: terms at most in each table, those that differ most; 0 for all.
    """
    for side, answer in zip("AB", answers, strict=True):
        console.print(f"{side}  {heading_of(answer.request, answer.precision)}", style="bold")
    if are_same(comparison):
        console.print(f"\n{SAME}")
        print_footer(console, answers)
        return
    level = answers[0].request.level
    several = len(comparison.phases) > 1
    if several:
        console.print()
        _print_figures(console, "whole request", _whole_rows(comparison, level) + _model_rows(comparison))
        console.print(f"\n{whole_sentence(comparison)}")
    for phase in comparison.phases:
        console.print()
        rows = _phase_rows(phase, level) + ([] if several else _model_rows(comparison))
        _print_figures(console, PHASE_TITLES[phase.name], rows)
        console.print()
        _print_terms(console, phase, top)
        console.print()
        for sentence in phase_sentences(comparison, phase):
            console.print(sentence)
    print_footer(console, answers)


# ---------------------------------------------------------------------------------------------------- figures

Row = tuple[str, str, str, str]


def _print_figures(console: Console, title: str, rows: Sequence[Row]) -> None:
    table = make_table((title, "left"), ("A", "right"), ("B", "right"), ("A/B", "right"))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _row(title: str, a: float | None, b: float | None, show: Callable[[float], str]) -> Row:
    texts = [NOTHING if value is None else show(value) for value in (a, b)]
    quotient = ratio(a, b) if a is not None and b is not None else None
    return (title, *texts, NOTHING if quotient is None else format_number(quotient))  # type: ignore[return-value]


def _time_rows(a: OpTime, b: OpTime, level: float) -> list[Row]:
    return [
        _row("time", a.seconds or None, b.seconds or None, format_seconds),
        (f"  {100 * level:g} % interval", _interval(a), _interval(b), ""),
    ]


def _interval(time: OpTime) -> str:
    if not time.seconds:
        return NOTHING
    return f"{format_interval(time.low, time.high, time.seconds)} {format_seconds(time.seconds).split()[1]}"


def _whole_rows(comparison: Comparison, level: float) -> list[Row]:
    return _time_rows(comparison.a_time, comparison.b_time, level)


def _phase_rows(phase: PhaseComparison, level: float) -> list[Row]:
    a, b = phase.a, phase.b
    return [
        *_time_rows(a.time, b.time, level),
        _row("FLOPs of contractions", a.flops, b.flops, format_flops),
        _row("bytes moved", a.bytes, b.bytes, format_bytes),
        _row("FLOP per byte", a.intensity, b.intensity, format_number),
        _row("kernels launched", a.cost.launches, b.cost.launches, lambda count: f"{count:,.0f}"),
        _row("FLOP/s reached", *_per_second(a.flops, b.flops, phase), _flops_per_second),
        _row("  share of the peak", a.peak_share, b.peak_share, format_share),
        _row("bytes/s reached", *_per_second(a.bytes, b.bytes, phase), _bytes_per_second),
        _row("  share of the bandwidth", a.bandwidth_share, b.bandwidth_share, format_share),
    ]


def _per_second(a: float, b: float, phase: PhaseComparison) -> tuple[float | None, float | None]:
    return ratio(a, phase.a.time.seconds), ratio(b, phase.b.time.seconds)


def _flops_per_second(value: float) -> str:
    return format_quantity(value, "flops_per_second")


def _bytes_per_second(value: float) -> str:
    return format_quantity(value, "bytes_per_second")


def _model_rows(comparison: Comparison) -> list[Row]:
    a, b = comparison.a, comparison.b
    fits: Row = ("fits the chip", "yes" if a.fits else "no", "yes" if b.fits else "no", "")
    return [
        _row("parameters", a.parameters, b.parameters, format_count),
        _row("memory of weights", a.memory_bytes["weights"], b.memory_bytes["weights"], format_bytes),
        _row("memory in all", a.memory_bytes["total"], b.memory_bytes["total"], format_bytes),
        *([] if a.fits and b.fits else [fits]),
    ]


# ------------------------------------------------------------------------------------------------------ terms


def _print_terms(console: Console, phase: PhaseComparison, top: int) -> None:
    """The terms that differ most, the others in one row, the sum; parts of the times where there is room for them."""
    written = cells_for(max(phase.a.time.seconds, phase.b.time.seconds))
    rows = _shown(phase, top, written.smallest)
    titles = ["time\nA", "\nB", "\nA-B"]
    parts = [part for part in PARTS if any(_part(spent, part) for spent in (phase.a, phase.b))]
    if max(len(row.name) for row in rows) + _WIDTH * (len(titles) + 2 * len(parts)) > console.width:
        parts = []
    titles += [title for part in parts for title in (f"{part}\nA", "\nB")]
    table = make_table((f"\nterm, {written.unit}", "left"), *((title, "right") for title in titles))
    for row in rows:
        cells = [*map(written.cell, (row.a.time.seconds, row.b.time.seconds)), written.signed(row.difference_seconds)]
        cells += [written.cell(_part(spent, part)) for part in parts for spent in (row.a, row.b)]
        table.add_row(row.name, *cells, style="bold" if row is rows[-1] else None)
    console.print(table)


def _shown(phase: PhaseComparison, top: int, smallest: float) -> list[Term]:
    """The terms to be printed, those too many for `top` in one, and the whole phase; too small ones are left out."""
    visible = [term for term in phase.terms if max(term.a.time.seconds, term.b.time.seconds) >= smallest / 2]
    kept = visible[: top - 1] if 0 < top < len(visible) else visible
    left = visible[len(kept) :]
    others = Term(
        name=f"{len(left)} others",
        a=sum((term.a for term in left), Spent()),
        b=sum((term.b for term in left), Spent()),
    )
    return [*kept, *([others] if left else []), Term(name=PHASE_TITLES[phase.name], a=phase.a, b=phase.b)]


def _part(spent: Spent, part: str) -> float:
    seconds: float = getattr(spent.time, f"{part}_seconds")
    return seconds


def terms_csv(comparison: Comparison) -> str:
    """One line per phase and term: seconds of A and B by what they are spent on, and their difference."""
    parts = ("", *(f"{part}_" for part in PARTS))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sides = [f"{side}_{part}seconds" for part in parts for side in "ab"]
    writer.writerow(["phase", "term", "difference_seconds", *sides])
    for phase in comparison.phases:
        for term in phase.terms:
            values = [getattr(spent.time, f"{part}seconds") for part in parts for spent in (term.a, term.b)]
            writer.writerow([phase.name, term.name, term.difference_seconds, *values])
    return text.getvalue()
