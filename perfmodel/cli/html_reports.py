"""The option `--html` of many commands: a page to hand on, told to be impossible before long work starts.

May import: click, errors, cli.mistakes, and everything below inside the functions.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perfmodel.cli.mistakes import Mistakes
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.report.html_page import Report

COMMAND = "perfmodel.command"  # in click's `meta`: what was typed
SUFFIXES = (".html", ".htm")

html_option = click.option(
    "--html", metavar="FILE", help="Write a report to hand on, one page with plots, tables and sources: .html."
)


def keep_command(ctx: click.Context, args: list[str]) -> None:
    """Remember what was typed, for the report."""
    ctx.meta[COMMAND] = shlex.join(["perfmodel", *args])


def check_html(path: str | None) -> None:
    """
    Raises:
        InputError: no page can be written there; nothing is said where none is asked for.
    """
    for _, error in html_mistakes(path):
        raise InputError(f"--html: {error}")


def html_mistakes(path: str | None) -> Mistakes:
    """What is wrong with the option, as (option, mistake)."""
    if path is None:
        return []
    target = Path(path).expanduser()
    text = ""
    if target.suffix.lower() not in SUFFIXES:
        text = f"'{path}' must end in {' or '.join(SUFFIXES)}"
    elif not target.parent.is_dir():
        text = f"{path} cannot be written: there is no folder {target.parent}"
    elif target.is_dir():
        text = f"{path} is a folder: name a file"
    elif not os.access(target.parent, os.W_OK):
        text = f"{path} cannot be written: the folder {target.parent} takes no new files"
    return [("html", InputError(text))] if text else []


def save_html(path: str | None, report: Report, *, quiet: bool = False) -> None:
    """Write a report, if one is asked for, and say so.

    Args:
        quiet: what is printed is for programs.
    """
    if path is None:
        return
    from datetime import UTC, datetime

    from perfmodel.report.html_page import write_report

    command = click.get_current_context().meta.get(COMMAND) or shlex.join(sys.argv)
    write_report(path, report, command, datetime.now(UTC))
    if not quiet:
        click.echo(f"Report: {path}")
