"""What the event loop keeps of requests and replicas, and the small moves on it.

All running sequences of a replica grow together, so that one clock of tokens stands for all their lengths: a sequence
that joined at clock g with c tokens in its cache holds c − g + clock of them now. `offset` is c − g; the sum of all
offsets gives the mean context, the number of offsets by their remainder modulo the block size gives the blocks that any
number of further tokens takes, and a heap of the clocks at which answers end gives the next finish.

May import: step_sums, compiling.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from perfmodel.serving.compiling import compiled
from perfmodel.serving.step_sums import StepTimes

Records: TypeAlias = np.ndarray[Any, np.dtype[Any]]

NONE = -1
IDLE, WAKING, PROMPTS, DECODING = 0, 1, 2, 3  # what a replica is doing

REQUEST = np.dtype(
    [
        ("arrival", "f8"), ("start", "f8"), ("first", "f8"), ("finish", "f8"),
        ("delay", "f8"),  # outside of the engine: load generator, tokeniser, network
        ("last", "f8"),  # when its newest token came, where that is not its replica's last decode step
        ("offset", "i8"),  # tokens in its cache, less its replica's clock of tokens
        ("prompt", "i4"), ("output", "i4"), ("made", "i4"),  # tokens; `made` is kept up only while it does not decode
        ("computed", "i4"),  # tokens of its prompt in the cache, while it is being computed
        ("group", "i4"),  # of requests whose prompts start alike; NONE for none
        ("next", "i4"),  # behind it in the queue
        ("older", "i4"), ("newer", "i4"),  # running requests in the order of their admission
        ("replica", "i4"),
        ("moved", "i4"),  # 1: its cache came from a replica that computes prompts, and was not yet lost
    ],
    align=True,
)  # fmt: skip

REPLICA = np.dtype(
    [
        ("clock", "f8"), ("end", "f8"),  # of the steps under way
        ("last_decode", "f8"),  # end of the last step that made tokens of running sequences
        ("link_free", "f8"), ("busy", "f8"), ("running_area", "f8"), ("blocks_area", "f8"),
        ("doing", "i8"), ("steps", "i8"),  # steps under way that running sequences take part in
        ("decode_steps", "i8"), ("tokens", "i8"),  # of each sequence since the start: the clock of tokens
        ("offsets", "i8"),
        ("decoding", "i8"), ("running", "i8"), ("waiting", "i8"),
        ("capacity", "i8"), ("used", "i8"), ("unused", "i8"), ("most_used", "i8"),  # blocks; unused: kept starts
        ("head", "i8"), ("tail", "i8"), ("newest", "i8"), ("partial", "i8"),
        ("completing", "i8"), ("fresh", "i8"),
        ("preemptions", "i8"), ("hits", "i8"),
    ],
    align=True,
)  # fmt: skip


class Rules(NamedTuple):
    """A scheduler's settings; `EnginePolicy` and the settings of `simulate` say what they mean."""

    mixed: bool
    whole: bool
    chunk: int
    max_sequences: int
    block: int
    step_tokens: int  # of each running sequence: one, and those drafted
    accepted: float
    shared_blocks: int
    prompt_replicas: int
    router: int
    transfer_seconds: float  # for each token of a cache
    delay_seconds: float
    delay_token_seconds: float
    delay_flight_seconds: float
    delay_steps: float
    users: int


class World(NamedTuple):
    """Everything that a simulation holds; rows are replicas.

    Args:
        choices: the replica of each request, counted in its pool, where the router leaves it to a list.
        targets, holders: heaps of the clocks at which answers end, and whose they are. completing: prompts that end
            with the step under way. fresh: sequences that have not decoded since they joined. phases: sequences by
            the remainder of their offset modulo the block.
        starts: of groups of prompts: users (NONE: not kept), and neighbours in the list of those nobody uses, least
            recent first; its last column is the list's two ends.
        pending_seconds, pending: a heap of requests that arrive later. think_seconds: of users between requests.
        counts: pending, issued, waiting places in the timeline, its stride, events.
    """

    requests: Records
    replicas: Records
    choices: Records
    targets: Records
    holders: Records
    completing: Records
    fresh: Records
    phases: Records
    starts: Records
    pending_seconds: Records
    pending: Records
    think_seconds: Records
    gaps: Records
    timeline: Records
    counts: Records
    times: StepTimes
    prompt_times: StepTimes
    rules: Rules


PENDING, ISSUED, PLACES, STRIDE, EVENTS, FLIGHT = range(6)  # of World.counts
USERS, OLDER, NEWER = range(3)  # of World.starts


@compiled
def tokens_after(steps: int, accepted: float) -> int:
    """Tokens of a sequence after that many steps; a fraction of a token waits for a later step."""
    if accepted == 1.0:
        return steps
    return int(math.floor(steps * accepted + 1e-9))


@compiled
def steps_to(tokens: int, accepted: float) -> int:
    """The first step after which there are that many tokens."""
    if accepted == 1.0:
        return tokens
    steps = int(tokens / accepted)
    while tokens_after(steps, accepted) < tokens:
        steps += 1
    return steps


@compiled
def ceil_blocks(tokens: int, block: int) -> int:
    return (tokens + block - 1) // block


@compiled
def growth(phases: Records, decoding: int, clock: int, tokens: int) -> int:
    """Blocks that the next `tokens` tokens of every decoding sequence take; phases of one replica."""
    block = len(phases)
    blocks = tokens // block * decoding
    for t in range(tokens % block):
        blocks += phases[(-(clock + t)) % block]
    return blocks


@compiled
def push_target(targets: Records, holders: Records, size: int, target: int, holder: int) -> None:
    """Onto a heap of `size`."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if targets[parent] <= target:
            break
        targets[child] = targets[parent]
        holders[child] = holders[parent]
        child = parent
    targets[child] = target
    holders[child] = holder


@compiled
def pop_target(targets: Records, holders: Records, size: int) -> None:
    """The least off a heap of `size`."""
    _refill(targets, holders, size - 1, 0)


@compiled
def drop_target(targets: Records, holders: Records, size: int, place: int) -> None:
    """An entry off a heap of `size`: up to the top, and off."""
    target, holder = targets[place], holders[place]
    while place > 0:
        parent = (place - 1) >> 1
        targets[place] = targets[parent]
        holders[place] = holders[parent]
        place = parent
    targets[0] = target
    holders[0] = holder
    _refill(targets, holders, size - 1, 0)


@compiled
def _refill(targets: Records, holders: Records, size: int, hole: int) -> None:
    """The last entry into a hole near the top, and down to its place; `size` counts what remains."""
    target, holder = targets[size], holders[size]
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and targets[child + 1] < targets[child]:
            child += 1
        if targets[child] >= target:
            break
        targets[hole] = targets[child]
        holders[hole] = holders[child]
        hole = child
    targets[hole] = target
    holders[hole] = holder


@compiled
def enqueue(requests: Records, replica: Records, i: int) -> None:
    """Behind the last in the queue."""
    requests[i]["next"] = NONE
    if replica["tail"] >= 0:
        requests[replica["tail"]]["next"] = i
    else:
        replica["head"] = i
    replica["tail"] = i
    replica["waiting"] += 1


@compiled
def enqueue_first(requests: Records, replica: Records, i: int) -> None:
    requests[i]["next"] = replica["head"]
    replica["head"] = i
    if replica["tail"] < 0:
        replica["tail"] = i
    replica["waiting"] += 1


@compiled
def dequeue(requests: Records, replica: Records) -> None:
    """The head leaves the queue."""
    replica["head"] = requests[replica["head"]]["next"]
    if replica["head"] < 0:
        replica["tail"] = NONE
    replica["waiting"] -= 1


@compiled
def link_newest(requests: Records, replica: Records, i: int) -> None:
    """Among the running."""
    requests[i]["older"] = replica["newest"]
    requests[i]["newer"] = NONE
    if replica["newest"] >= 0:
        requests[replica["newest"]]["newer"] = i
    replica["newest"] = i
    replica["running"] += 1


@compiled
def unlink(requests: Records, replica: Records, i: int) -> None:
    older, newer = requests[i]["older"], requests[i]["newer"]
    if older >= 0:
        requests[older]["newer"] = newer
    if newer >= 0:
        requests[newer]["older"] = older
    else:
        replica["newest"] = older
    replica["running"] -= 1
