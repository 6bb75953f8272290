"""Blocks of networks as torch modules, written the way model code is: the parts of block and deep programs.

May import: program_parts, torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from perfmodel.measuring.program_parts import RMSNorm

Tensor: TypeAlias = torch.Tensor


class Mlp(nn.Module):
    """x + down(gelu(up(norm(x)))), with weights output by input, or input by output as in GPT-2."""

    def __init__(self, width: int, hidden: int, layer: Callable[..., nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), layer(width, hidden), layer(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class GatedMlp(nn.Module):
    """x + down(silu(gate(norm(x))) · up(norm(x))), with a norm of root mean squares."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Wrapper(nn.Module):
    """Passes arguments on through a module and a dropout, as classes of large libraries do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.dropout = inner, nn.Dropout(0.0)

    def forward(self, x: Tensor, cache: Any = None, **options: Any) -> Tensor:
        return self.dropout(self.inner(x))


class WrappedMlp(nn.Module):
    """An MLP of modules within modules."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        up, down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.steps = nn.ModuleList(
            [Wrapper(nn.LayerNorm(width)), Wrapper(Wrapper(up)), Wrapper(nn.GELU()), Wrapper(Wrapper(down))]
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for step in self.steps:
            y = step(y, cache=None, training=False)
        return x + y


class SelfAttention(nn.Module):
    """x + out(attention(norm(x))) with one projection for q, k and v."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        heads = self.qkv(self.norm(x)).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=self.causal)
        return x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))


class EncoderLayer(nn.Module):
    """Attention with separate projections and a mask, and an MLP, each normed after its addition."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], self.heads, x.shape[-1] // self.heads)
        q, k, v = (part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = self.attention_norm(self.out(y) + x)
        return self.norm(self.down(F.gelu(self.up(x))) + x)


class WindowAttention(nn.Module):
    """Attention of windows, step by step, with a bias on the scores."""

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty(1, heads, tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        windows, tokens, width = x.shape
        parts = self.qkv(self.norm(x)).view(windows, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        scores = ((q * self.scale) @ k.transpose(-2, -1) + self.bias).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).reshape(windows, tokens, width))


class DecodeStep(nn.Module):
    """Attention of one new token; its key and value are appended to a cache by concatenation."""

    def __init__(self, width: int, heads: int, layer: Callable[..., nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), layer(width, 3 * width), layer(width, width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        shape = (batch, tokens, self.heads, width // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(self.norm(x)).split(width, -1))
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        y = F.scaled_dot_product_attention(q, keys, values)
        return x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))


class GroupedDecodeStep(nn.Module):
    """As llama-like models decode: separate projections, rotated heads, a cache of fewer heads, a gated MLP."""

    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.channels = heads, kv_heads, width // heads
        kv_width = kv_heads * self.channels
        self.norm = RMSNorm(width)
        self.query, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.key, self.value = nn.Linear(width, kv_width, bias=False), nn.Linear(width, kv_width, bias=False)
        self.rotation = nn.Parameter(torch.empty(2, 1, 1, 1, self.channels))
        self.mlp = GatedMlp(width, hidden)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        y = self.norm(x)
        shape = (*x.shape[:2], -1, self.channels)
        q, k, v = (part(y).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        q, k = self.rotate(q), self.rotate(k)
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        z = F.scaled_dot_product_attention(q, keys, values, enable_gqa=True)
        return self.mlp(x + self.out(z.transpose(1, 2).reshape(x.shape)))

    def rotate(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x * self.rotation[0] + torch.cat((-x[..., half:], x[..., :half]), -1) * self.rotation[1]


def _convolved(
    inputs: int, outputs: int, kernel: int, groups: int = 1, act: nn.Module | None = None, stride: int = 1
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, act) if act else nn.Sequential(*layers)


class Residual(nn.Module):
    """relu(x + steps(x)): two 3x3 convolutions, or a bottleneck whose inner one may be grouped."""

    def __init__(self, width: int, inner: int, group_width: int = 0) -> None:
        super().__init__()
        if not inner:
            steps = [_convolved(width, width, 3, act=nn.ReLU(inplace=True)), _convolved(width, width, 3)]
        else:
            steps = [
                _convolved(width, inner, 1, act=nn.ReLU(inplace=True)),
                _convolved(inner, inner, 3, inner // group_width if group_width else 1, nn.ReLU(inplace=True)),
                _convolved(inner, width, 1),
            ]
        self.steps = nn.Sequential(*steps)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.steps(x) + x)


class SqueezeExcite(nn.Module):
    """x times a gate for each channel that is computed from the mean of the image."""

    def __init__(self, width: int, squeezed: int, act: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)
        self.act, self.gate = act, gate

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.act(self.reduce(y))))


class InvertedResidual(nn.Module):
    """x + project(squeeze(depthwise(expand(x)))): silu with squeezing ("silu"), or hardswish with or without."""

    def __init__(self, width: int, inner: int, kernel: int, form: str) -> None:
        super().__init__()
        swish: Callable[..., nn.Module] = nn.SiLU if form == "silu" else nn.Hardswish
        steps: list[nn.Module] = [
            _convolved(width, inner, 1, act=swish(inplace=True)),
            _convolved(inner, inner, kernel, inner, swish(inplace=True)),
        ]
        if form == "silu":
            steps.append(SqueezeExcite(inner, max(4, width // 4), nn.SiLU(inplace=True), nn.Sigmoid()))
        elif form == "hardswish squeezed":
            steps.append(SqueezeExcite(inner, inner // 4, nn.ReLU(inplace=True), nn.Hardsigmoid()))
        self.steps = nn.Sequential(*steps, _convolved(inner, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x) + x


class PatchMixer(nn.Module):
    """x + scale · mlp(norm(depthwise 7x7(x))), the MLP over channels that lie last."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act = nn.GELU()
        self.scale = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(self.act(self.up(self.norm(self.mix(x).permute(0, 2, 3, 1)))))
        return (self.scale * y).permute(0, 3, 1, 2) + x
