"""Simulations against queueing theory, conservation laws, and what must hold whatever is asked."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError, UnknownNameError
from perfmodel.serving.simulation_result import SimulationResult, good_requests, goodput, latencies, percentiles
from perfmodel.serving.simulation_settings import Disaggregation, FrontEnd, Objective, SharedPrefix, Speculation
from perfmodel.serving.simulator import simulate
from perfmodel.serving.workload import Arrival, Workload, drawn_lengths, make_workload
from serving.deployments import flat_table, policy, random_table, workload

STEP = 0.01
ROOM: dict[str, Any] = {"kv_capacity_tokens": 1e6, "max_context": 100_000}
NO_LIMIT: dict[str, Any] = {"max_sequences": 1000, "block_tokens": 1}


def poisson(count: int, rate: float, answers: Any, *, prompt: int = 1, seed: int = 0) -> Workload:
    answers = np.broadcast_to(np.asarray(answers, dtype=np.int32), (count,)).copy()
    return make_workload(Arrival(rate=rate), np.full(count, prompt, dtype=np.int32), answers, seed=seed)


def mean(found: SimulationResult, name: str) -> float:
    return float(latencies(found, name).mean())


# ------------------------------------------------------------------------------------------------ queueing theory


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_one_at_a_time_waits_as_in_a_queue_with_constant_service(load: float) -> None:
    """M/D/1: W = ρS/(2(1 − ρ))."""
    service = 20 * STEP
    requests = poisson(200_000, load / service, 20)
    found = simulate(flat_table(STEP), policy(max_sequences=1), requests, **ROOM)
    assert mean(found, "queue") == pytest.approx(load * service / (2 * (1 - load)), rel=0.04 + 0.06 * (load > 0.8))
    assert found.utilisation == pytest.approx(load, rel=0.02)
    assert found.busy == pytest.approx(load, rel=0.02)
    assert found.stable


def test_one_at_a_time_follows_lindley_request_by_request() -> None:
    """W' = max(0, W + S − gap)."""
    answers = np.random.default_rng(3).integers(1, 40, 3000)
    requests = poisson(len(answers), 0.8 / (float(answers.mean()) * STEP), answers)
    found = simulate(flat_table(STEP), policy(max_sequences=1), requests, **ROOM)
    waits = [0.0]
    for answer, gap in zip(answers[:-1], np.diff(requests.arrival_seconds), strict=True):
        waits.append(max(0.0, waits[-1] + answer * STEP - gap))
    np.testing.assert_allclose(latencies(found, "queue"), waits, atol=1e-8)


def test_waits_grow_with_the_spread_of_service_as_pollaczek_and_khinchine_say() -> None:
    """M/G/1: W = λ·E[S²]/(2(1 − ρ)), answers of geometric length."""
    answers = np.random.default_rng(1).geometric(1 / 50, 400_000)
    service = answers * STEP
    rate = 0.6 / service.mean()
    found = simulate(flat_table(STEP), policy(max_sequences=1), poisson(len(answers), rate, answers), **ROOM)
    expected = rate * (service**2).mean() / (2 * (1 - rate * service.mean()))
    assert mean(found, "queue") == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("places", [2, 8])
def test_several_places_wait_as_in_a_queue_with_several_servers(places: int) -> None:
    """M/M/c: W = C(c, a)·S/(c − a), C of Erlang; geometric lengths are nearly exponential, steps nearly nothing."""
    answers = np.random.default_rng(2).geometric(1 / 300, 300_000)
    service = float(answers.mean()) * STEP
    offered = 0.8 * places
    found = simulate(
        flat_table(STEP), policy(max_sequences=places, chunk_tokens=1 << 20),
        poisson(len(answers), offered / service, answers), **ROOM,
    )  # fmt: skip
    terms = [offered**k / math.factorial(k) for k in range(places)]
    last = offered**places / math.factorial(places) * places / (places - offered)
    expected = last / (sum(terms) + last) * service / (places - offered)
    assert mean(found, "queue") - STEP / 2 == pytest.approx(expected, rel=0.06)


def test_a_random_split_makes_independent_queues() -> None:
    service, load, replicas = 10 * STEP, 0.6, 4
    requests = poisson(200_000, replicas * load / service, 10)
    found = simulate(flat_table(STEP), policy(max_sequences=1), requests, replicas=replicas, router="random", **ROOM)
    assert mean(found, "queue") == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


def test_better_routers_wait_less() -> None:
    answers = np.random.default_rng(4).geometric(1 / 10, 50_000)
    requests = poisson(len(answers), 4 * 0.8 / (10 * STEP), answers)
    waits = [
        mean(simulate(flat_table(STEP), policy(max_sequences=1), requests, replicas=4, router=router, **ROOM), "queue")
        for router in ("random", "round-robin", "least-loaded")
    ]
    assert waits[0] > 1.5 * waits[1]
    assert waits[1] > 1.5 * waits[2]


def test_gaps_of_arrivals_order_the_waits() -> None:
    count, rate = 50_000, 0.8 / (10 * STEP)
    waits = []
    for arrival in (
        Arrival(process="constant", rate=rate),
        Arrival(process="gamma", rate=rate, burstiness=4),
        Arrival(rate=rate),
        Arrival(process="gamma", rate=rate, burstiness=0.25),
        Arrival(process="on-off", rate=rate, on_seconds=20, off_seconds=20),
    ):
        lengths = [np.full(count, n, dtype=np.int32) for n in (1, 10)]
        requests = make_workload(arrival, *lengths)
        waits.append(mean(simulate(flat_table(STEP), policy(max_sequences=1), requests, **ROOM), "queue"))
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0, abs=1e-9)


def test_users_who_think_follow_the_interactive_law() -> None:
    """Throughput = users/(response + thinking)."""
    users, thinking = 20, 3.0
    prompts, answers = drawn_lengths(40_000, 50, 40, spread=0.5, seed=3)
    requests = make_workload(Arrival(process="closed", users=users, think_seconds=thinking), prompts, answers)
    found = simulate(flat_table(STEP, token=1e-4), policy(), requests, **ROOM)
    expected = users / (mean(found, "e2e") + thinking)
    assert len(found) / found.wall_seconds == pytest.approx(expected, rel=0.02)
    order = np.argsort(found.arrival_seconds)
    in_flight = np.arange(1, len(order) + 1) - np.searchsorted(np.sort(found.finish_seconds), found.arrival_seconds)
    assert in_flight.max() <= users


# --------------------------------------------------------------------------------------------- conservation, limits


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6), capacity=st.sampled_from([300, 600, 10_000]), mixed=st.booleans(),
    chunk=st.sampled_from([0, 128, 8192]), places=st.sampled_from([2, 16, 256]), users=st.sampled_from([0, 20]),
    replicas=st.sampled_from([1, 3]),
)  # fmt: skip
def test_nothing_is_lost(
    seed: int, capacity: int, mixed: bool, chunk: int, places: int, users: int, replicas: int
) -> None:
    random = np.random.default_rng(seed)
    arrivals = np.zeros(300) if users else np.cumsum(random.exponential(0.4, 300))
    requests = workload(arrivals, random.integers(1, 150, 300), random.integers(1, 100, 300), users=users)
    own = policy(mixed=mixed, chunk_tokens=chunk, max_sequences=places)
    found = simulate(
        random_table(seed), own, requests, kv_capacity_tokens=capacity, max_context=250, replicas=replicas,
        router="least-loaded",
    )  # fmt: skip
    assert len(found) + sum(found.rejected.values()) == 300
    assert found.output_tokens.sum() == np.minimum(requests.output_tokens, 250 - requests.input_tokens).sum()
    # every token but the first of an answer comes a gap after another
    assert found.gap_counts.sum() == (found.output_tokens - 1).sum()
    assert np.all(found.start_seconds >= found.arrival_seconds)
    assert np.all(found.first_token_seconds > found.start_seconds)
    assert np.all((found.finish_seconds > found.first_token_seconds) == (found.output_tokens > 1))
    assert 0 < found.cache_mean <= found.cache_max <= 1
    timeline = found.timeline
    assert timeline.cache_share.max() <= found.cache_max + 1e-12
    assert timeline.running.max() <= places * replicas
    assert (timeline.running + timeline.waiting).max() <= (users or 300)
    assert np.all(np.diff(timeline.seconds) >= 0)
    if not found.preemptions:  # Little's law
        places_taken = (found.finish_seconds - found.start_seconds).sum()
        assert found.running_mean * found.wall_seconds == pytest.approx(places_taken, rel=1e-9)


def test_small_caches_preempt_and_answer_all_the_same() -> None:
    requests = poisson(2000, 3.0, 100, prompt=100)
    roomy, tight = (
        simulate(flat_table(STEP), policy(), requests, kv_capacity_tokens=tokens, max_context=1000)
        for tokens in (100_000, 1000)
    )
    assert roomy.preemptions == 0 < tight.preemptions
    assert tight.cache_max > 0.99
    assert len(tight) == 2000
    assert mean(tight, "e2e") > mean(roomy, "e2e")
    assert tight.capacity_per_second < roomy.capacity_per_second


def test_same_seed_same_result() -> None:
    prompts, answers = drawn_lengths(3000, 200, 50, spread=1, seed=5)
    requests = make_workload(Arrival(rate=20), prompts, answers, seed=5)
    more: dict[str, Any] = {"replicas": 3, "router": "random", "prefix": SharedPrefix(groups=9, tokens=64), **ROOM}
    first, again, other = (simulate(random_table(1), policy(), requests, seed=seed, **more) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.finish_seconds, again.finish_seconds)
    np.testing.assert_array_equal(first.gap_counts, again.gap_counts)
    assert not np.array_equal(first.finish_seconds, other.finish_seconds)


def test_a_lower_rate_never_waits_longer() -> None:
    prompts, answers = drawn_lengths(5000, 300, 60, spread=1)
    found = [
        simulate(random_table(4), policy(), make_workload(Arrival(rate=rate), prompts, answers), **ROOM)
        for rate in (0.5, 1, 2, 4, 8, 16, 32)
    ]
    for name in ("ttft", "e2e", "queue"):
        waits = [mean(each, name) for each in found]
        assert all(later > 0.98 * earlier for earlier, later in pairwise(waits)), (name, waits)
    assert len({round(each.capacity_per_second, 9) for each in found}) == 1


# -------------------------------------------------------------------------------------------------------- verdicts


def test_more_than_can_be_answered_is_never_stable() -> None:
    for load, stable in ((0.9, True), (1.05, False), (3.0, False)):
        requests = poisson(20_000, load * 4 / (25 * STEP), 25)
        found = simulate(flat_table(STEP), policy(max_sequences=4), requests, **ROOM)
        assert found.stable is stable
        assert found.utilisation == pytest.approx(load, rel=0.02)
        assert found.capacity_per_second == pytest.approx(4 / (25 * STEP), rel=0.01)
        assert any("as fast as they can be answered" in note for note in found.notes) is not stable


def test_too_fast_a_rate_shows_in_few_requests_too() -> None:
    found = simulate(flat_table(STEP), policy(max_sequences=4), poisson(30, 100.0, 25), **ROOM)
    assert not found.stable


def test_all_at_once_is_no_rate() -> None:
    found = simulate(flat_table(STEP), policy(), workload(np.zeros(10), 5, 5), **ROOM)
    assert not found.stable
    assert math.isinf(found.utilisation)
    assert any("at once" in note for note in found.notes)


def test_a_queue_on_one_replica_of_many_is_noticed() -> None:
    """Round robin over requests that alternate: every second one is long."""
    answers = np.tile([2, 60], 5000)
    requests = poisson(10_000, 1.4 / (62 * STEP) * 2, answers)
    found = simulate(flat_table(STEP), policy(max_sequences=1), requests, replicas=2, **ROOM)
    assert not found.stable


def test_objectives() -> None:
    requests = poisson(5000, 0.7 / (10 * STEP), 10)
    found = simulate(
        flat_table(STEP), policy(max_sequences=1), requests, objective=Objective(ttft_seconds=0.1, tpot_seconds=0.02),
        **ROOM,
    )  # fmt: skip
    share = float((latencies(found, "ttft") <= 0.1).mean())
    assert goodput(found) == {
        "requests": pytest.approx(share * 5000 / found.wall_seconds), "share": pytest.approx(share)
    }  # fmt: skip
    exact = simulate(
        flat_table(STEP), policy(max_sequences=1), requests, objective=Objective(tpot_seconds=STEP), **ROOM
    )
    assert good_requests(exact).all()  # an objective that is just kept is kept


def test_impossible_objectives() -> None:
    requests = poisson(100, 1.0, 10)
    found = simulate(flat_table(STEP), policy(), requests, objective=Objective(ttft_seconds=1e-6), **ROOM)
    assert goodput(found) == {"requests": 0.0, "share": 0.0}
    with pytest.raises(InputError, match=r"TTFT objective must be above 0, not 0; TPOT objective must be above 0, not"):
        simulate(flat_table(STEP), policy(), requests, objective=Objective(ttft_seconds=0, tpot_seconds=-1.0), **ROOM)


# ------------------------------------------------------------------------------------------------- parts of a step


def alone(table: Any, own: Any, count: int, prompt: int, answer: int, **more: Any) -> SimulationResult:
    return simulate(table, own, workload(np.zeros(count), prompt, answer), **{**ROOM, **more})


def test_drafts_make_more_tokens_of_longer_steps() -> None:
    speculation = Speculation(drafts=3, accepted=2.5, draft_cost=0.1)
    found = alone(flat_table(STEP, token=1e-3), policy(), 8, 16, 501, speculation=speculation)
    # 200 steps for 500 tokens, with four tokens of each sequence
    expected = (STEP + 1e-3 * 8 * 4) * 1.3 * 200 / 500
    assert percentiles(found, "tpot")["mean"] == pytest.approx(expected, rel=1e-9)


def test_steps_run_at_the_next_captured_size() -> None:
    own = policy(capture_sizes=(1, 8, 16))
    times = [percentiles(alone(flat_table(STEP, token=1e-3), own, n, 1, 11), "tpot")["mean"] for n in (1, 2, 8, 9, 17)]
    assert times == pytest.approx([STEP + 1e-3 * size for size in (1, 8, 8, 16, 17)])


def test_prompts_are_cut_into_chunks() -> None:
    """Of 1000 tokens 300 a step: four steps, and the first token with the last of them."""
    found = alone(flat_table(STEP, token=1e-4), policy(chunk_tokens=300), 1, 1000, 2)
    assert latencies(found, "ttft")[0] == pytest.approx(4 * STEP + 1e-4 * 1000)
    whole = alone(flat_table(STEP, token=1e-4), policy(chunk_tokens=0), 1, 20_000, 2)
    assert latencies(whole, "ttft")[0] == pytest.approx(STEP + 1e-4 * 20_000)


@pytest.mark.parametrize("mixed", [True, False])
def test_prompts_share_steps_or_hold_the_others_up(mixed: bool) -> None:
    """One sequence decodes; a prompt of 1000 tokens comes in the middle."""
    requests = workload([0.0, 0.5 * STEP + 20 * STEP], [1, 1000], [101, 2])
    found = simulate(flat_table(STEP, token=1e-4, mixed=mixed), policy(), requests, **ROOM)
    steps = 100 if mixed else 101  # of all that decode, and one for the prompt
    tokens = 1 + 100 + 1000 + 1
    assert found.finish_seconds[0] == pytest.approx(STEP * (steps + 1) + 1e-4 * tokens)
    gaps = found.gap_seconds[found.gap_counts > 0]
    longest = STEP + 1e-4 * 1001 if mixed else 2 * STEP + 1e-4 * 1002
    assert gaps.max() == pytest.approx(longest, rel=0.01)


def test_a_kept_prefix_is_computed_once() -> None:
    """Ten prompts of 800 + 200 tokens, far apart in time: nine find 800 of them."""
    requests = workload(np.arange(10) * 100.0, 1000, 2)
    prefix = SharedPrefix(groups=1, tokens=800)
    found = simulate(flat_table(STEP, token=1e-4), policy(), requests, prefix=prefix, **ROOM)
    assert found.prefix_hits == 9
    np.testing.assert_allclose(latencies(found, "ttft"), [STEP + 0.1] + [STEP + 0.02] * 9)
    without = simulate(flat_table(STEP), policy(prefix_cache=False), requests, prefix=prefix, **ROOM)
    assert without.prefix_hits == 0
    assert any("keeps no prefixes" in note for note in without.notes)


def test_a_router_that_knows_prefixes_finds_more_of_them() -> None:
    requests = poisson(4000, 5.0, 5, prompt=600)
    hits = [
        simulate(
            flat_table(STEP, token=1e-4), policy(), requests, kv_capacity_tokens=16_000, max_context=1000, replicas=4,
            router=router, prefix=SharedPrefix(groups=60, tokens=512),
        ).prefix_hits
        for router in ("round-robin", "prefix-aware")
    ]  # fmt: skip
    assert hits[1] > 1.5 * hits[0]


def test_caches_move_between_pools() -> None:
    requests = workload([0.0, 0.0], [1000, 500], [3, 3])
    split = Disaggregation(
        prompt_replicas=1, decode_replicas=1, cache_bytes_per_token=1e5, link_bytes_per_second=1e9,
        prompt_table=flat_table(2 * STEP),
    )  # fmt: skip
    found = simulate(flat_table(STEP), policy(), requests, disaggregation=split, **ROOM)
    np.testing.assert_allclose(found.first_token_seconds, 2 * STEP)
    # the first cache arrives after 0.1 s, the second one 0.05 s later; each then takes two steps
    begun = 2 * STEP + 0.1 + np.array([0.0, 0.05])
    np.testing.assert_allclose(found.finish_seconds, begun + 2 * STEP)
    assert found.gap_counts.sum() == 4


def test_decoding_does_not_hold_up_prompts_elsewhere() -> None:
    requests = poisson(3000, 4.0, 200, prompt=500)
    table = flat_table(STEP, token=1e-4)
    together = simulate(table, policy(), requests, replicas=2, **ROOM)
    split = Disaggregation(prompt_replicas=1, decode_replicas=1, cache_bytes_per_token=1e5, link_bytes_per_second=1e11)
    apart = simulate(table, policy(), requests, disaggregation=split, **ROOM)
    assert percentiles(apart, "itl")["p99"] < percentiles(together, "itl")["p99"]
    assert apart.gap_counts.sum() == together.gap_counts.sum()


def test_delays_outside_of_the_engine() -> None:
    requests = workload(np.arange(5) * 10.0, 100, 11)
    plain, delayed = (
        simulate(flat_table(STEP), policy(), requests, front_end=front, **ROOM)
        for front in (None, FrontEnd(request_seconds=0.03, input_token_seconds=1e-4))
    )
    for name in ("ttft", "e2e"):
        np.testing.assert_allclose(latencies(delayed, name) - latencies(plain, name), 0.04)
    np.testing.assert_allclose(latencies(delayed, "tpot"), latencies(plain, "tpot"))


def test_steps_to_wait_are_those_of_the_moment() -> None:
    """Steps of a request alone, then those of one and of two sequences that decode."""
    requests = workload([0.0, 0.5, 0.8], [1, 1, 1], [200, 200, 2])
    table = flat_table(STEP, token=1e-3)
    found = simulate(table, policy(), requests, front_end=FrontEnd(waiting_steps=3), **ROOM)
    plain = simulate(table, policy(), requests, **ROOM)
    expected = 3 * (STEP + 1e-3 * np.array([1, 1, 2]))
    np.testing.assert_allclose(latencies(found, "ttft") - latencies(plain, "ttft"), expected, atol=1e-12)


# ------------------------------------------------------------------------------------------------------- refusals


def test_requests_that_cannot_be_served() -> None:
    requests = workload(np.arange(4), [50, 100, 300, 90], [10, 10, 10, 30])
    found = simulate(flat_table(STEP), policy(), requests, kv_capacity_tokens=1e4, max_context=100)
    assert len(found) == 2
    assert sum(found.rejected.values()) == 2
    assert found.cut == 1
    assert found.output_tokens.tolist() == [10, 10]
    assert len([note for note in found.notes if "rejected" in note or "cut" in note]) == 2
    small = simulate(flat_table(STEP), policy(), requests, kv_capacity_tokens=112, max_context=1000)
    assert sum(small.rejected.values()) == 2
    with pytest.raises(InputError, match="no request can be served: 4 prompts of 10 tokens or more"):
        simulate(flat_table(STEP), policy(), requests, kv_capacity_tokens=1e4, max_context=10)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(InputError) as caught:
        simulate(
            flat_table(STEP), policy(), workload([0], 1, 1), kv_capacity_tokens=-5, max_context=0, replicas=0,
            speculation=Speculation(drafts=1, accepted=3), front_end=FrontEnd(request_seconds=math.nan),
        )  # fmt: skip
    for part in ("KV capacity", "max_context", "replicas", "3 tokens a step", "request_seconds"):
        assert part in str(caught.value)


def test_more_sequences_than_any_engine_runs() -> None:
    with pytest.raises(InputError, match="between 1 and 65,536 sequences can run at once, not 10,000,000"):
        simulate(flat_table(STEP), policy(max_sequences=10_000_000), workload([0], 1, 1), **ROOM)


def test_unknown_router() -> None:
    with pytest.raises(UnknownNameError, match="nearest: round-robin"):
        simulate(flat_table(STEP), policy(), workload([0], 1, 1), router="round-robbin", **ROOM)


def test_tables_without_time() -> None:
    with pytest.raises(InputError, match="a step must take some time"):
        simulate(flat_table(0.0), policy(), workload([0], 1, 1), **ROOM)


@pytest.mark.parametrize(
    ("arrivals", "prompts", "answers", "message"),
    [
        ([], 1, 1, "needs between 1 and 10,000,000 requests, not 0"),
        ([2.0, 1.0], 1, 1, "arrivals must ascend; request 2 comes too early"),
        ([-1.0, 1.0], 1, 1, "not negative"),
        ([0.0, math.nan], 1, 1, "finite"),
        ([0.0], 0, 1, "input tokens must lie between 1 and"),
        ([0.0], 1, -3, "output tokens must lie between 1 and"),
    ],
)
def test_workloads_that_make_no_sense(arrivals: list, prompts: int, answers: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(flat_table(STEP), policy(), workload(arrivals, prompts, answers), **ROOM)


# ------------------------------------------------------------------------------------------------------- compiling

PLAIN = """
import json, numpy as np
from perfmodel.serving.compiling import has_compiler
from perfmodel.serving.simulator import simulate
from serving.deployments import policy, random_table
from serving.test_simulator import mixture
found = simulate(random_table(9), policy(max_sequences=8, capture_sizes=(4, 8)), mixture(), **{room!r})
print(json.dumps([has_compiler(), found.finish_seconds.tolist(), found.preemptions, list(found.notes)]))
"""


def mixture() -> Workload:
    prompts, answers = drawn_lengths(150, 60, 30, spread=1, seed=9)
    return make_workload(Arrival(rate=0.6), prompts, answers, seed=9)


def test_plain_python_finds_the_same() -> None:
    room = {"kv_capacity_tokens": 700, "max_context": 400}
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run(
        [sys.executable, "-c", PLAIN.format(room=room)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    compiled, finish, preemptions, notes = json.loads(output)
    assert not compiled
    assert any("plain Python" in note for note in notes)
    found = simulate(random_table(9), policy(max_sequences=8, capture_sizes=(4, 8)), mixture(), **room)
    np.testing.assert_allclose(found.finish_seconds, finish, rtol=1e-12)
    assert found.preemptions == preemptions > 0


def test_importing_costs_nothing() -> None:
    code = "import sys, perfmodel.serving.simulator; sys.exit('numba' in sys.modules or 'scipy' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
