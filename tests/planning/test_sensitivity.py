"""What would change the choice."""

from __future__ import annotations

import pytest

from perfmodel.planning.capacity import plan
from perfmodel.planning.plans import Change, PlanAnswer
from perfmodel.planning.sensitivity import what_changes


@pytest.fixture(scope="module")
def answer() -> PlanAnswer:
    return plan(
        "llama-3.1-8b", ["h100-sxm", "l40s", "l4"], rate=60, input_tokens=1000, output_tokens=200, ttft=1, tpot=0.04
    )


@pytest.fixture(scope="module")
def changes(answer: PlanAnswer) -> dict[str, Change]:
    return {own.assumption: own for own in answer.changes}


def test_harder_cases_need_no_fewer_devices(answer: PlanAnswer, changes: dict[str, Change]) -> None:
    best = answer.feasible[0]
    harder = ("load x 1.2", "prompts x 1.2", "answers x 1.2", "limit on TTFT / 1.2", "limit on TPOT / 1.2",
              "all plans at the slow end of their intervals")  # fmt: skip
    assert all(changes[name].candidate is None or changes[name].gpus >= best.gpus for name in harder)
    assert 0 < changes["load / 1.2"].gpus <= best.gpus


def test_a_case_that_moves_the_load_is_the_plan_for_that_load(answer: PlanAnswer, changes: dict[str, Change]) -> None:
    demand = answer.demand
    there = plan(
        "llama-3.1-8b", ["h100-sxm", "l40s", "l4"], rate=1.2 * demand.rate, ttft=1, tpot=0.04, **demand.sizes
    ).feasible[0]
    found = changes["load x 1.2"]
    assert str(found.candidate) == str(there.candidate)
    assert abs(found.replicas - there.replicas) <= 1


def test_prices_change_what_is_chosen_by_price() -> None:
    found = plan(
        "llama-3.1-8b", ["h100-sxm", "h200-sxm"], rate=60, input_tokens=1000, output_tokens=200, ttft=1, tpot=0.04,
        order="cost",
    )  # fmt: skip
    best = found.feasible[0]
    dearer = next(own for own in found.changes if own.assumption.endswith("+ 20 %"))
    assert best.candidate.hardware.id in dearer.assumption
    assert best.usd_per_hour <= dearer.usd_per_hour <= 1.2 * best.usd_per_hour * (1 + 1e-9)


def test_nothing_is_said_without_a_confirmed_plan(answer: PlanAnswer) -> None:
    assert what_changes([], answer.demand) == ()
    unconfirmed = [own for own in answer.feasible if own.confirmation is None]
    assert what_changes(unconfirmed, answer.demand) == ()


def test_devices_at_most_hold_in_every_case() -> None:
    found = plan("llama-3.1-8b", "l4", rate=5, input_tokens=1000, output_tokens=200, ttft=1, tpot=0.08, max_gpus=20)
    best = found.feasible[0]
    tight = what_changes(found.feasible, found.demand, max_gpus=best.gpus)
    assert all(own.gpus <= best.gpus for own in tight)
    assert {own.assumption for own in tight} == {own.assumption for own in found.changes}
