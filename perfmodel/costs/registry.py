"""The registry of op kinds: how an op's shapes become the arguments of its cost formula.

An op kind is two functions. `sizes` reads the op and its tensors, checks their shapes and names the sizes the
formula needs (`rows`, `inner`, ...), still symbolic. The cost formula is a pure function over those sizes, which may
be ints, arrays or sympy symbols by then. Arguments that are strings or booleans (dtypes, flags) do not vary in a sweep.

May import: errors, sizes, precisions, types, arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from perfmodel.errors import GraphError
from perfmodel.precisions import element_bytes, storage_bytes
from perfmodel.sizes import Dim, product
from perfmodel.types import Op, OpCost, Tensor

Arguments: TypeAlias = dict[str, Any]
SizesFunction: TypeAlias = Callable[["Operands"], Arguments]
CostFunction: TypeAlias = Callable[..., OpCost]


@dataclass(frozen=True, slots=True)
class OpKind:
    """A kind of op: its name, how sizes are read from shapes, and its cost formula."""

    name: str
    sizes: SizesFunction
    cost: CostFunction


_KINDS: dict[str, OpKind] = {}


def formula(kind: str, *, sizes: SizesFunction) -> Callable[[CostFunction], CostFunction]:
    """Register a cost formula for an op kind.

    Raises:
        ValueError: the kind has a formula already.
    """

    def register(cost: CostFunction) -> CostFunction:
        if kind in _KINDS:
            raise ValueError(f"op kind '{kind}' has a formula already: {_KINDS[kind].cost.__qualname__}")
        _KINDS[kind] = OpKind(kind, sizes, cost)
        return cost

    return register


def find_kind(name: str) -> OpKind | None:
    """The op kind of that name, or None: such an op is unmodelled."""
    return _KINDS.get(name)


def known_kinds() -> tuple[str, ...]:
    """Names of all op kinds that have a formula."""
    return tuple(sorted(_KINDS))


@dataclass(frozen=True, slots=True)
class Operands:
    """An op with its tensors at hand, and messages that name it."""

    op: Op
    tensors: Mapping[str, Tensor]

    def input(self, index: int) -> Tensor:
        """The tensor of an input; GraphError when the op has too few."""
        if index >= len(self.op.inputs):
            raise self.wrong(f"needs at least {index + 1} inputs, has {len(self.op.inputs)}")
        return self._tensor(self.op.inputs[index])

    def output(self, index: int = 0) -> Tensor:
        """The tensor of an output; GraphError when the op has too few."""
        if index >= len(self.op.outputs):
            raise self.wrong(f"needs at least {index + 1} outputs, has {len(self.op.outputs)}")
        return self._tensor(self.op.outputs[index])

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(self._tensor(name) for name in self.op.inputs)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(self._tensor(name) for name in self.op.outputs)

    def attribute(self, key: str, default: Any) -> Any:
        """An attribute of the op, or the default when it does not say."""
        return self.op.attributes.get(key, default)

    def compute(self, activation: Tensor) -> str:
        """The dtype a contraction runs in: the op's attribute, else the activation's dtype."""
        return str(self.op.attributes.get("compute", activation.dtype))

    def wrong(self, message: str) -> GraphError:
        return GraphError(f"op '{self.op.name}' ({self.op.kind}): {message}")

    def expect(self, left: Dim, right: Dim, what: str) -> None:
        """GraphError unless two dimensions are equal."""
        if left != right:
            raise self.wrong(f"{what} differ: {left} and {right}")

    def expect_rank(self, tensor: Tensor, rank: int) -> None:
        """GraphError unless the tensor has at least `rank` dimensions."""
        if len(tensor.shape) < rank:
            raise self.wrong(f"'{tensor.name}' needs at least {rank} dimensions, has shape {shape_text(tensor)}")

    def _tensor(self, name: str) -> Tensor:
        try:
            return self.tensors[name]
        except KeyError:
            raise self.wrong(f"its tensor '{name}' is not in the graph") from None


def shape_text(tensor: Tensor) -> str:
    """A tensor's shape for messages: [batch, tokens, 4096]."""
    return f"[{', '.join(str(dim) for dim in tensor.shape)}]"


def elements(tensor: Tensor) -> Dim:
    """Number of elements of a tensor."""
    return product(tensor.shape)


def tensor_bytes(tensor: Tensor) -> Any:
    """Bytes of a tensor in its storage format, scales included."""
    return storage_bytes(tensor.shape, tensor.dtype)


def weight_bytes(tensors: tuple[Tensor, ...]) -> Any:
    """Bytes of those of the tensors that are weights."""
    return sum(tensor_bytes(tensor) for tensor in tensors if tensor.kind == "weight")


def stacked_pieces(operands: Operands) -> tuple[Tensor, ...]:
    """The weight behind the first input: in pieces, one below the other, where the op says that it is `stacked`.

    Raises:
        GraphError: a piece that is not there, or does not fit below the first.
    """
    count = operands.attribute("stacked", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise operands.wrong(f"stacked must be a whole number of at least 1, is {count!r}")
    first, *others = pieces = tuple(operands.input(1 + place) for place in range(count))
    operands.expect_rank(first, 2)
    for piece in others:
        if (*piece.shape[:-2], *piece.shape[-1:]) != (*first.shape[:-2], first.shape[-1]):
            raise operands.wrong(f"'{piece.name}' {shape_text(piece)} does not fit below {shape_text(first)}")
    return pieces


def stacked_rows(pieces: tuple[Tensor, ...]) -> Dim:
    """Rows of all pieces together."""
    rows = pieces[0].shape[-2]
    for piece in pieces[1:]:
        rows = rows + piece.shape[-2]
    return rows


def moved_bytes(tensors: tuple[Tensor, ...]) -> Any:
    """Bytes of those of the tensors that are not weights."""
    return sum(tensor_bytes(tensor) for tensor in tensors if tensor.kind != "weight")


__all__ = [
    "Arguments",
    "OpKind",
    "Operands",
    "element_bytes",
    "elements",
    "find_kind",
    "formula",
    "known_kinds",
    "moved_bytes",
    "shape_text",
    "stacked_pieces",
    "stacked_rows",
    "tensor_bytes",
    "weight_bytes",
]
