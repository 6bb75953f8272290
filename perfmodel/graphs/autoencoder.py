"""The autoencoder between images and latents (diffusers AutoencoderKL): its config, decoding, and both ways as graphs.

Residual blocks on finer and finer images, with attention among all latents in the middle (arXiv 2112.10752).

May import: builder, config_fields, diffusion_blocks, image_blocks, transformer_block, types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.diffusion_blocks import attention_core, int_dim
from perfmodel.graphs.image_blocks import convolution, group_norm, norm_and_convolution, residual_block, upsample
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.sizes import Dim
from perfmodel.types import Graph

_DOWN = {"DownEncoderBlock2D": "down"}
_UP = {"UpDecoderBlock2D": "up"}
_MAX_STAGES = 8
_MAX_BLOCKS = 64  # of a stage: each is a dozen ops of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoencoder:
    """A variational autoencoder.

    Args:
        channels: of each stage, finest first. layers: residual blocks of a stage on the way down, one more up.
        attention: in the middle. quantized, post_quantized: 1x1 convolutions around the latents.
        upcast: pipelines may decode it in fp32 when they run in fp16.
    """

    sample_size: int
    in_channels: int
    out_channels: int
    latent_channels: int
    channels: tuple[int, ...]
    layers: int
    attention: bool
    quantized: bool
    post_quantized: bool
    upcast: bool

    @property
    def scale(self) -> int:
        """Pixels of an image's side per latent."""
        return 1 << (len(self.channels) - 1)


def read_autoencoder(fields: Fields) -> Autoencoder:
    """The settings of an AutoencoderKL config; mistakes are left in `fields`."""
    channels = fields.sizes("block_out_channels", purpose="channels of each stage")
    if len(channels) > _MAX_STAGES:
        fields.wrong(f"block_out_channels: {len(channels)} stages are more than {_MAX_STAGES}")
    for name, known in (("down_block_types", _DOWN), ("up_block_types", _UP)):
        fields.per_layer(name, len(channels), known)
    return Autoencoder(
        sample_size=fields.size("sample_size", default=0),
        in_channels=fields.size("in_channels", default=3),
        out_channels=fields.size("out_channels", default=3),
        latent_channels=fields.size("latent_channels", purpose="channels of the latents"),
        channels=channels,
        layers=fields.size("layers_per_block", purpose="residual blocks of each stage", high=_MAX_BLOCKS),
        attention=fields.flag("mid_block_add_attention", default=True),
        quantized=fields.flag("use_quant_conv", default=True),
        post_quantized=fields.flag("use_post_quant_conv", default=True),
        upcast=fields.flag("force_upcast", default=True),
    )


def decoder_graph(
    autoencoder: Autoencoder, batch: Dim, height: int, width: int, precision: Precision, *, name: str, source: str
) -> Graph:
    """Images from latents [B, C, height, width]. The encoder's weights lie in memory beside those that run."""
    builder = GraphBuilder(name, source)
    block = Block(builder, precision)
    latents = block.tensor("latents", (batch, autoencoder.latent_channels, height, width), "input")
    _decode(block, autoencoder, latents)
    graph = builder.graph(("batch",))
    scale = autoencoder.scale
    both = autoencoder_graph(autoencoder, batch, height * scale, width * scale, precision, name=name, source=source)
    resting = {key: tensor for key, tensor in both.tensors.items() if tensor.kind == "weight"}
    return replace(graph, tensors=resting | dict(graph.tensors))


def autoencoder_graph(
    autoencoder: Autoencoder, batch: Dim, height: int, width: int, precision: Precision, *, name: str, source: str
) -> Graph:
    """Images [B, 3, height, width] to latents and back."""
    builder = GraphBuilder(name, source)
    block = Block(builder, precision)
    pixels = block.tensor("pixels", (batch, autoencoder.in_channels, height, width), "input")
    _decode(block, autoencoder, _encode(block, autoencoder, pixels))
    return builder.graph(("batch",))


def _encode(outside: Block, autoencoder: Autoencoder, pixels: str) -> str:
    """The mean of the latents' distribution."""
    channels = autoencoder.channels
    x = convolution(outside, "encoder.conv_in", pixels, channels[0])
    for stage, size in enumerate(channels):
        block = Block(outside.builder, outside.precision, f"encoder.down_blocks.{stage}")
        for layer in range(autoencoder.layers):
            x = residual_block(block, f"resnets.{layer}", x, size)
        if stage < len(channels) - 1:
            batch, _, height, width = block.shape(x)
            padded = block.copy("downsamplers.0.pad", "pad", (x,), (batch, size, height + 1, width + 1))
            x = convolution(block, "downsamplers.0.conv", padded, size, stride=2, padding=0)
    x = _middle(outside, "encoder", autoencoder, x)
    moments = 2 * autoencoder.latent_channels
    x = norm_and_convolution(outside, "encoder.conv_norm_out", "encoder.conv_out", x, moments)
    if autoencoder.quantized:
        x = convolution(outside, "quant_conv", x, moments, kernel=1)
    batch, _, height, width = outside.shape(x)
    half = (batch, autoencoder.latent_channels, height, width)
    return outside.view("moments", x, mean=half, log_variance=half)[0]


def _decode(outside: Block, autoencoder: Autoencoder, x: str) -> str:
    if autoencoder.post_quantized:
        x = convolution(outside, "post_quant_conv", x, autoencoder.latent_channels, kernel=1)
    x = convolution(outside, "decoder.conv_in", x, autoencoder.channels[-1])
    x = _middle(outside, "decoder", autoencoder, x)
    last = len(autoencoder.channels) - 1
    for stage, size in enumerate(reversed(autoencoder.channels)):
        block = Block(outside.builder, outside.precision, f"decoder.up_blocks.{stage}")
        for layer in range(autoencoder.layers + 1):
            x = residual_block(block, f"resnets.{layer}", x, size)
        if stage < last:
            *_, height, width = block.shape(x)
            x = upsample(block, "upsamplers.0", x, 2 * height, 2 * width)
    return norm_and_convolution(outside, "decoder.conv_norm_out", "decoder.conv_out", x, autoencoder.out_channels)


def _middle(outside: Block, name: str, autoencoder: Autoencoder, x: str) -> str:
    block = Block(outside.builder, outside.precision, f"{name}.mid_block")
    x = residual_block(block, "resnets.0", x, autoencoder.channels[-1])
    if autoencoder.attention:
        x = _attention(block, "attentions.0", x)
    return residual_block(block, "resnets.1", x, autoencoder.channels[-1])


def _attention(block: Block, name: str, x: str) -> str:
    """Attention with one head among all pixels of x [B, C, height, width]."""
    batch, channels, height, width = block.shape(x)
    (rows,) = block.view(f"{name}.pixels", group_norm(block, f"{name}.group_norm", x),
                         out=(batch, height * width, channels))  # fmt: skip
    size = int_dim(channels)
    parts = [_biased_apart(block, f"{name}.{part}", rows, size) for part in ("to_q", "to_k", "to_v")]
    mixed = block.linear(f"{name}.to_out", attention_core(block, name, parts, 1), size, bias=True)
    added = block.pointwise(f"{name}.add", "add", (mixed, x), block.shape(x))
    return block.pointwise(f"{name}.rescale", "div", (added,))


def _biased_apart(block: Block, name: str, rows: str, size: int) -> str:
    """A linear layer of rows that lie in memory column by column: torch multiplies them as they are, then adds."""
    product = block.linear(name, rows, size)
    return block.pointwise(f"{name}.add_bias", "add", (product, block.weight(f"{name}.bias", (size,))))
