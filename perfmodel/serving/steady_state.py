"""Mean latencies of a server in steady state, in closed form and for arrays of configurations.

Fixed concurrency: n users, each of whom sends the next request when the last one is answered. B of them decode.

    TPOT = step(B, T) + φ·(B/o)·(i/p)·[step(B, T, p) − step(B, T)]        p = min(k·i, chunk), k = λ/(1 − e^−λ), λ = B/o
    R    = ½·(−b + √(b² + 4·S·Z)),  Z = o·TPOT, b = Z − S·n    closed queue of prompts with service S
    TTFT = g + (a + …)·step(B, T) + s·prompt alone + q·(R − S) + u·(n − 1)/2·S + r·n + v·i
    B    = n·Z/(Z + TTFT)

Each of B sequences ends after o tokens, so that λ = B/o prompts of i tokens arrive in a step and k of those that arrive
together share one. Where prompts have steps of their own (`mixed` false), the bracket is step(0, p). With speculative
decoding a step handles 1 + d tokens of each sequence and makes `accepted` of them. Where memory holds fewer than n
sequences, the others wait for a place, (TTFT + o·TPOT)·(n/n_run − 1) on the mean.

Open loop (`at_rate`): B = rate·o·TPOT(B) (Little), a monotone fixed point; prompts wait as in M/G/1 with constant
service, ρS/(2(1 − ρ)). Above the highest stable rate there is no steady state, and the answer is that verdict.

Closed form against simulation: docs/serving.md. May import: errors, step_table, engine_coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.step_table import Array, StepTable, step_seconds

SETTLING = 3  # rounds of the fixed point between batch and latency: the third moves TPOT by less than 0.1 %
LEAST_EXTRA = 0.05  # share of a mixed step that a prompt adds at least
FEW_USERS = 16  # below, prompts of servers without mixed steps wait a third as many steps
# names of the terms of TPOT, then of TTFT
STEP, PROMPTS = "own steps", "prompts of others"
FIRST_TOKEN, RUNNING_STEPS, PROMPT = "fixed time of a request", "steps that run already", "own prompt"
QUEUE, BURST, PROMPT_TOKENS, USERS = (
    "queue of prompts",
    "burst of users",
    "reading prompt tokens",
    "users of the server",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Users of one attention rank in a closed loop; numbers or arrays.

    Args:
        users: requests in flight n. running: those memory and limits let run, at most n.
        input_tokens, output_tokens: i and o of a request, on the mean. chunk_tokens: of a prompt in one step.
        mixed: 1 where prompts share steps with running sequences. attention_data: ranks with users of their own.
        pipeline: batches in flight, each with users of its own.
        drafts: drafted tokens d of a step; 0 without speculative decoding.
    """

    users: Any
    running: Any
    input_tokens: Any
    output_tokens: Any
    chunk_tokens: Any
    mixed: Any = 1
    attention_data: Any = 1
    drafts: Any = 0
    pipeline: Any = 1

    @property
    def all_users(self) -> Any:
        """Users of the whole replica."""
        return self.users * self.attention_data * self.pipeline

    @property
    def context(self) -> Any:
        """Keys that a running sequence sees, on the mean."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def chunks(self) -> Any:
        """Steps that a prompt alone takes."""
        return np.maximum(self.input_tokens / self.chunk_tokens, 1.0)

    def prompts(self, batch: Any) -> tuple[Array, Array]:
        """Prompts that arrive in a step λ, and tokens of prompts p in a step that has any."""
        arriving = np.asarray(batch / self.output_tokens, dtype=float)
        together = arriving / -np.expm1(-arriving)
        alone = self.input_tokens / self.chunks
        return arriving, np.minimum(
            np.maximum(self.input_tokens * together, alone), np.maximum(self.chunk_tokens, alone)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Seconds of the three steps that decide a loop: sequences alone, with prompts, and a whole prompt alone."""

    decode: Array
    with_prompts: Array
    prompt: Array


def loop_steps(table: StepTable, loop: Loop, batch: Any) -> Steps:
    """The steps of a loop at a running batch, read from a table."""
    share = np.where(loop.mixed, 1.0, 0.0)
    _, prompt_tokens = loop.prompts(batch)
    chunk = loop.input_tokens / loop.chunks
    drafted = batch * loop.drafts
    decode = step_seconds(table, sequences=batch, context=loop.context, drafted_tokens=drafted)
    with_prompts = step_seconds(
        table,
        sequences=batch * share,
        context=loop.context,
        prefill_tokens=prompt_tokens,
        prefill_context=loop.input_tokens,
        prompts=np.maximum(prompt_tokens / loop.input_tokens, 1.0),
        drafted_tokens=drafted * share,
    )
    middle = np.maximum(chunk, (loop.input_tokens + chunk) / 2)
    prompt = step_seconds(table, sequences=0.0, context=0.0, prefill_tokens=chunk, prefill_context=middle)
    return Steps(decode=decode, with_prompts=with_prompts, prompt=prompt * loop.chunks)


def latencies(loop: Loop, steps: Steps, batch: Any, c: EngineCoefficients) -> tuple[Array, Array]:
    """(TPOT, TTFT) in seconds of a loop whose running batch is known; see the head of this file."""
    tpot, ttft = latency_terms(loop, steps, batch, c)
    return np.asarray(sum(tpot.values())), np.asarray(sum(ttft.values()))


def latency_terms(
    loop: Loop, steps: Steps, batch: Any, c: EngineCoefficients
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The terms that add up to TPOT, and those of TTFT, by name."""
    n, i, o = loop.running, loop.input_tokens, loop.output_tokens
    arriving, prompt_tokens = loop.prompts(batch)
    extra = np.where(
        loop.mixed, np.maximum(steps.with_prompts - steps.decode, LEAST_EXTRA * steps.with_prompts), steps.with_prompts
    )
    service = extra * i / prompt_tokens
    data = np.asarray(loop.attention_data) > 1
    seen = c["interference"] * np.where(data, c["attention_data_interference"], 1.0)
    tpot = {
        STEP: steps.decode * (1 + loop.drafts * c["draft_cost"]) / accepted_tokens(loop.drafts, c),
        PROMPTS: seen * arriving * service,
    }
    z = o * sum(tpot.values())
    b = z - service - (n - 1) * service
    response = (np.sqrt(b * b + 4 * service * z) - b) / 2
    few = np.where(loop.all_users >= FEW_USERS, 1.0, 1 / 3)
    waiting = c["waiting_steps"] + np.where(loop.mixed, 0.0, c["prefill_wait_steps"] * few)
    waiting = waiting + np.where(data, c["attention_data_steps"], 0.0)
    ttft = {
        FIRST_TOKEN: c["first_token_seconds"],
        RUNNING_STEPS: waiting * steps.decode,
        PROMPT: c["prefill_scale"] * steps.prompt,
        QUEUE: c["queue_share"] * (response - service),
        BURST: c["burst_share"] * (n - 1) / 2 * service,
        PROMPT_TOKENS: c["token_seconds"] * i,
        USERS: c["request_seconds"] * loop.all_users,
    }
    return tpot, ttft


def accepted_tokens(drafts: Any, c: EngineCoefficients) -> Any:
    """Tokens that a step makes of each sequence: 1 without drafts, linear between and beyond one and three."""
    slope = (c["accepted_3"] - c["accepted_1"]) / 2
    return np.where(np.asarray(drafts) > 0, np.maximum(c["accepted_1"] + slope * (np.asarray(drafts) - 1), 1.0), 1.0)


def settled_batch(loop: Loop, tpot: Array, ttft: Array) -> Array:
    """Sequences that decode at a time: the share of a request's life in which it does."""
    decoding = loop.output_tokens * tpot
    return np.asarray(np.maximum(loop.running * decoding / (decoding + ttft), np.minimum(loop.running, 1.0)))


def waiting_seconds(loop: Loop, tpot: Array, ttft: Array) -> Array:
    """What users who do not find a place wait, on the mean of all."""
    return np.asarray((ttft + loop.output_tokens * tpot) * np.maximum(loop.users / loop.running - 1, 0.0))
