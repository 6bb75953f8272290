"""What users ask of a server: when requests arrive, how long prompts and answers are.

Open loop: requests arrive whether or not earlier ones are answered, at a constant rate, as a Poisson process, with
gamma-distributed gaps, in bursts, or at the times of a trace. Closed loop: each of n users sends the next request when
the last one is answered, after thinking. Lengths are fixed, lognormal, or those of a trace. All is drawn from one seed:
the same seed gives the same requests, and the same lengths at any rate.

May import: errors. To add an arrival process: a function that returns times, and a line in `ARRIVALS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from perfmodel.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Counts: TypeAlias = np.ndarray[Any, np.dtype[np.int32]]

MAX_REQUESTS = 10_000_000  # about a gigabyte of state
MAX_TOKENS = 1 << 24
CLOSED = "closed"
_BURST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests in the order of their arrival.

    Args:
        arrival_seconds: ascending, (n,). In a closed loop only the first of each user count.
        input_tokens, output_tokens: lengths of prompts and answers, at least 1 each, (n,).
        users: of a closed loop; 0 for an open one.
        think_seconds: between an answer and its user's next request, (n,) by request; empty for none.
        name: for tables: "poisson, 4 requests/s". notes: what to know about it.
    """

    arrival_seconds: Array
    input_tokens: Counts
    output_tokens: Counts
    users: int = 0
    think_seconds: Array = field(default_factory=lambda: np.zeros(0))
    name: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    @property
    def rate(self) -> float:
        """Requests per second that arrive in an open loop; infinite where all arrive at once."""
        span = float(self.arrival_seconds[-1] - self.arrival_seconds[0])
        return (len(self) - 1) / span if span > 0 else math.inf if len(self) > 1 else 0.0


def check_workload(workload: Workload) -> None:
    """
    Raises:
        InputError: naming everything that is wrong with it.
    """
    arrivals, problems = workload.arrival_seconds, []
    lengths = {"input": workload.input_tokens, "output": workload.output_tokens}
    if not 1 <= len(workload) <= MAX_REQUESTS:
        problems.append(f"needs between 1 and {MAX_REQUESTS:,} requests, not {len(workload):,}")
    if any(len(counts) != len(workload) for counts in lengths.values()):
        problems.append(
            f"{len(workload):,} arrivals, but {' and '.join(f'{len(c):,}' for c in lengths.values())} lengths"
        )
    if not np.all(np.isfinite(arrivals)) or np.any(arrivals < 0):
        problems.append("arrivals must be finite and not negative")
    elif np.any(np.diff(arrivals) < 0):
        problems.append(f"arrivals must ascend; request {int(np.argmax(np.diff(arrivals) < 0)) + 2} comes too early")
    for name, counts in lengths.items():
        if len(counts) and not (counts.min() >= 1 and counts.max() <= MAX_TOKENS):
            problems.append(f"{name} tokens must lie between 1 and {MAX_TOKENS:,}")
    thinking = workload.think_seconds
    if len(thinking) and (len(thinking) != len(workload) or not np.all(np.isfinite(thinking) & (thinking >= 0))):
        problems.append("thinking takes one finite time, not negative, for each request")
    if workload.users < 0:
        problems.append(f"{workload.users} users")
    if problems:
        raise InputError(f"workload: {'; '.join(problems)}")


# ------------------------------------------------------------------------------------------------------ arrivals


def constant_arrivals(requests: int, rate: float) -> Array:
    """One request every 1/rate seconds, the first at 0."""
    return np.arange(requests) / rate


def poisson_arrivals(requests: int, rate: float, random: np.random.Generator) -> Array:
    """Independent arrivals: exponential gaps of mean 1/rate."""
    return np.cumsum(random.exponential(1.0, requests)) / rate


def gamma_arrivals(requests: int, rate: float, random: np.random.Generator, burstiness: float) -> Array:
    """Gamma-distributed gaps of mean 1/rate and squared coefficient of variation 1/burstiness.

    Args:
        burstiness: the shape, as load generators call it: 1 is Poisson, below arrivals cluster, above they even out.
    """
    return np.cumsum(random.gamma(burstiness, 1.0 / burstiness, requests)) / rate


def on_off_arrivals(
    requests: int, rate: float, random: np.random.Generator, on_seconds: float, off_seconds: float
) -> Array:
    """Poisson arrivals while a source is on, none while it is off; `rate` on the mean of both."""
    on_time = np.cumsum(random.exponential(1.0, requests)) / (rate * (on_seconds + off_seconds) / on_seconds)
    return on_time + np.floor(on_time / on_seconds) * off_seconds


ARRIVALS: dict[str, Callable[..., Array]] = {
    "poisson": lambda requests, rate, random, **_: poisson_arrivals(requests, rate, random),
    "gamma": lambda requests, rate, random, burstiness, **_: gamma_arrivals(requests, rate, random, burstiness),
    "constant": lambda requests, rate, random, **_: constant_arrivals(requests, rate),
    "on-off": lambda requests, rate, random, on_seconds, off_seconds, **_: on_off_arrivals(
        requests, rate, random, on_seconds, off_seconds
    ),
}


# ------------------------------------------------------------------------------------------------------- lengths


def lognormal_lengths(requests: int, mean: float, spread: float, random: np.random.Generator) -> Counts:
    """Whole numbers from a lognormal distribution, at least 1.

    Args:
        mean: tokens. spread: coefficient of variation, standard deviation over mean; 0 for all alike.
    """
    variance = math.log1p(spread * spread)
    drawn = random.standard_normal(requests)  # drawn in any case: other streams do not depend on the spread
    lengths = mean * np.exp(math.sqrt(variance) * drawn - variance / 2)
    return np.clip(np.rint(lengths), 1, MAX_TOKENS).astype(np.int32)


def resampled_lengths(
    requests: int, input_tokens: Counts, output_tokens: Counts, random: np.random.Generator
) -> tuple[Counts, Counts]:
    """(prompts, answers) drawn in pairs from those given, which keeps how they hang together."""
    chosen = random.integers(0, len(input_tokens), requests)
    return input_tokens[chosen], output_tokens[chosen]


# ----------------------------------------------------------------------------------------------------- workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How requests arrive.

    Args:
        process: a name of `ARRIVALS`, or "closed". rate: requests per second of an open loop.
        users: of a closed loop. think_seconds: that each user thinks, on the mean; exponential.
        burstiness: of "gamma". on_seconds, off_seconds: of "on-off".
    """

    process: str = "poisson"
    rate: float = 0.0
    users: int = 0
    think_seconds: float = 0.0
    burstiness: float = 1.0
    on_seconds: float = _BURST_SECONDS
    off_seconds: float = _BURST_SECONDS


def check_arrival(arrival: Arrival) -> None:
    """
    Raises:
        InputError: naming everything that is wrong with it.
    """
    problems = []
    if arrival.process == CLOSED:
        if arrival.users < 1:
            problems.append("a closed loop needs users, at least 1")
        if arrival.rate:
            problems.append("a closed loop has no rate: its users wait for answers")
        if not 0 <= arrival.think_seconds < math.inf:
            problems.append(f"users cannot think for {arrival.think_seconds:g} s")
    elif arrival.process not in ARRIVALS:
        problems.append(f"unknown arrivals '{arrival.process}' (known: {', '.join((*ARRIVALS, CLOSED))})")
    else:
        shape = {"rate": arrival.rate, "burstiness": arrival.burstiness, "on_seconds": arrival.on_seconds}
        problems += [f"{name} must be above 0, not {value:g}" for name, value in shape.items() if not 0 < value < 1e9]
        if not 0 <= arrival.off_seconds < 1e9:
            problems.append(f"off_seconds must not be negative, nor {arrival.off_seconds:g}")
    if problems:
        raise InputError(f"arrivals: {'; '.join(problems)}")


def make_workload(
    arrival: Arrival, input_tokens: Counts, output_tokens: Counts, *, seed: int = 0, notes: tuple[str, ...] = ()
) -> Workload:
    """Requests of given lengths that arrive by a process.

    Raises:
        InputError: the process or a length makes no sense.
    """
    check_arrival(arrival)
    requests = len(input_tokens)
    random = np.random.default_rng([seed, 1])
    if arrival.process == CLOSED:
        thinking = random.exponential(1.0, requests) * arrival.think_seconds
        workload = Workload(
            arrival_seconds=np.zeros(requests), input_tokens=input_tokens, output_tokens=output_tokens,
            users=arrival.users, think_seconds=thinking if arrival.think_seconds else np.zeros(0),
            name=f"closed loop, {arrival.users} users", notes=notes,
        )  # fmt: skip
    else:
        times = ARRIVALS[arrival.process](
            requests, arrival.rate, random, burstiness=arrival.burstiness,
            on_seconds=arrival.on_seconds, off_seconds=arrival.off_seconds,
        )  # fmt: skip
        workload = Workload(
            arrival_seconds=times, input_tokens=input_tokens, output_tokens=output_tokens,
            name=f"{arrival.process}, {arrival.rate:g} requests/s", notes=notes,
        )  # fmt: skip
    check_workload(workload)
    return workload


def drawn_lengths(
    requests: int, input_tokens: float, output_tokens: float, *, spread: float = 0.0, seed: int = 0
) -> tuple[Counts, Counts]:
    """(prompts, answers) of given means, lognormal with the same spread, independent of each other.

    Args:
        input_tokens, output_tokens: means. spread: coefficient of variation; 0 for all alike.

    Raises:
        InputError: naming everything out of range.
    """
    problems = []
    if not 1 <= requests <= MAX_REQUESTS:
        problems.append(f"needs between 1 and {MAX_REQUESTS:,} requests, not {requests:,}")
    for name, mean in (("input", input_tokens), ("output", output_tokens)):
        if not 1 <= mean <= MAX_TOKENS:
            problems.append(f"{name} tokens must lie between 1 and {MAX_TOKENS:,}, not {mean:g}")
    if not 0 <= spread <= 10:
        problems.append(f"a spread of {spread:g} does not lie between 0 and 10; 1 is a standard deviation of the mean")
    if problems:
        raise InputError(f"lengths: {'; '.join(problems)}")
    streams = [np.random.default_rng([seed, stream]) for stream in (2, 3)]
    prompts, answers = (
        lognormal_lengths(requests, mean, spread, random)
        for mean, random in zip((input_tokens, output_tokens), streams, strict=True)
    )
    return prompts, answers
