"""Reports of many models or points: `compress`, `tradeoff`, `sweep`.

May import: planning, sweeping and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.formats import format_number, format_seconds
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_sources import prediction_sources

if TYPE_CHECKING:
    from rich.console import Console

    from perfmodel.planning.compression import Compression
    from perfmodel.planning.tradeoff import Tradeoff
    from perfmodel.sweeping.running import SweepResult
    from perfmodel.types import Hardware

SHOWN = 50  # rows of a sweep's table


def compress_report(
    results: Sequence[Compression], left_out: Sequence[str], notes: Sequence[str], chips: Sequence[Hardware]
) -> Report:
    """Of `perfmodel compress`.

    Args:
        left_out, notes: what is said below the tables.
    """
    from perfmodel.report.compression_document import compress_document
    from perfmodel.report.compression_plot import draw_compressions
    from perfmodel.report.compression_table import print_whole_compressions
    from perfmodel.report.compression_words import compression_sentences

    drawn = any(each.prediction for result in results for each in result.variants)
    predictions = [each.original for each in results]
    predictions += [each.prediction for result in results for each in result.variants if each.prediction]
    return Report(
        kind="compression",
        summary=[compression_sentences(result)[0] for result in results],
        headlines=[own for result in results for own in _fastest(result)][:8],
        pictures=[Picture("How many times as fast as the original.", draw_compressions(results))] if drawn else (),
        tell=lambda console: print_whole_compressions(console, results, [*notes, *left_out]),
        document=compress_document(results, notes),
        sources=prediction_sources(predictions, chips),
    )


def _fastest(result: Compression) -> list[Headline]:
    """The change that each phase gains most from."""
    found = []
    for phase in result.original.phases:
        having = [each for each in result.variants if each.prediction and phase in each.speedups]
        if having:
            best = max(having, key=lambda each: each.speedups[phase])
            where = f"{PHASE_TITLES[phase]} on {result.original.request.hardware}"
            found.append(Headline(where, f"{format_number(best.speedups[phase])} times", best.change.name))
    return found


def tradeoff_report(
    answer: Tradeoff, told: Sequence[str], notes: Sequence[str], chips: Sequence[Hardware], *, every: bool
) -> Report:
    """Of `perfmodel tradeoff`.

    Args:
        told: what is said below the tables: rows left out, notes.
    """
    from perfmodel.report.tradeoff_document import tradeoff_document
    from perfmodel.report.tradeoff_plot import draw_tradeoff
    from perfmodel.report.tradeoff_table import print_whole_tradeoff
    from perfmodel.report.tradeoff_words import format_accuracy, front_sentences

    return Report(
        kind="accuracy against latency",
        summary=[front_sentences(answer, front)[0] for front in answer.fronts],
        headlines=[
            Headline(f"best on {best.prediction.request.hardware}", best.row.model,
                     f"{format_accuracy(best.row.accuracy, answer.table)} in {format_seconds(best.seconds)}")
            for front in answer.fronts
            if (best := front.best)
        ],
        pictures=[Picture("Accuracy over latency, with intervals.", draw_tradeoff(answer))],
        tell=lambda console: print_whole_tradeoff(console, answer, told, every=every),
        document=tradeoff_document(answer, notes),
        sources=prediction_sources([point.prediction for front in answer.fronts for point in front.points], chips),
    )  # fmt: skip


def sweep_report(result: SweepResult) -> Report:
    """Of `perfmodel sweep`."""
    from perfmodel.planning.table_files import open_table
    from perfmodel.planning.table_views import View, select_rows
    from perfmodel.report.results_table import print_rows
    from perfmodel.report.sweep_document import sweep_document

    table = open_table(result.out)
    rows = select_rows(table, View(columns=tuple(table.kinds), top=SHOWN))

    def tell(console: Console) -> None:
        print_rows(console, rows, table.kinds, [])
        console.print(f"Note: {result.out} has all rows; `perfmodel results` filters, sorts and sums them up")

    return Report(
        kind="sweep",
        title=f"{result.out}: {result.rows:,} rows",
        summary=[f"{result.points:,} points made {result.rows:,} rows in {format_number(result.seconds)} s."],
        headlines=[Headline("points", f"{result.points:,}"), Headline("rows", f"{result.rows:,}", f"in {result.out}")],
        pictures=(),
        tell=tell,
        document=sweep_document(result),
    )
