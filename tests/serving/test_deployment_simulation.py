"""Real deployments: the simulation against the closed form, where both must agree."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployment_simulation import deployment_table, front_end, simulate_deployment
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.simulation_result import percentiles
from perfmodel.serving.steady_answers import Server, at_rate, fixed_concurrency, highest_rate
from perfmodel.serving.workload import Arrival, Workload, drawn_lengths, make_workload

PRIORS = EngineCoefficients()
SIZES: dict[str, Any] = {"input_tokens": 1024, "output_tokens": 256}


@cache
def deployed(engine: str, attention_data: int = 1) -> Deployment:
    return deploy("llama-3.1-8b", "h100-sxm", engine=engine, layout=Layout(attention_data=attention_data))


def server(own: Deployment) -> Server:
    return Server(
        table=deployment_table(own, PRIORS), coefficients=PRIORS, sequences=own.capacity.sequences,
        chunk_tokens=own.engine.chunk_tokens,
    )  # fmt: skip


def requests(count: int, arrival: Arrival) -> Workload:
    # all alike, users of a closed loop would stay in step
    return make_workload(arrival, *drawn_lengths(count, 1024, 256, spread=0.2))


def mean(found: Any, name: str) -> float:
    figures = percentiles(found, name)
    assert figures is not None
    return figures["mean"]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("users", [4, 64])
def test_time_per_token_of_a_closed_loop_is_the_closed_forms(engine: str, users: int) -> None:
    expected = fixed_concurrency(server(deployed(engine)), concurrency=users, **SIZES)
    load = requests(3000, Arrival(process="closed", users=users))
    found = simulate_deployment(deployed(engine), load, coefficients=PRIORS)
    assert mean(found, "tpot") == pytest.approx(expected.tpot_seconds[0], rel=0.02)
    # the closed form's first tokens bear the burst at the start of a load test, as servers' data do
    assert mean(found, "ttft") == pytest.approx(expected.ttft_seconds[0], rel=0.4)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_an_open_loop_below_saturation_is_the_closed_forms(engine: str) -> None:
    own = server(deployed(engine))
    rate = 0.5 * float(highest_rate(own, **SIZES)[0])
    expected = at_rate(own, rate=rate, **SIZES)
    found = simulate_deployment(deployed(engine), requests(4000, Arrival(rate=rate)), coefficients=PRIORS)
    assert found.stable
    assert found.utilisation == pytest.approx(0.5, rel=0.1)
    assert mean(found, "tpot") == pytest.approx(expected.tpot_seconds[0], rel=0.04)
    assert mean(found, "ttft") == pytest.approx(expected.ttft_seconds[0], rel=0.2)


def test_coefficients_are_those_of_the_engine() -> None:
    load = requests(200, Arrival(rate=5))
    own, fitted, priors = (
        simulate_deployment(deployed("vllm"), load, coefficients=given)
        for given in (None, load_engine_coefficients("vllm"), PRIORS)
    )
    np.testing.assert_array_equal(own.finish_seconds, fitted.finish_seconds)
    assert mean(own, "tpot") != mean(priors, "tpot")


def test_groups_of_attention_are_replicas() -> None:
    two = simulate_deployment(deployed("vllm", 2), requests(500, Arrival(rate=10)))
    assert set(two.replica.tolist()) == {0, 1}


def test_waits_of_the_scheduler() -> None:
    mixed, alone = (front_end(deployed(engine), PRIORS) for engine in ("vllm", "sglang"))
    assert mixed.waiting_steps == pytest.approx(PRIORS["waiting_steps"] - 0.5)
    assert alone.waiting_steps == pytest.approx(mixed.waiting_steps + PRIORS["prefill_wait_steps"])
    assert front_end(deployed("vllm", 2), PRIORS).waiting_steps > mixed.waiting_steps
    few = front_end(deployed("sglang"), PRIORS, users=4)
    assert few.waiting_steps == pytest.approx(mixed.waiting_steps + PRIORS["prefill_wait_steps"] / 3)


def test_one_user_waits_what_the_closed_form_says() -> None:
    for engine in ("vllm", "sglang"):
        own = deployed(engine)
        expected = fixed_concurrency(server(own), concurrency=1, input_tokens=2000, output_tokens=1000)
        load = make_workload(Arrival(process="closed", users=1), *drawn_lengths(50, 2000, 1000))
        found = simulate_deployment(own, load, coefficients=PRIORS)
        assert mean(found, "ttft") == pytest.approx(expected.ttft_seconds[0], rel=0.08)
        assert mean(found, "tpot") == pytest.approx(expected.tpot_seconds[0], rel=0.02)


def test_what_a_cache_holds_is_not_computed_longer() -> None:
    whole = front_end(deployed("vllm"), PRIORS, input_tokens=1000, computed_tokens=1000)
    kept = front_end(deployed("vllm"), PRIORS, input_tokens=1000, computed_tokens=100)
    assert PRIORS["token_seconds"] < kept.input_token_seconds < whole.input_token_seconds


def test_drafts_take_the_engines_figures() -> None:
    load = requests(300, Arrival(rate=5))
    plain, drafted, given = (
        simulate_deployment(deployed("vllm"), load, drafts=drafts, accepted=accepted)
        for drafts, accepted in ((0, 0.0), (3, 0.0), (3, 4.0))
    )
    assert mean(given, "tpot") < mean(drafted, "tpot") < mean(plain, "tpot")


def test_a_link_over_which_nothing_moves_is_refused() -> None:
    load = requests(10, Arrival(rate=2))
    for rate in (5e-324, 0.5):
        with pytest.raises(InputError, match="moves no cache in any time: 1 B/s at least"):
            simulate_deployment(deployed("vllm"), load, prompt_replicas=1, link_bytes_per_second=rate)


def test_caches_move_at_the_rate_of_the_link() -> None:
    load = requests(300, Arrival(rate=2))
    slow, fast = (
        simulate_deployment(deployed("vllm"), load, prompt_replicas=1, link_bytes_per_second=rate)
        for rate in (1e9, 400e9)
    )
    # 1024 tokens of 128 KiB: 0.13 s over the slow link, once in an answer
    extra = mean(slow, "e2e") - mean(fast, "e2e")
    assert extra == pytest.approx(1024 * 131072 * (1e-9 - 1 / 400e9), rel=0.3)


def test_models_that_leave_no_room() -> None:
    own = deploy("llama-3.1-70b", "h100-sxm")
    load = requests(10, Arrival(rate=1))
    with pytest.raises(InputError, match="does not fit"):
        simulate_deployment(own, load)
    assert np.all(simulate_deployment(own, load, cache_tokens=50_000).finish_seconds > 0)
