"""Encoder-decoder models: their settings, and how each model_type's config states them.

To add a model_type: a reader, a line in `ENCODER_DECODERS`, and a case in tests/graphs/test_encoder_decoder.py.

May import: config_fields, decoder_configs, decoder_dialects, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder_configs import ACTIVATIONS
from perfmodel.graphs.decoder_dialects import LAYER_NORM
from perfmodel.graphs.transformer_settings import Channels, FeedForward, Mixture, Norm

_T5_FUNCTIONS = {
    "relu": (False, "relu"), "gelu": (False, "gelu"), "silu": (False, "silu"), "gated-gelu": (True, "gelu_tanh"),
    "gated-silu": (True, "silu"), "gated-relu": (True, "relu"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The encoder, or the decoder.

    Args:
        layers: the feed-forward or mixture of every layer. position_rows: of a table of absolute positions, 0 without.
    """

    layers: tuple[Channels, ...]
    heads: int
    head_size: int
    position_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A spectrogram in place of the encoder's tokens: two convolutions of width 3, the second with stride 2.

    Args:
        bins: mel bands. frames: of the window the encoder always runs over.
    """

    bins: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDecoder:
    """An encoder-decoder model.

    Args:
        norm_after: norms come after the addition of a branch, not before the branch.
        bias: linear layers have a bias; key_bias: those of keys, too.
        embedding_norm, final_norm: a norm after the embedding, and after the last layer.
        buckets: rows of the table of relative position biases, 0 without one. bucket_tables: each layer has its own.
        tied: the logits use the token embedding's matrix.
        audio: what the encoder hears; None for tokens.
        max_context: tokens the decoder was made for, 0 if nothing says so.
    """

    hidden: int
    vocabulary: int
    encoder: Stack
    decoder: Stack
    norm: Norm = LAYER_NORM
    norm_after: bool = False
    bias: bool = True
    key_bias: bool = True
    embedding_norm: bool = False
    final_norm: bool = True
    buckets: int = 0
    bucket_tables: bool = False
    tied: bool = True
    audio: Audio | None = None
    max_context: int = 0


# ------------------------------------------------------------------------------------------------------ T5 and its kin


def _t5(fields: Fields) -> EncoderDecoder:
    count = fields.size("num_layers", "num_hidden_layers", purpose="number of encoder layers", high=MAX_LAYERS)
    known = {word: word for word in _T5_FUNCTIONS}
    gated, function = _T5_FUNCTIONS[fields.choice("feed_forward_proj", known=known, default="relu")]
    # what the model_type says already, the length in training, restatements of feed_forward_proj
    fields.get("is_encoder_decoder", "is_decoder", "n_positions", "is_gated_act", "dense_act_fn")
    channels = FeedForward(size=fields.size("d_ff", purpose="width of the feed-forward"), gated=gated,
                           function=function)  # fmt: skip
    encoder = Stack(
        layers=(channels,) * count,
        heads=fields.size("num_heads", "num_attention_heads", purpose="number of heads"),
        head_size=fields.size("d_kv", "head_dim", purpose="size of a head"),
    )
    decoder_count = fields.size("num_decoder_layers", default=count, high=MAX_LAYERS)
    return EncoderDecoder(
        hidden=fields.size("d_model", "hidden_size", purpose="width of the residual stream"),
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding and the logits"),
        encoder=encoder,
        decoder=replace(encoder, layers=(channels,) * decoder_count),
        norm=Norm("rms"),
        bias=False,
        key_bias=False,
        buckets=fields.size("relative_attention_num_buckets", default=32),
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def _switch(fields: Fields) -> EncoderDecoder:
    """Switch Transformers: T5 with a mixture of experts, one expert a token, in some layers (arXiv 2101.03961)."""
    fields.get("expert_capacity", "router_ignore_padding_tokens", "router_type", "add_router_probs")
    plain = _t5(fields)
    dense = plain.encoder.layers[0]
    assert isinstance(dense, FeedForward)
    mixture = Mixture(
        experts=fields.size("num_experts", default=8), per_token=1, size=dense.size, gated=False,
        function=dense.function, router_bias=fields.flag("router_bias"),
    )  # fmt: skip

    def sparse(stack: Stack, which: str) -> Stack:
        count = len(stack.layers)
        chosen = fields.size(f"num_sparse_{which}_layers", default=3, low=0)
        step = fields.size(f"{which}_sparse_step", default=count // chosen if chosen else 0, low=0)
        return replace(
            stack,
            layers=tuple(mixture if step and (step == 1 or index % step == 1) else dense for index in range(count)),
        )

    return replace(plain, encoder=sparse(plain.encoder, "encoder"), decoder=sparse(plain.decoder, "decoder"))


# ---------------------------------------------------------------------------------------------------- BART and its kin


def _bart(fields: Fields, *, offset: int = 2, rows: bool = True) -> EncoderDecoder:
    """BART.

    Args:
        offset: rows of the position table beyond max_position_embeddings. rows: the table is a weight.
    """
    hidden = fields.size("d_model", "hidden_size", purpose="width of the residual stream")
    length = fields.size("max_position_embeddings", purpose="rows of the position table") if rows else 0
    function = fields.choice("activation_function", known=ACTIVATIONS, default="gelu")
    # restated, or of classification heads
    fields.get("num_hidden_layers", "is_encoder_decoder", "classif_dropout", "num_attention_heads", "hidden_size")
    return EncoderDecoder(
        hidden=hidden,
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding and the logits"),
        encoder=_stack(fields, "encoder", hidden, function, length + offset if rows else 0),
        decoder=_stack(fields, "decoder", hidden, function, length + offset if rows else 0),
        norm_after=True,
        embedding_norm=True,
        final_norm=False,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def _stack(fields: Fields, which: str, hidden: int, function: str, rows: int) -> Stack:
    count = fields.size(f"{which}_layers", purpose=f"number of {which} layers", high=MAX_LAYERS)
    heads = fields.size(f"{which}_attention_heads", purpose=f"number of {which} heads")
    if hidden % heads:
        fields.wrong(f"d_model ({hidden}) must be a multiple of {which}_attention_heads ({heads})")
    size = fields.size(f"{which}_ffn_dim", purpose=f"width of the {which}'s feed-forward")
    channels = FeedForward(size=size, gated=False, function=function, bias=True)
    return Stack(layers=(channels,) * count, heads=heads, head_size=max(hidden // heads, 1), position_rows=rows)


def _mbart(fields: Fields) -> EncoderDecoder:
    return replace(_bart(fields), norm_after=False, final_norm=True)


def _pegasus(fields: Fields, offset: int = 0) -> EncoderDecoder:
    return replace(_bart(fields, offset=offset), norm_after=False, final_norm=True, embedding_norm=False)


def _marian(fields: Fields) -> EncoderDecoder:
    fields.get("decoder_vocab_size")  # the same as vocab_size where the embedding is shared
    shared = fields.flag("share_encoder_decoder_embeddings", default=True)
    if not shared:
        fields.wrong("share_encoder_decoder_embeddings = false is not understood: only one table for both")
    return replace(_bart(fields, offset=0), embedding_norm=False)


def _m2m(fields: Fields) -> EncoderDecoder:
    fields.get("max_position_embeddings")  # its angles are computed, not looked up
    return replace(_bart(fields, rows=False), norm_after=False, final_norm=True, embedding_norm=False)


def _whisper(fields: Fields) -> EncoderDecoder:
    """Whisper (arXiv 2212.04356): the encoder always hears 30 s, of which two convolutions make 1500 positions."""
    hidden = fields.size("d_model", purpose="width of the residual stream")
    function = fields.choice("activation_function", known=ACTIVATIONS, default="gelu")
    positions = fields.size("max_source_positions", default=1500)
    longest = fields.size("max_target_positions", default=448)
    # restated, or of training and of audio classification
    fields.get("num_hidden_layers", "is_encoder_decoder", "classifier_proj_size", "use_weighted_layer_sum",
               "apply_spec_augment", "mask_time_prob", "mask_time_length", "mask_time_min_masks", "mask_feature_prob",
               "mask_feature_length", "mask_feature_min_masks", "median_filter_width")  # fmt: skip
    return EncoderDecoder(
        hidden=hidden,
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding and the logits"),
        encoder=_stack(fields, "encoder", hidden, function, positions),
        decoder=_stack(fields, "decoder", hidden, function, longest),
        key_bias=False,
        tied=fields.flag("tie_word_embeddings", "tie_word_embeddings", default=True),
        audio=Audio(bins=fields.size("num_mel_bins", default=80), frames=2 * positions),
        max_context=longest,
    )


ENCODER_DECODERS: Mapping[str, Callable[[Fields], EncoderDecoder]] = {
    "t5": _t5,
    "mt5": _t5,
    "umt5": lambda fields: replace(_t5(fields), bucket_tables=True),
    "switch_transformers": _switch,
    "bart": _bart,
    "mbart": _mbart,
    "pegasus": _pegasus,
    "blenderbot": _pegasus,
    "blenderbot-small": lambda fields: replace(_bart(fields, offset=0)),
    "marian": _marian,
    "m2m_100": _m2m,
    "whisper": _whisper,
}
