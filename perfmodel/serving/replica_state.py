"""What the event loop keeps of requests and replicas, and the small moves on it.

All running sequences of a replica grow together, so that one clock of tokens stands for all their lengths: a sequence
that joined at clock g with c tokens in its cache holds c − g + clock of them now. `offset` is c − g; the sum of all
offsets gives the mean context, the number of offsets by their remainder modulo the block size gives the blocks that any
number of further tokens takes, and a heap of the clocks at which answers end gives the next finish.

May import: compiling.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from perfmodel.serving.compiling import compiled

Records: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Record: TypeAlias = Any  # one of them, written through

NONE = -1
IDLE, WAKING, PROMPTS, DECODING = 0, 1, 2, 3  # what a replica is doing

REQUEST = np.dtype(
    [
        ("arrival", "f8"),  # in a closed loop, until it is sent: how long its user thinks
        ("start", "f8"), ("first", "f8"), ("finish", "f8"),
        ("delay", "f8"),  # outside of the engine: load generator, tokeniser, network
        ("last", "f8"),  # when its newest token came, where that is not its replica's last decode step
        ("offset", "i8"),  # tokens in its cache, less its replica's clock of tokens
        ("prompt", "i4"), ("output", "i4"), ("made", "i4"),  # tokens; `made` is kept up only while it does not decode
        ("computed", "i4"),  # tokens of its prompt in the cache, while it is computed or moves; 0 where none are
        ("group", "i4"),  # of requests whose prompts start alike; NONE for none
        ("next", "i4"),  # behind it in the queue
        ("older", "i4"), ("newer", "i4"),  # running requests in the order of their admission
        ("choice", "i4"), ("replica", "i4"),  # its number in the router's list, and where it came to
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


# a scheduler's settings, and what the loop counts; `EnginePolicy` and the settings of `simulate` say what they mean
RULES = np.dtype(
    [
        ("mixed", "i8"), ("whole", "i8"), ("chunk", "i8"), ("max_sequences", "i8"), ("block", "i8"),
        ("step_tokens", "i8"),  # of each running sequence: one, and those drafted
        ("accepted", "f8"), ("shared_blocks", "i8"), ("prompt_replicas", "i8"), ("router", "i8"), ("users", "i8"),
        ("shared_row", "i8"), ("chunk_row", "i8"),  # of the step table's layout
        ("transfer_seconds", "f8"),  # for each token of a cache
        ("delay_seconds", "f8"), ("delay_token_seconds", "f8"), ("delay_flight_seconds", "f8"), ("delay_steps", "f8"),
        ("pending", "i8"), ("issued", "i8"), ("flight", "i8"),  # requests: to arrive later, sent so far, unanswered
        ("places", "i8"), ("stride", "i8"), ("events", "i8"),  # of the timeline
    ],
    align=True,
)  # fmt: skip

# rows of World.lanes, of one replica each: a heap of the clocks at which answers end, and whose they are; prompts that
# end with the step under way; sequences that have not decoded since they joined; sequences by the remainder of their
# offset modulo the block
TARGETS, HOLDERS, COMPLETING, FRESH, PHASES = range(5)
LANES = 5
# columns of World.starts: users (NONE: not kept), and neighbours in the list of those nobody uses
USERS, OLDER, NEWER = range(3)


class World(NamedTuple):
    """Everything that a simulation holds, in few arrays: compiled functions hand it on field by field.

    Args:
        requests: of `REQUEST`, (n,). replicas: of `REPLICA`, (replicas,). lanes: (replicas, `LANES`, places).
        starts: of groups of prompts, (replicas, groups + 1, 3); the last group is the two ends of the list.
        times: step tables laid out: of replicas that decode, and of those that compute prompts only (2, rows, knots).
        later_seconds, later: a heap of requests that arrive later. settings: of `RULES`, (1,).
    """

    requests: Records
    replicas: Records
    lanes: Records
    starts: Records
    times: Records
    later_seconds: Records
    later: Records
    settings: Records


@compiled
def tokens_after(steps: int, accepted: float) -> int:
    """Tokens of a sequence after that many steps; a fraction of a token waits for a later step."""
    if accepted == 1.0:
        return steps
    return math.floor(steps * accepted + 1e-9)


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
def growth(lanes: Records, r: int, block: int, decoding: int, clock: int, tokens: int) -> int:
    """Blocks that the next `tokens` tokens of every decoding sequence take."""
    blocks = tokens // block * decoding
    left = tokens % block
    phase = (-clock) % block
    while left > 0:  # the sequences that now fill their last block
        blocks += lanes[r, PHASES, phase]
        phase = phase - 1 if phase > 0 else block - 1
        left -= 1
    return blocks


@compiled
def push_target(lanes: Records, r: int, size: int, target: int, holder: int) -> None:
    """Onto a heap of `size`."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if lanes[r, TARGETS, parent] <= target:
            break
        lanes[r, TARGETS, child] = lanes[r, TARGETS, parent]
        lanes[r, HOLDERS, child] = lanes[r, HOLDERS, parent]
        child = parent
    lanes[r, TARGETS, child] = target
    lanes[r, HOLDERS, child] = holder


@compiled
def drop_target(lanes: Records, r: int, size: int, place: int) -> None:
    """An entry off a heap of `size`: up to the top, and the last one down from there."""
    while place > 0:
        parent = (place - 1) >> 1
        lanes[r, TARGETS, place] = lanes[r, TARGETS, parent]
        lanes[r, HOLDERS, place] = lanes[r, HOLDERS, parent]
        place = parent
    size -= 1
    target, holder = lanes[r, TARGETS, size], lanes[r, HOLDERS, size]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and lanes[r, TARGETS, child + 1] < lanes[r, TARGETS, child]:
            child += 1
        if lanes[r, TARGETS, child] >= target:
            break
        lanes[r, TARGETS, place] = lanes[r, TARGETS, child]
        lanes[r, HOLDERS, place] = lanes[r, HOLDERS, child]
        place = child
    lanes[r, TARGETS, place] = target
    lanes[r, HOLDERS, place] = holder


@compiled
def _earlier(when: float, i: int, other_when: float, other: int) -> bool:
    """Of two requests at the same time the one with the lower number."""
    return when < other_when or (when == other_when and i < other)


@compiled
def push_later(seconds: Records, later: Records, size: int, when: float, i: int) -> None:
    """Onto the heap of requests that arrive later."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if not _earlier(when, i, seconds[parent], later[parent]):
            break
        seconds[child] = seconds[parent]
        later[child] = later[parent]
        child = parent
    seconds[child] = when
    later[child] = i


@compiled
def pop_later(seconds: Records, later: Records, size: int) -> None:
    """The earliest off the heap of requests that arrive later."""
    size -= 1
    when, i = seconds[size], later[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _earlier(seconds[child + 1], later[child + 1], seconds[child], later[child]):
            child += 1
        if not _earlier(seconds[child], later[child], when, i):
            break
        seconds[place] = seconds[child]
        later[place] = later[child]
        place = child
    seconds[place] = when
    later[place] = i


@compiled
def enqueue(requests: Records, replica: Record, i: int) -> None:
    """Behind the last in the queue."""
    requests[i]["next"] = NONE
    if replica["tail"] >= 0:
        requests[replica["tail"]]["next"] = i
    else:
        replica["head"] = i
    replica["tail"] = i
    replica["waiting"] += 1


@compiled
def enqueue_first(requests: Records, replica: Record, i: int) -> None:
    requests[i]["next"] = replica["head"]
    replica["head"] = i
    if replica["tail"] < 0:
        replica["tail"] = i
    replica["waiting"] += 1


@compiled
def dequeue(requests: Records, replica: Record) -> None:
    """The head leaves the queue."""
    replica["head"] = requests[replica["head"]]["next"]
    if replica["head"] < 0:
        replica["tail"] = NONE
    replica["waiting"] -= 1


@compiled
def link_newest(requests: Records, replica: Record, i: int) -> None:
    """Among the running."""
    requests[i]["older"] = replica["newest"]
    requests[i]["newer"] = NONE
    if replica["newest"] >= 0:
        requests[replica["newest"]]["newer"] = i
    replica["newest"] = i
    replica["running"] += 1


@compiled
def unlink(requests: Records, replica: Record, i: int) -> None:
    older, newer = requests[i]["older"], requests[i]["newer"]
    if older >= 0:
        requests[older]["newer"] = newer
    if newer >= 0:
        requests[newer]["older"] = older
    else:
        replica["newest"] = older
    replica["running"] -= 1
