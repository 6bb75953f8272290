"""One replica of a plan, request by request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel import deploy
from perfmodel.errors import InputError
from perfmodel.planning.confirming import Confirmation, arrival_of, confirm, requests_for, share_of, statistic_name
from perfmodel.planning.demand import MEAN, Demand, traced_demand
from perfmodel.serving.trace_files import Trace

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


def traced(requests: int, *, times: bool = True) -> Trace:
    random = np.random.default_rng(0)
    lengths = (
        random.integers(200, 1800, requests).astype(np.int32),
        random.integers(50, 350, requests).astype(np.int32),
    )
    arrivals = np.cumsum(random.exponential(0.1, requests))
    return Trace(
        path="own.csv", input_tokens=lengths[0], output_tokens=lengths[1],
        arrival_seconds=arrivals - arrivals[0] if times else None,
    )  # fmt: skip


def test_replicas_take_turns_with_the_requests_of_a_trace() -> None:
    trace = traced(4000)
    demand = traced_demand(trace, ttft_seconds=1)
    own = share_of(demand, 4, 2000)
    assert len(own) == 1000
    assert list(own.input_tokens[:3]) == list(trace.input_tokens[[0, 4, 8]])
    assert own.rate == pytest.approx(demand.rate / 4, rel=0.05)
    faster = share_of(traced_demand(trace, rate=40.0, ttft_seconds=1), 4, 2000)
    assert faster.rate == pytest.approx(10.0, rel=0.05)
    assert confirm(deploy("llama-3.1-8b", "h100-sxm"), demand, 1, in_flight=50).requests == 4000


def test_a_trace_without_times_is_drawn_from() -> None:
    own = share_of(traced_demand(traced(300, times=False), rate=10.0, ttft_seconds=1), 2, 2000)
    assert len(own) == 2000
    assert own.rate == pytest.approx(5.0, rel=0.1)
    users = share_of(traced_demand(traced(300), concurrency=9.0, ttft_seconds=1), 2, 2000)
    assert users.users == 5


def test_a_trace_that_is_too_short() -> None:
    with pytest.raises(InputError, match="fewer than 100 for each of 4 replicas"):
        share_of(traced_demand(traced(300), ttft_seconds=1), 4, 2000)


def test_lengths_that_spread_wait_longer() -> None:
    alike, spread = (followed(3, spread=own, percentile=99.0).seconds["e2e"] for own in (0.0, 1.0))
    assert alike < spread
