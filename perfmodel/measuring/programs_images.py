"""Single programs of image networks: convolutions of all families, batch norm, pooling, resizing.

May import: programs, program_parts, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from perfmodel.measuring.program_parts import Rotation, filled, on_meta, random_tensors
from perfmodel.measuring.programs import Footprints, Made, TimedProgram

# (batch, inputs, outputs, kernel, side, stride, groups)
CONVOLUTION = (
    # direct
    (1, 64, 64, 3, 60, 1, 1), (1, 128, 128, 3, 30, 1, 1), (1, 256, 256, 3, 15, 1, 1), (1, 512, 512, 3, 8, 1, 1),
    (1, 64, 128, 3, 60, 2, 1), (1, 256, 512, 3, 15, 2, 1), (4, 64, 64, 3, 48, 1, 1), (4, 256, 256, 3, 12, 1, 1),
    (4, 448, 448, 3, 8, 1, 1), (1, 32, 32, 3, 100, 1, 1), (1, 96, 64, 3, 64, 1, 1), (1, 24, 48, 3, 40, 1, 1),
    (1, 64, 64, 5, 32, 1, 1),
    # 1x1
    (1, 256, 64, 1, 60, 1, 1), (1, 64, 256, 1, 60, 1, 1), (1, 512, 144, 1, 28, 1, 1), (1, 1024, 272, 1, 14, 1, 1),
    (1, 272, 1024, 1, 14, 1, 1), (1, 1920, 512, 1, 7, 1, 1), (1, 16, 72, 1, 100, 1, 1), (1, 48, 240, 1, 14, 1, 1),
    (1, 240, 48, 1, 28, 1, 1), (1, 104, 640, 1, 14, 1, 1), (1, 900, 160, 1, 7, 1, 1), (4, 256, 72, 1, 28, 1, 1),
    (4, 24, 80, 1, 56, 1, 1), (8, 512, 512, 1, 8, 1, 1), (1, 256, 512, 1, 30, 2, 1), (1, 72, 16, 1, 1, 1, 1),
    (1, 900, 224, 1, 1, 1, 1), (8, 144, 12, 1, 1, 1, 1),
    # depthwise
    (1, 32, 32, 3, 100, 1, 32), (1, 88, 88, 3, 100, 2, 88), (1, 136, 136, 5, 56, 2, 136),
    (1, 232, 232, 3, 28, 1, 232),
    (1, 640, 640, 5, 14, 1, 640), (1, 900, 900, 5, 7, 1, 900), (4, 128, 128, 5, 28, 1, 128),
    (8, 208, 208, 3, 14, 1, 208),
    (1, 88, 88, 7, 56, 1, 88), (1, 368, 368, 7, 14, 1, 368), (1, 736, 736, 7, 7, 1, 736), (4, 64, 64, 3, 56, 1, 64),
    (4, 160, 160, 7, 28, 1, 160),
    # grouped
    (1, 64, 64, 3, 60, 1, 4), (1, 144, 144, 3, 28, 1, 9), (1, 256, 256, 3, 15, 1, 16), (1, 256, 256, 3, 28, 2, 4),
    (4, 128, 128, 3, 14, 1, 32),
    # stems
    (1, 3, 64, 7, 220, 2, 1), (1, 3, 32, 3, 220, 2, 1), (4, 3, 16, 3, 200, 2, 1), (1, 3, 32, 3, 128, 1, 1),
)  # fmt: skip
CONVOLUTION_FULL = (
    (8, 80, 80, 3, 28, 1, 1), (2, 160, 160, 3, 40, 1, 1), (16, 320, 320, 3, 7, 1, 1), (1, 384, 384, 3, 20, 1, 1),
    (2, 192, 96, 1, 48, 1, 1), (8, 320, 1280, 1, 7, 1, 1), (16, 48, 192, 1, 28, 1, 1), (2, 720, 180, 1, 14, 1, 1),
    (16, 96, 96, 3, 28, 1, 96), (2, 320, 320, 5, 20, 1, 320), (8, 256, 256, 7, 14, 1, 256), (2, 56, 56, 3, 112, 1, 56),
    (8, 192, 192, 3, 14, 1, 12), (2, 320, 320, 3, 20, 1, 20), (8, 3, 48, 7, 160, 2, 1), (2, 40, 80, 3, 80, 2, 1),
)  # fmt: skip
# (batch, outputs, kernel = stride, side)
PATCHES = ((1, 352, 16, 224), (4, 160, 16, 224), (1, 88, 4, 224), (2, 128, 4, 192))
BATCH_NORM = (
    (1, 64, 60, 60), (1, 256, 15, 15), (1, 900, 7, 7), (1, 16, 100, 100), (4, 128, 28, 28), (8, 96, 48, 48),
)  # fmt: skip
LAYERS: tuple[tuple[str, Callable[[], nn.Module], tuple[tuple[int, ...], ...]], ...] = (
    ("max pool 3 stride 2", lambda: nn.MaxPool2d(3, 2, 1), ((1, 64, 100, 100), (4, 64, 56, 56), (1, 128, 28, 28))),
    ("max pool 2", lambda: nn.MaxPool2d(2), ((1, 64, 64, 64),)),
    ("mean pool 2", lambda: nn.AvgPool2d(2, 2), ((1, 128, 28, 28), (4, 64, 56, 56))),
    ("mean of image", lambda: nn.AdaptiveAvgPool2d(1), ((1, 900, 7, 7), (1, 232, 28, 28), (8, 96, 48, 48))),
    ("upsample", lambda: nn.Upsample(scale_factor=2), ((1, 64, 32, 32), (1, 128, 64, 64))),
    ("upsample bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear"), ((1, 64, 32, 32),)),
    ("group norm 32", lambda: nn.GroupNorm(32, 128), ((1, 128, 32, 32),)),
)
_CACHED_BYTES = 12 << 20
_MOST_COPIES = 8


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    convolutions = CONVOLUTION + CONVOLUTION_FULL * full
    return [
        *(convolution(*row) for row in convolutions),
        *(patches(*row) for row in PATCHES),
        _convolution_1d(1, 128, 256, 3, 1000),
        _convolution_1d(1, 80, 320, 3, 1500),
        *(image_layer("batch norm", partial(nn.BatchNorm2d, shape[1]), shape) for shape in BATCH_NORM),
        *(image_layer(name, build, shape) for name, build, shapes in LAYERS for shape in shapes),
    ]


def convolution(
    batch: int, inputs: int, outputs: int, kernel: int, side: int, stride: int, groups: int
) -> TimedProgram:
    """A few copies of the layer and of its images, that stay in the last-level cache."""

    def make(dtype: Any) -> Made:
        elements = outputs * inputs // groups * kernel**2 + batch * inputs * side**2
        copies = max(2, min(_MOST_COPIES, -(-_CACHED_BYTES // (elements * dtype.itemsize))))
        module = on_meta(
            lambda: Rotation(
                nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
                for _ in range(copies)
            )
        )
        return filled(module, dtype), random_tensors(copies, (batch, inputs, side, side), dtype)

    shape = f"{batch}x{inputs}x{side}x{side} to {outputs} kernel {kernel} stride {stride} groups {groups}"
    return TimedProgram(f"convolution {shape}", "single", make)


def patches(batch: int, outputs: int, kernel: int, side: int) -> TimedProgram:
    def make(dtype: Any) -> Made:
        module = filled(on_meta(lambda: nn.Conv2d(3, outputs, kernel, kernel)), dtype)
        return module, random_tensors(1, (batch, 3, side, side), dtype)

    return TimedProgram(f"patches {batch}x3x{side}x{side} to {outputs} kernel {kernel}", "single", make)


def _convolution_1d(batch: int, inputs: int, outputs: int, kernel: int, length: int) -> TimedProgram:
    def make(dtype: Any) -> Made:
        module = filled(on_meta(lambda: nn.Conv1d(inputs, outputs, kernel, 1, kernel // 2)), dtype)
        return module, random_tensors(1, (batch, inputs, length), dtype)

    return TimedProgram(f"convolution 1d {batch}x{inputs}x{length} to {outputs} kernel {kernel}", "single", make)


def image_layer(name: str, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> TimedProgram:
    """One layer on two images in turn."""

    def make(dtype: Any) -> Made:
        layer = on_meta(build)
        return filled(Rotation([layer, layer]), dtype), random_tensors(2, shape, dtype)

    return TimedProgram(f"{name} {'x'.join(map(str, shape))}", "single", make)
