"""Diffusion transformers in which text and image attend jointly (SD3's MMDiT, FLUX): configs and one evaluation.

    double layers  text and image have weights of their own and share one attention (arXiv 2403.03206, section 4)
    single layers  text and image are one sequence; attention and feed-forward run side by side (FLUX)

May import: builder, config_fields, diffusion_blocks, transformer_block, transformer_settings, types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.diffusion_blocks import (
    PLAIN_NORM,
    Evaluation,
    attention_core,
    feed_forward,
    gated_add,
    modulate,
    modulated_norm,
    modulation,
    patchify,
    timestep_embedding,
    two_layers,
    unpatchify,
)
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.sizes import Dim
from perfmodel.types import Graph

_MAX_LAYERS = 1000  # of SD3: layers that take turns in kind are ops of their own
FLUX_SAMPLE_SIZE = 128  # latents of an image's side: the files of FLUX do not say, its pipeline does
_ANGLE_KERNELS = 48  # that compute cosines and sines of all positions, anew in every step
FLUX_PACK = 2  # latents of 2 x 2 are packed into channels before the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTransformer:
    """A transformer over text and image together.

    Args:
        in_channels, out_channels: of a latent (SD3) or of 2 x 2 packed ones (FLUX). patch: 1 where they are packed.
        double, single: layers of each kind. dual: double layers whose image also attends to itself alone (SD3.5).
        text, pooled: widths of the text's embeddings and of its pooled one.
        query_key_norm, rotary: in attention. fused_norm: that norm is one kernel.
        guidance: an embedded guidance scale. guided: pipelines evaluate with and without the text.
        last_text: the last double layer still updates the text.
    """

    sample_size: int
    in_channels: int
    out_channels: int
    patch: int
    hidden: int
    heads: int
    double: int
    single: int
    text: int
    pooled: int
    query_key_norm: bool
    fused_norm: bool
    rotary: bool
    guidance: bool
    guided: bool
    last_text: bool
    dual: frozenset[int] = frozenset()
    factor: int = 2

    @property
    def packed(self) -> bool:
        """Whether latents come as a sequence [B, S, C] already."""
        return self.patch == 1


def read_sd3(fields: Fields) -> JointTransformer:
    """The settings of an SD3Transformer2DModel config; mistakes are left in `fields`."""
    heads, in_channels = _heads(fields), fields.size("in_channels", purpose="channels of the latents")
    hidden = heads * fields.size("attention_head_dim", purpose="size of a head")
    if fields.size("caption_projection_dim", default=hidden) != hidden:
        fields.wrong(f"caption_projection_dim must be the hidden size {hidden}")
    fields.get("pos_embed_max_size")  # rows of a fixed table, of which an image takes a part
    patch = fields.size("patch_size", purpose="latents of a patch's side", low=2)
    return JointTransformer(
        sample_size=fields.size("sample_size", purpose="latents of an image's side"),
        in_channels=in_channels,
        out_channels=fields.size("out_channels", default=in_channels),
        patch=patch,
        hidden=hidden,
        heads=heads,
        double=fields.size("num_layers", purpose="number of layers", high=_MAX_LAYERS),
        single=0,
        text=fields.size("joint_attention_dim", purpose="width of the text's embeddings"),
        pooled=fields.size("pooled_projection_dim", purpose="width of the pooled text"),
        query_key_norm=bool(fields.choice("qk_norm", known={"rms_norm": "rms"}, default="")),
        fused_norm=False,
        rotary=False,
        guidance=False,
        guided=True,
        last_text=False,
        dual=fields.indices("dual_attention_layers"),
        factor=patch,
    )


def read_flux(fields: Fields) -> JointTransformer:
    """The settings of a FluxTransformer2DModel config; mistakes are left in `fields`."""
    heads, in_channels = _heads(fields), fields.size("in_channels", purpose="channels of 2 x 2 packed latents")
    fields.get("axes_dims_rope", "patch_size")  # how a head's channels are shared out among positions; always 1
    return JointTransformer(
        sample_size=FLUX_SAMPLE_SIZE,
        in_channels=in_channels,
        out_channels=fields.size("out_channels", default=in_channels),
        patch=1,
        hidden=heads * fields.size("attention_head_dim", purpose="size of a head"),
        heads=heads,
        double=fields.size("num_layers", purpose="number of double layers", high=MAX_LAYERS),
        single=fields.size("num_single_layers", purpose="number of single layers", high=MAX_LAYERS),
        text=fields.size("joint_attention_dim", purpose="width of the text's embeddings"),
        pooled=fields.size("pooled_projection_dim", purpose="width of the pooled text"),
        query_key_norm=True,
        fused_norm=True,
        rotary=True,
        guidance=fields.flag("guidance_embeds"),
        guided=False,
        last_text=True,
        factor=FLUX_PACK,
    )


def _heads(fields: Fields) -> int:
    return fields.size("num_attention_heads", purpose="number of heads")


def joint_transformer_graph(
    model: JointTransformer, step: Evaluation, precision: Precision, *, name: str, source: str
) -> Graph:
    """One evaluation: noise from latents, timestep, text [B, T, width] and pooled text."""
    builder = GraphBuilder(name, source)
    outside = Block(builder, precision)
    image = _image(outside, model, step)
    condition = _condition(outside, model, step)
    captions = outside.tensor("text", (step.batch, step.text_tokens, model.text), "input")
    text = outside.linear("context_embedder", captions, model.hidden, bias=True)
    for number, (dual, last, repeat) in enumerate(_kinds(model)):
        block = Block(builder, precision, f"transformer_blocks{f'_{number}' if number else ''}", repeat)
        text, image = _double_layer(block, model, text, image, condition, dual=dual, last=last)
    if model.single:
        block = Block(builder, precision, "single_transformer_blocks", model.single)
        image = _single_layers(block, model, text, image, condition)
    scale, shift = modulation(outside, "norm_out", condition, model.hidden, 2)
    x = modulated_norm(outside, "norm_out", image, shift, scale)
    x = outside.linear("proj_out", x, model.patch**2 * model.out_channels, bias=True)
    if not model.packed:
        unpatchify(outside, x, step, model.out_channels)
    return builder.graph(("batch",))


def _kinds(model: JointTransformer) -> list[tuple[bool, bool, int]]:
    """(dual, last without text, how many) of the double layers, neighbours alike together."""
    last = model.double - 1
    layers = [(index in model.dual, index == last and not model.last_text) for index in range(model.double)]
    return [(*kind, len(list(members))) for kind, members in groupby(layers)]


def _image(block: Block, model: JointTransformer, step: Evaluation) -> str:
    if not model.packed:
        x = patchify(block, step, model.in_channels, model.patch, model.hidden)
        return block.copy("pos_embed.contiguous", "contiguous", (x,), block.shape(x))
    tokens = (step.height // FLUX_PACK) * (step.width // FLUX_PACK)
    packed = block.tensor("latents", (step.batch, tokens, model.in_channels), "input")
    positions = block.tensor("position_ids", (step.text_tokens + tokens, 3), "input", "fp32")
    angles = block.tensor("pos_embed.out", (step.text_tokens + tokens, model.hidden // model.heads), dtype="fp32")
    block.op("pos_embed", "pointwise", (positions,), (angles,), {"function": "sin", "launches": _ANGLE_KERNELS})
    return block.linear("x_embedder", packed, model.hidden, bias=True)


def _condition(block: Block, model: JointTransformer, step: Evaluation) -> str:
    """Timestep, guidance scale and pooled text as one vector [B, D]."""
    name, hidden = "time_text_embed", model.hidden
    condition = timestep_embedding(block, f"{name}.timestep_embedder", step.batch, hidden)
    if model.guidance:
        guidance = timestep_embedding(block, f"{name}.guidance_embedder", step.batch, hidden)
        condition = block.pointwise(f"{name}.guided", "add", (condition, guidance))
    pooled = block.tensor("pooled_text", (step.batch, model.pooled), "input")
    projected = two_layers(block, f"{name}.text_embedder", pooled, hidden, "silu", hidden)
    return block.pointwise(f"{name}.add", "add", (condition, projected))


# ------------------------------------------------------------------------------------------------------ layers


def _double_layer(
    block: Block, model: JointTransformer, text: str, image: str, condition: str, *, dual: bool, last: bool
) -> tuple[str, str]:
    """Text and image after a layer with weights for each; `last`: the text is needed for attention alone."""
    shift, scale, gate, *more = modulation(block, "norm1", condition, model.hidden, 9 if dual else 6)
    normed = block.norm("norm1.norm", image, PLAIN_NORM)
    text_parts = modulation(block, "norm1_context", condition, model.hidden, 2 if last else 6)
    text_shift, text_scale = text_parts[:2]
    mixed = _joint_attention(
        block,
        model,
        modulate(block, "norm1", normed, shift, scale),
        modulated_norm(block, "norm1_context", text, text_shift, text_scale),
        last=last,
    )
    image = gated_add(block, "attn", image, gate, mixed[0])
    if dual:
        alone = _attention(block, model, "attn2", modulate(block, "norm1.dual", normed, more[3], more[4]))
        out = block.linear("attn2.to_out", alone, model.hidden, bias=True)
        image = gated_add(block, "attn2", image, more[5], out)
    image = _feed(block, "ff", "norm2", image, more[:3])
    if last:
        return text, image
    text = gated_add(block, "attn_context", text, text_parts[2], mixed[1])
    return _feed(block, "ff_context", "norm2_context", text, text_parts[3:]), image


def _feed(block: Block, name: str, norm: str, x: str, parts: Sequence[str]) -> str:
    shift, scale, gate = parts
    return gated_add(block, name, x, gate, feed_forward(block, name, modulated_norm(block, norm, x, shift, scale)))


def _joint_attention(block: Block, model: JointTransformer, image: str, text: str, *, last: bool) -> list[str]:
    """Attention over text and image as one sequence; the image's and (unless `last`) the text's part of the output."""
    sets = [
        _projected(block, model, "attn", image, ("to_q", "to_k", "to_v"), "norm_{}"),
        _projected(block, model, "attn", text, ("add_q_proj", "add_k_proj", "add_v_proj"), "norm_added_{}"),
    ]
    image_tokens, text_tokens = block.shape(image)[1], block.shape(text)[1]
    parts = []
    for letter, first, second in zip("qkv", *sets, strict=True):
        batch, _, *rest = block.shape(first)
        shape = (batch, text_tokens + image_tokens, *rest)
        parts.append(block.copy(f"attn.join_{letter}", "concat", (second, first), shape))
    mixed = _core(block, model, "attn", parts)
    batch, _, hidden = block.shape(mixed)
    text_out, image_out = block.view("attn.split", mixed, text=(batch, text_tokens, hidden),
                                     image=(batch, image_tokens, hidden))  # fmt: skip
    outputs = [block.linear("attn.to_out", image_out, model.hidden, bias=True)]
    return outputs if last else [*outputs, block.linear("attn.to_add_out", text_out, model.hidden, bias=True)]


def _single_layers(block: Block, model: JointTransformer, text: str, image: str, condition: str) -> str:
    """Layers over text and image as one sequence; each joins the two anew. What the image has become."""
    batch, image_tokens, hidden = block.shape(image)
    text_tokens = block.shape(text)[1]
    tokens = text_tokens + image_tokens
    x = block.copy("join", "concat", (text, image), (batch, tokens, hidden))
    shift, scale, gate = modulation(block, "norm", condition, model.hidden, 3)
    normed = modulated_norm(block, "norm", x, shift, scale)
    inner = 4 * model.hidden
    fed = block.pointwise("act_mlp", "gelu_tanh", (block.linear("proj_mlp", normed, inner, bias=True),))
    mixed = _attention(block, model, "attn", normed)
    joined = block.copy("join_branches", "concat", (mixed, fed), (batch, tokens, model.hidden + inner))
    x = gated_add(block, "out", x, gate, block.linear("proj_out", joined, model.hidden, bias=True))
    return block.view("split", x, text=(batch, text_tokens, hidden), image=(batch, image_tokens, hidden))[1]


def _attention(block: Block, model: JointTransformer, name: str, x: str) -> str:
    """Attention of one sequence to itself, before its output projection."""
    return _core(block, model, name, _projected(block, model, name, x, ("to_q", "to_k", "to_v"), "norm_{}"))


def _projected(block: Block, model: JointTransformer, name: str, x: str, parts: Sequence[str], norm: str) -> list[str]:
    """Queries, keys and values of a sequence; the first two normalised per head where the model does so."""
    made = [block.linear(f"{name}.{part}", x, model.hidden, bias=True) for part in parts]
    if not model.query_key_norm:
        return made
    heads = [
        block.view(f"{name}.{part}.heads", y, out=_by_head(block, y, model))[0]
        for part, y in zip(parts, made, strict=True)
    ]
    norm_of = _rms if model.fused_norm else _rms_in_pieces
    normed = [norm_of(block, f"{name}.{norm.format(letter)}", y) for letter, y in zip("qk", heads, strict=False)]
    return [*normed, heads[2]]


def _by_head(block: Block, x: str, model: JointTransformer) -> tuple[Dim, ...]:
    batch, tokens, _ = block.shape(x)
    return (batch, tokens, model.heads, model.hidden // model.heads)


def _rms(block: Block, name: str, x: str) -> str:
    """A root-mean-square norm over a head's channels, as the one kernel of torch.nn.RMSNorm."""
    weight = block.weight(f"{name}.weight", (block.shape(x)[-1],))
    y = block.tensor(f"{name}.out", block.shape(x))
    block.op(name, "normalization", (x, weight), (y,), {"function": "rms", "launches": 1})
    return y


def _rms_in_pieces(block: Block, name: str, x: str) -> str:
    """The same norm as diffusers' own module computes it: kernel by kernel, in fp32."""
    shape = block.shape(x)
    rows = (*shape[:-1], 1)

    def step(part: str, kind: str, function: str, inputs: tuple[str, ...], out: tuple[Dim, ...], dtype: str) -> str:
        y = block.tensor(f"{name}.{part}.out", out, dtype=dtype)
        block.op(f"{name}.{part}", kind, inputs, (y,), {"function": function})
        return y

    wide = step("widen", "copy", "cast", (x,), shape, "fp32")
    squares = step("square", "pointwise", "pow", (wide,), shape, "fp32")
    mean = step("mean", "reduce", "mean", (squares,), rows, "fp32")
    root = step(
        "root", "pointwise", "rsqrt", (step("epsilon", "pointwise", "add", (mean,), rows, "fp32"),), rows, "fp32"
    )
    scaled = step("scale", "pointwise", "mul", (x, root), shape, "fp32")
    narrow = step("narrow", "copy", "cast", (scaled,), shape, "")
    return step("weigh", "pointwise", "mul", (narrow, block.weight(f"{name}.weight", (shape[-1],))), shape, "")


def _core(block: Block, model: JointTransformer, name: str, parts: Sequence[str]) -> str:
    if model.rotary:
        parts = [
            *(_rotate(block, f"{name}.rotate_{letter}", x) for letter, x in zip("qk", parts, strict=False)),
            parts[2],
        ]
    return attention_core(block, name, parts, model.heads)


def _rotate(block: Block, name: str, x: str) -> str:
    """x·cos + rotated·sin in fp32, kernel by kernel: x [B, S, H, C], angles [S, C]."""
    shape = block.shape(x)
    half = (*shape[:-1], shape[-1] // 2)
    odd, even = block.view(f"{name}.halves", x, odd=half, even=half)
    swapped = block.copy(f"{name}.swap", "concat", (block.pointwise(f"{name}.neg", "neg", (odd,)), even), shape)
    products = []
    for wave, y in (("cos", x), ("sin", swapped)):
        wide = block.tensor(f"{name}.{wave}.wide", shape, dtype="fp32")
        block.op(f"{name}.{wave}.cast", "copy", (y,), (wide,), {"function": "cast"})
        angles = block.tensor(f"{name}.{wave}.angles", (shape[1], shape[3]), "input", "fp32")
        products.append(block.tensor(f"{name}.{wave}.out", shape, dtype="fp32"))
        block.op(f"{name}.{wave}", "pointwise", (wide, angles), (products[-1],), {"function": "mul"})
    total = block.tensor(f"{name}.sum", shape, dtype="fp32")
    block.op(f"{name}.add", "pointwise", products, (total,), {"function": "add"})
    return block.copy(f"{name}.cast", "cast", (total,), shape)
