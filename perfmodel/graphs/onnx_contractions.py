"""ONNX ops that multiply: matrix products, convolutions, attention, recurrent cells.

May import: aten, onnx_attention, onnx_use, strided. To add an op: a family here and its name in onnx_table.py.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from perfmodel.graphs.aten import Meaning, Operand
from perfmodel.graphs.onnx_attention import TRANSPOSED_KEY
from perfmodel.graphs.onnx_use import Step, Use, as_torch, computed, reshaped, unknown
from perfmodel.graphs.strided import StridedTensor, contiguous


def matmul(use: Use) -> Step:
    """MatMul as torch's: a linear layer where one side is a weight, else batched products (after copies that make the
    heads of each sequence lie together)."""
    a, b = use.input(0), use.input(1)
    a = a.swapped() if use.get("transA") else a
    b = b.swapped() if use.get("transB") else b
    if b.dim() == 2 and use.is_weight(b):
        return computed(use, "linear", [a, b, use.find(2)], input=a, weight=b.swapped(), bias=use.find(2))
    if a.dim() <= 2 and b.dim() <= 2:
        return _plain_product(use, a, b)
    return _batched_product(use, a, b)


def _plain_product(use: Use, a: StridedTensor, b: StridedTensor) -> Step:
    """Matrices or vectors."""
    a, b = (factor if factor.dim() > 1 else _as_matrix(factor, row=factor is a) for factor in (a, b))
    output = contiguous((a.shape[0], b.shape[1]), use.outputs[0].dtype)
    result = output.reshape(use.outputs[0].shape)
    assert result is not None
    return Step((as_torch(use, "mm", [a, b], [output]),), (result,))


def _batched_product(use: Use, a: StridedTensor, b: StridedTensor) -> Step:
    """Leading axes are broadcast and folded into one; rows of all of them against one matrix are one product."""
    y = use.outputs[0]
    a, b = (factor if factor.dim() > 1 else _as_matrix(factor, row=factor is a) for factor in (a, b))
    if b.dim() == 2:
        copies, rows = reshaped(use, a, (prod(a.shape[:-1]), a.shape[-1]))
        output = contiguous((rows.shape[0], b.shape[1]), y.dtype)
        product = as_torch(use, "mm", [rows, b], [output])
    else:
        leading = y.shape[: max(a.dim(), b.dim()) - 2]
        copies_a, left = reshaped(use, a.expand((*leading, *a.shape[-2:])), (prod(leading), *a.shape[-2:]))
        copies_b, right = reshaped(use, b.expand((*leading, *b.shape[-2:])), (prod(leading), *b.shape[-2:]))
        output, copies = contiguous((prod(leading), a.shape[-2], b.shape[-1]), y.dtype), (*copies_a, *copies_b)
        product = as_torch(use, "bmm", [left, right], [output])
    result = output.reshape(y.shape)
    assert result is not None
    return Step((*copies, product), (result,))


def _as_matrix(vector: StridedTensor, *, row: bool) -> StridedTensor:
    size, stride = vector.shape[0], vector.strides[0]
    return replace(vector, shape=(1, size) if row else (size, 1), strides=(0, stride) if row else (stride, 0))


def gemm(use: Use) -> Step:
    """A' B' + C."""
    a, b, c = use.input(0), use.input(1), use.find(2)
    a = a.swapped() if use.get("transA") else a
    b = b if use.get("transB") else b.swapped()
    if use.is_weight(b) or not use.is_weight(a):
        return computed(use, "linear", [a, b, c], input=a, weight=b, bias=c)
    tensors = [c, a, b.swapped()] if c is not None else [a, b.swapped()]
    return computed(use, "addmm" if c is not None else "mm", tensors, self=c)


def einsum(use: Use) -> Step:
    """Two operands whose letters are batch, row, column and summed axes; others are not understood."""
    terms, _, result = str(use.get("equation", "")).replace(" ", "").partition("->")
    letters = terms.split(",")
    if len(letters) != 2 or not result or "." in terms or any(len(set(term)) != len(term) for term in letters):
        return unknown(use)
    a, b = use.input(0), use.input(1)
    batch = [letter for letter in letters[0] if letter in letters[1] and letter in result]
    summed = [letter for letter in letters[0] if letter in letters[1] and letter not in result]
    rows = [letter for letter in letters[0] if letter not in letters[1]]
    columns = [letter for letter in letters[1] if letter not in letters[0]]
    if {*rows, *columns} - {*result} or not summed:
        return unknown(use)
    sizes = dict(zip(letters[0], a.shape, strict=True)) | dict(zip(letters[1], b.shape, strict=True))
    g, m, n, k = (prod(sizes[letter] for letter in group) for group in (batch, rows, columns, summed))
    shapes = (m, k), (k, n), (m, n)
    attributes: dict[str, Any] = {}
    if not batch and use.is_weight(b):
        kind, shapes = "linear", ((m, k), (n, k), (m, n))
    else:
        kind, shapes = "matmul", tuple((g, *shape) for shape in shapes)  # type: ignore[assignment]
    inputs = (Operand(a, shapes[0]), Operand(b, shapes[1]))
    return Step((Meaning(kind, inputs, (Operand(use.outputs[0], shapes[2]),), attributes),), use.outputs)


def convolution(use: Use) -> Step:
    """Conv, ConvTranspose: pads are those at the beginning of each axis; auto_pad keeps or shrinks the size."""
    x, weight, bias = use.input(0), use.input(1), use.find(2)
    return convolved(use, x, weight, bias, transposed=use.node.op == "ConvTranspose")


def convolved(
    use: Use, x: StridedTensor, weight: StridedTensor, bias: StridedTensor | None, *, transposed: bool = False
) -> Step:
    """A convolution with the node's strides, pads, dilations and groups."""
    space = x.dim() - 2
    dilation = use.get("dilations") or [1] * space
    same = str(use.get("auto_pad", "NOTSET")).startswith("SAME")
    reach = [factor * (size - 1) // 2 for factor, size in zip(dilation, weight.shape[2:], strict=True)]
    return computed(
        use, "convolution", [x, weight, bias], input=x, weight=weight, bias=bias,
        stride=use.get("strides") or [1] * space,
        padding=reach if same else (use.get("pads") or [0] * space)[:space],
        dilation=dilation, groups=use.get("group", 1), transposed=transposed,
    )  # fmt: skip


def attention(use: Use) -> Step:
    """Attention of the operator set (version 23) and of fusion: query, key, value, mask; heads in the second axis, or
    beside each other in the last."""
    query, key, value, mask = use.input(0), use.input(1), use.input(2), use.find(3)
    key = key.swapped() if use.get(TRANSPOSED_KEY) else key
    if query.dim() == 3 and use.get("q_num_heads"):
        query = heads(query, use.get("q_num_heads"))
        key, value = (heads(tensor, use.get("kv_num_heads")) for tensor in (key, value))
    return attended(use, query, key, value, mask, causal=bool(use.get("is_causal", 0)))


def heads(x: StridedTensor, count: int) -> StridedTensor:
    """[B, S, H·C] seen as [B, H, S, C]."""
    split = x.reshape((*x.shape[:2], count, x.shape[2] // count))
    if split is None:
        raise ValueError(f"{list(x.shape)} cannot be cut into {count} heads")
    return split.permute((0, 2, 1, 3))


def attended(
    use: Use, query: StridedTensor, key: StridedTensor, value: StridedTensor, mask: StridedTensor | None, *,
    causal: bool,
) -> Step:  # fmt: skip
    """The kernel writes [batch, tokens, heads, channels], so that merging the heads is a view, as in torch."""
    shape = (*query.shape[:-1], value.shape[-1])
    if query.dim() == 4:
        batch, count, tokens, channels = shape
        result = contiguous((batch, tokens, count, channels), use.outputs[0].dtype).permute((0, 2, 1, 3))
    else:
        result = contiguous(shape, use.outputs[0].dtype)
    meaning = as_torch(
        use, "scaled_dot_product_attention", [query, key, value, mask], [result],
        query=query, key=key, value=value, attn_mask=mask, is_causal=causal,
    )  # fmt: skip
    output = result
    if result.shape != use.outputs[0].shape:  # heads beside each other
        merged = result.permute((0, 2, 1, 3)).reshape(use.outputs[0].shape) if query.dim() == 4 else None
        if merged is None:
            raise ValueError(f"attention of {list(shape)} does not give {list(use.outputs[0].shape)}")
        output = merged
    return Step((meaning,), (output, *use.outputs[1:]))


def recurrent(use: Use) -> Step:
    """LSTM, GRU, RNN: x [T, B, D], weights [directions, gates·H, D], recurrent [.., H], bias [.., 2·gates·H]."""
    x, weights = use.input(0), [tensor for tensor in (use.inputs[1:4]) if tensor is not None]
    directions, hidden = weights[1].shape[0], weights[1].shape[2]
    time, batch = x.shape[:2]
    y = contiguous((batch, time, directions * hidden), x.dtype)
    cell = {"RNN": "rnn_tanh"}.get(use.node.op, use.node.op.lower())
    attributes = {"cell": cell, "hidden": hidden, "layers": 1, "bidirectional": directions == 2}
    inputs = (Operand(x, (batch, time, x.shape[2])), *(Operand(weight) for weight in weights))
    whole = y.reshape((batch, time, directions, hidden))
    assert whole is not None
    outputs = (whole.permute((1, 2, 0, 3)), *use.outputs[1:])
    last = tuple(Operand(tensor) for tensor in use.outputs[1:])
    return Step((Meaning("recurrent", inputs, (Operand(y), *last), attributes),), outputs)
