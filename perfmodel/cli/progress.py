"""What is being done, on one line of a terminal's stderr that overwrites itself; nothing in a pipe.

May import: click.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
