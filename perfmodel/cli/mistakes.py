"""Mistakes of options, told together; and those about what is printed and drawn, which many commands share.

May import: click, errors; report inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from perfmodel.errors import InputError, PerfmodelError

Mistakes: TypeAlias = list[tuple[str, PerfmodelError]]  # with the option of each
BOTH_FORMS = "--json and --csv exclude each other: give one"


def refuse_all(texts: Sequence[str]) -> None:
    """
    Raises:
        InputError: a mistake as it is, several in a list; nothing where there is none.
    """
    if len(texts) == 1:
        raise InputError(texts[0])
    if texts:
        raise InputError(f"{len(texts)} mistakes\n" + "\n".join(f"- {text}" for text in texts))


def check_plot(path: str) -> None:
    """
    Raises:
        InputError: no picture can be drawn there; told before long work starts.
    """
    from perfmodel.report.plots import check_plot_path

    check_plot_path(path)


def refuse_plot(plot: str | None) -> None:
    """
    Raises:
        InputError: no picture can be drawn there; nothing is said where none is asked for.
    """
    refuse_all([f"--{option}: {error}" for option, error in output_mistakes(plot)])


def output_mistakes(plot: str | None, *, as_json: bool = False, as_csv: bool = False) -> Mistakes:
    """What is wrong with --plot, --json and --csv together."""
    found: Mistakes = []
    if plot is not None:
        try:
            check_plot(plot)
        except InputError as error:
            found.append(("plot", error))
    if as_json and as_csv:
        found.append(("json", InputError(BOTH_FORMS)))
    return found
