"""What ops have to do, apart from any chip: op -> OpCost (FLOPs, bytes, kernels).

One file per family of formulas; each registers its op kinds with `registry.formula`. A formula is a pure function over
sizes that are ints (one exact count), numpy arrays (a sweep) or sympy symbols (a closed form).

May import: errors, sizes, precisions, types, arithmetic. To add an op kind: a sizes function, a formula, a line in
tests/costs/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.arithmetic import Number
from perfmodel.costs import attention, collective, convolution, experts, matmul, recurrent, state_space, streaming
from perfmodel.costs.registry import Arguments, CostFunction, Operands, find_kind, known_kinds
from perfmodel.sizes import Size
from perfmodel.types import Graph, Op, OpCost, Tensor

__all__ = [
    "OpArguments", "cost_graph", "cost_op", "find_kind", "is_modelled", "known_kinds", "op_arguments", "variety_of",
]  # fmt: skip

_FAMILIES = (
    attention,
    collective,
    convolution,
    experts,
    matmul,
    recurrent,
    state_space,
    streaming,
)  # importing them registers their formulas


@dataclass(frozen=True, slots=True)
class OpArguments:
    """The arguments of an op's cost formula, still symbolic.

    Args:
        sizes: ints, floats or sizes by name. flags: strings and booleans by name.
    """

    kind: str
    cost: CostFunction
    sizes: Arguments
    flags: Arguments

    def evaluate(self, values: Mapping[str, Number]) -> Arguments:
        """All arguments, with symbols replaced by ints, arrays or sympy symbols."""
        sizes = {
            name: value.evaluate(values) if isinstance(value, Size) else value for name, value in self.sizes.items()
        }
        return sizes | self.flags


def is_modelled(op: Op) -> bool:
    """Whether the op has a formula."""
    return find_kind(op.kind) is not None


def variety_of(op: Op, tensors: Mapping[str, Tensor]) -> str:
    """What an op's kind leaves open: the kernel of a convolution, the function of others ("" where there is none)."""
    if op.kind == "convolution":
        return convolution.convolution_variety(Operands(op, tensors))
    return str(op.attributes.get("function", ""))


def op_arguments(op: Op, tensors: Mapping[str, Tensor]) -> OpArguments:
    """Read the arguments of an op's formula from its shapes, checking them.

    An op without a formula gets that of `unmodelled`: its tensors moved once.

    Raises:
        GraphError: shapes or attributes that contradict each other.
    """
    kind, operands = find_kind(op.kind), Operands(op, tensors)
    sizes, cost = (kind.sizes, kind.cost) if kind else (streaming.unmodelled_sizes, streaming.cost_streaming)
    arguments = sizes(operands)
    flags = {name: value for name, value in arguments.items() if isinstance(value, str | bool)}
    numbers = {name: value for name, value in arguments.items() if name not in flags}
    return OpArguments(op.kind, cost, numbers, flags)


def cost_op(op: Op, tensors: Mapping[str, Tensor], values: Mapping[str, Number] | None = None) -> OpCost:
    """The cost of one run of an op (without its `repeat`).

    Args:
        values: numbers, arrays or sympy symbols for the graph's symbols.

    Raises:
        GraphError: shapes that contradict each other, or a symbol without a value.
    """
    arguments = op_arguments(op, tensors)
    return arguments.cost(**arguments.evaluate(values or {}))


def cost_graph(graph: Graph, values: Mapping[str, Number] | None = None) -> OpCost:
    """The cost of a whole graph, repeats included."""
    total = OpCost()
    for op in graph.ops:
        total = total + cost_op(op, graph.tensors, values) * op.repeat
    return total
