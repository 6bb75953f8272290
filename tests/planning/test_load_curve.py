"""The curve of one replica against the closed form at single loads."""

from __future__ import annotations

import pytest

from perfmodel import Layout, deploy, predict_serving
from perfmodel.planning.demand import Demand
from perfmodel.planning.load_curve import CAPACITY, largest_share, load_curve

SIZES = {"input_tokens": 1000, "output_tokens": 200}


@pytest.mark.parametrize("load", [{"rate": 0.3}, {"rate": 9.0}, {"concurrency": 1.0}, {"concurrency": 90.0}])
@pytest.mark.parametrize("engine", ["vllm", "llama-cpp"])
def test_curve_is_the_closed_form(load: dict[str, float], engine: str) -> None:
    found = predict_serving("llama-3.1-8b", "h100-sxm", engine=engine, **load, **SIZES)  # type: ignore[arg-type]
    demand = Demand(**load, **SIZES, ttft_seconds=10)  # type: ignore[arg-type]
    curve = load_curve(deploy("llama-3.1-8b", "h100-sxm", engine=engine), demand)
    assert curve is not None
    if "rate" in load:
        assert curve.most == pytest.approx(found.highest_rate, rel=1e-6)
    if found.stable and demand.load < curve.load[-2]:
        for metric, seconds in curve.at(demand.load).items():
            same = found.latencies["tpot" if metric == "itl" else metric].seconds
            assert seconds == pytest.approx(same, rel=0.01)
            assert seconds >= curve.bounds[metric]


def test_beyond_the_curve_nothing_is_promised() -> None:
    demand = Demand(rate=1, **SIZES, ttft_seconds=1)
    curve = load_curve(deploy("llama-3.1-8b", "h100-sxm"), demand)
    assert curve is not None
    assert curve.at(1.01 * curve.most)["ttft"] == float("inf")


def test_replicas_share_a_load_evenly() -> None:
    three = predict_serving("llama-3.1-8b", "h100-sxm", rate=36, replicas=3, **SIZES)  # type: ignore[arg-type]
    curve = load_curve(deploy("llama-3.1-8b", "h100-sxm"), Demand(rate=36, **SIZES, ttft_seconds=1))
    assert curve is not None
    assert curve.at(12)["tpot"] == pytest.approx(three.latencies["tpot"].seconds, rel=0.005)


def test_what_ends_the_load() -> None:
    demand = Demand(rate=1, **SIZES, ttft_seconds=1)
    curve = load_curve(deploy("llama-3.1-8b", "h100-sxm"), demand)
    assert curve is not None
    assert largest_share(curve, {"tpot": 1e-4}) == (0.0, "tpot")
    assert largest_share(curve, {"tpot": 0.02})[1] == "tpot"
    most, why = largest_share(curve, {"ttft": 1e4, "tpot": 1e4})
    assert why == CAPACITY
    assert 0.9 * curve.most < most < curve.most


def test_no_room_for_one_request() -> None:
    long = Demand(rate=1, input_tokens=120_000, output_tokens=1000, ttft_seconds=100)
    assert load_curve(deploy("llama-3.1-8b", "l4", layout=Layout()), long) is None
