"""`perfmodel explain` of servers: what TTFT and TPOT are made of, and why two requests differ, server or not.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import save_html
from perfmodel.cli.options import echo_json
from perfmodel.cli.sides import Side
from perfmodel.errors import InputError, PerfmodelError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.latency_parts import Made
    from perfmodel.report.latency_document import Explained

_NO_LIMITS = {"max_batch": False, "max_context": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How to print."""

    as_json: bool
    as_csv: bool
    top: int
    plot: str | None
    html: str | None


def explain_server(options: Mapping[str, Any], served: Mapping[str, Any], output: Output) -> None:
    """Print what the latencies of one server are made of.

    Raises:
        InputError: several combinations, or bad options. UnsupportedError: the server cannot be.
    """
    explained = _explained_servers(options, served)
    if len(explained) > 1:
        raise InputError(
            f"explain answers one combination at a time, but the lists make {len(explained)}: give one of each, "
            "--compare for two side by side, or use `perfmodel predict` for a table"
        )
    if output.plot:
        raise InputError("--plot: a server has no roofline; with --compare it draws the steps from A to B")
    if output.as_json:
        from perfmodel.report.latency_document import explained_document

        echo_json(explained_document(explained[0]))
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.latency_table import print_explained

        print_explained(open_console(), explained[0], top=output.top)
    if output.html:
        from perfmodel.report.html_latencies import explained_report

        save_html(output.html, explained_report(explained[0], top=output.top), quiet=output.as_json)


def compare_servers(options: Mapping[str, Any], served: Mapping[str, Any], output: Output) -> None:
    """Compare the only two combinations of lists.

    Raises:
        InputError: there are not exactly two, or bad options. UnsupportedError: a server cannot be.
    """
    explained = _explained_servers(options, served)
    if len(explained) != 2:
        raise InputError(
            f"--compare needs exactly two combinations, but the lists make {len(explained)}: let one list have two "
            'values and all others one, or give two requests in quotes: --compare "MODEL --option ..." "MODEL ..."'
        )
    _print_compared((explained[0], explained[1]), output)


def compare_sides(sides: tuple[Side, Side], output: Output) -> None:
    """Compare two requests of which at least one is of a server.

    Raises:
        InputError: a side that is several, or bad options. UnsupportedError: a side cannot be.
    """
    first, second = (_explained_side(side) for side in sides)
    _print_compared((first, second), output)


def _explained_side(side: Side) -> Explained:
    try:
        found = _explained_servers(side.options, side.served) if side.is_server else [_explained_batch(side)]
    except UnsupportedError as error:
        raise UnsupportedError(f"{side.name}: {error}") from None
    except PerfmodelError as error:
        raise side.mistaken(error) from None
    if len(found) > 1:
        raise InputError(f"{side.name}: its lists make {len(found)} requests; give one value of each")
    return found[0]


def _explained_servers(options: Mapping[str, Any], served: Mapping[str, Any]) -> list[Explained]:
    from perfmodel.cli.serving import served_answers
    from perfmodel.report.latency_document import Explained
    from perfmodel.serving.latency_parts import served_latencies

    answers = served_answers({**options, **_NO_LIMITS}, served, with_parts=True)
    refused = dict.fromkeys(each.error for each in answers if each.prediction is None)
    if refused:
        raise UnsupportedError("\n".join(refused))
    return [Explained(answer=each, latencies=served_latencies(each.prediction)) for each in answers if each.prediction]


def _explained_batch(side: Side) -> Explained:
    from perfmodel.cli.answering import answer
    from perfmodel.cli.grid import read_grid
    from perfmodel.report.latency_document import Explained
    from perfmodel.static_latencies import static_latencies

    grid = read_grid(side.options)
    found = answer(grid, grid.single(), with_ops=True)
    if found.prediction is None:
        raise UnsupportedError(found.error)
    return Explained(answer=found, latencies=static_latencies(found.prediction))


def _print_compared(pair: tuple[Explained, Explained], output: Output) -> None:
    from perfmodel.latency_parts import compare_latencies

    latencies: Sequence[Mapping[str, Made]] = [each.latencies for each in pair]
    found = compare_latencies(*latencies)
    if output.plot:
        from perfmodel.report.latency_plot import draw_steps
        from perfmodel.report.plots import save_figure

        save_figure(output.plot, draw_steps(pair, found))
    if output.as_json:
        from perfmodel.report.latency_document import compared_document

        echo_json(compared_document(pair, found))
    elif output.as_csv:
        from perfmodel.report.latency_table import parts_csv

        click.echo(parts_csv(found), nl=False)
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.latency_table import print_compared

        print_compared(open_console(), pair, found, top=output.top)
        if output.plot:
            click.echo(f"Steps: {output.plot}")
    if output.html:
        from perfmodel.report.html_latencies import compared_report

        save_html(output.html, compared_report(pair, found, top=output.top), quiet=output.as_json or output.as_csv)
