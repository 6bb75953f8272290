"""Accuracy against latency: the front, the budget, what the intervals leave open."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfmodel
from perfmodel.errors import InputError, UnknownNameError
from perfmodel.planning.accuracy_tables import AccuracyRow
from perfmodel.planning.named_models import load_named
from perfmodel.planning.tradeoff import Budget, TradeoffPoint, _front, latency_of, surely_beaten, tradeoff

PREDICTED = perfmodel.predict("gpt2-small", "h100-sxm")


def point(accuracy: float, seconds: float, width: float = 1.0) -> TradeoffPoint:
    row = AccuracyRow(line=2, model=f"m{accuracy:g}", accuracy=accuracy)
    return TradeoffPoint(row=row, prediction=PREDICTED, seconds=seconds, low=seconds / width, high=seconds * width,
                         cost_usd=1.0)  # fmt: skip


points = st.lists(
    st.builds(point, st.integers(0, 8).map(float), st.integers(1, 12).map(float), st.sampled_from([1.0, 1.2, 2.0])),
    min_size=1, max_size=25,
)  # fmt: skip


@given(points, st.sampled_from([2.0, 5.0, math.inf]), st.booleans())
def test_fronts_by_definition(given_points: list[TradeoffPoint], limit: float, lower_is_better: bool) -> None:
    sign = -1 if lower_is_better else 1
    front = _front(given_points, Budget(seconds=limit), lower_is_better)
    assert len(front.points) == len(given_points)
    allowed = [each for each in given_points if each.seconds <= limit]

    def gains(a: Any, b: Any) -> bool:
        """Whether a beats b."""
        return (
            sign * a.row.accuracy >= sign * b.row.accuracy
            and a.seconds <= b.seconds
            and (a.row.accuracy, a.seconds) != (b.row.accuracy, b.seconds)
        )

    for each in front.points:
        if each.seconds > limit:
            assert each.standing == "over"
            continue
        beaten = any(gains(other, each) for other in allowed)
        sure = any(sign * o.row.accuracy >= sign * each.row.accuracy and o.high < each.low for o in allowed)
        assert each.standing == ("front" if not beaten else "beaten" if sure else "open")
    if not allowed:
        assert front.best is front.sure is None
        return
    assert front.best is not None
    assert sign * front.best.row.accuracy == max(sign * each.row.accuracy for each in allowed)
    assert front.best is front.front[0]
    within = [sign * each.row.accuracy for each in allowed if each.high <= limit]
    assert (front.sure is None) == (not within)
    if front.sure:
        assert sign * front.sure.row.accuracy == max(within)


@given(points)
def test_a_looser_budget_is_never_less_accurate(given_points: list[TradeoffPoint]) -> None:
    best = [_front(given_points, Budget(seconds=limit), False).best for limit in (1.0, 3.0, 6.0, math.inf)]
    accuracies = [-1.0 if each is None else each.row.accuracy for each in best]
    assert accuracies == sorted(accuracies)


def test_neighbours_are_apart_where_intervals_do_not_overlap() -> None:
    front = _front([point(1, 1, 1.1), point(2, 2, 1.1), point(3, 2.1, 1.1)], Budget(), False)
    assert [(each.row.accuracy, each.apart) for each in front.front] == [(3, None), (2, False), (1, True)]


def test_equal_accuracies_beat_each_other_by_time_alone() -> None:
    close = [point(1, 1, 1.2), point(1, 1.1, 1.2), point(1, 9, 1.2)]
    beaten = surely_beaten(np.ones(3), close)
    assert beaten.tolist() == [False, False, True]


def test_latencies_add_up() -> None:
    prediction = perfmodel.predict("gpt2-small", "h100-sxm", input_tokens=64, output_tokens=11)
    whole, first, step = (latency_of(prediction, name) for name in ("e2e", "ttft", "tpot"))  # type: ignore[arg-type]
    assert whole == pytest.approx([a + 10 * b for a, b in zip(first, step, strict=True)])
    assert whole[0] == pytest.approx(prediction.seconds)
    assert step[1] < step[0] < step[2]


def language_models(folder: Path) -> str:
    path = folder / "mine.csv"
    path.write_text("model,mmlu\ngpt2-small,30\ngpt2-medium,35\ngpt2-large,33\nunknown-9b,40\n", encoding="utf-8")
    return str(path)


def test_language_models(tmp_path: Path) -> None:
    shown: list[tuple[int, int, str]] = []
    found = tradeoff(language_models(tmp_path), ["h100-sxm", "l4"], show=lambda *told: shown.append(told))
    assert (found.latency, found.costed) == ("tpot", "output tokens")
    assert [front.points[0].prediction.request.hardware for front in found.fronts] == ["h100-sxm", "l4"]
    for front in found.fronts:
        assert [each.row.model for each in front.front] == ["gpt2-medium", "gpt2-small"]
        assert [each.row.model for each in front.points[2:]] == ["gpt2-large"]
    ((line, model, reason),) = [(each.line, each.model, each.reason) for each in found.left_out]
    assert (line, model) == (5, "unknown-9b")
    assert "unknown model 'unknown-9b'" in reason
    assert shown[0] == (0, 4, "gpt2-small")
    assert shown[-1][:2] == (4, 4)
    first = found.fronts[0].points[0]
    request = first.prediction.request
    assert first.cost_usd == pytest.approx(1e6 * first.prediction.cost_usd / request.output_tokens)


def test_budgets_of_memory_and_cost(tmp_path: Path) -> None:
    table = language_models(tmp_path)
    whole = tradeoff(table, "h100-sxm").fronts[0]
    memory = {each.row.model: each.prediction.memory_bytes["total"] for each in whole.points}
    small = tradeoff(table, "h100-sxm", budget=Budget(memory_bytes=memory["gpt2-small"] * 1.001)).fronts[0]
    assert small.best is not None
    assert small.best.row.model == "gpt2-small"
    cost = {each.row.model: each.cost_usd for each in whole.points}
    cheap = tradeoff(table, "h100-sxm", budget=Budget(cost_usd=cost["gpt2-medium"])).fronts[0]  # type: ignore[arg-type]
    assert [each.row.model for each in cheap.front] == ["gpt2-medium", "gpt2-small"]


def test_what_does_not_fit_is_never_on_the_front() -> None:
    big = replace(point(9, 1), prediction=replace(PREDICTED, fits=False))
    front = _front([big, point(1, 2)], Budget(), False)
    assert [each.standing for each in front.points] == ["front", "too big"]


def test_refusals(tmp_path: Path) -> None:
    table = language_models(tmp_path)
    with pytest.raises(InputError, match="more than 0: seconds"):
        Budget(seconds=0)
    with pytest.raises(InputError, match="more than 0: cost_usd"):
        Budget(cost_usd=math.nan)
    with pytest.raises(UnknownNameError, match="unknown chip"):
        tradeoff(table, "h1000")
    with pytest.raises(InputError, match="unknown latency"):
        tradeoff(table, "l4", latency="p99")  # type: ignore[arg-type]
    chip = tmp_path / "free.yaml"
    chip.write_text(
        "id: free\nkind: accelerator\nsource: made up\npeaks: {matrix: {bf16: 100 TFLOP/s}}\n"
        "memory: {capacity: 64 GiB, bandwidth: 1 TB/s}\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match="price of the chip, which is not known of free"):
        tradeoff(table, str(chip), budget=Budget(cost_usd=1))
    lone = tmp_path / "lone.csv"
    lone.write_text("model,acc\nunknown-9b,40\n", encoding="utf-8")
    with pytest.raises(InputError, match="no row can be predicted:\n  line 2, unknown-9b: unknown model"):
        tradeoff(str(lone), "l4")
    lone.write_text("model,acc\nbert-base,40\n", encoding="utf-8")
    with pytest.raises(InputError, match="generates no tokens"):
        tradeoff(str(lone), "l4", latency="ttft")


def test_a_table_runs_no_code() -> None:
    with pytest.raises(InputError, match="names code to run"):
        load_named("torch:module.py:factory")


@pytest.mark.torch
@pytest.mark.parametrize("name", ["test_vit", "test_vit.r160_in1k", "timm/test_vit", "timm:test_vit"])
def test_names_of_timm(name: str) -> None:
    pytest.importorskip("timm")
    assert load_named(name).facts["model_type"] == "timm"


def test_names_of_the_hub() -> None:
    assert load_named("meta-llama/Llama-3.1-8B").name == "llama-3.1-8b"
