"""How far back each byte of a graph was last touched: what a CPU's caches still hold when an op reads it.

    graph ──touches_of──▶ Touches (once) ──cached_shares(bytes of the ops)──▶ share of an op's bytes in each cache

The reuse distance d of a tensor is the bytes that ops move between its last use and this one, this op's included. A
cache of C bytes holds 1/(1 + (d/C)^n) of it: a soft edge, since sets, allocators and prefetchers blur it. Weights come
round once a pass, so their distance is the traffic of a whole pass. Outputs go where memory was freed last: their
distance is the traffic of the op and the one before.

Source: stack distances, Mattson et al. 1970, "Evaluation techniques for storage hierarchies".

May import: precisions, sizes, types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np

from perfmodel.precisions import element_bytes
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Op, Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
INNER_SHARPNESS, LAST_SHARPNESS = 3, 6  # n
_OUTPUT, _ONCE_A_PASS = -1, -2


@dataclass(frozen=True, slots=True)
class Touches:
    """Who touches which tensor after whom.

    Args:
        ops: position of an op in the graph. before: of the op that touched the same tensor last, or `_OUTPUT`,
            `_ONCE_A_PASS`. elements: row of the tensor's size among the program's evaluated sizes. widths: bytes per
            element. All of shape (touches,).
        repeats: how often each op runs. blocks: number of its run of repeated ops, (ops,).
    """

    ops: Array
    before: Array
    elements: Array
    widths: Array
    repeats: Array
    blocks: Array


def touches_of(graph: Graph, rows: dict[Any, int]) -> Touches:
    """Read off a graph who touches which tensor after whom.

    Args:
        rows: every distinct size -> its row, as in a program; the tensors' are added.
    """
    last: dict[str, int] = {}
    viewed: dict[str, str] = {}
    touches: list[tuple[int, int, int, float]] = []
    for position, op in enumerate(graph.ops):
        inputs = dict.fromkeys(viewed.get(name, name) for name in op.inputs)
        if op.kind == "view":
            viewed |= dict.fromkeys(op.outputs, next(iter(inputs), ""))
            continue
        known = [(name, last.get(name, _ONCE_A_PASS)) for name in inputs if name in graph.tensors]
        parts = _parts_touched(op, graph)
        for name, before in known + [(name, _OUTPUT) for name in op.outputs]:
            tensor = graph.tensors[name]
            row = rows.setdefault(parts.get(name, _elements(tensor)), len(rows))
            touches.append((position, before, row, element_bytes(tensor.dtype)))
            last[name] = position
    columns = np.array(touches, dtype=float).reshape(-1, 4)  # none where a graph is nothing but views
    ops, last_uses, elements = (columns[:, place].astype(np.int64) for place in range(3))
    repeats = np.array([op.repeat for op in graph.ops], dtype=float)
    changes = [left.block != right.block or not left.block for left, right in pairwise(graph.ops)]
    return Touches(ops, last_uses, elements, columns[:, 3], repeats, np.cumsum([0, *changes]))


def _parts_touched(op: Op, graph: Graph) -> dict[str, Dim]:
    """Elements of the tensors that an op handles a part of: lookups read as much as they write; what is put in place
    reads and writes its values alone."""
    inputs, outputs = ([graph.tensors[name] for name in names] for names in (op.inputs, op.outputs))
    if op.kind in ("gather", "embedding") and inputs:
        return {inputs[-1 if op.kind == "embedding" else 0].name: sum((_elements(each) for each in outputs), start=0)}
    if op.kind == "scatter" and inputs:
        return dict.fromkeys((inputs[0].name, *op.outputs), _elements(inputs[-1]))
    if op.kind == "cache_append":
        return {cache.name: _elements(new) for new, cache in zip(inputs, outputs, strict=False)}
    return {}


def _elements(tensor: Tensor) -> Dim:
    return prod(tensor.shape, start=1)


def cached_shares(touches: Touches, elements: Array, op_bytes: Array, caches: Sequence[float]) -> list[Array]:
    """The share of each op's bytes that each cache has, from the innermost; the rest comes from memory.

    Args:
        elements: of all sizes, (sizes, configurations). op_bytes: that one run of each op moves, (ops, configurations).
        caches: capacities in bytes, an inner one and the last one, or the last one alone.
    """
    distance = _distances(touches, op_bytes)
    size = elements[touches.elements] * touches.widths[:, None]
    total = np.maximum(_by_op(touches, size), 1)
    return [_by_op(touches, size * share) / total for share in held_shares(distance, caches)]


def held_shares(distance: Array, caches: Sequence[float]) -> list[Array]:
    """The share of bytes of a reuse distance that each cache has, from the innermost.

    >>> [float(round(share, 3)) for share in held_shares(np.array(2e6), (1e6, 32e6))]
    [0.111, 0.889]
    """
    found: list[Array] = []
    held = np.zeros_like(distance)
    for place, capacity in enumerate(caches):
        sharpness = LAST_SHARPNESS if place == len(caches) - 1 else INNER_SHARPNESS
        within = np.maximum(1 / (1 + (distance / capacity) ** sharpness), held)
        found.append(within - held)
        held = within
    return found


def _distances(touches: Touches, op_bytes: Array) -> Array:
    """Reuse distances, (touches, configurations)."""
    once = np.cumsum(op_bytes, axis=0)
    ops, before = touches.ops, touches.before
    other_turns = (touches.repeats - 1)[:, None] * op_bytes
    turns = np.cumsum(other_turns, axis=0)
    last_of_block = np.append(np.flatnonzero(np.diff(touches.blocks)), len(touches.blocks) - 1)
    through = turns[last_of_block][touches.blocks]  # to the end of an op's own block
    until = np.vstack([np.zeros((1, op_bytes.shape[1])), turns[last_of_block]])[touches.blocks]  # to its beginning
    own = op_bytes[ops]
    reached = np.maximum(before, 0)
    between = once[ops] - once[reached] + np.maximum(until[ops] - through[reached], 0)
    output = own + np.where((ops > 0)[:, None], op_bytes[np.maximum(ops - 1, 0)], 0)
    whole = once[-1] + turns[-1]
    return np.where((before == _OUTPUT)[:, None], output, np.where((before == _ONCE_A_PASS)[:, None], whole, between))


def _by_op(touches: Touches, values: Array) -> Array:
    found = np.zeros((len(touches.repeats), values.shape[1]))
    np.add.at(found, touches.ops, values)
    return found
