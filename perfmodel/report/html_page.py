"""A report to hand on: one HTML file that opens anywhere, with nothing in it fetched from elsewhere and no script.

    Report (of the objects that a command answers with)  ─▶  page_html  ─▶  one file

First what a reader must know (a summary, the headline figures), then pictures, tables with words, what it all stands
on, how it was made, and at the end every figure of the JSON document. To add a command: a function that returns its
`Report`. May import: html_console, html_document, html_style, whole_files.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from os import PathLike
from typing import TYPE_CHECKING, Any

from perfmodel.report.html_console import HtmlConsole, paragraphs_as_list, table_html
from perfmodel.report.html_document import document_html
from perfmodel.report.html_style import STYLE
from perfmodel.whole_files import write_whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LONG_TABLE = 15  # rows, from which one of sources folds away
READING = (
    "An interval is meant to hold the true value in the stated share of cases that perfmodel has not seen. The level "
    "says what it stands on: datasheet (peaks and priors alone), family (fitted on relatives), device (fitted on this "
    "very kind) or anchored (runs of this very case were given)."
)


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure that the reader must know.

    Args:
        label: what it is. value: with its unit. note: its interval, or what bounds it.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A matplotlib figure with words that stand in for it."""

    caption: str
    figure: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page is made of; everything in it is text, and is escaped.

    Args:
        kind: what the page is, in a word or two. summary: the answer in a sentence or two.
        tell: prints the answer for people on a console. document: as `--json` prints it.
        sources: (title, table) of what the answer stands on.
        title: of the page, where the console's first heading is none.
    """

    kind: str
    summary: Sequence[str]
    headlines: Sequence[Headline]
    pictures: Sequence[Picture]
    tell: Callable[[Console], None]
    document: Any
    sources: Sequence[tuple[str, Table]] = ()
    title: str = ""


def write_report(path: str | PathLike[str], report: Report, command: str, made: datetime) -> None:
    """Write a page, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    write_whole(path, page_html(report, command, made))


def page_html(report: Report, command: str, made: datetime) -> str:
    """The page.

    Args:
        command: that makes it again. made: when it was made.
    """
    console = HtmlConsole()
    report.tell(console.as_console())
    return "\n".join(_lines(report, console, command, made)) + "\n"


def _lines(report: Report, console: HtmlConsole, command: str, made: datetime) -> Iterator[str]:
    from perfmodel import __version__

    title = report.title or console.title
    when = f"{made:%Y-%m-%d %H:%M} {made:%Z}".strip()
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # even a mistake in this file could neither run a script nor reach a server
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield f'<meta name="generator" content="perfmodel {escape(__version__)}">'
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    yield f'<p class="kind">perfmodel: {escape(report.kind)}</p><h1>{escape(title)}</h1>'
    yield f'<p class="made">perfmodel {escape(__version__)}, {escape(when)}</p>'
    yield from (f'<p class="summary">{escape(sentence)}</p>' for sentence in report.summary)
    if report.headlines:
        yield f'<div class="headlines">{"".join(map(_headline, report.headlines))}</div>'
    yield from map(_picture, report.pictures)
    yield "<h2>Results</h2>"
    if not title.endswith(console.title):
        yield f"<h3>{escape(console.title)}</h3>"
    yield from console.body
    yield "<h2>Assumptions and where the figures come from</h2>"
    yield paragraphs_as_list([*console.standing, f"<p>{escape(READING)}</p>"])
    for heading, table in report.sources:
        long = table.row_count > LONG_TABLE
        yield f"<h3>{escape(heading)}</h3>"
        yield f"<details><summary>Show</summary>{table_html(table)}</details>" if long else table_html(table)
    yield f"<h2>How this was made</h2><p>By this command:</p><pre><code>{escape(command)}</code></pre>"
    yield "<h2>All figures</h2><p>As <code>--json</code> prints them: seconds, bytes, FLOPs, USD, shares of 1.</p>"
    yield f"<details><summary>Show</summary>{document_html(report.document)}</details>"
    yield "</main></body></html>"


def _headline(own: Headline) -> str:
    note = f'<div class="note">{escape(own.note)}</div>' if own.note else ""
    return (
        f'<div class="headline"><div class="label">{escape(own.label)}</div>'
        f'<div class="value">{escape(own.value)}</div>{note}</div>'
    )


def _picture(own: Picture) -> str:
    data = io.BytesIO()
    own.figure.savefig(data, format="png", metadata={"Software": None})
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    caption = escape(own.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
