"""From the metadata of a GGUF file to the config.json that describes the same model.

Keys stand under the architecture's name (`llama.block_count`). What a config states and the metadata leaves to the
tensors (biases, tied embeddings, norms of queries and keys) is read off which tensors there are.

May import: errors, config_fields. To add an architecture: a line in `ARCHITECTURES`, and one in
tests/graphs/test_gguf_architectures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perfmodel.errors import ModelError, nearest_names
from perfmodel.graphs.config_fields import Fields

Config: TypeAlias = dict[str, Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]  # of the file's tensors, by name

MAX_LAYERS = 512  # as many as llama.cpp takes
_CHUNK = 8192  # keys of a chunk in Llama 4, which files do not state
_QKV_BIAS = ("attn_q.bias", "attn_qkv.bias")
_LLAMA = {"attention_bias": _QKV_BIAS, "mlp_bias": ("ffn_up.bias",)}
_QUERY_NORM = ("attn_q_norm.weight",)
_PLAIN_EXPERTS = ("mixtral", "olmoe", "phimoe", "gpt_oss", "minimax_m2", "llama4_text")  # as wide as intermediate_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the config of an architecture is made of beyond the sizes that all have.

    Args:
        model_type: of the config. flags: fields that are true if the first layer has one of these tensors.
        more: further fields, from the metadata and the tensors.
    """

    model_type: str
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    more: Callable[[Fields, Shapes], Config] = lambda fields, shapes: {}


def _falcon(fields: Fields, shapes: Shapes) -> Config:
    kv_heads = fields.size("attention.head_count_kv", default=1)
    norms = 2 if "blk.0.attn_norm_2.weight" in shapes else 1
    return {"new_decoder_architecture": kv_heads > 1, "num_ln_in_parallel_attn": norms, "parallel_attn": True}


def _parallel(fields: Fields, shapes: Shapes) -> Config:
    return {"use_parallel_residual": fields.flag("use_parallel_residual", default=True)}


def _stablelm(fields: Fields, shapes: Shapes) -> Config:
    return {"use_parallel_residual": "blk.0.ffn_norm.weight" not in shapes}


def _one_kv_head(fields: Fields, shapes: Shapes) -> Config:
    return {"multi_query": fields.size("attention.head_count_kv", default=1) == 1}


def _llama4(fields: Fields, shapes: Shapes) -> Config:
    """llama.cpp tells the two models apart by their experts: that of 128 has no norm of queries and keys."""
    return {
        "intermediate_size_mlp": fields.size("feed_forward_length", default=0, low=0),
        "interleave_moe_layer_step": fields.size("interleave_moe_layer_step", default=1),
        "use_qk_norm": fields.size("expert_count", default=16) != 128,
        "attention_chunk_size": _CHUNK,
    }


def _phimoe(fields: Fields, shapes: Shapes) -> Config:
    return {"lm_head_bias": "output.bias" in shapes}


def _latent(fields: Fields, shapes: Shapes) -> Config:
    """Newer files keep the sizes of a head under `_mla`, and those of the cached latent where they were."""
    purpose = "latent attention"
    rotary = fields.size("rope.dimension_count", purpose=purpose)
    key = fields.size("attention.key_length_mla", "attention.key_length", purpose=purpose)
    if key <= rotary and key > 1:
        fields.wrong(f"attention.key_length ({key}) must be larger than rope.dimension_count ({rotary})")
    return {
        "q_lora_rank": fields.size("attention.q_lora_rank", default=0, low=0),
        "kv_lora_rank": fields.size("attention.kv_lora_rank", purpose=purpose),
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": max(key - rotary, 1),
        "v_head_dim": fields.size("attention.value_length_mla", "attention.value_length", purpose=purpose),
    }


def _llama(model_type: str = "llama", **more: Any) -> Architecture:
    return Architecture(model_type=model_type, flags=_LLAMA, **more)


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": _llama(),
    "mistral3": _llama("ministral3"),
    "internlm2": _llama(),
    "minicpm": _llama(),
    "xverse": _llama(),
    "llama4": Architecture(model_type="llama4_text", more=_llama4),
    "qwen2": Architecture(model_type="qwen2", flags={"qkv_bias": _QKV_BIAS}),
    "qwen2vl": Architecture(model_type="qwen2_vl_text", flags={"qkv_bias": _QKV_BIAS}),
    "qwen2moe": Architecture(model_type="qwen2_moe", flags={"qkv_bias": _QKV_BIAS}),
    "qwen3": _llama("qwen3"),
    "qwen3vl": _llama("qwen3_vl_text"),
    "qwen3moe": _llama("qwen3_moe"),
    "gemma": _llama("gemma"),
    "gemma2": _llama("gemma2"),
    "gemma3": _llama("gemma3_text"),
    "phi2": Architecture(model_type="phi"),
    "phi3": _llama("phi3"),
    "phimoe": Architecture(model_type="phimoe", flags={"attention_bias": _QKV_BIAS}, more=_phimoe),
    "falcon": Architecture(model_type="falcon", flags={"bias": _QKV_BIAS}, more=_falcon),
    "gpt2": Architecture(model_type="gpt2"),
    "gptneox": Architecture(model_type="gpt_neox", flags={"attention_bias": _QKV_BIAS}, more=_parallel),
    "bloom": Architecture(model_type="bloom"),
    "starcoder": Architecture(model_type="gpt_bigcode", more=_one_kv_head),
    "starcoder2": Architecture(model_type="starcoder2", flags={"use_bias": ("attn_q.bias",)}),
    "stablelm": Architecture(
        model_type="stablelm", flags={"use_qkv_bias": _QKV_BIAS, "qk_layernorm": _QUERY_NORM}, more=_stablelm
    ),
    "olmo2": _llama("olmo2"),
    "olmoe": _llama("olmoe"),
    "command-r": Architecture(model_type="cohere", flags={**_LLAMA, "use_qk_norm": _QUERY_NORM}),
    "cohere2": _llama("cohere2"),
    "granite": _llama("granite"),
    "nemotron": _llama("nemotron"),
    "smollm3": _llama("smollm3"),
    "seed_oss": Architecture(
        model_type="seed_oss", flags={"attention_bias": _QKV_BIAS, "attention_out_bias": ("attn_output.bias",)}
    ),
    "ernie4_5": Architecture(model_type="ernie4_5", flags={"use_bias": _QKV_BIAS}),
    "chatglm": Architecture(model_type="glm", flags={"attention_bias": _QKV_BIAS}),
    "glm4": Architecture(model_type="glm4", flags={"attention_bias": _QKV_BIAS}),
    "glm4moe": Architecture(model_type="glm4_moe", flags={"attention_bias": _QKV_BIAS, "use_qk_norm": _QUERY_NORM}),
    "deepseek2": Architecture(model_type="deepseek_v3", more=_latent),
    "gpt-oss": Architecture(model_type="gpt_oss", flags={"attention_bias": _QKV_BIAS}),
    "minimax-m2": Architecture(model_type="minimax_m2", flags={"use_qk_norm": _QUERY_NORM}),
}


def gguf_config(metadata: Mapping[str, Any], shapes: Shapes, where: str) -> Config:
    """The config.json of a GGUF file's model.

    Args:
        metadata: the file's. shapes: those of its tensors (out, in), by name. where: what to call the file in messages.

    Raises:
        ModelError: an architecture that is not known, keys that are missing or make no sense, all of them named.

    >>> sizes = {"embedding_length": 64, "block_count": 2, "feed_forward_length": 128, "attention.head_count": 4}
    >>> metadata = {"general.architecture": "qwen3"} | {f"qwen3.{key}": value for key, value in sizes.items()}
    >>> config = gguf_config(metadata, {"token_embd.weight": (1000, 64)}, "doc.gguf")
    >>> config["model_type"], config["num_hidden_layers"], config["vocab_size"], config["tie_word_embeddings"]
    ('qwen3', 2, 1000, True)
    """
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise ModelError(f"{where}: missing: general.architecture (which architecture it is)")
    if name not in ARCHITECTURES:
        raise _unknown(name, where)
    known = ARCHITECTURES[name]
    own = {
        key.removeprefix(f"{name}."): _uniform(value) for key, value in metadata.items() if key.startswith(f"{name}.")
    }
    fields = Fields(own, f"{where}: metadata under '{name}.'")
    model_type = "mixtral" if known.model_type == "llama" and own.get("expert_count") else known.model_type
    config = {"model_type": model_type, **_sizes(fields, shapes), **_heads(fields), **known.more(fields, shapes)}
    config |= _feed_forward(fields, model_type)
    config |= {flag: any(f"blk.0.{own}" in shapes for own in names) for flag, names in known.flags.items()}
    config |= _windows(fields)
    fields.check()
    return config


def _unknown(name: str, where: str) -> ModelError:
    near = nearest_names(name, ARCHITECTURES)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return ModelError(
        f"{where}: unknown architecture '{name}'.{hint} Known: {', '.join(ARCHITECTURES)}. "
        "If the original model's config.json is at hand, give that"
    )


def _uniform(value: Any) -> Any:
    """Values per layer that are all the same as that one value."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _sizes(fields: Fields, shapes: Shapes) -> Config:
    layers = fields.size("block_count", purpose="number of layers", high=MAX_LAYERS)
    predicting = fields.size("nextn_predict_layers", default=0, low=0)
    if predicting >= layers > 1:
        fields.wrong(f"nextn_predict_layers ({predicting}) must be less than block_count ({layers})")
    vocabulary = (shapes.get("token_embd.weight") or (0,))[0]
    positions = shapes.get("position_embd.weight")
    return {
        "hidden_size": fields.size("embedding_length", purpose="width of the residual stream"),
        "num_hidden_layers": max(layers - predicting, 1),
        "vocab_size": vocabulary or fields.size("vocab_size", purpose="or a tensor token_embd.weight"),
        "max_position_embeddings": positions[0] if positions else fields.size("context_length", default=0, low=0),
        "tie_word_embeddings": "output.weight" not in shapes,
    }


def _heads(fields: Fields) -> Config:
    heads = fields.size("attention.head_count", purpose="number of query heads")
    config = {
        "num_attention_heads": heads,
        "num_key_value_heads": fields.size("attention.head_count_kv", default=heads),
    }
    if fields.has("attention.kv_lora_rank"):
        return config
    size = fields.size("attention.key_length", default=0, low=0)
    values = fields.size("attention.value_length", default=size, low=0)
    if values != size:
        fields.wrong(f"attention.value_length ({values}) that is not attention.key_length ({size}) is not understood")
    return config | ({"head_dim": size} if size else {})


def _feed_forward(fields: Fields, model_type: str) -> Config:
    experts = fields.size("expert_count", default=0, low=0)
    own = fields.size("expert_feed_forward_length", default=0, low=0)
    width = fields.size("feed_forward_length", default=0, low=0)
    if not experts:
        return {"intermediate_size": fields.size("feed_forward_length", purpose="width of the feed-forward")}
    config: Config = {
        "num_experts": experts,
        "num_experts_per_tok": fields.size("expert_used_count", purpose="experts that a token is sent to"),
        "first_k_dense_replace": fields.size("leading_dense_block_count", default=0, low=0),
    }
    if model_type in _PLAIN_EXPERTS:
        return config | {"intermediate_size": own or fields.size("feed_forward_length", purpose="width of an expert")}
    shared = fields.size("expert_shared_feed_forward_length", default=0, low=0)
    number = fields.size("expert_shared_count", default=0, low=0)
    config |= {"shared_expert_intermediate_size": shared} if shared else {"n_shared_experts": number}
    return config | {
        "moe_intermediate_size": own or fields.size("expert_feed_forward_length", purpose="width of an expert"),
        **({"intermediate_size": width} if width else {}),
    }


def _windows(fields: Fields) -> Config:
    window = fields.size("attention.sliding_window", default=0, low=0)
    pattern = fields.get("attention.sliding_window_pattern")
    config: Config = {"sliding_window": window} if window else {}
    if isinstance(pattern, tuple):
        return config | {"layer_types": ["sliding_attention" if own else "full_attention" for own in pattern]}
    if window and isinstance(pattern, int) and not isinstance(pattern, bool):
        config["sliding_window_pattern"] = fields.size("attention.sliding_window_pattern", default=1)
    return config
