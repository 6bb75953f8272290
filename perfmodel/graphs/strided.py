"""Tensors that only know how they lie in memory: shape, strides, and whose storage they look at.

They answer the questions that the recorder and the op table ask of a torch tensor, so that a graph of another framework
gets views and copies where torch would have them, without torch. No value is ever held.

    x = contiguous((2, 8, 64), FP32)
    heads = x.reshape((2, 8, 4, 16)).permute((0, 2, 1, 3))      views of x
    heads.reshape((8, 8, 16))                                   None: only a copy has that shape

May import: nothing. To add a dtype: a line in `DTYPES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ElementType:
    """What an element is: its storage format, and whether it is a floating number (then a constant is a weight)."""

    storage_format: str
    is_floating_point: bool = False
    is_complex: bool = False


class Storage:
    """Memory that tensors look at; only its identity matters."""

    __slots__ = ("__weakref__",)

    @property
    def _cdata(self) -> int:
        return id(self)


@dataclass(frozen=True, slots=True, eq=False)
class StridedTensor:
    """A tensor without values. Views share its storage."""

    shape: Shape
    strides: Shape
    dtype: ElementType
    storage: Storage = field(default_factory=Storage)
    offset: int = 0

    def dim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return prod(self.shape)

    def stride(self, axis: int | None = None) -> Shape | int:
        return self.strides if axis is None else self.strides[axis]

    def storage_offset(self) -> int:
        return self.offset

    def untyped_storage(self) -> Storage:
        return self.storage

    def permute(self, order: Sequence[int]) -> StridedTensor:
        """The axes in another order."""
        return replace(
            self,
            shape=tuple(self.shape[axis] for axis in order),
            strides=tuple(self.strides[axis] for axis in order),
        )

    def swapped(self) -> StridedTensor:
        """The last two axes exchanged."""
        rank = self.dim()
        return self.permute((*range(rank - 2), rank - 1, rank - 2))

    def expand(self, shape: Shape) -> StridedTensor:
        """Axes of size 1, and new ones in front, repeated without a copy."""
        added = len(shape) - self.dim()
        strides = (0,) * added + tuple(
            0 if own == 1 != wanted else stride
            for own, wanted, stride in zip(self.shape, shape[added:], self.strides, strict=True)
        )
        return replace(self, shape=shape, strides=strides)

    def cut(self, axis: int, start: int, size: int, step: int = 1) -> StridedTensor:
        """Some positions of one axis."""
        stride = self.strides[axis]
        return replace(
            self,
            shape=(*self.shape[:axis], size, *self.shape[axis + 1 :]),
            strides=(*self.strides[:axis], stride * step, *self.strides[axis + 1 :]),
            offset=self.offset + start * stride,
        )

    def reshape(self, shape: Shape) -> StridedTensor | None:
        """The same elements in another shape, or None if that takes a copy."""
        strides = _reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else replace(self, shape=shape, strides=strides)

    def like(self, dtype: ElementType | None = None) -> StridedTensor:
        """A new tensor whose elements lie in the same order, as elementwise kernels write them."""
        if 0 in self.strides or not self.shape:
            return contiguous(self.shape, dtype or self.dtype)
        order = sorted(range(self.dim()), key=lambda axis: (-self.strides[axis], axis))
        ordered = contiguous(tuple(self.shape[axis] for axis in order), dtype or self.dtype)
        return ordered.permute([order.index(axis) for axis in range(self.dim())])


def contiguous(shape: Sequence[int], dtype: ElementType) -> StridedTensor:
    """A new tensor in row-major order."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return StridedTensor(tuple(shape), tuple(reversed(strides)), dtype)


def _reshaped_strides(old: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of a view, as torch finds them: axes that lie behind each other without gaps form a chunk, and the new
    axes must divide the chunks.

    >>> _reshaped_strides((2, 8, 64), (512, 64, 1), (16, 64)), _reshaped_strides((4, 8), (1, 4), (32,))
    ((64, 1), None)
    """
    if prod(old) == 0:
        return contiguous(new, ElementType("")).strides
    kept = [(size, stride) for size, stride in zip(old, strides, strict=True) if size != 1]
    chunks: list[tuple[int, int]] = []  # (elements, stride of the innermost axis)
    for size, stride in kept:
        if chunks and chunks[-1][1] == stride * size:
            chunks[-1] = (chunks[-1][0] * size, stride)
        else:
            chunks.append((size, stride))
    found: list[int] = []
    left, step = 1, 1
    for size in reversed(new):
        if left == 1 and size != 1:
            if not chunks:
                return None
            left, step = chunks.pop()
        if left % size:
            return None
        found.append(step)
        left, step = left // size, step * size
    return None if left != 1 or chunks else tuple(reversed(found))


DTYPES = {
    name: ElementType(name, is_floating_point=name in ("fp64", "fp32", "fp16", "bf16", "fp8", "mxfp4"),
                      is_complex=name == "complex64")
    for name in ("fp64", "fp32", "fp16", "bf16", "fp8", "mxfp4", "int8", "int4", "int4_g32", "int4_g128", "int3_g128",
                 "int2_g128", "bool", "uint8", "int16", "int32", "int64", "complex64")
}  # fmt: skip
