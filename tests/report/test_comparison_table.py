"""Two answers side by side: figures, terms that add up, what is left out on narrow terminals."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from perfmodel.comparison import Comparison, compare
from perfmodel.report.answers import Answer
from perfmodel.report.comparison_table import print_comparison, terms_csv
from perfmodel.types import OpCost
from report.answering import answer, op, phase, time

STREAM = OpCost(flops={("vector", "fp32"): 1e6}, read_bytes=3e9, launches=1)


def pair() -> tuple[Answer, Answer]:
    """A takes 60 ms, 10 of them for the host; B takes 20 ms, without norms."""
    linears = [op(f"linear_{place}", 0.010, 0.2, peak_flops_per_second=1e12) for place in range(2)]
    norm = op("norm", 0.030, 0.6, kind="normalization", cost=STREAM, compute="")
    slow = phase("forward", time(0.060, overhead=0.010), *linears, norm, bandwidth_bytes_per_second=1e12)
    fast = phase("forward", time(0.020), *linears, bandwidth_bytes_per_second=1e12)
    return answer(slow), answer(fast, model="other")


def compared(answers: tuple[Answer, Answer]) -> Comparison:
    assert answers[0].prediction is not None
    assert answers[1].prediction is not None
    return compare(answers[0].prediction, answers[1].prediction)


def printed(answers: tuple[Answer, Answer], width: int = 200, top: int = 0) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, markup=False)
    print_comparison(console, answers, compared(answers), top=top)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def row(lines: list[str], start: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"{start} ")]
    return line.removeprefix(start).split()


def test_figures_and_their_ratios() -> None:
    lines = printed(pair())
    assert lines[0] == "A  net on chip, bf16, batch 1, runtime eager"
    assert lines[1] == "B  other on chip, bf16, batch 1, runtime eager"
    assert row(lines, "time") == ["60.0", "ms", "20.0", "ms", "3.00"]
    assert row(lines, "  80 % interval") == ["54–66", "ms", "18–22", "ms"]
    assert row(lines, "FLOPs of contractions") == ["4.00", "GFLOP", "4.00", "GFLOP", "1.00"]
    assert row(lines, "kernels launched") == ["3", "2", "1.50"]
    assert row(lines, "FLOP/s reached") == ["66.7", "GFLOP/s", "200", "GFLOP/s", "0.333"]
    assert row(lines, "  share of the peak") == ["6.7", "%", "20", "%", "0.333"]
    assert row(lines, "bytes/s reached") == ["50.1", "GB/s", "200", "MB/s", "250"]
    assert row(lines, "  share of the bandwidth") == ["5.0", "%", "0.0", "%", "250"]
    assert row(lines, "parameters") == ["0", "0", "–"]


def test_what_does_not_fit_is_told() -> None:
    assert not [line for line in printed(pair()) if line.startswith("fits")]
    small, large = (answer(phase("forward", time(0.01), op("linear", 0.01, 1.0)), total_gib=gib) for gib in (10, 20))
    assert row(printed((small, large)), "fits the chip") == ["yes", "no"]


def test_terms_add_up_as_they_are_printed() -> None:
    lines = printed(pair())
    assert row(lines, "norms") == ["30.00", "–", "+30.00", "30.00", "–", "–", "–"]
    assert row(lines, "waiting for the host") == ["10.00", "–", "+10.00", "–", "–", "10.00", "–"]
    assert row(lines, "linear layers") == ["20.00", "20.00", "0.00", "20.00", "20.00", "–", "–"]
    _, total = (line.split() for line in lines if line.startswith("forward "))
    assert total == ["forward", "60.00", "20.00", "+40.00", "50.00", "20.00", "10.00", "–"]


def test_narrow_terminals_show_whole_times_only() -> None:
    lines = printed(pair(), width=70)
    assert row(lines, "norms") == ["30.00", "–", "+30.00"]
    assert max(map(len, lines)) <= 70


def test_few_rows_hold_the_rest_together() -> None:
    lines = printed(pair(), top=2)
    assert row(lines, "norms")[:3] == ["30.00", "–", "+30.00"]
    assert row(lines, "2 others")[:3] == ["30.00", "20.00", "+10.00"]


def test_several_phases_are_summed_up_first() -> None:
    own = op("linear", 0.010, 1.0)
    answers = tuple(
        answer(phase("prefill", time(0.010 * factor), own), phase("decode", time(0.010), own), output_tokens=101)
        for factor in (3, 1)
    )
    lines = printed(answers)  # type: ignore[arg-type]
    assert row(lines, "whole request") == ["A", "B", "A/B"]
    assert any("prefill +20.0 ms and a decode step (100 times) +0 s" in line for line in lines)
    assert [line.split()[:2] for line in lines if line.endswith("A/B")] == [
        ["whole", "request"], ["prefill", "A"], ["decode", "step"],
    ]  # fmt: skip
    assert sum("A and B take nearly as long" in line for line in lines) == 2  # the whole, and a step


def test_a_phase_of_one_side_only() -> None:
    own = op("linear", 0.010, 1.0)
    answers = (
        answer(phase("forward", time(0.010), own)),
        answer(phase("prefill", time(0.010), own), phase("decode", time(0.010), own), output_tokens=3),
    )
    lines = printed(answers)
    assert "Only B has this phase." in lines
    assert row(lines, "whole request") == ["A", "B", "A/B"]
    (place,) = (place for place, line in enumerate(lines) if line.startswith("decode") and line.endswith("A/B"))
    assert lines[place + 1].split() == ["time", "–", "10.0", "ms", "–"]


def test_lines_for_spreadsheets() -> None:
    rows = list(csv.DictReader(io.StringIO(terms_csv(compared(pair())))))
    assert [line["term"] for line in rows] == ["norms", "waiting for the host", "linear layers"]
    assert rows[0]["phase"] == "forward"
    assert [float(rows[0][name]) for name in ("difference_seconds", "a_compute_seconds")] == pytest.approx([0.030] * 2)
    assert sum(float(line["difference_seconds"]) for line in rows) == pytest.approx(0.040)
