"""Models from configs: kinds of layers, and what is wrong with a config or its file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs.huggingface_configs import BERT, LATENT, LLAMA, MIXTURE, load
from perfmodel.errors import ModelError, SpecError
from perfmodel.graphs.huggingface import read_config_file, supported_model_types
from perfmodel.types import Model

NEEDED = {
    "llama": (LLAMA, ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]),
    "bert": (BERT, [name for name in BERT if name != "model_type"]),
    "qwen3_moe": (MIXTURE, ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                            "moe_intermediate_size", "num_experts", "num_experts_per_tok"]),
    "deepseek_v3": (LATENT, ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                             "intermediate_size", "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok",
                             "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"]),
    "vit": ({"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 128, "image_size": 32, "patch_size": 8},
            ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size",
             "patch_size"]),
    "t5": ({"model_type": "t5", "vocab_size": 100, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2,
            "num_heads": 4}, ["vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"]),
}  # fmt: skip


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in names}


def blocks(model: Model, phase: str = "prefill") -> dict[str, int]:
    return {op.block: op.repeat for op in model.phases[phase].ops if op.block}


def attributes(model: Model, op_name: str, phase: str = "prefill") -> dict[str, Any]:
    return next(dict(op.attributes) for op in model.phases[phase].ops if op.name == op_name)


# -------------------------------------------------------------------------------------------- kinds of layers


def test_a_layer_has_few_ops() -> None:
    ops = [op for op in load(LLAMA).phases["prefill"].ops if op.block and op.kind != "view"]
    assert 10 <= len(ops) <= 12
    assert {op.repeat for op in ops} == {32}


def test_weights_and_caches_have_a_copy_per_layer() -> None:
    graph = load(LLAMA).phases["decode"]
    assert graph.tensors["layer.attention.qkv.weight"].copies == 32
    cache = graph.tensors["layer.attention.append.key_cache"]
    assert (cache.kind, cache.copies, [str(dim) for dim in cache.shape]) == (
        "cache",
        32,
        ["batch", "8", "context", "128"],
    )
    assert graph.symbols == ("batch", "context")


def test_tied_embeddings_are_one_tensor_of_two_ops() -> None:
    model = load(LLAMA | {"tie_word_embeddings": True})
    users = [op.name for op in model.phases["prefill"].ops if "embedding.weight" in op.inputs]
    assert users == ["embedding", "head"]
    assert model.parameters == load(LLAMA).parameters - 128256 * 4096


def test_gemma2_alternates() -> None:
    config = LLAMA | {"model_type": "gemma2", "num_hidden_layers": 26, "sliding_window": 4096, "head_dim": 256}
    model = load(config)
    assert blocks(model) == {"sliding_layer": 13, "full_layer": 13}
    assert attributes(model, "sliding_layer.attention.core")["window"] == 4096
    assert "window" not in attributes(model, "full_layer.attention.core")
    assert any("window" in note for note in model.notes)


def test_gemma3_has_five_sliding_layers_for_a_full_one() -> None:
    config = LLAMA | {"model_type": "gemma3_text", "num_hidden_layers": 26, "sliding_window": 512, "head_dim": 256}
    assert blocks(load(config)) == {"sliding_layer": 22, "full_layer": 4}


def test_mistral_slides_everywhere_unless_it_says_null() -> None:
    config = LLAMA | {"model_type": "mistral", "sliding_window": 4096}
    assert attributes(load(config), "layer.attention.core", "decode") == {"causal": False, "window": 4096}
    assert attributes(load(config | {"sliding_window": None}), "layer.attention.core") == {"causal": True}


def test_layer_types_count_more_than_the_rule() -> None:
    kinds = ["full_attention", "sliding_attention", "sliding_attention"]
    config = LLAMA | {"num_hidden_layers": 3, "layer_types": kinds, "sliding_window": 128}
    assert blocks(load(config)) == {"full_layer": 1, "sliding_layer": 2}


def test_dense_layers_come_first() -> None:
    assert blocks(load(LATENT)) == {"dense_layer": 1, "moe_layer": 3}


def test_sparse_step_and_listed_dense_layers() -> None:
    assert blocks(load(MIXTURE)) == {"layer": 6}
    assert blocks(load(MIXTURE | {"decoder_sparse_step": 2})) == {"dense_layer": 3, "moe_layer": 3}
    assert blocks(load(MIXTURE | {"mlp_only_layers": [0, 5]})) == {"dense_layer": 2, "moe_layer": 4}
    assert blocks(load(MIXTURE | {"num_experts": 0})) == {"layer": 6}


def test_llama4_interleaves() -> None:
    config = LLAMA | {
        "model_type": "llama4_text", "num_hidden_layers": 48, "num_local_experts": 128, "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2, "intermediate_size_mlp": 16384, "attention_chunk_size": 8192,
        "no_rope_layers": [],
    }  # fmt: skip
    model = load(config)
    assert blocks(model) == {"chunked_dense_layer": 24, "chunked_moe_layer": 12, "full_moe_layer": 12}
    ropes = [op.name for op in model.phases["decode"].ops if op.name.endswith("attention.rope")]
    assert ropes == ["chunked_dense_layer.attention.rope", "chunked_moe_layer.attention.rope"]


def test_latent_attention_reads_the_latent_cache_in_decode() -> None:
    graph = load(LATENT).phases["decode"]
    core = next(op for op in graph.ops if op.name == "moe_layer.attention.core")
    assert core.attributes == {"causal": False, "value_size": 64}
    cache = graph.tensors[core.inputs[1]]
    assert (cache.kind, str(cache.shape[1]), str(cache.shape[3])) == ("cache", "1", "80")
    readers = [op.name for op in graph.ops if "moe_layer.attention.kv_b.key.weight" in op.inputs]
    assert readers == ["moe_layer.attention.absorb_key"]


def test_both_phases_name_the_same_weights_and_caches() -> None:
    for config in (LLAMA, MIXTURE, LATENT):
        prefill, decode = (
            {name: tensor for name, tensor in graph.tensors.items() if tensor.kind in ("weight", "cache")}
            for graph in load(config).phases.values()
        )
        assert prefill == decode


def test_sparse_attention_limits_the_keys() -> None:
    config = LATENT | {"model_type": "deepseek_v32", "index_topk": 2048, "index_n_heads": 4, "index_head_dim": 32}
    model = load(config)
    assert attributes(model, "moe_layer.attention.core")["window"] == 2048
    assert model.facts["kv_bytes_per_token"] == 4 * (64 + 16 + 32) * 2


def test_sinks_and_biases_of_gpt_oss() -> None:
    config = MIXTURE | {"model_type": "gpt_oss", "sliding_window": 128}
    graph = load(config).phases["decode"]
    names = {name.split(".", 1)[1] for name in graph.tensors if name.startswith("full_layer")}
    assert {"attention.sinks", "moe.router.bias", "moe.experts.gate_up.bias", "attention.output.bias"} <= names


def test_parallel_blocks_share_a_norm() -> None:
    config = LLAMA | {"model_type": "phi"}
    names = [op.name for op in load(config).phases["decode"].ops if op.kind == "normalization"]
    assert names == ["layer.input_norm", "final_norm"]


def test_opt_positions_have_two_more_rows() -> None:
    config = LLAMA | {"model_type": "opt", "ffn_dim": 64, "max_position_embeddings": 2048, "word_embed_proj_dim": 512}
    tensors = load(config).phases["decode"].tensors
    assert tensors["positions.weight"].shape == (2050, 4096)
    assert tensors["embedding.weight"].shape == (128256, 512)


def test_vision_encoder_has_a_class_token_and_an_image_size() -> None:
    config = NEEDED["vit"][0]
    model = load(config)
    assert model.phases["forward"].symbols == ("batch",)
    assert model.facts["tokens"] == 17
    larger = load(config, image_size=64)
    assert larger.facts["tokens"] == 65
    assert larger.parameters == model.parameters
    with pytest.raises(ModelError, match="30 pixels"):
        load(config, image_size=30)


def test_multimodal_configs_give_their_language_model() -> None:
    config = {"model_type": "gemma3n", "text_config": LLAMA, "vision_config": {"hidden_size": 9},
              "tie_word_embeddings": True}  # fmt: skip
    model = load(config)
    assert model.facts["tied_embeddings"] is True
    assert any("vision_config" in note for note in model.notes)


def test_precision_is_what_the_file_states() -> None:
    assert load(LLAMA | {"torch_dtype": "float16"}).precision == "fp16"
    assert load(LLAMA | {"dtype": "float32"}).phases["decode"].tensors["head.weight"].dtype == "fp32"
    assert load(LLAMA).precision == "bf16"


# ----------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("model_type", NEEDED)
@given(data=st.data())
def test_all_missing_fields_are_named(model_type: str, data: st.DataObject) -> None:
    config, needed = NEEDED[model_type]
    removed = data.draw(st.sets(st.sampled_from(needed), min_size=1))
    with pytest.raises(ModelError) as caught:
        load(without(config, *removed))
    message = str(caught.value)
    assert all(name in message for name in removed)
    assert f"'{model_type}'" in message
    assert "test.json" in message


def test_a_missing_field_says_what_it_is_for() -> None:
    with pytest.raises(ModelError, match=r"missing: num_hidden_layers \(number of layers; also called n_layer"):
        load(without(LLAMA, "num_hidden_layers"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 0), ("hidden_size", -4096), ("hidden_size", "4096"), ("hidden_size", 4096.0),
        ("hidden_size", True), ("hidden_size", [4096]), ("num_hidden_layers", 10**12), ("num_attention_heads", 0),
        ("num_attention_heads", 33), ("num_key_value_heads", 5), ("vocab_size", 10**18), ("head_dim", -1),
        ("tie_word_embeddings", "yes"), ("hidden_act", "swoosh"), ("torch_dtype", "float7"),
        ("layer_types", ["full_attention"]), ("layer_types", ["magic"] * 32), ("layer_types", "full_attention"),
        ("sliding_window", -1), ("max_position_embeddings", {}),
    ],
)  # fmt: skip
def test_absurd_values_are_named(field: str, value: Any) -> None:
    with pytest.raises(ModelError, match=field):
        load(LLAMA | {field: value})


def test_more_experts_per_token_than_experts() -> None:
    with pytest.raises(ModelError, match="num_experts_per_tok"):
        load(MIXTURE | {"num_experts_per_tok": 17})


def test_sliding_layers_need_a_window() -> None:
    with pytest.raises(ModelError, match="sliding_window"):
        load(LLAMA | {"layer_types": ["sliding_attention"] * 32})


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ModelError) as caught:
        load(without(LLAMA, "vocab_size") | {"hidden_size": 0, "num_hidden_layers": "many"})
    assert all(name in str(caught.value) for name in ("vocab_size", "hidden_size", "num_hidden_layers"))
    assert "multiple" not in str(caught.value)  # a mistake that only stands in for another one


def test_unknown_architecture_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="unknown architecture 'zamba2'") as caught:
        load({"model_type": "zamba2", "hidden_size": 64, "num_hidden_layers": 2, "state_size": 16, "vocab_size": 10})
    assert all(name in str(caught.value) for name in ("llama", "bert", "vit"))


def test_misspelled_architecture_gets_a_hint() -> None:
    with pytest.raises(ModelError, match="Nearest: qwen2_moe"):
        load({"model_type": "qwen2moe"})


@pytest.mark.parametrize("value", [None, 3, ""])
def test_model_type_is_needed(value: Any) -> None:
    with pytest.raises(ModelError, match="model_type"):
        load(LLAMA | {"model_type": value})


def test_unknown_type_with_decoder_fields_is_built_with_a_loud_note() -> None:
    model = load(LLAMA | {"model_type": "brandnew", "architectures": ["BrandNewForCausalLM"]})
    assert model.parameters == load(LLAMA).parameters
    assert any("'brandnew' is unknown" in note for note in model.notes)


@pytest.mark.parametrize("foreign", [{"num_experts": 8}, {"ssm_state_size": 16}, {"architectures": ["NewForMaskedLM"]}])
def test_unknown_type_with_foreign_fields_is_refused(foreign: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="unknown architecture"):
        load(LLAMA | {"model_type": "brandnew"} | foreign)


def test_a_field_that_is_not_understood_is_noted() -> None:
    notes = load(LLAMA | {"loop_count": 3, "rope_theta": 1e6, "use_nothing": False}).notes
    assert notes == ("not understood: loop_count = 3; it may change the computation",)


def test_supported_types_are_listed() -> None:
    assert {"llama", "bert", "vit", "t5", "deepseek_v3"} <= set(supported_model_types())


# -------------------------------------------------------------------------------------------------------- files


def test_a_file_or_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    for path in (folder, folder / "config.json", str(folder)):
        model = read_config_file(path)
        assert (model.name, model.parameters) == ("my-llama", 8030261248)
        assert model.source.endswith("config.json")


def test_hf_quant_config_beside_it_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    (tmp_path / "hf_quant_config.json").write_text(
        json.dumps({"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}), encoding="utf-8"
    )
    model = read_config_file(tmp_path)
    assert model.precision == "fp8"
    assert model.phases["decode"].tensors["layer.attention.append.key_cache"].dtype == "fp8"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{\n "model_type": "llama",\n "hidden_size": 40', 3, "cut off"),
        ("", 1, "cut off"),
        ('{"a": 1,\n b: 2}', 2, "not JSON"),
        ("[1, 2]", 1, "JSON object"),
        ("null", 1, "JSON object"),
        ("[" * 100_000, 1, "JSON"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        read_config_file(path)
    assert f"{path}:{line}:" in str(caught.value)


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(SpecError, match="UTF-8"):
        read_config_file(path)


def test_missing_file_and_folder_without_config(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ModelError, match="no such file"):
            read_config_file(path)


def test_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    with pytest.raises(ModelError, match="limit"):
        read_config_file(path)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}", encoding="utf-8")

    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError

    # a real one does not stop the superuser
    monkeypatch.setattr("perfmodel.graphs.huggingface.read_bytes", refuse)
    with pytest.raises(ModelError, match="no permission"):
        read_config_file(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    folder.chmod(0)
    try:
        with pytest.raises(ModelError, match="no permission"):
            read_config_file(folder)
    finally:
        folder.chmod(0o700)
