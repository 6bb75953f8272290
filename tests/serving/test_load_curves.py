"""A server along its load: the same figures as one prediction after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.load_curves import serving_curve
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.steady_answers import Over

ASKED = [
    ("llama-3.1-8b", "h100-sxm", {}),
    ("llama-3.1-70b", "h100-sxm", {"layout": Layout(tensor=4), "replicas": 2, "input_tokens": 3000}),
    ("qwen3-8b", "l4", {"drafts": 2, "precision": "fp8", "output_tokens": 100, "level": 0.9}),
]


@pytest.mark.parametrize("over", ["concurrency", "rate"])
@pytest.mark.parametrize(("model", "chip", "more"), ASKED)
def test_each_point_is_a_prediction(model: str, chip: str, more: dict[str, Any], over: Over) -> None:
    curve = serving_curve(model, chip, over=over, points=6, **more)
    assert len(curve.loads) == 6
    for load, latencies, throughput, stable in zip(
        curve.loads, curve.latencies, curve.throughput, curve.stable, strict=True
    ):
        own = predict_serving(model, chip, **{over: float(load)}, **more)
        for metric, latency in latencies.items():
            for figure in ("seconds", "low", "high"):
                expected = getattr(own.latencies[metric], figure)
                assert getattr(latency, figure) == pytest.approx(expected, rel=1e-5), (load, metric, figure)
        assert throughput == pytest.approx(dict(own.throughput), rel=1e-5)
        assert stable == own.stable
        assert curve.highest_rate == pytest.approx(own.highest_rate)
        assert curve.capacity == own.capacity


def test_loads_that_are_named_are_kept() -> None:
    loads = np.array([0.5, 4.0, 1000.0])
    curve = serving_curve("llama-3.1-8b", "h100-sxm", over="rate", loads=loads)
    assert curve.loads.tolist() == loads.tolist()
    assert curve.stable.tolist() == [True, True, False]
    assert np.isinf(curve.latencies[-1]["ttft"].seconds)
    assert curve.throughput[-1]["requests"] == pytest.approx(curve.highest_rate)


def test_throughput_grows_up_to_the_places_and_latency_after_them() -> None:
    curve = serving_curve("llama-3.1-8b", "h100-sxm", points=40)
    made = np.array([own["output_tokens"] for own in curve.throughput])
    waits = np.array([own["ttft"].seconds for own in curve.latencies])
    full = curve.loads >= curve.capacity
    assert np.all(np.diff(made[~full]) > 0)
    assert np.all(np.diff(waits) > 0)
    assert waits[full][-1] > 3 * waits[~full][-1]


@pytest.mark.parametrize("over", ["concurrency", "rate"])
def test_what_does_not_fit_has_no_steady_state(over: Over) -> None:
    curve = serving_curve("llama-3.1-405b", "h100-sxm", over=over, points=4)
    assert curve.capacity < 1
    assert curve.highest_rate == 0
    assert not curve.stable.any()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="level"):
        serving_curve("llama-3.1-8b", "h100-sxm", level=1.5)
    with pytest.raises(InputError, match="context"):
        serving_curve("llama-3.1-8b", "h100-sxm", input_tokens=200_000)
