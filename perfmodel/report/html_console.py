"""A console that keeps what is printed on it as HTML: every table and sentence of a terminal serves a page, too.

    print_answers(console, answers)  ─▶  console.title, console.body, console.standing

What the other modules of this room print are texts with a style and tables of rich; bold is a heading (the first one
the title), dim and notes are what an answer stands on. Everything is escaped. May import: rich.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

STANDING = re.compile(r"(Note|Level|Left out): |(Fitted on|Prices|No price|Intervals) |[\d.]+ % intervals ")
LONG = 40  # characters
_COMMAND = re.compile(r"((?:\w[\w ]*: +)?)(perfmodel [a-z]+ .*)")


class HtmlConsole:
    """Collects fragments of HTML."""

    width = 100_000  # of a terminal on which nothing has to be left out

    def __init__(self) -> None:
        self.title = ""  # text, all others HTML
        self.body: list[str] = []
        self.standing: list[str] = []

    def print(self, what: Any = "", *, style: str | None = None, **_: Any) -> None:
        """Keep a text, or a table of rich."""
        if not isinstance(what, str):
            self.body.append(table_html(what))
            return
        for line in filter(None, map(str.strip, what.splitlines())):
            self._keep(line, style)

    def _keep(self, line: str, style: str | None) -> None:
        if style == "bold" and not self.title:
            self.title = line
        elif style == "bold":
            self.body.append(f"<h3>{escape(line)}</h3>")
        elif style == "dim" or STANDING.match(line):
            self.standing.append(f"<p>{escape(line)}</p>")
        else:
            warning = ' class="warning"' if style == "red" else ""
            self.body.append(f"<p{warning}>{_with_command(line)}</p>")

    def as_console(self) -> Console:
        """Itself, for functions that print on a console of rich."""
        return cast("Console", self)


def _with_command(line: str) -> str:
    found = _COMMAND.fullmatch(line)
    return f"{escape(found[1])}<code>{escape(found[2])}</code>" if found else escape(line)


def table_html(table: Table) -> str:
    """A table of rich as one of HTML that scrolls sideways where the page is narrow.

    >>> from perfmodel.report.prediction_table import make_table
    >>> table = make_table(("chip", "left"), ("TTFT", "right"))
    >>> table.add_row("<l4>", "418 ms")
    >>> '<tr><td>&lt;l4&gt;</td><td class="right">418 ms</td></tr>' in table_html(table)
    True
    """
    columns = table.columns
    heads = "".join(f'<th scope="col"{_side(column)}>{escape(str(column.header))}</th>' for column in columns)
    head = f"<thead><tr>{heads}</tr></thead>" if table.show_header else ""
    rows = []
    for place, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        texts = (
            f"<td{_side(column, str(cell))}>{escape(str(cell))}</td>"
            for column, cell in zip(columns, cells, strict=True)
        )
        style = table.rows[place].style
        rows += [f'<tr class="{escape(str(style))}">' if style else "<tr>", *texts, "</tr>"]
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _side(column: Column, text: str = "") -> str:
    """Numbers to the right; only long texts run over several lines."""
    name = "right" if column.justify == "right" else "long" if len(text) > LONG else ""
    return f' class="{name}"' if name else ""


def paragraphs_as_list(paragraphs: list[str]) -> str:
    """Paragraphs as a list, each once."""
    items = (f"<li>{text.removeprefix('<p>').removesuffix('</p>')}</li>" for text in dict.fromkeys(paragraphs))
    return f"<ul>{''.join(items)}</ul>" if paragraphs else ""
