"""What convolutional image models are made of: convolutions, group norms, residual blocks, down- and upsampling.

Activations are [B, C, height, width]; kernels, names and weights are those of the diffusers library.

May import: sizes, diffusion_blocks, transformer_block.
"""

from __future__ import annotations

from perfmodel.graphs.diffusion_blocks import int_dim
from perfmodel.graphs.transformer_block import Block
from perfmodel.sizes import Dim


def convolution(block: Block, name: str, x: str, channels: int, kernel: int = 3, stride: int = 1, *,
                padding: int | None = None) -> str:  # fmt: skip
    """A convolution with bias; the padding keeps the size unless told."""
    batch, inputs, height, width = block.shape(x)
    pad = kernel // 2 if padding is None else padding
    sides = tuple((int_dim(side) + 2 * pad - kernel) // stride + 1 for side in (height, width))
    weights = (
        block.weight(f"{name}.weight", (channels, inputs, kernel, kernel)),
        block.weight(f"{name}.bias", (channels,)),
    )
    y = block.tensor(f"{name}.out", (batch, channels, *sides))
    block.op(name, "convolution", (x, *weights), (y,),
             {"stride": [stride, stride], "padding": [pad, pad], "dilation": [1, 1], "groups": 1})  # fmt: skip
    return y


def group_norm(block: Block, name: str, x: str) -> str:
    """x normalised within groups of channels, with a weight and a bias per channel."""
    channels = block.shape(x)[1]
    weights = (block.weight(f"{name}.weight", (channels,)), block.weight(f"{name}.bias", (channels,)))
    y = block.tensor(f"{name}.out", block.shape(x))
    block.op(name, "normalization", (x, *weights), (y,), {"function": "group"})
    return y


def norm_and_convolution(block: Block, norm: str, name: str, x: str, channels: int) -> str:
    """Group norm, SiLU, a 3x3 convolution."""
    activated = block.pointwise(f"{name}.act", "silu", (group_norm(block, norm, x),))
    return convolution(block, name, activated, channels)


def residual_block(block: Block, name: str, x: str, channels: int, condition: str = "") -> str:
    """Two norms and convolutions around the addition of a condition [B, E], and a shortcut where channels change."""
    y = norm_and_convolution(block, f"{name}.norm1", f"{name}.conv1", x, channels)
    if condition:
        activated = block.pointwise(f"{name}.time_act", "silu", (condition,))
        y = block.pointwise(f"{name}.time_add", "add",
                            (y, block.linear(f"{name}.time_emb_proj", activated, channels, bias=True)))  # fmt: skip
    y = norm_and_convolution(block, f"{name}.norm2", f"{name}.conv2", y, channels)
    if block.shape(x)[1] != channels:
        x = convolution(block, f"{name}.conv_shortcut", x, channels, kernel=1)
    return block.pointwise(f"{name}.rescale", "div", (block.pointwise(f"{name}.add", "add", (x, y)),))


def upsample(block: Block, name: str, x: str, height: Dim, width: Dim) -> str:
    """Nearest-neighbour interpolation to a size, then a convolution."""
    batch, channels, *_ = block.shape(x)
    larger = block.tensor(f"{name}.resize.out", (batch, channels, height, width))
    block.op(f"{name}.resize", "resize", (x,), (larger,), {"function": "nearest"})
    return convolution(block, f"{name}.conv", larger, int_dim(channels))
