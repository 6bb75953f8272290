"""A table whose rows go on in further lines where the terminal is too narrow: between columns, never inside a figure.

    chip     engine precision layout  GPUs USD/h USD/M
        TTFT interval    TPOT interval     sure
    h100-sxm vllm   bf16      tp1        1  2.29 0.636
        73.5 ms   49–110 8.00 ms  6.6–9.7   > 99 %

May import: rich.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

INDENT = 4


class FoldingTable(Table):
    """As rich draws it where it fits, or where it says which column gives way; else folded."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [_natural_width(column) for column in self.columns]
        gap = self.padding[1]
        gives_way = any(column.no_wrap for column in self.columns[1:])  # said of all but the column that is to wrap
        if not widths or gives_way or sum(widths) + gap * (len(widths) - 1) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        lines = fold_columns(widths, gap, options.max_width)
        if self.show_header:
            yield from self._folded([str(column.header) for column in self.columns], lines, widths, options, "bold")
        for place, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            yield from self._folded([str(cell) for cell in cells], lines, widths, options, self.rows[place].style or "")

    def _folded(
        self,
        cells: Sequence[str],
        lines: Sequence[Sequence[int]],
        widths: Sequence[int],
        options: ConsoleOptions,
        style: object,
    ) -> Iterator[Text]:
        for number, places in enumerate(lines):
            indent = INDENT if number else 0
            room = max(options.max_width - indent, 1)
            if len(places) == 1 and widths[places[0]] > room:
                texts = textwrap.wrap(cells[places[0]], room) or [""]
            else:
                padded = (_padded(cells[place], widths[place], self.columns[place]) for place in places)
                texts = [(" " * self.padding[1]).join(padded).rstrip()]
            for text in texts:
                if text or not number:
                    yield Text(" " * indent + text, style=str(style), no_wrap=True, overflow="ignore")


def fold_columns(widths: Sequence[int], gap: int, width: int) -> list[list[int]]:
    """The columns of each line: as many as fit, the first lines first; a column that is too wide has its own line.

    Args:
        widths: of the columns, characters. gap: blanks between two. width: of the terminal.

    >>> fold_columns([8, 6, 9, 30], 1, 24)
    [[0, 1], [2], [3]]
    """
    lines: list[list[int]] = [[]]
    used = 0
    for place, own in enumerate(widths):
        if lines[-1] and used + gap + own > width:
            lines.append([])
        used = used + gap + own if lines[-1] else own + (INDENT if len(lines) > 1 else 0)
        lines[-1].append(place)
    return lines


def _natural_width(column: Column) -> int:
    cells = [str(column.header), *(str(cell) for cell in column.cells)]
    return max(column.min_width or 0, *map(cell_len, cells))


def _padded(text: str, width: int, column: Column) -> str:
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if column.justify == "right" else f"{text}{blanks}"
