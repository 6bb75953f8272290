"""Sizes made symbolic: several traces of one model at different sizes become one graph with exact polynomials.

Every dimension is interpolated through the traces on a grid of sizes and checked against one more trace off the grid.
Where the ops differ between sizes, or no polynomial passes through all traces, the size stays a number and a note says
why. A trace is a function from sizes to a Graph, whatever it traces: nothing here knows about torch.

May import: errors, sizes, types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

from perfmodel.errors import GraphError, ModelError
from perfmodel.sizes import Dim, Size, evaluate, size
from perfmodel.types import Graph, Op, Tensor

Point: TypeAlias = tuple[int, ...]  # one value per symbol
Trace: TypeAlias = Callable[[Mapping[str, int]], Graph]
_MAX_GRID = 27  # traces of a quadratic fit with three symbols
_PRIME = 1_000_003
_LARGEST = 100_000  # no dimension of an input or activation is larger, unless it grows with the batch
_SMALL_FRACTION = 4  # sizes divisible by this, and large enough, are tried downwards


class _MismatchError(Exception):
    """Why traces at different sizes are not one graph."""


@dataclass(frozen=True, slots=True)
class SymbolRange:
    """A size to make symbolic.

    Args:
        example: its value in the example inputs.
        shrinks: try smaller values first (a longest context may bound it from above).
    """

    example: int
    shrinks: bool = False

    def nodes(self, count: int) -> tuple[int, ...]:
        """Values to trace at. They divide the way the example does (a stride or a window of its divisors stays whole),
        and none is 1, because a dimension of 1 broadcasts.

        >>> SymbolRange(8).nodes(3), SymbolRange(1).nodes(3), SymbolRange(512, shrinks=True).nodes(3)
        ((8, 16, 24), (2, 3, 4), (512, 256, 128))
        """
        if self.shrinks and self.example % 2**count == 0 and self.example >> count >= _SMALL_FRACTION:
            return tuple(self.example >> power for power in range(count))
        if self.example == 1:
            return tuple(range(2, 2 + count))
        return tuple(self.example * factor for factor in range(1, 1 + count))


def trace_symbolic(trace: Trace, ranges: Mapping[str, SymbolRange]) -> Graph:
    """Trace at several sizes and keep as many of them symbolic as possible.

    Args:
        trace: sizes by symbol -> graph. It may raise ModelError for sizes the model cannot run with.
        ranges: the symbols; later ones are given up first.

    Raises:
        ModelError: the model cannot be traced even at the example's sizes.
    """
    known: dict[tuple[tuple[str, int], ...], Graph] = {}
    examples = {symbol: wanted.example for symbol, wanted in ranges.items()}

    def traced(sizes: Mapping[str, int]) -> Graph:
        wanted = {**examples, **sizes}
        key = tuple(wanted.items())
        if key not in known:
            try:
                known[key] = trace(wanted)
            except ModelError as error:
                if wanted == examples:
                    raise
                changed = ", ".join(
                    f"{symbol}={value}" for symbol, value in wanted.items() if value != examples[symbol]
                )
                raise _MismatchError(f"at {changed}, {error}") from None
        return known[key]

    others = {symbol: wanted.nodes(1)[0] for symbol, wanted in ranges.items()}
    try:
        traced(others)
    except _MismatchError:
        others = examples
    fixed: dict[str, str] = {}
    for symbol, wanted in ranges.items():  # each on its own first: the culprit is known by name
        first, second = wanted.nodes(2)
        change = f"{symbol} is {second} instead of {first}"
        try:
            compare_structure(traced({**others, symbol: first}), traced({**others, symbol: second}), change)
        except _MismatchError as mismatch:
            fixed[symbol] = str(mismatch)
    active = [symbol for symbol in ranges if symbol not in fixed]
    while active:
        try:
            graph = _interpolated(traced, {symbol: ranges[symbol] for symbol in active})
            return _with_notes(graph, fixed, examples)
        except _MismatchError as mismatch:
            fixed[active.pop()] = str(mismatch)
    return _with_notes(traced({}), fixed, examples)


def trace_at_prime(trace: Trace, symbol: str, wanted: SymbolRange) -> Graph:
    """One trace instead of several, at a prime that no layer has as a size: what is a multiple of it grows with the
    symbol. For symbols that every size is proportional to or independent of, as the batch of an image model. Where a
    size is neither, like batch + 1, or the model does not run at that prime, the graph is that of `trace_symbolic`.

    Raises:
        ModelError: the model cannot be traced.
    """
    try:
        return _divided_by_prime(trace({symbol: _PRIME}), symbol)
    except (ModelError, _MismatchError):
        return trace_symbolic(trace, {symbol: wanted})


def _divided_by_prime(graph: Graph, symbol: str) -> Graph:
    def symbolic(value: Any, *, is_weight: bool = False) -> Any:
        if not _is_count(value) or value < _LARGEST:
            return value
        dim = _in_terms_of(symbol, value)
        if not (isinstance(dim, Size) or is_weight):
            raise _MismatchError(f"{value} neither is proportional to {symbol} nor looks independent of it")
        return dim

    tensors = {
        name: _with_shape(tensor, tuple(symbolic(dim, is_weight=tensor.kind == "weight") for dim in tensor.shape))
        for name, tensor in graph.tensors.items()
    }
    ops = tuple(
        replace(op, attributes={key: symbolic(value) for key, value in op.attributes.items()})
        if any(_is_count(value) and value >= _LARGEST for value in op.attributes.values())
        else op
        for op in graph.ops
    )
    return replace(graph, ops=ops, tensors=tensors, symbols=(symbol,))


@lru_cache(maxsize=4096)
def _in_terms_of(symbol: str, value: int) -> Dim:
    """
    >>> str(_in_terms_of("batch", 49 * _PRIME)), _in_terms_of("batch", 49)
    ('49*batch', 49)
    """
    factor: Dim = 1
    while value % _PRIME == 0:
        value, factor = value // _PRIME, factor * size(symbol)
    if isinstance(factor, Size) and value > _PRIME // 2:
        raise _MismatchError(f"{value} looks as if it had {symbol} in it")
    return value * factor


def _with_shape(tensor: Tensor, shape: tuple[Dim, ...]) -> Tensor:
    if shape == tensor.shape:
        return tensor
    # a part of a buffer as long as the request (positions, masks) is read like an input
    return replace(tensor, shape=shape, kind="input" if tensor.kind == "weight" else tensor.kind)


def _with_notes(graph: Graph, fixed: Mapping[str, str], examples: Mapping[str, int]) -> Graph:
    notes = [f"{symbol} is fixed at {examples[symbol]}: {reason}" for symbol, reason in fixed.items()]
    return replace(graph, notes=(*graph.notes, *notes))


def _interpolated(traced: Trace, ranges: Mapping[str, SymbolRange]) -> Graph:
    """One graph through a grid of traces: linear in each size, or if that does not hold quadratic."""
    symbols = tuple(ranges)
    if len(symbols) == 1:
        (symbol,), values = symbols, ranges[symbols[0]].nodes(2)
        first, second = (traced({symbol: value}) for value in values)
        if _grows_in_proportion(first, second, values):
            return merge(symbols, [values], (first, second), values[1:], second)
    reason = _MismatchError("too many symbols")
    for degree in (1, 2):
        nodes = [wanted.nodes(degree + 2) for wanted in ranges.values()]
        grid = list(product(*(values[: degree + 1] for values in nodes)))
        if len(grid) > _MAX_GRID:
            break
        check = tuple(values[degree + 1] for values in nodes)
        graphs = [traced(dict(zip(symbols, point, strict=True))) for point in (*grid, check)]
        for point, graph in zip((*grid[1:], check), graphs[1:], strict=True):
            text = ", ".join(f"{symbol}={value}" for symbol, value in zip(symbols, point, strict=True))
            compare_structure(graphs[0], graph, text)
        try:
            return merge(symbols, [values[: degree + 1] for values in nodes], graphs[:-1], check, graphs[-1])
        except _MismatchError as mismatch:
            reason = mismatch
    raise reason


def _grows_in_proportion(first: Graph, second: Graph, values: Sequence[int]) -> bool:
    """Whether every size is constant or a multiple of the symbol, as with a batch: two traces then say all, because no
    other polynomial of low degree with whole coefficients does that by chance."""

    def plain(small: Any, large: Any) -> bool:
        return bool(small == large or small * values[1] == large * values[0])

    return all(
        all(map(plain, tensor.shape, second.tensors[name].shape)) for name, tensor in first.tensors.items()
    ) and all(
        all(plain(value, right.attributes[key]) for key, value in left.attributes.items() if _is_count(value))
        for left, right in zip(first.ops, second.ops, strict=True)
    )


def compare_structure(left: Graph, right: Graph, change: str) -> None:
    """Whether two graphs have the same ops over the same tensors, apart from sizes.

    Raises:
        _MismatchError: naming the first op that differs; `change` says what was changed between them.
    """
    for first, second in zip(left.ops, right.ops, strict=False):
        same = (first.name, first.kind, first.inputs, first.outputs) == (
            second.name, second.kind, second.inputs, second.outputs,
        )  # fmt: skip
        if not same or not _same_flags(first, second):
            raise _MismatchError(f"the ops differ when {change}, first at '{first.name}'")
    if len(left.ops) != len(right.ops):
        raise _MismatchError(f"the number of ops goes from {len(left.ops)} to {len(right.ops)} when {change}")
    for name, tensor in left.tensors.items():
        other = right.tensors.get(name)
        if other is None or (tensor.dtype, tensor.kind, len(tensor.shape)) != (
            other.dtype,
            other.kind,
            len(other.shape),
        ):
            raise _MismatchError(f"the tensor '{name}' differs when {change}")


def _same_flags(left: Op, right: Op) -> bool:
    if left.attributes == right.attributes:
        return True
    return left.attributes.keys() == right.attributes.keys() and all(
        value == right.attributes[key] or _is_count(value) for key, value in left.attributes.items()
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def merge(
    symbols: Sequence[str], nodes: Sequence[Sequence[int]], graphs: Sequence[Graph], check: Point, checked: Graph
) -> Graph:
    """One symbolic graph from graphs of equal structure.

    Args:
        nodes: the values of each symbol. graphs: one per point of their product, the last symbol varying fastest.
        check, checked: a further point and its graph, which the polynomials must meet.

    Raises:
        _MismatchError: a size that no such polynomial gives.
    """
    fitted: dict[tuple[int, ...], Dim | None] = {}

    def fit(values: tuple[int, ...], where: str) -> Dim:
        """The polynomial through the values on the grid; the last value is the check's."""
        if values not in fitted:
            dim = values[0] if len(set(values)) == 1 else _polynomial(symbols, nodes, values[:-1])
            fitted[values] = dim if dim is not None and _meets(dim, symbols, check, values[-1]) else None
        found = fitted[values]
        if found is None:
            raise _MismatchError(f"{where} is no polynomial in {', '.join(symbols)} (at the traced sizes: {values})")
        return found

    every = (*graphs, checked)
    tensors = {name: _merge_tensor([graph.tensors[name] for graph in every], fit) for name in graphs[0].tensors}
    ops = tuple(_merge_op(column, fit) for column in zip(*(graph.ops for graph in every), strict=True))
    notes = tuple(dict.fromkeys(note for graph in every for note in graph.notes))
    return replace(graphs[0], ops=ops, tensors=tensors, symbols=tuple(symbols), notes=notes)


def _meets(dim: Dim, symbols: Sequence[str], point: Point, value: int) -> bool:
    try:
        return bool(evaluate(dim, dict(zip(symbols, point, strict=True))) == value)
    except GraphError:  # not a whole number there
        return False


def _merge_tensor(tensors: Sequence[Tensor], fit: Callable[[tuple[int, ...], str], Dim]) -> Tensor:
    first = tensors[0]
    if all(tensor.shape == first.shape for tensor in tensors):
        return first
    columns = zip(*(tensor.shape for tensor in tensors), strict=True)
    return _with_shape(
        first, tuple(fit(values, f"dimension {axis} of '{first.name}'") for axis, values in enumerate(columns))
    )


def _merge_op(ops: Sequence[Op], fit: Callable[[tuple[int, ...], str], Dim]) -> Op:
    first = ops[0]
    if all(op.attributes == first.attributes for op in ops):
        return first
    attributes = {
        key: fit(tuple(op.attributes[key] for op in ops), f"{key} of '{first.name}'") if _is_count(value) else value
        for key, value in first.attributes.items()
    }
    return replace(first, attributes=attributes)


def _polynomial(symbols: Sequence[str], nodes: Sequence[Sequence[int]], values: Sequence[Any]) -> Dim | None:
    """The polynomial through values on a grid, or None if it has no whole constant part.

    Newton's divided differences along the first symbol, the values being polynomials in the others:
        p(x) = d0 + d1·(x − x0) + d2·(x − x0)·(x − x1) + ...

    >>> str(_polynomial(("batch", "tokens"), ((2, 4), (3, 6)), (7, 13, 13, 25)))
    'batch*tokens + 1'
    """
    found = _newton(symbols, nodes, values)
    if isinstance(found, Fraction):
        return int(found) if found.denominator == 1 else None
    assert isinstance(found, int | Size)
    return found


def _newton(symbols: Sequence[str], nodes: Sequence[Sequence[int]], values: Sequence[Any]) -> Any:
    if not symbols:
        return Fraction(values[0])
    xs, stride = nodes[0], len(values) // len(nodes[0])
    column = [_newton(symbols[1:], nodes[1:], values[row * stride : (row + 1) * stride]) for row in range(len(xs))]
    for order in range(1, len(xs)):
        for row in range(len(xs) - 1, order - 1, -1):
            column[row] = (column[row] - column[row - 1]) * Fraction(1, xs[row] - xs[row - order])
    total: Any = column[-1]
    for row in range(len(xs) - 2, -1, -1):
        total = total * (size(symbols[0]) - xs[row]) + column[row]
    return total
