"""Simulation of a deployment, step by step: every request, from arrival to its last token.

The engine's scheduler decides each step as `batching` tells; a step takes what the step table says; steps between two
decisions are one event, their times added up in closed form. A few hundred thousand requests take a second.

    result = simulate(table, policy, workload, kv_capacity_tokens=400_000, max_context=8192)
    percentiles(result, "ttft")["p99"]

May import: errors, engines, step_table, workload, simulation_settings, simulation_result; the loop inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.compiling import has_compiler
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.simulation_result import SimulationResult, Timeline
from perfmodel.serving.simulation_settings import (
    Disaggregation,
    FrontEnd,
    Objective,
    SharedPrefix,
    Speculation,
    check_settings,
    check_table,
)
from perfmodel.serving.step_table import StepTable
from perfmodel.serving.workload import Array, Workload, check_workload

if TYPE_CHECKING:
    from perfmodel.serving.replica_state import World

WHOLE_PROMPT_TOKENS = 8192  # of a step where an engine does not cut prompts; a longer one has a step of its own
PLACES = 2048  # of the timeline
SATURATED_ROUNDS = 16  # of requests that run at once, in the run that finds the highest rate
LEAST_SATURATED = 2000
SETTLED = (0.25, 0.75)  # the part of its answers that is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deployment:
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
        return int(self.capacity_tokens // self.policy.block_tokens)

    @property
    def prompt_blocks(self) -> int:
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


def simulate(
    table: StepTable,
    policy: EnginePolicy,
    workload: Workload,
    *,
    kv_capacity_tokens: float,
    max_context: int,
    replicas: int = 1,
    router: str = "round-robin",
    seed: int = 0,
    speculation: Speculation | None = None,
    prefix: SharedPrefix | None = None,
    disaggregation: Disaggregation | None = None,
    front_end: FrontEnd | None = None,
    objective: Objective | None = None,
) -> SimulationResult:
    """Serve a workload.

    Args:
        table: step times of one replica. policy: of its engine. workload: the requests.
        kv_capacity_tokens: tokens that the KV cache of a replica holds. max_context: tokens of a sequence at most.
            Prompts that leave no room in it are rejected, answers are cut to it.
        replicas: alike, behind a router: round-robin, random, least-loaded (fewest requests), or prefix-aware (one that
            holds the beginning of the prompt, unless it has far more requests than another).
        seed: of the random router and the groups of `prefix`.
        speculation, prefix, disaggregation, front_end, objective: see there.

    Raises:
        InputError: a setting or the workload makes no sense, or no request can be served.
    """
    front_end, objective = front_end or FrontEnd(), objective or Objective()
    check_table(table)
    if disaggregation is not None and disaggregation.prompt_table is not None:
        check_table(disaggregation.prompt_table)
    check_workload(workload)
    check_settings(
        policy, kv_capacity_tokens=kv_capacity_tokens, max_context=max_context, replicas=replicas, router=router,
        speculation=speculation, prefix=prefix, disaggregation=disaggregation, front_end=front_end, objective=objective,
    )  # fmt: skip
    deployment = _Deployment(
        table=table, policy=policy, capacity_tokens=kv_capacity_tokens, max_context=max_context,
        replicas=disaggregation.prompt_replicas + disaggregation.decode_replicas if disaggregation else replicas,
        router=router, seed=seed, speculation=speculation, prefix=prefix, disaggregation=disaggregation,
        front_end=front_end,
    )  # fmt: skip
    served, rejected, cut = _servable(deployment, workload)
    run = _run(deployment, served)
    saturated = _saturated_rate(deployment, served)
    return _result(deployment, served, run, saturated, rejected, cut, objective)


# ------------------------------------------------------------------------------------------------ what is served


def _servable(deployment: _Deployment, workload: Workload) -> tuple[Workload, dict[str, int], int]:
    """(the requests that can be served, reason -> requests that cannot, answers that were cut)."""
    prompts = workload.input_tokens
    room = deployment.max_context - prompts
    answers = np.minimum(workload.output_tokens, np.maximum(room, 1)).astype(np.int32)
    block = deployment.policy.block_tokens
    longest = prompts.astype(np.int64) + answers + math.ceil(deployment.accepted)
    too_long = room < 1
    too_large = (-(-longest // block) > deployment.blocks) | (-(-(prompts + 1) // block) > deployment.prompt_blocks)
    reasons = {
        f"prompts of {deployment.max_context:,} tokens or more, the longest context": too_long,
        f"prompt and answer larger than the KV cache of {deployment.blocks * block:,} tokens": too_large & ~too_long,
    }
    rejected = {reason: int(found.sum()) for reason, found in reasons.items() if found.any()}
    kept = ~(too_long | too_large)
    if not kept.any():
        raise InputError(f"no request can be served: {'; '.join(f'{n:,} {why}' for why, n in rejected.items())}")
    cut = int((answers < workload.output_tokens)[kept].sum())
    if kept.all():
        return replace(workload, output_tokens=answers), rejected, cut
    return (
        replace(
            workload, arrival_seconds=workload.arrival_seconds[kept], input_tokens=prompts[kept],
            output_tokens=answers[kept],
            think_seconds=workload.think_seconds[kept] if len(workload.think_seconds) else workload.think_seconds,
        ),
        rejected,
        cut,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True, slots=True)
class _Run:
    """A simulation that has come to its end: all requests and replicas, gaps between tokens, the timeline."""

    world: World
    gaps: Array
    timeline: Array


def _run(deployment: _Deployment, workload: Workload) -> _Run:
    from perfmodel.serving.event_loop import run_events
    from perfmodel.serving.event_records import BINS

    run = _Run(_world(deployment, workload), np.zeros(BINS), np.zeros((PLACES, 4)))
    opened = min(workload.users, len(workload)) if workload.users else len(workload)
    run_events(run.world, run.gaps, run.timeline, opened)
    return run


def _world(deployment: _Deployment, workload: Workload) -> World:
    """Everything before the first arrival."""
    from perfmodel.serving.replica_state import LANES, World

    policy, count, requests = deployment.policy, deployment.replicas, len(workload)
    later = workload.users + (requests if deployment.disaggregation else 0) + 1
    return World(
        requests=_request_records(deployment, workload),
        replicas=_replica_records(deployment),
        lanes=np.zeros((count, LANES, max(policy.max_sequences + 1, policy.block_tokens)), dtype=np.int64),
        starts=_starts(deployment),
        times=_times(deployment),
        later_seconds=np.zeros(later),
        later=np.zeros(later, dtype=np.int64),
        settings=_rules(deployment, workload),
    )


def _times(deployment: _Deployment) -> Array:
    from perfmodel.serving.step_sums import lay_out

    policy, split, speculation = deployment.policy, deployment.disaggregation, deployment.speculation
    tables = (
        [deployment.table] + [split.prompt_table or deployment.table] * (split is not None)
        if split
        else [deployment.table]
    )
    width = 0
    for _ in range(2):  # once to find the widest
        laid_out = [
            lay_out(
                table, max_sequences=policy.max_sequences, capture_sizes=policy.capture_sizes, width=width,
                drafts=speculation.drafts if speculation else 0,
                draft_cost=speculation.draft_cost if speculation else 0.0,
            )
            for table in tables
        ]  # fmt: skip
        width = max(each.shape[1] for each in laid_out)
    return np.array(laid_out)


def _rules(deployment: _Deployment, workload: Workload) -> np.ndarray[Any, Any]:
    from perfmodel.serving.event_loop import LEAST_LOADED, LISTED, PREFIX_AWARE
    from perfmodel.serving.replica_state import RULES
    from perfmodel.serving.step_sums import chunk_row, shared_row

    policy, split, front = deployment.policy, deployment.disaggregation, deployment.front_end
    speculation = deployment.speculation
    values = {
        "mixed": policy.mixed and deployment.table.mixed,
        "whole": policy.chunk_tokens == 0,
        "chunk": policy.chunk_tokens or WHOLE_PROMPT_TOKENS,
        "max_sequences": policy.max_sequences,
        "block": policy.block_tokens,
        "step_tokens": 1 + (speculation.drafts if speculation else 0),
        "accepted": deployment.accepted,
        "shared_blocks": deployment.shared_blocks,
        "prompt_replicas": deployment.prompt_replicas,
        "router": {"least-loaded": LEAST_LOADED, "prefix-aware": PREFIX_AWARE}.get(deployment.router, LISTED),
        "users": workload.users,
        "shared_row": shared_row(policy.max_sequences),
        "chunk_row": chunk_row(policy.max_sequences),
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


def _request_records(deployment: _Deployment, workload: Workload) -> np.ndarray[Any, Any]:
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


def _replica_records(deployment: _Deployment) -> np.ndarray[Any, Any]:
    from perfmodel.serving.replica_state import NONE, REPLICA

    records = np.zeros(deployment.replicas, dtype=REPLICA)
    records["end"] = math.inf
    records["capacity"] = deployment.blocks
    records["capacity"][: deployment.prompt_replicas] = deployment.prompt_blocks
    for name in ("head", "tail", "newest", "partial"):
        records[name] = NONE
    return records


def _starts(deployment: _Deployment) -> np.ndarray[Any, Any]:
    from perfmodel.serving.replica_state import NONE, USERS

    groups = deployment.prefix.groups if deployment.shared_blocks and deployment.prefix else 0
    starts = np.full((deployment.replicas, groups + 1, 3), groups, dtype=np.int64)
    starts[:, :, USERS] = NONE
    return starts


# ----------------------------------------------------------------------------------------------------- the verdict


def _saturated_rate(deployment: _Deployment, workload: Workload) -> float:
    """Requests/s answered while there are always some waiting: the workload's lengths, over and over, all at once."""
    mean = float(np.mean(workload.input_tokens + workload.output_tokens / 2.0))
    decoding = deployment.replicas - deployment.prompt_replicas
    at_once = decoding * min(deployment.policy.max_sequences, max(deployment.capacity_tokens / mean, 1.0))
    needed = max(LEAST_SATURATED, int(SATURATED_ROUNDS * at_once)) if has_compiler() else int(4 * at_once) + 50
    chosen = np.arange(needed) % len(workload)
    crowd = Workload(
        arrival_seconds=np.zeros(needed),
        input_tokens=workload.input_tokens[chosen],
        output_tokens=workload.output_tokens[chosen],
    )
    finish = np.sort(_run(replace(deployment, front_end=FrontEnd()), crowd).world.requests["finish"])
    begin, end = (float(finish[int(share * (needed - 1))]) for share in SETTLED)
    if end <= begin:  # all of that part ends in one step
        return needed / float(finish[-1])
    return float(np.count_nonzero((finish > begin) & (finish <= end))) / (end - begin)


def _queue_grows(arrival: Array, start: Array, finish: Array) -> bool:
    """Whether waits rise from quarter to quarter of the requests, and get long against what follows them."""
    if len(arrival) < 8:
        return False
    waits = [float(part.mean()) for part in np.array_split(start - arrival, 4)]
    served = float((finish - start).mean())
    rising = waits[0] < waits[1] < waits[2] < waits[3]
    return rising and waits[3] > 2 * waits[1] and waits[3] > served / 2


def _result(
    deployment: _Deployment, workload: Workload, run: _Run, saturated: float, rejected: Mapping[str, int], cut: int,
    objective: Objective,
) -> SimulationResult:  # fmt: skip
    from perfmodel.serving.event_records import BIN_WIDTH, LEAST_GAP_SECONDS

    requests, replicas = run.world.requests, run.world.replicas
    order: Any = np.argsort(requests["arrival"], kind="stable") if workload.users else slice(None)
    found = requests[order] if workload.users else requests
    arrival, start = found["arrival"].copy(), found["start"].copy()
    first, finish = found["first"] + found["delay"], found["finish"] + found["delay"]
    seconds = float(finish.max() - arrival[0])
    utilisation = 1.0 if workload.users else workload.rate / saturated
    stable = bool(workload.users) or (utilisation < 1 and not _queue_grows(arrival, start, finish))
    lines = run.timeline[: run.world.settings[0]["places"]]
    decoders = replicas[deployment.prompt_replicas :]
    return SimulationResult(
        arrival_seconds=arrival,
        start_seconds=start,
        first_token_seconds=first,
        finish_seconds=finish,
        input_tokens=workload.input_tokens[order],
        output_tokens=workload.output_tokens[order],
        replica=found["replica"].copy(),
        rejected=rejected,
        cut=cut,
        preemptions=int(replicas["preemptions"].sum()),
        prefix_hits=int(replicas["hits"].sum()),
        capacity_per_second=saturated,
        utilisation=utilisation,
        stable=stable,
        running_mean=float(replicas["running_area"].sum()) / seconds,
        cache_mean=float(decoders["blocks_area"].sum()) / (seconds * float(decoders["capacity"].sum())),
        cache_max=float((decoders["most_used"] / decoders["capacity"]).max()),
        busy=float(replicas["busy"].sum()) / (seconds * len(replicas)),
        gap_seconds=LEAST_GAP_SECONDS * np.exp(BIN_WIDTH * (np.arange(len(run.gaps)) + 0.5)),
        gap_counts=run.gaps,
        timeline=Timeline(
            seconds=lines[:, 0].copy(),
            running=lines[:, 1].copy(),
            waiting=lines[:, 2].copy(),
            cache_share=lines[:, 3].copy(),
        ),
        objective=objective,
        workload=workload.name,
        notes=(*workload.notes, *_notes(deployment, utilisation, stable, bool(workload.users), cut, rejected)),
    )


def _notes(
    deployment: _Deployment, utilisation: float, stable: bool, closed: bool, cut: int, rejected: Mapping[str, int]
) -> tuple[str, ...]:
    notes = [f"rejected: {count:,} {reason}" for reason, count in rejected.items()]
    if cut:
        notes.append(f"{cut:,} answers were cut to the context of {deployment.max_context:,} tokens")
    if math.isinf(utilisation):
        notes.append("all requests arrive at once: how long they wait says nothing of a steady load")
    elif utilisation >= 1:
        notes.append(
            f"requests arrive {utilisation:.2f} times as fast as they can be answered: the longer the run, the longer the waits"
        )
    elif not stable:
        notes.append("waits grow from the first requests to the last")
    if deployment.prefix is not None and not deployment.shared_blocks:
        why = "the engine keeps no prefixes" if not deployment.policy.prefix_cache else "it is shorter than a block"
        notes.append(f"the shared prefix saves nothing: {why}")
    if not has_compiler():
        notes.append("numba is missing or cannot be used here: the loop ran as plain Python, a hundred times slower")
    return tuple(notes)
