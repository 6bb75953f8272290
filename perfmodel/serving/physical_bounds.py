"""The latencies of a server that no effect, anchor or interval may beat: kernels at the limits of the chip.

May import: deployments, steady_answers, work and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.serving.deployments import Deployment
from perfmodel.serving.steady_answers import WHOLE_PROMPT, Server, SteadyState
from perfmodel.serving.step_table import Array, bilinear, interpolate
from perfmodel.serving.work import CHUNKS, CONTEXTS, SEQUENCES, TOKENS, Work


def bound_latencies(
    deployment: Deployment, server: Server, state: SteadyState, sizes: Mapping[str, Any]
) -> dict[str, Array]:
    """The physical bounds that no effect or anchor may beat, (n,): of a prompt alone, and of a step over its most
    tokens."""
    work, (batch, made, context) = deployment.work, running_step(server, state, sizes)
    step = interpolate(TOKENS, work.token.bound, made) + _over(work.decode, SEQUENCES, batch, context)
    tokens = np.atleast_1d(np.asarray(sizes["input_tokens"], dtype=float))
    chunks = np.maximum(tokens / (server.chunk_tokens or WHOLE_PROMPT), 1.0)
    chunk = tokens / chunks
    prompt = interpolate(TOKENS, work.token.bound, chunk)
    prompt = prompt + _over(work.prefill, CHUNKS, chunk, np.maximum(chunk, (tokens + chunk) / 2))
    return {"ttft": chunks * prompt, "tpot": step / (1 + server.drafts)}


def _over(work: Work, knots: Array, size: Array, context: Array) -> Array:
    """The bound of a kind of work at sizes and contexts between its knots."""
    return bilinear(knots, CONTEXTS, work.bound.reshape(len(knots), len(CONTEXTS)), size, context)


def running_step(server: Server, state: SteadyState, sizes: Mapping[str, Any]) -> tuple[Array, Array, Array]:
    """(sequences of a decoding step on one rank, tokens that it computes, keys that each sees)."""
    batch = np.maximum(state.running / server.groups, 1.0)
    context = np.atleast_1d(np.asarray(sizes["input_tokens"] + sizes["output_tokens"] / 2, dtype=float))
    return batch, batch * (1 + server.drafts), context
