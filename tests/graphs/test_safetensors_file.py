"""Safetensors as models: the config beside them, stored dtypes, what only one side has, files without a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.running import run

from graphs.front_ends import assert_predicted
from graphs.safetensors_writer import llama_shapes, safetensors_bytes
from perfmodel.errors import ModelError
from perfmodel.graphs import load_model, model_spec
from perfmodel.graphs.huggingface import load_config
from perfmodel.types import Model

LLAMA = {"model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 512,
         "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
         "torch_dtype": "bfloat16"}  # fmt: skip
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 64}


def put(folder: Path, config: dict[str, Any] | None, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> Path:
    folder.mkdir(exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder / "model.safetensors"


def with_config(path: Path) -> str:
    return str(put(path / "tiny", LLAMA, llama_shapes(LLAMA)))


def without_config(path: Path) -> str:
    return str(put(path / "bare", None, llama_shapes(QWEN3)))


# name -> a function that makes a source in a folder; each must pass what all front-ends must
CASES = [("safetensors", with_config), ("safetensors without a config", without_config)]


@pytest.mark.parametrize(("name", "make"), CASES)
def test_what_every_front_end_must_do(name: str, make: Any, tmp_path: Path) -> None:
    assert_predicted(make(tmp_path))


def same(model: Model, config: dict[str, Any]) -> bool:
    expected = load_config(config, name=model.name, source=model.source)
    return model.phases == expected.phases and model.parameters == expected.parameters


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b"])
def test_the_same_model_as_its_config(name: str, tmp_path: Path) -> None:
    config = model_spec(name)["config"]
    model = load_model(str(put(tmp_path / name, config, llama_shapes(config))))
    assert model.parameters == load_model(name).parameters
    assert same(model, config)
    assert model.name == name
    assert model.facts["stored_dtypes"] == "BF16 100.0%"
    assert not any("stored" in note for note in model.notes)


@pytest.mark.torch
def test_what_transformers_saves(tmp_path: Path) -> None:
    """Real checkpoints, whole and in shards: parameters agree with torch's own count, without a note."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(**{key: own for key, own in LLAMA.items() if key not in ("model_type",)})
    network = transformers.LlamaForCausalLM(config)
    for folder, size in ((tmp_path / "whole", "1GB"), (tmp_path / "shards", "1MB")):
        network.save_pretrained(folder, max_shard_size=size)
        model = load_model(str(folder))
        assert model.parameters == sum(own.numel() for own in network.parameters())
        assert not any("parameters" in note for note in model.notes)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1


def test_a_folder_and_its_index_are_the_same_model(tmp_path: Path) -> None:
    file = put(tmp_path / "tiny", LLAMA, llama_shapes(LLAMA))
    index = file.parent / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(llama_shapes(LLAMA), file.name)}))
    models = [load_model(str(source)) for source in (file, file.parent, index)]
    assert {(model.name, model.parameters) for model in models} == {("tiny", models[0].parameters)}
    assert "tiny" in run("models", "show", str(file)).stdout


# ------------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [("BF16", "bf16"), ("F16", "fp16"), ("F32", "fp32"), ("F8_E4M3", "fp8"), ("I8", "w8a16")],
)
def test_stored_dtypes_count(dtype: str, precision: str, tmp_path: Path) -> None:
    config = {key: own for key, own in LLAMA.items() if key != "torch_dtype"}
    tensors = {
        name: (dtype if name.endswith("_proj.weight") else "BF16" if len(dtype) != 3 else dtype, shape)
        for name, (_, shape) in llama_shapes(config).items()
    }
    model = load_model(str(put(tmp_path / "tiny", config, tensors)))
    assert model.precision == precision
    told = [note for note in model.notes if f"stored as {dtype}" in note]
    assert bool(told) == (precision in ("fp8", "w8a16"))


def test_a_config_that_says_otherwise_is_noted(tmp_path: Path) -> None:
    model = load_model(str(put(tmp_path / "tiny", LLAMA, llama_shapes(LLAMA, "F32"))))
    assert model.precision == "fp32"
    assert "config.json says bfloat16, but weights are stored as float32: that counts" in model.notes


def test_quantisation_of_the_config_counts_and_its_bytes_are_compared(tmp_path: Path) -> None:
    config = LLAMA | {"quantization_config": {"quant_method": "fp8"}}
    stored = {
        name: ("F8_E4M3" if name.endswith("_proj.weight") else dtype, shape)
        for name, (dtype, shape) in llama_shapes(config).items()
    }
    model = load_model(str(put(tmp_path / "tiny", config, stored)))
    assert model.precision == "fp8"
    assert not any("GB" in note for note in model.notes)
    less = {name: own for name, own in stored.items() if "mlp" not in name}
    assert any("take 0.00" in note for note in load_model(str(put(tmp_path / "tiny", config, less))).notes)


def test_packed_weights_need_a_config_that_says_how(tmp_path: Path) -> None:
    packed = {f"model.layers.0.mlp.up_proj.{part}": ("I32", (64, 256)) for part in ("qweight", "qzeros")}
    with pytest.raises(ModelError, match=r"packed as I32.*quantization_config"):
        load_model(str(put(tmp_path / "tiny", LLAMA, packed)))
    config = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}
    assert load_model(str(put(tmp_path / "tiny", config, packed))).precision == "w4a16"


# ------------------------------------------------------------------------------------ what only one side has


def test_parameters_that_are_not_counted_are_named(tmp_path: Path) -> None:
    tensors = llama_shapes(LLAMA) | {"vision_tower.patches.weight": ("BF16", (10, 30))}
    (note,) = [own for own in load_model(str(put(tmp_path / "tiny", LLAMA, tensors))).notes if "parameters" in own]
    assert "300 that are not counted" in note
    assert "vision_tower: 300" in note


def test_parameters_that_are_missing_are_named(tmp_path: Path) -> None:
    tensors = {name: own for name, own in llama_shapes(LLAMA).items() if not name.startswith("model.layers.2.")}
    notes = load_model(str(put(tmp_path / "tiny", LLAMA, tensors))).notes
    assert any("fewer than the config describes" in note for note in notes)


def test_a_tied_head_that_is_stored_is_counted_once(tmp_path: Path) -> None:
    config = LLAMA | {"tie_word_embeddings": True}
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (16,))}
    model = load_model(str(put(tmp_path / "tiny", config, llama_shapes(LLAMA) | buffers)))
    assert same(model, config)
    assert any("lm_head.weight is stored beside" in note for note in model.notes)
    assert not any("parameters" in note for note in model.notes)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model(str(tmp_path / "nowhere.safetensors"))
    file = put(tmp_path / "tiny", None, {"lora_A.weight": ("BF16", (4, 4))})
    with pytest.raises(ModelError, match=r"no config\.json beside it.*lora_A\.weight.*no known layout"):
        load_model(str(file))
