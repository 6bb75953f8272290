"""The fewest devices for a load: monotone, stable in simulation, and honest about the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import perfmodel
from perfmodel.errors import InputError
from perfmodel.planning.capacity import PlanAnswer, plan, rank
from perfmodel.planning.confirming import confirm

SIZES = {"input_tokens": 1000, "output_tokens": 200}
SLOW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


def plans(**changes: Any) -> PlanAnswer:
    asked: dict[str, Any] = {
        "model": "llama-3.1-8b", "hardware": ["h100-sxm", "l40s"], "rate": 20.0, "ttft": 1.0, "tpot": 0.05, **SIZES,
    }  # fmt: skip
    return plan(**(asked | changes))


def test_best_plans_are_confirmed_and_the_rest_in_order() -> None:
    found = plans(engine=["vllm", "trtllm"], precision=["bf16", "fp8"])
    assert found.feasible
    for own in found.feasible[:3]:
        assert own.confirmation is not None
        assert own.confirmation.stable
        assert own.confirmation.seconds["ttft"] <= 1.0
        assert own.confirmation.seconds["tpot"] <= 0.05
        assert own.latencies["tpot"].low < own.latencies["tpot"].seconds < own.latencies["tpot"].high
        assert 0 < own.confidence <= 1
        assert own.headroom >= 1
    ranks = [rank(own, "gpus") for own in found.feasible]
    assert ranks == sorted(ranks)


def test_one_replica_fewer_breaks_a_limit() -> None:
    found = plans(hardware="l40s", percentile=0.0)
    best = found.feasible[0]
    assert best.replicas > 1
    assert best.confirmation is not None
    fewer = best.replicas - 1
    by_means = best.headroom * fewer / best.replicas
    followed = confirm(best.deployment, found.demand, fewer, in_flight=100)
    assert by_means < 1 or followed.problem


def test_percentiles_need_no_fewer_devices_than_means() -> None:
    means, most = (plans(hardware="h100-sxm", tpot=0.025, percentile=own).feasible[0] for own in (0.0, 99.0))
    assert means.gpus <= most.gpus


@SLOW
@given(st.floats(0.02, 0.2), st.floats(1.0, 3.0), st.floats(0.2, 3.0), st.sampled_from([0.0, 95.0]))
def test_looser_limits_never_cost_more(tpot: float, looser: float, ttft: float, percentile: float) -> None:
    strict = plans(tpot=tpot, ttft=ttft, order="cost", hardware="h100-sxm", percentile=percentile)
    loose = plans(tpot=tpot * looser, ttft=ttft * looser, order="cost", hardware="h100-sxm", percentile=percentile)
    if strict.feasible and strict.feasible[0].confirmation:
        assert loose.feasible[0].confirmation
        assert loose.feasible[0].usd_per_hour <= strict.feasible[0].usd_per_hour


@SLOW
@given(st.floats(1, 200), st.floats(0.1, 1.0), st.sampled_from(["rate", "concurrency"]))
def test_lower_load_never_needs_more(load: float, share: float, kind: str) -> None:
    asked = {"rate": 0.0, "percentile": 0.0}
    many = plans(**(asked | {kind: max(round(load), 1)}))
    fewer = plans(**(asked | {kind: max(round(load * share), 1)}))
    assert fewer.feasible[0].gpus <= many.feasible[0].gpus


def test_left_out_candidates_have_reasons() -> None:
    found = plans(model="llama-3.1-70b", hardware=["l4", "mi300x", "h100-sxm"], engine="trtllm", tpot=0.02, rate=3)
    reasons = {str(own.candidate): own.reason for own in found.rejected}
    assert reasons["llama-3.1-70b on tp1 l4, bf16, trtllm"].startswith("does not fit")
    assert reasons["llama-3.1-70b on tp1 mi300x, bf16, trtllm"].startswith("refused: TensorRT-LLM")
    assert reasons["llama-3.1-70b on tp2 h100-sxm, bf16, trtllm"].startswith("too slow: even for one request alone")
    assert plans(model="llama-3.1-8b", rate=500, max_gpus=2).feasible == ()
    few = plans(rate=500, max_gpus=2).rejected
    assert all(own.reason.startswith("too many devices") for own in few if own.candidate.layout.devices <= 2)


def test_layouts_that_cannot_be_are_refused() -> None:
    found = plans(model="qwen2.5-0.5b", hardware="h100-sxm")
    assert any(own.reason.startswith("refused") for own in found.rejected)


def test_experts_may_lie_whole_on_devices() -> None:
    found = plans(model="mixtral-8x7b", hardware="h200-sxm", rate=5)
    assert {str(own.candidate.layout) for own in found.feasible} & {"tp2-ep2", "tp4-ep4", "tp8-ep8"}


def test_a_few_users_have_no_more_replicas_than_they_are() -> None:
    found = plans(rate=0.0, concurrency=2, tpot=0.0065, hardware="h100-sxm")
    assert all(own.replicas <= 2 for own in found.feasible)


def test_bad_questions() -> None:
    with pytest.raises(InputError, match="unknown order"):
        plans(order="beauty")
    with pytest.raises(InputError, match="give one load"):
        plans(rate=0.0)
    assert perfmodel.plan is plan
