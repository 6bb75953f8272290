"""Simulation of a deployment, step by step: every request, from arrival to its last token.

The engine's scheduler decides each step as `batching` tells; a step takes what the step table says; steps between two
decisions are one event, their times added up in closed form. A few hundred thousand requests take a second.

    result = simulate(table, policy, workload, kv_capacity_tokens=400_000, max_context=8192)
    percentiles(result, "ttft")["p99"]

May import: errors, engines, step_table, workload, simulation_settings, simulation_result, simulation_run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.compiling import has_compiler
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.simulation_result import SimulationResult, Timeline
from perfmodel.serving.simulation_run import Deployment, Run, Watch, run_workload
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

SATURATED_ROUNDS = 16  # of requests that run at once, in the run that finds the highest rate
LEAST_SATURATED = 2000
SETTLED = (0.25, 0.75)  # the part of its answers that is looked at
_IN_STEP = (
    "all requests are alike: users who start together stay together, and their prompts wait for each other; "
    "spread the lengths, or let users think"
)
NEAR = 0.95  # of the highest rate, from which waits depend on how long the run is


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
    watch: Watch | None = None,
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
        watch: of two runs, of the workload and then of one that finds the highest rate (`simulation_run.run_workload`).

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
    deployment = Deployment(
        table=table, policy=policy, capacity_tokens=kv_capacity_tokens, max_context=max_context,
        replicas=disaggregation.prompt_replicas + disaggregation.decode_replicas if disaggregation else replicas,
        router=router, seed=seed, speculation=speculation, prefix=prefix, disaggregation=disaggregation,
        front_end=front_end,
    )  # fmt: skip
    served, rejected, cut = _servable(deployment, workload)
    run = run_workload(deployment, served, watch)
    saturated = _saturated_rate(deployment, served, watch)
    return _result(deployment, served, run, saturated, rejected, cut, objective)


# ------------------------------------------------------------------------------------------------ what is served


def _servable(deployment: Deployment, workload: Workload) -> tuple[Workload, dict[str, int], int]:
    """(the requests that can be served, reason -> requests that cannot, answers that were cut)."""
    prompts = workload.input_tokens
    room = deployment.max_context - prompts
    answers = np.minimum(workload.output_tokens, np.maximum(room, 1)).astype(np.int32)
    block = deployment.policy.block_tokens
    longest = prompts.astype(np.int64) + answers + math.ceil(deployment.accepted)
    too_long = room < 1
    too_large = (-(-longest // block) > deployment.blocks) | (-(-prompts // block) > deployment.prompt_blocks)
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


# ----------------------------------------------------------------------------------------------------- the verdict


def _saturated_rate(deployment: Deployment, workload: Workload, watch: Watch | None) -> float:
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
    saturated = run_workload(replace(deployment, front_end=FrontEnd()), crowd, watch)
    finish = np.sort(saturated.world.requests["finish"])
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
    deployment: Deployment, workload: Workload, run: Run, saturated: float, rejected: Mapping[str, int], cut: int,
    objective: Objective,
) -> SimulationResult:  # fmt: skip
    from perfmodel.serving.event_records import BIN_WIDTH, LEAST_GAP_SECONDS

    requests, replicas = run.world.requests, run.world.replicas
    for moment in ("first", "finish"):
        requests[moment] += requests["delay"]
    # columns of the records themselves where they are in order: copies of millions would be the larger part of memory
    order: Any = np.argsort(requests["arrival"], kind="stable") if workload.users else slice(None)
    arrival, start, first, finish = (requests[name][order] for name in ("arrival", "start", "first", "finish"))
    seconds = float(finish.max() - arrival[0])
    rate = len(requests) / seconds if workload.users else workload.rate
    utilisation = rate / saturated
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
        replica=requests["replica"][order],
        rejected=rejected,
        cut=cut,
        preemptions=int(replicas["preemptions"].sum()),
        prefix_hits=int(replicas["hits"].sum()),
        capacity_per_second=saturated,
        utilisation=utilisation,
        stable=stable,
        running_mean=float(replicas["running_area"].sum()) / seconds,
        cache_mean=min(float(decoders["blocks_area"].sum()) / (seconds * float(decoders["capacity"].sum())), 1.0),
        cache_max=float((decoders["most_used"] / decoders["capacity"]).max()),
        busy=min(float(replicas["busy"].sum()) / (seconds * len(replicas)), 1.0),  # but for rounding
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
        notes=(*workload.notes, *_notes(deployment, rejected, cut), *_verdict(workload, utilisation, stable)),
    )


def _notes(deployment: Deployment, rejected: Mapping[str, int], cut: int) -> list[str]:
    notes = [f"rejected: {count:,} {reason}" for reason, count in rejected.items()]
    if cut:
        notes.append(f"{cut:,} answers were cut to the context of {deployment.max_context:,} tokens")
    if deployment.prefix is not None and not deployment.shared_blocks:
        why = "the engine keeps no prefixes" if not deployment.policy.prefix_cache else "it is shorter than a block"
        notes.append(f"the shared prefix saves nothing: {why}")
    if not has_compiler():
        notes.append("numba is missing or cannot be used here: the loop ran as plain Python, a hundred times slower")
    return notes


def _verdict(workload: Workload, utilisation: float, stable: bool) -> list[str]:
    if workload.users:
        together = workload.users > 1 and not len(workload.think_seconds)
        alike = np.ptp(workload.input_tokens) == 0 and np.ptp(workload.output_tokens) == 0
        return [_IN_STEP] if together and alike else []
    if math.isinf(utilisation):
        return ["all requests arrive at once: their waits say nothing of a steady load"]
    if utilisation >= 1:
        return [
            f"requests arrive {utilisation:.2f} times as fast as they can be answered: the longer this goes on, "
            "the longer they wait"
        ]
    if not stable:
        return ["waits grow from the first requests to the last"]
    if utilisation > NEAR:
        return [f"at {utilisation:.2f} of the highest rate waits depend on how long the run is"]
    return []
