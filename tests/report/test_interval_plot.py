"""Pictures of times with intervals and of memory: what is drawn is what was given."""

from __future__ import annotations

import math

import pytest

from perfmodel.report.interval_plot import INK, LIMIT, MOST_ROWS, Panel, Row, draw_intervals, draw_memory

ROWS = [Row("a", 0.002, 0.001, 0.004), Row("b", 0.003, 0.002, 0.005)]


def test_each_row_is_a_dot_with_its_interval() -> None:
    figure = draw_intervals([Panel("time", ROWS, limit=0.01)])
    (axes,) = figure.axes
    drawn = [line.get_xdata() for line in axes.lines if line.get_color() == INK]
    assert [list(ends) for ends in drawn] == [[0.001, 0.004], [0.002], [0.002, 0.005], [0.003]]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_color() == LIMIT] == [[0.01, 0.01]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlim()[0] < 0.001
    assert axes.get_xlim()[1] > 0.01


def test_axes_are_logarithmic_where_times_are_far_apart() -> None:
    far = [Row("a", 1.0, 0.9, 1.1), Row("b", 100.0, 90.0, 110.0)]
    assert draw_intervals([Panel("time", far)]).axes[0].get_xscale() == "log"
    assert draw_intervals([Panel("time", ROWS)]).axes[0].get_xscale() == "linear"


def test_endless_times_and_too_many_are_left_out() -> None:
    endless = Row("never", math.inf, math.inf, math.inf)
    assert len(draw_intervals([Panel("time", [endless, *ROWS]), Panel("none", [endless])]).axes) == 1
    (axes,) = draw_intervals([Panel("time", ROWS * MOST_ROWS)]).axes
    assert len(axes.get_yticks()) == MOST_ROWS


def test_memory_adds_up_to_what_is_needed() -> None:
    need = {"weights": 2.0**30, "cache": 2.0**31, "activations": 0.0, "overhead": 2.0**30, "capacity": 2.0**34}
    (axes,) = draw_memory(["chip"], [need]).axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends[-1] == pytest.approx(4.0)
    assert axes.lines[0].get_xdata()[0] == pytest.approx(16.0)
