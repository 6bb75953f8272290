"""Which tensors share a width: everything between the contractions that make channels and those that sum over them.

Cutting channels out of a network is consistent only if all of a region is cut alike: the rows of the weights that make
the channels, what is computed on them one by one, and the columns of the weights that read them. Every width in a
region is a multiple of the smallest one, its `base` (F of a gated layer whose weight has 2F rows; K key-value heads of
(H + 2K)·N columns), so that one quotient scales them all.

May import: types, sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from perfmodel.types import Graph, Op, Tensor

_PASSING = ("pointwise", "pool", "view", "cache_append", "copy")
_ATTENDING = ("attention", "cache_append")
_PER_CHANNEL_NORMS = ("batch",)


@dataclass(slots=True)
class Region:
    """Tensors that share a width.

    Args:
        base: the width that all others are multiples of: channels, or key-value heads.
        axes: of every tensor of the region, weights included, the dimensions that carry it.
        attends: whether an attention lies inside, so that the channels are heads.
        obstacle: why it cannot be cut, "" if it can.
    """

    base: int = 0
    axes: dict[str, set[int]] = field(default_factory=dict)
    attends: bool = False
    obstacle: str = ""


def channel_regions(graph: Graph) -> list[Region]:
    """All regions that start at a linear layer or a convolution, each once."""
    readers: dict[str, list[Op]] = {}
    makers: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in dict.fromkeys(op.inputs):
            readers.setdefault(name, []).append(op)
        for name in op.outputs:
            makers.setdefault(name, []).append(op)
    seen: set[str] = set()
    regions = []
    for op in graph.ops:
        if _contracts(op, graph) and op.outputs[0] not in seen:
            walk = _Walk(graph, readers, makers)
            walk.follow(op.outputs[0])
            seen |= walk.region.axes.keys()
            regions.append(walk.finished())
    return regions


def scaled(graph: Graph, cuts: Iterable[tuple[Region, int]]) -> Graph:
    """The graph with regions at other base widths.

    Args:
        cuts: (region, new base).
    """
    tensors = dict(graph.tensors)
    groups: dict[str, tuple[int, int]] = {}
    for region, base in cuts:
        for name, axes in region.axes.items():
            shape = list(tensors[name].shape)
            for axis in axes:
                shape[axis] = shape[axis] * base // region.base
            tensors[name] = replace(tensors[name], shape=tuple(shape))
            groups[name] = (base, region.base)
    ops = tuple(_regrouped(op, graph, groups) for op in graph.ops)
    return replace(graph, ops=ops, tensors=tensors)


def _regrouped(op: Op, graph: Graph, cut: Mapping[str, tuple[int, int]]) -> Op:
    if not (_is_depthwise(op, graph) and op.outputs[0] in cut):
        return op
    base, old = cut[op.outputs[0]]
    return replace(op, attributes={**op.attributes, "groups": int(op.attributes["groups"]) * base // old})


def _contracts(op: Op, graph: Graph) -> bool:
    return op.kind in ("linear", "convolution") and not _is_depthwise(op, graph)


def _is_depthwise(op: Op, graph: Graph) -> bool:
    if op.kind != "convolution":
        return False
    groups, weight = op.attributes.get("groups", 1), graph.tensors[op.inputs[1]]
    return bool(groups > 1 and groups == weight.shape[0] and weight.shape[1] == 1)


class _Walk:
    """Follows a width from tensor to tensor, in both directions."""

    def __init__(self, graph: Graph, readers: Mapping[str, list[Op]], makers: Mapping[str, list[Op]]) -> None:
        self.graph, self.readers, self.makers = graph, readers, makers
        self.region = Region()

    def follow(self, start: str) -> None:
        maker = self.makers[start][0]
        self._put(start, 1 if maker.kind == "convolution" else len(self.graph.tensors[start].shape) - 1)
        waiting = [start]
        while waiting and not self.region.obstacle:
            name = waiting.pop()
            if not self.readers.get(name):
                self.region.obstacle = f"'{name}' is an output of the network"
            for op in (*self.makers.get(name, ()), *self.readers.get(name, ())):
                waiting += self._through(op, name)

    def finished(self) -> Region:
        region = self.region
        widths = {self.graph.tensors[name].shape[axis] for name, axes in region.axes.items() for axis in axes}
        if not region.obstacle and not all(isinstance(width, int) for width in widths):
            region.obstacle = "a width is not a number"
        if not region.obstacle:
            region.base = min(widths)  # type: ignore[type-var, assignment]
            if any(width % region.base for width in widths):  # type: ignore[operator]
                region.obstacle = "its widths are not multiples of one another"
        return region

    def _put(self, name: str, axis: int) -> bool:
        """Whether the tensor is new to the region."""
        new = name not in self.region.axes
        self.region.axes.setdefault(name, set()).add(axis)
        return new

    def _through(self, op: Op, name: str) -> list[str]:
        """What an op that makes or reads a tensor of the region adds to it: the tensors to follow next."""
        if _contracts(op, self.graph):
            self._contraction(op, name)
            return []
        if not self._passes(op):
            self.region.obstacle = f"'{op.name}' ({_kind(op)}) mixes these channels with others"
            return []
        if op.kind == "attention":
            self.region.attends = True
        found = []
        for other in (*op.inputs, *op.outputs):
            tensor = self.graph.tensors[other]
            if tensor.kind == "weight":
                self._own_weight(op, tensor, name)
            elif tensor.kind == "input":
                if other in op.inputs and op.kind not in ("view", "copy") and len(tensor.shape) >= 3:
                    self.region.obstacle = f"'{other}' comes from outside"
            elif self._put(other, self._axis(op, name, tensor)):
                found.append(other)
        return found

    def _contraction(self, op: Op, name: str) -> None:
        if op.attributes.get("keep") or op.attributes.get("experts") or op.attributes.get("groups", 1) > 1:
            self.region.obstacle = f"'{op.name}' must keep its width"
            return
        for weight in (self.graph.tensors[each] for each in op.inputs[1:]):
            if weight.kind != "weight" or len(self.readers[weight.name]) > 1:
                self.region.obstacle = f"'{weight.name}' is shared, or no weight"
                return
            makes, reads = name in op.outputs, name == op.inputs[0]
            rank, convolves = len(weight.shape), op.kind == "convolution"
            swapped = bool(op.attributes.get("transposed", False))  # (in, out, ...) as torch stores it
            out_axis, in_axis = ((1, 0) if swapped else (0, 1)) if convolves else (rank - 2, rank - 1)
            if makes:
                self._put(weight.name, out_axis if rank > 1 else 0)
            if reads and rank > 1:
                self._put(weight.name, in_axis)

    def _passes(self, op: Op) -> bool:
        if _is_depthwise(op, self.graph) or op.kind == "attention":
            return True
        if op.kind == "normalization":
            return op.attributes.get("function") in _PER_CHANNEL_NORMS or self._is_of_heads(op)
        streams = [name for name in op.inputs if self.graph.tensors[name].kind != "weight"]
        if op.kind == "pointwise" and len(streams) > 1 and op.attributes.get("function") == "add":
            return False  # a residual stream: all layers share its width
        return op.kind in _PASSING and op.attributes.get("function") not in ("concat", "stack", "pad")

    def _is_of_heads(self, op: Op) -> bool:
        """A norm over each head's own channels: the number of heads does not matter to it."""
        source = self.graph.tensors[op.inputs[0]]
        weights = [self.graph.tensors[name] for name in op.inputs if self.graph.tensors[name].kind == "weight"]
        return len(source.shape) == 4 and all(weight.shape == source.shape[-1:] for weight in weights)

    def _own_weight(self, op: Op, weight: Tensor, name: str) -> None:
        source = self.graph.tensors[name]
        width = source.shape[min(self.region.axes[name])]
        per_channel = op.kind in ("normalization", "pointwise") and weight.shape == (width,)
        if per_channel or _is_depthwise(op, self.graph):
            self._put(weight.name, 0)
        elif weight.shape and weight.shape != (1,) and not (op.kind == "normalization" and self._is_of_heads(op)):
            self.region.obstacle = f"'{weight.name}' is laid over these channels in a way of its own"

    def _axis(self, op: Op, name: str, other: Tensor) -> int:
        """Where a tensor carries the width: as its neighbour does if it has its rank; heads lie in dimension 1."""
        source = self.graph.tensors[name]
        if len(source.shape) == len(other.shape) and op.kind not in ("view", "copy", *_ATTENDING):
            return min(self.region.axes[name])
        return 1 if len(other.shape) >= 4 else len(other.shape) - 1


def _kind(op: Op) -> str:
    return str(op.attributes.get("function", op.kind))
