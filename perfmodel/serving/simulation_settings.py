"""What a simulation may be given beside a step table, a policy and requests.

May import: errors, step_table, workload.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perfmodel.errors import InputError, UnknownNameError
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.step_table import Array, StepTable

ROUTERS = ("round-robin", "random", "least-loaded", "prefix-aware")
LEAST_LINK = 1.0  # bytes per second; far below, caches would arrive after all time that numbers can tell
MAX_REPLICAS = 8192
MAX_SEQUENCES = 65_536  # on one replica
MAX_STARTS = 50_000_000  # groups times replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Speculative decoding: drafted tokens are checked together with the next one.

    Args:
        drafts: tokens drafted for a sequence in a step. accepted: tokens a step makes of it on the mean, its own
            included; all sequences make as many. draft_cost: of one drafted token, as a share of a step.
    """

    drafts: int
    accepted: float
    draft_cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPrefix:
    """Prompts that begin alike, as with system prompts.

    Args:
        groups: how many such beginnings; requests are spread over them evenly, at random. tokens: of each, rounded down
            to whole blocks. Prompts that are no longer than it are in no group.
    """

    groups: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disaggregation:
    """Replicas that compute prompts, and others that decode; caches move over each prompt replica's link, one by one.

    Args:
        prompt_replicas, decode_replicas: how many of each.
        cache_bytes_per_token: of the KV cache. link_bytes_per_second: of a prompt replica.
        prompt_table: step times of prompt replicas; None: those of the others. prompt_capacity_tokens: their cache; 0:
            as large as the others'.
    """

    prompt_replicas: int
    decode_replicas: int
    cache_bytes_per_token: float
    link_bytes_per_second: float
    prompt_table: StepTable | None = None
    prompt_capacity_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """What delays an answer outside of the steps: its first token and all after it come that much later.

    Args:
        request_seconds: load generator, tokeniser, network. input_token_seconds: for each token of the prompt.
        in_flight_seconds: for each request in flight when it arrives. waiting_steps: decode steps, as long as they are
            when its prompt is computed (of this request alone, if no other decodes), beyond those that the simulation
            itself shows.
    """

    request_seconds: float = 0.0
    input_token_seconds: float = 0.0
    in_flight_seconds: float = 0.0
    waiting_steps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a request must keep to be good; None: no limit.

    Args:
        ttft_seconds: to its first token. tpot_seconds: for each further token, on the mean of its answer.
    """

    ttft_seconds: float | None = None
    tpot_seconds: float | None = None


def check_settings(
    policy: EnginePolicy,
    *,
    kv_capacity_tokens: float,
    max_context: int,
    replicas: int,
    router: str,
    speculation: Speculation | None,
    prefix: SharedPrefix | None,
    disaggregation: Disaggregation | None,
    front_end: FrontEnd,
    objective: Objective,
) -> None:
    """
    Raises:
        UnknownNameError: no such router. InputError: naming everything else that makes no sense.
    """
    if router not in ROUTERS:
        raise UnknownNameError("router", router, ROUTERS, f"Routers: {', '.join(ROUTERS)}")
    counts = {"max_context": max_context, "replicas": replicas}
    positive: dict[str, float] = {"KV capacity": kv_capacity_tokens}
    natural: dict[str, float] = {
        "request_seconds": front_end.request_seconds,
        "input_token_seconds": front_end.input_token_seconds,
        "in_flight_seconds": front_end.in_flight_seconds,
        "waiting_steps": front_end.waiting_steps,
    }
    if disaggregation is not None:
        counts |= {
            "prompt_replicas": disaggregation.prompt_replicas,
            "decode_replicas": disaggregation.decode_replicas,
        }
        positive["link_bytes_per_second"] = disaggregation.link_bytes_per_second
        natural |= {
            "cache_bytes_per_token": disaggregation.cache_bytes_per_token,
            "prompt_capacity_tokens": disaggregation.prompt_capacity_tokens,
        }
    if prefix is not None:
        counts |= {"prefix groups": prefix.groups, "prefix tokens": prefix.tokens}
    if speculation is not None:
        counts["drafts"] = speculation.drafts
        natural["draft_cost"] = speculation.draft_cost
    for name, limit in (("TTFT", objective.ttft_seconds), ("TPOT", objective.tpot_seconds)):
        if limit is not None:
            positive[f"{name} objective"] = limit
    problems = [f"{name} must be a whole number of at least 1, not {n}" for name, n in counts.items() if n < 1]
    problems += [
        f"{name} must be above 0, not {value:g}" for name, value in positive.items() if not 0 < value < math.inf
    ]
    problems += [
        f"{name} must be 0 or more, not {value:g}" for name, value in natural.items() if not 0 <= value < math.inf
    ]
    total = max(replicas, 1)
    if disaggregation is not None:
        total = disaggregation.prompt_replicas + disaggregation.decode_replicas
        if replicas != 1:
            problems.append("replicas are those of the disaggregation: leave the number of replicas at 1")
        if 0 < disaggregation.link_bytes_per_second < LEAST_LINK:
            told = f"a link of {disaggregation.link_bytes_per_second:g} B/s moves no cache in any time"
            problems.append(f"{told}: {LEAST_LINK:g} B/s at least")
    if not 1 <= policy.max_sequences <= MAX_SEQUENCES:
        problems.append(f"between 1 and {MAX_SEQUENCES:,} sequences can run at once, not {policy.max_sequences:,}")
    if total > MAX_REPLICAS:
        problems.append(f"{total:,} replicas are more than {MAX_REPLICAS:,}")
    if prefix is not None and prefix.groups * total > MAX_STARTS:
        problems.append(f"{prefix.groups:,} prefix groups on {total:,} replicas are too many to follow")
    if speculation is not None and not 1 <= speculation.accepted <= 1 + speculation.drafts:
        problems.append(
            f"{speculation.accepted:g} tokens a step do not lie between 1 and {1 + speculation.drafts}, drafts and one"
        )
    if kv_capacity_tokens > 0 and kv_capacity_tokens < policy.block_tokens:
        problems.append(f"a cache of {kv_capacity_tokens:g} tokens has no whole block of {policy.block_tokens}")
    if problems:
        raise InputError(f"simulation: {'; '.join(problems)}")


def check_table(table: StepTable) -> None:
    """
    Raises:
        InputError: knots that do not ascend, or steps that take no time.
    """
    problems = []
    knots = {
        "tokens": table.tokens,
        "decode_batch": table.decode_batch,
        "decode_context": table.decode_context,
        "prefill_tokens": table.prefill_tokens,
        "prefill_context": table.prefill_context,
    }
    for name, values in knots.items():
        if len(values) < 2 or np.any(np.diff(values) <= 0) or values[0] < 0:
            problems.append(f"{name} must be two or more ascending knots from 0 on")
    times: dict[str, Array] = {
        "token_seconds": table.token_seconds,
        "decode_seconds": table.decode_seconds,
        "prefill_seconds": table.prefill_seconds,
    }
    for name, values in times.items():
        if not np.all(np.isfinite(values) & (values >= 0)):
            problems.append(f"{name} must be finite and not negative")
    if not problems and float(np.min(table.token_seconds)) + table.fixed_seconds <= 0:
        problems.append("a step must take some time: token_seconds and fixed_seconds are 0")
    if problems:
        raise InputError(f"step table: {'; '.join(problems)}")
