"""The tensors of a graph as one device of a layout has them: parts of heads, widths, experts, vocabulary.

Dimensions are those of `SPLITS`; what is computed from them follows: an op that works element by element gives what it
gets, a linear layer has the rows of its output and the columns of its input. Nothing is said here of tokens, which
collectives move (shard_collectives.py).

May import: errors, layouts, precisions, sizes, types, shard_counts, shard_roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from perfmodel.graphs.shard_counts import Block, Findings, Shares, base_name
from perfmodel.graphs.shard_roles import EXPERTS, SPLITS, VOCABULARY
from perfmodel.graphs.stored_weights import unnumbered
from perfmodel.layouts import Layout
from perfmodel.precisions import find_format
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Op, Tensor

_FOLLOWING_KINDS = ("normalization", "pointwise", "causal_convolution")
Parts = Sequence[tuple[int, int]]  # (rows of the whole, rows of one device), from top to bottom


def own_tensors(
    graph: Graph, blocks: Sequence[Block], shares: Mapping[str, Shares], layout: Layout, findings: Findings
) -> dict[str, Tensor]:
    """All tensors of a graph as one device has them.

    Args:
        shares: what each block shares, by its name.
    """
    own = dict(graph.tensors)
    cuts = {op.inputs[0]: op for op in graph.ops if op.kind == "view"}
    for name, tensor in graph.tensors.items():
        block, split = _place(name, blocks)
        if split:
            own[name] = replace(tensor, shape=_split(tensor.shape, split, shares[block], layout))
    for op in graph.ops:
        base = base_name(op.name, op.block)
        if base == EXPERTS:
            _experts(op, graph, own, layout)
        elif op.kind == "linear":
            _linear(op, graph, own, cuts)
        elif op.kind in _FOLLOWING_KINDS:
            _follow(op, graph, own)
    for name, tensor in own.items():
        if tensor != graph.tensors[name]:
            _check_format(graph.tensors[name], tensor, findings)
    return own


def _place(name: str, blocks: Sequence[Block]) -> tuple[str, tuple[int, str] | None]:
    """The block of a tensor, and how it is split."""
    for block in blocks:
        if block.name and name.startswith(f"{block.name}."):
            return block.name, SPLITS.get(unnumbered(base_name(name, block.name)))
    return "", SPLITS.get(unnumbered(name))


def _split(shape: tuple[Dim, ...], split: tuple[int, str], shares: Shares, layout: Layout) -> tuple[Dim, ...]:
    axis, what = split
    dim = shape[axis]
    assert isinstance(dim, int)
    if what == VOCABULARY:
        part = -(-dim // layout.tensor)
    else:
        whole, own = shares[what]
        part = max(dim * own // whole, 1)
    return (*shape[:axis], part, *shape[axis + 1 :])


# -------------------------------------------------------------------------------------------- what follows


def _follow(op: Op, graph: Graph, own: dict[str, Tensor]) -> None:
    """Outputs shaped like an input, and a norm's weights."""
    inputs = [graph.tensors[name] for name in op.inputs]
    for place, name in enumerate(op.outputs):
        nearest = [*inputs[place : place + 1], *inputs]
        like = next((x for x in nearest if x.kind != "weight" and x.shape == graph.tensors[name].shape), None)
        if like and own[name] == graph.tensors[name]:
            own[name] = replace(own[name], shape=own[like.name].shape)
    if op.kind == "normalization":
        before, after = _channels(inputs[0].shape), _channels(own[inputs[0].name].shape)
        for weight in (x for x in inputs if x.kind == "weight"):
            size = weight.shape[0]
            assert isinstance(size, int)
            part = own[inputs[0].name].shape[-1] if size == inputs[0].shape[-1] else size * after // before
            own[weight.name] = replace(weight, shape=(part,))


def _linear(op: Op, graph: Graph, own: dict[str, Tensor], cuts: Mapping[str, Op]) -> None:
    """Rows of the output, columns of the input; the output of a fused projection is what its parts add up to."""
    x, y = op.inputs[0], op.outputs[0]
    parts: Parts = [(_last(graph.tensors[y]), _last(own[y]))]
    if y in cuts and any(own[part] != graph.tensors[part] for part in cuts[y].outputs):
        cut = [(_channels(graph.tensors[part].shape), _channels(own[part].shape)) for part in cuts[y].outputs]
        positions = sum(whole for whole, _ in cut) // parts[0][0]  # of an image: their number is no symbol
        parts = [(whole // positions, part // positions) for whole, part in cut]
        own[y] = replace(own[y], shape=(*own[y].shape[:-1], sum(part for _, part in parts)))
    start = {1: 0, 2: 0}  # a bias may lie in several pieces, as a weight may
    for name in op.inputs[1:]:
        weight = graph.tensors[name]
        axis = 0 if len(weight.shape) == 1 else len(weight.shape) - 2
        rows = weight.shape[axis]
        assert isinstance(rows, int)
        own_rows = _rows(parts, start[len(weight.shape)], rows)
        start[len(weight.shape)] += rows
        columns = () if len(weight.shape) == 1 else (own[x].shape[-1],)
        own[name] = replace(weight, shape=(*weight.shape[:axis], own_rows, *columns))


def _rows(parts: Parts, start: int, count: int) -> int:
    """How many of `count` rows from `start` on one device has.

    >>> _rows([(8, 4), (2, 1), (2, 1)], 0, 12), _rows([(8, 2), (2, 1), (2, 1)], 8, 4)
    (6, 2)
    """
    own, begin = 0, 0
    for rows, part in parts:
        shared = max(min(start + count, begin + rows) - max(start, begin), 0)
        own += -(-shared * part // rows)
        begin += rows
    return own


def _channels(shape: tuple[Dim, ...]) -> int:
    """What is left of a shape without its batch and tokens."""
    return prod(dim for dim in shape if isinstance(dim, int))


def _last(tensor: Tensor) -> int:
    last = tensor.shape[-1]
    assert isinstance(last, int)
    return last


def _experts(op: Op, graph: Graph, own: dict[str, Tensor], layout: Layout) -> None:
    """Whole experts over the devices of expert parallelism, parts of each over those that share it."""
    tensors = [graph.tensors[name] for name in op.inputs[1:] if graph.tensors[name].kind == "weight"]
    for tensor in tensors:
        experts, *rest = (int(str(dim)) for dim in tensor.shape)
        split = layout.experts_split
        if ".down." not in tensor.name:
            rest[0] //= split
        elif len(rest) == 2:
            rest[1] //= split
        shape = (-(-experts // layout.expert), *(max(dim, 1) for dim in rest))
        own[tensor.name] = replace(tensor, shape=shape)


def _check_format(whole: Tensor, part: Tensor, findings: Findings) -> None:
    """Blocks that share a scale, cut in two."""
    stored = find_format(whole.dtype)
    if whole.kind != "weight" or len(whole.shape) < 2:
        return
    for block, axis in ((stored.block_in, -1), (stored.block_out, -2)):
        if block > 1 and whole.shape[axis] % block == 0 and part.shape[axis] % block:  # type: ignore[operator]
            findings.note(
                f"blocks of {block} {whole.dtype} weights that share a scale are cut: kernels pad them, or refuse"
            )
