"""Step tables laid out for a loop over events, and the time of many steps at once.

A run of k decode steps of B sequences sees the mean contexts T + a, T + 2a, …, T + k·a; between two knots the table is
linear there, so that the steps of a piece add up as an arithmetic series,

    Σ = m·(first + ½·slope·a·(m − 1))        m steps, the first of which takes `first`

and how many of them fill a given time is the root of a quadratic. May import: step_table, compiling.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perfmodel.serving.compiling import compiled
from perfmodel.serving.step_table import Array, StepTable, bilinear, interpolate


class StepTimes(NamedTuple):
    """A step table for one scheduler; every row of knots begins at 0, and values hold below the first own knot.

    Args:
        token_knots, token_seconds: of everything but attention and logits.
        context_knots: mean keys of running sequences. alone_seconds: of a step of B of them without prompts
            (B, knots), padded to captured sizes, drafts included. shared_seconds: what they and the host add to a step
            that computes prompts, beside its tokens (B, knots).
        chunk_knots, chunk_context_knots, chunk_seconds: attention of a chunk of a prompt.
    """

    token_knots: Array
    token_seconds: Array
    context_knots: Array
    alone_seconds: Array
    shared_seconds: Array
    chunk_knots: Array
    chunk_context_knots: Array
    chunk_seconds: Array


def step_times(
    table: StepTable,
    *,
    max_sequences: int,
    capture_sizes: tuple[int, ...] = (),
    drafts: int = 0,
    draft_cost: float = 0.0,
) -> StepTimes:
    """A step table as the loop reads it.

    Args:
        max_sequences: that run at once. capture_sizes: batches that steps without prompts are padded to.
        drafts: tokens drafted for each sequence in a step, which are computed with it. draft_cost: of one drafted
            token, as a share of a step without prompts.
    """
    tokens, token_seconds = _from_zero(table.tokens, table.token_seconds)
    contexts, _ = _from_zero(table.decode_context, table.decode_context)
    batch = np.arange(max_sequences + 1, dtype=float)
    attention = bilinear(
        table.decode_batch, table.decode_context, table.decode_seconds, batch[:, None], contexts[None, :]
    )
    own = attention + (table.sequence_seconds * (1 + drafts) * batch)[:, None]
    sizes = np.asarray(capture_sizes, dtype=float)
    place = np.searchsorted(sizes, batch)
    padded = np.where(place < len(sizes), np.append(sizes, 0.0)[place], batch)
    work = interpolate(table.tokens, table.token_seconds, padded * (1 + drafts))
    alone = (own + (work + table.fixed_seconds)[:, None]) * (1 + drafts * draft_cost)
    drafting = alone * (drafts * draft_cost / (1 + drafts * draft_cost))
    shared = own + drafting + table.fixed_seconds
    shared[0] = table.fixed_seconds
    chunks, chunk_seconds = _from_zero(table.prefill_tokens, table.prefill_seconds)
    chunk_contexts, by_context = _from_zero(table.prefill_context, chunk_seconds.T)
    return StepTimes(
        token_knots=tokens,
        token_seconds=token_seconds,
        context_knots=contexts,
        alone_seconds=np.ascontiguousarray(alone),
        shared_seconds=np.ascontiguousarray(shared),
        chunk_knots=chunks,
        chunk_context_knots=chunk_contexts,
        chunk_seconds=np.ascontiguousarray(by_context.T),
    )


def _from_zero(knots: Array, values: Array) -> tuple[Array, Array]:
    """The same table with a first knot at 0, where the first value holds."""
    knots, values = np.asarray(knots, dtype=float), np.asarray(values, dtype=float)
    if knots[0] <= 0:
        return np.ascontiguousarray(knots), np.ascontiguousarray(values)
    return np.concatenate([[0.0], knots]), np.concatenate([values[:1], values])


@compiled
def piece(knots: Array, x: float) -> int:
    """The piece that x lies on: the last knot not above it, but never the very last one."""
    low, high = 0, len(knots) - 2
    while low < high:
        middle = (low + high + 1) >> 1
        if knots[middle] <= x:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def line(knots: Array, values: Array, x: float) -> float:
    """Linear between knots, and on along the last piece."""
    i = piece(knots, x)
    return values[i] + (values[i + 1] - values[i]) / (knots[i + 1] - knots[i]) * (x - knots[i])  # type: ignore[no-any-return]


@compiled
def plane(rows: Array, columns: Array, values: Array, x: float, y: float) -> float:
    """As `line` over two sizes."""
    i, j = piece(rows, x), piece(columns, y)
    u = (x - rows[i]) / (rows[i + 1] - rows[i])
    v = (y - columns[j]) / (columns[j + 1] - columns[j])
    low = values[i, j] * (1 - v) + values[i, j + 1] * v
    high = values[i + 1, j] * (1 - v) + values[i + 1, j + 1] * v
    return low * (1 - u) + high * u  # type: ignore[no-any-return]


@compiled
def run_seconds(knots: Array, values: Array, context: float, growth: float, steps: int) -> float:
    """Seconds of that many steps: the first sees `context` keys, each further one `growth` more."""
    total = 0.0
    i = piece(knots, context)
    last = len(knots) - 2
    while True:
        while i < last and knots[i + 1] < context:
            i += 1
        slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
        here = steps
        if i < last:
            here = min(steps, int((knots[i + 1] - context) / growth) + 1)
        first = values[i] + slope * (context - knots[i])
        total += here * (first + 0.5 * slope * growth * (here - 1))
        steps -= here
        if steps <= 0:
            return total
        context += here * growth


@compiled
def steps_until(knots: Array, values: Array, context: float, growth: float, most: int, seconds: float) -> int:
    """How many of such steps, one at least and `most` at most, it takes until `seconds` have passed."""
    done = 0
    i = piece(knots, context)
    last = len(knots) - 2
    while True:
        while i < last and knots[i + 1] < context:
            i += 1
        slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
        here = most - done
        if i < last:
            here = min(here, int((knots[i + 1] - context) / growth) + 1)
        first = values[i] + slope * (context - knots[i])
        longer = 0.5 * slope * growth
        whole = here * (first + longer * (here - 1))
        if whole >= seconds:
            return done + _steps_filling(first, longer, here, seconds)
        seconds -= whole
        done += here
        if done >= most:
            return most
        context += here * growth


@compiled
def _steps_filling(first: float, longer: float, most: int, seconds: float) -> int:
    """The fewest steps m with m·(first + longer·(m − 1)) >= seconds; `most` are enough."""
    b = first - longer
    root = 2.0 * seconds / (b + math.sqrt(max(b * b + 4.0 * longer * seconds, 0.0)))
    m = min(max(int(root), 1), most)
    while m < most and m * (first + longer * (m - 1)) < seconds:  # rounding, one step either way
        m += 1
    while m > 1 and (m - 1) * (first + longer * (m - 2)) >= seconds:
        m -= 1
    return m
