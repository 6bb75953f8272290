"""The loop that adds up steps against one that takes them one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.serving.simulation_result import SimulationResult
from perfmodel.serving.simulation_settings import Disaggregation, FrontEnd, SharedPrefix, Speculation
from perfmodel.serving.simulator import simulate
from serving.deployments import policy, random_table, workload
from serving.naive import Naive

BLOCK = 4
REQUESTS = 24


def random_requests(seed: int, load: float, users: int = 0, thinking: bool = False) -> Any:
    random = np.random.default_rng(seed)
    arrivals = np.zeros(REQUESTS) if users else np.cumsum(random.exponential(1 / load, REQUESTS))
    think = random.exponential(0.5, REQUESTS) if thinking else np.zeros(0)
    prompts, answers = random.integers(1, 60, REQUESTS), random.integers(1, 25, REQUESTS)
    return workload(arrivals, prompts, answers, users=users, think_seconds=think)


def assert_same(found: SimulationResult, naive: Naive) -> None:
    requests = sorted(naive.requests, key=lambda request: request.arrival)
    for name, values in (
        ("arrival", found.arrival_seconds), ("start", found.start_seconds), ("first", found.first_token_seconds),
        ("finish", found.finish_seconds), ("replica", found.replica),
    ):  # fmt: skip
        delay = np.array([request.delay for request in requests]) * (name in ("first", "finish"))
        expected = np.array([getattr(request, name) for request in requests]) + delay
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9, err_msg=name)
    assert (found.preemptions, found.prefix_hits) == (naive.preemptions, naive.hits)
    decoders = naive.replicas[naive.prompt_replicas :]
    assert found.cache_max == pytest.approx(max(each.most_blocks / each.capacity for each in decoders))


settings_drawn = st.fixed_dictionaries(
    {
        "chunk_tokens": st.sampled_from([0, 24, 64, 8192]),
        "mixed": st.booleans(),
        "max_sequences": st.sampled_from([1, 3, 8, 64]),
        "capture_sizes": st.sampled_from([(), (2, 4, 8, 16)]),
    }
)


@settings(max_examples=25)
@given(
    drawn=settings_drawn, seed=st.integers(0, 10**6), load=st.sampled_from([0.1, 0.5, 2.0, 50.0]),
    capacity=st.sampled_from([100, 160, 4000]), drafts=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_open_loop(drawn: dict, seed: int, load: float, capacity: int, drafts: int) -> None:
    table, requests = random_table(seed), random_requests(seed, load)
    speculation = Speculation(drafts=drafts, accepted=1 + 0.7 * drafts, draft_cost=0.05) if drafts else None
    own = policy(block_tokens=BLOCK, **drawn)
    found = simulate(table, own, requests, kv_capacity_tokens=capacity, max_context=1000, speculation=speculation)
    assert_same(found, Naive(table, own, requests, kv_capacity_tokens=capacity, speculation=speculation))


@settings(max_examples=12)
@given(
    drawn=settings_drawn, seed=st.integers(0, 10**6), users=st.sampled_from([1, 5, 30]), thinking=st.booleans(),
    replicas=st.sampled_from([1, 3]),
)  # fmt: skip
def test_closed_loop(drawn: dict, seed: int, users: int, thinking: bool, replicas: int) -> None:
    table, requests = random_table(seed), random_requests(seed, 1.0, users, thinking)
    own = policy(block_tokens=BLOCK, **drawn)
    more: dict[str, Any] = {"replicas": replicas, "router": "least-loaded", "front_end": FrontEnd(request_seconds=0.02)}
    found = simulate(table, own, requests, kv_capacity_tokens=160, max_context=1000, **more)
    assert_same(found, Naive(table, own, requests, kv_capacity_tokens=160, **more))


@settings(max_examples=12)
@given(
    drawn=settings_drawn, seed=st.integers(0, 10**6), load=st.sampled_from([0.5, 5.0]),
    router=st.sampled_from(["round-robin", "least-loaded", "prefix-aware"]), replicas=st.sampled_from([1, 2, 4]),
    groups=st.sampled_from([1, 3, 20]), capacity=st.sampled_from([120, 400]),
)  # fmt: skip
def test_shared_prefixes(
    drawn: dict, seed: int, load: float, router: str, replicas: int, groups: int, capacity: int
) -> None:
    # kept beginnings give way when a run ends, not when the step in it does: that router may see them a little longer
    capacity = 4000 if router == "prefix-aware" else capacity
    table, requests = random_table(seed), random_requests(seed, load)
    own, prefix = policy(block_tokens=BLOCK, **drawn), SharedPrefix(groups=groups, tokens=18)
    of_request = np.random.default_rng([seed, 5]).integers(0, groups, REQUESTS)
    more: dict[str, Any] = {"replicas": replicas, "router": router, "prefix": prefix}
    found = simulate(table, own, requests, kv_capacity_tokens=capacity, max_context=1000, seed=seed, **more)
    assert_same(found, Naive(table, own, requests, kv_capacity_tokens=capacity, groups=of_request, **more))


@settings(max_examples=12)
@given(
    drawn=settings_drawn, seed=st.integers(0, 10**6), load=st.sampled_from([0.5, 5.0]),
    router=st.sampled_from(["round-robin", "least-loaded"]), pools=st.sampled_from([(1, 1), (2, 1), (1, 3)]),
    link=st.sampled_from([20.0, 1e6]), users=st.sampled_from([0, 4]), drafts=st.sampled_from([0, 1]),
)  # fmt: skip
def test_disaggregation(
    drawn: dict, seed: int, load: float, router: str, pools: tuple[int, int], link: float, users: int, drafts: int
) -> None:
    table, requests = random_table(seed), random_requests(seed, load, users)
    own = policy(block_tokens=BLOCK, **drawn)
    more: dict[str, Any] = {
        "router": router,
        "speculation": Speculation(drafts=drafts, accepted=1.6) if drafts else None,
        "disaggregation": Disaggregation(
            prompt_replicas=pools[0], decode_replicas=pools[1], cache_bytes_per_token=1.0, link_bytes_per_second=link,
            prompt_table=random_table(seed + 1), prompt_capacity_tokens=240,
        ),
    }  # fmt: skip
    found = simulate(table, own, requests, kv_capacity_tokens=120, max_context=1000, **more)
    assert_same(found, Naive(table, own, requests, kv_capacity_tokens=120, **more))


def test_front_end_delays() -> None:
    table, requests, own = random_table(3), random_requests(3, 1.0), policy(block_tokens=BLOCK)
    front = FrontEnd(request_seconds=0.5, input_token_seconds=0.01, in_flight_seconds=0.1)
    found = simulate(table, own, requests, kv_capacity_tokens=4000, max_context=1000, front_end=front)
    assert_same(found, Naive(table, own, requests, kv_capacity_tokens=4000, front_end=front))
