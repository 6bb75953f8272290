"""Structured pruning: whole attention heads, channels or layers taken out of a graph.

`keep` is always the share that stays. Heads go in whole key-value groups, so that the quotient of query heads to
key-value heads stays; channels are those inside a block (the hidden width of an MLP, the inner convolutions of a
residual block), not the residual stream, whose width all layers share.

May import: errors, types, channel_regions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs.channel_regions import Region, channel_regions, scaled
from perfmodel.types import Graph

HEADS, CHANNELS = "attention heads", "channels"


def prune_heads(graph: Graph, keep: float) -> Graph:
    """The graph with a share of its key-value groups: their query heads, keys, values and columns of the output.

    Args:
        keep: 0 < keep <= 1; the number of groups is rounded to the nearest, at least one stays.

    Raises:
        InputError: keep is no share.
        UnsupportedError: no attention whose heads can be taken out.
    """
    return _prune(graph, keep, HEADS, lambda region: region.attends, 1)


def prune_channels(graph: Graph, keep: float, multiple: int = 1) -> Graph:
    """The graph with a share of the channels inside its blocks.

    Args:
        keep: 0 < keep <= 1. multiple: widths are rounded up to it; 1 for the nearest whole width.

    Raises:
        InputError: keep is no share.
        UnsupportedError: no channels that can be taken out.
    """
    return _prune(graph, keep, CHANNELS, lambda region: not region.attends, multiple)


def pruned_widths(graph: Graph, keep: float, multiple: int = 1) -> tuple[int, ...]:
    """The widths that `prune_channels` leaves, each once."""
    regions = [each for each in channel_regions(graph) if not (each.obstacle or each.attends)]
    return tuple(dict.fromkeys(_kept(each.base, keep, multiple) for each in regions))


def prune_layers(graph: Graph, keep: float) -> Graph:
    """The graph with a share of the layers of each repeated block, rounded to the nearest, at least one of each.

    Raises:
        InputError: keep is no share.
        UnsupportedError: no block is repeated.
    """
    check_share("layers", keep)
    repeats = {op.block: op.repeat for op in graph.ops if op.block and op.repeat > 1}
    inner = {op.block for op in graph.ops if op.block and op.kind == "convolution"}
    if not repeats or inner:
        raise UnsupportedError(
            "layers: the network is no stack of equal layers that could be made shorter; prune channels instead"
        )
    kept = {block: _kept(count, keep, 1) for block, count in repeats.items()}
    copies = {
        name: kept[op.block]
        for op in graph.ops
        if op.block in kept
        for name in (*op.inputs, *op.outputs)
        if graph.tensors[name].copies == repeats[op.block]
    }
    tensors = {
        name: replace(tensor, copies=copies[name]) if name in copies else tensor
        for name, tensor in graph.tensors.items()
    }
    ops = tuple(replace(op, repeat=kept.get(op.block, op.repeat)) for op in graph.ops)
    return replace(graph, ops=ops, tensors=tensors)


def check_share(what: str, keep: float) -> None:
    """
    Raises:
        InputError: it does not lie above 0 and up to 1.
    """
    if not 0 < keep <= 1:
        raise InputError(f"{what}: {keep:g} is not the share that stays; write a number above 0 and up to 1, like 0.5")


def _prune(graph: Graph, keep: float, what: str, wanted: Callable[[Region], bool], multiple: int) -> Graph:
    check_share(what, keep)
    everything = channel_regions(graph)
    regions = [each for each in everything if wanted(each)]
    cuts = [(each, _kept(each.base, keep, multiple)) for each in regions if not each.obstacle]
    attention = sum(op.kind == "attention" for op in graph.ops)
    obstacle = next((each.obstacle for each in (*regions, *everything) if each.obstacle), "")
    if what == HEADS and not attention:
        raise UnsupportedError(f"{what}: none can be taken out: the network has no attention")
    if what == HEADS and len(cuts) < attention:  # half of the attentions with fewer heads would be no model
        raise UnsupportedError(f"{what}: cannot be taken out of every attention: {obstacle}")
    if what == CHANNELS and any(op.kind == "experts" for op in graph.ops):
        raise UnsupportedError(f"{what}: the channels of experts cannot be taken out yet, which hold most of them")
    if all(each.base == 1 for each, _ in cuts):
        told = "there is only one key-value head" if cuts and what == HEADS else obstacle or "the network has none"
        raise UnsupportedError(f"{what}: none can be taken out: {told}")
    return scaled(graph, cuts)


def _kept(width: int, keep: float, multiple: int) -> int:
    """The nearest number of at least 1, halves up; rounded up to a multiple where one is asked for.

    >>> _kept(8, 0.5, 1), _kept(3, 0.1, 1), _kept(14336, 0.7, 64)
    (4, 1, 10048)
    """
    exact = width * keep
    kept = max(math.floor(exact + 0.5), 1) if multiple == 1 else max(math.ceil(exact / multiple), 1) * multiple
    return min(kept, width)
