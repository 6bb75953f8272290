"""Quantised ONNX graphs: how their weights are stored, and ops over whole numbers.

A weight behind DequantizeLinear is that weight in its storage format. The same goes for packed weights (MatMulNBits).
Contractions over whole numbers run in int8; what turns activations into them is a cast, unless fusion (onnx_fusion)
found that it belongs to the contraction.

May import: onnx_contractions, onnx_program, onnx_shapes, onnx_streaming, onnx_use, strided. To add an op that has
quantised weights: a line in `_WEIGHT_INPUTS` and a family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from perfmodel.graphs.onnx_contractions import convolved, matmul
from perfmodel.graphs.onnx_program import FORMATS, Node
from perfmodel.graphs.onnx_shapes import Level, Value
from perfmodel.graphs.onnx_streaming import elementwise
from perfmodel.graphs.onnx_use import Family, Step, Use, computed, view
from perfmodel.graphs.strided import DTYPES

# which inputs are weights, whatever their type and however small
_WEIGHT_INPUTS = {
    "DequantizeLinear": (0,), "QLinearConv": (3, 8), "QLinearMatMul": (3,), "MatMulInteger": (1,), "ConvInteger": (1,),
    "com.microsoft.MatMulNBits": (1, 5), "com.microsoft.QAttention": (1, 2),
    "com.microsoft.DynamicQuantizeMatMul": (1, 4), "com.microsoft.MatMulIntegerToFloat": (1, 6),
    "MatMul": (1, 2), "Gemm": (1, 2), "Conv": (1, 2), "ConvTranspose": (1, 2), "PRelu": (1,),
    "BatchNormalization": (1, 2, 3, 4), "LayerNormalization": (1, 2),
}  # fmt: skip
_STORED = {2: "int8", 3: "int8", 6: "int32", 21: "int4", 22: "int4", 23: "mxfp4", 25: "int2_g128", 26: "int2_g128"}
_COMPUTE = {"int8": "int8", "uint8": "int8", "fp8": "fp8"}
# attributes that fusion gives to contractions
COMPUTE, QUANTIZE_INPUT, INPUT_SCALE = "perfmodel.compute", "perfmodel.quantize_input", "perfmodel.input_scale"
_LARGE_BLOCK = 64  # the formats have blocks of 32 and 128 elements


@dataclass(frozen=True, slots=True)
class Stored:
    """How a constant is stored: the shape it stands for, its format."""

    shape: tuple[int, ...]
    format: str


def stored_weights(nodes: Iterable[Node], values: Mapping[str, Value]) -> dict[str, Stored]:
    """The weights among the constants that do not look like it, for being whole numbers or a single one."""
    found: dict[str, Stored] = {}
    for node in nodes:
        for place in _WEIGHT_INPUTS.get(node.op, ()):
            value = values.get(node.input(place))
            if value is None or value.level != Level.CONSTANT:
                continue
            if node.op == "com.microsoft.MatMulNBits" and place == 1:
                shape = (int(node.attributes["N"]), int(node.attributes["K"]))
                found[node.input(1)] = Stored(shape, _packed(node.attributes.get("bits", 4), _block(node)))
                continue
            stored = _STORED.get(value.element, FORMATS[value.element])
            grouped = stored == "int4" and _block(node) > 0
            found[node.input(place)] = Stored(value.shape, _packed(4, _block(node)) if grouped else stored)
    return found


def _block(node: Node) -> int:
    return int(node.attributes.get("block_size", 0))


def _packed(bits: int, block: int) -> str:
    """The nearest storage format of packed weights.

    >>> _packed(4, 32), _packed(4, 128), _packed(8, 32), _packed(2, 64)
    ('int4_g32', 'int4_g128', 'int8', 'int2_g128')
    """
    if bits == 4:
        return "int4_g32" if block and block < _LARGE_BLOCK else "int4_g128"
    return {2: "int2_g128", 3: "int3_g128"}.get(bits, "int8")


def compute_of(format: str) -> str:
    """The type that products of such numbers run in; "" for those that are widened first."""
    return _COMPUTE.get(format, "")


def with_compute(step: Step, compute: str, *, quantize_input: bool = False, input_scale: str = "") -> Step:
    """The step with its contractions in that type.

    Args:
        quantize_input: the contraction rewrites its input first, in a kernel of its own. input_scale: "tensor" if the
            scale is found then.
    """
    extra = {
        "compute": compute,
        **({"quantize_input": True} if quantize_input else {}),
        **({"input_scale": input_scale} if input_scale else {}),
    }
    meanings = tuple(
        replace(meaning, attributes=meaning.attributes | extra)
        if meaning.kind in ("linear", "matmul", "convolution")
        else meaning
        for meaning in step.meanings
    )
    return Step(meanings, step.outputs)


def dequantize(use: Use) -> Step:
    """A weight stays as it is stored."""
    x = use.input(0)
    return view(x) if use.is_weight(x) else quantize(use)


def quantize(use: Use) -> Step:
    x = use.input(0)
    return elementwise(use, "_to_copy", [x], x.like(use.outputs[0].dtype))


def dynamic_quantize(use: Use) -> Step:
    """The range is found in a pass of its own: what is written, its scale and zero point."""
    x = use.input(0)
    found = computed(use, "aminmax", [x])
    written = elementwise(use, "_to_copy", [x], x.like(DTYPES["uint8"]))
    return Step((replace(found.meanings[0], outputs=found.meanings[0].outputs[1:2]), *written.meanings),
                (*written.outputs, *use.outputs[1:]))  # fmt: skip


def integer_matmul(weight: int = 1, bias: int = 0) -> Family:
    """A product over whole numbers; the places of weight and bias differ."""

    def family(use: Use) -> Step:
        tensors = (use.input(0), use.input(weight), use.find(bias) if bias else None)
        own = replace(use, inputs=tensors, data=(None,) * 3)
        return with_compute(matmul(own), "int8")

    return family


def dynamic_matmul(use: Use) -> Step:
    """Float activations, whole-number weights: (a, b, b_scale, b_zero_point, bias)."""
    own = replace(use, inputs=(use.input(0), use.input(1), use.find(4)), data=(None,) * 3)
    return with_compute(matmul(own), "int8", quantize_input=True, input_scale="tensor")


def integer_convolution(use: Use) -> Step:
    """ConvInteger."""
    return with_compute(convolved(use, use.input(0), use.input(1), None), "int8")


def linear_convolution(use: Use) -> Step:
    """QLinearConv: x with scale and zero point, the weights with theirs, the output's, and a bias."""
    return with_compute(convolved(use, use.input(0), use.input(3), use.find(8)), "int8")


def packed_matmul(use: Use) -> Step:
    """MatMulNBits: the weights are unpacked on the way into the product; (a, b, scales, zeros, order, bias)."""
    x, weight, bias = use.input(0), use.input(1), use.find(5)
    return computed(use, "linear", [x, weight, bias], input=x, weight=weight, bias=bias)


def quantized_pointwise(name: str) -> Family:
    """QLinearAdd, QLinearMul: both operands with scale and zero point."""
    return lambda use: elementwise(use, name, [use.input(0), use.input(3)], use.outputs[0])
