"""What a graph costs as formulas a person can read, and where a chip's roofline turns from memory to compute.

The formulas of the costs room are evaluated with sympy symbols: b batch, s tokens, t context. FLOPs are those of
contractions, as model papers count them; vector work (norms, activations, softmax) is left out.

    3072*b*s*(s + 4608)     a layer of BERT base

May import: errors, sizes, types, costs, kernels. sympy is imported when a formula is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.costs import OpArguments, cost_op, op_arguments
from perfmodel.kernels import contraction_rate
from perfmodel.sizes import Size, evaluate, product
from perfmodel.types import Graph, Hardware, Op, OpCost

SYMBOLS = {"batch": "b", "tokens": "s", "context": "t"}
LARGEST = 1 << 31  # sizes beyond this are not searched
_WEIGHT_KINDS = ("linear", "experts", "convolution")

# ------------------------------------------------------------------------------------------------ closed forms


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockForm:
    """Formulas of a block, once, or of a whole phase.

    Args:
        block: its name; "" for ops outside of blocks, "total" for the phase. repeat: how often it runs.
        flops: attention counted in full, every query with every key. causal_flops: only the pairs a causal mask keeps.
        bytes: every tensor moved once per op. fused_bytes: weights and cache only, as if activations stayed on chip.
        parameters: distinct weight elements of one repetition.
    """

    block: str
    repeat: int
    flops: Any
    causal_flops: Any
    bytes: Any
    fused_bytes: Any
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseForm:
    """Formulas of a phase: its blocks, what is outside of them, and all together.

    Args:
        symbols: size -> the letter it has in the formulas.
    """

    symbols: Mapping[str, str]
    blocks: tuple[BlockForm, ...]
    total: BlockForm
    cache_bytes_per_token: Any


def phase_form(graph: Graph) -> PhaseForm:
    """The closed forms of a graph.

    A phase over a whole prompt has context = tokens, so s stands for both; in a decode step tokens = 1 and t remains.
    """
    values = symbol_values(graph)
    costs = {op.name: _symbolic_cost(op, graph, values) for op in graph.ops}
    full = {op.name: _full_flops(op, graph, values, costs[op.name]) for op in graph.ops}
    blocks = []
    for block in dict.fromkeys(op.block for op in graph.ops):
        ops = [op for op in graph.ops if op.block == block]
        repeat = max(op.repeat for op in ops) if block else 1
        blocks.append(_form(graph, block, repeat, ops, costs, full))
    total = _form(graph, "total", 1, graph.ops, costs, full)
    return PhaseForm(
        symbols={name: str(symbol) for name, symbol in values.items()},
        blocks=tuple(blocks),
        total=total,
        cache_bytes_per_token=_cache_bytes_per_token(graph),
    )


def symbol_values(graph: Graph) -> dict[str, Any]:
    """A sympy symbol for each name the graph's sizes contain."""
    import sympy

    names = dict(SYMBOLS)
    if "tokens" in graph.symbols:
        names["context"] = names["tokens"]
    found = {*graph.symbols, *graph.free_symbols}
    return {name: sympy.Symbol(names.get(name, name), positive=True, integer=True) for name in sorted(found)}


def _form(
    graph: Graph, name: str, repeat: int, ops: Sequence[Op], costs: Mapping[str, OpCost], full: Mapping[str, Any]
) -> BlockForm:
    """The sum over ops, per repetition of their block."""
    import sympy

    counts = {op.name: sympy.Rational(op.repeat, repeat) for op in ops}

    def total(part: Callable[[str], Any]) -> Any:
        return readable(sympy.Add(*(part(op) * count for op, count in counts.items())))

    return BlockForm(
        block=name,
        repeat=repeat,
        flops=total(lambda op: full[op]),
        causal_flops=total(lambda op: costs[op].matrix_flops),
        bytes=total(lambda op: costs[op].bytes),
        fused_bytes=total(lambda op: costs[op].fused_bytes),
        parameters=_parameters(graph, ops, copies=name == "total"),
    )


def _full_flops(op: Op, graph: Graph, values: Mapping[str, Any], cost: OpCost) -> Any:
    """FLOPs of contractions as if there were no causal mask."""
    if not op.attributes.get("causal"):
        return cost.matrix_flops
    unmasked = replace(op, attributes={**op.attributes, "causal": False})
    return _symbolic_cost(unmasked, graph, values).matrix_flops


def _symbolic_cost(op: Op, graph: Graph, values: Mapping[str, Any]) -> OpCost:
    arguments = op_arguments(op, graph.tensors)
    sizes = {name: _exact(evaluate(value, values)) for name, value in arguments.sizes.items()}
    return arguments.cost(**sizes, **arguments.flags)


def _exact(value: Any) -> Any:
    """Numbers as rationals, so that sums of thousands of terms cancel exactly."""
    import sympy

    return sympy.nsimplify(value, rational=True) if isinstance(value, float) else sympy.sympify(value)


def readable(expression: Any) -> Any:
    """The polynomial part factored, the rest term by term; a share that dies out is written as c*(1 - p**n).

    >>> import sympy
    >>> b, s = sympy.symbols("b s")
    >>> readable(3072.0 * b * s**2 + 14155776 * b * s)
    3072*b*s*(s + 4608)
    """
    import sympy

    exact = sympy.nsimplify(expression, rational=True)
    expanded = sympy.expand(exact, power_base=False, power_exp=False)
    plain, others = [], []
    for term in sympy.Add.make_args(expanded):
        coefficient, rest = term.as_coeff_Mul()
        if term.is_polynomial(*expanded.free_symbols):
            plain.append(term)
        elif rest.is_Pow and coefficient < 0:
            plain.append(coefficient)
            others.append(sympy.Mul(-coefficient, 1 - rest, evaluate=False))
        else:
            others.append(term)
    polynomial = sympy.factor(sympy.Add(*plain))
    return sympy.Add(polynomial, *others, evaluate=False) if others and polynomial else sympy.Add(polynomial, *others)


def _parameters(graph: Graph, ops: Sequence[Op], *, copies: bool) -> int:
    """Distinct weight elements the ops use."""
    names = dict.fromkeys(name for op in ops for name in op.inputs)
    weights = [graph.tensors[name] for name in names if name in graph.tensors and graph.tensors[name].kind == "weight"]
    return sum(int(str(product(weight.shape))) * (weight.copies if copies else 1) for weight in weights)


def _cache_bytes_per_token(graph: Graph) -> Any:
    """Growth of the cache with each token of context (of the answer, beside a source), for one sequence."""
    import sympy

    from perfmodel.precisions import storage_bytes

    name = "answer" if "answer" in graph.symbols else "context"
    context = sympy.Symbol(name)
    values = dict.fromkeys(graph.free_symbols, 1) | {name: context}
    total = sympy.Integer(0)
    for tensor in graph.tensors.values():
        if tensor.kind == "cache":
            stored = storage_bytes(tensor.shape, tensor.dtype)
            total += (stored.evaluate(values) if isinstance(stored, Size) else stored) * tensor.copies
    return sympy.diff(total, context)


# ------------------------------------------------------------------------------------------------ the ridge


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundChange:
    """Where something turns from memory to compute bound on the roofline, at datasheet peaks.

    Args:
        subject: an op, or "" for the whole phase.
        symbol: the size that grows (batch, tokens); the others are as asked.
        at: the smallest size at which FLOPs/peak >= bytes/bandwidth; None if no size is large enough.
        value: the size asked for.
        seconds_ratio: FLOPs/peak over bytes/bandwidth at the size asked for; compute bound from 1 on.
    """

    subject: str
    symbol: str
    at: int | None
    value: int
    seconds_ratio: float


def bound_changes(graph: Graph, hardware: Hardware, values: Mapping[str, int], symbol: str) -> tuple[BoundChange, ...]:
    """Where the whole phase and its op with most FLOPs in a weight multiplication turn from memory to compute bound.

    The ratio of FLOPs/peak to bytes/bandwidth grows with the batch and with the length, as weights are read once for
    all of them; so the change is found by bisection, exact to one, for every kind of op and any mix of dtypes.

    Args:
        values: sizes as asked, by name. symbol: the one that grows; a context that equals the tokens grows with them.
    """
    exact = {name: float(value) for name, value in values.items()}  # a device may have a part of a token
    priced = [(op, op_arguments(op, graph.tensors)) for op in graph.ops if op.kind != "view"]
    everything = [(arguments, op.repeat) for op, arguments in priced]
    linear = [(op, arguments) for op, arguments in priced if op.kind in _WEIGHT_KINDS]
    found = [_bound_change("", everything, hardware, values, symbol)]
    if linear:
        op, arguments = max(
            linear, key=lambda pair: cost_op(pair[0], graph.tensors, exact).matrix_flops * pair[0].repeat
        )
        found.append(_bound_change(op.name, [(arguments, 1)], hardware, values, symbol))
    return tuple(found)


def _bound_change(
    subject: str, ops: Sequence[tuple[OpArguments, int]], hardware: Hardware, values: Mapping[str, int], symbol: str
) -> BoundChange:
    follows = symbol == "tokens" and values.get("context") == values.get("tokens")

    def ratio(count: int) -> float:
        grown = {**values, symbol: count} | ({"context": count} if follows else {})
        return _seconds_ratio(ops, hardware, {name: float(size) for name, size in grown.items()})

    return BoundChange(
        subject=subject,
        symbol=symbol,
        at=_first(lambda count: ratio(count) >= 1),
        value=values[symbol],
        seconds_ratio=ratio(values[symbol]),
    )


def _seconds_ratio(ops: Sequence[tuple[OpArguments, int]], hardware: Hardware, values: Mapping[str, float]) -> float:
    """FLOPs/peak over bytes/bandwidth."""
    compute, moved = 0.0, 0.0
    for arguments, repeat in ops:
        cost = arguments.cost(**arguments.evaluate(values))
        moved += cost.bytes * repeat
        for (unit, dtype), flops in cost.flops.items():
            if unit == "matrix":
                compute += flops * repeat / contraction_rate(hardware, dtype).flops_per_second
    return compute * hardware.memory_bandwidth_bytes_per_second / moved if moved else float("inf")


def _first(holds: Callable[[int], bool]) -> int | None:
    """The smallest count >= 1 for which a monotone condition holds; None up to `LARGEST`.

    >>> _first(lambda count: count * 3 >= 100)
    34
    """
    if holds(1):
        return 1
    low, high = 1, 2
    while not holds(high):
        low, high = high, high * 2
        if low >= LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
