"""`perfmodel results`: the rows of a sweep, or of any table, filtered, sorted, their Pareto front, summed up.

May import: everything below, inside the functions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perfmodel.cli.html_reports import html_mistakes, html_option, save_html
from perfmodel.cli.mistakes import BOTH_FORMS, check_plot, refuse_all
from perfmodel.cli.options import echo_json, json_option, read_count, split_list
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.planning.pivots import Pivot
    from perfmodel.planning.table_files import TableFile
    from perfmodel.planning.table_views import Axis, View

Value = TypeVar("Value")
SHOWN = 20  # rows that a terminal is shown unless told otherwise
_MOST = 1 << 40


@click.command(
    "results",
    epilog=examples(
        'perfmodel results sweep.parquet --where "stable = true and ttft_s < 2" --pareto usd_per_hour:min,tpot_s:min',
        "perfmodel results sweep.parquet --pivot hardware,precision,tpot_s:min --plot heat.png",
    ),
)
@click.argument("file", metavar="FILE")
@click.option("--where", metavar="CONDITION", help='Rows wanted, e.g. "ttft_s < 2 and hardware in (l4, l40s)".')
@click.option("--columns", metavar="C[,C]", help="Columns wanted; all by default.")
@click.option("--sort", metavar="C[:max][,C]", help="Sort by columns, from the least on or, with :max, the greatest.")
@click.option("--top", metavar="N", help=f"The first N rows. [default: {SHOWN} in a table, else all]")
@click.option("--pareto", metavar="C:min,C:max", help="Only rows that no other row beats on these columns.")
@click.option(
    "--pivot",
    metavar="R,C,V[:HOW]",
    help="Sum V up for each value of R (down) and C (across) by its mean, min, max, median or count.",
)
@click.option("--plot", metavar="FILE", help="Draw the pivot: .png, .svg or .pdf.")
@click.option("--out", metavar="FILE", help="Write the rows to a .parquet or .csv file.")
@html_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def results_command(file: str, as_json: bool, as_csv: bool, **options: Any) -> None:
    """Look at a table: the results of a sweep, or any other CSV or Parquet file.

    A CONDITION compares columns with values (= != < <= > >= in) and joins that by and, or, not and parentheses.
    """
    from perfmodel.planning.table_files import open_table

    table = open_table(file)
    asked = _read(table, options, as_json=as_json, as_csv=as_csv)
    if asked.pivot:
        _answer_pivot(table, asked, options["plot"], options["html"], as_json=as_json, as_csv=as_csv)
    elif options["out"]:
        from perfmodel.planning.table_views import stream_rows
        from perfmodel.planning.table_writing import write_table

        view = asked.view
        count = write_table(
            options["out"], {name: table.kinds[name] for name in view.columns}, stream_rows(table, view)
        )
        click.echo(f"{options['out']}: {count:,} rows")
    else:
        _answer_rows(table, asked.view, options["html"], as_json=as_json, as_csv=as_csv)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options as values. pivot: (rows, columns, value, summary), empty if none was asked for."""

    view: View
    pivot: tuple[str, ...] = ()


@dataclass(slots=True)
class _Mistakes:
    """Collects the mistakes of all options, to raise them together."""

    options: dict[str, Any]
    texts: list[str] = field(default_factory=list)

    def read(self, option: str, parse: Callable[[str], Value]) -> Value | None:
        """An option as a value; None if it was not given or has a mistake."""
        text = self.options[option]
        if text is None:
            return None
        try:
            return parse(text)
        except PerfmodelError as error:
            self.texts.append(f"--{option}: {error}")
            return None


def _read(table: TableFile, options: dict[str, Any], *, as_json: bool, as_csv: bool) -> _Asked:
    """
    Raises:
        InputError: all mistakes at once, each with its option.
    """
    from perfmodel.planning.conditions import read_condition
    from perfmodel.planning.table_views import View, check_columns

    mistakes = _Mistakes(options)

    def columns(text: str) -> tuple[str, ...]:
        names = split_list(text)
        check_columns(table.kinds, names)
        return names

    view = View(
        columns=mistakes.read("columns", columns) or tuple(table.kinds),
        condition=mistakes.read("where", lambda text: read_condition(text, table.kinds)),
        sort=mistakes.read("sort", lambda text: _axes(text, table, numbers=False)) or (),
        pareto=mistakes.read("pareto", lambda text: _axes(text, table, numbers=True)) or (),
        top=mistakes.read("top", lambda text: read_count(text, _MOST)),
    )
    asked = _Asked(view=view, pivot=mistakes.read("pivot", lambda text: _pivot_parts(text, table)) or ())
    mistakes.read("plot", check_plot)
    mistakes.read("out", lambda path: _check_out(path, table))
    mistakes.texts += [f"--{option}: {error}" for option, error in html_mistakes(options["html"])]
    mistakes.texts += _contradictions(options, as_json=as_json, as_csv=as_csv)
    refuse_all(mistakes.texts)
    return asked


def _axes(text: str, table: TableFile, *, numbers: bool) -> tuple[Axis, ...]:
    """Columns with "min" or "max": the direction may be left out where only an order is wanted."""
    from perfmodel.planning.table_views import check_columns

    axes: list[Axis] = []
    for item in split_list(text):
        name, colon, direction = item.rpartition(":")
        if not numbers and (item in table.kinds or not colon):
            name, direction = item, "min"
        elif direction not in ("min", "max"):
            raise InputError(f"'{item}' must say which is better: {item.partition(':')[0]}:min or :max")
        axes.append((name, "min" if direction == "min" else "max"))
    check_columns(table.kinds, [name for name, _ in axes], numbers=numbers)
    if numbers and len(axes) < 2:
        raise InputError("a front needs two columns at least; for one, use --sort and --top 1")
    if len({name for name, _ in axes}) < len(axes):
        raise InputError(f"'{text}' names a column twice")
    return tuple(axes)


def _pivot_parts(text: str, table: TableFile) -> tuple[str, ...]:
    from perfmodel.errors import UnknownNameError
    from perfmodel.planning.pivots import SUMMARIES
    from perfmodel.planning.table_views import check_columns

    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(parts):
        raise InputError(f"'{text}' must name three columns: rows, columns, value, e.g. hardware,precision,tpot_s:min")
    rows, columns, value = parts
    value, _, summary = (value, "", "mean") if value in table.kinds else value.partition(":")
    summary = summary or "mean"
    if summary not in SUMMARIES:
        raise UnknownNameError("summary", summary, SUMMARIES, f"Known: {', '.join(SUMMARIES)}")
    check_columns(table.kinds, [rows, columns, value])
    if summary != "count" and table.kinds[value] != "truth":
        check_columns(table.kinds, [value], numbers=True)
    return rows, columns, value, summary


def _check_out(path: str, table: TableFile) -> None:
    from perfmodel.planning.table_writing import check_table_path

    check_table_path(path)
    if os.path.exists(path) and os.path.samefile(path, table.path):
        raise InputError(f"{path} is the table that is read: give another file")


def _contradictions(options: dict[str, Any], *, as_json: bool, as_csv: bool) -> list[str]:
    found = []
    if as_json and as_csv:
        found.append(f"--json: {BOTH_FORMS}")
    if options["plot"] and not options["pivot"]:
        found.append("--plot: draws what --pivot sums up, which is not given")
    if options["pivot"]:
        idle = [name for name in ("columns", "sort", "top", "pareto", "out") if options[name]]
        found += [f"--{name}: does not go with --pivot, which sums up all rows of --where" for name in idle]
    if options["out"] and options["html"]:
        found.append("--html: is a page of what is printed, and --out writes a file instead: give one")
    if options["out"] and (as_json or as_csv):
        found.append("--out: writes a file, and --json and --csv print: give one")
    return found


def _answer_rows(table: TableFile, view: View, html: str | None, *, as_json: bool, as_csv: bool) -> None:
    if html:  # first, since there may be too many rows for a page
        from perfmodel.planning.table_views import select_rows
        from perfmodel.report.html_tables import rows_report

        report = rows_report(table, select_rows(table, view), [name for name, _ in view.pareto])
    _print_rows(table, view, as_json=as_json, as_csv=as_csv)
    if html:
        save_html(html, report, quiet=as_json or as_csv)


def _print_rows(table: TableFile, view: View, *, as_json: bool, as_csv: bool) -> None:
    from dataclasses import replace

    from perfmodel.planning.table_views import select_rows, stream_rows

    if as_csv:
        from perfmodel.planning.table_writing import write_csv

        write_csv(sys.stdout, list(view.columns), stream_rows(table, view))
        return
    if as_json:
        from perfmodel.report.results_document import rows_document

        echo_json(rows_document(table, select_rows(table, view)))
        return
    from perfmodel.report.console import open_console
    from perfmodel.report.results_table import print_rows

    rows = select_rows(table, replace(view, top=view.top or SHOWN))
    print_rows(open_console(), rows, table.kinds, [name for name, _ in view.pareto])


def _answer_pivot(
    table: TableFile, asked: _Asked, plot: str | None, html: str | None, *, as_json: bool, as_csv: bool
) -> None:
    from perfmodel.planning.pivots import pivot

    rows, columns, value, summary = asked.pivot
    found = pivot(table, rows, columns, value, summary, asked.view.condition)  # type: ignore[arg-type]
    if plot:
        from perfmodel.report.plots import save_figure
        from perfmodel.report.results_plot import draw_pivot

        save_figure(plot, draw_pivot(found))
    _print_pivot(table, found, as_json=as_json, as_csv=as_csv)
    if plot and not (as_json or as_csv):
        click.echo(f"Plot: {plot}")
    if html:
        from perfmodel.report.html_tables import pivot_report

        save_html(html, pivot_report(table, found), quiet=as_json or as_csv)


def _print_pivot(table: TableFile, found: Pivot, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        from perfmodel.report.results_document import pivot_document

        echo_json(pivot_document(table, found))
    elif as_csv:
        from perfmodel.report.results_table import pivot_csv

        click.echo(pivot_csv(found), nl=False)
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.results_table import print_pivot

        print_pivot(open_console(), found)
