"""A deployment and its requests as the event loop wants them, and the run itself.

May import: engines, step_table, workload, simulation_settings; the loop inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.simulation_settings import Disaggregation, FrontEnd, SharedPrefix, Speculation
from perfmodel.serving.step_table import Array, StepTable
from perfmodel.serving.workload import Workload

if TYPE_CHECKING:
    from perfmodel.serving.replica_state import World

WHOLE_PROMPT_TOKENS = 8192  # of a step where an engine does not cut prompts; a longer one has a step of its own
PLACES = 2048  # of the timeline
Watch: TypeAlias = Callable[[Any], None]  # is given the records of all requests, `finish` below 0 until answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Everything about a simulation but its requests."""

    table: StepTable
    policy: EnginePolicy
    capacity_tokens: float
    max_context: int
    replicas: int
    router: str
    seed: int
    speculation: Speculation | None
    prefix: SharedPrefix | None
    disaggregation: Disaggregation | None
    front_end: FrontEnd

    @property
    def prompt_replicas(self) -> int:
        return self.disaggregation.prompt_replicas if self.disaggregation else 0

    @property
    def blocks(self) -> int:
        """Of the KV cache of a replica that decodes."""
        return int(self.capacity_tokens // self.policy.block_tokens)

    @property
    def prompt_blocks(self) -> int:
        """Of the KV cache of a replica that computes prompts."""
        split = self.disaggregation
        tokens = split.prompt_capacity_tokens if split else 0
        return int(tokens // self.policy.block_tokens) or self.blocks

    @property
    def accepted(self) -> float:
        return self.speculation.accepted if self.speculation else 1.0

    @property
    def shared_blocks(self) -> int:
        """Of the common beginning of a group of prompts; 0 where none is kept."""
        kept = self.prefix is not None and self.policy.prefix_cache
        return self.prefix.tokens // self.policy.block_tokens if kept and self.prefix else 0


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation that has come to its end: all requests and replicas, gaps between tokens, the timeline."""

    world: World
    gaps: Array
    timeline: Array


def run_workload(deployment: Deployment, workload: Workload, watch: Watch | None = None) -> Run:
    """Serve requests that can be served, all of them.

    Args:
        watch: called before the run; another thread may look at the records while it goes on.
    """
    from perfmodel.serving.event_loop import run_events
    from perfmodel.serving.event_records import BINS

    run = Run(_world(deployment, workload), np.zeros(BINS), np.zeros((PLACES, 4)))
    opened = min(workload.users, len(workload)) if workload.users else len(workload)
    if watch is not None:
        watch(run.world.requests)
    run_events(run.world, run.gaps, run.timeline, opened)
    if run.world.requests["finish"].min() < 0:
        raise AssertionError("requests that can be served were never answered")
    return run


def _world(deployment: Deployment, workload: Workload) -> World:
    """Everything before the first arrival."""
    from perfmodel.serving.replica_state import LANES, World

    count, requests, places = deployment.replicas, len(workload), _places(deployment, workload)
    later = workload.users + (requests if deployment.disaggregation else 0) + 1
    return World(
        requests=_request_records(deployment, workload),
        replicas=_replica_records(deployment),
        lanes=np.zeros((count, LANES, max(places + 1, deployment.policy.block_tokens)), dtype=np.int64),
        starts=_starts(deployment),
        times=_times(deployment, places),
        later_seconds=np.zeros(later),
        later=np.zeros(later, dtype=np.int64),
        settings=_rules(deployment, workload, places),
    )


def _places(deployment: Deployment, workload: Workload) -> int:
    """Sequences that can run at once on a replica: what tables and lists have to be made for."""
    blocks = max(deployment.blocks, deployment.prompt_blocks)
    return min(deployment.policy.max_sequences, len(workload), blocks)


def _times(deployment: Deployment, places: int) -> Array:
    from perfmodel.serving.step_sums import lay_out

    policy, split, speculation = deployment.policy, deployment.disaggregation, deployment.speculation
    tables = [deployment.table]
    if split is not None:
        tables.append(split.prompt_table or deployment.table)
    width = 0
    for _ in range(2):  # once to find the widest
        laid_out = [
            lay_out(
                table, max_sequences=places, capture_sizes=policy.capture_sizes, width=width,
                drafts=speculation.drafts if speculation else 0,
                draft_cost=speculation.draft_cost if speculation else 0.0,
            )
            for table in tables
        ]  # fmt: skip
        width = max(each.shape[1] for each in laid_out)
    return np.array(laid_out)


def _rules(deployment: Deployment, workload: Workload, places: int) -> np.ndarray[Any, Any]:
    from perfmodel.serving.event_loop import LEAST_LOADED, LISTED, PREFIX_AWARE
    from perfmodel.serving.replica_state import RULES
    from perfmodel.serving.step_sums import chunk_row, shared_row

    policy, split, front = deployment.policy, deployment.disaggregation, deployment.front_end
    speculation = deployment.speculation
    values = {
        "mixed": policy.mixed and deployment.table.mixed,
        "whole": policy.chunk_tokens == 0,
        "chunk": policy.chunk_tokens or WHOLE_PROMPT_TOKENS,
        "max_sequences": places,
        "block": policy.block_tokens,
        "step_tokens": 1 + (speculation.drafts if speculation else 0),
        "accepted": deployment.accepted,
        "shared_blocks": deployment.shared_blocks,
        "prompt_replicas": deployment.prompt_replicas,
        "router": {"least-loaded": LEAST_LOADED, "prefix-aware": PREFIX_AWARE}.get(deployment.router, LISTED),
        "users": workload.users,
        "shared_row": shared_row(places),
        "chunk_row": chunk_row(places),
        "transfer_seconds": split.cache_bytes_per_token / split.link_bytes_per_second if split else 0.0,
        "delay_seconds": front.request_seconds,
        "delay_token_seconds": front.input_token_seconds,
        "delay_flight_seconds": front.in_flight_seconds,
        "delay_steps": front.waiting_steps,
        "issued": min(workload.users, len(workload)),
        "stride": 1,
    }
    rules = np.zeros(1, dtype=RULES)
    for name, value in values.items():
        rules[name] = value
    return rules


def _request_records(deployment: Deployment, workload: Workload) -> np.ndarray[Any, Any]:
    from perfmodel.serving.replica_state import NONE, REQUEST

    records = np.zeros(len(workload), dtype=REQUEST)
    records["arrival"] = workload.arrival_seconds
    if len(workload.think_seconds):
        records["arrival"][workload.users :] = workload.think_seconds[workload.users :]
    records["prompt"] = workload.input_tokens
    records["output"] = workload.output_tokens
    records["start"] = records["finish"] = -1.0
    records["choice"] = np.arange(len(workload))
    if deployment.router == "random":
        records["choice"] = np.random.default_rng([deployment.seed, 6]).integers(0, 1 << 30, len(workload))
    records["group"] = NONE
    shared = deployment.shared_blocks * deployment.policy.block_tokens
    if shared and deployment.prefix is not None:
        groups = np.random.default_rng([deployment.seed, 5]).integers(0, deployment.prefix.groups, len(workload))
        records["group"] = np.where(workload.input_tokens > shared, groups, NONE)
    return records


def _replica_records(deployment: Deployment) -> np.ndarray[Any, Any]:
    from perfmodel.serving.replica_state import NONE, REPLICA

    records = np.zeros(deployment.replicas, dtype=REPLICA)
    records["end"] = math.inf
    records["capacity"] = deployment.blocks
    records["capacity"][: deployment.prompt_replicas] = deployment.prompt_blocks
    for name in ("head", "tail", "newest", "partial"):
        records[name] = NONE
    return records


def _starts(deployment: Deployment) -> np.ndarray[Any, Any]:
    from perfmodel.serving.replica_state import NONE, USERS

    groups = deployment.prefix.groups if deployment.shared_blocks and deployment.prefix else 0
    starts = np.full((deployment.replicas, groups + 1, 3), groups, dtype=np.int64)
    starts[:, :, USERS] = NONE
    return starts
