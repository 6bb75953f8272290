"""Programs of whole blocks, and deep ones with the footprint of a model.

May import: programs, program_parts, program_blocks, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from perfmodel.measuring.program_blocks import (
    DecodeStep,
    EncoderLayer,
    GatedMlp,
    GroupedDecodeStep,
    InvertedResidual,
    Mlp,
    PatchMixer,
    Residual,
    SelfAttention,
    WindowAttention,
    WrappedMlp,
)
from perfmodel.measuring.program_parts import Conv1D, Stack, filled, on_meta, random_tensor, random_tensors
from perfmodel.measuring.programs import Footprints, Group, Made, TimedProgram

Build: TypeAlias = Callable[[], nn.Module]
Shape: TypeAlias = tuple[int, ...]

# (batch, tokens, width, hidden, blocks)
MLP = (
    (1, 50, 512, 2048, 5), (1, 300, 640, 1280, 3), (2, 48, 1024, 2048, 4), (1, 1, 640, 2560, 6), (8, 1, 1024, 4096, 4),
    (1, 1000, 256, 768, 3), (1, 2000, 128, 512, 3), (6, 150, 320, 1280, 2),
)  # fmt: skip
MLP_DEEP = ((1, 1, 640, 1920, 40), (1, 120, 448, 1792, 30), (8, 1, 512, 2048, 40), (1, 24, 576, 1728, 40))
TRANSPOSED_MLP = ((1, 1, 576, 2304, 6), (1, 90, 640, 1920, 3))
GATED_MLP = ((1, 1, 704, 1920, 6), (1, 100, 640, 1664, 3))
WRAPPED_MLP = ((1, 60, 512, 1024, 5), (1, 250, 320, 1280, 3), (1, 1, 512, 2048, 6), (1, 16, 128, 256, 4))
WRAPPED_MLP_DEEP = ((1, 150, 512, 2048, 12),)
# (batch, tokens, width, heads, blocks)
ATTENTION = ((1, 80, 512, 8, 5), (2, 150, 640, 10, 3), (1, 320, 256, 4, 4), (4, 50, 320, 5, 4))
ATTENTION_DEEP = ((1, 180, 448, 7, 24), (1, 1, 640, 10, 50))
# (batch, tokens, width, heads, hidden, blocks)
ENCODER = ((1, 70, 640, 10, 2560, 3), (4, 100, 320, 5, 1280, 3))
# (windows, tokens, width, heads, blocks)
WINDOWS = ((32, 36, 128, 4, 3), (9, 49, 256, 8, 3), (2, 100, 256, 4, 3))
WINDOWS_DEEP = ((9, 49, 256, 8, 20),)
# (batch, width, heads, cached tokens, blocks)
DECODE = ((1, 640, 10, 400, 6), (4, 512, 8, 200, 6), (6, 640, 10, 700, 4), (1, 1024, 16, 150, 4))
DECODE_DEEP = ((1, 640, 10, 300, 30), (4, 512, 8, 200, 24))
# (batch, width, heads, kv heads, hidden, cached tokens, blocks)
GROUPED_DECODE = ((1, 768, 12, 3, 2304, 300, 4), (4, 640, 10, 2, 1792, 200, 3))
# (batch, width, inner width, side, blocks)
BASIC = ((1, 80, 0, 40, 3), (2, 160, 0, 20, 2), (1, 320, 0, 10, 2))
BASIC_DEEP = ((1, 224, 0, 14, 16),)
BOTTLENECK = ((1, 192, 48, 40, 3), (2, 384, 96, 20, 3), (1, 768, 192, 10, 3), (3, 320, 80, 28, 2))
BOTTLENECK_DEEP = ((1, 320, 80, 20, 30),)
GROUPED = ((1, 192, 192, 20, 3),)
# (batch, width, inner width, side, blocks, kernel, form)
INVERTED = (
    (1, 32, 160, 40, 3, 3, "silu"), (1, 96, 480, 12, 3, 3, "silu"), (4, 48, 240, 24, 2, 3, "silu"),
    (6, 20, 96, 48, 2, 3, "silu"), (1, 24, 96, 48, 3, 5, "hardswish"), (4, 64, 320, 16, 3, 5, "hardswish squeezed"),
    (8, 128, 640, 8, 2, 5, "hardswish"), (1, 72, 288, 14, 3, 3, "hardswish squeezed"),
)  # fmt: skip
INVERTED_DEEP = ((1, 72, 432, 14, 16, 5, "silu"), (1, 104, 520, 9, 16, 5, "hardswish squeezed"))
# (batch, width, hidden, side, blocks)
MIXER = ((1, 80, 320, 48, 2), (1, 320, 1280, 12, 3))
# further sizes of the full suite
MLP_FULL = ((1, 200, 832, 3328, 3), (3, 1, 896, 3584, 6), (1, 12, 256, 1024, 6), (16, 30, 448, 1792, 2))
ATTENTION_FULL = ((1, 500, 448, 7, 3), (8, 120, 256, 4, 3), (1, 30, 896, 14, 4))
DECODE_FULL = ((2, 896, 14, 500, 4), (8, 448, 7, 300, 4))
BOTTLENECK_FULL = ((4, 448, 112, 14, 3), (1, 96, 24, 64, 3))
INVERTED_FULL = ((2, 56, 336, 20, 3, 5, "silu"), (2, 112, 448, 10, 3, 3, "hardswish squeezed"))
ENCODER_DEEP_FULL = ((1, 110, 448, 7, 1792, 16),)


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    return [
        *(token_blocks("mlp", Mlp, row) for row in MLP + MLP_FULL * full),
        *(token_blocks("mlp k by n", partial(Mlp, layer=Conv1D), row) for row in TRANSPOSED_MLP),
        *(token_blocks("gated mlp", GatedMlp, row) for row in GATED_MLP),
        *(token_blocks("wrapped mlp", WrappedMlp, row) for row in WRAPPED_MLP),
        *(token_blocks("attention", SelfAttention, row) for row in ATTENTION + ATTENTION_FULL * full),
        *(encoder_blocks(*row) for row in ENCODER),
        *(window_blocks(*row) for row in WINDOWS),
        *(decode_blocks(*row) for row in DECODE + DECODE_FULL * full),
        *(grouped_decode_blocks(*row) for row in GROUPED_DECODE),
        *(image_blocks("basic residual", *row) for row in BASIC),
        *(image_blocks("bottleneck", *row) for row in BOTTLENECK + BOTTLENECK_FULL * full),
        *(image_blocks("grouped bottleneck", *row, group_width=16) for row in GROUPED),
        *(inverted_blocks(*row) for row in INVERTED + INVERTED_FULL * full),
        *(mixer_blocks(*row) for row in MIXER),
        *(token_blocks("mlp", Mlp, row, "deep") for row in MLP_DEEP),
        *(token_blocks("wrapped mlp", WrappedMlp, row, "deep") for row in WRAPPED_MLP_DEEP),
        *(token_blocks("attention", SelfAttention, row, "deep") for row in ATTENTION_DEEP),
        *(window_blocks(*row, group="deep") for row in WINDOWS_DEEP),
        *(decode_blocks(*row, group="deep") for row in DECODE_DEEP),
        *(image_blocks("basic residual", *row, group="deep") for row in BASIC_DEEP),
        *(image_blocks("bottleneck", *row, group="deep") for row in BOTTLENECK_DEEP),
        *(inverted_blocks(*row, group="deep") for row in INVERTED_DEEP),
        *(encoder_blocks(*row, group="deep") for row in ENCODER_DEEP_FULL * full),
    ]


def stacked(
    name: str, group: Group, build: Build, blocks: int, shape: Shape, caches: Shape | None = None
) -> TimedProgram:
    """Blocks alike in a row, each with weights (and two caches, if any) of its own."""

    def make(dtype: Any) -> Made:
        module = on_meta(lambda: Stack((build() for _ in range(blocks)), extra=2 if caches else 0))
        others = random_tensors(2 * blocks, caches, dtype) if caches else ()
        return filled(module, dtype), (random_tensor(shape, dtype), *others)

    return TimedProgram(f"{blocks} {name}", group, make)


def token_blocks(
    kind: str, block: Callable[..., nn.Module], row: tuple[int, ...], group: Group = "block"
) -> TimedProgram:
    batch, tokens, width, inner, blocks = row
    name = f"{kind} {batch}x{tokens}x{width} {inner}"
    return stacked(name, group, partial(block, width, inner), blocks, (batch, tokens, width))


def encoder_blocks(
    batch: int, tokens: int, width: int, heads: int, hidden: int, blocks: int, group: Group = "block"
) -> TimedProgram:
    name = f"encoder layer {batch}x{tokens}x{width} heads {heads} {hidden}"
    return stacked(name, group, partial(EncoderLayer, width, heads, hidden), blocks, (batch, tokens, width))


def window_blocks(
    windows: int, tokens: int, width: int, heads: int, blocks: int, group: Group = "block"
) -> TimedProgram:
    build = partial(WindowAttention, width, heads, tokens)
    name = f"window attention {windows}x{tokens}x{width} heads {heads}"
    return stacked(name, group, build, blocks, (windows, tokens, width))


def decode_blocks(batch: int, width: int, heads: int, cached: int, blocks: int, group: Group = "block") -> TimedProgram:
    caches = (batch, heads, cached, width // heads)
    name = f"decode step {batch}x{width} heads {heads} cached {cached}"
    return stacked(name, group, partial(DecodeStep, width, heads), blocks, (batch, 1, width), caches)


def grouped_decode_blocks(
    batch: int, width: int, heads: int, kv_heads: int, hidden: int, cached: int, blocks: int
) -> TimedProgram:
    build = partial(GroupedDecodeStep, width, heads, kv_heads, hidden)
    caches = (batch, kv_heads, cached, width // heads)
    name = f"grouped decode step {batch}x{width} heads {heads} of {kv_heads} {hidden} cached {cached}"
    return stacked(name, "block", build, blocks, (batch, 1, width), caches)


def image_blocks(
    kind: str, batch: int, width: int, inner: int, side: int, blocks: int, group_width: int = 0, group: Group = "block"
) -> TimedProgram:
    build = partial(Residual, width, inner, group_width)
    name = f"{kind} {batch}x{width}x{side}x{side} {inner}".removesuffix(" 0")
    return stacked(name, group, build, blocks, (batch, width, side, side))


def inverted_blocks(
    batch: int, width: int, inner: int, side: int, blocks: int, kernel: int, form: str, group: Group = "block"
) -> TimedProgram:
    build = partial(InvertedResidual, width, inner, kernel, form)
    name = f"inverted residual {batch}x{width}x{side}x{side} {inner} kernel {kernel} {form}"
    return stacked(name, group, build, blocks, (batch, width, side, side))


def mixer_blocks(batch: int, width: int, hidden: int, side: int, blocks: int, group: Group = "block") -> TimedProgram:
    name = f"patch mixer {batch}x{width}x{side}x{side} {hidden}"
    return stacked(name, group, partial(PatchMixer, width, hidden), blocks, (batch, width, side, side))
