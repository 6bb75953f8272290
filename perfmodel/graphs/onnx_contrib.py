"""onnxruntime's own fused ops (domain com.microsoft): norms with the residual, attention in its several forms.

May import: aten, onnx_contractions, onnx_quantized, onnx_streaming, onnx_use, strided. To add an op: a family here, its
name in onnx_table.py, and its output's shape in onnx_contrib_shapes.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfmodel.graphs.aten import Meaning, Operand
from perfmodel.graphs.onnx_contractions import attended, heads
from perfmodel.graphs.onnx_quantized import with_compute
from perfmodel.graphs.onnx_streaming import elementwise
from perfmodel.graphs.onnx_use import Family, Step, Use, computed
from perfmodel.graphs.strided import contiguous


def skip_norm(function: str) -> Family:
    """(x, skip, weights...) -> norm of the sum, and the sum as fourth output: one kernel."""

    def family(use: Use) -> Step:
        total = use.outputs[3] if len(use.outputs) > 3 and use.node.outputs[3] else None
        inputs = tuple(Operand(tensor) for tensor in use.present)
        outputs = tuple(Operand(tensor) for tensor in (use.outputs[0], total) if tensor is not None)
        attributes: dict[str, Any] = {"function": function, "residual": True, "launches": 1}
        return Step((Meaning("normalization", inputs, outputs, attributes),), use.outputs)

    return family


def rms_norm(use: Use) -> Step:
    """One kernel."""
    tensors = [tensor for tensor in use.inputs[:3] if tensor is not None]
    found = computed(use, "rms_norm", tensors)
    return Step(found.meanings, use.outputs)


def activation(name: str) -> Family:
    """An activation, with the bias in the same kernel."""

    def family(use: Use) -> Step:
        x = use.input(0)
        approximate = "tanh" if name == "gelu_tanh" else "none"
        return elementwise(use, name.removesuffix("_tanh"), use.present, x.like(), approximate=approximate)

    return family


def rotary(use: Use) -> Step:
    """Rotary embedding: one kernel that reads x and the tables of sines and cosines."""
    x = use.input(0)
    tables = [tensor for tensor in use.inputs[1:] if tensor is not None and tensor.dtype.is_floating_point]
    y = x.like()
    inputs = tuple(Operand(tensor) for tensor in (x, *tables))
    return Step((Meaning("pointwise", inputs, (Operand(y),), {"function": "rope", "launches": 1}),), (y,))


def packed_attention(*, quantized: bool) -> Family:
    """Attention, QAttention: x [B, S, D], weights [D, q + k + v], bias; projection and attention are two kernels."""

    def family(use: Use) -> Step:
        x, weight, bias = use.input(0), use.input(1), use.find(2)
        count = use.get("num_heads")
        sizes = use.get("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
        both = contiguous((*x.shape[:2], weight.shape[1]), use.outputs[0].dtype)
        projected = computed(
            replace(use, outputs=(both,)), "linear", [x, weight, bias], input=x, weight=weight.swapped(), bias=bias
        )
        projected = with_compute(projected, "int8") if quantized else projected
        starts = (0, sizes[0], sizes[0] + sizes[1])
        query, key, value = (heads(both.cut(2, start, size), count) for start, size in zip(starts, sizes, strict=True))
        mask = None if quantized else use.find(5)
        result = attended(use, query, key, value, mask, causal=bool(use.get("unidirectional", 0)))
        return Step((*projected.meanings, *result.meanings), result.outputs)

    return family


def multi_head(use: Use) -> Step:
    """MultiHeadAttention: query, key, value with heads beside each other, or all packed as [B, S, H, 3, C]."""
    query, key, value = use.input(0), use.find(1), use.find(2)
    count = use.get("num_heads")
    causal = bool(use.get("unidirectional", 0))
    if query.dim() == 5:
        batch, tokens, _, _, channels = query.shape
        parts = (query.cut(3, place, 1).reshape((batch, tokens, count, channels)) for place in range(3))
        q, k, v = (part.permute((0, 2, 1, 3)) for part in parts if part is not None)
        return attended(use, q, k, v, use.find(5), causal=causal)
    if key is None or value is None:
        raise ValueError("keys packed with values are not understood")
    k, v = (heads(tensor, count) if tensor.dim() == 3 else tensor for tensor in (key, value))
    return attended(use, heads(query, count), k, v, use.find(5), causal=causal)


def grouped_query(use: Use) -> Step:
    """GroupQueryAttention: [B, S, H·C] with fewer kv heads, or all three behind each other; rotation is a kernel of its
    own where the node asks for it."""
    query, key, value = use.input(0), use.find(1), use.find(2)
    count, kv_count = use.get("num_heads"), use.get("kv_num_heads")
    if key is None or value is None:
        channels = query.shape[2] // (count + 2 * kv_count)
        key = query.cut(2, count * channels, kv_count * channels)
        value = query.cut(2, (count + kv_count) * channels, kv_count * channels)
        query = query.cut(2, 0, count * channels)
    meanings: tuple[Meaning, ...] = ()
    if use.get("do_rotary", 0):
        turned = []
        for tensor in (query, key):
            y = contiguous(tensor.shape, tensor.dtype)
            attributes = {"function": "rope", "launches": 1}
            meanings += (Meaning("pointwise", (Operand(tensor, tensor.shape),), (Operand(y),), attributes),)
            turned.append(y)
        query, key = turned
    q, k, v = heads(query, count), heads(key, kv_count), heads(value, kv_count)
    result = attended(use, q, k, v, None, causal=True)
    return Step((*meanings, *result.meanings), result.outputs)
