"""What a simulation writes down as it goes: gaps between tokens, areas under blocks and places, a timeline.

Gaps are counted in bins that grow by half a percent, so that any percentile of millions of them is known to a quarter
of a percent. The timeline keeps every 1st, 2nd, 4th, ... event: when it is full, every other line goes.

May import: batching, replica_state, step_sums, compiling.
"""

from __future__ import annotations

import math

from perfmodel.serving.batching import mean_context
from perfmodel.serving.compiling import compiled
from perfmodel.serving.replica_state import FRESH, Record, Records, World
from perfmodel.serving.step_sums import ALONE, CONTEXT_KNOTS, line

LEAST_GAP_SECONDS = 1e-7
BIN_WIDTH = 0.005  # in the logarithm
BINS = 5600  # up to 1.4e5 seconds
MOST_PIECES = 64  # of a run, whose steps grow longer


@compiled
def count_gap(gaps: Records, seconds: float, weight: int) -> None:
    place = int(math.log(max(seconds, LEAST_GAP_SECONDS) / LEAST_GAP_SECONDS) / BIN_WIDTH)
    gaps[min(place, len(gaps) - 1)] += weight


@compiled
def count_gaps(world: World, gaps: Records, r: int) -> None:
    """Gaps of the steps that just ended, of all sequences that decoded in them."""
    replica = world.replicas[r]
    accepted = world.settings[0]["accepted"]
    steps, decoding, fresh = replica["steps"], replica["decoding"], replica["fresh"]
    first_end = replica["end"]
    if steps > 1:
        times, row = world.times[0], ALONE + decoding
        context = mean_context(replica, accepted)
        first_end = replica["clock"] + line(times, CONTEXT_KNOTS, row, context)
        _count_run(gaps, times, row, context, accepted, steps, decoding)
    for place in range(fresh):
        count_gap(gaps, first_end - world.requests[world.lanes[r, FRESH, place]]["last"], 1)
    if decoding > fresh:
        count_gap(gaps, first_end - replica["last_decode"], decoding - fresh)


@compiled
def _count_run(
    gaps: Records, times: Records, row: int, context: float, accepted: float, steps: int, weight: int
) -> None:
    """The steps of a run but its first, in pieces whose steps differ by less than a bin."""
    second = line(times, CONTEXT_KNOTS, row, context + accepted)
    last = line(times, CONTEXT_KNOTS, row, context + accepted * (steps - 1))
    pieces = min(int(abs(math.log(last / second)) / BIN_WIDTH) + 1, steps - 1, MOST_PIECES)
    if pieces == 1:
        count_gap(gaps, 0.5 * (second + last), weight * (steps - 1))
        return
    for place in range(pieces):
        begin, end = 1 + (steps - 1) * place // pieces, 1 + (steps - 1) * (place + 1) // pieces
        middle = line(times, CONTEXT_KNOTS, row, context + accepted * 0.5 * (begin + end - 1))
        count_gap(gaps, middle, weight * (end - begin))


@compiled
def add_areas(replica: Record, taken: int) -> None:
    """Seconds times places and blocks of the steps that just ended, in which running sequences took `taken` blocks."""
    seconds = replica["end"] - replica["clock"]
    steps = max(replica["steps"], 1)
    replica["busy"] += seconds
    replica["running_area"] += seconds * replica["running"]
    # blocks are taken as steps begin: after j of k steps about j/k of them
    before = replica["used"] - taken
    replica["blocks_area"] += seconds * (before + taken * (steps + 1) / (2.0 * steps))
    replica["most_used"] = max(replica["most_used"], replica["used"])


@compiled
def record_event(world: World, timeline: Records, now: float) -> None:
    """A line of the timeline: time, running, waiting, share of blocks in use; all replicas together."""
    rules = world.settings[0]
    rules["events"] += 1
    if rules["events"] % rules["stride"] != 0:
        return
    if rules["places"] == len(timeline):
        for place in range(len(timeline) // 2):
            for column in range(4):
                timeline[place, column] = timeline[2 * place + 1, column]
        rules["places"] = len(timeline) // 2
        rules["stride"] *= 2
        if rules["events"] % rules["stride"] != 0:
            return
    running, waiting, used, capacity = 0, 0, 0, 0
    for r in range(len(world.replicas)):
        replica = world.replicas[r]
        running += replica["running"]
        waiting += replica["waiting"]
        used += replica["used"]
        capacity += replica["capacity"]
    place = rules["places"]
    timeline[place, 0] = now
    timeline[place, 1] = running
    timeline[place, 2] = waiting
    timeline[place, 3] = used / capacity
    rules["places"] += 1
