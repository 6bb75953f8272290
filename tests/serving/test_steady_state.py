"""The closed form: its limits, its terms, and the law that engines were fitted with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.serving_features import gather_runs, run_steps
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import tabulate
from perfmodel.serving.steady_state import (
    Loop,
    accepted_tokens,
    latencies,
    loop_steps,
    settled_batch,
    waiting_seconds,
)
from perfmodel.serving.step_table import step_seconds
from serving.deployments import flat_table, random_table

PRIORS = EngineCoefficients()
DELAYS = ("first_token_seconds", "token_seconds", "request_seconds", "waiting_steps", "burst_share")
BARE = EngineCoefficients(values=dict.fromkeys(DELAYS, 0.0))


def loop(**changes: Any) -> Loop:
    usual = {"users": 8.0, "running": 8.0, "input_tokens": 1000.0, "output_tokens": 250.0, "chunk_tokens": 8192.0}
    return Loop(**{name: np.asarray(value, dtype=float) for name, value in (usual | changes).items()})


@cache
def deployed(model: str, engine: str) -> Deployment:
    return deploy(model, "h100-sxm", engine=engine, layout=Layout(tensor=2))


def test_prompts_in_a_step() -> None:
    own = loop()
    arriving, tokens = own.prompts(25.0)
    # a tenth of a prompt arrives in each step; those steps that have any have 0.1/(1 - exp(-0.1))
    assert arriving == pytest.approx(0.1)
    assert tokens == pytest.approx(1000 * 0.1 / (1 - np.exp(-0.1)))
    assert loop(input_tokens=20_000.0).prompts(1.0)[1] == pytest.approx(8192, rel=0.01)
    assert loop(input_tokens=20_000.0).chunks == pytest.approx(20_000 / 8192)
    assert own.chunks == 1
    assert own.context == 1125


@given(st.floats(0.01, 2000), st.floats(10, 50_000), st.floats(2, 4000), st.floats(256, 20_000))
def test_a_step_has_no_more_prompt_tokens_than_its_budget(batch: float, i: float, o: float, chunk: float) -> None:
    arriving, tokens = loop(input_tokens=i, output_tokens=o, chunk_tokens=chunk).prompts(batch)
    assert arriving == pytest.approx(batch / o)
    assert min(i, chunk) * 0.49 <= tokens <= chunk * (1 + 1e-9)


def test_a_single_user_sees_the_plain_step_and_its_own_prompt() -> None:
    table = random_table(1)
    own = loop(users=1.0, running=1.0)
    steps = loop_steps(table, own, 1.0)
    assert steps.decode == step_seconds(table, sequences=1, context=1125)
    tpot, ttft = latencies(own, steps, 1.0, BARE)
    # one prompt in 250 steps
    extra = steps.with_prompts - steps.decode
    assert tpot == pytest.approx(steps.decode + extra * 1000 / own.prompts(1.0)[1] / 250)
    assert ttft == pytest.approx(BARE["prefill_scale"] * float(steps.prompt))
    long = loop(users=1.0, running=1.0, output_tokens=1e6)
    steps = loop_steps(table, long, 1.0)
    assert latencies(long, steps, 1.0, BARE)[0] == pytest.approx(float(steps.decode), rel=1e-3)


@pytest.mark.parametrize("name", ["first_token_seconds", "waiting_steps", "prefill_scale", "queue_share", "burst_share",
                                  "token_seconds", "request_seconds"])  # fmt: skip
def test_what_delays_first_tokens(name: str) -> None:
    own, table = loop(), flat_table(0.01, token=1e-5)
    steps = loop_steps(table, own, 8.0)
    more = EngineCoefficients(values={name: 2 * PRIORS[name]})
    before, after = latencies(own, steps, 8.0, PRIORS), latencies(own, steps, 8.0, more)
    assert after[1] > before[1]
    assert after[0] == before[0]


def test_prompts_apart_stop_all_sequences() -> None:
    mixed, apart = (flat_table(0.01, token=1e-5, mixed=flag) for flag in (True, False))
    both = [
        latencies(own, loop_steps(table, own, 8.0), 8.0, PRIORS)
        for table, own in ((mixed, loop()), (apart, loop(mixed=0)))
    ]
    assert both[1][0] > both[0][0]
    assert both[1][1] > both[0][1]


def test_waits_for_a_place() -> None:
    crowded = loop(users=24.0, running=8.0)
    assert waiting_seconds(crowded, np.array(0.02), np.array(0.5)) == pytest.approx(2 * (0.5 + 250 * 0.02))
    assert waiting_seconds(loop(), np.array(0.02), np.array(0.5)) == 0


def test_batches_settle_between_one_and_all() -> None:
    own = loop()
    assert settled_batch(own, np.array(0.02), np.array(0.0)) == 8
    assert settled_batch(own, np.array(0.02), np.array(5.0)) == pytest.approx(4)
    assert settled_batch(own, np.array(0.02), np.array(1e9)) == 1
    assert settled_batch(loop(users=0.5, running=0.5), np.array(0.02), np.array(1.0)) == 0.5


def test_accepted_tokens() -> None:
    c = EngineCoefficients(values={"accepted_1": 1.8, "accepted_3": 2.6})
    assert accepted_tokens(np.array([0, 1, 2, 3]), c).tolist() == pytest.approx([1.0, 1.8, 2.2, 2.6])


@given(st.integers(1, 3), st.floats(1.0, 64.0))
def test_drafts_pay_where_they_cost_little(drafts: int, users: float) -> None:
    # a step that costs the same for any tokens: drafts are free
    table = flat_table(0.01)
    plain, drafted = (loop(users=users, running=users, drafts=d) for d in (0, drafts))
    slow, fast = (latencies(own, loop_steps(table, own, users), users, BARE)[0] for own in (plain, drafted))
    assert fast < slow
    assert slow / fast <= accepted_tokens(drafts, BARE)
    assert 1 <= accepted_tokens(drafts, BARE) <= 1 + drafts


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt-oss-20b"])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("drafts", [0, 3])
def test_the_law_is_that_of_the_fit(model: str, engine: str, drafts: int) -> None:
    own = deployed(model, engine)
    random = np.random.default_rng(0)
    users, i, o = (np.exp(random.uniform(np.log(a), np.log(b), 60)) for a, b in ((1, 500), (50, 20_000), (20, 2000)))
    columns = {
        "mixed": float(own.engine.mixed),
        "chunk_tokens": float(own.engine.chunk_tokens),
        "drafts": float(drafts),
    }
    sizes = loop(
        users=users, running=users, input_tokens=i, output_tokens=o,
        **{name: np.full(60, value) for name, value in columns.items()},
    )  # fmt: skip
    runs = gather_runs([own.work], [np.arange(60)], sizes, own.host, [engine] * 60)
    fitted = run_steps(runs, PRIORS)
    asked = loop_steps(tabulate(own.work, own.host, PRIORS, mixed=own.engine.mixed), sizes, runs.batch)
    for name in ("decode", "with_prompts", "prompt"):
        ratio = getattr(asked, name) / getattr(fitted, name)
        # tables keep the bound for each part of a step, the fit for their sum
        assert np.median(ratio) == pytest.approx(1, abs=1e-6), name
        assert ratio.min() > 1 - 1e-6, name
        assert ratio.max() < 1.06, name
