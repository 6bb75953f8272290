"""What is being done, on one line of a terminal's stderr that overwrites itself, or as a bar; nothing in a pipe.

May import: click; rich inside functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

WIDTH = 78


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done; the line is gone afterwards."""
    shown = sys.stderr.isatty()

    def show(text: str) -> None:
        if shown:
            click.echo(f"\r{text[:WIDTH]:<{WIDTH}}", err=True, nl=False)

    try:
        yield show
    finally:
        if shown:
            click.echo(f"\r{'':<{WIDTH}}\r", err=True, nl=False)


@contextmanager
def resumable(path: str) -> Iterator[None]:
    """Ctrl-C ends with how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\nStopped. What was measured is in {path}; the same command goes on from there, removing the file starts "
            "anew.",
            err=True,
        )
        raise


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A function that shows how many points are done, on stderr; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total, label: None
        return
    columns: tuple[Any, ...] = (
        BarColumn(30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    # a thread that redraws the bar would take a core from what is timed
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, description=label[:50], refresh=True)

        yield show
