"""Exported patterns put together again: what was one layer before an exporter took it apart becomes one node.

    MatMul, scale, mask, Softmax, MatMul          -> Attention
    ReduceMean, Sub, Pow, ReduceMean, Sqrt, Div   -> LayerNormalization
    x · (1 + Erf(x/√2)) / 2, x · Sigmoid(x), ...  -> Gelu, Swish, HardSwish, Mish
    MatMul, Add                                   -> MatMul with a bias
    QuantizeLinear, DequantizeLinear, MatMul      -> MatMul in int8

A rule looks at the last node of a pattern and returns the one that stands for all; the others stay where something else
reads them, and are dropped where nothing does. To add a rule: a function and its name in `_RULES`.
May import: onnx_attention, onnx_flow, onnx_program, onnx_quantized, onnx_shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from perfmodel.graphs.onnx_attention import fuse_attention
from perfmodel.graphs.onnx_flow import Flow
from perfmodel.graphs.onnx_program import FORMATS, Node
from perfmodel.graphs.onnx_quantized import COMPUTE, INPUT_SCALE, QUANTIZE_INPUT, compute_of
from perfmodel.graphs.onnx_shapes import Level, Value

Rule: TypeAlias = Callable[[Flow, Node], Node | None]
_NORMS = ("LayerNormalization", "RMSNormalization")
_MOST_STEPS = 8


def fuse_nodes(nodes: Sequence[Node], values: Mapping[str, Value]) -> list[Node]:
    """The nodes with patterns put together."""
    flow, fused = Flow(values), []
    for node in nodes:
        for rule in _RULES.get(node.op, ()):
            found = rule(flow, node)
            if found is not None:
                node = found
                break
        flow.add(node)
        fused.append(node)
    return fused


def _made(node: Node, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> Node:
    """The node that stands for a pattern: it makes what the last node of the pattern made."""
    return replace(
        node, op=op, inputs=tuple(inputs), outputs=node.outputs[:1], attributes=attributes or {}, version=0, proto=None
    )


# --------------------------------------------------------------------------------------------- activations


def _product_activation(flow: Flow, node: Node) -> Node | None:
    """x · f(x), times numbers."""
    if node.op == "Div" and not flow.is_scalar(node.input(1)):
        return None
    tensors, numbers = flow.factors_of(node)
    if len(tensors) != 2:
        return None
    for x, gate in (tensors, tensors[::-1]):
        found = _gate(flow, x, gate, numbers)
        if found:
            return _made(node, found[0], [x], found[1])
    return None


def _gate(flow: Flow, x: str, gate: str, numbers: int) -> tuple[str, dict[str, Any]] | None:
    """Which activation x times this gate is: (op, attributes)."""
    if (sigmoid := flow.maker(gate, "Sigmoid")) and _only_from(flow, sigmoid.input(0), x):
        return "Swish", {}
    if (linear := flow.maker(gate, "HardSigmoid")) and flow.is_same(linear.input(0), x):
        return "HardSwish", {}
    if (clip := flow.maker(gate, "Clip")) and numbers and _only_from(flow, clip.input(0), x):
        return "HardSwish", {}
    if (tanh := flow.maker(gate, "Tanh")) and (soft := flow.maker(tanh.input(0), "Softplus")):
        return ("Mish", {}) if flow.is_same(soft.input(0), x) else None
    shifted = flow.beside_scalar(flow.maker(gate, "Add")) if numbers else ""
    if shifted and (erf := flow.maker(shifted, "Erf")) and _only_from(flow, erf.input(0), x):
        return "Gelu", {"approximate": "none"}
    if shifted and (tanh := flow.maker(shifted, "Tanh")) and _only_from(flow, tanh.input(0), x):
        return "Gelu", {"approximate": "tanh"}
    return None


def _only_from(flow: Flow, name: str, x: str, depth: int = 0) -> bool:
    """Whether a tensor is a polynomial of x alone."""
    if flow.is_same(name, x) or flow.is_scalar(name):
        return True
    node = flow.maker(name, "Mul", "Add", "Div", "Pow")
    return node is not None and depth < _MOST_STEPS and all(
        _only_from(flow, operand, x, depth + 1) for operand in node.inputs
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- norms


def _norm(flow: Flow, node: Node) -> Node | None:
    """y / √(mean(y²) + ε), or y times its inverse; with y = x − mean(x) it is a layer norm."""
    for y, scale in (node.inputs[:2], node.inputs[1::-1]) if node.op == "Mul" else (node.inputs[:2],):
        deviation = scale if node.op == "Div" else _inverted(flow, scale)
        if not deviation or not _is_deviation(flow, deviation, y):
            continue
        centred = flow.maker(y, "Sub")
        mean = flow.maker(centred.input(1), "ReduceMean") if centred else None
        if centred and mean and flow.is_same(mean.input(0), centred.input(0)):
            return _made(node, "LayerNormalization", [flow.plain(centred.input(0))])
        return _made(node, "RMSNormalization", [flow.plain(y)])
    return None


def _inverted(flow: Flow, name: str) -> str:
    """d of 1/d; "" for anything else."""
    node = flow.maker(name, "Reciprocal", "Div", "Pow")
    if node is None:
        return ""
    if node.op == "Div":
        return node.input(1) if flow.is_scalar(node.input(0)) else ""
    return node.input(0) if node.op == "Reciprocal" else name


def _is_deviation(flow: Flow, name: str, y: str) -> bool:
    """Whether it is √(mean(y²) + ε); the root may be a power."""
    root = flow.maker(name, "Sqrt", "Pow")
    shifted = flow.beside_scalar(flow.maker(root.input(0), "Add")) if root else ""
    mean = flow.maker(shifted, "ReduceMean") if shifted else None
    square = flow.maker(mean.input(0), "Pow", "Mul") if mean else None
    return square is not None and flow.is_same(square.input(0), y) and (
        square.op == "Pow" or flow.is_same(square.input(1), y)
    )  # fmt: skip


def _norm_weight(flow: Flow, node: Node) -> Node | None:
    """A norm times its weight, or plus its bias."""
    for name, weight in (node.inputs[:2], node.inputs[1::-1]):
        norm = flow.maker(name, *_NORMS)
        expected = 1 if node.op == "Mul" else 2
        if norm and len(norm.inputs) == expected and flow.is_vector(weight, flow.shape(name)[-1]):
            return _made(node, norm.op, [*norm.inputs, weight], norm.attributes)
    return None


# ---------------------------------------------------------------------------------------- linear layers


def _bias(flow: Flow, node: Node) -> Node | None:
    """A product with a weight, plus a vector."""
    for name, bias in (node.inputs[:2], node.inputs[1::-1]):
        product = flow.makers.get(name)
        if product is None or product.op != "MatMul" or len(product.inputs) != 2:
            continue
        weight = flow.values.get(product.input(1))
        matrix = weight is not None and weight.level == Level.CONSTANT and len(weight.shape) == 2
        if weight and matrix and flow.is_vector(bias, weight.shape[1]):
            return _made(node, "MatMul", [*product.inputs, bias], product.attributes)
    return None


def _swapped_axes(flow: Flow, node: Node) -> Node | None:
    """[.., T, C] as [G, T, C], transposed, and back: only the last two axes change places."""
    turned = flow.maker(node.input(0), "Transpose")
    folded = flow.maker(turned.input(0), "Reshape") if turned else None
    if not turned or not folded or turned.attributes.get("perm") != [0, 2, 1]:
        return None
    before, after = flow.shape(folded.input(0)), flow.shape(node.outputs[0])
    if len(before) < 3 or after != (*before[:-2], before[-1], before[-2]):
        return None
    rank = len(before)
    return _made(node, "Transpose", [folded.input(0)], {"perm": [*range(rank - 2), rank - 1, rank - 2]})


# --------------------------------------------------------------------------------------------- quantised


def _quantized_product(flow: Flow, node: Node) -> Node | None:
    """A contraction of quantised weights with activations that are quantised just for it."""
    weight = flow.maker(node.input(1), "DequantizeLinear", "Transpose")
    weight = flow.maker(weight.input(0), "DequantizeLinear") if weight and weight.op == "Transpose" else weight
    widened = flow.maker(node.input(0), "DequantizeLinear")
    narrowed = flow.maker(widened.input(0), "QuantizeLinear") if widened else None
    if not weight or not narrowed or flow.values[weight.input(0)].level > Level.CONSTANT:
        return None
    compute = compute_of(FORMATS.get(flow.values[narrowed.outputs[0]].element, ""))
    if not compute:
        return None
    attributes = {**node.attributes, COMPUTE: compute, QUANTIZE_INPUT: True}
    return replace(node, inputs=(narrowed.input(0), *node.inputs[1:]), attributes=attributes)


def _dynamic_product(flow: Flow, node: Node) -> Node | None:
    """DynamicQuantizeLinear, MatMulInteger, Cast, and the product with both scales."""
    for name in node.inputs:
        product = flow.maker(name, "MatMulInteger")
        dynamic = flow.maker(product.input(0), "DynamicQuantizeLinear") if product else None
        if product and dynamic:
            attributes = {COMPUTE: "int8", QUANTIZE_INPUT: True, INPUT_SCALE: "tensor"}
            return _made(node, "MatMul", [dynamic.input(0), product.input(1)], attributes)
    return None


_RULES: dict[str, tuple[Rule, ...]] = {
    "MatMul": (fuse_attention, _quantized_product),
    "com.microsoft.FusedMatMul": (fuse_attention,),
    **dict.fromkeys(("Gemm", "Conv"), (_quantized_product,)),
    "Mul": (_dynamic_product, _norm, _norm_weight, _product_activation),
    "Div": (_norm, _product_activation),
    "Add": (_bias, _norm_weight),
    "Reshape": (_swapped_axes,),
}
