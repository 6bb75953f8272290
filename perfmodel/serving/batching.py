"""What a replica does next: room for the running, prompts first come first served, and the time of the step.

Plan of a step, as engines with paged caches do it. (1) Every running sequence needs room for its next tokens; while
there is none, the sequence admitted last loses its cache and goes back to the head of the queue, to be computed again.
(2) Unless that happened, requests are admitted in their order, with the blocks of their whole prompt, while blocks,
places and the step's budget of tokens last; a prompt that the budget cuts goes on in the next step. (3) With prompts
there is one step, with the running sequences if the engine mixes. Without, steps up to the next finish, or until blocks
run out, are one run. Starts of prompts that nobody uses are kept while there is room, and given up least recent first.

Several chunks share the launches of one step: the time of the table's smallest chunk counts once.

May import: kept_starts, replica_state, step_sums, compiling.
"""

from __future__ import annotations

import math

from perfmodel.serving.compiling import compiled
from perfmodel.serving.kept_starts import hold, leave_start, use_start
from perfmodel.serving.replica_state import (
    COMPLETING,
    DECODING,
    FRESH,
    HOLDERS,
    IDLE,
    NONE,
    PHASES,
    PROMPTS,
    TARGETS,
    USERS,
    Record,
    Records,
    World,
    ceil_blocks,
    dequeue,
    drop_target,
    enqueue_first,
    growth,
    link_newest,
    push_target,
    steps_to,
    tokens_after,
    unlink,
)
from perfmodel.serving.step_sums import (
    ALONE,
    CONTEXT_KNOTS,
    TOKEN_KNOTS,
    TOKEN_SECONDS,
    chunk_seconds,
    line,
    run_seconds,
)

# ------------------------------------------------------------------------------------------ joining and leaving


@compiled
def join(world: World, r: int, i: int, context: int) -> None:
    """A request whose prompt is computed decodes from now on."""
    request, replica = world.requests[i], world.replicas[r]
    offset = context - replica["tokens"]
    request["offset"] = offset
    replica["offsets"] += offset
    target = replica["tokens"] + request["output"] - request["made"]
    push_target(world.lanes, r, replica["decoding"], target, i)
    replica["decoding"] += 1
    world.lanes[r, PHASES, offset % world.settings[0]["block"]] += 1
    world.lanes[r, FRESH, replica["fresh"]] = i
    replica["fresh"] += 1


@compiled
def leave_decoding(world: World, r: int, i: int) -> int:
    """It decodes no more; the tokens in its cache. The heap is the caller's."""
    request, replica = world.requests[i], world.replicas[r]
    offset = request["offset"]
    replica["decoding"] -= 1
    replica["offsets"] -= offset
    world.lanes[r, PHASES, offset % world.settings[0]["block"]] -= 1
    return offset + replica["tokens"]  # type: ignore[no-any-return]


@compiled
def leave(world: World, r: int, i: int, context: int) -> None:
    """A running request gives up its place and its blocks."""
    blocks = ceil_blocks(context, world.settings[0]["block"])
    group = world.requests[i]["group"]
    if group >= 0:
        blocks -= world.settings[0]["shared_blocks"]
        leave_start(world, r, group)
    world.replicas[r]["used"] -= blocks
    unlink(world.requests, world.replicas[r], i)


@compiled
def _preempt_newest(world: World, r: int) -> None:
    """The request admitted last goes back to the head of the queue, without its cache."""
    replica = world.replicas[r]
    i = replica["newest"]
    request = world.requests[i]
    if i == replica["partial"]:
        replica["partial"] = NONE
        context = request["prompt"] + request["made"]
    else:
        place = 0
        while world.lanes[r, HOLDERS, place] != i:
            place += 1
        request["made"] = request["output"] - (world.lanes[r, TARGETS, place] - replica["tokens"])
        drop_target(world.lanes, r, replica["decoding"], place)
        context = leave_decoding(world, r, i)
        _settle_last(world, r, i)
    request["computed"] = 0
    leave(world, r, i, context)
    enqueue_first(world.requests, replica, i)
    replica["preemptions"] += 1


@compiled
def _settle_last(world: World, r: int, i: int) -> None:
    """Note when a sequence that is about to lose its place had its newest token."""
    replica = world.replicas[r]
    for place in range(replica["fresh"]):
        if world.lanes[r, FRESH, place] == i:  # then its own note holds
            replica["fresh"] -= 1
            world.lanes[r, FRESH, place] = world.lanes[r, FRESH, replica["fresh"]]
            return
    world.requests[i]["last"] = replica["last_decode"]


# -------------------------------------------------------------------------------------------------------- plan


@compiled
def plan(world: World, r: int) -> None:
    """Decide what a replica does from its clock on, and until when."""
    replica, rules = world.replicas[r], world.settings[0]
    replica["completing"] = 0
    replica["steps"] = 0
    preempted = _make_room(world, r)
    times = world.times[1 if r < rules["prompt_replicas"] else 0]
    tokens, seconds = _take_prompts(world, times, r, preempted)
    decoding = replica["decoding"]
    if tokens > 0:
        if not rules["mixed"]:
            decoding = 0
        seconds += line(times, TOKEN_KNOTS, TOKEN_SECONDS, decoding * rules["step_tokens"] + tokens)
        context = mean_context(replica, rules["accepted"])
        seconds += line(times, CONTEXT_KNOTS, rules["shared_row"] + decoding, context)
        replica["doing"] = PROMPTS
        replica["steps"] = min(decoding, 1)
        replica["end"] = replica["clock"] + seconds
    elif decoding > 0:
        replica["doing"] = DECODING
        steps = steps_to(world.lanes[r, TARGETS, 0], rules["accepted"]) - replica["decode_steps"]
        # nobody is admitted in the step of a preemption, but perhaps in the next one
        replica["steps"] = 1 if preempted else _steps_with_room(world, r, steps)
        replica["end"] = replica["clock"] + decode_seconds(times, replica, rules["accepted"], replica["steps"])
    else:
        replica["doing"] = IDLE
        replica["end"] = float("inf")


@compiled
def mean_context(replica: Record, accepted: float) -> float:
    """Mean keys that running sequences see in their next step, the token they compute included."""
    if replica["decoding"] == 0:
        return 0.0
    return replica["offsets"] / replica["decoding"] + accepted * (replica["decode_steps"] + 1)  # type: ignore[no-any-return]


@compiled
def decode_seconds(times: Records, replica: Record, accepted: float, steps: int) -> float:
    """Seconds of the next steps without prompts."""
    return run_seconds(times, ALONE + replica["decoding"], mean_context(replica, accepted), accepted, steps)


@compiled
def next_growth(world: World, r: int, steps: int) -> int:
    """Blocks that the next steps of the running sequences take."""
    replica, rules = world.replicas[r], world.settings[0]
    tokens = tokens_after(replica["decode_steps"] + steps, rules["accepted"]) - replica["tokens"]
    return growth(world.lanes, r, rules["block"], replica["decoding"], replica["tokens"], tokens)


@compiled
def _make_room(world: World, r: int) -> bool:
    """Preempt until every running sequence has room for its next step; whether any had to go."""
    replica = world.replicas[r]
    preempted = False
    while replica["decoding"] > 0 and next_growth(world, r, 1) > replica["capacity"] - replica["used"]:
        _preempt_newest(world, r)
        preempted = True
    return preempted


@compiled
def _steps_with_room(world: World, r: int, steps: int) -> int:
    """How many of the next steps find blocks; at least one, for which there is room."""
    replica = world.replicas[r]
    room = replica["capacity"] - replica["used"]
    if next_growth(world, r, steps) <= room:
        return steps
    low, high = 1, steps  # low finds blocks, high does not
    while high - low > 1:
        middle = (low + high) >> 1
        if next_growth(world, r, middle) <= room:
            low = middle
        else:
            high = middle
    return low


@compiled
def _take_prompts(world: World, times: Records, r: int, preempted: bool) -> tuple[int, float]:
    """Tokens of prompts in the next step, and the seconds of their attention; admits what there is room for."""
    replica, rules = world.replicas[r], world.settings[0]
    taken, seconds = 0, 0.0
    budget = rules["chunk"]
    own = rules["step_tokens"] if rules["mixed"] and not rules["whole"] else 0  # what a running sequence takes of it
    budget -= replica["decoding"] * own
    if replica["partial"] >= 0:
        i = replica["partial"]
        request = world.requests[i]
        part = min(budget, request["prompt"] + request["made"] - request["computed"])
        if part > 0:
            seconds += _compute_part(world, times, r, i, part)
            taken += part
    while (
        not preempted and replica["partial"] < 0 and replica["head"] >= 0
        and taken < budget and replica["running"] < rules["max_sequences"]
    ):  # fmt: skip
        i = replica["head"]
        request = world.requests[i]
        if request["computed"] > 0:
            if not _admit_moved(world, r, i):
                break
            budget -= own
            continue
        total = request["prompt"] + request["made"]
        if (rules["whole"] and taken > 0 and taken + total > budget) or not _admit(world, r, i):
            break
        part = total - request["computed"]
        if not rules["whole"]:
            part = min(part, budget - taken)
        part_seconds = _compute_part(world, times, r, i, part)
        if taken > 0:
            part_seconds -= times[rules["chunk_row"], 0]
        seconds += part_seconds
        taken += part
    return taken, seconds


@compiled
def _admit(world: World, r: int, i: int) -> bool:
    """Give a request its place and the blocks of its prompt, if there are any."""
    request, replica, rules = world.requests[i], world.replicas[r], world.settings[0]
    group = request["group"]
    blocks = ceil_blocks(request["prompt"] + request["made"], rules["block"])
    hit = use_start(world, r, group)
    if hit:
        blocks -= rules["shared_blocks"]
    if blocks + next_growth(world, r, 1) > replica["capacity"] - replica["used"]:
        if hit:
            leave_start(world, r, group)
        return False
    if hit:
        request["computed"] = rules["shared_blocks"] * rules["block"]
        replica["hits"] += 1
    elif group >= 0:
        world.starts[r, group, USERS] = 1
    _start_running(world, r, i, blocks)
    return True


@compiled
def _admit_moved(world: World, r: int, i: int) -> bool:
    """As `_admit` for a request whose prompt was computed elsewhere: it decodes in this very step."""
    request, replica, rules = world.requests[i], world.replicas[r], world.settings[0]
    context = request["prompt"] + request["made"] - 1  # its newest token is not in the cache
    needed = ceil_blocks(context + math.ceil(rules["accepted"]), rules["block"])
    if needed + next_growth(world, r, 1) > replica["capacity"] - replica["used"]:
        return False
    _start_running(world, r, i, ceil_blocks(context, rules["block"]))
    join(world, r, i, context)
    return True


@compiled
def _start_running(world: World, r: int, i: int, blocks: int) -> None:
    request, replica = world.requests[i], world.replicas[r]
    dequeue(world.requests, replica)
    link_newest(world.requests, replica, i)
    hold(world, r, blocks)
    if request["start"] < 0:
        request["start"] = replica["clock"]


@compiled
def _compute_part(world: World, times: Records, r: int, i: int, part: int) -> float:
    """Put the next tokens of a prompt into the step; seconds of their attention."""
    request, replica = world.requests[i], world.replicas[r]
    request["computed"] += part
    if request["computed"] < request["prompt"] + request["made"]:
        replica["partial"] = i
    else:
        replica["partial"] = NONE
        world.lanes[r, COMPLETING, replica["completing"]] = i
        replica["completing"] += 1
    return chunk_seconds(times, world.settings[0]["chunk_row"], part, request["computed"])
