"""Answers in steady state: Little's law, monotony, stability, arrays, groups of users."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import deploy
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.servers import server_of
from perfmodel.serving.steady_answers import Server, SteadyState, at_rate, fixed_concurrency, highest_rate

CASES = (("llama-3.1-8b", "h100-sxm", "vllm", 1), ("llama-3.1-70b", "h200-sxm", "sglang", 4),
         ("gpt-oss-120b", "b200", "trtllm", 2), ("llama-3.1-8b", "l40s", "torch", 1))  # fmt: skip
PLACES = st.integers(0, len(CASES) - 1)
LENGTHS = st.tuples(st.integers(32, 8000), st.integers(16, 1500))
SIZES: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 250}


@cache
def server(place: int = 0) -> Server:
    model, chip, engine, devices = CASES[place]
    return server_of(deploy(model, chip, engine=engine, layout=Layout(tensor=devices)))


def value(state: SteadyState, name: str) -> float:
    return float(getattr(state, name)[0])


@settings(max_examples=12)
@given(PLACES, LENGTHS, st.floats(1, 4000))
def test_littles_law_of_a_closed_loop(place: int, lengths: tuple[int, int], users: float) -> None:
    i, o = lengths
    found = fixed_concurrency(server(place), concurrency=users, input_tokens=i, output_tokens=o)
    rate, ttft, tpot = (value(found, name) for name in ("requests_per_second", "ttft_seconds", "tpot_seconds"))
    assert value(found, "running") + value(found, "waiting") == pytest.approx(users)
    assert value(found, "running") == pytest.approx(rate * (o - 1) * tpot)
    assert value(found, "waiting") == pytest.approx(rate * ttft)
    assert value(found, "e2e_seconds") == pytest.approx(ttft + (o - 1) * tpot)
    # no more decode than have a place, but for the first token, which is the prompt's
    assert value(found, "running") <= min(users, value(found, "capacity")) * (1 + 1 / o)


@settings(max_examples=12)
@given(PLACES, LENGTHS, st.floats(0.001, 0.999))
def test_littles_law_of_an_open_loop(place: int, lengths: tuple[int, int], share: float) -> None:
    i, o = lengths
    rate = share * float(highest_rate(server(place), input_tokens=i, output_tokens=o)[0])
    found = at_rate(server(place), rate=rate, input_tokens=i, output_tokens=o)
    assert found.stable[0]
    assert value(found, "requests_per_second") == pytest.approx(rate)
    assert value(found, "running") == pytest.approx(rate * (o - 1) * value(found, "tpot_seconds"))
    assert value(found, "waiting") == pytest.approx(rate * value(found, "ttft_seconds"))


@settings(max_examples=12)
@given(PLACES, LENGTHS)
def test_a_rate_is_stable_below_the_highest_one_alone(place: int, lengths: tuple[int, int]) -> None:
    i, o = lengths
    top = float(highest_rate(server(place), input_tokens=i, output_tokens=o)[0])
    shares = np.array([0.01, 0.5, 0.9, 0.999, 1.001, 2.0, 100.0])
    found = at_rate(server(place), rate=top * shares, input_tokens=i, output_tokens=o)
    assert found.stable.tolist() == [share < 1 for share in shares]
    assert np.isfinite(found.ttft_seconds).tolist() == found.stable.tolist()
    assert np.isfinite(found.waiting).tolist() == found.stable.tolist()
    assert np.isfinite(found.tpot_seconds).all()
    # what cannot be served is not served
    np.testing.assert_allclose(found.requests_per_second, top * np.minimum(shares, 1.0))


@settings(max_examples=12)
@given(PLACES, LENGTHS)
def test_faster_arrivals_never_make_faster_answers(place: int, lengths: tuple[int, int]) -> None:
    i, o = lengths
    top = float(highest_rate(server(place), input_tokens=i, output_tokens=o)[0])
    found = at_rate(server(place), rate=top * np.linspace(0.02, 0.98, 25), input_tokens=i, output_tokens=o)
    for name in ("tpot_seconds", "ttft_seconds", "running"):
        assert (np.diff(getattr(found, name)) >= -2e-3 * getattr(found, name)[1:]).all(), name


@settings(max_examples=12)
@given(PLACES, st.tuples(st.integers(32, 8000), st.integers(64, 1500)))
def test_more_users_are_served_more_and_each_slower(place: int, lengths: tuple[int, int]) -> None:
    i, o = lengths
    room = min(float(server(place).sequences(i + o / 2)), 400.0)
    # prompts of servers without mixed steps wait longer from 16 users on: a step in the law, not beyond it
    users = np.unique(np.round(np.geomspace(16, max(room, 17.0), 25)))
    found = fixed_concurrency(server(place), concurrency=users, input_tokens=i, output_tokens=o)
    assert (np.diff(found.tpot_seconds) >= 0).all()
    # where running sequences have just begun a row of tiles, a prompt finds room in it: up to 1.3 % less in 3100 loads
    assert (np.diff(found.ttft_seconds) >= -0.02 * found.ttft_seconds[1:]).all()
    # the first token beyond 128 or 256 fills a row of tiles of its own: that costs a few per cent, on chips as here
    assert (np.diff(found.requests_per_second) >= -0.04 * found.requests_per_second[1:]).all()
    assert found.requests_per_second[-1] >= found.requests_per_second[0]


@settings(max_examples=12)
@given(PLACES, LENGTHS, st.floats(1.0, 20.0))
def test_users_without_a_place_wait_and_do_not_slow_the_others(
    place: int, lengths: tuple[int, int], crowd: float
) -> None:
    i, o = lengths
    values = {**server(place).coefficients.values, "request_seconds": 0.0}  # which those who wait cost too
    own = replace(server(place), coefficients=EngineCoefficients(values=values))
    room = float(own.sequences(i + o / 2))
    one, more = (
        fixed_concurrency(own, concurrency=users, input_tokens=i, output_tokens=o) for users in (room, room * crowd)
    )
    assert value(more, "tpot_seconds") == pytest.approx(value(one, "tpot_seconds"))
    assert value(more, "ttft_seconds") >= value(one, "ttft_seconds") * (1 - 1e-9)
    # the throughput is that of full places; an answer takes one step less than it has tokens
    assert value(more, "requests_per_second") == pytest.approx(value(one, "requests_per_second"), rel=0.01 + 1 / o)
    assert value(one, "place_seconds") == pytest.approx(0, abs=1e-9)
    wait = (value(more, "ttft_seconds") - value(more, "place_seconds") + o * value(more, "tpot_seconds")) * (crowd - 1)
    assert value(more, "place_seconds") == pytest.approx(wait, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("users", [4, 16, 48])
def test_both_loops_agree_at_matching_loads(place: int, users: int) -> None:
    closed = fixed_concurrency(server(place), concurrency=users, **SIZES)
    opened = at_rate(server(place), rate=value(closed, "requests_per_second"), **SIZES)
    assert value(opened, "tpot_seconds") == pytest.approx(value(closed, "tpot_seconds"), rel=0.05)
    assert value(opened, "running") == pytest.approx(value(closed, "running"), rel=0.05)
    # first tokens of an open loop do not see the burst at the start of a load test
    assert value(opened, "ttft_seconds") <= value(closed, "ttft_seconds") * 1.05


def test_arrays_are_loops_of_single_answers() -> None:
    random = np.random.default_rng(0)
    loads = np.exp(random.uniform(0, 6, 8))
    i, o = np.exp(random.uniform(3, 9, 8)), np.exp(random.uniform(2, 7, 8))
    for own in (server(0), server(1)):
        for name, solve in (("concurrency", fixed_concurrency), ("rate", at_rate)):
            given_loads = loads if name == "concurrency" else loads / 100
            together = solve(own, **{name: given_loads}, input_tokens=i, output_tokens=o)
            for place in range(8):
                one = solve(own, **{name: given_loads[place]}, input_tokens=i[place], output_tokens=o[place])
                for column in fields(SteadyState):
                    expected = getattr(together, column.name)[place]
                    assert getattr(one, column.name)[0] == pytest.approx(expected, rel=1e-12), column.name
        tops = highest_rate(own, input_tokens=i, output_tokens=o)
        assert tops[3] == pytest.approx(highest_rate(own, input_tokens=i[3], output_tokens=o[3])[0])


def test_sizes_broadcast() -> None:
    found = fixed_concurrency(server(), concurrency=[1, 8, 64], **SIZES)
    assert found.tpot_seconds.shape == (3,)
    assert (np.diff(found.tpot_seconds) > 0).all()


@pytest.mark.parametrize("name", ["replicas", "attention_data", "pipeline"])
def test_groups_share_the_users(name: str) -> None:
    one = replace(server(), coefficients=EngineCoefficients(values={"request_seconds": 0.0}))
    four = replace(one, **{name: 4})
    alone, together = (fixed_concurrency(own, concurrency=users, **SIZES) for own, users in ((one, 32), (four, 128)))
    assert value(together, "capacity") == pytest.approx(4 * value(alone, "capacity"))
    if name != "attention_data":  # whose groups wait for each other
        assert value(together, "tpot_seconds") == pytest.approx(value(alone, "tpot_seconds"))
        assert value(together, "requests_per_second") == pytest.approx(4 * value(alone, "requests_per_second"))
        assert highest_rate(four, **SIZES)[0] == pytest.approx(4 * highest_rate(one, **SIZES)[0])
        rates = [at_rate(own, rate=rate, **SIZES) for own, rate in ((one, 4.0), (four, 16.0))]
        assert value(rates[0], "ttft_seconds") == pytest.approx(value(rates[1], "ttft_seconds"))


@pytest.mark.parametrize("drafts", [1, 2, 3])
@pytest.mark.parametrize("users", [1, 8, 32])
def test_guessed_tokens_help_a_server_with_few_users(drafts: int, users: int) -> None:
    plain, drafted = (
        fixed_concurrency(replace(server(1), drafts=count), concurrency=users, **SIZES) for count in (0, drafts)
    )
    assert value(plain, "tpot_seconds") / (1 + drafts) < value(drafted, "tpot_seconds") < value(plain, "tpot_seconds")


def test_where_nothing_fits() -> None:
    full = replace(server(), sequences=lambda context: 0.4 + 0 * np.asarray(context))
    closed, opened = fixed_concurrency(full, concurrency=9, **SIZES), at_rate(full, rate=2.0, **SIZES)
    for found in (closed, opened):
        assert not found.fits[0]
        assert not found.stable[0]
        assert value(found, "ttft_seconds") == value(found, "tpot_seconds") == value(found, "e2e_seconds") == np.inf
        assert value(found, "requests_per_second") == value(found, "running") == 0
        assert value(found, "capacity") == pytest.approx(0.4)
    assert (value(closed, "waiting"), value(opened, "waiting")) == (9, np.inf)
    assert highest_rate(full, **SIZES)[0] == 0


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), [4, 0]])
@pytest.mark.parametrize("name", ["concurrency", "input_tokens", "output_tokens"])
def test_sizes_that_are_no_sizes(name: str, wrong: Any) -> None:
    with pytest.raises(InputError, match=f"{name} must be positive"):
        fixed_concurrency(server(), **({"concurrency": 4} | SIZES | {name: wrong}))


def test_all_wrong_sizes_are_named() -> None:
    with pytest.raises(InputError, match="rate, output_tokens must be positive numbers"):
        at_rate(server(), rate=-1, input_tokens=5, output_tokens=0)
