"""Forward and backward pass as one graph: Graph -> Graph, reverse-mode differentiation kernel by kernel.

After the ops of the forward pass come those of the backward pass in reverse order, with the repetitions and blocks of
the ops they belong to. A product of matrices has two products in its backward pass; where a tensor is read by several
ops its gradients are added up; weights get dense gradients. The optimizer is not part of it.

What streaming ops move is taken from PyTorch's autograd formulas (2.1): a softmax multiplies its gradient by its output
in one kernel and subtracts the row sums in another, a power is three kernels, a dropout converts its mask first.

May import: errors, types, sizes, expansion, builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from perfmodel.errors import GraphError
from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.expansion import Place, without_unused_tensors
from perfmodel.sizes import product
from perfmodel.types import Graph, Op

Gradients: TypeAlias = dict[str, str]  # tensor -> its gradient

_PASS_THROUGH = ("add", "sub")
_BY_SCALAR = ("mul", "div")


@dataclass(slots=True)
class _Tape:
    """What the backward pass knows while it is written.

    Args:
        trained: tensors that get a gradient. gradients: of what has been differentiated so far, all uses added up.
    """

    builder: GraphBuilder
    trained: set[str]
    gradients: Gradients = field(default_factory=dict)

    def add(self, tensor: str, gradient: str, place: Place) -> None:
        """Note a gradient of a tensor, and add it to what other ops gave."""
        before = self.gradients.get(tensor)
        if before is None or before == gradient:
            self.gradients[tensor] = gradient
            return
        part = f"sum.{tensor}"
        self.gradients[tensor] = place.apply(part, "pointwise", "add", (before, gradient))


def training_step(graph: Graph) -> Graph:
    """The graph followed by its backward pass.

    The gradients of the results (what no op reads) come from outside: computing a loss is not part of it.

    Raises:
        GraphError: an op whose gradient is not known, or that stands for several kernels (fused attention, a norm with
            its residual): take those apart first with `eager_graph`.
    """
    builder = GraphBuilder(graph.name, graph.source)
    builder.tensors.update(graph.tensors)
    for op in graph.ops:
        builder.op(op.name, op.kind, op.inputs, op.outputs, op.attributes, repeat=op.repeat, block=op.block)
    tape = _Tape(builder, _trained(graph))
    read = {name for op in graph.ops for name in op.inputs}
    for op in reversed(graph.ops):
        wanted = [name for name in op.inputs if name in tape.trained]
        if not wanted:
            continue
        place = Place(builder, Op(name=f"{op.name}.backward", kind=op.kind, inputs=op.inputs, outputs=op.outputs,
                                  repeat=op.repeat, block=op.block))  # fmt: skip
        for name in op.outputs:
            if name not in read and name not in tape.gradients and name in tape.trained:
                tape.gradients[name] = place.outside(f"{name}.gradient", place.shape(name), place.dtype(name))
        incoming = {name: tape.gradients[name] for name in op.outputs if name in tape.gradients}
        if incoming:
            _differentiate(op, place, incoming, tape)
    return without_unused_tensors(builder.graph(graph.symbols, graph.notes))


def _trained(graph: Graph) -> set[str]:
    """Weights, and every floating-point activation that depends on one."""
    found = {name for name, tensor in graph.tensors.items() if tensor.kind == "weight"}
    for op in graph.ops:
        if not found.isdisjoint(op.inputs):
            found.update(
                name for name in op.outputs if not graph.tensors[name].dtype.startswith(("int", "bool", "uint"))
            )
    return found


def _differentiate(op: Op, place: Place, incoming: Gradients, tape: _Tape) -> None:
    rule = _RULES.get(op.kind)
    if rule is None or any(op.attributes.get(form, False) for form in ("residual", "experts", "stacked")):
        raise GraphError(f"op '{op.name}' ({op.kind}) has no backward pass here; `eager_graph` takes fused ops apart")
    for tensor, gradient in rule(op, place, incoming).items():
        if tensor in tape.trained:
            tape.add(tensor, gradient, place)


def _needs(place: Place, name: str) -> bool:
    """Whether a kernel for this tensor's gradient runs: not for data, masks and indices."""
    return place.tensor_of(name).kind in ("activation", "weight") and not place.dtype(name).startswith(("int", "bool"))


# ------------------------------------------------------------------------------------------------ contractions


def _linear(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """dX = dY·W, dW = dYᵀ·X, db = sum of dY over the rows."""
    x, weight, *bias = op.inputs
    dy = incoming[op.outputs[0]]
    rows, features, channels = product(place.shape(x)[:-1]), place.shape(weight)[-2], place.shape(x)[-1]
    flat, transposed = _view(place, "rows", dy, (rows, features)), _view(place, "columns", dy, (features, rows))
    found: Gradients = {}
    if _needs(place, x):
        dx = place.apply("input", "matmul", "", (flat, weight), shape=(rows, channels), dtype=place.dtype(x))
        found[x] = _view(place, "input_view", dx, place.shape(x))
    inputs = _view(place, "inputs", x, (rows, channels))
    found[weight] = place.apply("weight", "matmul", "", (transposed, inputs), shape=(features, channels))
    for name in bias:
        found[name] = place.apply("bias", "reduce", "sum", (flat,), shape=place.shape(name))
    return found


def _matmul(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """dA = dC·Bᵀ, dB = Aᵀ·dC for C = A·B; B is stored transposed where the op says so."""
    a, b = op.inputs
    dc = incoming[op.outputs[0]]
    found: Gradients = {}
    transposed_b = bool(op.attributes.get("transpose_b", False))
    if _needs(place, a):
        found[a] = place.apply("left", "matmul", "", (dc, b), shape=place.shape(a), transpose_b=not transposed_b)
    if _needs(place, b):
        factors = (_transposed(place, "columns", dc), a) if transposed_b else (_transposed(place, "rows", a), dc)
        found[b] = place.apply("right", "matmul", "", factors, shape=place.shape(b))
    return found


def _view(place: Place, part: str, x: str, shape: tuple[object, ...]) -> str:
    if place.shape(x) == shape:
        return x
    out = place.activation(part, shape, place.dtype(x))  # type: ignore[arg-type]
    place.put(part, "view", (x,), (out,))
    return out


def _transposed(place: Place, part: str, x: str) -> str:
    *leading, rows, columns = place.shape(x)
    return _view(place, part, x, (*leading, columns, rows))


# ----------------------------------------------------------------------------------------------- streaming ops


def _softmax(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """dX = Y·dY - Y·sum(Y·dY): a product, then the rows."""
    (y,) = op.outputs
    weighted = place.apply("product", "pointwise", "mul", (incoming[y], y))
    return {op.inputs[0]: place.apply("rows", "softmax", "softmax", (weighted, y), shape=place.shape(op.inputs[0]))}


def _normalization(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """The input's gradient row by row; those of weight and bias in another kernel that sums over the rows."""
    x, *weights = op.inputs
    dy = incoming[op.outputs[0]]
    found: Gradients = {}
    if _needs(place, x):
        found[x] = place.apply("input", "normalization", str(op.attributes.get("function", "layer")), (x, dy))
    if weights:
        sums = [
            place.activation(f"sum_{part}", place.shape(name), place.dtype(name)) for part, name in enumerate(weights)
        ]
        place.put("weights", "reduce", (x, dy), sums, {"function": "sum"})
        found |= dict(zip(weights, sums, strict=True))
    return found


def _pointwise(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """By function: sums pass on, a scalar factor is one kernel, a product one for each factor, others read dY and X."""
    function, dy = str(op.attributes.get("function", "")), incoming[op.outputs[0]]
    floating = [name for name in dict.fromkeys(op.inputs) if _needs(place, name)]
    if function in _PASS_THROUGH:
        return {name: _summed_to(place, name, dy) for name in floating}
    if function in _BY_SCALAR and len(op.inputs) == 1:
        return {op.inputs[0]: place.apply("input", "pointwise", function, (dy,))}
    if function in _SEVERAL_KERNELS:
        return _SEVERAL_KERNELS[function](op, place, dy)
    if function in ("mul", "div"):
        others = {name: [other for other in op.inputs if other != name] or [name] for name in floating}
        return {
            name: place.apply(f"input_{part}", "pointwise", "mul", (dy, *others[name]), shape=place.shape(name))
            for part, name in enumerate(floating)
        }
    return {
        name: place.apply(f"input_{part}", "pointwise", function, (dy, name), shape=place.shape(name))
        for part, name in enumerate(floating)
    }


def _summed_to(place: Place, name: str, dy: str) -> str:
    """dY, summed over what was broadcast."""
    if product(place.shape(name)) == product(place.shape(dy)):
        return dy
    return place.apply(f"sum_{name}", "reduce", "sum", (dy,), shape=place.shape(name))


def _where(op: Op, place: Place, dy: str) -> Gradients:
    return {op.inputs[0]: place.apply("input", "pointwise", "where", (dy, *op.inputs[1:]), shape=place.shape(dy))}


def _power(op: Op, place: Place, dy: str) -> Gradients:
    """n·x^(n-1)·dY: power, product, scalar factor."""
    power = place.apply("power", "pointwise", "pow", op.inputs[:1])
    scaled = place.apply("scaled", "pointwise", "mul", (power,))
    return {op.inputs[0]: place.apply("input", "pointwise", "mul", (dy, scaled))}


def _maximum(op: Op, place: Place, dy: str) -> Gradients:
    """Half of dY where both are equal, none where the other is larger: two comparisons, a halving, two choices."""
    x = op.inputs[0]
    equal = place.apply("equal", "pointwise", "eq", (x,), dtype="bool")
    half = place.apply("half", "pointwise", "div", (dy,))
    chosen = place.apply("choice", "pointwise", "where", (dy, half, equal))
    less = place.apply("less", "pointwise", "lt", (x,), dtype="bool")
    return {x: place.apply("input", "pointwise", "where", (chosen, less))}


def _rope(op: Op, place: Place, dy: str) -> Gradients:
    return {name: place.apply(f"input_{part}", "pointwise", "rope", (dy,), shape=place.shape(name))
            for part, name in enumerate(op.inputs)}  # fmt: skip


_SEVERAL_KERNELS: Mapping[str, Callable[[Op, Place, str], Gradients]] = {
    "where": _where, "pow": _power, "maximum": _maximum, "rope": _rope,
}  # fmt: skip


def _dropout(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """dX = dY·mask·1/(1-p), the mask converted to the gradient's dtype first."""
    y, mask = op.outputs
    dy = incoming[y]
    factor = place.apply("mask", "copy", "cast", (mask,), dtype=place.dtype(y))
    return {
        op.inputs[0]: place.apply(
            "scale", "pointwise", "mul", (place.apply("product", "pointwise", "mul", (dy, factor)),)
        )
    }


def _copy(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """Laid out anew once more; repeated heads are summed, concatenated parts are cut out."""
    (y,), dy = op.outputs, incoming[op.outputs[0]]
    floating = [name for name in op.inputs if _needs(place, name)]
    if len(op.inputs) > 1:
        return {name: place.apply(f"part_{part}", "copy", "slice", (dy,), shape=place.shape(name))
                for part, name in enumerate(floating)}  # fmt: skip
    if product(place.shape(y)) != product(place.shape(op.inputs[0])):
        return {name: _summed_to(place, name, dy) for name in floating}
    function = str(op.attributes.get("function", "copy"))
    return {name: place.apply("input", "copy", function, (dy,), shape=place.shape(name), dtype=place.dtype(name))
            for name in floating}  # fmt: skip


def _view_rule(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """A view of the gradient; the gradients of several views of a tensor are put together by a kernel."""
    (x,) = op.inputs
    if len(op.outputs) == 1:
        dy = incoming[op.outputs[0]]
        if product(place.shape(dy)) == product(place.shape(x)):
            return {x: _view(place, "input", dy, place.shape(x))}
    return {
        x: place.apply("input", "copy", "concat", tuple(incoming.values()), shape=place.shape(x), dtype=place.dtype(x))
    }


def _embedding(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """A dense gradient of the table: zeros, into which the rows are added."""
    indices, table = op.inputs[:2]
    zeros = place.apply("zeros", "pointwise", "fill", (), shape=place.shape(table), dtype=place.dtype(table))
    gradient = place.activation("table", place.shape(table), place.dtype(table))
    place.put("rows", "scatter", (zeros, indices, incoming[op.outputs[0]]), (gradient,))
    return {table: gradient}


def _gather(op: Op, place: Place, incoming: Gradients) -> Gradients:
    """Zeros, into which the rows are written."""
    x, dy = op.inputs[0], incoming[op.outputs[0]]
    zeros = place.apply("zeros", "pointwise", "fill", (), shape=place.shape(x), dtype=place.dtype(x))
    gradient = place.activation("input", place.shape(x), place.dtype(x))
    place.put("rows", "scatter", (zeros, dy), (gradient,))
    return {x: gradient}


_RULES: Mapping[str, Callable[[Op, Place, Gradients], Gradients]] = {
    "linear": _linear, "matmul": _matmul, "softmax": _softmax, "normalization": _normalization,
    "pointwise": _pointwise, "dropout": _dropout, "copy": _copy, "view": _view_rule, "embedding": _embedding,
    "gather": _gather,
}  # fmt: skip
