"""The U-Net of Stable Diffusion (diffusers UNet2DConditionModel): its config, and one evaluation of it as a graph.

Stages of residual blocks, with transformer layers that attend to the text, down to coarser latents and up again; what
goes down is kept and joined on the way up (arXiv 2112.10752, 2307.01952). Fields that switch on other variants are
left unread, so that a note names them.

May import: builder, config_fields, diffusion_blocks, image_blocks, transformer_block, transformer_settings, types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.diffusion_blocks import Evaluation, attend, feed_forward, int_dim, sinusoid, two_layers
from perfmodel.graphs.image_blocks import convolution, group_norm, norm_and_convolution, residual_block, upsample
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.graphs.transformer_settings import Norm
from perfmodel.types import Graph

_NORM = Norm("layer", bias=True)
_DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
_UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}
_MAX_STAGES = 8
_MAX_BLOCKS = 64  # of a stage: each is a dozen ops of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class UNet:
    """A U-Net; the tuples have a value per stage, finest first (`up_attention`: coarsest first).

    Args:
        layers: residual blocks on the way down, one more on the way up. depth: transformer layers after each of them.
        text: width of the text condition. linear_projection: linear layers around the transformer, not convolutions.
        pooled: width of the condition that is added to the timestep's (SDXL: pooled text and sizes), 0 for none;
            pooled_channels: sines and cosines of each of its sizes.
        guidance: width of an embedded guidance scale (distilled models), 0 for none.
    """

    sample_size: int
    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    down_attention: tuple[bool, ...]
    up_attention: tuple[bool, ...]
    layers: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    text: tuple[int, ...]
    linear_projection: bool
    pooled: int
    pooled_channels: int
    guidance: int
    factor: int = 1  # of which a latent image's side must be a multiple

    @property
    def guided(self) -> bool:
        """Whether pipelines evaluate it with and without the text."""
        return not self.guidance


def read_unet(fields: Fields) -> UNet:
    """The settings of a UNet2DConditionModel config; mistakes are left in `fields`."""
    channels = fields.sizes("block_out_channels", purpose="channels of each stage")
    stages = len(channels)
    down = fields.words("down_block_types", stages, _DOWN, purpose="kinds of the stages on the way down")
    up = fields.words("up_block_types", stages, _UP, purpose="kinds of the stages on the way up")
    heads = fields.sizes("attention_head_dim", stages, purpose="heads of each stage", default=8)
    if any(size % count for size, count in zip(channels, heads, strict=True)):
        fields.wrong(f"block_out_channels {list(channels)} must be multiples of the heads {list(heads)}")
    if stages > _MAX_STAGES:
        fields.wrong(f"block_out_channels: {stages} stages are more than {_MAX_STAGES}")
    pooled = fields.choice("addition_embed_type", known={"text_time": "text_time"}, default="")
    return UNet(
        sample_size=fields.size("sample_size", default=0),
        in_channels=fields.size("in_channels", purpose="channels of the latents"),
        out_channels=fields.size("out_channels", default=4),
        channels=channels,
        down_attention=down,
        up_attention=up,
        layers=fields.sizes("layers_per_block", stages, purpose="residual blocks of each stage", high=_MAX_BLOCKS),
        depth=fields.sizes("transformer_layers_per_block", stages, default=1, high=MAX_LAYERS),
        heads=heads,
        text=fields.sizes("cross_attention_dim", stages, purpose="width of the text condition"),
        linear_projection=fields.flag("use_linear_projection"),
        pooled=fields.size("projection_class_embeddings_input_dim", purpose="width of the pooled condition")
        if pooled
        else 0,
        pooled_channels=fields.size("addition_time_embed_dim", purpose="channels of an embedded size") if pooled else 0,
        guidance=fields.size("time_cond_proj_dim", default=0),
    )


@dataclass(frozen=True, slots=True)
class _Site:
    """What every stage needs: where its ops go, the condition [B, 4·C], the text by its width."""

    builder: GraphBuilder
    precision: Precision
    unet: UNet
    condition: str
    texts: Mapping[int, str]

    def block(self, name: str) -> Block:
        return Block(self.builder, self.precision, name)


def unet_graph(unet: UNet, step: Evaluation, precision: Precision, *, name: str, source: str) -> Graph:
    """One evaluation: noise [B, C, height, width] from latents, timestep and text [B, T, width]."""
    builder = GraphBuilder(name, source)
    outside = Block(builder, precision)
    texts = {width: outside.tensor(f"text_{width}", (step.batch, step.text_tokens, width), "input")
             for width in dict.fromkeys(unet.text)}  # fmt: skip
    site = _Site(builder, precision, unet, _condition(outside, unet, step), texts)
    latents = outside.tensor("latents", (step.batch, unet.in_channels, step.height, step.width), "input")
    kept = [convolution(outside, "conv_in", latents, unet.channels[0])]
    for stage in range(len(unet.channels)):
        _down(site, stage, kept)
    x = _middle(site, kept[-1])
    for stage in reversed(range(len(unet.channels))):
        x = _up(site, stage, x, kept)
    norm_and_convolution(outside, "conv_norm_out", "conv_out", x, unet.out_channels)
    return builder.graph(("batch",))


def _condition(block: Block, unet: UNet, step: Evaluation) -> str:
    """The timestep's embedding [B, 4·C], and what is added to it."""
    first, size = unet.channels[0], 4 * unet.channels[0]
    waves = sinusoid(block, "time_proj", step.batch, first)
    if unet.guidance:
        scale = block.tensor("guidance", (step.batch, unet.guidance), "input")
        waves = block.pointwise("time_embedding.guided", "add",
                                (waves, block.linear("time_embedding.cond_proj", scale, first)))  # fmt: skip
    condition = two_layers(block, "time_embedding", waves, size, "silu", size)
    if not unet.pooled:
        return condition
    sizes = 6  # height and width of the original, of the crop's corner, of the target
    embedded = sinusoid(block, "add_time_proj", step.batch * sizes, unet.pooled_channels)
    pooled = block.tensor("pooled_text", (step.batch, unet.pooled - sizes * unet.pooled_channels), "input")
    joined = block.copy("add_embedding.join", "concat", (pooled, embedded), (step.batch, unet.pooled))
    added = two_layers(block, "add_embedding", joined, size, "silu", size)
    return block.pointwise("add_embedding.add", "add", (condition, added))


def _down(site: _Site, stage: int, kept: list[str]) -> None:
    """A stage on the way down; what the way up needs again is added to `kept`."""
    unet, block = site.unet, site.block(f"down_blocks.{stage}")
    for layer in range(unet.layers[stage]):
        x = residual_block(block, f"resnets.{layer}", kept[-1], unet.channels[stage], site.condition)
        if unet.down_attention[stage]:
            x = _transformer(block, f"attentions.{layer}", x, site, stage)
        kept.append(x)
    if stage < len(unet.channels) - 1:
        kept.append(convolution(block, "downsamplers.0.conv", kept[-1], unet.channels[stage], stride=2))


def _middle(site: _Site, x: str) -> str:
    block, channels = site.block("mid_block"), site.unet.channels[-1]
    x = residual_block(block, "resnets.0", x, channels, site.condition)
    x = _transformer(block, "attentions.0", x, site, len(site.unet.channels) - 1)
    return residual_block(block, "resnets.1", x, channels, site.condition)


def _up(site: _Site, stage: int, x: str, kept: list[str]) -> str:
    unet = site.unet
    index = len(unet.channels) - 1 - stage
    block = site.block(f"up_blocks.{index}")
    for layer in range(unet.layers[stage] + 1):
        skip = kept.pop()
        batch, channels, *sides = block.shape(x)
        x = block.copy(f"join.{layer}", "concat", (x, skip), (batch, channels + block.shape(skip)[1], *sides))
        x = residual_block(block, f"resnets.{layer}", x, unet.channels[stage], site.condition)
        if unet.up_attention[index]:
            x = _transformer(block, f"attentions.{layer}", x, site, stage)
    return upsample(block, "upsamplers.0", x, *block.shape(kept[-1])[2:]) if stage else x


def _transformer(block: Block, name: str, x: str, site: _Site, stage: int) -> str:
    """Transformer layers over the pixels of x [B, C, height, width], between two projections."""
    unet = site.unet
    batch, channels, height, width = block.shape(x)
    size, rows = int_dim(channels), (batch, height * width, channels)
    y = group_norm(block, f"{name}.norm", x)
    if unet.linear_projection:
        (y,) = block.view(f"{name}.pixels", y, out=rows)
        y = block.linear(f"{name}.proj_in", y, size, bias=True)
    else:
        (y,) = block.view(f"{name}.pixels", convolution(block, f"{name}.proj_in", y, size, kernel=1), out=rows)
    layers = Block(block.builder, block.precision, f"{block.full(name)}.transformer_blocks", unet.depth[stage])
    y = _layer(layers, y, unet.heads[stage], site.texts[unet.text[stage]])
    if unet.linear_projection:
        y = block.copy(f"{name}.image", "copy", (block.linear(f"{name}.proj_out", y, size, bias=True),),
                       block.shape(x))  # fmt: skip
    else:
        image = block.copy(f"{name}.image", "copy", (y,), block.shape(x))
        y = convolution(block, f"{name}.proj_out", image, size, kernel=1)
    return block.pointwise(f"{name}.add", "add", (y, x))


def _layer(block: Block, x: str, heads: int, text: str) -> str:
    """Attention among pixels, attention to the text, a gated feed-forward; each with a norm and an addition."""
    x = block.pointwise("add1", "add", (x, attend(block, "attn1", block.norm("norm1", x, _NORM), heads)))
    x = block.pointwise("add2", "add", (x, attend(block, "attn2", block.norm("norm2", x, _NORM), heads, text)))
    return block.pointwise("add3", "add", (x, feed_forward(block, "ff", block.norm("norm3", x, _NORM), "geglu")))
