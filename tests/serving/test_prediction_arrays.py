"""Many loads at once are what each of them is alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from perfmodel.serving.prediction_arrays import BLOCK, predict_serving_arrays

# fitted and not, within memory and not, with and without drafts and replicas
SERVERS = (
    ({"model": "llama-3.1-70b", "hardware": "h100-sxm", "precision": "fp8", "layout": Layout(tensor=4)}, {}),
    ({"model": "llama-3.1-70b", "hardware": "l40s"}, {}),
    ({"model": "llama-3.1-8b", "hardware": "l4", "engine": "sglang"}, {"replicas": 2}),
    ({"model": "qwen2.5-7b", "hardware": "mi300x"}, {"drafts": 2}),
)
LOADS = st.tuples(st.integers(1, 2000), st.sampled_from([1, 100, 1000, 1024, 8192]), st.sampled_from([1, 2, 128, 1000]))


def figures(answer: ServingPrediction) -> dict[str, float]:
    """A prediction by the names that the arrays have."""
    own = {
        "running": answer.running, "waiting": answer.waiting, "capacity": answer.capacity, "stable": answer.stable,
        "highest_rate": answer.highest_rate, "fits": answer.fits,
        "requests_per_second": answer.throughput["requests"],
        "output_tokens_per_second": answer.throughput["output_tokens"],
    }  # fmt: skip
    for metric, latency in answer.latencies.items():
        ends = {"seconds": latency.seconds, "low_seconds": latency.low, "high_seconds": latency.high}
        own |= {f"{metric}_{name}": value for name, value in ends.items()}
    return own


@pytest.mark.parametrize("kind", ["concurrency", "rate"])
@settings(max_examples=8)
@given(server=st.sampled_from(SERVERS), loads=st.lists(LOADS, min_size=1, max_size=6))
def test_each_row_is_what_it_is_alone(
    kind: str, server: tuple[dict[str, object], dict[str, int]], loads: list[tuple[int, int, int]]
) -> None:
    where, more = server
    load, prompts, answers = np.array(loads, dtype=float).T
    load = load / 40 if kind == "rate" else load
    deployment = deploy(**where)  # type: ignore[arg-type]
    found = predict_serving_arrays(deployment, input_tokens=prompts, output_tokens=answers, **{kind: load}, **more)
    for row, (_, i, o) in enumerate(loads):
        alone = predict_serving(input_tokens=i, output_tokens=o, **{kind: float(load[row])}, **where, **more)  # type: ignore[arg-type]
        assert found.standing == alone.standing
        wanted = figures(alone)
        assert set(wanted) == set(found.columns)
        for name, value in wanted.items():
            assert not math.isnan(value), name
            assert found.columns[name][row] == pytest.approx(value, rel=1e-9), name


def test_blocks_are_of_no_consequence() -> None:
    server = deploy("llama-3.1-8b", "h100-sxm")
    users = np.arange(1, BLOCK + 100)
    found = predict_serving_arrays(server, concurrency=users, input_tokens=500, output_tokens=100)
    last = predict_serving_arrays(server, concurrency=users[-3:], input_tokens=500, output_tokens=100)
    for name, own in last.columns.items():
        assert found.columns[name][-3:] == pytest.approx(own, rel=1e-12)


def test_one_kind_of_load() -> None:
    server = deploy("llama-3.1-8b", "h100-sxm")
    with pytest.raises(InputError, match="either a concurrency"):
        predict_serving_arrays(server, concurrency=1, rate=1, input_tokens=1, output_tokens=1)
    with pytest.raises(InputError, match="positive"):
        predict_serving_arrays(server, concurrency=[1, 0], input_tokens=1, output_tokens=1)
