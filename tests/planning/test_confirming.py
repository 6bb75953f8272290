"""One replica of a plan, request by request."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel import deploy
from perfmodel.planning.confirming import Confirmation, arrival_of, confirm, requests_for, statistic_name
from perfmodel.planning.demand import MEAN, Demand

SIZES = {"input_tokens": 1000, "output_tokens": 200}


def followed(replicas: int, **changes: Any) -> Confirmation:
    demand = Demand(**({"rate": 40.0, "ttft_seconds": 1.0, "tpot_seconds": 0.05, **SIZES} | changes))
    return confirm(deploy("llama-3.1-8b", "h100-sxm"), demand, replicas, in_flight=100)


def test_too_few_replicas_are_not_stable() -> None:
    assert "not stable" in followed(1, rate=200.0).problem
    assert followed(4).problem == ""


def test_percentiles_lie_above_means_and_fall_with_replicas() -> None:
    mean, most = followed(4, percentile=MEAN), followed(4, percentile=99.0)
    assert mean.seconds["ttft"] < most.seconds["ttft"]
    assert followed(8).seconds["tpot"] < followed(4).seconds["tpot"]
    assert "TPOT P95" in followed(4, tpot_seconds=0.008).problem


def test_a_replica_has_its_share() -> None:
    demand = Demand(concurrency=10, ttft_seconds=1, **SIZES)
    assert [arrival_of(demand, own).users for own in (1, 3, 10)] == [10, 4, 1]
    assert arrival_of(Demand(rate=9, ttft_seconds=1, **SIZES), 3).rate == pytest.approx(3)
    assert requests_for(1) < requests_for(1000) <= requests_for(1e9)
    assert (statistic_name(95), statistic_name(MEAN)) == ("P95", "mean")
