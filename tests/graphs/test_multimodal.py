"""Multimodal models against the transformers implementations: parameters of the whole, FLOPs of the vision tower."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.flops_by_hand import matrix_flops
from graphs.front_ends import assert_loads_or_is_refused, assert_predicted
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs import load_model
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.vision_connectors import CONNECTORS
from perfmodel.predict import predict
from perfmodel.types import Model

TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 500, "pad_token_id": 0}  # fmt: skip
VISION = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4}
IMAGE = {"image_size": 56, "patch_size": 14}
QWEN = {"depth": 4, "num_heads": 4, "patch_size": 14}
MOE = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}


def parts(text: str, vision: str, more_text: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "text_config": {"model_type": text, **TEXT, **(more_text or {})},
        "vision_config": {"model_type": vision, **(VISION | more)},
    }


QWEN3 = QWEN | {"patch_size": 16, "hidden_size": 48, "intermediate_size": 80, "out_hidden_size": 64,
                "num_position_embeddings": 64}  # fmt: skip
LINEAR = {"head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
          "linear_value_head_dim": 16, "layer_types": ["linear_attention", "full_attention"]}  # fmt: skip
LATENT = {"q_lora_rank": 32, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
          "moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
          "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}  # fmt: skip
# config, pixels of a side
FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "llava": (parts("llama", "clip_vision_model", **IMAGE), 56),
    "llava_next": (parts("mistral", "clip_vision_model", **IMAGE), 56),
    "llava_onevision": (parts("qwen2", "siglip_vision_model", image_size=60, patch_size=14, vision_use_head=False), 60),
    "gemma3": (parts("gemma3_text", "siglip_vision_model", {"head_dim": 16}, **IMAGE) | {"mm_tokens_per_image": 4}, 56),
    "paligemma": (parts("gemma", "siglip_vision_model", {"head_dim": 16}, **IMAGE) | {"projection_dim": 64}, 56),
    "mistral3": (parts("mistral", "pixtral", **IMAGE), 56),
    "internvl": (parts("qwen2", "internvl_vision", attention_bias=True, use_qk_norm=True, norm_type="rms_norm",
                       **IMAGE), 56),
    "idefics3": (parts("llama", "idefics3_vision", **IMAGE), 56),
    "smolvlm": (parts("llama", "smolvlm_vision", **IMAGE), 56),
    "llama4": (parts("llama4_text", "llama4_vision_model",
                     {"intermediate_size_mlp": 128, "head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1},
                     intermediate_size=192, projector_input_dim=72, projector_output_dim=72,
                     vision_output_dim=72, **IMAGE), 56),
    "kimi_k25": (parts("deepseek_v3", "kimi_k25_vision", LATENT | {"num_key_value_heads": 4}, patch_size=14,
                       pos_emb_height=8, pos_emb_width=8) | {"projection_hidden_size": 48}, 448),
    "qwen2_vl": ({"text_config": {**TEXT}, "vision_config": QWEN | {"embed_dim": 48, "hidden_size": 64}}, 448),
    "qwen2_5_vl": ({"text_config": {**TEXT}, "vision_config": QWEN | {
        "hidden_size": 48, "intermediate_size": 80, "out_hidden_size": 64, "fullatt_block_indexes": [3]}}, 448),
    "qwen3_vl": ({"text_config": {**TEXT, "head_dim": 16}, "vision_config": QWEN3 | {"deepstack_visual_indexes": [1]}},
                 448),
    "qwen3_vl_moe": ({"text_config": {**TEXT, "head_dim": 16, **MOE},
                      "vision_config": QWEN3 | {"deepstack_visual_indexes": [1, 2]}}, 448),
    "qwen3_5": ({"text_config": TEXT | LINEAR, "vision_config": QWEN3}, 448),
    "qwen3_5_moe": ({"text_config": TEXT | LINEAR | MOE | {"shared_expert_intermediate_size": 32},
                     "vision_config": QWEN3}, 448),
}  # fmt: skip
ROWS_OF_PIXELS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "kimi_k25")


def load(config: Mapping[str, Any], **more: Any) -> Model:
    return load_config(config, name="test", source="test.json", **more)


def traced_tower(module: Any, model_type: str, side: int) -> int:
    """FLOPs of one image through the tower and its connector, in a real run: grids decide what is computed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    inner = getattr(module, "model", module)
    inputs: dict[str, Any] = {"pixel_values": torch.zeros((1, 3, side, side))}
    if model_type in ROWS_OF_PIXELS:
        vision = module.config.vision_config
        rows = side // vision.patch_size
        shape = (rows * rows, 3, vision.patch_size, vision.patch_size)
        pixels = torch.zeros(shape if model_type == "kimi_k25" else (shape[0], 2 * 3 * shape[2] ** 2))
        inputs = {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, rows, rows]])}
    elif model_type == "mistral3":
        inputs["image_sizes"] = torch.tensor([[side, side]])
    elif model_type in ("idefics3", "smolvlm"):
        inputs["pixel_values"] = torch.ones((1, 1, 3, side, side))
    elif model_type in ("llava_next", "llava_onevision"):  # the tiles of an image are cut before
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            hidden = inner.vision_tower(inputs["pixel_values"]).last_hidden_state
            inner.multi_modal_projector(hidden[:, 1:] if model_type == "llava_next" else hidden)
        return counter.get_total_flops()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        features = inner.get_image_features(**inputs)
        if model_type == "llama4":
            module.multi_modal_projector(features.last_hidden_state)
    return counter.get_total_flops()


@pytest.mark.torch
@pytest.mark.parametrize("model_type", FAMILIES)
def test_family_equals_its_module(model_type: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    stated, side = FAMILIES[model_type]
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    config = transformers.CONFIG_MAPPING[model_type](**stated)
    module = transformers.AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    model = load(config.to_dict())
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not [note for note in model.notes if "not understood" in note]
    assert model.facts["image_size"] == [side, side]
    assert matrix_flops(model.phases["encode_image"], batch=1) == traced_tower(module, model_type, side)
    assert torch is not None


MLLAMA = {
    "text_config": TEXT | {"num_hidden_layers": 4, "cross_attention_layers": [1, 3]},
    "vision_config": {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_global_layers": 2,
                      "attention_heads": 4, "image_size": 56, "patch_size": 14, "intermediate_layers_indices": [0, 2],
                      "vision_output_dim": 144},
}  # fmt: skip


@pytest.mark.torch
def test_mllama_equals_its_module() -> None:
    """An image of four tiles beside a prompt of 5 tokens; then a step that reads what is kept of both."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.CONFIG_MAPPING["mllama"](**MLLAMA)
    module = transformers.AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    model = load(config.to_dict())
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not [note for note in model.notes if "not understood" in note]
    ids, ones = torch.zeros((1, 5), dtype=torch.long), torch.ones((1, 1, 4), dtype=torch.long)
    image = {"pixel_values": torch.zeros((1, 1, 4, 3, 56, 56)), "aspect_ratio_ids": ones[:, :, 0],
             "aspect_ratio_mask": ones, "cross_attention_mask": torch.ones((1, 5, 1, 4))}  # fmt: skip
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = module(input_ids=ids, **image, use_cache=True, logits_to_keep=1)
    own = matrix_flops(model.phases["encode_image"], batch=1)
    own += matrix_flops(model.phases["prefill"], batch=1, tokens=5, context=5)
    padded = 4 * 24  # the mask of tiles is a product of two vectors there
    assert own == counter.get_total_flops() - 2 * padded * padded
    mask = {"cross_attention_mask": torch.ones((1, 1, 1, 4))}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(input_ids=ids[:, :1], past_key_values=outputs.past_key_values, use_cache=True, **mask)
    assert matrix_flops(model.phases["decode"], batch=1, context=6) == counter.get_total_flops()


def test_mllama_keeps_its_image_beside_the_prompt() -> None:
    model = load({"model_type": "mllama", **MLLAMA})
    assert any("68 positions beside the input tokens" in note for note in model.notes)  # four tiles of 16 + 1
    prediction = predict(model, "h100-sxm", input_tokens=10, output_tokens=6)
    positions = 2 * 16 + 2 * 68  # self and cross attention layers
    assert prediction.memory_bytes["cache"] == 2 * 2 * 16 * 2 * positions
    with pytest.raises(ModelError, match="fixed size"):
        load({"model_type": "mllama", **MLLAMA}, image_size=112)


def test_every_family_is_compared() -> None:
    assert CONNECTORS.keys() == FAMILIES.keys()


@pytest.mark.parametrize(("model_type", "tokens"), [("llava", 16), ("gemma3", 4), ("mistral3", 4), ("internvl", 4),
                                                    ("qwen2_5_vl", 256), ("llama4", 4)])  # fmt: skip
def test_an_image_is_so_many_tokens(model_type: str, tokens: int) -> None:
    config, side = FAMILIES[model_type]
    model = load({"model_type": model_type, **config})
    assert model.facts["image_tokens"] == tokens
    assert any(f"{side} x {side} pixels per sequence; it is {tokens} of the input" in note for note in model.notes)


def test_language_model_is_what_it_is_alone() -> None:
    config, _ = FAMILIES["llava"]
    whole, alone = load({"model_type": "llava", **config}), load(config["text_config"])
    for phase in ("prefill", "decode"):
        assert whole.phases[phase] == alone.phases[phase]
    tower = whole.parameters - alone.parameters
    assert tower > 0
    assert whole.facts["active_parameters"] == alone.facts["active_parameters"] + tower


def test_first_token_waits_for_the_image() -> None:
    prediction = predict("gemma-3-4b", "h100-sxm", input_tokens=1024)
    seconds = {name: phase.time.seconds for name, phase in prediction.phases.items()}
    assert [*seconds] == ["encode_image", "prefill", "decode"]
    assert prediction.first_token_seconds == pytest.approx(seconds["encode_image"] + seconds["prefill"])
    assert prediction.memory_bytes["weights"] == 2 * load_model("gemma-3-4b").parameters


def test_tower_keeps_its_precision() -> None:
    bf16, fp8 = (predict("gemma-3-4b", "h100-sxm", precision=name) for name in ("bf16", "fp8"))
    assert fp8.phases["encode_image"].time == bf16.phases["encode_image"].time
    assert fp8.phases["prefill"].time.seconds < bf16.phases["prefill"].time.seconds


def test_image_size_changes_the_tower_alone() -> None:
    config, _ = FAMILIES["qwen3_vl"]
    small, large = (load({"model_type": "qwen3_vl", **config}, image_size=side) for side in (224, 448))
    assert (small.facts["image_tokens"], large.facts["image_tokens"]) == (49, 196)
    assert small.parameters == large.parameters
    assert small.phases["prefill"] == large.phases["prefill"]
    flops = [cost_graph(model.phases["encode_image"], {"batch": 1}).matrix_flops for model in (small, large)]
    assert flops[1] > 4 * flops[0]
    with pytest.raises(ModelError, match="450 x 450 pixels"):
        load({"model_type": "qwen3_vl", **config}, image_size=450)


def test_windows_that_do_not_fit_are_said() -> None:
    config, _ = FAMILIES["qwen2_5_vl"]
    model = load({"model_type": "qwen2_5_vl", **config}, image_size=420)
    assert any("windows of 8 patches" in note for note in model.notes)


def test_what_a_part_leaves_out_is_said() -> None:
    """As in the published config of LLaVA 1.5, whose text_config states next to nothing."""
    config, _ = FAMILIES["llava"]
    text = {"model_type": "llama", "vocab_size": 32064}
    model = load({"model_type": "llava", **config, "text_config": text})
    assert model.facts["hidden_size"] == 4096
    assert any("text_config leaves out" in note and "hidden_size = 4096" in note for note in model.notes)


def test_an_unknown_tower_is_left_out_and_said() -> None:
    config, _ = FAMILIES["llava"]
    model = load({"model_type": "llava", **config, "vision_config": {"model_type": "eva", **VISION}})
    assert [*model.phases] == ["prefill", "decode"]
    assert any("not the parts under vision_config" in note for note in model.notes)


def test_mistakes_of_the_tower_name_their_place() -> None:
    config, _ = FAMILIES["qwen3_vl"]
    with pytest.raises(ModelError, match=r"vision_config \(model_type 'qwen3_vl'\): missing: .*depth"):
        load({"model_type": "qwen3_vl", **config, "vision_config": {"hidden_size": 48}})


OPTIONAL = ("mlp_ratio", "window_size", "spatial_merge_size", "downsample_ratio", "mm_tokens_per_image", "scale_factor",
            "pixel_shuffle_ratio", "temporal_patch_size", "max_num_tiles", "supported_aspect_ratios")  # fmt: skip


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_spoilt_configs_load_or_are_refused(data: st.DataObject) -> None:
    families = FAMILIES | {"mllama": (MLLAMA, 0)}
    model_type = data.draw(st.sampled_from(sorted(families)))
    parts = ("text_config", "vision_config")
    assert_loads_or_is_refused(data, model_type, families[model_type][0], parts, OPTIONAL)


def _source(tmp_path: Path, model_type: str) -> str:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **FAMILIES[model_type][0]}))
    return str(tmp_path)


CASES = [(name, lambda path, name=name: _source(path, name)) for name in ("llava", "qwen2_5_vl", "qwen3_vl", "llama4")]


@pytest.mark.parametrize(("name", "source"), CASES)
def test_source_is_predicted(name: str, source: Any, tmp_path: Path) -> None:
    assert_predicted(source(tmp_path))
