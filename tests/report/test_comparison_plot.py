"""The two bars: segments add up, colours mean the same everywhere, nothing of pyplot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perfmodel.comparison import Comparison, compare
from perfmodel.errors import InputError
from perfmodel.report.answers import Answer
from perfmodel.report.comparison_plot import COLOURS, bar_terms, draw_comparison
from perfmodel.report.plots import save_figure
from report.answering import answer, op, phase, time


def pair(kinds: int = 3) -> tuple[tuple[Answer, Answer], Comparison]:
    ops = [op(f"op_{place}", 0.010, 1 / kinds, kind=f"kind_{place}") for place in range(kinds)]
    tiny = op("tiny", 1e-6, 0.0, kind="tiny")
    slow = phase("prefill", time(0.010 * kinds + 1e-6), *ops, tiny), phase("decode", time(0.010), ops[0])
    fast = phase("prefill", time(0.010), ops[1]), phase("decode", time(0.010), ops[0])
    answers = answer(*slow, output_tokens=2), answer(*fast, output_tokens=2)
    assert answers[0].prediction is not None
    assert answers[1].prediction is not None
    return answers, compare(answers[0].prediction, answers[1].prediction)


def test_segments_are_the_terms_and_add_up() -> None:
    answers, comparison = pair()
    prefill, decode = draw_comparison(answers, comparison).axes
    widths = {y: sum(bar.get_width() for bar in prefill.patches if round(bar.get_y() + 0.31) == y) for y in (0, 1)}
    assert widths == {1: pytest.approx(30.001), 0: pytest.approx(10)}  # ms
    assert len(decode.patches) == 2
    assert prefill.get_xlabel() == "ms (prefill)"
    assert [label.get_text() for label in prefill.get_yticklabels()] == ["A", "B"]


def test_a_term_has_one_colour_in_all_phases() -> None:
    answers, comparison = pair()
    prefill, decode = draw_comparison(answers, comparison).axes
    first = [bar for bar in prefill.patches if bar.get_x() == 0 and bar.get_y() > 0.5]
    names = [text.get_text() for text in draw_comparison(answers, comparison).legends[0].get_texts()]
    assert names == ["kind_1", "kind_0", "kind_2", "others", "interval of the whole time"]
    assert first[0].get_facecolor() != decode.patches[0].get_facecolor() == decode.patches[1].get_facecolor()


def test_small_terms_and_those_beyond_the_colours_are_others() -> None:
    answers, comparison = pair(kinds=len(COLOURS) + 3)
    assert "tiny" not in [term.name for term in bar_terms(comparison.phases[0])]
    names = [text.get_text() for text in draw_comparison(answers, comparison).legends[0].get_texts()]
    assert len(names) == len(COLOURS) + 2
    (axes, _) = draw_comparison(answers, comparison).axes
    assert sum(bar.get_width() for bar in axes.patches if bar.get_y() > 0.5) == pytest.approx(130.001)


def test_files(tmp_path: Path) -> None:
    answers, comparison = pair()
    for name in ("bars.png", "bars.svg", "bars.pdf"):
        save_figure(str(tmp_path / name), draw_comparison(answers, comparison))
        assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(InputError, match="must end in"):
        save_figure(str(tmp_path / "bars.txt"), draw_comparison(answers, comparison))
    assert "matplotlib.pyplot" not in sys.modules
