"""Which class of a framework's kernels an op belongs to: coefficients are fitted by class, see framework.py.

To add a class: its name here and where `class_of` gives it. May import: types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.types import Op

STREAMING = (
    "batch_norm", "row_norm", "light", "heavy", "softmax", "pool", "reduce", "copy", "cast", "weight_cast", "gather",
    "resize",
)  # fmt: skip
# classes of contractions by what they move, and by what they compute
MOVING = (
    "convolution", "pointwise_convolution", "depthwise", "grouped", "stem", "linear", "matmul", "attention",
)  # fmt: skip
COMPUTING = (
    "convolution_3x3", "convolution", "pointwise_convolution", "grouped", "stem", "linear", "matmul", "attention",
    "masked_attention", "plain_attention", "depthwise_3x3", "depthwise_5x5", "depthwise_large",
)  # fmt: skip
# ops that go step by step, or over links: no class here says what they take, and a framework runs kernels of their own
OWN_KERNELS = (
    "recurrent", "selective_scan", "state_space_scan", "gated_delta_rule", "index_scores", "collective",
)  # fmt: skip
HEAVY_FUNCTIONS = {
    "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "erf", "exp", "pow", "general_pow", "softplus", "mish",
    "hardswish", "elu", "log", "sin", "cos", "log_sigmoid", "celu", "selu", "silu_mul", "gelu_mul", "gelu_tanh_mul",
}  # fmt: skip
ROW_NORMS = {"layer", "group", "instance", "rms"}
UNFOLDS = ("im2col", "col2im")
SMOOTH_RESIZES = ("bilinear", "bicubic")
STEM_CHANNELS = 4  # images have at most so many
LARGE_KERNELS = ((9, "depthwise_3x3"), (25, "depthwise_5x5"))  # positions of a depthwise kernel, at most


@dataclass(frozen=True, slots=True)
class OpClass:
    """What decides the coefficients of an op.

    Args:
        memory: one of `STREAMING`, or of `MOVING` for contractions. compute: one of `COMPUTING`, or "".
    """

    memory: str
    compute: str = ""


def class_of(op: Op, sizes: Mapping[str, Any]) -> OpClass:
    """The class of an op that is none of `OWN_KERNELS`.

    Args:
        sizes: the arguments of its cost formula.
    """
    if op.kind == "convolution":
        return _convolution(op, sizes)
    if op.kind == "attention":
        masked = "masked_attention" if op.attributes.get("masked") else "attention"
        return OpClass("attention", "plain_attention" if op.attributes.get("math") else masked)
    if op.kind in ("linear", "experts"):
        return OpClass("linear", "linear")
    if sizes.get("compute"):
        return OpClass("matmul", "matmul")
    return OpClass(_streaming(op))


def _convolution(op: Op, sizes: Mapping[str, Any]) -> OpClass:
    channels, groups, kernel = sizes["i"], sizes["g"], sizes["r"]
    if isinstance(channels, int) and channels <= STEM_CHANNELS:
        return OpClass("stem", "stem")
    if groups == channels:
        return OpClass("depthwise", next((name for most, name in LARGE_KERNELS if kernel <= most), "depthwise_large"))
    if groups != 1:
        return OpClass("grouped", "grouped")
    if kernel == 1:
        return OpClass("pointwise_convolution", "pointwise_convolution")
    stride = op.attributes.get("stride", 1)
    strided = any(step > 1 for step in (stride if isinstance(stride, list | tuple) else (stride,)))
    return OpClass("convolution", "convolution_3x3" if kernel == 9 and not strided else "convolution")


def _streaming(op: Op) -> str:
    function = str(op.attributes.get("function", ""))
    names = {str(name) for name in op.attributes.get("functions", (function,))}
    if op.kind == "normalization":
        return "row_norm" if names & ROW_NORMS or not function else "batch_norm"
    if op.kind in ("pointwise", "dropout"):
        return "batch_norm" if "batch" in names else "heavy" if names & HEAVY_FUNCTIONS else "light"
    if op.kind in ("copy", "cache_append", "view"):
        return function if function in ("cast", "weight_cast") else "copy"
    if op.kind in ("softmax", "pool", "resize"):
        return op.kind
    return "reduce" if op.kind in ("reduce", "scan", "topk") else "gather"
