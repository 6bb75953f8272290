"""The largest load is the last that keeps the objective, whatever the objective."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import deploy
from perfmodel.serving.largest_load import MOST_EVALUATED, largest_load, predict_largest_load
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.simulation_settings import Objective

SIZES: dict[str, Any] = {"input_tokens": 800, "output_tokens": 200}


def means(users: int, engine: str = "vllm") -> dict[str, float]:
    found = predict_serving("llama-3.1-8b", "h100-sxm", engine=engine, concurrency=users, **SIZES)
    return {metric: own.seconds for metric, own in found.latencies.items()}


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 3.0), st.floats(0.008, 0.1), st.sampled_from(["vllm", "sglang"]))
def test_one_more_user_breaks_it(ttft: float, tpot: float, engine: str) -> None:
    objective = Objective(ttft_seconds=ttft, tpot_seconds=tpot)
    found = largest_load(deploy("llama-3.1-8b", "h100-sxm", engine=engine), objective, **SIZES)
    assert 0 <= found.sure <= found.users
    if found.users:
        kept = means(found.users, engine)
        assert kept["ttft"] <= ttft
        assert kept["tpot"] <= tpot
    over = means(found.users + 1, engine)
    assert over[found.limit] > {"ttft": ttft, "tpot": tpot}[found.limit]
    assert over[found.limit] == pytest.approx(found.beyond[found.limit])


def test_its_prediction_and_its_slow_end() -> None:
    found, answer = predict_largest_load("llama-3.1-8b", "h100-sxm", Objective(tpot_seconds=0.02), **SIZES)
    assert answer.concurrency == found.users
    assert answer.latencies["tpot"].seconds <= 0.02 < answer.latencies["tpot"].high
    sure = predict_serving("llama-3.1-8b", "h100-sxm", concurrency=found.sure, **SIZES)
    assert sure.latencies["tpot"].high <= 0.02


def test_more_of_everything_holds_more() -> None:
    objective = Objective(ttft_seconds=1.0, tpot_seconds=0.03)
    one = largest_load(deploy("llama-3.1-8b", "h100-sxm"), objective, **SIZES)
    two = largest_load(deploy("llama-3.1-8b", "h100-sxm", layout=Layout(tensor=2)), objective, **SIZES)
    copies = largest_load(deploy("llama-3.1-8b", "h100-sxm"), objective, replicas=2, **SIZES)
    looser = largest_load(deploy("llama-3.1-8b", "h100-sxm"), Objective(tpot_seconds=0.05), **SIZES)
    assert two.users > one.users
    assert copies.users == pytest.approx(2 * one.users, rel=0.1)
    assert looser.users > one.users
    many = largest_load(deploy("llama-3.1-8b", "h100-sxm"), objective, replicas=1000, **SIZES)
    assert many.users == pytest.approx(1000 * one.users, rel=0.1)
    assert many.users > MOST_EVALUATED


def test_without_end_where_nothing_breaks_it() -> None:
    found = largest_load(deploy("llama-3.1-8b", "h100-sxm"), Objective(tpot_seconds=1e6), **SIZES)
    assert found.limit == ""
    assert found.users == found.sure > 1000


@pytest.mark.parametrize(
    ("model", "objective", "message"),
    [
        ("llama-3.1-8b", Objective(tpot_seconds=1e-4), r"too slow even for one user \(TTFT 0.0\d+ s, TPOT 0.00\d+ s\)"),
        ("llama-3.1-70b", Objective(tpot_seconds=1.0), "not one request fits"),
        ("llama-3.1-8b", Objective(), "an objective limits TTFT, TPOT or both"),
        ("llama-3.1-8b", Objective(ttft_seconds=0.0, tpot_seconds=-1.0), "TTFT objective.*TPOT objective"),
    ],
)
def test_what_cannot_be(model: str, objective: Objective, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict_largest_load(model, "h100-sxm", objective, **SIZES)
