"""The roofline: points where the numbers say, no name over another, nothing of pyplot."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import pytest
from builders import gpu

from perfmodel.errors import InputError
from perfmodel.report.plots import draw_roofline, roofline_points, save_figure
from perfmodel.types import PHASES, OpCost
from report.answering import answer, op, phase, time

STREAM = OpCost(flops={("vector", "fp32"): 1e6}, read_bytes=1e7)
COPY = OpCost(read_bytes=1e7)


@pytest.fixture
def explained():
    ops = [op(f"layer.linear_{place}", 0.001, 0.09) for place in range(10)]
    ops += [op("norm", 0.001, 0.05, cost=STREAM, compute=""), op("copy", 0.001, 0.04, cost=COPY, compute="")]
    return answer(phase("prefill", time(0.012), *ops), phase("decode", time(0.012, memory=0.01), *ops))


def test_points(explained) -> None:
    points = roofline_points(explained)
    assert len(points) == 2 * 11  # a copy has no FLOPs
    assert (points[0].intensity, points[0].flops_per_second) == (1000, 2e12)
    assert points[10].intensity == 0.1


def test_names_do_not_cover_each_other(explained) -> None:
    figure = draw_roofline(explained, gpu())
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    names = [text for text in axes.texts if text.get_text().startswith(("layer", "norm"))]
    assert len(names) >= 4
    boxes = [text.get_window_extent(renderer) for text in names]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_title(loc="left").startswith("net on chip")
    roofs = [text.get_text() for text in axes.texts if text not in names]
    assert any("bf16 matrix 1.00 PFLOP/s" in roof for roof in roofs)
    assert any("memory 3.00 TB/s" in roof for roof in roofs)


def test_files(explained, tmp_path: Path) -> None:
    for name in ("roof.png", "roof.svg", "roof.pdf"):
        save_figure(str(tmp_path / name), draw_roofline(explained, gpu()))
        assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(InputError, match="must end in"):
        save_figure(str(tmp_path / "roof.txt"), draw_roofline(explained, gpu()))
    assert "matplotlib.pyplot" not in sys.modules


def test_every_phase_has_a_colour(tmp_path: Path) -> None:
    every = answer(*(phase(name, time(0.012), op("linear", 0.001, 0.09)) for name in PHASES))
    save_figure(str(tmp_path / "every.png"), draw_roofline(every, gpu()))
    assert (tmp_path / "every.png").stat().st_size > 0


def test_nothing_to_draw() -> None:
    empty = answer(phase("forward", time(0.001), op("copy", 0.001, 1.0, cost=COPY, compute="")))
    assert draw_roofline(empty, gpu()).axes
