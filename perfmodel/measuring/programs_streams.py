"""Single programs of what moves memory and computes little: pointwise ops, norms, reductions, copies of layout, chains.

Chains repeat an op on a tiny tensor: nothing but what torch and Python take between ops.
May import: programs, program_parts, torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from perfmodel.measuring.program_parts import Each, RMSNorm, Rotation, filled, on_meta, random_tensors
from perfmodel.measuring.programs import Footprints, Made, TimedProgram

Shape: TypeAlias = tuple[int, ...]

POINTWISE: dict[str, Callable[..., Any]] = {
    "double": lambda x: x + x,
    "relu": torch.relu,
    "relu in place": lambda x: x.relu_(),
    "gelu": F.gelu,
    "gelu tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "cube": lambda x: torch.pow(x, 3.0),
    "scale": lambda x: x * 0.5,
    "exp": torch.exp,
    "clone": torch.clone,
    "cast": lambda x: x.to(torch.float64 if x.dtype == torch.float32 else torch.float32),
}
# elements, and how many tensors are gone through; some functions have more sizes
POINTWISE_SIZES = ((1024, 8), (600_000, 4))
WELL_COVERED = ("double", "relu", "gelu", "silu", "clone", "tanh")
COVERED_SIZES = ((1024, 8), (100_000, 2), (1_000_000, 1), (1_000_000, 6))
HIERARCHY_BYTES = tuple(1 << power for power in (15, 17, 19, 21, 23, 24, 25, 26))
HIERARCHY = ("clone", "relu", "add")
TWO: tuple[tuple[str, Callable[..., Any], Shape, Shape], ...] = (
    ("mul", torch.mul, (1, 232, 28, 28), (1, 232, 1, 1)),
    ("mul", torch.mul, (1, 640, 14, 14), (1, 640, 1, 1)),
    ("mul", torch.mul, (4, 88, 56, 56), (4, 88, 1, 1)),
    ("add", torch.add, (1, 256, 800), (800,)),
    ("mul", torch.mul, (1, 56, 56, 88), (88,)),
    ("add", torch.add, (64, 3, 49, 49), (1, 3, 49, 49)),
    ("mul", torch.mul, (1, 10, 128, 64), (1, 1, 128, 64)),
    ("add", torch.add, (1, 64, 60, 60), (1, 64, 60, 60)),
    ("add", torch.add, (4, 256, 28, 28), (4, 256, 28, 28)),
    ("mul", torch.mul, (1, 128, 2304), (1, 128, 2304)),
)
LAYER_NORM = ((1, 1, 800), (1, 64, 800), (1, 256, 704), (8, 190, 352), (1, 3000, 88), (1, 49, 736), (8, 512, 640))
RMS_NORM = ((1, 1, 800), (1, 128, 704), (4, 200, 512), (1, 1, 2048))
SOFTMAX = ((1, 10, 64, 64), (64, 3, 49, 49), (1, 12, 480, 480), (1, 1000), (8, 16, 1, 512))
# runs: over how many elements; total elements
MEANS = ((100, 100_000), (500, 1_000_000), (800, 160_000))
MERGED_HEADS = ((1, 64, 12, 64), (1, 256, 10, 64), (8, 190, 5, 64), (4, 130, 16, 40))
IMAGES = ((1, 88, 56, 56), (1, 368, 14, 14), (4, 160, 28, 28))
ROLLED = ((1, 56, 56, 88), (1, 14, 14, 368))
HALVES = ((1, 12, 120, 64), (1, 4, 1, 64), (4, 16, 1, 128))
# batch, heads, tokens, channels, caches gone through
CACHES = ((1, 12, 500, 64, 20), (1, 4, 255, 64, 8), (4, 8, 300, 64, 24), (1, 16, 800, 64, 12))
CHANNELS = (((1, 64, 64, 64), (1, 128, 64, 64)), ((1, 200, 28, 28), (1, 40, 28, 28)))
# views are followed by an op, without which they would be no part of any graph
TINY: dict[str, tuple[Callable[..., Any], Shape]] = {
    "relu": (torch.relu, (8, 8)),
    "double": (lambda x: x + x, (8, 8)),
    "view and relu": (lambda x: torch.relu(x.view(8, 8)), (64,)),
    "four views and relu": (lambda x: torch.relu(x.view(8, 8).transpose(0, 1).unsqueeze(0).view(2, 4, 8)), (64,)),
    "slice and relu": (lambda x: torch.relu(x[2:6]), (8, 8)),
    "index and relu": (lambda x: torch.relu(x[0]), (8, 8)),
    "chunk and relu": (lambda x: torch.relu(x.chunk(2, -1)[0]), (8, 8)),
    "expand and relu": (lambda x: torch.relu(x.expand(4, 8, 8)), (1, 8, 8)),
    "compare": (lambda x: x > 0, (8, 8)),
    "softmax": (partial(torch.softmax, dim=-1), (8, 8)),
    "concat": (lambda x: torch.cat((x, x)), (8, 8)),
    "arange and add": (lambda x: torch.arange(8) + x, (8,)),
    "full and add": (lambda x: torch.full((8,), 1.0) + x, (8,)),
    "matmul": (torch.mm, (16, 16)),
}
MADE_ON_CPU = ("arange and add", "full and add")
_CHAIN = 40


def programs(full: bool, footprints: Footprints) -> list[TimedProgram]:
    """All of this file."""
    return [
        *_pointwise(full),
        *_hierarchy(full),
        *(each(f"{name} {_words(a)} by {_words(b)}", op, (a, b)) for name, op, a, b in TWO),
        *(token_norm("layer norm", nn.LayerNorm, shape) for shape in LAYER_NORM),
        *(token_norm("rms norm", RMSNorm, shape) for shape in RMS_NORM),
        *(each(f"softmax {_words(shape)}", partial(torch.softmax, dim=-1), (shape,), 2) for shape in SOFTMAX),
        *(each(f"mean of {run} in {n}", lambda x: x.mean(-1), ((n // run, run),), 2) for run, n in MEANS),
        each("mean of tokens 1x200x1000", lambda x: x.mean(1), ((1, 200, 1000),), 2),
        *_copies(),
        *chains(),
    ]


def _pointwise(full: bool) -> list[TimedProgram]:
    found = []
    for name, function in POINTWISE.items():
        sizes = COVERED_SIZES if name in WELL_COVERED else POINTWISE_SIZES
        for elements, count in sizes + ((20_000, 4), (300_000, 2)) * full:
            found.append(each(f"{name} of {elements} over {count}", function, ((elements,),), count))
    return found


def _hierarchy(full: bool) -> list[TimedProgram]:
    """Copies and pointwise ops of every size from the innermost cache to memory."""
    sizes = HIERARCHY_BYTES + (1 << 18, 1 << 20, 1 << 27) * full
    functions = {**POINTWISE, "add": torch.add}
    found = []
    for name in HIERARCHY:
        for size in sizes:
            label = f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
            arity = 2 if name == "add" else 1
            found.append(TimedProgram(f"{name} {label}", "single", _sized(functions[name], arity, size)))
    return found


def _sized(function: Callable[..., Any], arity: int, size: int) -> Callable[[Any], Made]:
    def make(dtype: Any) -> Made:
        return Each(function, arity), random_tensors(arity, (size // dtype.itemsize,), dtype)

    return make


def each(
    name: str, function: Callable[..., Any], shapes: Sequence[Shape], sets: int = 1, rounds: int = 1
) -> TimedProgram:
    """A function over `sets` of tensors of these shapes."""

    def make(dtype: Any) -> Made:
        inputs = [tensor for _ in range(sets) for shape in shapes for tensor in random_tensors(1, shape, dtype)]
        return Each(function, len(shapes), rounds), tuple(inputs)

    return TimedProgram(name, "single", make)


def token_norm(name: str, layer: Callable[[int], nn.Module], shape: Shape) -> TimedProgram:
    def make(dtype: Any) -> Made:
        norm = on_meta(lambda: layer(shape[-1]))
        return filled(Rotation([norm, norm]), dtype), random_tensors(2, shape, dtype)

    return TimedProgram(f"{name} {_words(shape)}", "single", make)


def _copies() -> list[TimedProgram]:
    """Copies that change the layout, as between the layers of attention and of windows."""
    found = [
        *(("merge heads", lambda x: x.transpose(1, 2).contiguous(), shape) for shape in MERGED_HEADS),
        *(("to channels last", lambda x: x.permute(0, 2, 3, 1).contiguous(), shape) for shape in IMAGES),
        *(("to channels first", lambda x: x.permute(0, 3, 1, 2).contiguous(), _last(shape)) for shape in IMAGES),
        *(("roll", lambda x: torch.roll(x, (3, 3), (1, 2)), shape) for shape in ROLLED),
        *(("rotate halves", rotate_halves, shape) for shape in HALVES),
    ]
    copies = [each(f"{name} {_words(shape)}", function, (shape,), 2) for name, function, shape in found]
    for batch, heads, tokens, channels, sets in CACHES:
        shapes = ((batch, heads, tokens, channels), (batch, heads, 1, channels))
        copies.append(each(f"append to cache {_words(shapes[0])} over {sets}", append_tokens, shapes, sets))
    for a, b in CHANNELS:
        copies.append(each(f"concat {_words(a)} and {_words(b)}", lambda x, y: torch.cat((x, y), 1), (a, b)))
    return copies


def rotate_halves(x: Any) -> Any:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


def append_tokens(cache: Any, new: Any) -> Any:
    return torch.cat((cache, new), 2)


def _last(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1])


def chains(device: str = "cpu") -> list[TimedProgram]:
    """Programs of which hardly anything but the starts of ops takes time.

    Args:
        device: cpu, or another one, on which those are left out that make a tensor on the CPU.
    """
    found = [
        each(f"chain of {name}", function, (shape,) * (2 if name == "matmul" else 1), 1, _CHAIN)
        for name, (function, shape) in TINY.items()
        if device == "cpu" or name not in MADE_ON_CPU
    ]
    found += [
        TimedProgram(f"chain of {name} modules", "single", _modules(build))
        for name, build in (
            ("identity", nn.Identity),
            ("dropout", nn.Dropout),
            ("relu", nn.ReLU),
            ("linear", partial(nn.Linear, 8, 8)),
            ("layer norm", partial(nn.LayerNorm, 8)),
        )
    ]
    return found


def _modules(build: Callable[[], nn.Module]) -> Callable[[Any], Made]:
    """Modules in a row, and one that is an op at the end."""

    def make(dtype: Any) -> Made:
        chain = nn.Sequential(*(on_meta(build) for _ in range(_CHAIN)), nn.ReLU())
        return filled(chain, dtype), random_tensors(1, (8, 8), dtype)

    return make


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
