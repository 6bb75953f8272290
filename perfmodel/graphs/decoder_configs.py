"""From the fields of a config.json to the settings of a decoder.

All model_types are read alike here, under the names their fields go by; what a model_type implies without saying so
comes with its `Dialect`.

May import: config_fields, decoder_dialects, layer_patterns, transformer_settings.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder_dialects import Dialect
from perfmodel.graphs.layer_patterns import EXPERT_COUNTS, mixer_words, rotary_layers, sparse_layers
from perfmodel.graphs.transformer_settings import (
    Attention,
    Channels,
    Decoder,
    DeltaRule,
    FeedForward,
    Indexer,
    LatentAttention,
    Layer,
    Mixer,
    Mixture,
)

ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_python": "gelu", "relu": "relu", "relu2": "relu2", "quick_gelu": "silu",
    "tanh": "tanh",
}  # fmt: skip


def read_decoder(fields: Fields, dialect: Dialect) -> Decoder:
    """The settings of a decoder; mistakes are left in `fields`."""
    hidden = fields.size("hidden_size", "n_embd", "d_model", purpose="width of the residual stream")
    count = fields.size("num_hidden_layers", "n_layer", "n_layers", "num_layers", purpose="number of layers",
                        high=MAX_LAYERS)  # fmt: skip
    vocabulary = fields.size("vocab_size", purpose="rows of the token embedding and the logits")
    max_context = fields.size("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", default=0, low=0)
    mixers = _latent_mixers(fields, count) if dialect.latent else _mixers(fields, dialect, hidden, count)
    channels = _channels(fields, dialect, hidden, count)
    rows = 0
    if dialect.positions is not None:
        rows = dialect.positions + fields.size(
            "max_position_embeddings", "n_positions", purpose="rows of the learned position table"
        )
    return Decoder(
        hidden=hidden,
        vocabulary=vocabulary,
        layers=tuple(Layer(mixer, channel) for mixer, channel in zip(mixers, channels, strict=True)),
        structure=dialect.structure,
        tied=fields.flag("tie_word_embeddings", default=dialect.tied),
        head_bias=dialect.head_bias,
        position_rows=rows,
        embedding_size=dialect.embedding_size if dialect.embedding_size != hidden else 0,
        final_norm=dialect.final_norm,
        embedding_norm=dialect.embedding_norm,
        max_context=max_context,
    )


# ------------------------------------------------------------------------------------------------- token mixers


def _mixers(fields: Fields, dialect: Dialect, hidden: int, count: int) -> list[Mixer]:
    """The token mixer of every layer."""
    attention = read_attention(fields, dialect, hidden)
    window = fields.size("sliding_window", "attention_chunk_size", "window_size", default=0, low=0)
    if not fields.flag("use_sliding_window", default=True):
        window = 0
    words = mixer_words(fields, dialect, count, window)
    rotary = rotary_layers(fields, dialect, count)
    delta = _delta_rule(fields) if "linear" in words else None
    if window == 0 and ("sliding" in words or "chunked" in words):
        fields.size("sliding_window", purpose="keys a query sees in the layers that layer_types calls sliding")
    mixers: list[Mixer] = []
    for word, rotates in zip(words, rotary, strict=True):
        if word == "linear" and delta:
            mixers.append(delta)
            continue
        norm = "" if attention.query_key_norm == "bare" and not rotates else attention.query_key_norm
        mixers.append(
            replace(
                attention,
                rotary=rotates,
                query_key_norm=norm,
                window=window if word in ("sliding", "chunked") else 0,
                chunked=word == "chunked",
            )
        )
    return mixers


def read_attention(fields: Fields, dialect: Dialect, hidden: int) -> Attention:
    """Ordinary attention as a config states it."""
    heads = fields.size("num_attention_heads", "n_head", "n_heads", "num_heads", purpose="number of query heads")
    stated = fields.size("num_key_value_heads", "num_kv_heads", "n_head_kv", default=heads)
    kv_heads = dialect.kv_heads or stated
    if heads % kv_heads:
        fields.wrong(f"num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({kv_heads})")
    head_size = fields.size("head_dim", "d_kv", default=dialect.head_size)
    if not head_size:
        if hidden % heads:
            fields.wrong(
                f"hidden_size ({hidden}) must be a multiple of num_attention_heads ({heads}), or head_dim given"
            )
        head_size = max(hidden // heads, 1)
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        qkv_bias=dialect.qkv_bias,
        output_bias=dialect.output_bias,
        query_key_norm=dialect.query_key_norm,
        sinks=dialect.sinks,
        gated=dialect.output_gate,
    )


def _delta_rule(fields: Fields) -> DeltaRule:
    purpose = "linear attention"
    return DeltaRule(
        key_heads=fields.size("linear_num_key_heads", purpose=purpose),
        value_heads=fields.size("linear_num_value_heads", purpose=purpose),
        key_size=fields.size("linear_key_head_dim", purpose=purpose),
        value_size=fields.size("linear_value_head_dim", purpose=purpose),
        kernel=fields.size("linear_conv_kernel_dim", purpose=purpose),
    )


def _latent_mixers(fields: Fields, count: int) -> list[Mixer]:
    purpose = "latent attention"
    latent = LatentAttention(
        heads=fields.size("num_attention_heads", purpose="number of query heads"),
        query_rank=fields.size("q_lora_rank", default=0, low=0),
        latent_size=fields.size("kv_lora_rank", purpose=purpose),
        rotary_size=fields.size("qk_rope_head_dim", purpose=purpose),
        plain_size=fields.size("qk_nope_head_dim", purpose=purpose),
        value_size=fields.size("v_head_dim", purpose=purpose),
        bias=fields.flag("attention_bias"),
    )
    fields.get("num_key_value_heads", "head_dim", "layer_types")  # stated, and without a meaning here
    if not fields.has("index_topk"):
        return [latent] * count
    indexer = Indexer(
        heads=fields.size("index_n_heads", purpose="sparse attention"),
        head_size=fields.size("index_head_dim", purpose="sparse attention"),
        count=fields.size("index_topk", purpose="sparse attention"),
    )
    own = fields.per_layer("indexer_types", count, {"full": True, "shared": False}) or [True] * count
    return [replace(latent, indexer=replace(indexer, shared=not is_own)) for is_own in own]


# ------------------------------------------------------------------------------------------- feed-forwards


def _channels(fields: Fields, dialect: Dialect, hidden: int, count: int) -> list[Channels]:
    """The feed-forward or mixture of every layer."""
    function = fields.choice("hidden_act", "hidden_activation", "activation_function", "activation",
                             known=ACTIVATIONS, default=dialect.activation)  # fmt: skip
    sparse = sparse_layers(fields, dialect, count)
    dense = None
    if not all(sparse) or dialect.experts == "plain":
        dense = read_feed_forward(fields, dialect, hidden, function)
    has_experts = bool(dialect.experts) and fields.size(*EXPERT_COUNTS, default=1, low=0) > 0
    mixture = read_mixture(fields, dialect, dense, function) if has_experts else None
    fields.get("intermediate_size")  # stated even where every layer is a mixture
    dense_size = fields.size("intermediate_size_mlp", default=0, low=0)
    if dense and dense_size:
        dense = replace(dense, size=dense_size)
    channels = [mixture if is_sparse else dense for is_sparse in sparse]
    return [channel for channel in channels if channel is not None]


def read_feed_forward(fields: Fields, dialect: Dialect, hidden: int, function: str) -> FeedForward:
    """A dense feed-forward as a config states it."""
    names = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff")
    purpose = "width of the feed-forward"
    if dialect.width_factor:
        size = fields.size(*names, default=dialect.width_factor * hidden)
    else:
        size = fields.size(*names, purpose=purpose)
    return FeedForward(size=size, gated=dialect.gated, function=function, bias=dialect.mlp_bias)


def read_mixture(fields: Fields, dialect: Dialect, dense: FeedForward | None, function: str) -> Mixture:
    """A mixture of experts as a config states it; "plain" experts are like the dense feed-forward."""
    experts = fields.size(*EXPERT_COUNTS, purpose="number of experts")
    per_token = fields.size("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k",
                            purpose="experts that a token is sent to")  # fmt: skip
    if per_token > experts:
        fields.wrong(f"num_experts_per_tok ({per_token}) is more than there are experts ({experts})")
    if dialect.experts == "own":
        size = fields.size("moe_intermediate_size", purpose="width of an expert")
    else:
        size = dense.size if dense else 1
    shared = fields.size("shared_expert_intermediate_size", "shared_intermediate_size", default=0, low=0)
    shared = shared or size * fields.size(
        "n_shared_experts",
        "num_shared_experts",
        "moe_num_shared_experts",
        default=int(dialect.shared_like_expert),
        low=0,
    )
    return Mixture(
        experts=experts,
        per_token=min(per_token, experts),
        size=size,
        gated=dialect.gated,
        function=function,
        bias=dialect.expert_bias,
        router_bias=dialect.expert_bias,
        shared_size=shared,
        shared_gate=dialect.shared_gate and shared > 0,
    )
