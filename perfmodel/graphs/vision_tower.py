"""Vision transformers as ops, and what leads from their patches to a language model's tokens.

A connector is a list of small stages that change [batch, tokens, channels] one after the other.

May import: types, builder, transformer_*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.graphs.decoder import BATCH
from perfmodel.graphs.transformer_block import Block, Phase, Stream
from perfmodel.graphs.transformer_layers import LayerKind, add_feed_forward, add_layers
from perfmodel.graphs.transformer_settings import FeedForward, Norm, VisionEncoder

# ------------------------------------------------------------------------------------------------------ the encoder


def add_vision_encoder(block: Block, encoder: VisionEncoder, kinds: Sequence[LayerKind]) -> Stream:
    """Pixels to the stream that the last layer leaves behind.

    Args:
        block: of the ops outside the layers. kinds: the encoder's layers, grouped.
    """
    tokens, hidden = encoder.tokens, encoder.hidden
    x = _patch_rows(block, encoder) if encoder.flat else _patch_grid(block, encoder)
    if encoder.extra_tokens:
        extra = block.weight("extra_tokens", (1, encoder.extra_tokens, hidden))
        x = block.copy("join_tokens", "concat", (extra, x), (BATCH, tokens, hidden))
    elif not encoder.flat:
        x = block.copy("join_tokens", "transpose", (x,), (BATCH, tokens, hidden))
    if encoder.position_rows:
        positions = block.weight("positions", (1, encoder.position_rows, hidden))
        if encoder.position_rows != tokens:
            resized = block.tensor("resize_positions.out", (1, tokens, hidden))
            block.op("resize_positions", "resize", (positions,), (resized,), {"function": "bicubic"})
            positions = resized
        x = block.pointwise("add_positions", "add", (x, positions))
    if encoder.first_norm:
        x = block.norm("first_norm", x, encoder.structure.norm)
    if encoder.unused:
        block.weight("unused", (encoder.unused,))
    phase = Phase(BATCH, tokens, tokens, causal=False, cached=False)
    return add_layers(block.builder, block.precision, kinds, encoder.structure, x, phase)


def _patch_grid(block: Block, encoder: VisionEncoder) -> str:
    """Patches [B, D, rows, columns] of an image, by a convolution whose steps do not overlap."""
    pixels = block.tensor("pixels", (BATCH, encoder.channels, *encoder.image), "input")
    weights = [block.weight("patches.weight", (encoder.hidden, encoder.channels, *encoder.patch))]
    if encoder.patch_bias:
        weights.append(block.weight("patches.bias", (encoder.hidden,)))
    patches = block.tensor("patches.out", (BATCH, encoder.hidden, *encoder.grid))
    block.op("patches", "convolution", (pixels, *weights), (patches,),
             {"stride": list(encoder.patch), "padding": [0, 0], "dilation": [1, 1], "groups": 1})  # fmt: skip
    return patches


def _patch_rows(block: Block, encoder: VisionEncoder) -> str:
    """Patches [B, tokens, D] of an image that was cut into rows of pixels on its way in."""
    rows, columns = encoder.grid
    pixels = encoder.channels * encoder.frames * encoder.patch[0] * encoder.patch[1]
    x = block.tensor("pixels", (BATCH, rows * columns, pixels), "input")
    return block.linear("patches", x, encoder.hidden, bias=encoder.patch_bias)


def finish_vision_encoder(block: Block, encoder: VisionEncoder, stream: Stream) -> str:
    """The last norm and the head: the tokens as they leave the encoder."""
    x = stream.residual
    if encoder.final_norm == "first":
        x = block.pointwise("last_add", "add", (stream.residual, stream.pending))
        block.norm("final_norm", first_token(block, x, encoder.hidden), encoder.structure.norm)
    elif encoder.final_norm == "all":
        x, _ = block.add_and_norm("final_norm", stream, encoder.structure.norm)
    elif stream.pending:
        x = block.pointwise("last_add", "add", (stream.residual, stream.pending))
    if encoder.pooling:
        _pool_by_attention(block, encoder, x)
    return x


def first_token(block: Block, x: str, hidden: int) -> str:
    """The first token's channels."""
    first = block.tensor("first_token.out", (BATCH, hidden))
    block.op("first_token", "gather", (x,), (first,), {"function": "first_token"})
    return first


def _pool_by_attention(block: Block, encoder: VisionEncoder, x: str) -> None:
    """One learned query over all tokens, and a feed-forward with a norm before (SigLIP, arXiv 2303.15343)."""
    attention, channels = encoder.layers[0].mixer, encoder.layers[0].channels
    assert isinstance(channels, FeedForward)
    heads, size, hidden, tokens = attention.heads, attention.head_size, encoder.hidden, encoder.tokens  # type: ignore[union-attr]
    probe = block.weight("pooling.probe", (1, 1, hidden))
    repeated = block.copy("pooling.repeat", "expand", (probe,), (BATCH, 1, hidden))
    (query,) = block.view("pooling.query_heads", block.linear("pooling.query", repeated, hidden, bias=True),
                          out=(BATCH, heads, 1, size))  # fmt: skip
    both = block.linear("pooling.key_value", x, 2 * hidden, bias=True)
    keys = (BATCH, heads, tokens, size)
    key, value = block.view("pooling.split", both, key=keys, value=keys)
    out = block.tensor("pooling.core.out", (BATCH, heads, 1, size))
    block.op("pooling.core", "attention", (query, key, value), (out,), {"causal": False})
    (merged,) = block.view("pooling.merge", out, out=(BATCH, 1, hidden))
    pooled = block.linear("pooling.output", merged, hidden, bias=True)
    normed = block.norm("pooling.norm", pooled, encoder.structure.norm)
    block.pointwise("pooling.add", "add", (pooled, add_feed_forward(block, "pooling.mlp", normed, channels, hidden)))


# ---------------------------------------------------------------------------------------------------- the connector


@dataclass(frozen=True, slots=True)
class Drop:
    """Leaves out the class tokens."""

    count: int


@dataclass(frozen=True, slots=True)
class Merge:
    """factor x factor neighbours become one token with all their channels; free: they lie side by side already."""

    factor: int
    free: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """The mean of factor x factor neighbours."""

    factor: int


@dataclass(frozen=True, slots=True)
class Normalize:
    """A norm over the channels."""

    norm: Norm


@dataclass(frozen=True, slots=True)
class Project:
    """A linear layer."""

    channels: int
    bias: bool = True


@dataclass(frozen=True, slots=True)
class Activate:
    """An activation function."""

    function: str


Stage: TypeAlias = Drop | Merge | Pool | Normalize | Project | Activate


def add_connector(block: Block, name: str, x: str, stages: Sequence[Stage]) -> str:
    """All stages; ops are called after their place."""
    for place, stage in enumerate(stages):
        x = _add_stage(block, f"{name}.{place}_{type(stage).__name__.lower()}", x, stage)
    return x


def _add_stage(block: Block, name: str, x: str, stage: Stage) -> str:
    batch, tokens, channels = (block.shape(x)[0], *(int(str(dim)) for dim in block.shape(x)[1:]))
    match stage:
        case Drop(count):
            return block.copy(name, "slice", (x,), (batch, tokens - count, channels))
        case Merge(factor, free):
            shape = (batch, tokens // factor**2, channels * factor**2)
            return block.view(name, x, out=shape)[0] if free else block.copy(name, "pixel_shuffle", (x,), shape)
        case Pool(factor):
            out = block.tensor(f"{name}.out", (batch, tokens // factor**2, channels))
            block.op(name, "pool", (x,), (out,), {"function": "avg", "kernel": [factor, factor]})
            return out
        case Normalize(norm):
            return block.norm(name, x, norm)
        case Project(out_channels, bias):
            return block.linear(name, x, out_channels, bias=bias)
        case Activate(function):
            return block.pointwise(name, function, (x,))


def tokens_after(tokens: int, stages: Sequence[Stage]) -> int:
    """How many tokens a connector makes of the encoder's."""
    for stage in stages:
        if isinstance(stage, Drop):
            tokens -= stage.count
        elif isinstance(stage, Merge | Pool):
            tokens //= stage.factor**2
    return tokens


def merged_side(stages: Sequence[Stage]) -> int:
    """Patches along the side of the square that becomes one token."""
    side = 1
    for stage in stages:
        if isinstance(stage, Merge | Pool):
            side *= stage.factor
    return side
