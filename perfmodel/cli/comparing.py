"""`perfmodel explain --compare`: two combinations, or two requests, side by side; none of a server.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perfmodel.cli.answering import answer
from perfmodel.cli.html_reports import save_html
from perfmodel.cli.options import echo_json
from perfmodel.errors import InputError, PerfmodelError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.cli.sides import Side
    from perfmodel.comparison import Comparison
    from perfmodel.report.answers import Answer
    from perfmodel.types import Hardware


def print_compared(grid: Grid, *, as_json: bool, as_csv: bool, top: int, plot: str | None, html: str | None) -> None:
    """Explain both combinations of a grid and print what differs.

    Raises:
        InputError: there are not exactly two, or they come to the same. UnsupportedError: a chip refuses one.
    """
    first, second = grid.pair()
    answers = answer(grid, first, with_ops=True), answer(grid, second, with_ops=True)
    _refuse(answers)
    if first.model is second.model and first.hardware is second.hardware and answers[0].request == answers[1].request:
        raise InputError(
            "the two combinations of --compare come to the same prediction: what differs between them does not apply "
            f"to {first.model.name} on {first.hardware.id}"
        )
    _print_pair(answers, grid.hardware, as_json=as_json, as_csv=as_csv, top=top, plot=plot, html=html)


def print_compared_sides(
    sides: tuple[Side, Side], *, as_json: bool, as_csv: bool, top: int, plot: str | None, html: str | None
) -> None:
    """Explain two requests without a server and print what differs.

    Raises:
        InputError: a side that is several, or bad options. UnsupportedError: a chip refuses one.
    """
    (a, chip_a), (b, chip_b) = _explained(sides[0]), _explained(sides[1])
    _refuse((a, b))
    _print_pair((a, b), (chip_a, chip_b), as_json=as_json, as_csv=as_csv, top=top, plot=plot, html=html)


def _explained(side: Side) -> tuple[Answer, Hardware]:
    from perfmodel.cli.grid import read_grid

    try:
        grid = read_grid(side.options)
        return answer(grid, grid.single(), with_ops=True), grid.hardware[0]
    except PerfmodelError as error:
        raise side.mistaken(error) from None


def _refuse(answers: tuple[Answer, Answer]) -> None:
    refusals = dict.fromkeys(each.error for each in answers if each.prediction is None)
    if refusals:
        raise UnsupportedError("\n".join(refusals))


def _print_pair(
    answers: tuple[Answer, Answer], chips: Sequence[Hardware], *, as_json: bool, as_csv: bool, top: int,
    plot: str | None, html: str | None,
) -> None:  # fmt: skip
    from perfmodel.comparison import compare

    assert answers[0].prediction is not None
    assert answers[1].prediction is not None
    comparison = compare(answers[0].prediction, answers[1].prediction)
    if plot:
        from perfmodel.report.comparison_plot import draw_comparison
        from perfmodel.report.plots import save_figure

        save_figure(plot, draw_comparison(answers, comparison))
    if as_json:
        from perfmodel.report.comparison_document import comparison_document

        echo_json(comparison_document(answers, comparison))
    elif as_csv:
        _print_csv(answers, comparison)
    else:
        _print_tables(answers, comparison, top)
        if plot:
            click.echo(f"Terms: {plot}")
    if html:
        from perfmodel.report.html_predictions import comparison_report

        report = comparison_report(answers, comparison, chips, top=top)
        save_html(html, report, quiet=as_json or as_csv)


def _print_csv(answers: tuple[Answer, Answer], comparison: Comparison) -> None:
    from perfmodel.report.comparison_table import terms_csv
    from perfmodel.report.prediction_table import notes_of

    click.echo(terms_csv(comparison), nl=False)
    for note in notes_of(answers):
        click.echo(f"Note: {note}", err=True)


def _print_tables(answers: tuple[Answer, Answer], comparison: Comparison, top: int) -> None:
    from perfmodel.report.comparison_table import print_comparison
    from perfmodel.report.console import open_console

    print_comparison(open_console(), answers, comparison, top=top)
