"""What each model_type of a decoder implies without saying so: a line, or a small function of its own fields.

To add a model_type: a line in `DIALECTS`, and a case in tests/graphs/test_against_transformers.py.

May import: config_fields, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.transformer_settings import Norm, Structure

_BEFORE = Structure()
LAYER_NORM = Norm("layer", bias=True)
_PLAIN_LAYER_NORM = Norm("layer")
_LAYER = Structure(norm=LAYER_NORM)
_AROUND = Structure(placement="around")
_OUTPUT = Structure(placement="output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a model_type implies.

    Args:
        structure: norms and branches. gated: the feed-forward has a gate. activation: where the config names none.
        qkv_bias, output_bias, mlp_bias, head_bias: which projections have a bias.
        query_key_norm, sinks, output_gate: see `Attention`. rotary: positions are rotary.
        positions: rows of a learned position table beyond max_position_embeddings; None for no table.
        width_factor: the feed-forward's width over the hidden size where the config names none; 0 if it must.
        kv_heads: their number where it is not a field; 0 for the field, else as many as query heads.
        head_size: where the config names none; 0 for hidden size over heads.
        windows: "" none, "all" every layer if sliding_window is set, "late" from layer max_window_layers on,
            "pattern" all but every n-th layer, "chunks" all but those without rotary positions.
        pattern: that n, where the config does not say. no_rotary_every: every n-th layer is without rotary positions.
        latent: latent attention. experts: "" none, "own" experts with a width of their own (moe_intermediate_size),
            "plain" experts as wide as intermediate_size says.
        expert_bias, shared_gate: see `Mixture`. shared_like_expert: there is a shared expert, of an expert's size.
    """

    structure: Structure = _BEFORE
    gated: bool = True
    activation: str = "silu"
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    query_key_norm: str = ""
    sinks: bool = False
    output_gate: bool = False
    rotary: bool = True
    positions: int | None = None
    width_factor: int = 0
    kv_heads: int = 0
    head_size: int = 0
    windows: str = ""
    pattern: int = 0
    no_rotary_every: int = 0
    latent: bool = False
    experts: str = ""
    expert_bias: bool = False
    shared_gate: bool = False
    shared_like_expert: bool = False
    tied: bool = False
    embedding_size: int = 0
    embedding_norm: bool = False
    final_norm: bool = True


def llama(fields: Fields) -> Dialect:
    """Llama, and all that calls itself so: biases where attention_bias and mlp_bias say."""
    bias = fields.flag("attention_bias", "bias")
    return Dialect(qkv_bias=bias, output_bias=bias, mlp_bias=fields.flag("mlp_bias"), windows="all")


def _qwen2(fields: Fields) -> Dialect:
    return Dialect(qkv_bias=fields.flag("qkv_bias", default=True), windows="late")


def _qwen3(fields: Fields) -> Dialect:
    return replace(llama(fields), query_key_norm="head", windows="late")


def _qwen3_next(fields: Fields) -> Dialect:
    gated = fields.flag("attn_output_gate", default=True)
    return replace(_qwen3(fields), windows="linear", pattern=4, output_gate=gated)


def _gemma(fields: Fields) -> Dialect:
    return replace(llama(fields), activation="gelu_tanh", tied=True)


def _gemma2(fields: Fields) -> Dialect:
    return replace(_gemma(fields), structure=_AROUND, windows="pattern", pattern=2)


def _gemma3(fields: Fields) -> Dialect:
    return replace(_gemma2(fields), query_key_norm="head", pattern=6)


def _phi(fields: Fields) -> Dialect:
    return Dialect(
        structure=Structure(norm=LAYER_NORM, parallel=1), gated=False, activation="gelu_tanh", qkv_bias=True,
        output_bias=True, mlp_bias=True, head_bias=True, query_key_norm="head" if fields.flag("qk_layernorm") else "",
    )  # fmt: skip


def _phimoe(fields: Fields) -> Dialect:
    return replace(llama(fields), structure=_LAYER, head_bias=fields.flag("lm_head_bias"), experts="plain")


def _falcon(fields: Fields) -> Dialect:
    bias, new = fields.flag("bias"), fields.flag("new_decoder_architecture")
    branches = fields.size("num_ln_in_parallel_attn", default=2 if new else 1)
    parallel = branches if fields.flag("parallel_attn", default=True) or new else 0
    one_kv_head = fields.flag("multi_query", default=True) and not new
    return Dialect(
        structure=Structure(norm=LAYER_NORM, parallel=parallel), gated=False, activation="gelu", qkv_bias=bias,
        output_bias=bias, mlp_bias=bias, rotary=not fields.flag("alibi"), width_factor=4, tied=True,
        kv_heads=1 if one_kv_head else 0,
    )  # fmt: skip


def _opt(fields: Fields) -> Dialect:
    bias = fields.flag("enable_bias", default=True)
    affine = fields.flag("layer_norm_elementwise_affine", default=True)
    before = fields.flag("do_layer_norm_before", default=True)
    norm = Norm("layer", weight=affine, bias=affine)
    return Dialect(
        structure=Structure(norm=norm, placement="before" if before else "after"), gated=False, activation="relu",
        qkv_bias=bias, output_bias=bias, mlp_bias=bias, rotary=False, positions=2, tied=True,
        embedding_size=fields.size("word_embed_proj_dim", default=0, low=0),
        final_norm=before and not fields.flag("_remove_final_layer_norm"),
    )  # fmt: skip


def _gpt2(fields: Fields) -> Dialect:
    return Dialect(
        structure=_LAYER, gated=False, activation="gelu_tanh", qkv_bias=True, output_bias=True, mlp_bias=True,
        rotary=False, positions=0, width_factor=4, tied=True, kv_heads=1 if fields.flag("multi_query") else 0,
    )  # fmt: skip


def _gpt_bigcode(fields: Fields) -> Dialect:
    return replace(_gpt2(fields), kv_heads=1 if fields.flag("multi_query", default=True) else 0)


def _gptj(fields: Fields) -> Dialect:
    return Dialect(
        structure=Structure(norm=LAYER_NORM, parallel=1), gated=False, activation="gelu_tanh", mlp_bias=True,
        head_bias=True, width_factor=4,
    )  # fmt: skip


def _gpt_neox(fields: Fields) -> Dialect:
    bias = fields.flag("attention_bias", default=True)
    parallel = 2 if fields.flag("use_parallel_residual", default=True) else 0
    return Dialect(
        structure=Structure(norm=LAYER_NORM, parallel=parallel), gated=False, activation="gelu", qkv_bias=bias,
        output_bias=bias, mlp_bias=True,
    )  # fmt: skip


def _bloom(fields: Fields) -> Dialect:
    return Dialect(
        structure=_LAYER, gated=False, activation="gelu_tanh", qkv_bias=True, output_bias=True, mlp_bias=True,
        rotary=False, width_factor=4, tied=True, embedding_norm=True,
    )  # fmt: skip


def _starcoder2(fields: Fields) -> Dialect:
    bias = fields.flag("use_bias", default=True)
    return Dialect(
        structure=_LAYER, gated=False, activation="gelu_tanh", qkv_bias=bias, output_bias=bias, mlp_bias=bias,
        windows="all", tied=True,
    )  # fmt: skip


def _stablelm(fields: Fields) -> Dialect:
    parallel = 1 if fields.flag("use_parallel_residual") else 0
    return Dialect(
        structure=Structure(norm=LAYER_NORM, parallel=parallel), qkv_bias=fields.flag("use_qkv_bias"),
        query_key_norm="full" if fields.flag("qk_layernorm") else "",
    )  # fmt: skip


def _cohere(fields: Fields) -> Dialect:
    structure = Structure(norm=_PLAIN_LAYER_NORM, parallel=1)
    norm = "full" if fields.flag("use_qk_norm") else ""
    return replace(llama(fields), structure=structure, query_key_norm=norm, tied=True, windows="pattern", pattern=4)


def _nemotron(fields: Fields) -> Dialect:
    return replace(llama(fields), structure=_LAYER, gated=False, activation="relu2")


def _glm(fields: Fields) -> Dialect:
    return Dialect(qkv_bias=fields.flag("attention_bias", default=True))


def _glm4_moe(fields: Fields) -> Dialect:
    norm = "head" if fields.flag("use_qk_norm") else ""
    return Dialect(qkv_bias=fields.flag("attention_bias"), query_key_norm=norm, experts="own")


def _gpt_oss(fields: Fields) -> Dialect:
    bias = fields.flag("attention_bias", default=True)
    return Dialect(
        qkv_bias=bias, output_bias=bias, sinks=True, windows="pattern", pattern=2, experts="plain", expert_bias=True,
    )  # fmt: skip


def _llama4(fields: Fields) -> Dialect:
    norm = "bare" if fields.flag("use_qk_norm", default=True) else ""
    return replace(
        llama(fields),
        query_key_norm=norm,
        windows="chunks",
        no_rotary_every=4,
        experts="plain",
        shared_like_expert=True,
    )


def _ernie(fields: Fields) -> Dialect:
    bias = fields.flag("use_bias")
    return Dialect(qkv_bias=bias, output_bias=bias, mlp_bias=bias, tied=True)


def _seed_oss(fields: Fields) -> Dialect:
    return replace(
        llama(fields),
        qkv_bias=fields.flag("attention_bias", default=True),
        output_bias=fields.flag("attention_out_bias"),
    )


def _latent(fields: Fields) -> Dialect:
    return Dialect(latent=True, experts="own")


DIALECTS: Mapping[str, Callable[[Fields], Dialect]] = {
    "llama": llama,
    "mistral": llama,
    "ministral": llama,
    "ministral3": llama,
    "mixtral": lambda fields: replace(llama(fields), experts="plain"),
    "qwen2": _qwen2,
    "qwen2_moe": lambda fields: replace(_qwen2(fields), experts="own", shared_gate=True),
    "qwen2_vl": _qwen2,
    "qwen2_vl_text": _qwen2,
    "qwen2_5_vl": _qwen2,
    "qwen2_5_vl_text": _qwen2,
    "qwen3": _qwen3,
    "qwen3_vl_text": _qwen3,
    "qwen3_vl_moe_text": lambda fields: replace(_qwen3(fields), experts="own"),
    "qwen3_moe": lambda fields: replace(_qwen3(fields), experts="own"),
    "qwen3_next": lambda fields: replace(_qwen3_next(fields), experts="own", shared_gate=True),
    "qwen3_5_text": _qwen3_next,
    "qwen3_5_moe_text": lambda fields: replace(_qwen3_next(fields), experts="own", shared_gate=True),
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi": _phi,
    "phi3": llama,
    "phimoe": _phimoe,
    "falcon": _falcon,
    "opt": _opt,
    "gpt2": _gpt2,
    "gpt_bigcode": _gpt_bigcode,
    "gptj": _gptj,
    "gpt_neox": _gpt_neox,
    "bloom": _bloom,
    "starcoder2": _starcoder2,
    "stablelm": _stablelm,
    "olmo": lambda fields: replace(llama(fields), structure=Structure(norm=Norm("layer", weight=False))),
    "olmo2": lambda fields: replace(llama(fields), structure=_OUTPUT, query_key_norm="full"),
    "olmoe": lambda fields: replace(llama(fields), query_key_norm="full", experts="plain"),
    "cohere": _cohere,
    "cohere2": _cohere,
    "granite": llama,
    "nemotron": _nemotron,
    "smollm3": lambda fields: replace(llama(fields), tied=True, windows="late", no_rotary_every=4),
    "seed_oss": _seed_oss,
    "ernie4_5": _ernie,
    "glm": _glm,
    "glm4": lambda fields: replace(_glm(fields), structure=_AROUND),
    "glm4_moe": _glm4_moe,
    "glm_moe_dsa": _latent,
    "deepseek_v2": _latent,
    "deepseek_v3": _latent,
    "deepseek_v32": _latent,
    "kimi_k2": _latent,
    "kimi_k25": _latent,
    "gpt_oss": _gpt_oss,
    "llama4_text": _llama4,
    "mllama_text_model": llama,
    "minimax_m2": lambda fields: Dialect(
        query_key_norm="full" if fields.flag("use_qk_norm", default=True) else "", experts="plain"
    ),
}
