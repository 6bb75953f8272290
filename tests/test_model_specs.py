"""The model catalog is data: these tests read the YAML files alone, so that a wrong fact shows without any of our code.

The parameter counts are checked against closed forms written here a second time, apart from the front-end.
To add a model: one file in model_specs/, named as its id; nothing to change here unless its architecture is new.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

SPECS = Path(__file__).resolve().parent.parent / "model_specs"
FILES = sorted(SPECS.glob("*.yaml"))
REQUIRED = {"id", "name", "aliases", "family", "task", "source", "confidence", "config"}
OPTIONAL = {"parameters", "active_parameters"}
TASKS = {"text-generation", "encoder", "encoder-decoder", "image-classification", "image-generation", "multimodal"}
GATED_DECODERS = {"llama", "qwen2", "qwen3", "mistral", "phi3"}
PLAIN_DECODERS = {"gpt2", "opt"}


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def gated_decoder_parameters(c: dict[str, Any]) -> int:
    """L·(D·d·(2·H + 2·K) + 3·D·F + norms + biases) + D + V·D·(1 or 2): RMS norms, a gated MLP, rotary positions."""
    width, heads, kv_heads = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    head_dim = c.get("head_dim") or width // heads
    attention = width * head_dim * (2 * heads + 2 * kv_heads)
    if c["model_type"] == "qwen2":  # bias on q, k and v
        attention += head_dim * (heads + 2 * kv_heads)
    if c["model_type"] == "qwen3":  # one norm for a query head and one for a key head, shared by all heads
        attention += 2 * head_dim
    layer = attention + 3 * width * c["intermediate_size"] + 2 * width
    tables = 1 if c["tie_word_embeddings"] else 2
    return c["num_hidden_layers"] * layer + width + tables * c["vocab_size"] * width


def plain_decoder_parameters(c: dict[str, Any]) -> int:
    """L·(12·D² + 13·D) + 2·D + (V + positions)·D: layer norms, biases everywhere, a plain MLP, tied embedding."""
    gpt2 = c["model_type"] == "gpt2"
    width = c["n_embd" if gpt2 else "hidden_size"]
    layers = c["n_layer" if gpt2 else "num_hidden_layers"]
    positions = c["n_positions"] if gpt2 else c["max_position_embeddings"] + 2
    return layers * (12 * width**2 + 13 * width) + 2 * width + (c["vocab_size"] + positions) * width


def files_of(model_types: set[str]) -> list[Path]:
    return [path for path in FILES if load(path)["config"].get("model_type") in model_types]


def test_catalog_is_there() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_complete(path: Path) -> None:
    spec = load(path)
    assert REQUIRED <= set(spec) <= REQUIRED | OPTIONAL
    assert spec["id"] == path.stem == path.stem.lower()
    assert all(isinstance(spec[key], str) and spec[key].strip() for key in REQUIRED - {"aliases", "config"})
    assert spec["task"] in TASKS
    assert spec["confidence"] in {"high", "medium"}
    assert all(isinstance(alias, str) for alias in spec["aliases"])
    pipeline = "_class_name" in spec["config"]
    assert pipeline == (spec["task"] == "image-generation")
    parts = [part for part in spec["config"].values() if isinstance(part, dict)] if pipeline else [spec["config"]]
    for config in parts:
        if not pipeline or "_class_name" not in config:
            assert isinstance(config["model_type"], str)
            assert len(config["architectures"]) == 1


def test_image_pipelines_have_their_components() -> None:
    pipelines = [load(path)["config"] for path in FILES if load(path)["task"] == "image-generation"]
    assert len(pipelines) >= 6
    for config in pipelines:
        assert {"vae", "scheduler"} < set(config)
        assert ("unet" in config) != ("transformer" in config)
        stages = len(config["vae"]["block_out_channels"])
        assert stages == len(config["vae"]["up_block_types"]) == 4  # 8 pixels per latent


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sizes_agree_with_each_other(path: Path) -> None:
    spec = load(path)
    config = spec["config"].get("text_config", spec["config"])
    assert (spec["task"] == "multimodal") == ("text_config" in spec["config"])
    assert isinstance(spec["parameters"], int)
    assert 0 < spec.get("active_parameters", 1) < spec["parameters"]
    if "layer_types" in config:
        assert len(config["layer_types"]) == config["num_hidden_layers"]
    if "num_key_value_heads" in config:
        assert config["num_attention_heads"] % config["num_key_value_heads"] == 0


def test_ids_and_aliases_name_one_model_each() -> None:
    names = [name.lower() for path in FILES for name in [load(path)["id"], *load(path)["aliases"]]]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", files_of(GATED_DECODERS), ids=lambda path: path.stem)
def test_gated_decoder_count(path: Path) -> None:
    spec = load(path)
    assert gated_decoder_parameters(spec["config"]) == spec["parameters"]


@pytest.mark.parametrize("path", files_of(PLAIN_DECODERS), ids=lambda path: path.stem)
def test_plain_decoder_count(path: Path) -> None:
    spec = load(path)
    assert plain_decoder_parameters(spec["config"]) == spec["parameters"]
