"""The loop of a simulation: the next arrival or the next end of a run, whichever comes first.

A run of decode steps ends at the next finish, when blocks run out, or at the first end of a step after an arrival that
may find a place. Nothing a replica has begun depends on later arrivals, so that each keeps its own clock.

With disaggregation the first replicas compute prompts only: a request that has its first token moves over the link of
its replica, one cache after the other, and arrives at the other replicas when its cache does.

May import: batching, kept_starts, event_records, replica_state, step_sums, compiling. To add a router: a number here,
its rule in `_route`, its name in simulation_settings.py.
"""

from __future__ import annotations

from perfmodel.serving.batching import (
    decode_seconds,
    join,
    leave,
    leave_decoding,
    mean_context,
    next_growth,
    plan,
)
from perfmodel.serving.compiling import compiled, compiled_entry
from perfmodel.serving.event_records import add_areas, count_gap, count_gaps, record_event
from perfmodel.serving.kept_starts import hold, kept
from perfmodel.serving.replica_state import (
    COMPLETING,
    DECODING,
    HOLDERS,
    IDLE,
    NONE,
    TARGETS,
    WAKING,
    Record,
    Records,
    World,
    drop_target,
    enqueue,
    pop_later,
    push_later,
    tokens_after,
)
from perfmodel.serving.step_sums import ALONE, CONTEXT_KNOTS, line, steps_until

LISTED, LEAST_LOADED, PREFIX_AWARE = 0, 1, 2  # routers
# a replica that holds the start is passed over when it has this many requests more, and times as many, as another
IMBALANCE, IMBALANCE_RATIO = 16, 1.5


@compiled_entry
def run_events(world: World, gaps: Records, timeline: Records, opened: int) -> None:
    """Simulate until every request is answered.

    Args:
        gaps, timeline: written down here (`event_records`).
        opened: requests whose arrivals are known beforehand; they stand first, in the order of their arrival.
    """
    replicas, requests, rules = world.replicas, world.requests, world.settings[0]
    upcoming = 0
    infinity = float("inf")
    while True:
        r = _first_to_end(replicas)
        now = replicas[r]["end"]
        opening = requests[upcoming]["arrival"] if upcoming < opened else infinity
        later = world.later_seconds[0] if rules["pending"] > 0 else infinity
        if min(opening, later) <= now and min(opening, later) < infinity:
            if opening <= later:
                i = upcoming
                upcoming += 1
            else:
                i = world.later[0]
                pop_later(world.later_seconds, world.later, rules["pending"])
                rules["pending"] -= 1
            _arrive(world, i, min(opening, later))
        elif now < infinity:
            _commit(world, gaps, r)
            record_event(world, timeline, now)
            plan(world, r)
        else:
            return


@compiled
def _first_to_end(replicas: Records) -> int:
    first = 0
    for r in range(1, len(replicas)):
        if replicas[r]["end"] < replicas[first]["end"]:
            first = r
    return first


@compiled
def _arrive(world: World, i: int, now: float) -> None:
    """A request enters the queue of a replica; what that one is doing ends early where it may be admitted."""
    request, rules = world.requests[i], world.settings[0]
    if request["made"] == 0:
        request["delay"] = (
            rules["delay_seconds"]
            + rules["delay_token_seconds"] * request["prompt"]
            + rules["delay_flight_seconds"] * rules["flight"]
        )
        rules["flight"] += 1
    r = _route(world, i)
    replica = world.replicas[r]
    request["replica"] = r
    enqueue(world.requests, replica, i)
    if replica["doing"] == IDLE:
        replica["doing"] = WAKING
        replica["clock"] = now
        replica["end"] = now
    elif (
        replica["doing"] == DECODING and replica["steps"] > 1
        and replica["waiting"] == 1 and replica["running"] < rules["max_sequences"]
    ):  # fmt: skip
        times, accepted = world.times[0], rules["accepted"]
        row, context = ALONE + replica["decoding"], mean_context(replica, accepted)
        steps = steps_until(times, row, context, accepted, replica["steps"], now - replica["clock"])
        if steps < replica["steps"]:
            replica["steps"] = steps
            replica["end"] = replica["clock"] + decode_seconds(times, replica, accepted, steps)


@compiled
def _route(world: World, i: int) -> int:
    """The replica of a request: of those that compute prompts, or of those it moves to."""
    request, replicas, rules = world.requests[i], world.replicas, world.settings[0]
    begin, end = 0, len(replicas)
    if rules["prompt_replicas"] > 0:
        if request["made"] > 0:
            begin = rules["prompt_replicas"]
        else:
            end = rules["prompt_replicas"]
    if rules["router"] == LISTED:
        return begin + request["choice"] % (end - begin)  # type: ignore[no-any-return]
    least = begin
    for r in range(begin + 1, end):
        if _load(replicas[r]) < _load(replicas[least]):
            least = r
    group = request["group"]
    if rules["router"] != PREFIX_AWARE or group < 0:
        return least
    best = NONE
    for r in range(begin, end):
        if kept(world, r, group) and (best < 0 or _load(replicas[r]) < _load(replicas[best])):
            best = r
    if best < 0:
        return least
    load, other = _load(replicas[best]), _load(replicas[least])
    return least if load > other + IMBALANCE and load > other * IMBALANCE_RATIO else best


@compiled
def _load(replica: Record) -> int:
    return replica["running"] + replica["waiting"]  # type: ignore[no-any-return]


@compiled
def _commit(world: World, gaps: Records, r: int) -> None:
    """What a replica was doing has ended: tokens are there, some requests are answered."""
    replica, lanes = world.replicas[r], world.lanes
    now = replica["end"]
    taken = 0
    if replica["steps"] > 0:
        count_gaps(world, gaps, r)
        taken = next_growth(world, r, replica["steps"])
        replica["decode_steps"] += replica["steps"]
        replica["tokens"] = tokens_after(replica["decode_steps"], world.settings[0]["accepted"])
        hold(world, r, taken)
        replica["last_decode"] = now
        replica["fresh"] = 0
    add_areas(replica, taken)
    while replica["decoding"] > 0 and lanes[r, TARGETS, 0] <= replica["tokens"]:
        i = lanes[r, HOLDERS, 0]
        drop_target(lanes, r, replica["decoding"], 0)
        leave(world, r, i, leave_decoding(world, r, i))
        _finish(world, i, now)
    for place in range(replica["completing"]):
        _first_decoded(world, gaps, r, lanes[r, COMPLETING, place], now)
    replica["clock"] = now


@compiled
def _first_decoded(world: World, gaps: Records, r: int, i: int, now: float) -> None:
    """A prompt is computed, and with it one token made."""
    request, replica, rules = world.requests[i], world.replicas[r], world.settings[0]
    context = request["prompt"] + request["made"]
    if request["made"] > 0:
        count_gap(gaps, now - request["last"], 1)
    else:
        request["first"] = now
        if rules["delay_steps"] > 0:  # where nothing decodes, steps of this request alone
            keys = mean_context(replica, rules["accepted"]) if replica["decoding"] > 0 else float(context)
            row = ALONE + max(replica["decoding"], 1)
            request["delay"] += rules["delay_steps"] * line(world.times[0], CONTEXT_KNOTS, row, keys)
    request["made"] += 1
    request["last"] = now
    if request["made"] >= request["output"]:
        leave(world, r, i, context)
        _finish(world, i, now)
    elif r < rules["prompt_replicas"]:
        leave(world, r, i, context)
        request["group"] = NONE
        replica["link_free"] = max(replica["link_free"], now) + context * rules["transfer_seconds"]
        _post(world, i, replica["link_free"])
    else:
        join(world, r, i, context)


@compiled
def _finish(world: World, i: int, now: float) -> None:
    """A request is answered; in a closed loop its user sends the next one after thinking."""
    requests, rules = world.requests, world.settings[0]
    requests[i]["finish"] = now
    rules["flight"] -= 1
    following = rules["issued"]
    if rules["users"] > 0 and following < len(requests):
        rules["issued"] += 1
        requests[following]["arrival"] += now + requests[i]["delay"]
        _post(world, following, requests[following]["arrival"])


@compiled
def _post(world: World, i: int, when: float) -> None:
    """A request that arrives later."""
    rules = world.settings[0]
    push_later(world.later_seconds, world.later, rules["pending"], when, i)
    rules["pending"] += 1
