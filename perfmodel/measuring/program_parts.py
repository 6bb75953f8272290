"""What programs are put together from: filled tensors, and modules that run layers or functions over several inputs.

Random content is copied from a few pools: filling hundreds of MiB from a generator would take longer than timing them.
May import: torch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import torch
from torch import nn

KEPT = 3  # results that stay alive, as in a network: a freed one would be handed out again while it is hot
_POOL_ELEMENTS = 1 << 20
_blank: ContextVar[bool] = ContextVar("_blank", default=False)


@contextmanager
def without_content() -> Iterator[None]:
    """Programs made inside have tensors that hold nothing: a tracer reads shapes alone, and filling takes longer."""
    token = _blank.set(True)
    try:
        yield
    finally:
        _blank.reset(token)


@lru_cache(maxsize=32)
def _pool(dtype: torch.dtype, exponent: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(20)
    values = torch.rand(_POOL_ELEMENTS, generator=generator) * 2 - 1
    return (values * 2.0**-exponent).to(dtype)


def random_tensor(shape: Sequence[int], dtype: torch.dtype, fan_in: int = 1) -> torch.Tensor:
    """Uniform values of a variance of about 1/fan_in, between the powers of two."""
    tensor = torch.empty(tuple(shape), dtype=dtype)
    if _blank.get():
        return tensor
    pool = _pool(dtype, round(math.log2(max(1, fan_in) / 3) / 2))
    flat = tensor.view(-1)
    for start in range(0, flat.numel(), _POOL_ELEMENTS):
        piece = flat[start : start + _POOL_ELEMENTS]
        piece.copy_(pool[: piece.numel()])
    return tensor


def random_tensors(count: int, shape: Sequence[int], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    return tuple(random_tensor(shape, dtype) for _ in range(count))


def filled(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A module built on meta, in memory: matrices random by their fan-in, scales of norms a half (sums of many blocks
    stay small enough for fp16), other vectors random."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None and parameter.is_meta:
                child._parameters[name] = nn.Parameter(_values(child, name, parameter, dtype), requires_grad=False)
        for name, buffer in child._buffers.items():
            if buffer is not None and buffer.is_meta:
                child._buffers[name] = _buffer_values(name, buffer, dtype)
    return module.eval()


def _values(child: nn.Module, name: str, parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if parameter.dim() == 1 and name == "weight":
        return torch.full(parameter.shape, 0.5, dtype=dtype)
    fan_in = parameter.shape[0] if getattr(child, "stored_transposed", False) else math.prod(parameter.shape[1:])
    return random_tensor(parameter.shape, dtype, 1 if isinstance(child, nn.Embedding) else max(64, fan_in))


def _buffer_values(name: str, buffer: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    kept = dtype if buffer.is_floating_point() else buffer.dtype
    return (torch.ones if name == "running_var" else torch.zeros)(buffer.shape, dtype=kept)


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """What a function builds, without memory; `filled` gives it some."""
    with torch.device("meta"):
        return build()


class Rotation(nn.Module):
    """Layers in order, each on the next of the inputs: N copies of a layer go through N weights."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs: torch.Tensor) -> Any:
        kept: deque[Any] = deque(maxlen=KEPT)
        for place, layer in enumerate(self.layers):
            kept.append(layer(inputs[place % len(inputs)]))
        return kept[-1]


class Each(nn.Module):
    """A function of `arity` tensors, applied to the inputs group by group, all of it `rounds` times."""

    def __init__(self, function: Callable[..., Any], arity: int = 1, rounds: int = 1) -> None:
        super().__init__()
        self.function, self.arity, self.rounds = function, arity, rounds

    def forward(self, *inputs: torch.Tensor) -> Any:
        kept: deque[Any] = deque(maxlen=KEPT)
        function, arity = self.function, self.arity
        for _ in range(self.rounds):
            for place in range(0, len(inputs), arity):
                kept.append(function(*inputs[place : place + arity]))
        return kept[-1]


class AfterPollution(nn.Module):
    """Layers in order, each after a rewrite of `pollution`, which takes the place of everything in the inner caches."""

    def __init__(self, layers: Iterable[Callable[..., Any]], arity: int = 1) -> None:
        super().__init__()
        found = list(layers)
        self.steps = nn.ModuleList(found) if isinstance(found[0], nn.Module) else found
        self.arity = arity

    def forward(self, pollution: torch.Tensor, *inputs: torch.Tensor) -> Any:
        kept: deque[Any] = deque(maxlen=KEPT)
        for place, step in enumerate(self.steps):
            pollution.relu_()
            kept.append(step(*inputs[place * self.arity : (place + 1) * self.arity]))
        return kept[-1]


class Stack(nn.Module):
    """Blocks one after the other; each takes its share of the further inputs (caches)."""

    def __init__(self, blocks: Iterable[nn.Module], extra: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.extra = extra

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        for place, block in enumerate(self.blocks):
            x = block(x, *others[place * self.extra : (place + 1) * self.extra])
        return x


class Conv1D(nn.Module):
    """A linear layer whose weight lies input by output, as in GPT-2."""

    stored_transposed = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return flat.view(*x.shape[:-1], self.outputs)


class RMSNorm(nn.Module):
    """Root mean square norm written out in fp32, as in models of Hugging Face."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = x.dtype
        x = x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * x.to(dtype)
