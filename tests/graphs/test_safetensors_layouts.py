"""What tensors tell without a config, and what they cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from graphs.safetensors_writer import llama_shapes
from perfmodel.errors import ModelError
from perfmodel.graphs import model_spec
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.safetensors_layouts import config_of

QWEN3 = model_spec("qwen3-0.6b")["config"]


def shapes(config: dict[str, Any], **more: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (_, shape) in llama_shapes(config).items()} | {
        name.replace("__", "."): shape for name, shape in more.items()
    }


def parameters(config: dict[str, Any]) -> int:
    return load_config(config, name="x", source="x").parameters


def test_a_norm_per_head_tells_the_heads() -> None:
    config, notes = config_of(shapes(QWEN3), "x.safetensors")
    same = ("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "attention_bias", "tie_word_embeddings")  # fmt: skip
    assert {key: config[key] for key in same} == {key: QWEN3[key] for key in same}
    assert parameters(config) == parameters(QWEN3)
    assert notes == []


def test_gpt2_has_heads_of_64_in_all_sizes() -> None:
    original = model_spec("gpt2-medium")["config"]
    hidden, layers = original["n_embd"], original["n_layer"]
    found = {"wte.weight": (original["vocab_size"], hidden), "wpe.weight": (1024, hidden)}
    for index in range(layers):
        found |= {
            f"h.{index}.attn.c_attn.weight": (hidden, 3 * hidden),
            f"h.{index}.mlp.c_fc.weight": (hidden, 4 * hidden),
        }
    for prefix in ("", "transformer."):
        config, (note,) = config_of({f"{prefix}{name}": shape for name, shape in found.items()}, "x")
        assert config["n_head"] == original["n_head"]
        assert parameters(config) == parameters(original)
        assert "heads of 64" in note


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"drop": "q_norm"}, "how queries and keys are cut into heads; they tell: hidden size 1024, 28 layers"),
        ({"model__layers__0__mlp__experts__0__up_proj__weight": (8, 8)}, "how many experts a token is sent to"),
        ({"model__layers__0__pre_feedforward_layernorm__weight": (8,)}, "what pre_feedforward_layernorm.weight do"),
        ({"model__layers__0__self_attn__q_norm__weight": (2048,)}, "how queries and keys are cut into heads"),
        ({"drop": "mlp."}, "the width of the feed-forward"),
    ],
)
def test_what_shapes_do_not_tell(more: dict[str, Any], message: str) -> None:
    drop = more.pop("drop", "nothing") if "drop" in more else "nothing"
    found = {name: shape for name, shape in shapes(QWEN3, **more).items() if drop not in name}
    with pytest.raises(ModelError) as caught:
        config_of(found, "x.safetensors")
    assert message in str(caught.value)
    assert "put the config.json of the original model beside the file" in str(caught.value)
