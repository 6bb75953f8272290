"""Encoder-decoder language models (T5 and its kin) as one graph, phase `forward`.

Symbols: `batch`, `tokens`: the encoder and the decoder both run over `tokens` tokens, as in training or scoring.
Generation token by token is not modelled. Positions are a learned bias per head and distance bucket, made once for the
encoder and once for the decoder and added to the scores inside attention.

May import: types, builder, config_fields, decoder, decoder_configs, quantization_config, transformer_*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder import BATCH, TOKENS, count_parameters
from perfmodel.graphs.transformer_block import Block, Precision, Stream
from perfmodel.graphs.transformer_layers import add_feed_forward
from perfmodel.graphs.transformer_settings import FeedForward, Norm
from perfmodel.types import Graph, Model

_FUNCTIONS = {
    "relu": (False, "relu"), "gelu": (False, "gelu"), "silu": (False, "silu"), "gated-gelu": (True, "gelu_tanh"),
    "gated-silu": (True, "silu"), "gated-relu": (True, "relu"),
}  # fmt: skip
_RMS = Norm("rms")
NOTE = "encoder and decoder both run over `tokens` tokens; generation token by token is not modelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDecoder:
    """An encoder-decoder model.

    Args:
        buckets: rows of the table of relative position biases. tied: the logits use the token embedding's matrix.
    """

    hidden: int
    vocabulary: int
    heads: int
    head_size: int
    encoder_layers: int
    decoder_layers: int
    channels: FeedForward
    buckets: int
    tied: bool


def read_t5(fields: Fields) -> EncoderDecoder:
    """The settings of a T5 config; mistakes are left in `fields`."""
    count = fields.size("num_layers", "num_hidden_layers", purpose="number of encoder layers", high=MAX_LAYERS)
    known = {word: word for word in _FUNCTIONS}
    gated, function = _FUNCTIONS[fields.choice("feed_forward_proj", known=known, default="relu")]
    # what the model_type says already, the length in training, restatements of feed_forward_proj
    fields.get("is_encoder_decoder", "n_positions", "is_gated_act", "dense_act_fn")
    return EncoderDecoder(
        hidden=fields.size("d_model", "hidden_size", purpose="width of the residual stream"),
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding and the logits"),
        heads=fields.size("num_heads", "num_attention_heads", purpose="number of heads"),
        head_size=fields.size("d_kv", "head_dim", purpose="size of a head"),
        encoder_layers=count,
        decoder_layers=fields.size("num_decoder_layers", default=count, high=MAX_LAYERS),
        channels=FeedForward(
            size=fields.size("d_ff", purpose="width of the feed-forward"), gated=gated, function=function
        ),
        buckets=fields.size("relative_attention_num_buckets", default=32),
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def encoder_decoder_model(
    settings: EncoderDecoder, precision: Precision, *, name: str, source: str, notes: Sequence[str]
) -> Model:
    """The model of an encoder-decoder."""
    builder = GraphBuilder(f"{name} forward", source)
    outside = Block(builder, precision)
    encoded = _stack(outside, settings, "encoder", settings.encoder_layers)
    x = _stack(outside, settings, "decoder", settings.decoder_layers, encoded)
    if settings.tied:
        out = outside.tensor("head.out", (BATCH, TOKENS, settings.vocabulary))
        outside.op("head", "linear", (x, "embedding.weight"), (out,), {"keep": True})
    else:
        outside.linear("head", x, settings.vocabulary, keep=True)
    graph = builder.graph(("batch", "tokens"))
    parameters = count_parameters(graph)
    facts: Mapping[str, Any] = {
        "layers": settings.encoder_layers + settings.decoder_layers,
        "hidden_size": settings.hidden,
        "heads": settings.heads,
        "head_size": settings.head_size,
        "vocabulary": settings.vocabulary,
        "tied_embeddings": settings.tied,
        "active_parameters": parameters,
    }
    return Model(
        name=name,
        phases={"forward": graph},
        parameters=parameters,
        precision=precision.activation,
        source=source,
        facts=facts,
        notes=(NOTE, *notes),
    )


def t5_encoder_graph(settings: EncoderDecoder, precision: Precision, *, name: str, source: str) -> Graph:
    """The encoder alone, as pipelines encode text with it; symbols `batch` and `tokens`."""
    builder = GraphBuilder(name, source)
    _stack(Block(builder, precision), settings, "encoder", settings.encoder_layers)
    return builder.graph(("batch", "tokens"))


def _stack(outside: Block, settings: EncoderDecoder, name: str, count: int, encoded: str = "") -> str:
    """All layers of the encoder, or of the decoder, which also attends to what the encoder made."""
    ids = outside.tensor(f"{name}_ids", (BATCH, TOKENS), "input", "int64")
    x = _lookup(outside, name, ids, settings)
    buckets = outside.tensor(f"{name}_distance_buckets", (TOKENS, TOKENS), "input", "int64")
    bias = outside.embedding(f"{name}_position_bias", buckets, settings.buckets, settings.heads)
    block = Block(outside.builder, outside.precision, f"{name}_layer", count)
    stream = Stream(x, x)  # as in every repeated block, the first norm is counted with an addition
    x, residual = block.add_and_norm("input_norm", stream, _RMS)
    mixed = _self_attention(block, x, bias, settings, causal=bool(encoded))
    if encoded:
        x, residual = block.add_and_norm("cross_norm", Stream(residual, mixed), _RMS)
        mixed = _cross_attention(block, x, encoded, settings)
    x, residual = block.add_and_norm("mlp_norm", Stream(residual, mixed), _RMS)
    fed = add_feed_forward(block, "mlp", x, settings.channels, settings.hidden)
    return outside.add_and_norm(f"{name}_final_norm", Stream(residual, fed), _RMS)[0]


def _lookup(outside: Block, name: str, ids: str, settings: EncoderDecoder) -> str:
    """Token embeddings; encoder and decoder share the table."""
    if "embedding.weight" not in outside.builder.tensors:
        outside.weight("embedding.weight", (settings.vocabulary, settings.hidden))
    x = outside.tensor(f"{name}_embedding.out", (BATCH, TOKENS, settings.hidden))
    outside.op(f"{name}_embedding", "embedding", (ids, "embedding.weight"), (x,))
    return x


def _self_attention(block: Block, x: str, bias: str, settings: EncoderDecoder, *, causal: bool) -> str:
    heads = (BATCH, settings.heads, TOKENS, settings.head_size)
    projected = block.linear("attention.qkv", x, 3 * settings.heads * settings.head_size)
    qkv = block.view("attention.split", projected, query=heads, key=heads, value=heads)
    out = block.tensor("attention.core.out", heads)
    block.op("attention.core", "attention", (*qkv, bias), (out,), {"causal": causal, "masked": True})
    return _output(block, "attention", out, settings)


def _cross_attention(block: Block, x: str, encoded: str, settings: EncoderDecoder) -> str:
    heads = (BATCH, settings.heads, TOKENS, settings.head_size)
    inner = settings.heads * settings.head_size
    (query,) = block.view("cross_attention.query_heads", block.linear("cross_attention.query", x, inner), out=heads)
    projected = block.linear("cross_attention.key_value", encoded, 2 * inner)
    key_value = block.view("cross_attention.split", projected, key=heads, value=heads)
    out = block.tensor("cross_attention.core.out", heads)
    block.op("cross_attention.core", "attention", (query, *key_value), (out,), {"causal": False})
    return _output(block, "cross_attention", out, settings)


def _output(block: Block, name: str, out: str, settings: EncoderDecoder) -> str:
    (merged,) = block.view(f"{name}.merge", out, out=(BATCH, TOKENS, settings.heads * settings.head_size))
    return block.linear(f"{name}.output", merged, settings.hidden)
