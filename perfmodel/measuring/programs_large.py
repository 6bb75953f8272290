"""Programs of all kinds in sizes that keep a GPU busy: kernels of tens of microseconds, tensors beyond a cache.

What an op starts with shows in the chains and small blocks of the suite; here it does not. No shape is that of a
well-known model. May import: programs, the other programs_*.py, program_parts, program_blocks, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from perfmodel.measuring.program_blocks import GatedMlp, Mlp, SelfAttention
from perfmodel.measuring.program_parts import RMSNorm
from perfmodel.measuring.programs import Footprints, TimedProgram
from perfmodel.measuring.programs_blocks import (
    decode_blocks,
    encoder_blocks,
    grouped_decode_blocks,
    image_blocks,
    inverted_blocks,
    mixer_blocks,
    token_blocks,
    window_blocks,
)
from perfmodel.measuring.programs_images import convolution, image_layer, patches
from perfmodel.measuring.programs_products import attention, batched, linear, lookup
from perfmodel.measuring.programs_streams import POINTWISE, Shape, append_tokens, each, rotate_halves, token_norm

# columns as in the files that these come from
LINEAR = (
    (1, 3584, 3584, "cold"), (1, 7168, 7168, "cold"), (4, 1792, 7168, "cold"), (8, 4608, 12288, "cold"),
    (16, 3584, 3584, "cold"), (64, 3584, 3584, "cold"), (128, 2560, 10240, "cold"), (256, 3584, 3584, "cold"),
    (512, 3584, 10240, "cold"), (1000, 1408, 1000, "llc"), (2048, 3584, 3584, "cold"), (4096, 2304, 2304, "llc"),
    (4000, 640, 48000, "hot"), (8192, 1152, 4608, "llc"), (8192, 4608, 1152, "llc"), (12000, 704, 2816, "llc"),
    (12000, 2816, 704, "llc"), (20000, 448, 1344, "llc"), (30000, 1024, 1024, "llc"), (50000, 160, 640, "llc"),
    (50000, 640, 160, "llc"), (100000, 88, 352, "llc"),
)  # fmt: skip
LINEAR_FULL = (
    (1, 5632, 2048, "cold"), (2, 3584, 14336, "cold"), (32, 2048, 6144, "cold"), (384, 1792, 5376, "cold"),
    (1536, 5120, 1280, "cold"), (6000, 1600, 6400, "llc"), (25000, 320, 1280, "llc"), (200000, 48, 192, "llc"),
)  # fmt: skip
TRANSPOSED = ((8, 2048, 6144, "cold"), (2048, 1408, 4224, "llc"), (6000, 800, 3200, "llc"), (12000, 1152, 1152, "llc"))
BATCHED = (
    (700, 200, 64, 200), (700, 200, 200, 64), (4000, 49, 32, 49), (96, 512, 80, 512), (64, 1024, 1024, 128),
    (400, 1, 128, 1500),
)  # fmt: skip
ATTENTION = (
    (32, 12, 200, 200, 64, 2, ""), (64, 12, 70, 70, 64, 3, ""), (8, 10, 1000, 1000, 64, 2, ""),
    (8, 16, 1000, 1000, 64, 1, "causal"), (2, 18, 2000, 2000, 128, 1, "causal"), (64, 12, 130, 130, 64, 2, "causal"),
    (32, 12, 240, 240, 64, 2, "mask"), (1000, 3, 49, 49, 32, 2, "mask"), (4, 12, 900, 900, 64, 1, "mask"),
    (32, 10, 1, 1000, 64, 4, ""), (16, 16, 1, 2000, 128, 3, "4 kv heads"), (64, 12, 1, 500, 64, 3, "mask"),
)  # fmt: skip
ATTENTION_FULL = ((4, 24, 1500, 1500, 64, 1, "causal"), (128, 6, 200, 200, 48, 2, ""), (4, 20, 1, 4000, 128, 3, ""))
LOOKUP = ((48000, 1152, 16000), (30000, 704, 60000))
CONVOLUTION = (
    # direct
    (64, 80, 80, 3, 56, 1, 1), (128, 160, 160, 3, 28, 1, 1), (128, 320, 320, 3, 14, 1, 1), (128, 640, 640, 3, 7, 1, 1),
    (32, 48, 48, 3, 112, 1, 1), (64, 80, 160, 3, 56, 2, 1), (128, 320, 640, 3, 14, 2, 1), (64, 64, 64, 5, 32, 1, 1),
    # 1x1
    (64, 320, 80, 1, 56, 1, 1), (64, 80, 320, 1, 56, 1, 1), (128, 640, 160, 1, 28, 1, 1), (128, 160, 640, 1, 28, 1, 1),
    (128, 1280, 320, 1, 14, 1, 1), (64, 40, 240, 1, 56, 1, 1), (128, 104, 640, 1, 14, 1, 1),
    (256, 320, 1280, 1, 7, 1, 1), (64, 320, 640, 1, 28, 2, 1),
    # depthwise
    (64, 88, 88, 3, 112, 1, 88), (128, 232, 232, 3, 28, 1, 232), (128, 640, 640, 3, 14, 1, 640),
    (64, 136, 136, 5, 56, 1, 136), (128, 640, 640, 5, 14, 1, 640), (64, 88, 88, 7, 56, 1, 88),
    (128, 368, 368, 7, 14, 1, 368),
    # grouped
    (64, 144, 144, 3, 56, 1, 9), (128, 288, 288, 3, 28, 1, 18), (128, 256, 256, 3, 14, 1, 32),
    # stems
    (64, 3, 56, 7, 220, 2, 1), (128, 3, 40, 3, 220, 2, 1),
)  # fmt: skip
CONVOLUTION_FULL = (
    (64, 112, 112, 3, 40, 1, 1), (256, 224, 224, 3, 14, 1, 1), (64, 96, 40, 1, 80, 1, 1), (128, 448, 112, 1, 14, 1, 1),
    (64, 56, 56, 3, 80, 1, 56), (128, 320, 320, 5, 20, 1, 320), (64, 192, 192, 3, 28, 1, 12),
)  # fmt: skip
PATCHES = ((64, 352, 16, 224), (64, 88, 4, 224))
LAYERS: tuple[tuple[str, Callable[[], nn.Module], tuple[int, ...]], ...] = (
    ("batch norm", partial(nn.BatchNorm2d, 80), (64, 80, 56, 56)),
    ("batch norm", partial(nn.BatchNorm2d, 40), (64, 40, 112, 112)),
    ("batch norm", partial(nn.BatchNorm2d, 640), (256, 640, 14, 14)),
    ("group norm 32", lambda: nn.GroupNorm(32, 128), (32, 128, 64, 64)),
    ("max pool 3 stride 2", lambda: nn.MaxPool2d(3, 2, 1), (64, 56, 112, 112)),
    ("max pool 3 stride 2", lambda: nn.MaxPool2d(3, 2, 1), (128, 128, 56, 56)),
    ("mean pool 2", lambda: nn.AvgPool2d(2, 2), (128, 160, 56, 56)),
    ("mean of image", lambda: nn.AdaptiveAvgPool2d(1), (256, 1280, 7, 7)),
    ("mean of image", lambda: nn.AdaptiveAvgPool2d(1), (64, 232, 56, 56)),
    ("upsample", lambda: nn.Upsample(scale_factor=2), (32, 64, 64, 64)),
    ("upsample bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (16, 64, 64, 64)),
)
STREAMED = (
    "double", "relu", "scale", "gelu", "gelu tanh", "silu", "sigmoid", "tanh", "hardswish", "exp", "clone", "cast",
)  # fmt: skip
STREAMED_SIZES = ((4_000_000, 8), (60_000_000, 2))  # elements, tensors
TWO: tuple[tuple[str, Callable[..., Any], Shape, Shape], ...] = (
    ("add", torch.add, (64, 256, 56, 56), (64, 256, 56, 56)),
    ("mul", torch.mul, (64, 232, 56, 56), (64, 232, 1, 1)),
    ("add", torch.add, (64, 500, 800), (800,)),
    ("add", torch.add, (4000, 3, 49, 49), (1, 3, 49, 49)),
    ("mul", torch.mul, (64, 300, 2304), (64, 300, 2304)),
)
LAYER_NORM = ((64, 200, 704), (64, 3000, 88), (32, 1000, 1152), (64, 3000, 176))
RMS_NORM = ((32, 1000, 1152), (8, 2000, 2560))
SOFTMAX = ((64, 10, 200, 200), (4000, 3, 49, 49), (32, 12, 480, 480), (60_000, 1000))
MEANS = ((1000, 60_000_000), (100, 20_000_000))
COPIES: tuple[tuple[str, Callable[..., Any], tuple[Shape, ...]], ...] = (
    ("merge heads", lambda x: x.transpose(1, 2).contiguous(), ((64, 256, 10, 64),)),
    ("merge heads", lambda x: x.transpose(1, 2).contiguous(), ((16, 900, 12, 64),)),
    ("to channels last", lambda x: x.permute(0, 2, 3, 1).contiguous(), ((64, 88, 56, 56),)),
    ("roll", lambda x: torch.roll(x, (3, 3), (1, 2)), ((64, 56, 56, 88),)),
    ("rotate halves", rotate_halves, ((32, 12, 500, 64),)),
    ("append to cache", append_tokens, ((32, 12, 500, 64), (32, 12, 1, 64))),
    ("concat", lambda x, y: torch.cat((x, y), 1), ((64, 128, 56, 56), (64, 64, 56, 56))),
)
# blocks, in rows as in programs_blocks.py
MLP = ((32, 200, 640, 2560, 3), (8, 512, 1152, 4608, 3), (16, 1, 1792, 7168, 6), (64, 3000, 88, 352, 3))
GATED_MLP = ((8, 500, 1024, 2816, 3), (16, 1, 1792, 4864, 6))
SELF_ATTENTION = ((32, 200, 640, 10, 3), (8, 500, 1152, 18, 3), (64, 64, 704, 11, 3))
ENCODER = ((32, 130, 640, 10, 2560, 3), (64, 50, 320, 5, 1280, 4))
WINDOWS = ((1000, 49, 128, 4, 3), (256, 49, 352, 11, 3))
DECODE = ((32, 1024, 16, 700, 4), (64, 640, 10, 300, 6))
GROUPED_DECODE = ((16, 1536, 12, 3, 4096, 1000, 4), (64, 768, 12, 3, 2304, 300, 4))
BASIC = ((64, 80, 0, 56, 3), (128, 320, 0, 14, 3))
BOTTLENECK = ((64, 320, 80, 56, 3), (128, 1280, 320, 14, 3), (64, 640, 160, 28, 3))
GROUPED = ((64, 192, 192, 28, 3),)
INVERTED = (
    (64, 24, 120, 56, 3, 3, "silu"), (128, 72, 288, 28, 2, 5, "hardswish squeezed"),
    (128, 104, 520, 14, 3, 3, "silu"), (256, 160, 960, 7, 3, 5, "hardswish"),
)  # fmt: skip
MIXER = ((64, 80, 320, 56, 2), (64, 320, 1280, 14, 3))
MLP_DEEP = ((16, 200, 704, 2816, 16), (8, 1, 1280, 5120, 30))
SELF_ATTENTION_DEEP = ((16, 180, 640, 10, 24), (4, 700, 1024, 16, 12))
ENCODER_DEEP = ((16, 110, 640, 10, 2560, 10), (32, 300, 448, 7, 1792, 8))
WINDOWS_DEEP = ((400, 49, 256, 8, 12),)
DECODE_DEEP = ((16, 1024, 16, 300, 24), (32, 640, 10, 500, 20))
BASIC_DEEP = ((64, 224, 0, 14, 16), (32, 96, 0, 40, 10))
BOTTLENECK_DEEP = ((64, 320, 80, 28, 14), (32, 640, 160, 20, 14))
INVERTED_DEEP = ((64, 72, 432, 14, 16, 5, "silu"), (128, 40, 160, 28, 12, 3, "hardswish squeezed"))
MIXER_DEEP = ((32, 160, 640, 28, 8),)


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    return [
        *(linear(*row, footprints) for row in LINEAR + LINEAR_FULL * full),
        *(linear(*row, footprints, transposed=True) for row in TRANSPOSED),
        *(batched(*row) for row in BATCHED),
        *(attention(*row) for row in ATTENTION + ATTENTION_FULL * full),
        *(lookup(*row) for row in LOOKUP),
        *(convolution(*row) for row in CONVOLUTION + CONVOLUTION_FULL * full),
        *(patches(*row) for row in PATCHES),
        *(image_layer(*row) for row in LAYERS),
        *_streams(),
        *_blocks(),
        *_deep(),
    ]


def _streams() -> list[TimedProgram]:
    return [
        *(
            each(f"{name} of {elements} over {count}", POINTWISE[name], ((elements,),), count)
            for name in STREAMED
            for elements, count in STREAMED_SIZES
        ),
        *(each(f"{name} {_words(a)} by {_words(b)}", op, (a, b), 2) for name, op, a, b in TWO),
        *(token_norm("layer norm", nn.LayerNorm, shape) for shape in LAYER_NORM),
        *(token_norm("rms norm", RMSNorm, shape) for shape in RMS_NORM),
        *(each(f"softmax {_words(shape)}", partial(F.softmax, dim=-1), (shape,), 2) for shape in SOFTMAX),
        *(each(f"mean of {run} in {n}", lambda x: x.mean(-1), ((n // run, run),), 2) for run, n in MEANS),
        *(each(f"{name} {' and '.join(map(_words, shapes))}", op, shapes, 3) for name, op, shapes in COPIES),
    ]


def _blocks() -> list[TimedProgram]:
    return [
        *(token_blocks("mlp", Mlp, row) for row in MLP),
        *(token_blocks("gated mlp", GatedMlp, row) for row in GATED_MLP),
        *(token_blocks("attention", SelfAttention, row) for row in SELF_ATTENTION),
        *(encoder_blocks(*row) for row in ENCODER),
        *(window_blocks(*row) for row in WINDOWS),
        *(decode_blocks(*row) for row in DECODE),
        *(grouped_decode_blocks(*row) for row in GROUPED_DECODE),
        *(image_blocks("basic residual", *row) for row in BASIC),
        *(image_blocks("bottleneck", *row) for row in BOTTLENECK),
        *(image_blocks("grouped bottleneck", *row, group_width=16) for row in GROUPED),
        *(inverted_blocks(*row) for row in INVERTED),
        *(mixer_blocks(*row) for row in MIXER),
    ]


def _deep() -> list[TimedProgram]:
    return [
        *(token_blocks("mlp", Mlp, row, "deep") for row in MLP_DEEP),
        *(token_blocks("attention", SelfAttention, row, "deep") for row in SELF_ATTENTION_DEEP),
        *(encoder_blocks(*row, group="deep") for row in ENCODER_DEEP),
        *(window_blocks(*row, group="deep") for row in WINDOWS_DEEP),
        *(decode_blocks(*row, group="deep") for row in DECODE_DEEP),
        *(image_blocks("basic residual", *row, group="deep") for row in BASIC_DEEP),
        *(image_blocks("bottleneck", *row, group="deep") for row in BOTTLENECK_DEEP),
        *(inverted_blocks(*row, group="deep") for row in INVERTED_DEEP),
        *(mixer_blocks(*row, group="deep") for row in MIXER_DEEP),
    ]


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
