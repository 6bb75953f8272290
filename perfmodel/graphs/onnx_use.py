"""A node with its tensors, and what it computes: the terms in which the families of ONNX ops are written.

A family is a small pure function from a `Use` to a `Step`. What is computed is said as the torch op that does the same
(`as_torch`), so that both front-ends share one op table. Nodes that only look at their input in another way compute
nothing; where torch would have to copy, a copy is computed.

May import: aten, onnx_program, strided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from perfmodel.graphs.aten import Call, Meaning, translate
from perfmodel.graphs.onnx_program import Node
from perfmodel.graphs.strided import StridedTensor, contiguous


@dataclass(frozen=True, slots=True)
class Use:
    """A node with its tensors.

    Args:
        inputs: None for those left out. data: their values where known (numpy arrays).
        outputs: new tensors of the outputs' shapes. is_weight: whether nothing of this run made a tensor.
    """

    node: Node
    inputs: tuple[StridedTensor | None, ...]
    data: tuple[Any, ...]
    outputs: tuple[StridedTensor, ...]
    is_weight: Callable[[Any], bool]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.node.attributes.get(name, default)

    def find(self, index: int) -> StridedTensor | None:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def input(self, index: int) -> StridedTensor:
        """An input that has to be there."""
        found = self.find(index)
        if found is None:
            raise ValueError(f"input {index} is missing")
        return found

    def ints(self, index: int) -> list[int] | None:
        """An input that is a list of whole numbers, if it is known."""
        data = self.data[index] if index < len(self.data) else None
        return None if data is None else [int(value) for value in data.reshape(-1)]

    @property
    def present(self) -> tuple[StridedTensor, ...]:
        return tuple(tensor for tensor in self.inputs if tensor is not None)


@dataclass(frozen=True, slots=True)
class Step:
    """What a node computes, and its outputs."""

    meanings: tuple[Meaning, ...]
    outputs: tuple[StridedTensor, ...]


Family: TypeAlias = Callable[[Use], Step]


def unknown(use: Use) -> Step:
    """An op the vocabulary cannot say: it is reported with its tensors, never dropped."""
    domain, _, op = use.node.op.rpartition(".")
    return computed(use, f"{domain or 'onnx'}.{op}")


def as_torch(use: Use, name: str, tensors: Sequence[Any], outputs: Sequence[Any], **arguments: Any) -> Meaning:
    """What torch's op of that name means over these tensors."""
    present = tuple(tensor for tensor in tensors if tensor is not None)
    return translate(Call(name, name, arguments, present, tuple(outputs), use.is_weight))


def computed(use: Use, name: str, tensors: Sequence[Any] | None = None, **arguments: Any) -> Step:
    """torch's op of that name over the inputs, in new memory."""
    given = use.present if tensors is None else tensors
    return Step((as_torch(use, name, given, use.outputs, **arguments),), use.outputs)


def view(*outputs: StridedTensor) -> Step:
    """Nothing is computed."""
    return Step((), outputs)


def copied(use: Use, x: StridedTensor) -> tuple[Meaning, StridedTensor]:
    """A copy in row-major order."""
    copy = contiguous(x.shape, x.dtype)
    return as_torch(use, "clone", [x], [copy]), copy


def reshaped(use: Use, x: StridedTensor, shape: tuple[int, ...]) -> tuple[tuple[Meaning, ...], StridedTensor]:
    """Another shape, by a copy if need be."""
    if prod(shape) != x.numel():
        raise ValueError(f"{list(x.shape)} has not the elements of {list(shape)}")
    seen = x.reshape(shape)
    if seen is not None:
        return (), seen
    meaning, copy = copied(use, x)
    fresh = copy.reshape(shape)
    assert fresh is not None
    return (meaning,), fresh
