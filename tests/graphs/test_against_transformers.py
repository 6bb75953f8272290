"""Parameter counts and matrix FLOPs against the transformers implementations, traced on the meta device.

The trace knows nothing of perfmodel: torch counts the matrix products that the modules really run. Attention is traced
in its eager form, which multiplies all of S x T, so causal attention is counted in full on both sides. Mixtures of
experts are traced as `batched_mm`, which multiplies each token with the weights of the experts it was sent to, and
nothing else. Rotary angles, norms and activations contain no matrix product.

To add a model_type: a line in `FAMILIES`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from graphs.flops_by_hand import matrix_flops
from perfmodel.graphs.decoder_dialects import DIALECTS
from perfmodel.graphs.huggingface import load_config
from perfmodel.types import Model

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SPECS = Path(__file__).resolve().parents[2] / "model_specs"
# The angles of long-context rotary positions need figures that the catalog leaves out; weights are not unpacked here.
NOT_FOR_TRANSFORMERS = ("rope_scaling", "quantization_config", "architectures", "torch_dtype", "model_type")
POINTS = ((1, 128, 0), (2, 64, 192), (4, 1, 511))  # batch, new tokens, tokens in the cache before them
ENCODER_POINTS = ((1, 128), (2, 384), (4, 512))


def spec_config(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((SPECS / f"{name}.yaml").read_text(encoding="utf-8"))["config"])


def hf_config(config: Mapping[str, Any]) -> Any:
    kwargs = {key: value for key, value in config.items() if key not in NOT_FOR_TRANSFORMERS}
    return transformers.CONFIG_MAPPING[config["model_type"]](**kwargs)


def build(auto_class: Any, config: Any) -> Any:
    with torch.device("meta"):
        module = auto_class.from_config(config, attn_implementation="eager", dtype=torch.bfloat16).eval()
    if any("experts" in name for name, _ in module.named_parameters()):
        module.set_experts_implementation("batched_mm")
    return module


def count_parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())  # tied ones once


def traced_flops(module: Any, **inputs: Any) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(**inputs)
    return counter.get_total_flops()


def token_ids(batch: int, tokens: int) -> Any:
    return torch.zeros((batch, tokens), dtype=torch.long, device="meta")


def traced_step(module: Any, batch: int, tokens: int, cached: int, **inputs: Any) -> int:
    """FLOPs of a step that adds `tokens` to a cache which holds `cached` already."""
    cache = None
    if cached:
        with torch.no_grad():
            cache = module(token_ids(batch, cached), use_cache=True, logits_to_keep=1).past_key_values
    return traced_flops(module, input_ids=token_ids(batch, tokens), past_key_values=cache, use_cache=True, **inputs)


def own_step(model: Model, batch: int, tokens: int, cached: int) -> int:
    phase = "decode" if tokens == 1 else "prefill"
    values = {"batch": batch, "context": cached + tokens} | ({"tokens": tokens} if tokens > 1 else {})
    return matrix_flops(model.phases[phase], **values)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-30b-a3b", "mixtral-8x7b", "gpt2-small"])
def test_decoder_equals_its_trace(name: str) -> None:
    config = spec_config(name)
    model = load_config(config, name=name, source=name)
    module = build(transformers.AutoModelForCausalLM, hf_config(config))
    assert model.parameters == count_parameters(module)
    for point in POINTS:
        assert own_step(model, *point) == traced_step(module, *point, logits_to_keep=1), point


def test_deepseek_v3_equals_its_trace_but_for_the_absorbed_form() -> None:
    """Prefill is equal. In decode transformers expands keys and values of the whole cache in every step; engines, and
    this graph, take the expansion into query and output instead. The difference is exactly that, in every layer."""
    config = spec_config("deepseek-v3")
    model = load_config(config, name="deepseek-v3", source="")
    module = build(transformers.AutoModelForCausalLM, hf_config(config))
    assert model.parameters == count_parameters(module) == 671_026_404_352
    for point in POINTS[:2]:
        assert own_step(model, *point) == traced_step(module, *point, logits_to_keep=1), point
    batch, tokens, cached = POINTS[2]
    context, heads, latent, plain, rotary, value = cached + tokens, 128, 512, 128, 64, 128
    expansion = 2 * batch * context * latent * heads * (plain + value)
    attention = 2 * batch * heads * context * (plain + rotary + value)
    absorption = 2 * batch * heads * latent * (plain + value)
    latent_attention = 2 * batch * heads * context * (latent + rotary + latent)
    difference = 61 * (expansion + attention - absorption - latent_attention)
    assert difference > 0
    traced = traced_step(module, batch, tokens, cached, logits_to_keep=1)
    assert own_step(model, batch, tokens, cached) == traced - difference


def test_logits_of_all_positions_equal_the_trace() -> None:
    config = spec_config("llama-3.1-8b") | {"num_hidden_layers": 1}
    model = load_config(config, name="llama", source="", logits="all")
    module = build(transformers.AutoModelForCausalLM, hf_config(config))
    assert own_step(model, 2, 64, 0) == traced_step(module, 2, 64, 0)


def test_bert_equals_its_trace() -> None:
    config = spec_config("bert-base")
    model = load_config(config, name="bert-base", source="")
    module = build(transformers.AutoModel, hf_config(config))
    assert model.parameters == count_parameters(module) == 109_482_240
    for batch, tokens in ENCODER_POINTS:
        own = matrix_flops(model.phases["forward"], batch=batch, tokens=tokens)
        assert own == traced_flops(module, input_ids=token_ids(batch, tokens))


def test_vit_equals_its_trace() -> None:
    config = spec_config("vit-b-16")
    model = load_config(config, name="vit-b-16", source="")
    module = build(transformers.AutoModelForImageClassification, hf_config(config))
    assert model.parameters == count_parameters(module) == 86_567_656
    for batch in (1, 2, 8):
        pixels = torch.zeros((batch, 3, 224, 224), device="meta", dtype=torch.bfloat16)
        assert matrix_flops(model.phases["forward"], batch=batch) == traced_flops(module, pixel_values=pixels)
    larger = load_config(config, name="vit-b-16", source="", image_size=384)
    pixels = torch.zeros((2, 3, 384, 384), device="meta", dtype=torch.bfloat16)
    traced = traced_flops(module, pixel_values=pixels, interpolate_pos_encoding=True)
    assert matrix_flops(larger.phases["forward"], batch=2) == traced


@pytest.mark.parametrize("name", ["t5-small", "t5-base"])
def test_t5_equals_its_trace(name: str) -> None:
    config = spec_config(name)
    model = load_config(config, name=name, source="", logits="all")
    module = build(transformers.AutoModelForSeq2SeqLM, hf_config(config))
    assert model.parameters == count_parameters(module)
    for batch, tokens in ENCODER_POINTS:
        ids = token_ids(batch, tokens)
        traced = traced_flops(module, input_ids=ids, decoder_input_ids=ids)
        assert matrix_flops(model.phases["forward"], batch=batch, tokens=tokens) == traced


# ------------------------------------------------------------- every model_type, with four layers of its defaults

FOUR_LAYERS = {"num_hidden_layers": 4}
_PLAIN = """
    llama mistral ministral3 mixtral qwen2 qwen2_moe qwen3 qwen3_moe gemma gemma2 phi3 phimoe opt
    gptj gpt_neox bloom starcoder2 stablelm olmo olmo2 olmoe cohere2 granite smollm3 seed_oss ernie4_5 glm glm4
    gpt_oss minimax_m2
"""
FAMILIES: dict[str, list[dict[str, Any]]] = {
    model_type: [FOUR_LAYERS] for model_type in _PLAIN.split()
} | {
    "cohere": [FOUR_LAYERS, FOUR_LAYERS | {"use_qk_norm": True}],
    "deepseek_v2": [FOUR_LAYERS | {"num_experts_per_tok": 6},
                    FOUR_LAYERS | {"num_experts_per_tok": 6, "q_lora_rank": None, "first_k_dense_replace": 1}],
    "deepseek_v3": [FOUR_LAYERS],
    "falcon": [FOUR_LAYERS, FOUR_LAYERS | {"parallel_attn": False, "bias": True, "alibi": True},
               FOUR_LAYERS | {"new_decoder_architecture": True, "num_attention_heads": 64, "hidden_size": 4096,
                              "num_kv_heads": 8}],
    "gemma3_text": [{"num_hidden_layers": 7}],
    "glm4_moe": [FOUR_LAYERS | {"head_dim": 128}, FOUR_LAYERS | {"head_dim": 128, "use_qk_norm": True}],
    "gpt2": [{"n_layer": 4}],
    "gpt_bigcode": [{"n_layer": 4}, {"n_layer": 4, "multi_query": False}],
    "nemotron": [FOUR_LAYERS | {"head_dim": 128, "num_key_value_heads": 8}],
    "phi": [FOUR_LAYERS, FOUR_LAYERS | {"qk_layernorm": True}],
    "stablelm": [FOUR_LAYERS, FOUR_LAYERS | {"use_qkv_bias": True, "use_parallel_residual": True}],
}  # fmt: skip
CASES = [pytest.param(name, more, id=f"{name}-{index}") for name, all_more in FAMILIES.items()
         for index, more in enumerate(all_more)]  # fmt: skip


def default_config(model_type: str, more: Mapping[str, Any]) -> Any:
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    return transformers.CONFIG_MAPPING[model_type](**more)


def assert_all_understood(model: Model) -> None:
    assert not [note for note in model.notes if "not understood" in note]


@pytest.mark.parametrize(("model_type", "more"), CASES)
def test_family_equals_its_trace(model_type: str, more: Mapping[str, Any]) -> None:
    config = default_config(model_type, more)
    model = load_config(config.to_dict(), name=model_type, source=model_type)
    module = build(transformers.AutoModelForCausalLM, config)
    assert model.parameters == count_parameters(module)
    assert own_step(model, 2, 24, 0) == traced_step(module, 2, 24, 0, logits_to_keep=1)
    assert_all_understood(model)


def test_opt_with_a_narrow_embedding_equals_its_trace() -> None:
    """With the logits of all positions: transformers projects all of them even if only the last is asked for."""
    config = default_config("opt", FOUR_LAYERS | {"word_embed_proj_dim": 512, "do_layer_norm_before": False})
    model = load_config(config.to_dict(), name="opt-350m", source="", logits="all")
    module = build(transformers.AutoModelForCausalLM, config)
    assert model.parameters == count_parameters(module)
    assert own_step(model, 2, 24, 0) == traced_step(module, 2, 24, 0)


@pytest.mark.parametrize("model_type", ["qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"])
def test_linear_attention_has_the_parameters_of_its_module(model_type: str) -> None:
    """Only parameters: the recurrence of the delta rule is one op without a formula here, many products there."""
    config = default_config(model_type, FOUR_LAYERS)
    model = load_config(config.to_dict(), name=model_type, source=model_type)
    assert model.parameters == count_parameters(build(transformers.AutoModelForCausalLM, config))
    assert_all_understood(model)


@pytest.mark.parametrize("shared", [False, True])
def test_llama4_equals_its_trace_but_for_idle_experts(shared: bool) -> None:
    """transformers sends every token through every expert and masks the result; engines run the chosen ones only."""
    config = default_config("llama4_text", FOUR_LAYERS | {"interleave_moe_layer_step": 2 if shared else 1})
    model = load_config(config.to_dict(), name="llama4", source="")
    module = build(transformers.AutoModelForCausalLM, config)
    assert model.parameters == count_parameters(module)
    values = {"batch": 2, "tokens": 24, "context": 24}
    chosen = matrix_flops(model.phases["prefill"], kind="experts", **values)
    idle = chosen * (config.num_local_experts // config.num_experts_per_tok - 1)
    assert own_step(model, 2, 24, 0) == traced_step(module, 2, 24, 0, logits_to_keep=1) - idle


@pytest.mark.parametrize("model_type", ["deepseek_v32", "glm_moe_dsa"])
def test_sparse_latent_attention_equals_its_trace_but_for_the_absorbed_form(model_type: str) -> None:
    """transformers expands keys and values and masks what the indexer left out; engines attend in the latent space.

    The window of index_topk keys is wider than this prompt, so that nothing is left out."""
    config = default_config(model_type, FOUR_LAYERS)
    model = load_config(config.to_dict(), name=model_type, source="")
    module = build(transformers.AutoModelForCausalLM, config)
    assert model.parameters == count_parameters(module)
    batch, tokens, heads, latent = 2, 24, config.num_attention_heads, config.kv_lora_rank
    key, rotary, value = config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
    scores = 2 * batch * heads * tokens * tokens
    difference = 4 * scores * (2 * latent + rotary - key - rotary - value)
    # the indexer's weighted sum over heads is a product there, and part of the scoring kernel here
    weighting = 4 * 2 * batch * tokens * tokens * config.index_n_heads
    traced = traced_step(module, batch, tokens, 0, logits_to_keep=1)
    assert own_step(model, batch, tokens, 0) in (traced + difference, traced + difference - weighting)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta", "camembert", "distilbert"])
def test_text_encoder_equals_its_trace(model_type: str) -> None:
    config = default_config(model_type, {})
    model = load_config(config.to_dict(), name=model_type, source=model_type)
    module = build(transformers.AutoModel, config)
    assert model.parameters == count_parameters(module)
    ids = token_ids(2, 24)
    traced = traced_flops(module, input_ids=ids, position_ids=ids) if "distil" not in model_type else traced_flops(
        module, input_ids=ids)  # fmt: skip
    assert matrix_flops(model.phases["forward"], batch=2, tokens=24) == traced
    assert_all_understood(model)


@pytest.mark.parametrize(
    ("model_type", "more"),
    [("vit", {}), ("deit", {}), ("clip_vision_model", {}), ("siglip_vision_model", {}), ("dinov2", {}),
     ("dinov2", {"use_swiglu_ffn": True}), ("siglip_vision_model", {"vision_use_head": False})],
)  # fmt: skip
def test_image_encoder_equals_its_trace(model_type: str, more: dict[str, Any]) -> None:
    config = default_config(model_type, more)
    model = load_config(config.to_dict() | {"id2label": None}, name=model_type, source=model_type)
    module = build(transformers.AutoModel, config)
    assert model.parameters == count_parameters(module)
    pixels = torch.zeros((2, 3, 224, 224), device="meta", dtype=torch.bfloat16)
    assert matrix_flops(model.phases["forward"], batch=2) == traced_flops(module, pixel_values=pixels)


def test_every_dialect_is_compared() -> None:
    elsewhere = {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "llama4_text", "deepseek_v32", "glm_moe_dsa"}
    # the language part of another model's class, or of code that transformers does not have
    same_as_another = {"ministral", "kimi_k2", "kimi_k25", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl",
                       "qwen2_5_vl_text", "qwen3_vl_text",
                       "qwen3_vl_moe_text", "mllama_text_model"}  # fmt: skip
    assert DIALECTS.keys() == FAMILIES.keys() | elsewhere | same_as_another


def test_a_full_trace_counts_layers_alike() -> None:
    """Twice the layers, twice the FLOPs of a layer: a repeated block stands for all its layers."""
    config = spec_config("llama-3.1-8b")
    two, four = (load_config(config | {"num_hidden_layers": count}, name="llama", source="") for count in (2, 4))
    assert own_step(four, 1, 64, 0) - own_step(two, 1, 64, 0) == 2 * math.prod((16384, 64, 64 + 26624))
