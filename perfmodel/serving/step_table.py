"""How long one step of an engine takes, tabulated once for a deployment and read by interpolation.

    step(B, T, p, k) = tokens(B + p + d) + decode(B, T) + n·prefill(p/n, k) + fixed + per sequence·(B + d)

A step computes one token of each of B running sequences, whose caches hold T tokens each on average, d tokens guessed
ahead for them, and p tokens of n prompts. Everything but attention and logits sees only how many tokens there are:
weights are read once for all of them. Attention of a sequence depends on its own keys; logits are made of one token of
each sequence. Between the knots the tables are linear: kernels are, but for their steps.

May import: errors, arithmetic, types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """Step times of a deployment on one rank; all times in seconds.

    Args:
        tokens: knots, ascending (n,). token_seconds: of everything but attention and logits, at that many tokens (n,).
        decode_batch: knots (b,). decode_context: knots (c,). decode_seconds: attention and logits of that many
            sequences with that many keys each (b, c).
        prefill_tokens: knots (p,). prefill_context: knots (k,). prefill_seconds: attention of a chunk of a prompt whose
            last token sees that many keys, and logits of one token (p, k).
        fixed_seconds: host time of a step. sequence_seconds: host time for each sequence that makes a token.
        mixed: prompts and running sequences share steps; else a step is one or the other.
    """

    tokens: Array
    token_seconds: Array
    decode_batch: Array
    decode_context: Array
    decode_seconds: Array
    prefill_tokens: Array
    prefill_context: Array
    prefill_seconds: Array
    fixed_seconds: float = 0.0
    sequence_seconds: float = 0.0
    mixed: bool = True


def step_seconds(
    table: StepTable,
    *,
    sequences: Any,
    context: Any,
    prefill_tokens: Any = 0.0,
    prefill_context: Any = 0.0,
    prompts: Any = 1.0,
    drafted_tokens: Any = 0.0,
) -> Array:
    """Seconds of a step, for numbers or arrays.

    Args:
        sequences: running sequences B that make a token each. context: tokens in the cache of each, on average.
        prefill_tokens: tokens of prompts p in this step. prefill_context: keys that the last of them sees.
        prompts: that these tokens are of, as many of each: attention is of each alone.
        drafted_tokens: guessed ahead for the running sequences, and computed with them: their keys are read once.
    """
    sizes = (sequences, context, prefill_tokens, prefill_context, prompts, drafted_tokens)
    b, t, p, k, n, d = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in sizes))
    total = interpolate(table.tokens, table.token_seconds, b + p + d)
    total = total + np.where(b > 0, bilinear(table.decode_batch, table.decode_context, table.decode_seconds, b, t), 0.0)
    own = p / n
    chunk = n * bilinear(table.prefill_tokens, table.prefill_context, table.prefill_seconds, own, np.maximum(k, own))
    return np.asarray(total + np.where(p > 0, chunk, 0.0) + table.fixed_seconds + table.sequence_seconds * (b + d))


def interpolate(knots: Array, values: Array, x: Any) -> Array:
    """Linear between knots, and on along the last piece beyond them.

    >>> interpolate(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 6.0]), [1.5, 3.0, 5.0]).tolist()
    [1.5, 4.0, 8.0]
    """
    x = np.asarray(x, dtype=float)
    place, share = piece_of(knots, x)
    return np.asarray(values[place] * (1 - share) + values[place + 1] * share)


def bilinear(rows: Array, columns: Array, values: Array, x: Any, y: Any) -> Array:
    """As `interpolate` over two sizes; values (rows, columns)."""
    i, u = piece_of(rows, np.asarray(x, dtype=float))
    j, v = piece_of(columns, np.asarray(y, dtype=float))
    low = values[i, j] * (1 - v) + values[i, j + 1] * v
    high = values[i + 1, j] * (1 - v) + values[i + 1, j + 1] * v
    return np.asarray(low * (1 - u) + high * u)


def piece_of(knots: Array, x: Array) -> tuple[np.ndarray[Any, np.dtype[np.intp]], Array]:
    """The piece that x lies on, and how far along; below the first knot the first value holds."""
    # np.clip looks up the limits of the dtype at each call, which takes longer than all the rest
    place = np.minimum(np.maximum(np.searchsorted(knots, x, side="right") - 1, 0), len(knots) - 2)
    share = (x - knots[place]) / (knots[place + 1] - knots[place])
    return place, np.maximum(share, 0.0)
