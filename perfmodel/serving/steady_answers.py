"""Steady state of a deployment: at fixed concurrency, at an arrival rate, and the highest rate it can sustain.

    state = fixed_concurrency(server, concurrency=64, input_tokens=2000, output_tokens=300)
    state = at_rate(server, rate=8.0, input_tokens=2000, output_tokens=300)

All sizes may be arrays of one length. A rate above the highest stable one has no steady state: its latencies are
infinite and `stable` says so. May import: steady_state and below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.steady_state import (
    QUEUE,
    SETTLING,
    Loop,
    Steps,
    latencies,
    latency_terms,
    loop_steps,
    settled_batch,
    waiting_seconds,
)
from perfmodel.serving.step_table import Array, StepTable

Over: TypeAlias = Literal["concurrency", "rate"]  # what a load is: requests in flight, or requests per second
LITTLE_ROUNDS = 25  # halvings of the bracket around the users that a rate keeps in flight: 1e-7 of it is left
WHOLE_PROMPT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the closed form needs of a deployment.

    Args:
        sequences: context in tokens -> sequences of one batch that one attention rank can run at once (may be below 1).
        chunk_tokens: of a prompt in one step. attention_data: ranks with sequences of their own. pipeline: batches in
            flight. drafts: tokens guessed ahead in each step. replicas: servers that share the load evenly.
    """

    table: StepTable
    coefficients: EngineCoefficients
    sequences: Callable[[Any], Any]
    chunk_tokens: int
    attention_data: int = 1
    drafts: int = 0
    replicas: int = 1
    pipeline: float = 1.0

    @property
    def groups(self) -> float:
        """Groups of users that run beside each other and do not share steps."""
        return self.attention_data * self.pipeline * self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyState:
    """Means over requests, and rates of all replicas together; arrays of one length.

    Args:
        running: requests that decode, rate·(o − 1)·TPOT; waiting: those that wait for a place or their first token,
            rate·TTFT (Little's law).
        place_seconds: of TTFT, the wait for a place among those that run.
        stable: whether there is a steady state. fits: whether at least one sequence fits into memory.
        capacity: sequences that can run at once; below 1 where none fits.
    """

    ttft_seconds: Array
    tpot_seconds: Array
    e2e_seconds: Array
    requests_per_second: Array
    running: Array
    waiting: Array
    stable: np.ndarray[Any, np.dtype[np.bool_]]
    fits: np.ndarray[Any, np.dtype[np.bool_]]
    capacity: Array
    place_seconds: Array


def state_at(server: Server, over: Over, load: Any, *, input_tokens: Any, output_tokens: Any) -> SteadyState:
    """`fixed_concurrency` or `at_rate`, by what the load is. Errors as theirs."""
    if over == "rate":
        return at_rate(server, rate=load, input_tokens=input_tokens, output_tokens=output_tokens)
    return fixed_concurrency(server, concurrency=load, input_tokens=input_tokens, output_tokens=output_tokens)


def fixed_concurrency(server: Server, *, concurrency: Any, input_tokens: Any, output_tokens: Any) -> SteadyState:
    """The steady state of users who each wait for their answer before they ask again.

    Args:
        concurrency: requests in flight, over all replicas. input_tokens, output_tokens: of a request, on the mean.

    Raises:
        InputError: a size that is not positive.
    """
    n, i, o = _columns(concurrency=concurrency, input_tokens=input_tokens, output_tokens=output_tokens)
    groups = server.groups
    loop, tpot, ttft, fits = _settled(server, np.maximum(n / groups, 1 / groups), i, o)
    place = waiting_seconds(loop, tpot, ttft)
    ttft = ttft + place
    e2e = ttft + tpot * np.maximum(o - 1, 0)
    rate = np.where(fits, n / e2e, 0.0)
    running = rate * (e2e - ttft)
    return SteadyState(
        ttft_seconds=np.where(fits, ttft, np.inf),
        tpot_seconds=np.where(fits, tpot, np.inf),
        e2e_seconds=np.where(fits, e2e, np.inf),
        requests_per_second=rate,
        running=running,
        waiting=n - running,
        stable=np.asarray(fits),
        fits=np.asarray(fits),
        capacity=_room(server, i, o) * groups,
        place_seconds=place,
    )


def at_rate(server: Server, *, rate: Any, input_tokens: Any, output_tokens: Any) -> SteadyState:
    """The steady state under requests that arrive at a rate, at random (Poisson).

    The users in flight are those whose throughput is the rate (Little's law); their first tokens do not see the burst
    at the start of a load test, and wait for the prompts ahead as in a queue with Poisson arrivals.

    Args:
        rate: requests per second, over all replicas.

    Raises:
        InputError: a size that is not positive.
    """
    r, i, o = _columns(rate=rate, input_tokens=input_tokens, output_tokens=output_tokens)
    own = r / server.groups
    users = _users_of(server, own, i, o)
    top = _throughput(server, np.maximum(_room(server, i, o), 1.0), i, o)
    return _open_state(server, users, own, i, o, top=top, settled=_settled(server, users, i, o)[1])


def open_curve(server: Server, *, users: Any, input_tokens: Any, output_tokens: Any) -> SteadyState:
    """The steady states of `at_rate` at the rates that keep so many requests of each rank in flight.

    A curve over rates at the price of one of them: nothing is searched. The rates are `requests_per_second`.

    Args:
        users: requests in flight of one rank, on the mean; where as many as have a place are, the state is not stable.

    Raises:
        InputError: a size that is not positive.
    """
    n, i, o = _columns(users=users, input_tokens=input_tokens, output_tokens=output_tokens)
    # users and all places side by side: an evaluation costs the same for one load and for a hundred
    twice = np.concatenate([n, np.maximum(_room(server, i, o), 1.0)])
    _, tpot, ttft, _ = _settled(server, twice, np.tile(i, 2), np.tile(o, 2))
    own, top = np.split(twice / (ttft + tpot * np.maximum(np.tile(o, 2) - 1, 0)), 2)
    return _open_state(server, n, own, i, o, top=top, settled=tpot[: len(n)])


def _open_state(
    server: Server, users: Array, own: Array, i: Array, o: Array, *, top: Array, settled: Array
) -> SteadyState:
    """The state of each rank at its own rate, which keeps that many users in flight.

    Args:
        top: rate of a rank whose every place is taken. settled: TPOT of so many users in a closed loop.
    """
    groups, room = server.groups, _room(server, i, o)
    fits = room >= 1
    stable = fits & (own < top)
    tpot, ttft = _open_latencies(server, users, own, i, o, settled)
    e2e = ttft + tpot * np.maximum(o - 1, 0)
    endless = np.where(stable, 0.0, np.inf)
    served = np.where(fits, np.minimum(own, top), 0.0)
    return SteadyState(
        ttft_seconds=ttft + endless,
        tpot_seconds=tpot + np.where(fits, 0.0, np.inf),
        e2e_seconds=e2e + endless,
        requests_per_second=served * groups,
        running=served * (e2e - ttft) * groups,
        waiting=own * ttft * groups + endless,
        stable=stable,
        fits=fits,
        capacity=room * groups,
        place_seconds=np.zeros_like(own),
    )


def highest_rate(server: Server, *, input_tokens: Any, output_tokens: Any) -> Array:
    """Requests per second that the server can sustain: its throughput with every place taken; 0 where none fits."""
    i, o = _columns(input_tokens=input_tokens, output_tokens=output_tokens)
    room = _room(server, i, o)
    top = _throughput(server, np.maximum(room, 1.0), i, o) * server.groups
    return np.where(room >= 1, top, 0.0)


def _users_of(server: Server, own: Array, i: Array, o: Array) -> Array:
    """Requests in flight of one rank whose throughput is its own rate."""
    low, high = np.full_like(own, 1e-9), np.maximum(_room(server, i, o), 1.0)
    for _ in range(LITTLE_ROUNDS):
        middle = (low + high) / 2
        served = _throughput(server, middle, i, o)
        low, high = np.where(served < own, middle, low), np.where(served < own, high, middle)
    return (low + high) / 2


def _columns(**sizes: Any) -> list[Array]:
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(size, dtype=float)) for size in sizes.values()))
    wrong = [name for name, own in zip(sizes, columns, strict=True) if not np.all(np.isfinite(own) & (own > 0))]
    if wrong:
        raise InputError(f"{', '.join(wrong)} must be positive numbers")
    return [np.array(own) for own in columns]


def _room(server: Server, i: Array, o: Array) -> Array:
    """Sequences that one attention rank can run at once; below 1 where not even one fits."""
    return np.asarray(server.sequences(i + o / 2) + 0 * i, dtype=float)


def _loop(server: Server, users: Array, i: Array, o: Array) -> tuple[Loop, Any]:
    room = _room(server, i, o)
    loop = Loop(
        users=users,
        running=np.minimum(users, np.maximum(room, 1.0)),
        input_tokens=i,
        output_tokens=o,
        chunk_tokens=float(server.chunk_tokens or WHOLE_PROMPT),
        mixed=server.table.mixed,
        attention_data=server.attention_data,
        drafts=server.drafts,
        pipeline=server.pipeline,
    )
    return loop, room >= 1


def _settled(server: Server, users: Array, i: Array, o: Array) -> tuple[Loop, Array, Array, Any]:
    """(loop, TPOT, TTFT without waits for a place, fits) of users of one rank."""
    loop, fits = _loop(server, users, i, o)
    batch = _settled_batch(server, loop)
    tpot, ttft = latencies(loop, loop_steps(server.table, loop, batch), batch, server.coefficients)
    return loop, tpot, ttft, fits


def _settled_batch(server: Server, loop: Loop) -> Array:
    """Sequences that decode at a time, of one rank."""
    batch = np.asarray(loop.running)
    for _ in range(SETTLING - 1):
        tpot, ttft = latencies(loop, loop_steps(server.table, loop, batch), batch, server.coefficients)
        batch = settled_batch(loop, tpot, ttft)
    return batch


def _throughput(server: Server, users: Array, i: Array, o: Array) -> Array:
    """Requests per second of users of one rank who always have one in flight."""
    _, tpot, ttft, _ = _settled(server, users, i, o)
    return users / (ttft + tpot * np.maximum(o - 1, 0))


def _open_latencies(
    server: Server, users: Array, rate: Array, i: Array, o: Array, settled: Array
) -> tuple[Array, Array]:
    """(TPOT, TTFT) under Poisson arrivals, where that many users are in flight.

    Args:
        settled: their TPOT in a closed loop.
    """
    terms = _open_terms(server, users, rate, i, o, settled)
    return np.asarray(sum(terms.tpot.values())), np.asarray(sum(terms.ttft.values()))


# --------------------------------------------------------------------------------------- what they are made of


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTerms:
    """A loop of one rank, its steps at the running batch, and the terms of TPOT and TTFT without waits for a place."""

    loop: Loop
    batch: Array
    steps: Steps
    tpot: dict[str, Array]
    ttft: dict[str, Array]


def terms_at_concurrency(server: Server, *, concurrency: Any, input_tokens: Any, output_tokens: Any) -> LoopTerms:
    """What TPOT and TTFT of `fixed_concurrency` are made of. Arguments and errors as there."""
    n, i, o = _columns(concurrency=concurrency, input_tokens=input_tokens, output_tokens=output_tokens)
    loop, _ = _loop(server, np.maximum(n / server.groups, 1 / server.groups), i, o)
    batch = _settled_batch(server, loop)
    steps = loop_steps(server.table, loop, batch)
    tpot, ttft = latency_terms(loop, steps, batch, server.coefficients)
    return LoopTerms(loop=loop, batch=batch, steps=steps, tpot=tpot, ttft=ttft)


def terms_at_rate(server: Server, *, rate: Any, input_tokens: Any, output_tokens: Any) -> LoopTerms:
    """What TPOT and TTFT of `at_rate` are made of. Arguments and errors as there."""
    r, i, o = _columns(rate=rate, input_tokens=input_tokens, output_tokens=output_tokens)
    own = r / server.groups
    users = _users_of(server, own, i, o)
    return _open_terms(server, users, own, i, o, _settled(server, users, i, o)[1])


def _open_terms(server: Server, users: Array, rate: Array, i: Array, o: Array, settled: Array) -> LoopTerms:
    loop, _ = _loop(server, users, i, o)
    batch = np.clip(rate * o * settled, 1e-9, loop.running)
    steps = loop_steps(server.table, loop, batch)
    alone = Loop(**{name: getattr(loop, name) for name in Loop.__dataclass_fields__} | {"running": 1.0})
    tpot, ttft = latency_terms(alone, steps, batch, server.coefficients)  # of one user: no queue and no burst
    _, prompt_tokens = loop.prompts(batch)
    extra = np.where(loop.mixed, np.maximum(steps.with_prompts - steps.decode, 0.0), steps.with_prompts)
    load = np.minimum(rate * extra * i / prompt_tokens, 0.999)
    ttft[QUEUE] = ttft[QUEUE] + load / (2 * (1 - load)) * extra * i / prompt_tokens
    return LoopTerms(loop=loop, batch=batch, steps=steps, tpot=tpot, ttft=ttft)
