"""The tables of a calibration on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from perfmodel.report.calibration_cells import error_cells, group_cells, model_cells
from perfmodel.report.calibration_table import calibration_tables, print_calibration
from perfmodel.report.calibration_words import conditions_of
from report.calibrated import HELD, MISSED, no_runs, runs, scope


def printed(*found, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    files = {"Profile": ["home/local.yaml"], "Coefficients": ["home/local.json"]}
    print_calibration(console, found, conditions_of(runs(), no_runs()), "local", files)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_errors_before_and_after() -> None:
    before, after = error_cells([scope()]).rows
    assert before == ("fp32", "48", "5", "before", "75.0", "75.0", "95.0", "+0.0", "50 %")
    assert after == ("", "", "", "after", "45.0", "45.0", "73.0", "-53.1", "50 %")


def test_models() -> None:
    first, second = model_cells(scope()).rows
    assert first == (
        "net, 32 tokens",
        "10.0 ms",
        "11.0 ms",
        "+10.0",
        "9.0–13 ms",
        "held",
        "20.0 ms",
        "+100.0",
        "missed",
    )
    assert second == ("far|off", "100 ms", "20.0 ms", "-80.0", "18–22 ms", "missed", "50.0 ms", "-50.0", "held")


def test_groups_come_from_what_resembles_models_most() -> None:
    rows = group_cells(scope()).rows
    assert [row[0] for row in rows] == ["deep", "block", "single"]
    assert rows[0] == ("deep", "1", "10.0", "10.0", "+10.0")
    assert rows[2][:3] == ("single", "2", "25.0")


def test_a_table_for_each_scope_that_was_checked() -> None:
    found = [scope(), scope("bf16", scores=()), scope("bf16", 8)]
    tables = calibration_tables(found)
    assert [table.row_count for table in tables] == [5, 2, 2]
    assert [table.columns[0].header for table in tables] == ["dtype", "not fitted, fp32", "not fitted, bf16"]


def test_printed() -> None:
    text = printed(scope("bf16", scores=()), scope(skipped={"odd-net": "no such op"}), scope(threads=8))
    assert text.index("bf16 on 48 threads") < text.index("fp32 on 48 threads") < text.index("far|off")
    for part in (
        "4 programs, and as anchors small-encoder, 96 tokens", "not predicted: odd-net: no such op", "torch 2.13.0",
        "load average", "Profile: home/local.yaml", "Coefficients: home/local.json",
        "Next: perfmodel predict MODEL --hardware local\n", "--hardware local --threads 8",
    ):  # fmt: skip
        assert part in text


def test_nothing_checked_is_no_zero() -> None:
    (row,) = error_cells([scope(scores=())]).rows
    assert row[3:] == ("unchecked", *("-",) * 5)


def test_numbers_stay_whole_on_a_narrow_terminal() -> None:
    long = replace(HELD, name="a-model-of-a-long-name decode, 128 + 64 tokens, batch 16")
    text = printed(scope(scores=[long, MISSED]), width=80)
    row = next(line for line in text.splitlines() if "11.0 ms" in line)
    assert row.split()[-7:] == ["ms", "11.0", "ms", "9.0–13", "held", "+10.0", "(+100.0)"]
    assert max(len(line) for line in text.splitlines()) <= 80
