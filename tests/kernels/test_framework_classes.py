"""Ops find the class whose coefficients they go by."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.kernels.framework_classes import COMPUTING, MOVING, STREAMING, OpClass, class_of
from perfmodel.types import Op


def op(kind: str, **attributes: Any) -> Op:
    return Op(name="o", kind=kind, inputs=(), outputs=(), attributes=attributes)


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "stride", "memory", "compute"),
    [
        (3, 1, 49, 2, "stem", "stem"),
        (64, 1, 9, 1, "convolution", "convolution_3x3"),
        (64, 1, 9, 2, "convolution", "convolution"),
        (64, 1, 25, 1, "convolution", "convolution"),
        (64, 1, 1, 1, "pointwise_convolution", "pointwise_convolution"),
        (64, 64, 9, 1, "depthwise", "depthwise_3x3"),
        (64, 64, 25, 1, "depthwise", "depthwise_5x5"),
        (64, 64, 49, 1, "depthwise", "depthwise_large"),
        (64, 2, 9, 1, "grouped", "grouped"),
    ],
)
def test_convolutions(channels: int, groups: int, kernel: int, stride: int, memory: str, compute: str) -> None:
    sizes = {"i": channels, "g": groups, "r": kernel, "compute": "fp16"}
    assert class_of(op("convolution", stride=[stride, stride]), sizes) == OpClass(memory, compute)


@pytest.mark.parametrize(
    ("made", "compute", "memory"),
    [
        (op("attention"), "attention", "attention"),
        (op("attention", masked=True), "masked_attention", "attention"),
        (op("attention", math=True, masked=True), "plain_attention", "attention"),
        (op("linear"), "linear", "linear"),
        (op("matmul"), "matmul", "matmul"),
    ],
)
def test_contractions(made: Op, compute: str, memory: str) -> None:
    assert class_of(made, {"compute": "fp16"}) == OpClass(memory, compute)


@pytest.mark.parametrize(
    ("made", "memory"),
    [
        (op("pointwise", function="add"), "light"),
        (op("pointwise", function="gelu"), "heavy"),
        (op("pointwise", function="fused", functions=["add", "silu"]), "heavy"),
        (op("pointwise", function="fused", functions=["batch", "relu"]), "batch_norm"),
        (op("normalization", function="batch"), "batch_norm"),
        (op("normalization", function="layer"), "row_norm"),
        (op("normalization", function="fused", functions=["add", "layer", "cast"]), "row_norm"),
        (op("copy", function="cast"), "cast"),
        (op("copy", function="weight_cast"), "weight_cast"),
        (op("copy", function="concat"), "copy"),
        (op("view"), "copy"),
        (op("softmax"), "softmax"),
        (op("resize", function="bilinear"), "resize"),
        (op("reduce", function="mean"), "reduce"),
        (op("embedding"), "gather"),
        (op("aten.mystery"), "gather"),
    ],
)
def test_streaming(made: Op, memory: str) -> None:
    assert class_of(made, {}) == OpClass(memory)


def test_every_class_has_one_meaning() -> None:
    assert not set(STREAMING) & set(MOVING)
    assert len(set(COMPUTING)) == len(COMPUTING)
