"""Replacing ops of a graph by several others: one rule per op, everything else stays as it is.

    expand(graph, rule):  for each op  rule(op, place) -> True if it has put other ops in its place

A rule adds tensors and ops through a `Place`, which gives them the block, the repetitions and the name of the op they
stand for. Tensors that nothing reads or writes any more are dropped. May import: types, builder, sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Op, Tensor

Shape: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the ops go that take an op's place.

    Args:
        op: the op they stand for: its name is their prefix, its block and repetitions are theirs.
    """

    builder: GraphBuilder
    op: Op

    def tensor_of(self, name: str) -> Tensor:
        """A tensor of the graph."""
        return self.builder.tensors[name]

    def shape(self, name: str) -> Shape:
        """The shape of a tensor."""
        return self.builder.tensors[name].shape

    def dtype(self, name: str) -> str:
        """The dtype of a tensor."""
        return self.builder.tensors[name].dtype

    def activation(self, part: str, shape: Shape, dtype: str) -> str:
        """A new activation."""
        return self.builder.tensor(f"{self.op.name}.{part}", shape, dtype)

    def outside(self, name: str, shape: Shape, dtype: str) -> str:
        """An input of the whole graph, added when it is first asked for."""
        return name if name in self.builder.tensors else self.builder.tensor(name, shape, dtype, "input")

    def put(
        self,
        part: str,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an op; with no part it has the name of the op it stands for."""
        name = f"{self.op.name}.{part}" if part else self.op.name
        self.builder.op(name, kind, inputs, outputs, attributes, repeat=self.op.repeat, block=self.op.block)

    def apply(
        self,
        part: str,
        kind: str,
        function: str,
        inputs: Sequence[str],
        *,
        shape: Shape | None = None,
        dtype: str = "",
        out: str = "",
        **attributes: Any,
    ) -> str:
        """Add an op with one output: `out` if that tensor is there already, else a new activation.

        Args:
            shape, dtype: of the new activation; the first input's unless told.
        """
        result = out or self.activation(
            f"{part}.out" if part else "out",
            self.shape(inputs[0]) if shape is None else shape,
            dtype or self.dtype(inputs[0]),
        )
        self.put(part, kind, inputs, (result,), ({"function": function} if function else {}) | attributes)
        return result


Rule: TypeAlias = Callable[[Op, Place], bool]


def expand(graph: Graph, rule: Rule) -> Graph:
    """The graph with every op replaced that the rule takes."""
    builder = GraphBuilder(graph.name, graph.source)
    builder.tensors.update(graph.tensors)
    for op in graph.ops:
        if not rule(op, Place(builder, op)):
            builder.op(op.name, op.kind, op.inputs, op.outputs, op.attributes, repeat=op.repeat, block=op.block)
    return without_unused_tensors(builder.graph(graph.symbols, graph.notes))


def without_unused_tensors(graph: Graph) -> Graph:
    """The graph without the tensors that no op names."""
    used = {name for op in graph.ops for name in (*op.inputs, *op.outputs)}
    return replace(graph, tensors={name: tensor for name, tensor in graph.tensors.items() if name in used})
