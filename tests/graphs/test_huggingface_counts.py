"""FLOPs and parameters of models from configs: closed forms, the catalog's figures, random sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from graphs.flops_by_hand import matrix_flops
from graphs.huggingface_configs import BERT, LATENT, LLAMA, MIXTURE, load
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.gguf_recipes import recipe_of
from perfmodel.graphs.huggingface import read_config_file
from perfmodel.sizes import product
from perfmodel.types import Graph

SPECS = Path(__file__).resolve().parents[2] / "model_specs"
SHARED_CONFIGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "model_configs"


def weight_elements(*graphs: Graph) -> int:
    statistics = ("running_mean", "running_var")  # of batch norms: stored beside the parameters
    tensors = {
        name: t
        for graph in graphs
        for name, t in graph.tensors.items()
        if t.kind == "weight" and not name.endswith(statistics)
    }
    return sum(int(product(t.shape)) * t.copies for t in tensors.values())  # type: ignore[arg-type]


def all_catalog_files() -> list[Path]:
    return sorted(SPECS.glob("*.yaml"))


@given(batch=st.integers(1, 64), tokens=st.integers(1, 512))
def test_bert_layer_closed_form(batch: int, tokens: int) -> None:
    graph = load(BERT).phases["forward"]
    assert matrix_flops(graph, block="layer", batch=batch, tokens=tokens) == 3072 * batch * tokens * (tokens + 4608)


@given(batch=st.integers(1, 64), tokens=st.integers(2, 8192))
def test_llama_layer_closed_form(batch: int, tokens: int) -> None:
    graph = load(LLAMA).phases["prefill"]
    counted = matrix_flops(graph, block="layer", batch=batch, tokens=tokens, context=tokens)
    assert counted == 16384 * batch * tokens * (tokens + 26624)


@given(batch=st.integers(1, 64), context=st.integers(1, 8192))
def test_llama_decode_layer_closed_form(batch: int, context: int) -> None:
    graph = load(LLAMA).phases["decode"]
    counted = matrix_flops(graph, block="layer", batch=batch, context=context)
    assert counted == 16384 * batch * (context + 26624)


@pytest.mark.parametrize("path", all_catalog_files(), ids=lambda path: path.stem)
def test_catalog_models_have_their_parameters(path: Path) -> None:
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    if recipe_of(spec["config"]):
        pytest.skip("weights as in a GGUF file: tests/graphs/test_gguf_recipes.py")
    model = load(spec["config"])
    assert model.parameters == spec["parameters"]
    if "active_parameters" in spec:  # published figures are rounded, and count embeddings or not
        assert model.facts["active_parameters"] == pytest.approx(spec["active_parameters"], rel=0.2)
    assert not [note for note in model.notes if "not understood" in note]
    for graph in model.phases.values():
        check_graph(graph)
    assert weight_elements(*model.phases.values()) == model.parameters


@pytest.mark.skipif(not SHARED_CONFIGS.is_dir(), reason="the shared model configs are not here")
def test_published_config_files_are_understood() -> None:
    for path in sorted(SHARED_CONFIGS.glob("*_config.json")):
        if "hf_quant_config" in path.name:
            continue
        model = read_config_file(path)
        assert not [note for note in model.notes if "not understood" in note], path.name


@st.composite
def decoders(draw: st.DrawFn) -> dict[str, Any]:
    kv_heads = draw(st.sampled_from([1, 2, 4]))
    return {
        "model_type": draw(st.sampled_from(["llama", "mistral", "qwen2", "qwen3"])),
        "vocab_size": draw(st.integers(2, 10**6)),
        "hidden_size": draw(st.integers(1, 64)) * 16,
        "intermediate_size": draw(st.integers(1, 10**5)),
        "num_hidden_layers": draw(st.integers(1, 200)),
        "num_attention_heads": kv_heads * draw(st.integers(1, 8)),
        "num_key_value_heads": kv_heads,
        "head_dim": draw(st.integers(1, 64)) * 2,
        "tie_word_embeddings": draw(st.booleans()),
    }


@given(decoders())
def test_parameters_of_random_decoders(config: dict[str, Any]) -> None:
    width, heads, kv_heads, size = (
        config[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    attention = width * size * (2 * heads + 2 * kv_heads)
    attention += size * (heads + 2 * kv_heads) if config["model_type"] == "qwen2" else 0
    attention += 2 * size if config["model_type"] == "qwen3" else 0
    layer = attention + 3 * width * config["intermediate_size"] + 2 * width
    tables = (1 if config["tie_word_embeddings"] else 2) * config["vocab_size"] * width
    model = load(config)
    assert model.parameters == config["num_hidden_layers"] * layer + width + tables
    assert model.facts["kv_bytes_per_token"] == config["num_hidden_layers"] * 2 * kv_heads * size * 2


@given(
    experts=st.integers(1, 64), layers=st.integers(1, 30), dense=st.integers(0, 30), shared=st.integers(0, 3),
    query_rank=st.integers(0, 64), data=st.data(),
)  # fmt: skip
def test_parameters_of_random_latent_mixtures(
    experts: int, layers: int, dense: int, shared: int, query_rank: int, data: st.DataObject
) -> None:
    per_token = data.draw(st.integers(1, experts))
    config = LATENT | {
        "n_routed_experts": experts, "num_experts_per_tok": per_token, "num_hidden_layers": layers,
        "first_k_dense_replace": dense, "n_shared_experts": shared, "q_lora_rank": query_rank,
    }  # fmt: skip
    width, heads, latent, rotary, plain, value = 256, 4, 64, 16, 32, 32
    queries = query_rank * (width + 1 + heads * (plain + rotary)) if query_rank else width * heads * (plain + rotary)
    keys = width * (latent + rotary) + latent + latent * heads * (plain + value)
    attention = queries + keys + heads * value * width + 2 * width
    dense = min(dense, layers)
    expert = 3 * width * 64
    mixtures = (layers - dense) * (experts * expert + shared * expert + width * experts)
    total = layers * attention + dense * 3 * width * 512 + mixtures + width + 2 * 1000 * width
    model = load(config)
    assert model.parameters == total
    assert model.facts["active_parameters"] == total - (layers - dense) * (experts - per_token) * expert
    assert weight_elements(model.phases["decode"]) == total


@given(batch=st.integers(1, 8), context=st.integers(2, 100))
def test_decode_is_a_prefill_of_one_token(batch: int, context: int) -> None:
    model = load(MIXTURE)
    prefill = matrix_flops(model.phases["prefill"], batch=batch, tokens=1, context=context)
    assert matrix_flops(model.phases["decode"], batch=batch, context=context) == prefill


def test_logits_of_all_positions() -> None:
    last, every = load(LLAMA), load(LLAMA, logits="all")
    values = {"batch": 2, "tokens": 10, "context": 10}
    difference = matrix_flops(every.phases["prefill"], **values) - matrix_flops(last.phases["prefill"], **values)
    assert difference == 2 * 2 * 9 * 4096 * 128256
