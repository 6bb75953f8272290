"""What every denoiser is made of: timestep embeddings, modulation by a condition, attention, feed-forwards, patches.

Kernels are those the diffusers library starts eagerly: queries, keys and values by one matrix each, a norm and an
addition apart. Names of ops and weights are those of its modules. Letters: B batch, S tokens, D hidden size.

May import: sizes, transformer_block, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.graphs.transformer_block import Block
from perfmodel.graphs.transformer_settings import Norm
from perfmodel.sizes import Dim

PLAIN_NORM = Norm("layer", weight=False)
TIMESTEP_CHANNELS = 256  # sines and cosines of a timestep, in all diffusion transformers
_SINUSOID_KERNELS = 11  # frequencies, angles, sine, cosine, two concatenations, a cast: all of them tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one evaluation of a denoiser runs over.

    Args:
        batch: latent images, twice as many as images with classifier-free guidance. height, width: of a latent image.
        text_tokens: of the condition that a pipeline passes in.
    """

    batch: Dim
    height: int
    width: int
    text_tokens: int


# ------------------------------------------------------------------------------------------------- conditions


def timestep_embedding(block: Block, name: str, rows: Dim, size: int, channels: int = TIMESTEP_CHANNELS) -> str:
    """Sines and cosines [rows, channels] of numbers (a timestep, a size), then two layers to [rows, size]."""
    waves = sinusoid(block, f"{name}.sinusoid", rows, channels)
    return two_layers(block, name, waves, size, "silu", size)


def sinusoid(block: Block, name: str, rows: Dim, channels: int) -> str:
    """Sines and cosines [rows, channels] of as many numbers."""
    numbers = block.tensor(f"{name}.numbers", (rows,), "input", "fp32")
    waves = block.tensor(f"{name}.out", (rows, channels))
    block.op(name, "pointwise", (numbers,), (waves,), {"function": "sin", "launches": _SINUSOID_KERNELS})
    return waves


def two_layers(block: Block, name: str, x: str, inner: int, function: str, out: int) -> str:
    """Two linear layers with biases around an activation function."""
    activated = block.pointwise(f"{name}.act", function, (block.linear(f"{name}.linear_1", x, inner, bias=True),))
    return block.linear(f"{name}.linear_2", activated, out, bias=True)


def modulation(block: Block, name: str, condition: str, hidden: int, count: int) -> tuple[str, ...]:
    """`count` vectors [B, D] of shifts, scales and gates, projected from the condition (AdaLN, arXiv 2212.09748)."""
    activated = block.pointwise(f"{name}.silu", "silu", (condition,))
    return chunks(block, f"{name}.chunk", block.linear(f"{name}.linear", activated, count * hidden, bias=True), count)


def chunks(block: Block, name: str, x: str, count: int) -> tuple[str, ...]:
    """x [B, count·D] or [B, count, D] as `count` vectors [B, 1, D]."""
    shape = block.shape(x)
    width = shape[-1] if len(shape) == 3 else shape[-1] // count
    return block.view(name, x, **{f"part_{place}": (shape[0], 1, width) for place in range(count)})


def modulate(block: Block, name: str, x: str, shift: str, scale: str) -> str:
    """x·(1 + scale) + shift."""
    more = block.pointwise(f"{name}.one", "add", (scale,))
    scaled = block.pointwise(f"{name}.scale", "mul", (x, more))
    return block.pointwise(f"{name}.shift", "add", (scaled, shift))


def modulated_norm(block: Block, name: str, x: str, shift: str, scale: str) -> str:
    """A layer norm without weights of its own, modulated."""
    return modulate(block, name, block.norm(f"{name}.norm", x, PLAIN_NORM), shift, scale)


def gated_add(block: Block, name: str, residual: str, gate: str, branch: str) -> str:
    """residual + gate·branch."""
    gated = block.pointwise(f"{name}.gate", "mul", (branch, gate))
    return block.pointwise(f"{name}.add", "add", (residual, gated))


# --------------------------------------------------------------------------------------------------- branches


def attend(block: Block, name: str, x: str, heads: int, context: str = "", *, bias: bool = False) -> str:
    """Attention of x [B, S, D] to itself, or to a context [B, T, C], with the output's rescaling."""
    hidden = int_dim(block.shape(x)[-1])
    origins = {"to_q": x, "to_k": context or x, "to_v": context or x}
    parts = [block.linear(f"{name}.{part}", origin, hidden, bias=bias) for part, origin in origins.items()]
    mixed = attention_core(block, name, parts, heads)
    return block.pointwise(f"{name}.rescale", "div", (block.linear(f"{name}.to_out", mixed, hidden, bias=True),))


def attention_core(block: Block, name: str, parts: Sequence[str], heads: int) -> str:
    """Queries, keys and values [B, S, D] -> [B, S, D]."""
    split: list[str] = []
    for part, x in zip(("query", "key", "value"), parts, strict=True):
        batch, tokens, *width = block.shape(x)
        size = width[-1] if len(width) == 2 else width[-1] // heads
        split.extend(block.view(f"{name}.{part}", x, heads=(batch, heads, tokens, size)))
    shape = block.shape(split[0])
    out = block.tensor(f"{name}.core.out", shape)
    block.op(f"{name}.core", "attention", split, (out,), {"causal": False})
    return block.view(f"{name}.merge", out, out=(shape[0], shape[2], heads * int_dim(shape[3])))[0]


def feed_forward(block: Block, name: str, x: str, function: str = "gelu_tanh", times: int = 4) -> str:
    """Two linear layers to `times` the width and back; "geglu" gates one half of twice as many channels."""
    hidden = int_dim(block.shape(x)[-1])
    inner = times * hidden
    if function != "geglu":
        widened = block.pointwise(f"{name}.act", function, (block.linear(f"{name}.net.0", x, inner, bias=True),))
        return block.linear(f"{name}.net.2", widened, hidden, bias=True)
    both = block.linear(f"{name}.net.0", x, 2 * inner, bias=True)
    shape = (*block.shape(x)[:-1], inner)
    value, gate = block.view(f"{name}.split", both, value=shape, gate=shape)
    gated = block.pointwise(f"{name}.mul", "mul", (value, block.pointwise(f"{name}.gelu", "gelu", (gate,))))
    return block.linear(f"{name}.net.2", gated, hidden, bias=True)


# ----------------------------------------------------------------------------------------------------- patches


def patchify(block: Block, step: Evaluation, channels: int, patch: int, hidden: int) -> str:
    """Latents [B, C, height, width] cut into patches [B, S, D], positions added."""
    latents = block.tensor("latents", (step.batch, channels, step.height, step.width), "input")
    rows, columns = step.height // patch, step.width // patch
    weights = (
        block.weight("pos_embed.proj.weight", (hidden, channels, patch, patch)),
        block.weight("pos_embed.proj.bias", (hidden,)),
    )
    cut = block.tensor("pos_embed.proj.out", (step.batch, hidden, rows, columns))
    block.op("pos_embed.proj", "convolution", (latents, *weights), (cut,),
             {"stride": [patch, patch], "padding": [0, 0], "dilation": [1, 1], "groups": 1})  # fmt: skip
    positions = block.tensor("pos_embed.positions", (1, rows * columns, hidden), "input")
    return block.pointwise("pos_embed.add", "add", (cut, positions), (step.batch, rows * columns, hidden))


def unpatchify(block: Block, x: str, step: Evaluation, channels: int) -> str:
    """Patches [B, S, p·p·C] put together to latents [B, C, height, width]."""
    return block.copy("unpatchify", "copy", (x,), (step.batch, channels, step.height, step.width))


def int_dim(dim: Dim) -> int:
    """A dimension that is a number whatever the request."""
    assert isinstance(dim, int)
    return dim
