"""Programs whose ops each come after a rewrite of 4 MB: what an op costs when neither its data nor its code is hot.

May import: programs, program_parts, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from perfmodel.measuring.program_parts import AfterPollution, Conv1D, filled, on_meta, random_tensor, random_tensors
from perfmodel.measuring.programs import Footprints, Made, TimedProgram

Shape: TypeAlias = tuple[int, ...]

POLLUTION_BYTES = 4_000_000
_TIMES = 4

LINEAR = (
    (1, 512, 512), (1, 64, 64), (16, 640, 640), (64, 256, 256), (190, 320, 1280), (128, 1024, 1024), (300, 320, 320),
    (400, 1280, 320), (1, 1024, 3072), (32, 480, 1920),
)  # fmt: skip
LINEAR_FULL = ((4, 896, 896), (8, 512, 2048), (64, 1024, 2560), (784, 96, 384), (1500, 160, 160), (2, 1280, 1280))
TRANSPOSED = ((1, 640, 640), (128, 512, 512), (16, 800, 2400))
# (batch, inputs, outputs, kernel, side, groups, stride)
CONVOLUTION = (
    (1, 16, 16, 1, 8, 1, 1), (1, 32, 128, 1, 28, 1, 1), (1, 200, 80, 1, 14, 1, 1), (1, 448, 112, 1, 14, 1, 1),
    (1, 512, 256, 1, 10, 1, 1), (1, 40, 12, 1, 1, 1, 1), (1, 96, 96, 3, 20, 1, 1), (1, 32, 32, 3, 40, 1, 1),
    (1, 224, 224, 3, 10, 1, 1), (1, 16, 16, 3, 8, 16, 1), (1, 80, 80, 5, 28, 80, 1), (1, 224, 224, 3, 14, 224, 1),
    (1, 448, 448, 5, 7, 448, 1), (1, 160, 160, 7, 14, 160, 1), (1, 96, 96, 3, 28, 6, 1), (1, 64, 128, 3, 28, 1, 2),
)  # fmt: skip
CONVOLUTION_FULL = (
    (2, 48, 192, 1, 40, 1, 1), (1, 640, 160, 1, 10, 1, 1), (2, 128, 128, 3, 20, 1, 1), (4, 96, 96, 3, 28, 96, 1),
    (1, 320, 320, 7, 10, 320, 1), (2, 144, 144, 3, 20, 9, 1),
)  # fmt: skip
TOKENS = ((1, 16), (1, 64, 512), (1, 200, 352), (8, 100, 320))
OF_TOKENS: dict[str, Callable[..., Any]] = {
    "add": lambda x: x + 1.0,
    "gelu": F.gelu,
    "square": lambda x: x * x,
    "silu": F.silu,
}
IMAGES = ((1, 32, 8, 8), (1, 88, 28, 28), (4, 64, 28, 28))
OF_IMAGES: dict[str, Callable[..., Any]] = {
    "silu": F.silu,
    "hardswish": F.hardswish,
    "relu": torch.relu,
    "mean": lambda x: x.mean((2, 3), keepdim=True),
}
OTHERS: tuple[tuple[str, Callable[..., Any], tuple[Shape, ...]], ...] = (
    ("softmax", partial(torch.softmax, dim=-1), ((8, 49, 49),)),
    ("attention", F.scaled_dot_product_attention, ((1, 8, 64, 64),) * 3),
    ("attention", F.scaled_dot_product_attention, ((1, 6, 150, 64),) * 3),
    ("attention", F.scaled_dot_product_attention, ((1, 8, 1, 64), (1, 8, 256, 64), (1, 8, 256, 64))),
    ("concat", lambda x, y: torch.cat((x, y), 2), ((1, 8, 64, 64), (1, 8, 1, 64))),
    ("merge heads", lambda x: x.transpose(1, 2).contiguous(), ((1, 64, 8, 64),)),
    ("bmm", torch.bmm, ((8, 64, 64), (8, 64, 64))),
    ("cube", lambda x: torch.pow(x, 3.0), ((1, 64, 512),)),
    ("tanh", torch.tanh, ((1, 64, 512),)),
    ("scale channels", torch.mul, ((1, 224, 14, 14), (1, 224, 1, 1))),
    ("max pool", lambda x: F.max_pool2d(x, 3, 2, 1), ((1, 64, 40, 40),)),
    ("views", lambda x: x.view(1, 64, 8, 64).transpose(1, 2).unsqueeze(0).transpose(0, 1), ((1, 64, 512),)),
)


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    return [
        *(_linear("linear", nn.Linear, *row) for row in LINEAR + LINEAR_FULL * full),
        *(_linear("linear k by n", Conv1D, *row) for row in TRANSPOSED),
        *(_convolution(*row) for row in CONVOLUTION + CONVOLUTION_FULL * full),
        *(_layers(f"layer norm {_words(shape)}", partial(nn.LayerNorm, shape[-1]), shape) for shape in TOKENS),
        *(_layers(f"batch norm {_words(shape)}", partial(nn.BatchNorm2d, shape[1]), shape) for shape in IMAGES),
        *(_function(name, op, (shape,)) for shape in TOKENS for name, op in OF_TOKENS.items()),
        *(_function(f"image {name}", op, (shape,)) for shape in IMAGES for name, op in OF_IMAGES.items()),
        *(_function(name, op, shapes) for name, op, shapes in OTHERS),
        _layers("eight identities", lambda: nn.Sequential(*(nn.Identity() for _ in range(8))), (1, 8)),
        _layers("dropout and identity", lambda: nn.Sequential(nn.Dropout(0.0), nn.Identity()), (1, 64)),
    ]


def _layers(name: str, build: Callable[[], nn.Module], shape: Shape) -> TimedProgram:
    """A few layers alike, each with weights and an input of its own."""

    def make(dtype: Any) -> Made:
        module = filled(on_meta(lambda: AfterPollution(build() for _ in range(_TIMES))), dtype)
        return module, (_pollution(dtype), *random_tensors(_TIMES, shape, dtype))

    return TimedProgram(f"{name} interleaved", "interleaved", make)


def _linear(kind: str, layer: Callable[..., nn.Module], rows: int, inputs: int, outputs: int) -> TimedProgram:
    return _layers(f"{kind} {rows}x{inputs} to {outputs}", partial(layer, inputs, outputs), (1, rows, inputs))


def _convolution(
    batch: int, inputs: int, outputs: int, kernel: int, side: int, groups: int, stride: int
) -> TimedProgram:
    build = partial(nn.Conv2d, inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    name = f"convolution {batch}x{inputs}x{side}x{side} to {outputs} kernel {kernel} stride {stride} groups {groups}"
    return _layers(name, build, (batch, inputs, side, side))


def _function(name: str, function: Callable[..., Any], shapes: tuple[Shape, ...]) -> TimedProgram:
    def make(dtype: Any) -> Made:
        inputs = [tensor for _ in range(_TIMES) for shape in shapes for tensor in random_tensors(1, shape, dtype)]
        return AfterPollution([function] * _TIMES, len(shapes)), (_pollution(dtype), *inputs)

    of = " and ".join(_words(shape) for shape in shapes)
    return TimedProgram(f"{name} {of} interleaved", "interleaved", make)


def _pollution(dtype: Any) -> Any:
    return random_tensor((POLLUTION_BYTES // dtype.itemsize,), dtype)


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
