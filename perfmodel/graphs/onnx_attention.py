"""Attention as exporters write it, found again: a product of queries and keys, softmax, a product with the values.

Between the products may lie: scales (also before the first product), one mask, added or selected by Where, a cap
(Tanh), casts, and the guard against rows that are masked altogether. A mask that follows from sizes alone and is a
triangle makes the attention causal. Keys and values repeated for grouped queries count once.

May import: onnx_flow, onnx_program, onnx_shapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfmodel.graphs.onnx_flow import Flow
from perfmodel.graphs.onnx_program import Node
from perfmodel.graphs.onnx_shapes import Level

TRANSPOSED_KEY = "perfmodel.transposed_key"
_PRODUCTS = ("MatMul", "com.microsoft.FusedMatMul")
_BETWEEN = ("Mul", "Div", "Add", "Sub", "Max", "Min", "Tanh", "Clip", "Where")
_HIDDEN = -1e4  # what is added to scores that shall not count is below
_MOST_STEPS = 10


def fuse_attention(flow: Flow, node: Node) -> Node | None:
    """The attention that ends with this product, or None."""
    softmax = _softmax(flow, node.input(0))
    found = _scores(flow, softmax.input(0)) if softmax else None
    if not softmax or not found or len(found[1]) > 1 or node.attributes.get("transA"):
        return None
    product, masks = found
    query, (key, transposed) = _unscaled(flow, product.input(0)), _key(flow, product)
    value = _ungrouped(flow, node.input(1))
    shapes = [flow.shape(name) for name in (query, key, value)]
    fits = all(len(shape) >= 3 and flow.values[name].level == Level.DATA
               for name, shape in zip((query, key, value), shapes, strict=True))  # fmt: skip
    if not fits or product.attributes.get("transA") or node.attributes.get("transB"):
        return None
    causal, read = _read_mask(flow, masks[0]) if masks else (False, False)
    inputs = (query, key, value, *(masks if read else ()))
    attributes = {"is_causal": causal, TRANSPOSED_KEY: transposed}
    return replace(node, op="Attention", inputs=inputs, attributes=attributes, version=0, proto=None)


def _softmax(flow: Flow, name: str) -> Node | None:
    """The softmax over the last axis that gives the probabilities."""
    guard = flow.maker(name, "Where")
    if guard and flow.maker(guard.input(0), "IsNaN"):
        name = guard.input(2)
    node = flow.maker(name, "Softmax")
    rank = len(flow.shape(name))
    axis = node.attributes.get("axis", 1 if 0 < node.version < 13 else -1) if node else 0
    return node if node and rank and axis % rank == rank - 1 else None


def _scores(flow: Flow, name: str, depth: int = 0) -> tuple[Node, tuple[str, ...]] | None:
    """(the product of queries and keys, masks) behind what the softmax reads."""
    node = flow.maker(name, *_PRODUCTS, *_BETWEEN)
    if node is None or depth > _MOST_STEPS or node.op in _PRODUCTS:
        return (node, ()) if node else None
    tensors = [each for each in node.inputs if each and not flow.is_scalar(each)]
    if len(tensors) == 1:
        return _scores(flow, tensors[0], depth + 1)
    if node.op not in ("Add", "Sub", "Where") or len(tensors) != 2:
        return None
    if node.op == "Where":  # the condition stands first
        tensors = tensors[::-1]
    for own, mask in (tensors, tensors[::-1]) if node.op == "Add" else (tensors,):
        found = _scores(flow, own, depth + 1) if flow.shape(own) == flow.shape(node.outputs[0]) else None
        if found:
            return found[0], (*found[1], mask)
    return None


def _unscaled(flow: Flow, name: str) -> str:
    """The tensor before it was multiplied by a number."""
    node = flow.makers.get(name)
    while node is not None and node.op in ("Mul", "Div") and (inner := flow.beside_scalar(node)):
        name = inner
        node = flow.makers.get(name)
    return name


def _key(flow: Flow, product: Node) -> tuple[str, bool]:
    """(keys, whether their last two axes have changed places)."""
    name = _unscaled(flow, product.input(1))
    if product.attributes.get("transB"):
        return _ungrouped(flow, name), False
    turned = flow.maker(name, "Transpose")
    rank = len(flow.shape(name))
    if turned and turned.attributes.get("perm") == [*range(rank - 2), rank - 1, rank - 2]:
        return _ungrouped(flow, _unscaled(flow, turned.input(0))), False
    return name, True


def _ungrouped(flow: Flow, name: str) -> str:
    """Keys or values [B, K, T, C] before each of their heads was repeated for a group of query heads."""
    merged = flow.maker(name, "Reshape")
    wide = flow.maker(merged.input(0), "Expand") if merged else None
    narrow = flow.maker(wide.input(0), "Unsqueeze", "Reshape") if wide else None
    if not narrow:
        return name
    before, after = flow.shape(narrow.input(0)), flow.shape(name)
    grouped = len(before) == len(after) == 4 and before[::2] == after[::2] and before[3] == after[3]
    return narrow.input(0) if grouped and after[1] % before[1] == 0 else name


def _read_mask(flow: Flow, mask: str) -> tuple[bool, bool]:
    """(whether a mask is the triangle of earlier positions, whether it has to be read).

    One that follows from sizes alone is known; where it is too large to have been computed, it is taken as a triangle
    if one was cut out on the way (Trilu).
    """
    import numpy as np

    value = flow.values[mask]
    rows, columns = value.shape[-2:] if len(value.shape) > 1 else (1, 1)
    if value.level == Level.DATA or rows == 1:
        return False, True
    data = _known_data(flow, mask)
    if data is None:
        causal = any(node.op == "Trilu" for node in flow.ancestors(mask))
        return causal, not causal
    seen = data if data.dtype == np.bool_ else data > _HIDDEN
    if (seen == seen.reshape(-1)[0]).all():
        return False, False
    triangle = np.tril(np.ones((rows, columns), dtype=bool), columns - rows)
    causal = bool((seen == triangle).all() or (seen != triangle).all())  # of a condition, true may mean hidden
    return causal, not causal


def _known_data(flow: Flow, name: str) -> Any:
    """The values of a tensor, or of the smaller one that it repeats or selects by; None if they are not known."""
    while flow.values[name].data is None:
        node = flow.maker(name, "Expand", "Where")
        if node is None or (node.op == "Where" and not all(flow.is_scalar(each) for each in node.inputs[1:])):
            return None
        name = node.input(0)
    return flow.values[name].data
