"""A step table laid out for the loop over events, and the time of many steps at once.

A run of k decode steps of B sequences sees the mean contexts T + a, T + 2a, …, T + k·a; between two knots the table is
linear there, so that the steps of a piece add up as an arithmetic series,

    Σ = m·(first + ½·slope·a·(m − 1))        m steps, the first of which takes `first`

and how many of them fill a given time is the root of a quadratic. May import: step_table, compiling.
"""

from __future__ import annotations

import math

import numpy as np

from perfmodel.serving.compiling import compiled, compiled_entry
from perfmodel.serving.step_table import Array, StepTable, bilinear, interpolate

# rows of the layout; each begins with a knot at 0 and all are equally long
TOKEN_KNOTS, TOKEN_SECONDS = 0, 1  # of everything but attention and logits
CONTEXT_KNOTS = 2  # mean keys of running sequences
CHUNK_KNOTS, CHUNK_CONTEXTS = 3, 4  # tokens of a chunk, and keys that its last one sees
ALONE = 5  # + B: steps of B sequences without prompts


def shared_row(max_sequences: int) -> int:
    """+ B: what B sequences and the host add to a step that computes prompts, beside its tokens."""
    return ALONE + max_sequences + 1


def chunk_row(max_sequences: int) -> int:
    """+ knot: attention of a chunk of so many tokens, by context."""
    return shared_row(max_sequences) + max_sequences + 1


def lay_out(
    table: StepTable,
    *,
    max_sequences: int,
    capture_sizes: tuple[int, ...] = (),
    drafts: int = 0,
    draft_cost: float = 0.0,
    width: int = 0,
) -> Array:
    """A step table as the loop reads it: rows as named above, (rows, knots).

    Args:
        max_sequences: that run at once. capture_sizes: batches that steps without prompts are padded to.
        drafts: tokens drafted for each sequence in a step, which are computed with it. draft_cost: of one drafted
            token, as a share of a step without prompts. width: knots at least.
    """
    contexts = _from_zero(table.decode_context)
    batch = np.arange(max_sequences + 1, dtype=float)
    attention = bilinear(
        table.decode_batch, table.decode_context, table.decode_seconds, batch[:, None], contexts[None, :]
    )
    own = attention + (table.sequence_seconds * (1 + drafts) * batch)[:, None]
    sizes = np.asarray(capture_sizes, dtype=float)
    place = np.searchsorted(sizes, batch)
    padded = np.where(place < len(sizes), np.append(sizes, 0.0)[place], batch)
    work = interpolate(table.tokens, table.token_seconds, padded * (1 + drafts))
    undrafted = own + (work + table.fixed_seconds)[:, None]
    shared = own + undrafted * (drafts * draft_cost) + table.fixed_seconds
    shared[0] = table.fixed_seconds
    tokens, chunks, chunk_contexts = map(_from_zero, (table.tokens, table.prefill_tokens, table.prefill_context))
    by_chunk = bilinear(
        table.prefill_tokens, table.prefill_context, table.prefill_seconds, chunks[:, None], chunk_contexts[None, :]
    )
    width = max(width, *map(len, (tokens, contexts, chunks, chunk_contexts)))
    rows = [
        tokens[None, :], interpolate(table.tokens, table.token_seconds, tokens)[None, :], contexts[None, :],
        chunks[None, :], chunk_contexts[None, :], undrafted * (1 + drafts * draft_cost), shared,
        _lengthened(by_chunk.T, width).T,
    ]  # fmt: skip
    return np.concatenate([_lengthened(row, width) for row in rows])


def _from_zero(knots: Array) -> Array:
    """With a first knot at 0; the first value holds up to the first own knot."""
    return np.asarray(knots, dtype=float) if knots[0] <= 0 else np.concatenate([[0.0], knots])


def _lengthened(rows: Array, width: int) -> Array:
    """Longer rows of knots or values, on along the last piece."""
    beyond = np.arange(1, width - rows.shape[1] + 1)
    return np.concatenate([rows, rows[:, -1:] + beyond * (rows[:, -1:] - rows[:, -2:-1])], axis=1)


@compiled
def piece(times: Array, row: int, x: float) -> int:
    """The piece of a row of knots that x lies on: the last knot not above it, but never the very last one."""
    low, high = 0, times.shape[1] - 2
    while low < high:
        middle = (low + high + 1) >> 1
        if times[row, middle] <= x:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def line(times: Array, knots: int, row: int, x: float) -> float:
    """Linear between the knots of one row, values of another, and on along the last piece."""
    i = piece(times, knots, x)
    share = (x - times[knots, i]) / (times[knots, i + 1] - times[knots, i])
    return times[row, i] * (1.0 - share) + times[row, i + 1] * share  # type: ignore[no-any-return]


@compiled
def chunk_seconds(times: Array, row: int, tokens: float, context: float) -> float:
    """Attention of a chunk; its table begins at a row."""
    i, j = piece(times, CHUNK_KNOTS, tokens), piece(times, CHUNK_CONTEXTS, context)
    u = (tokens - times[CHUNK_KNOTS, i]) / (times[CHUNK_KNOTS, i + 1] - times[CHUNK_KNOTS, i])
    v = (context - times[CHUNK_CONTEXTS, j]) / (times[CHUNK_CONTEXTS, j + 1] - times[CHUNK_CONTEXTS, j])
    low = times[row + i, j] * (1.0 - v) + times[row + i, j + 1] * v
    high = times[row + i + 1, j] * (1.0 - v) + times[row + i + 1, j + 1] * v
    return low * (1.0 - u) + high * u  # type: ignore[no-any-return]


@compiled_entry
def run_seconds(times: Array, row: int, context: float, growth: float, steps: int) -> float:
    """Seconds of that many steps: the first sees `context` keys, each further one `growth` more."""
    total = 0.0
    i = piece(times, CONTEXT_KNOTS, context)
    last = times.shape[1] - 2
    while True:
        while i < last and times[CONTEXT_KNOTS, i + 1] < context:
            i += 1
        knot, following = times[CONTEXT_KNOTS, i], times[CONTEXT_KNOTS, i + 1]
        slope = (times[row, i + 1] - times[row, i]) / (following - knot)
        here = steps
        if i < last:
            here = min(steps, int((following - context) / growth) + 1)
        first = times[row, i] + slope * (context - knot)
        total += here * (first + 0.5 * slope * growth * (here - 1))
        steps -= here
        if steps <= 0:
            return total  # type: ignore[no-any-return]
        context += here * growth


@compiled_entry
def steps_until(times: Array, row: int, context: float, growth: float, most: int, seconds: float) -> int:
    """How many of such steps, one at least and `most` at most, it takes until `seconds` have passed."""
    done = 0
    i = piece(times, CONTEXT_KNOTS, context)
    last = times.shape[1] - 2
    while True:
        while i < last and times[CONTEXT_KNOTS, i + 1] < context:
            i += 1
        knot, following = times[CONTEXT_KNOTS, i], times[CONTEXT_KNOTS, i + 1]
        slope = (times[row, i + 1] - times[row, i]) / (following - knot)
        here = most - done
        if i < last:
            here = min(here, int((following - context) / growth) + 1)
        first = times[row, i] + slope * (context - knot)
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
