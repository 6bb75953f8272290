"""Decoders with state-space layers, alone (Mamba, Mamba-2) or among attention and experts (Jamba, Bamba, ...).

To add a model_type: a reader, a line in `STATE_SPACE_DECODERS`, and a case in tests/graphs/test_state_space.py.

May import: config_fields, decoder_configs, decoder_dialects, layer_patterns, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder_configs import ACTIVATIONS, read_attention, read_feed_forward, read_mixture
from perfmodel.graphs.decoder_dialects import Dialect
from perfmodel.graphs.transformer_settings import (
    Channels,
    Decoder,
    FeedForward,
    Layer,
    Mixture,
    SelectiveScan,
    SideBySide,
    StateSpace,
    Structure,
)

_PURPOSE = "state-space layer"
_WORDS = {
    "mamba": "mamba", "linear_attention": "mamba", "attention": "attention", "full_attention": "attention",
    "hybrid": "hybrid", "moe": "moe", "mlp": "mlp",
}  # fmt: skip
_PATTERN = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _decoder(fields: Fields, layers: Sequence[Layer], *, tied: bool) -> Decoder:
    fields.get("num_hidden_layers", "n_layer")
    return Decoder(
        hidden=_hidden(fields),
        vocabulary=fields.size("vocab_size", purpose="rows of the token embedding and the logits"),
        layers=tuple(layers),
        structure=Structure(),
        tied=fields.flag("tie_word_embeddings", default=tied),
        max_context=fields.size("max_position_embeddings", default=0, low=0),
    )


def _hidden(fields: Fields) -> int:
    return fields.size("hidden_size", "d_model", purpose="width of the residual stream")


def _count(fields: Fields) -> int:
    return fields.size("num_hidden_layers", "n_layer", purpose="number of layers", high=MAX_LAYERS)


# ---------------------------------------------------------------------------------------------------------- Mamba


def _selective_scan(fields: Fields, norms: str = "", *, late: bool = False) -> SelectiveScan:
    """A Mamba layer; hybrid models call its fields mamba_*."""
    hidden = _hidden(fields)
    expand = fields.size("expand", "mamba_expand", default=2)
    rank = fields.get("time_step_rank", "mamba_dt_rank")
    # of initialisation and of how transformers computes the scan
    fields.get("time_step_scale", "time_step_min", "time_step_max", "time_step_floor", "time_step_init_scheme",
               "rescale_prenorm_residual", "residual_in_fp32", "use_mambapy", "use_associative_scan",
               "use_mamba_kernels", "mixer_rms_eps", "ssm_cfg", "fused_add_norm", "rms_norm", "d_inner", "d_state",
               "conv_bias", "bias", "pad_vocab_size_multiple")  # fmt: skip
    return SelectiveScan(
        inner=fields.size("intermediate_size", default=expand * hidden) if not fields.has("mamba_d_state")
        else expand * hidden,
        state=fields.size("state_size", "mamba_d_state", default=16),
        rank=-(-hidden // 16) if rank in (None, "auto") else fields.size("time_step_rank", "mamba_dt_rank"),
        kernel=fields.size("conv_kernel", "mamba_d_conv", default=4),
        bias=fields.flag("use_bias", "mamba_proj_bias"),
        conv_bias=fields.flag("use_conv_bias", "mamba_conv_bias", default=True),
        norms=norms,
        late_step_norm=late,
    )  # fmt: skip


def _mamba(fields: Fields, norms: str = "", *, late: bool = False) -> Decoder:
    fields.get("hidden_act")
    return _decoder(fields, [Layer(_selective_scan(fields, norms, late=late), None)] * _count(fields), tied=True)


def _jamba(fields: Fields) -> Decoder:
    """Jamba (arXiv 2403.19887): attention in every eighth layer, experts in every second."""
    hidden, count = _hidden(fields), _count(fields)
    plain = Dialect(rotary=False, experts="plain")
    attention = replace(read_attention(fields, plain, hidden), rotary=False)
    scan = _selective_scan(fields, "weighted")
    function = fields.choice("hidden_act", known=ACTIVATIONS, default="silu")
    dense = read_feed_forward(fields, plain, hidden, function)
    several = fields.size("num_experts", default=16) > 1
    mixture = read_mixture(fields, plain, dense, function) if several else dense
    attends = _every(fields, "attn_layer_period", "attn_layer_offset", 8, 4, count)
    routes = _every(fields, "expert_layer_period", "expert_layer_offset", 2, 1, count)
    layers = [
        Layer(attention if attended else scan, mixture if routed else dense)
        for attended, routed in zip(attends, routes, strict=True)
    ]
    return _decoder(fields, layers, tied=False)


def _every(fields: Fields, period: str, offset: str, every: int, first: int, count: int) -> list[bool]:
    step, start = fields.size(period, default=every), fields.size(offset, default=first, low=0)
    return [index % step == start for index in range(count)]


# -------------------------------------------------------------------------------------------------------- Mamba-2


def _state_space(fields: Fields, prefix: str = "mamba_") -> StateSpace:
    """A Mamba-2 layer; hybrid models call its fields mamba_*."""
    heads = fields.size("num_heads", "mamba_num_heads", "mamba_n_heads", default=128)
    size = fields.get("head_dim" if not prefix else "mamba_head_dim", "mamba_d_head")
    inner = fields.size("mamba_d_ssm", default=fields.size("expand", "mamba_expand", default=2) * _hidden(fields))
    fields.get("time_step_limit", "time_step_min", "time_step_max", "time_step_floor", "time_step_rank",
               "rescale_prenorm_residual", "residual_in_fp32", "rms_norm", "norm_before_gate",
               "mamba_norm_before_gate", "use_mamba_kernels", "num_logits_to_keep", "z_loss_coefficient",
               "mamba_hidden_act", "mamba_ssm_cache_dtype")  # fmt: skip
    bias = fields.flag("use_bias", "mamba_proj_bias")
    return StateSpace(
        heads=heads,
        head_size=size if type(size) is int and size > 0 else max(inner // heads, 1),
        state=fields.size("state_size", "ssm_state_size", "mamba_d_state", purpose=_PURPOSE),
        groups=fields.size("n_groups", "mamba_n_groups", default=1),
        kernel=fields.size("conv_kernel", "mamba_d_conv", default=4),
        chunk=fields.size("chunk_size", "mamba_chunk_size", default=256),
        bias=bias,
        output_bias=bias,
        conv_bias=fields.flag("use_conv_bias", "mamba_conv_bias", default=True),
    )


def _mamba2(fields: Fields) -> Decoder:
    fields.get("hidden_act", "intermediate_size")
    return _decoder(fields, [Layer(_state_space(fields, ""), None)] * _count(fields), tied=False)


def _bamba(fields: Fields) -> Decoder:
    """Bamba: attention where attn_layer_indices say, a feed-forward in every layer."""
    hidden, count = _hidden(fields), _count(fields)
    bias = fields.flag("attention_bias")
    dialect = Dialect(qkv_bias=bias, output_bias=bias, mlp_bias=fields.flag("mlp_bias"))
    attention, space = read_attention(fields, dialect, hidden), _state_space(fields)
    function = fields.choice("hidden_act", known=ACTIVATIONS, default="silu")
    dense = read_feed_forward(fields, dialect, hidden, function)
    attends = fields.indices("attn_layer_indices")
    words = fields.per_layer("layer_types", count, _WORDS) or [
        "attention" if index in attends else "mamba" for index in range(count)
    ]
    return _decoder(fields, [Layer(attention if word == "attention" else space, dense) for word in words], tied=False)


def _falcon_h1(fields: Fields) -> Decoder:
    """Falcon-H1: attention and a state-space layer side by side in every layer."""
    hidden, count = _hidden(fields), _count(fields)
    bias = fields.flag("attention_bias")
    dialect = Dialect(qkv_bias=bias, output_bias=bias, mlp_bias=fields.flag("mlp_bias"))
    space = replace(_state_space(fields), gated_norm=fields.flag("mamba_rms_norm"),
                    output_bias=fields.flag("projectors_bias"))  # fmt: skip
    fields.get("layer_types", "mamba_use_mlp", "lm_head_multiplier", "embedding_multiplier", "mlp_multipliers",
               "key_multiplier", "attention_out_multiplier", "attention_in_multiplier", "ssm_multipliers",
               "ssm_in_multiplier", "ssm_out_multiplier", "mlp_expansion_factor")  # fmt: skip
    function = fields.choice("hidden_act", known=ACTIVATIONS, default="silu")
    dense = read_feed_forward(fields, dialect, hidden, function)
    mixer = SideBySide(attention=read_attention(fields, dialect, hidden), state_space=space)
    return _decoder(fields, [Layer(mixer, dense)] * count, tied=False)


def _granite_hybrid(fields: Fields) -> Decoder:
    """Granite 4: attention where layer_types say, in every layer a feed-forward and, with experts, a mixture."""
    hidden, count = _hidden(fields), _count(fields)
    bias = fields.flag("attention_bias")
    rotary = fields.choice("position_embedding_type", known={"rope": "rope", "nope": ""}, default="") == "rope"
    attention = replace(read_attention(fields, Dialect(qkv_bias=bias, output_bias=bias), hidden), rotary=rotary)
    space = _state_space(fields)
    function = fields.choice("hidden_act", known=ACTIVATIONS, default="silu")
    shared = fields.size("shared_intermediate_size", default=1024)
    channels: Channels = FeedForward(size=shared, gated=True, function=function)
    experts = fields.size("num_local_experts", default=8, low=0)
    size = fields.size("intermediate_size", purpose="width of an expert")
    per_token = fields.size("num_experts_per_tok", default=2, low=0)
    if experts:
        channels = Mixture(experts=experts, per_token=max(min(per_token, experts), 1), size=size, gated=True,
                           function=function, shared_size=shared)  # fmt: skip
    words = fields.per_layer("layer_types", count, _WORDS) or fields.per_layer("layers_block_type", count, _WORDS)
    mixers = [attention if word == "attention" else space for word in words or ["mamba"] * count]
    return _decoder(fields, [Layer(mixer, channels) for mixer in mixers], tied=False)


def _nemotron_h(fields: Fields) -> Decoder:
    """Nemotron-H (arXiv 2504.03624): every layer is one of a state-space layer, attention, feed-forward, mixture."""
    hidden = _hidden(fields)
    words = _nemotron_words(fields)
    bias = fields.flag("attention_bias")
    attention = replace(read_attention(fields, Dialect(qkv_bias=bias, output_bias=bias), hidden), rotary=False)
    space = _state_space(fields, "mamba_")
    function = fields.choice("mlp_hidden_act", known=ACTIVATIONS, default="relu2")
    dialect = Dialect(gated=False, mlp_bias=fields.flag("mlp_bias"))
    fields.get("sliding_window", "moe_shared_expert_overlap", "mtp_layers_block_type", "mtp_hybrid_override_pattern",
               "hybrid_override_pattern", "layers_block_type", "mamba_num_groups", "use_mamba_kernels",
               "attention_head_dim", "n_routed_experts", "n_shared_experts", "moe_intermediate_size",
               "moe_shared_expert_intermediate_size", "moe_latent_size", "num_experts_per_tok",
               "intermediate_size")  # fmt: skip
    parts = {"mamba": Layer(space, None), "attention": Layer(attention, None)}
    if "mlp" in words:
        parts["mlp"] = Layer(None, read_feed_forward(fields, dialect, hidden, function))
    if "moe" in words:
        parts["moe"] = Layer(None, _nemotron_mixture(fields, function))
    return _decoder(fields, [parts[word] for word in words], tied=False)


def _nemotron_words(fields: Fields) -> list[str]:
    pattern = fields.get("hybrid_override_pattern")
    if isinstance(pattern, str) and pattern and len(pattern) <= MAX_LAYERS:
        unknown = sorted(set(pattern) - set(_PATTERN))
        if unknown:
            fields.wrong(f"hybrid_override_pattern may hold {' '.join(_PATTERN)}; not understood: {' '.join(unknown)}")
        return [_PATTERN.get(letter, "mamba") for letter in pattern]
    listed = fields.get("layers_block_type")
    if isinstance(listed, list) and listed and len(listed) <= MAX_LAYERS:
        return fields.per_layer("layers_block_type", len(listed), _WORDS) or ["mamba"]
    fields.size("hybrid_override_pattern", purpose="which layer is of which kind")
    return ["mamba"]


def _nemotron_mixture(fields: Fields, function: str) -> Mixture:
    size = fields.size("moe_intermediate_size", purpose="width of an expert")
    shared = fields.size("moe_shared_expert_intermediate_size", default=size)
    experts = fields.size("n_routed_experts", purpose="number of experts")
    return Mixture(
        experts=experts,
        per_token=min(fields.size("num_experts_per_tok", purpose="experts that a token is sent to"), experts),
        size=size,
        gated=False,
        function=function,
        shared_size=shared * fields.size("n_shared_experts", default=1, low=0),
        latent_size=fields.size("moe_latent_size", default=0, low=0),
    )


STATE_SPACE_DECODERS: Mapping[str, Callable[[Fields], Decoder]] = {
    "mamba": _mamba,
    "falcon_mamba": lambda fields: _mamba(fields, "bare", late=True),
    "mamba2": _mamba2,
    "jamba": _jamba,
    "bamba": _bamba,
    "falcon_h1": _falcon_h1,
    "granitemoehybrid": _granite_hybrid,
    "nemotron_h": _nemotron_h,
}
