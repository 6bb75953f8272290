"""Encoders as one graph, phase `forward`: text encoders (BERT and its kin, CLIP's) and vision transformers.

Symbols: `batch`, and `tokens` for text; the number of an image's patches is a number.

May import: errors, types, builder, config_fields, quantization_config, transformer_*, vision_*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder import BATCH, TOKENS, Logits, count_parameters
from perfmodel.graphs.decoder_configs import ACTIVATIONS
from perfmodel.graphs.decoder_dialects import LAYER_NORM
from perfmodel.graphs.quantization_config import Quantization
from perfmodel.graphs.transformer_block import Block, Phase, Precision, Stream
from perfmodel.graphs.transformer_layers import LayerKind, add_layers, attention_of, group_layers
from perfmodel.graphs.transformer_settings import (
    Attention,
    Encoder,
    FeedForward,
    Layer,
    Structure,
    VisionEncoder,
)
from perfmodel.graphs.vision_configs import read_vision_encoder
from perfmodel.graphs.vision_tower import add_vision_encoder, finish_vision_encoder, first_token
from perfmodel.types import Graph, Model

_AFTER = Structure(norm=LAYER_NORM, placement="after")
_BEFORE = Structure(norm=LAYER_NORM)


def encoder_model(
    encoder: Encoder | VisionEncoder,
    precision: Precision,
    quantization: Quantization | None,
    *,
    name: str,
    source: str,
    notes: Sequence[str],
    logits: Logits = "last",
) -> Model:
    """The model of an encoder.

    Args:
        logits: "all" for a BERT with the head it is pretrained with: logits over the vocabulary for every token.
    """
    kinds = group_layers(encoder.layers, quantization)
    if isinstance(encoder, Encoder):
        graph = text_graph(encoder, precision, kinds, f"{name} forward", source, logits)
    else:
        graph = _vision_graph(encoder, precision, kinds, f"{name} forward", source)
    attention = attention_of(encoder.layers)
    assert attention is not None
    parameters = count_parameters(graph)
    facts: dict[str, Any] = {
        "layers": len(encoder.layers),
        "hidden_size": encoder.hidden,
        "heads": attention.heads,
        "head_size": attention.head_size,
        "active_parameters": parameters,
    }
    if isinstance(encoder, Encoder):
        facts["vocabulary"] = encoder.vocabulary
    else:
        facts |= {"image_size": list(encoder.image), "tokens": encoder.tokens}
    return Model(
        name=name,
        phases={"forward": graph},
        parameters=parameters,
        precision=quantization.precision if quantization else precision.activation,
        source=source,
        max_context=encoder.max_context if isinstance(encoder, Encoder) else 0,
        facts=facts,
        notes=tuple(notes),
    )


# -------------------------------------------------------------------------------------------------- the graphs


def text_graph(
    encoder: Encoder, precision: Precision, kinds: Sequence[LayerKind], name: str, source: str, logits: Logits = "last"
) -> Graph:
    """A text encoder's graph, with the symbols `batch` and `tokens`."""
    builder = GraphBuilder(name, source)
    block = Block(builder, precision)
    phase = Phase(BATCH, TOKENS, TOKENS, causal=encoder.causal, cached=False)
    shape = (BATCH, TOKENS)
    tables = (("embedding", "token_ids", encoder.vocabulary), ("positions", "position_ids", encoder.position_rows),
              ("types", "type_ids", encoder.type_rows))  # fmt: skip
    rows = [
        block.embedding(table, block.tensor(ids, shape, "input", "int64"), count, encoder.hidden)
        for table, ids, count in tables
        if count
    ]
    x = block.pointwise("add_embeddings", "add", rows)
    if encoder.embedding_norm:
        x = block.norm("embedding_norm", x, encoder.structure.norm)
    stream = add_layers(builder, precision, kinds, encoder.structure, x, phase)
    if encoder.final_norm:
        stream = Stream(block.add_and_norm("final_norm", stream, encoder.structure.norm)[0])
    if encoder.projection:
        block.linear("projection", first_token(block, stream.residual, encoder.hidden), encoder.projection)
    if encoder.pooler:
        first = first_token(block, stream.residual, encoder.hidden)
        block.pointwise("pooler_activation", "tanh", (block.linear("pooler", first, encoder.hidden, bias=True),))
    if logits == "all":
        _language_head(block, encoder, stream.residual)
    return builder.graph(("batch", "tokens"))


def _language_head(block: Block, encoder: Encoder, x: str) -> None:
    """Dense layer, activation and norm, then the token embedding's matrix."""
    x = block.linear("head.transform", x, encoder.hidden, bias=True)
    x = block.norm("head.norm", block.pointwise("head.activation", "gelu", (x,)), encoder.structure.norm)
    out = block.tensor("head.out", (*block.shape(x)[:-1], encoder.vocabulary))
    bias = block.weight("head.bias", (encoder.vocabulary,))
    block.op("head", "linear", (x, "embedding.weight", bias), (out,), {"keep": True})


def _vision_graph(
    encoder: VisionEncoder, precision: Precision, kinds: Sequence[LayerKind], name: str, source: str
) -> Graph:
    block = Block(GraphBuilder(name, source), precision)
    stream = add_vision_encoder(block, encoder, kinds)
    x = finish_vision_encoder(block, encoder, stream)
    if encoder.classes:
        block.linear("head", first_token(block, x, encoder.hidden), encoder.classes, bias=True, keep=True)
    elif encoder.pooler_size:
        pooled = block.linear("pooler", first_token(block, x, encoder.hidden), encoder.pooler_size, bias=True)
        block.pointwise("pooler_activation", "tanh", (pooled,))
    return block.builder.graph(("batch",))


def with_image_size(encoder: VisionEncoder, side: int) -> VisionEncoder:
    """The encoder on square images of another size; its position table is interpolated.

    Raises:
        ModelError: a size that patches do not fill.
    """
    if side < 1 or any(side % cut for cut in encoder.patch):
        raise ModelError(f"an image of {side} pixels cannot be cut into patches of {encoder.patch} pixels")
    return replace(encoder, image=(side, side))


# -------------------------------------------------------------------------------------------------- the configs


def _layers(fields: Fields, hidden: int, *, qkv_bias: bool = True) -> tuple[Layer, ...]:
    count = fields.size("num_hidden_layers", "n_layers", purpose="number of layers", high=MAX_LAYERS)
    heads = fields.size("num_attention_heads", "n_heads", purpose="number of heads")
    fields.get("tie_word_embeddings")  # of the pretraining head, which is not part of the encoder
    size = fields.size("intermediate_size", "hidden_dim", purpose="width of the feed-forward")
    if hidden % heads:
        fields.wrong(f"hidden_size ({hidden}) must be a multiple of num_attention_heads ({heads})")
    function = fields.choice("hidden_act", "activation", known=ACTIVATIONS, default="gelu")
    attention = Attention(heads=heads, kv_heads=heads, head_size=max(hidden // heads, 1), qkv_bias=qkv_bias,
                          output_bias=True, rotary=False)  # fmt: skip
    return (Layer(attention, FeedForward(size=size, gated=False, function=function, bias=True)),) * count


def _bert(fields: Fields, *, types: bool = True, pooler: bool = True) -> Encoder:
    hidden = fields.size("hidden_size", "dim", purpose="width of the residual stream")
    rows = fields.size("max_position_embeddings", purpose="rows of the learned position table")
    return Encoder(
        hidden=hidden,
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding"),
        layers=_layers(fields, hidden),
        structure=_AFTER,
        position_rows=rows,
        type_rows=fields.size("type_vocab_size", default=2, low=0) if types else 0,
        pooler=pooler,
        max_context=rows,
    )


def _roberta(fields: Fields) -> Encoder:
    encoder = _bert(fields)
    return replace(encoder, max_context=max(encoder.position_rows - 2, 1))  # two rows are for padding


def _clip_text(fields: Fields) -> Encoder:
    encoder = _bert(fields, types=False, pooler=False)
    projected = any("WithProjection" in name for name in _architectures(fields))
    width = fields.size("projection_dim", default=512)
    return replace(encoder, structure=_BEFORE, causal=True, embedding_norm=False, final_norm=True,
                   projection=width if projected else 0)  # fmt: skip


def _vit(fields: Fields, extra_tokens: int = 1) -> VisionEncoder:
    hidden = fields.size("hidden_size", purpose="width of the residual stream")
    image, patch = (_pair(fields, name, purpose) for name, purpose in (
        ("image_size", "pixels of an image's side"), ("patch_size", "pixels of a patch's side")))  # fmt: skip
    if any(side % cut for side, cut in zip(image, patch, strict=True)):
        fields.wrong(f"image_size {image} must be a multiple of patch_size {patch}")
    names = fields.get("id2label")
    listed = len(names) if isinstance(names, Mapping | list) else 0
    classified = any("Classification" in name for name in _architectures(fields))
    classifies = fields.has("num_labels", "id2label") or classified
    pooler = 0 if classifies else fields.size("pooler_output_size", default=hidden)
    return VisionEncoder(
        hidden=hidden,
        layers=_layers(fields, hidden, qkv_bias=fields.flag("qkv_bias", default=True)),
        structure=_BEFORE,
        image=image,
        patch=patch,
        position_rows=(image[0] // patch[0]) * (image[1] // patch[1]) + extra_tokens,
        channels=fields.size("num_channels", default=3),
        extra_tokens=extra_tokens,
        classes=fields.size("num_labels", default=listed or 2) if classifies else 0,
        pooler_size=pooler,
    )


def _architectures(fields: Fields) -> tuple[str, ...]:
    """Names of the classes a checkpoint was saved from."""
    names = fields.get("architectures")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _pair(fields: Fields, name: str, purpose: str) -> tuple[int, int]:
    value = fields.get(name)
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return value[0], value[1]
    side = fields.size(name, purpose=purpose)
    return side, side


ENCODERS: Mapping[str, Callable[[Fields], Encoder | VisionEncoder]] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "distilbert": lambda fields: _bert(fields, types=False, pooler=False),
    "clip_text_model": _clip_text,
    "vit": _vit,
    "deit": lambda fields: _vit(fields, extra_tokens=2),
    "clip_vision_model": lambda fields: read_vision_encoder(fields, "clip_vision_model"),
    "siglip_vision_model": lambda fields: read_vision_encoder(fields, "siglip_vision_model"),
    "dinov2": lambda fields: read_vision_encoder(fields, "dinov2"),
}
