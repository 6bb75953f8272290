"""Diffusion transformers over one stream of patches (DiT, PixArt): their configs, and one evaluation as a graph.

    DiT     a class and the timestep modulate every layer (AdaLN-Zero, arXiv 2212.09748, section 3.2)
    PixArt  the timestep modulates every layer by one shared projection, the text comes by attention (arXiv 2310.00426)

In diffusers both are called Transformer2DModel in older files; `norm_type` says which. Every DiT layer keeps its own
embedding of timesteps and classes there, so that a checkpoint holds more parameters than the paper counts.

May import: builder, config_fields, diffusion_blocks, transformer_block, types.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.diffusion_blocks import (
    PLAIN_NORM,
    TIMESTEP_CHANNELS,
    Evaluation,
    attend,
    chunks,
    feed_forward,
    gated_add,
    modulate,
    modulated_norm,
    modulation,
    patchify,
    sinusoid,
    timestep_embedding,
    two_layers,
    unpatchify,
)
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.types import Graph

_NORMS = {"ada_norm_zero": "class", "ada_norm_single": "text"}
_ACTIVATIONS = {"gelu-approximate": "gelu_tanh", "gelu": "gelu", "geglu": "geglu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchTransformer:
    """A transformer over patches of latents.

    Args:
        classes: of the class condition (DiT), 0 for a text condition (PixArt). text: width of the text's embeddings.
        sizes: the image's resolution and aspect ratio join the timestep (PixArt at 1024 pixels).
    """

    sample_size: int
    in_channels: int
    out_channels: int
    patch: int
    hidden: int
    heads: int
    layers: int
    bias: bool
    function: str
    classes: int
    text: int
    sizes: bool
    guided: bool = True

    @property
    def factor(self) -> int:
        """Of which a latent image's side must be a multiple."""
        return self.patch


def read_patch_transformer(fields: Fields) -> PatchTransformer:
    """The settings of a DiT or PixArt config; mistakes are left in `fields`."""
    pixart = fields.get("_class_name") == "PixArtTransformer2DModel"
    condition = fields.choice("norm_type", known=_NORMS, default="text" if pixart else "class")
    heads = fields.size("num_attention_heads", purpose="number of heads")
    in_channels = fields.size("in_channels", purpose="channels of the latents")
    sample_size = fields.size("sample_size", purpose="latents of an image's side")
    hidden = heads * fields.size("attention_head_dim", purpose="size of a head")
    text = condition == "text"
    if text and fields.size("cross_attention_dim", default=hidden) != hidden:
        fields.wrong(f"cross_attention_dim must be the hidden size {hidden}")
    stated = fields.get("use_additional_conditions")
    fields.get("num_embeds_ada_norm")  # PixArt states it and does not use it
    return PatchTransformer(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=fields.size("out_channels", default=in_channels),
        patch=fields.size("patch_size", purpose="latents of a patch's side"),
        hidden=hidden,
        heads=heads,
        layers=fields.size("num_layers", purpose="number of layers", high=MAX_LAYERS),
        bias=fields.flag("attention_bias", default=True),
        function=fields.choice("activation_fn", known=_ACTIVATIONS, default="gelu_tanh"),
        classes=0 if text else fields.size("num_embeds_ada_norm", default=1000),
        text=fields.size("caption_channels", purpose="width of the text's embeddings") if text else 0,
        sizes=text and (sample_size == 128 if stated is None else fields.flag("use_additional_conditions")),
    )


def patch_transformer_graph(
    model: PatchTransformer, step: Evaluation, precision: Precision, *, name: str, source: str
) -> Graph:
    """One evaluation: noise from latents [B, C, height, width], timestep, and class or text."""
    builder = GraphBuilder(name, source)
    outside = Block(builder, precision)
    x = patchify(outside, step, model.in_channels, model.patch, model.hidden)
    layers = Block(builder, precision, "transformer_blocks", model.layers)
    x = (
        _class_layers(outside, layers, x, model, step)
        if model.classes
        else _text_layers(outside, layers, x, model, step)
    )
    unpatchify(outside, x, step, model.out_channels)
    return builder.graph(("batch",))


# --------------------------------------------------------------------------------------------------------- DiT


def _class_layers(outside: Block, layers: Block, x: str, model: PatchTransformer, step: Evaluation) -> str:
    classes = outside.tensor("classes", (step.batch,), "input", "int64")
    condition = timestep_embedding(layers, "norm1.emb.timestep_embedder", step.batch, model.hidden)
    label = layers.embedding("norm1.emb.class_embedder", classes, model.classes + 1, model.hidden)
    condition = layers.pointwise("norm1.emb.add", "add", (condition, label))
    shift, scale, gate, *feed = modulation(layers, "norm1", condition, model.hidden, 6)
    y = attend(layers, "attn1", modulated_norm(layers, "norm1", x, shift, scale), model.heads, bias=model.bias)
    x = gated_add(layers, "attn1", x, gate, y)
    y = feed_forward(layers, "ff", modulated_norm(layers, "norm3", x, feed[0], feed[1]), model.function)
    x = gated_add(layers, "ff", x, feed[2], y)
    activated = outside.pointwise("silu", "silu", (_first_condition(outside, layers, classes, model, step),))
    shift, scale = chunks(outside, "chunk", outside.linear("proj_out_1", activated, 2 * model.hidden, bias=True), 2)
    x = modulated_norm(outside, "norm_out", x, shift, scale)
    return outside.linear("proj_out_2", x, model.patch**2 * model.out_channels, bias=True)


def _first_condition(outside: Block, layers: Block, classes: str, model: PatchTransformer, step: Evaluation) -> str:
    """The condition once more for the output, by the first layer's weights."""
    shape = (step.batch, model.hidden)
    x = sinusoid(outside, "final_embedding.sinusoid", step.batch, TIMESTEP_CHANNELS)
    for part, function in (("linear_1", "silu"), ("linear_2", "")):
        weights = (layers.full(f"norm1.emb.timestep_embedder.{part}.{kind}") for kind in ("weight", "bias"))
        y = outside.tensor(f"final_embedding.{part}.out", shape)
        outside.op(f"final_embedding.{part}", "linear", (x, *weights), (y,))
        x = outside.pointwise("final_embedding.act", function, (y,)) if function else y
    label = outside.tensor("final_embedding.class.out", shape)
    outside.op(
        "final_embedding.class", "embedding", (classes, layers.full("norm1.emb.class_embedder.weight")), (label,)
    )
    return outside.pointwise("final_embedding.add", "add", (x, label))


# ------------------------------------------------------------------------------------------------------ PixArt


def _text_layers(outside: Block, layers: Block, x: str, model: PatchTransformer, step: Evaluation) -> str:
    hidden = model.hidden
    condition = _timestep_and_sizes(outside, model, step)
    activated = outside.pointwise("adaln_single.silu", "silu", (condition,))
    shared = outside.linear("adaln_single.linear", activated, 6 * hidden, bias=True)
    captions = outside.tensor("text", (step.batch, step.text_tokens, model.text), "input")
    text = two_layers(outside, "caption_projection", captions, hidden, "gelu_tanh", hidden)
    shift, scale, gate, *feed = _table(layers, shared, hidden, 6)
    y = attend(layers, "attn1", modulated_norm(layers, "norm1", x, shift, scale), model.heads, bias=model.bias)
    x = gated_add(layers, "attn1", x, gate, y)
    x = layers.pointwise("attn2.add", "add", (x, attend(layers, "attn2", x, model.heads, text, bias=model.bias)))
    y = feed_forward(layers, "ff", modulated_norm(layers, "norm2", x, feed[0], feed[1]), model.function)
    x = gated_add(layers, "ff", x, feed[2], y)
    shift, scale = _table(outside, condition, hidden, 2)
    x = modulate(outside, "norm_out", outside.norm("norm_out.norm", x, PLAIN_NORM), shift, scale)
    return outside.linear("proj_out", x, model.patch**2 * model.out_channels, bias=True)


def _table(block: Block, vectors: str, hidden: int, count: int) -> tuple[str, ...]:
    """`count` learned vectors added to projected ones (or to one that all share), and taken apart."""
    table = block.weight("scale_shift_table", (count, hidden))
    batch = block.shape(vectors)[0]
    return chunks(block, "chunk", block.pointwise("table", "add", (vectors, table), (batch, count, hidden)), count)


def _timestep_and_sizes(block: Block, model: PatchTransformer, step: Evaluation) -> str:
    condition = timestep_embedding(block, "adaln_single.emb.timestep_embedder", step.batch, model.hidden)
    if not model.sizes:
        return condition
    third = model.hidden // 3
    resolution = timestep_embedding(block, "adaln_single.emb.resolution_embedder", step.batch * 2, third)
    ratio = timestep_embedding(block, "adaln_single.emb.aspect_ratio_embedder", step.batch, third)
    joined = block.copy("adaln_single.emb.join", "concat", (resolution, ratio), (step.batch, 3 * third))
    return block.pointwise("adaln_single.emb.add", "add", (condition, joined))
