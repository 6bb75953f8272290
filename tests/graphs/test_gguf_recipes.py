"""Formats that llama.cpp's quantiser would choose: as large as the files that people share."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.errors import ModelError
from perfmodel.graphs import load_model, model_spec
from perfmodel.graphs.gguf_recipes import recipe_of, recipe_weights
from perfmodel.precisions import storage_bytes
from perfmodel.predict import predict


def stored_bytes(name: str) -> float:
    graph = load_model(name).phases["decode"]
    weights = [own for own in graph.tensors.values() if own.kind == "weight"]
    return sum(float(str(storage_bytes(own.shape, own.dtype))) * own.copies for own in weights)


# the sizes of the published files
@pytest.mark.parametrize(("name", "size"), [("llama-3-8b-q4_k_m", 4.92e9), ("llama-3-70b-q4_k_m", 42.52e9)])
def test_sizes_of_published_files(name: str, size: float) -> None:
    model, plain = load_model(name), load_model(name.removesuffix("-q4_k_m"))
    assert stored_bytes(name) == pytest.approx(size, rel=0.003)
    assert model.parameters == plain.parameters
    assert model.precision == "gguf:q4_k_m"


def test_formats() -> None:
    graph = load_model("llama-3-8b-q4_k_m").phases["decode"]
    formats = {own.dtype for own in graph.tensors.values() if own.kind == "weight"}
    assert formats == {"q4_k", "q6_k", "fp32"}
    assert graph.tensors["head.weight"].dtype == "q6_k"
    assert "q5_k" in {own.dtype for own in load_model("llama-3-70b-q4_k_m").phases["decode"].tensors.values()}


def test_fewer_bytes_are_faster() -> None:
    quantised, plain = (
        predict(name, "rtx-4090", input_tokens=512, output_tokens=64).phases["decode"].time.seconds
        for name in ("llama-3-8b-q4_k_m", "llama-3-8b")
    )
    assert 2.0 < plain / quantised < 4.0


@pytest.mark.parametrize("recipe", ["q4_0", "q8_0", "q6_k", "q4_k_s", "q4_k_m"])
@pytest.mark.parametrize("name", ["llama-3.2-1b", "mistral-7b-v0.1", "qwen3-0.6b"])
def test_every_weight_is_there(name: str, recipe: str) -> None:
    config: dict[str, Any] = model_spec(name)["config"]
    stored = recipe_weights(config, recipe)
    assert stored.precision == f"gguf:{recipe}"
    assert len(stored.layers) == config["num_hidden_layers"]
    elements = sum(own.elements for part in (stored.outside, *stored.layers) for own in part.tensors)
    assert elements == model_spec(name)["parameters"]


def test_what_is_not_known_is_refused() -> None:
    config = model_spec("llama-3-8b")["config"]
    with pytest.raises(ModelError, match=r"'q3_k_xl' of quant_method gguf is not known; known: q4_0"):
        recipe_weights(config, "q3_k_xl")
    with pytest.raises(ModelError, match=r"not of falcon; give a \.gguf"):
        recipe_weights({**config, "model_type": "falcon"}, "q4_0")
    assert recipe_of(config) == ""
    assert recipe_of({"quantization_config": {"quant_method": "gguf", "file_type": "Q4_K_M"}}) == "q4_k_m"
