"""A GGUF file is the same model as the config.json it was converted from: parameters, FLOPs, cache and bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from graphs.gguf_writer import (
    BF16,
    F32,
    MXFP4,
    Q8_0,
    Tensor,
    all_in,
    attention_shapes,
    data_bytes,
    experts_shapes,
    feed_forward_shapes,
    gguf_bytes,
    llama_tensors,
    metadata_of,
    q4_k_m,
    query_key_norm_shapes,
)
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs import load_model, model_spec
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.decoder_dialects import DIALECTS
from perfmodel.graphs.gguf_architectures import ARCHITECTURES, gguf_config
from perfmodel.graphs.huggingface import load_config
from perfmodel.memory import memory_need
from perfmodel.types import Hardware

Config: TypeAlias = dict[str, Any]
SIZES = {"batch": 2, "tokens": 96, "context": 160}


def _text(config: Config) -> Config:
    return config.get("text_config", config)


def llama(config: Config) -> list[Tensor]:
    return llama_tensors(config, q4_k_m(config["num_hidden_layers"]))


def qwen2(config: Config) -> list[Tensor]:
    size = config["hidden_size"] // config["num_attention_heads"]
    biases = [
        (f"attn_{part}.bias", (config[f"num_{heads}_heads"] * size,))
        for part, heads in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))
    ]
    layer = [*attention_shapes(config, size), *biases, *feed_forward_shapes(config)]
    return llama_tensors(config, all_in(Q8_0), layer=layer)


def qwen3(config: Config) -> list[Tensor]:
    size = config["head_dim"]
    layer = [*attention_shapes(config, size), *query_key_norm_shapes(size), *feed_forward_shapes(config)]
    return llama_tensors(config, q4_k_m(config["num_hidden_layers"]), layer=layer)


def qwen3_moe(config: Config) -> list[Tensor]:
    size, hidden = config["head_dim"], config["hidden_size"]
    experts = experts_shapes(hidden, config["num_experts"], config["moe_intermediate_size"])
    layer = [*attention_shapes(config, size), *query_key_norm_shapes(size), *experts]
    return llama_tensors(config, q4_k_m(config["num_hidden_layers"]), layer=layer)


def mixtral(config: Config) -> list[Tensor]:
    experts = experts_shapes(config["hidden_size"], config["num_local_experts"], config["intermediate_size"])
    layer = [*attention_shapes(config, config["head_dim"]), *experts]
    return llama_tensors(config, q4_k_m(config["num_hidden_layers"]), layer=layer)


def gemma2(config: Config) -> list[Tensor]:
    hidden = config["hidden_size"]
    after = [("post_attention_norm.weight", (hidden,)), ("post_ffw_norm.weight", (hidden,))]
    layer = [*attention_shapes(config, config["head_dim"]), *after, *feed_forward_shapes(config)]
    return llama_tensors(config, all_in(Q8_0), layer=layer)


def gemma3(config: Config) -> list[Tensor]:
    hidden, size = config["hidden_size"], config["head_dim"]
    after = [("post_attention_norm.weight", (hidden,)), ("post_ffw_norm.weight", (hidden,))]
    own = [*attention_shapes(config, size), *query_key_norm_shapes(size), *after, *feed_forward_shapes(config)]
    return llama_tensors(config, all_in(BF16), layer=own)


def phi3(config: Config) -> list[Tensor]:
    hidden, width = config["hidden_size"], config["intermediate_size"]
    layer = [("attn_norm.weight", (hidden,)), ("ffn_norm.weight", (hidden,)), ("attn_qkv.weight", (3 * hidden, hidden)),
             ("attn_output.weight", (hidden, hidden)), ("ffn_up.weight", (2 * width, hidden)),
             ("ffn_down.weight", (hidden, width))]  # fmt: skip
    return llama_tensors(config, all_in(Q8_0), layer=layer)


def gpt_oss(config: Config) -> list[Tensor]:
    hidden, heads, kv_heads, size = (config[name] for name in (
        "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))  # fmt: skip
    experts, width = config["num_local_experts"], config["intermediate_size"]
    attention = [("post_attention_norm.weight" if name == "ffn_norm.weight" else name, shape)
                 for name, shape in attention_shapes(config, size)]  # fmt: skip
    biases = [("attn_q.bias", (heads * size,)), ("attn_k.bias", (kv_heads * size,)),
              ("attn_v.bias", (kv_heads * size,)), ("attn_output.bias", (hidden,)), ("attn_sinks.weight", (heads,)),
              ("ffn_gate_inp.bias", (experts,)), ("ffn_gate_exps.bias", (experts, width)),
              ("ffn_up_exps.bias", (experts, width)), ("ffn_down_exps.bias", (experts, hidden))]  # fmt: skip
    layer = [*attention, *biases, *experts_shapes(hidden, experts, width)]
    types = all_in(Q8_0)
    return llama_tensors(config, lambda name: MXFP4 if name.endswith("exps.weight") else types(name), layer=layer)


def deepseek2(config: Config) -> list[Tensor]:
    hidden, heads, latent = config["hidden_size"], config["num_attention_heads"], config["kv_lora_rank"]
    plain, rotary, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    width, experts, shared = config["moe_intermediate_size"], config["n_routed_experts"], config["n_shared_experts"]
    attention = [("attn_norm.weight", (hidden,)), ("ffn_norm.weight", (hidden,)),
                 ("attn_q.weight", (heads * (plain + rotary), hidden)),
                 ("attn_kv_a_mqa.weight", (latent + rotary, hidden)), ("attn_kv_a_norm.weight", (latent,)),
                 ("attn_kv_b.weight", (heads * (plain + value), latent)),
                 ("attn_output.weight", (hidden, heads * value))]  # fmt: skip
    always = feed_forward_shapes({"hidden_size": hidden, "intermediate_size": shared * width})
    moe = [*experts_shapes(hidden, experts, width),
           *((name.replace(".weight", "_shexp.weight"), shape) for name, shape in always)]  # fmt: skip
    types = all_in(Q8_0)
    tensors = llama_tensors({**config, "num_hidden_layers": 0}, types)
    for index in range(config["num_hidden_layers"]):
        layer = attention + (moe if index >= config["first_k_dense_replace"] else feed_forward_shapes(config))
        tensors += [(f"blk.{index}.{name}", shape, types(name)) for name, shape in layer]
    return tensors


def falcon(config: Config) -> list[Tensor]:
    hidden = config["hidden_size"]
    size = hidden // config["num_attention_heads"]
    layer = [("attn_norm.weight", (hidden,)), ("attn_norm.bias", (hidden,)),
             ("attn_qkv.weight", (hidden + 2 * size, hidden)), ("attn_output.weight", (hidden, hidden)),
             ("ffn_up.weight", (4 * hidden, hidden)), ("ffn_down.weight", (hidden, 4 * hidden))]  # fmt: skip
    return [*llama_tensors(config, all_in(Q8_0), layer=layer), ("output_norm.bias", (hidden,), F32)]


def gpt2(config: Config) -> list[Tensor]:
    hidden = config["n_embd"]
    sizes = {"attn_norm": (), "ffn_norm": (), "attn_qkv": (3 * hidden, hidden), "attn_output": (hidden, hidden),
             "ffn_up": (4 * hidden, hidden), "ffn_down": (hidden, 4 * hidden)}  # fmt: skip
    layer: list[tuple[str, tuple[int, ...]]] = []
    for name, shape in sizes.items():
        layer += [(f"{name}.weight", shape or (hidden,)), (f"{name}.bias", (shape or (hidden,))[:1])]
    sizes_as_llama = {"hidden_size": hidden, "num_hidden_layers": config["n_layer"],
                      "num_attention_heads": config["n_head"]}  # fmt: skip
    tensors = llama_tensors({**config, **sizes_as_llama}, all_in(Q8_0), layer=layer)
    return [*tensors, ("position_embd.weight", (1024, hidden), F32), ("output_norm.bias", (hidden,), F32)]


GPT2_KEYS = {"embedding_length": 768, "block_count": 12, "attention.head_count": 12, "feed_forward_length": 3072,
             "context_length": 1024}  # fmt: skip
MODELS: dict[str, tuple[str, Callable[[Config], list[Tensor]], dict[str, Any]]] = {
    "llama-3.1-8b": ("llama", llama, {}),
    "qwen2.5-7b": ("qwen2", qwen2, {}),
    "qwen3-8b": ("qwen3", qwen3, {}),
    "qwen3-30b-a3b": ("qwen3moe", qwen3_moe, {}),
    "mixtral-8x7b": ("llama", mixtral, {}),
    "gemma-2-9b": ("gemma2", gemma2, {}),
    "gemma-3-12b": ("gemma3", gemma3, {}),
    "phi-3-mini": ("phi3", phi3, {}),
    "gpt-oss-20b": ("gpt-oss", gpt_oss, {"expert_feed_forward_length": 2880}),
    "deepseek-v2-lite": ("deepseek2", deepseek2, {}),
    "falcon-7b": ("falcon", falcon, {"feed_forward_length": 4 * 4544, "attention.head_count_kv": 1}),
    "gpt2-small": ("gpt2", gpt2, GPT2_KEYS),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_same_model_as_its_config(name: str, tmp_path: Path, h100: Hardware) -> None:
    architecture, tensors_of, more = MODELS[name]
    config = _text(model_spec(name)["config"])
    tensors = tensors_of(config)
    file = tmp_path / f"{name}.gguf"
    file.write_bytes(gguf_bytes(metadata_of(architecture, config, **more), tensors))
    model, original = load_model(str(file)), load_config(config, name=name, source="the language model's config")
    assert model.parameters == original.parameters
    assert model.facts["active_parameters"] == original.facts["active_parameters"]
    assert model.facts["kv_bytes_per_token"] == original.facts["kv_bytes_per_token"]
    assert model.max_context == original.max_context
    for phase, graph in original.phases.items():
        check_graph(model.phases[phase])
        own, theirs = (cost_graph(each, SIZES) for each in (model.phases[phase], graph))
        assert own.matrix_flops == theirs.matrix_flops
    assert memory_need(model, h100, "graphs").weight_bytes == data_bytes(tensors)
    assert not any("lacks" in note or "not understood" in note for note in model.notes)


@pytest.fixture(scope="module")
def h100() -> Hardware:
    from perfmodel.catalog import load_hardware

    return load_hardware("h100-sxm")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_leads_to_a_known_model_type(name: str) -> None:
    assert ARCHITECTURES[name].model_type in DIALECTS


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"x\.gguf: unknown architecture 'qwen3mo'\. Nearest: qwen3moe.*config\.json"):
        gguf_config({"general.architecture": "qwen3mo"}, {}, "x.gguf")
    with pytest.raises(ModelError, match=r"missing: general\.architecture"):
        gguf_config({}, {}, "x.gguf")


def test_missing_keys_are_named_all_at_once() -> None:
    metadata = {"general.architecture": "qwen3moe", "qwen3moe.expert_count": 8, "qwen3.block_count": 3}
    with pytest.raises(ModelError) as caught:
        gguf_config(metadata, {}, "x.gguf")
    needed = ("block_count", "embedding_length", "attention.head_count", "vocab_size", "expert_used_count",
              "expert_feed_forward_length")  # fmt: skip
    assert all(key in str(caught.value) for key in needed)
    assert "metadata under 'qwen3moe.'" in str(caught.value)


def test_values_per_layer_count_if_they_are_all_the_same() -> None:
    sizes = {"embedding_length": 64, "block_count": 3, "feed_forward_length": (128, 128, 128), "vocab_size": 9,
             "attention.head_count": 4, "attention.head_count_kv": (2, 2, 2)}  # fmt: skip
    metadata = {"general.architecture": "llama"} | {f"llama.{key}": own for key, own in sizes.items()}
    config = gguf_config(metadata, {}, "x.gguf")
    assert (config["intermediate_size"], config["num_key_value_heads"]) == (128, 2)
    with pytest.raises(ModelError, match=r"attention\.head_count_kv must be a whole number"):
        gguf_config({**metadata, "llama.attention.head_count_kv": (2, 1, 2)}, {}, "x.gguf")


def test_layers_that_predict_further_tokens_are_not_counted() -> None:
    sizes = {"embedding_length": 64, "block_count": 3, "feed_forward_length": 128, "attention.head_count": 4,
             "vocab_size": 9, "nextn_predict_layers": 1}  # fmt: skip
    metadata = {"general.architecture": "glm4"} | {f"glm4.{key}": own for key, own in sizes.items()}
    assert gguf_config(metadata, {}, "x.gguf")["num_hidden_layers"] == 2


def test_newer_files_keep_the_sizes_of_latent_heads_apart() -> None:
    """Since April 2025 key_length is that of the cached latent, and key_length_mla that of a head."""
    sizes = {"embedding_length": 7168, "block_count": 61, "feed_forward_length": 18432, "attention.head_count": 128,
             "attention.head_count_kv": 1, "vocab_size": 129280, "attention.q_lora_rank": 1536,
             "attention.kv_lora_rank": 512, "rope.dimension_count": 64, "attention.key_length": 576,
             "attention.value_length": 512, "attention.key_length_mla": 192, "attention.value_length_mla": 128,
             "expert_count": 256, "expert_used_count": 8, "expert_feed_forward_length": 2048,
             "expert_shared_count": 1, "leading_dense_block_count": 3}  # fmt: skip
    config = gguf_config(
        {"general.architecture": "deepseek2"} | {f"deepseek2.{key}": own for key, own in sizes.items()}, {}, "x.gguf"
    )
    original = model_spec("deepseek-v3")["config"]
    same = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "hidden_size",
            "moe_intermediate_size", "n_shared_experts", "first_k_dense_replace", "num_hidden_layers")  # fmt: skip
    assert {key: config[key] for key in same} == {key: original[key] for key in same}
