"""The loop of a simulation: the next arrival or the next end of a run, whichever comes first.

A run of decode steps ends at the next finish, when blocks run out, or at the first end of a step after an arrival that
may find a place. Nothing a replica has begun depends on later arrivals, so that each keeps its own clock.

With disaggregation the first replicas compute prompts only: a request that has its first token moves over the link of
its replica, one cache after the other, and arrives at the other replicas when its cache does.

May import: batching, event_records, replica_state, step_sums, compiling. To add a router: a number here, its rule in
`_route`, its name in simulation_settings.py.
"""

from __future__ import annotations

from perfmodel.serving.batching import decode_seconds, hold, join, kept, leave, leave_decoding, mean_context, next_growth, plan
from perfmodel.serving.compiling import compiled
from perfmodel.serving.event_records import add_areas, count_gap, count_gaps, record_event
from perfmodel.serving.replica_state import (
    DECODING,
    FLIGHT,
    IDLE,
    ISSUED,
    NONE,
    PENDING,
    WAKING,
    Records,
    World,
    enqueue,
    pop_target,
    push_target,
    tokens_after,
)
from perfmodel.serving.step_sums import StepTimes, line, steps_until

LISTED, LEAST_LOADED, PREFIX_AWARE = 0, 1, 2  # routers
# a replica that holds the start is passed over when it has this many requests more, and times as many, as another
IMBALANCE, IMBALANCE_RATIO = 16, 1.5


@compiled
def run_events(world: World, opened: int) -> None:
    """Simulate until every request is answered.

    Args:
        opened: requests whose arrivals are known beforehand; they stand first, in the order of their arrival.
    """
    replicas, requests, counts = world.replicas, world.requests, world.counts
    upcoming = 0
    infinity = float("inf")
    while True:
        r = 0
        for other in range(1, len(replicas)):
            if replicas[other]["end"] < replicas[r]["end"]:
                r = other
        now = replicas[r]["end"]
        opening = requests[upcoming]["arrival"] if upcoming < opened else infinity
        later = world.pending_seconds[0] if counts[PENDING] > 0 else infinity
        if opening <= now and opening <= later and upcoming < opened:
            _arrive(world, upcoming, opening)
            upcoming += 1
        elif later <= now and counts[PENDING] > 0:
            i = world.pending[0]
            pop_target(world.pending_seconds, world.pending, counts[PENDING])
            counts[PENDING] -= 1
            _arrive(world, i, later)
        elif now < infinity:
            _commit(world, r)
            plan(world, r)
        else:
            return


@compiled
def _arrive(world: World, i: int, now: float) -> None:
    """A request enters the queue of a replica; what that one is doing ends early where it may be admitted."""
    requests, rules = world.requests, world.rules
    request = requests[i]
    if request["made"] == 0:
        flight = world.counts[FLIGHT]
        request["delay"] = (
            rules.delay_seconds + rules.delay_token_seconds * request["prompt"] + rules.delay_flight_seconds * flight
        )
        world.counts[FLIGHT] = flight + 1
    r = _route(world, i)
    replica = world.replicas[r]
    request["replica"] = r
    enqueue(requests, replica, i)
    if replica["doing"] == IDLE:
        replica["doing"] = WAKING
        replica["clock"] = now
        replica["end"] = now
    elif (
        replica["doing"] == DECODING and replica["steps"] > 1
        and replica["waiting"] == 1 and replica["running"] < rules.max_sequences
    ):  # fmt: skip
        context = mean_context(replica, rules.accepted)
        values = world.times.alone_seconds[replica["decoding"]]
        steps = steps_until(
            world.times.context_knots, values, context, rules.accepted, replica["steps"], now - replica["clock"]
        )
        if steps < replica["steps"]:
            replica["steps"] = steps
            replica["end"] = replica["clock"] + decode_seconds(world.times, replica, rules.accepted, steps)


@compiled
def _route(world: World, i: int) -> int:
    """The replica of a request: of those that compute prompts, or of those it moves to."""
    rules, replicas = world.rules, world.replicas
    begin, end = 0, len(replicas)
    if rules.prompt_replicas > 0:
        if world.requests[i]["made"] > 0:
            begin = rules.prompt_replicas
        else:
            end = rules.prompt_replicas
    if rules.router == LISTED:
        return begin + world.choices[i] % (end - begin)  # type: ignore[no-any-return]
    least = begin
    for r in range(begin + 1, end):
        if _load(replicas[r]) < _load(replicas[least]):
            least = r
    group = world.requests[i]["group"]
    if rules.router != PREFIX_AWARE or group < 0:
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
def _load(replica: Records) -> int:
    return replica["running"] + replica["waiting"]  # type: ignore[no-any-return]


@compiled
def _commit(world: World, r: int) -> None:
    """What a replica was doing has ended: tokens are there, some requests are answered."""
    replica, rules = world.replicas[r], world.rules
    now = replica["end"]
    taken = 0
    if replica["steps"] > 0:
        count_gaps(world, world.times, r)
        taken = next_growth(world, r, replica["steps"])
        replica["decode_steps"] += replica["steps"]
        replica["tokens"] = tokens_after(replica["decode_steps"], rules.accepted)
        hold(world, r, taken)
        replica["last_decode"] = now
        replica["fresh"] = 0
    add_areas(replica, taken)
    targets, holders = world.targets[r], world.holders[r]
    while replica["decoding"] > 0 and targets[0] <= replica["tokens"]:
        i = holders[0]
        pop_target(targets, holders, replica["decoding"])
        context = leave_decoding(world, r, i)
        leave(world, r, i, context)
        _finish(world, i, now)
    for place in range(replica["completing"]):
        _first_decoded(world, r, world.completing[r, place], now)
    replica["clock"] = now
    record_event(world, now)


@compiled
def _first_decoded(world: World, r: int, i: int, now: float) -> None:
    """A prompt is computed, and with it one token made."""
    request, replica, rules = world.requests[i], world.replicas[r], world.rules
    context = request["prompt"] + request["made"]
    if request["made"] > 0:
        count_gap(world.gaps, now - request["last"], 1.0)
    else:
        request["first"] = now
        if rules.delay_steps > 0 and replica["decoding"] > 0:
            request["delay"] += rules.delay_steps * _step_now(world.times, replica, rules.accepted)
    request["made"] += 1
    request["last"] = now
    if request["made"] >= request["output"]:
        leave(world, r, i, context)
        _finish(world, i, now)
    elif r < rules.prompt_replicas:
        leave(world, r, i, context)
        request["group"] = NONE
        request["moved"] = 1
        replica["link_free"] = max(replica["link_free"], now) + request["prompt"] * rules.transfer_seconds
        _post(world, i, replica["link_free"])
    else:
        join(world, r, i, context)


@compiled
def _step_now(times: StepTimes, replica: Records, accepted: float) -> float:
    return line(times.context_knots, times.alone_seconds[replica["decoding"]], mean_context(replica, accepted))


@compiled
def _finish(world: World, i: int, now: float) -> None:
    """A request is answered; in a closed loop its user sends the next one after thinking."""
    counts = world.counts
    world.requests[i]["finish"] = now
    world.requests[i]["made"] = world.requests[i]["output"]
    counts[FLIGHT] -= 1
    following = counts[ISSUED]
    if world.rules.users > 0 and following < len(world.requests):
        counts[ISSUED] += 1
        sent = now + world.requests[i]["delay"] + world.think_seconds[following]
        world.requests[following]["arrival"] = sent
        _post(world, following, sent)


@compiled
def _post(world: World, i: int, when: float) -> None:
    """A request that arrives later."""
    push_target(world.pending_seconds, world.pending, world.counts[PENDING], when, i)
    world.counts[PENDING] += 1
