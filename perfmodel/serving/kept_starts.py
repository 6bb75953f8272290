"""Beginnings of prompts that a replica keeps: used by running requests, or by nobody and first to give way.

Nobody's are in a list, least recent first, whose two ends meet in the last row of `World.starts`.

May import: replica_state, compiling.
"""

from __future__ import annotations

from perfmodel.serving.compiling import compiled
from perfmodel.serving.replica_state import NEWER, NONE, OLDER, USERS, Records, World


@compiled
def kept(world: World, r: int, group: int) -> bool:
    """Whether a replica holds the common start of a group of prompts."""
    return group >= 0 and world.starts[r, group, USERS] >= 0


@compiled
def _lay_aside(starts: Records, r: int, group: int) -> None:
    """At the recent end of the list of starts that nobody uses."""
    end = starts.shape[1] - 1
    recent = starts[r, end, OLDER]
    starts[r, group, OLDER] = recent
    starts[r, group, NEWER] = end
    starts[r, recent, NEWER] = group
    starts[r, end, OLDER] = group


@compiled
def _pick_up(starts: Records, r: int, group: int) -> None:
    older, newer = starts[r, group, OLDER], starts[r, group, NEWER]
    starts[r, older, NEWER] = newer
    starts[r, newer, OLDER] = older


@compiled
def hold(world: World, r: int, blocks: int) -> None:
    """Take blocks; starts that nobody uses give way, at the latest when a run of steps ends."""
    replica, starts = world.replicas[r], world.starts
    replica["used"] += blocks
    while replica["unused"] > 0 and replica["used"] + replica["unused"] > replica["capacity"]:
        group = starts[r, starts.shape[1] - 1, NEWER]
        _pick_up(starts, r, group)
        starts[r, group, USERS] = NONE
        replica["unused"] -= world.settings[0]["shared_blocks"]


@compiled
def use_start(world: World, r: int, group: int) -> bool:
    """Whether a start is kept; it is used by one more request then."""
    if not kept(world, r, group):
        return False
    replica, starts, shared = world.replicas[r], world.starts, world.settings[0]["shared_blocks"]
    if starts[r, group, USERS] == 0:
        _pick_up(starts, r, group)
        replica["unused"] -= shared
        replica["used"] += shared
    starts[r, group, USERS] += 1
    return True


@compiled
def leave_start(world: World, r: int, group: int) -> None:
    replica, starts, shared = world.replicas[r], world.starts, world.settings[0]["shared_blocks"]
    starts[r, group, USERS] -= 1
    if starts[r, group, USERS] == 0:
        _lay_aside(starts, r, group)
        replica["used"] -= shared
        replica["unused"] += shared
