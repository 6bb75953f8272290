"""Tables on terminals that are too narrow for them."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest
from cli.running import succeed
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from perfmodel.report.folding_table import INDENT, fold_columns
from perfmodel.report.prediction_table import make_table

MY_RUNS = Path(__file__).parents[2] / "docs" / "examples" / "my-runs.csv"
WIDTHS = st.lists(st.integers(1, 60), min_size=1, max_size=12)
CELL = st.text(alphabet="ab1.µ–", min_size=1, max_size=9)


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(widths=WIDTHS, gap=st.integers(1, 2), width=st.integers(10, 100))
def test_lines_hold_all_columns_in_order_and_fit(widths: list[int], gap: int, width: int) -> None:
    lines = fold_columns(widths, gap, width)
    assert [place for line in lines for place in line] == list(range(len(widths)))
    for number, line in enumerate(lines):
        used = sum(widths[place] for place in line) + gap * (len(line) - 1) + (INDENT if number else 0)
        assert used <= width or len(line) == 1
    for one, other in pairwise(lines):  # as many as fit
        indent = 0 if one is lines[0] else INDENT
        assert indent + sum(widths[place] for place in one) + gap * len(one) + widths[other[0]] > width


@given(rows=st.lists(st.lists(CELL, min_size=5, max_size=5), min_size=1, max_size=4), width=st.integers(15, 60))
def test_figures_are_never_cut(rows: list[list[str]], width: int) -> None:
    table = make_table(*((f"title{place}", "right" if place else "left") for place in range(5)))
    for row in rows:
        table.add_row(*row)
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert words == [*(f"title{place}" for place in range(5)), *(cell for row in rows for cell in row)]


def test_what_fits_is_as_rich_draws_it() -> None:
    table = make_table(("chip", "left"), ("time", "right"))
    table.add_row("l4", "418 ms")
    assert [line.rstrip() for line in printed(table, 40)] == ["chip    time", "l4    418 ms"]


def test_long_texts_break_at_blanks() -> None:
    table = make_table(("chip", "left"), ("source", "left"))
    table.add_row("l4", "a datasheet of the vendor with a date")
    assert printed(table, 20) == [
        "chip", "    source", "l4", "    a datasheet of", "    the vendor with", "    a date",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize(
    "command",
    [
        "predict llama-3.1-8b --hardware h100-sxm,l4 --precision bf16,w4a16",
        "predict llama-3.1-8b --hardware l40s --engine vllm --concurrency 1,64",
        "hardware list --kind gpu",
        f"validate {MY_RUNS}",
    ],
)
def test_tables_of_commands_stay_within_the_terminal(command: str, columns: int) -> None:
    wide = succeed(*command.split(), columns=400)
    narrow = succeed(*command.split(), columns=columns)
    assert max(map(len, narrow.splitlines())) <= columns
    figures = [word for word in wide.split() if any(letter.isdigit() for letter in word)]
    assert set(figures) <= set(narrow.split())
