"""The picture of a simulation: what is drawn is what was found, nothing of pyplot."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.report.plots import save_figure
from perfmodel.report.simulation_plot import distribution, draw_simulation
from perfmodel.serving.simulation_settings import Objective
from report.simulated import SUBJECT, result


def test_time_runs_from_left_to_right() -> None:
    requests, cache, _ = draw_simulation(result(), SUBJECT).axes
    running, waiting = requests.lines
    assert running.get_ydata().tolist() == [1, 3, 0]
    assert waiting.get_ydata().tolist() == [0, 2, 0]
    assert cache.get_ylim() == (0, 105)


def test_distributions_end_at_all_and_are_marked() -> None:
    *_, axes = draw_simulation(result(objective=Objective(ttft_seconds=0.15)), SUBJECT).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["p50 20.0 ms", "p99 40.0 ms", "p50 150 ms", "p99 199 ms"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["gap between tokens", "first token", "TTFT ≤ 150 ms"]
    for name in ("ttft", "itl"):
        seconds, shares = distribution(result(), name)
        assert shares[-1] == pytest.approx(1)
        assert np.all(np.diff(seconds) >= 0)
        assert np.all(np.diff(shares) > 0)


def test_many_requests_are_thinned_and_few_are_not() -> None:
    assert len(distribution(result(50_000), "ttft")[0]) <= 2000
    assert len(distribution(result(1), "ttft")[0]) == 1
    draw_simulation(result(1), SUBJECT)


def test_answers_of_one_token_have_no_gaps_to_draw() -> None:
    made = result(output_tokens=np.ones(101, np.int32), gap_counts=np.zeros(3))
    *_, axes = draw_simulation(made, SUBJECT).axes
    assert len(axes.texts) == 2


def test_files(tmp_path: Path) -> None:
    for name in ("run.png", "run.svg", "run.pdf"):
        save_figure(str(tmp_path / name), draw_simulation(result(), SUBJECT))
        assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(InputError, match="must end in"):
        save_figure("run.txt", draw_simulation(result(), SUBJECT))
    assert "matplotlib.pyplot" not in sys.modules
