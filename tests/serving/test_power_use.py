from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.layouts import Layout
from perfmodel.serving.prediction import predict_serving, serving_economics

SIZES = {"input_tokens": 300, "output_tokens": 400}


def served(chip="h100-sxm", **asked):
    return predict_serving("llama-3.1-8b", chip, **(SIZES | asked))


@settings(max_examples=15)
@given(st.integers(1, 400), st.integers(1, 3))
def test_more_users_draw_more_between_idle_and_tdp(users, more):
    low, high = served(concurrency=users), served(concurrency=users * (1 + more))
    assert 77 <= low.power.low <= low.power.watts <= low.power.high <= 700
    assert high.power.watts >= 0.98 * low.power.watts
    joules = [serving_economics(found).joules_per_output_token for found in (low, high)]
    assert joules[1] <= joules[0] * 1.02  # batching saves energy


def test_a_server_without_load_idles():
    assert served(rate=1e-4).power.watts == pytest.approx(77, rel=0.02)
    rates = [served(rate=rate).power.watts for rate in (0.01, 0.1, 1, 5, 15)]
    assert rates == sorted(rates)


@pytest.mark.parametrize("rate", [5e-324, 1e-309, 1e-300])
def test_a_rate_of_next_to_nothing_idles_too(rate):
    assert served(rate=rate).power.watts == pytest.approx(77)


def test_open_and_closed_loads_of_the_same_rate_draw_alike():
    closed = served(concurrency=64)
    open_ = served(rate=closed.throughput["requests"])
    assert open_.power.watts == pytest.approx(closed.power.watts, rel=0.1)


def test_replicas_share_the_load():
    one, two = served(concurrency=32), served(concurrency=64, replicas=2)
    assert two.devices == 2
    assert two.power.watts == pytest.approx(2 * one.power.watts, rel=1e-6)


def test_layouts_draw_between_one_and_all_of_their_devices():
    one, four = served(concurrency=32), served(concurrency=32, layout=Layout(tensor=4))
    assert one.power.watts < four.power.watts <= 4 * 700
    staged = served(concurrency=32, layout=Layout(pipeline=2))
    assert 2 * 77 <= staged.power.watts <= 2 * 700


def test_unknown_where_nothing_is_served():
    overfull = predict_serving("llama-3.1-70b", "h100-sxm", concurrency=4, **SIZES)
    assert overfull.power is None
    assert not math.isfinite(overfull.latencies["tpot"].seconds)
    assert serving_economics(overfull).joules_per_output_token is None


@pytest.mark.parametrize(
    ("model", "chip", "tensor", "users", "watts"),
    [
        ("llama-3.1-8b", "h100-sxm", 1, 16, 513), ("llama-3.1-8b", "h100-sxm", 1, 128, 669),
        ("llama-3.1-70b", "b200", 2, 8, 849), ("llama-3.1-70b", "b200", 2, 512, 966),
    ],
)  # fmt: skip
def test_near_the_watts_that_servers_were_measured_to_draw(model, chip, tensor, users, watts):
    """Mean power of each GPU in steady state, ML.ENERGY Benchmark v3, vLLM."""
    found = predict_serving(model, chip, concurrency=users, layout=Layout(tensor=tensor), **SIZES)
    assert found.power.watts / tensor == pytest.approx(watts, rel=0.1)
    assert found.power.low / tensor <= watts <= found.power.high / tensor
