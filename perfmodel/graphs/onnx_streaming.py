"""ONNX ops that mostly move memory, and those that only look at it in another way.

May import: onnx_use, strided. To add an op: a family here (or one of these with another name) and its name in
onnx_table.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from perfmodel.graphs.onnx_use import Family, Step, Use, as_torch, computed, reshaped, view
from perfmodel.graphs.strided import StridedTensor


def pointwise(name: str, *, reads: int = 0) -> Family:
    """Element by element; the result lies in memory as the first input of its shape does.

    Args:
        reads: how many of the inputs are tensors; 0 for all.
    """

    def family(use: Use) -> Step:
        y = use.outputs[0]
        tensors = [tensor for tensor in (use.inputs[:reads] if reads else use.inputs) if tensor is not None]
        model = next((tensor for tensor in tensors if tensor.shape == y.shape), y)
        return elementwise(use, name, tensors, model.like(y.dtype))

    return family


def elementwise(use: Use, name: str, tensors: Sequence[StridedTensor], y: StridedTensor, **arguments: Any) -> Step:
    """One kernel; functions that torch has no op for are told by their name."""
    meaning = as_torch(use, name, tensors, [y], **arguments)
    if meaning.kind == name:
        meaning = replace(meaning, kind="pointwise", attributes={"function": name})
    return Step((meaning,), (y,))


def gelu(use: Use) -> Step:
    x = use.input(0)
    return elementwise(use, "gelu", [x], x.like(), approximate=use.get("approximate", "none"))


def cast(use: Use) -> Step:
    """To another element type; to the same one nothing happens."""
    x, y = use.input(0), use.outputs[0]
    return view(x) if x.dtype == y.dtype else elementwise(use, "_to_copy", [x], x.like(y.dtype))


def reduce(name: str) -> Family:
    """Over some axes."""

    def family(use: Use) -> Step:
        return computed(use, name, [use.input(0)])

    return family


def softmax(name: str) -> Family:
    """Over one axis; before version 13 over all from there on, which is the same for the last."""

    def family(use: Use) -> Step:
        x, old = use.input(0), 0 < use.node.version < 13
        axis = use.get("axis", 1 if old else -1)
        return computed(use, name, [x], dim=axis % max(x.dim(), 1))

    return family


def normalization(name: str, reads: int = 3) -> Family:
    """x with its weights; further outputs are statistics that inference does not need."""

    def family(use: Use) -> Step:
        tensors = [tensor for tensor in use.inputs[:reads] if tensor is not None]
        return Step((as_torch(use, name, tensors, use.outputs[:1]),), use.outputs)

    return family


def pool(name: str) -> Family:
    """Windows of the node's kernel."""

    def family(use: Use) -> Step:
        x = use.input(0)
        arguments = {"kernel_size": use.get("kernel_shape") or list(x.shape[2:])}
        return computed(use, f"{name}_pool{min(max(x.dim() - 2, 1), 3)}d", [x], **arguments)

    return family


def global_pool(name: str) -> Family:
    """The whole picture as one window."""

    def family(use: Use) -> Step:
        x = use.input(0)
        return computed(use, f"adaptive_{name}_pool{min(max(x.dim() - 2, 1), 3)}d", [x])

    return family


def resize(use: Use) -> Step:
    names = {"linear": "upsample_bilinear2d", "cubic": "upsample_bicubic2d"}
    name = names.get(str(use.get("mode", "nearest")), "upsample_nearest2d")
    if use.input(0).dim() == 5 and "bilinear" in name:
        name = "upsample_trilinear3d"
    return computed(use, name, [use.input(0)])


def only_first(name: str, **arguments: Any) -> Family:
    """torch's op of that name over the first input; the others are numbers."""
    return lambda use: computed(use, name, [use.input(0)], **arguments)


def all_inputs(name: str) -> Family:
    """torch's op of that name over all inputs."""
    return lambda use: computed(use, name)


def fill(use: Use) -> Step:
    """Nothing is read."""
    return computed(use, "full", [])


def gather(use: Use) -> Step:
    """Rows of a weight; one position of an axis is a view."""
    x, indices = use.input(0), use.input(1)
    axis = use.get("axis", 0) % max(x.dim(), 1)
    at = use.ints(1)
    if at is not None and len(at) == 1 and x.shape[axis]:
        cut = x.cut(axis, at[0] % x.shape[axis], 1)
        meanings, row = reshaped(use, cut, use.outputs[0].shape)
        return Step(meanings, (row,))
    if axis == 0 and x.dim() == 2 and use.is_weight(x):
        return computed(use, "embedding", [x, indices], weight=x, indices=indices)
    return computed(use, "index_select", [x, indices])


def scatter(use: Use) -> Step:
    """The target is copied, then some of it written: (target, indices, updates)."""
    x, updates = use.input(0), use.input(2)
    meaning = as_torch(use, "scatter", [x, use.input(1), updates], use.outputs)
    return Step((meaning,), use.outputs)


def topk(use: Use) -> Step:
    x = use.input(0)
    axis = use.get("axis", -1) % max(x.dim(), 1)
    return computed(use, "topk", [x], k=use.outputs[0].shape[axis], dim=axis)


# ---------------------------------------------------------------------------------------------------- views


def same(use: Use) -> Step:
    """The input itself; a mask that inference does not need is not made."""
    return view(use.input(0), *use.outputs[1:])


def reshape(use: Use) -> Step:
    meanings, y = reshaped(use, use.input(0), use.outputs[0].shape)
    return Step(meanings, (y,))


def transpose(use: Use) -> Step:
    x = use.input(0)
    return view(x.permute(use.get("perm") or list(reversed(range(x.dim())))))


def expand(use: Use) -> Step:
    """Axes of size 1 repeated."""
    return view(use.input(0).expand(use.outputs[0].shape))


def slice_(use: Use) -> Step:
    """Some positions of some axes; backwards is a copy."""
    x = use.input(0)
    starts = use.get("starts") or use.ints(1)
    ends = use.get("ends") or use.ints(2)
    axes = use.get("axes") or use.ints(3) or list(range(len(starts or ())))
    steps = use.ints(4) or [1] * len(axes)
    if starts is None or ends is None or any(jump < 1 for jump in steps):
        return computed(use, "flip", [x])
    for start, axis, jump in zip(starts, axes, steps, strict=True):
        axis %= x.dim()
        size = x.shape[axis]
        first = min(max(start + size if start < 0 else start, 0), size)
        x = x.cut(axis, first, use.outputs[0].shape[axis], jump)
    return view(x)


def split(use: Use) -> Step:
    """Views, one behind the other."""
    x, start, parts = use.input(0), 0, []
    axis = use.get("axis", 0) % max(x.dim(), 1)
    for output in use.outputs:
        parts.append(x.cut(axis, start, output.shape[axis]))
        start += output.shape[axis]
    return view(*parts)
