"""Who makes what in a list of ONNX nodes, and small questions about it that fusion asks.

May import: onnx_program, onnx_shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from perfmodel.graphs.onnx_program import FLOATING, Node
from perfmodel.graphs.onnx_shapes import Level, Value

_TRANSPARENT = ("Cast", "Identity", "Dropout")
_MOST_FACTORS = 6


@dataclass
class Flow:
    """The nodes so far, by what they make."""

    values: Mapping[str, Value]
    makers: dict[str, Node] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        self.makers.update((name, node) for name in node.outputs if name)

    def shape(self, name: str) -> tuple[int, ...]:
        value = self.values.get(name)
        return value.shape if value else ()

    def is_scalar(self, name: str) -> bool:
        return name in self.values and prod(self.shape(name)) == 1

    def is_vector(self, name: str, size: int) -> bool:
        """A weight of one element per channel."""
        value = self.values.get(name)
        is_constant = value is not None and value.level == Level.CONSTANT and value.element in FLOATING
        return value is not None and is_constant and len(value.shape) > 0 and prod(value.shape) == size

    def plain(self, name: str) -> str:
        """The tensor behind casts."""
        node = self.makers.get(name)
        while node is not None and node.op in _TRANSPARENT and name == node.outputs[0]:
            name = node.input(0)
            node = self.makers.get(name)
        return name

    def maker(self, name: str, *ops: str) -> Node | None:
        """The node that makes a tensor, casts looked through, if it is one of these ops."""
        node = self.makers.get(self.plain(name))
        return node if node is not None and node.op in ops else None

    def is_same(self, left: str, right: str) -> bool:
        return self.plain(left) == self.plain(right)

    def other(self, node: Node, known: str) -> str:
        """The second operand of a binary node, beside `known`; "" if that is none of them."""
        left, right = node.input(0), node.input(1)
        return right if self.is_same(left, known) else left if self.is_same(right, known) else ""

    def beside_scalar(self, node: Node | None) -> str:
        """The tensor that a binary node combines with a number; "" if it combines two tensors."""
        if node is None or len(node.inputs) != 2:
            return ""
        left, right = node.inputs
        return left if self.is_scalar(right) else right if self.is_scalar(left) else ""

    def factors_of(self, node: Node, depth: int = 0) -> tuple[list[str], int]:
        """(tensors whose product a Mul or Div makes, how many numbers they are multiplied or divided by)."""
        tensors: list[str] = []
        numbers = 0
        for operand in node.inputs:
            if self.is_scalar(operand):
                numbers += 1
                continue
            inner = self.maker(operand, "Mul", "Div") if depth < _MOST_FACTORS else None
            splits = inner is not None and (inner.op == "Mul" or self.is_scalar(inner.input(1)))
            found, more = self.factors_of(inner, depth + 1) if inner and splits else ([self.plain(operand)], 0)
            tensors, numbers = tensors + found, numbers + more
        return tensors, numbers

    def ancestors(self, name: str) -> Iterator[Node]:
        """All nodes that a tensor follows from."""
        left, seen = [name], {name}
        while left:
            node = self.makers.get(left.pop())
            if node is None:
                continue
            yield node
            fresh = [each for each in node.inputs if each and each not in seen]
            seen.update(fresh)
            left += fresh
