"""Output shapes of onnxruntime's own ops (domain com.microsoft), and of a few others, for which the onnx library has
no shape inference.

Letters: B batch, S query tokens, T key tokens, H heads, K kv heads, C channels of a head, N output features.
May import: nothing. To add an op: a function and its names in `_SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Type: TypeAlias = tuple[Any, int]  # (shape, element type)
Attributes: TypeAlias = Mapping[str, Any]
_FLOAT = 1


def contrib_shapes(op: str, attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Type]:
    """(shape, element type) of the outputs; empty for an op that is not known here.

    Args:
        inputs: values with `shape` and `element`, None where left out.
    """
    rule = _SHAPES.get(op.removeprefix("com.microsoft."))
    if rule is None or not inputs or inputs[0] is None or (op in _STANDARD and "." not in op):
        return []
    types = rule(attributes, inputs)
    return types + [types[0]] * (outputs - len(types))


def _same(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    return [(inputs[0].shape, inputs[0].element)]


def _skip_norm(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """y, mean, inverse deviation, sum."""
    x = inputs[0]
    statistics = ((*x.shape[:-1], 1), _FLOAT)
    return [(x.shape, x.element), statistics, statistics, (x.shape, x.element)]


def _product(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """[..., M, K] x [..., K, N], either with its last two axes exchanged."""
    a, b = inputs[0].shape, inputs[1].shape
    a = (*a[:-2], a[-1], a[-2]) if attributes.get("transA") else a
    b = (*b[:-2], b[-1], b[-2]) if attributes.get("transB") else b
    leading = a[:-2] if len(a) >= len(b) else b[:-2]
    return [((*leading, a[-2], b[-1]), inputs[0].element)]


def _float_product(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """Quantised x [..., K] times weights [K, N] -> floats."""
    return [((*inputs[0].shape[:-1], inputs[1].shape[-1]), _FLOAT)]


def _bits_product(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """x [..., K] times packed weights that stand for [N, K]."""
    return [((*inputs[0].shape[:-1], attributes["N"]), inputs[0].element)]


def _packed_attention(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """x [B, S, D] with weights [D, q + k + v]."""
    x, weight = inputs[0].shape, inputs[1].shape
    sizes = attributes.get("qkv_hidden_sizes") or [weight[1] // 3] * 3
    return [((*x[:2], sizes[2]), _FLOAT if inputs[0].element in (2, 3) else inputs[0].element)]


def _multi_head(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """query [B, S, H·C], key, value [B, T, H·C] or [B, H, T, C]; or all packed as [B, S, H, 3, C]."""
    query, value = inputs[0], inputs[2] if len(inputs) > 2 else None
    shape = query.shape
    if len(shape) == 5:
        return [((shape[0], shape[1], shape[2] * shape[4]), query.element)]
    if value is None:
        return [(shape, query.element)]
    hidden = value.shape[-1] * (value.shape[1] if len(value.shape) == 4 else 1)
    return [((*shape[:2], hidden), query.element)]


def _grouped(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """query [B, S, H·C] (or with keys and values behind it); caches [B, K, T, C]."""
    query, past = inputs[0], inputs[3] if len(inputs) > 3 else None
    heads, kv_heads = attributes["num_heads"], attributes["kv_num_heads"]
    packed = len(inputs) < 2 or inputs[1] is None
    channels = query.shape[2] // (heads + 2 * kv_heads if packed else heads)
    tokens = max(query.shape[1], past.shape[2] if past is not None else 0)
    cache = ((query.shape[0], kv_heads, tokens, channels), query.element)
    return [((*query.shape[:2], heads * channels), query.element), cache, cache]


def _broadcast(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    """QLinearAdd, QLinearMul: a with its scale and zero point, b with its own."""
    a, b = inputs[0].shape, inputs[3].shape
    rank = max(len(a), len(b))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in (a, b)]
    return [(tuple(max(pair) for pair in zip(*padded, strict=True)), inputs[0].element)]


def _global_pool(attributes: Attributes, inputs: Sequence[Any]) -> list[Type]:
    x = inputs[0].shape
    return [((*x[:2], *(1 for _ in x[2:])), inputs[0].element)]


# names that the operator set has as well, where onnx knows the shapes
_STANDARD = ("Gelu", "Attention")
# of the operator set, but defined by a function that onnx does not look into
_UNINFERRED = ("MeanVarianceNormalization", "GroupNormalization", "RMSNormalization", "Swish")
_SHAPES: dict[str, Callable[[Attributes, Sequence[Any]], list[Type]]] = {
    **dict.fromkeys(
        ("Gelu", "FastGelu", "QuickGelu", "BiasGelu", "SimplifiedLayerNormalization", "RotaryEmbedding",
         "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", *_UNINFERRED), _same,
    ),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), _skip_norm),
    "FusedMatMul": _product,
    **dict.fromkeys(("MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _float_product),
    "MatMulNBits": _bits_product,
    **dict.fromkeys(("Attention", "QAttention"), _packed_attention),
    "MultiHeadAttention": _multi_head,
    "GroupQueryAttention": _grouped,
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _broadcast),
    "QLinearGlobalAveragePool": _global_pool,
}  # fmt: skip
