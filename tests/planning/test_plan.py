"""The fewest devices for a load: monotone, stable in simulation, and honest about the rest."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel
from perfmodel.errors import InputError
from perfmodel.graphs import load_model
from perfmodel.planning import capacity
from perfmodel.planning.candidates import candidates_of, chips_of
from perfmodel.planning.capacity import plan
from perfmodel.planning.confirming import confirm
from perfmodel.planning.demand import Demand
from perfmodel.planning.plans import PlanAnswer, rank
from perfmodel.planning.sizing import deployed
from perfmodel.serving.engines import load_engine

SIZES = {"input_tokens": 1000, "output_tokens": 200}


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
    followed = confirm(deployed(best.candidate, None), found.demand, fewer, in_flight=100)
    assert by_means < 1 or followed.problem


def test_percentiles_need_no_fewer_devices_than_means() -> None:
    means, most = (plans(hardware="h100-sxm", tpot=0.025, percentile=own).feasible[0] for own in (0.0, 99.0))
    assert means.gpus <= most.gpus


def test_left_out_candidates_have_reasons() -> None:
    found = plans(model="llama-3.1-70b", hardware=["l4", "mi300x", "h100-sxm"], engine="trtllm", tpot=0.02, rate=3)
    reasons = {str(own.candidate): own.reason for own in found.rejected}
    assert reasons["llama-3.1-70b on tp1 l4, bf16, trtllm"].startswith("does not fit")
    assert reasons["llama-3.1-70b on tp1 mi300x, bf16, trtllm"].startswith("refused: TensorRT-LLM")
    assert reasons["llama-3.1-70b on tp2 h100-sxm, bf16, trtllm"].startswith("too slow: even for one request alone")
    assert plans(model="llama-3.1-8b", rate=500, max_gpus=2).feasible == ()
    few = plans(rate=500, max_gpus=2).rejected
    assert all(own.reason.startswith("too many devices") for own in few if own.candidate.layout.devices <= 2)
    assert {own.binding for own in found.rejected} == {"memory", "refused", "tpot"}
    assert {own.binding for own in few} == {"max_gpus"}


def test_every_candidate_is_a_plan_or_has_a_reason() -> None:
    found = plans(model="llama-3.1-70b", hardware=["l4", "h100-sxm"], precision=["bf16", "fp8"], rate=2)
    told = [str(own.candidate) for own in (*found.feasible, *found.rejected)]
    within_a_node = [own for own in told if "-pp" not in own]
    assert len(told) == len(set(told))
    assert len(within_a_node) == 2 * 2 * 4
    assert all(own.reason and own.binding for own in found.rejected)


def test_processes_find_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "WORTH_A_PROCESS", 4)
    asked: dict[str, Any] = {"precision": ["bf16", "fp8"], "percentile": 0.0}
    one, two = (plans(**asked, jobs=jobs) for jobs in (1, 2))
    assert [str(own.candidate) for own in one.feasible] == [str(own.candidate) for own in two.feasible]
    assert [own.reason for own in one.rejected] == [own.reason for own in two.rejected]


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(capacity, "WORTH_A_PROCESS", 2)
    model = ("llama-3.1-70b", load_model("llama-3.1-70b"))  # in four devices it does not fit
    candidates = tuple(candidates_of([model], chips_of("l4"), [load_engine("vllm")], [None], (1, 2, 4)))
    demand = Demand(rate=1.0, ttft_seconds=5.0, tpot_seconds=0.2, **SIZES)
    told: list[tuple[str, float]] = []
    capacity.plan_candidates(candidates, demand, jobs=jobs, told=lambda *own: told.append(own))
    words, shares = zip(*told, strict=True)
    assert words[0] == f"0 of {len(candidates)} candidates in closed form"
    assert "0 of 2 pipelines over several nodes in closed form" in words
    assert any(own.startswith("simulating llama-3.1-70b on") for own in words)
    assert words[-1] == "what would change the choice"
    assert list(shares) == sorted(shares)
    assert 0 == shares[0] <= shares[-1] < 1


def test_whole_answers_and_gaps_may_be_limited() -> None:
    found = plans(hardware="h100-sxm", ttft=0.0, tpot=0.0, e2e=4.0, itl=0.05)
    best = found.feasible[0]
    assert best.confirmation is not None
    assert best.confirmation.seconds["e2e"] <= 4.0
    assert best.confirmation.seconds["itl"] <= 0.05
    assert best.confirmation.seconds["itl"] > best.confirmation.seconds["tpot"]  # prompts of others fall between tokens
    assert best.binding in ("e2e", "itl", "capacity")


def test_a_limit_below_the_physical_bound() -> None:
    found = plans(hardware="h100-sxm", tpot=1e-4)
    assert not found.feasible
    assert all("no software can be below" in own.reason for own in found.rejected)
    assert all(own.bound > 1e-4 for own in found.rejected)


def test_models_that_no_node_holds_are_spread_over_several() -> None:
    found = plans(model="llama-3.1-405b", hardware="h100-sxm", rate=1, tpot=0.1, ttft=5)
    layouts = {str(own.candidate.layout) for own in found.feasible}
    assert layouts
    assert layouts <= {"tp8-pp2", "tp8-pp4"}
    assert not any(own.candidate.layout.pipeline > 1 for own in plans(hardware="h100-sxm").feasible)


def test_a_chance_at_the_percentile() -> None:
    best = plans(hardware="h100-sxm", tpot=0.02).feasible[0]
    assert best.confirmation is not None
    assert 0 < best.confirmation.confidence < best.confidence


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
    with pytest.raises(InputError, match=r"unknown order.*max_gpus must be at least 0"):
        plans(order="beauty", max_gpus=-1)
    assert perfmodel.plan is plan
