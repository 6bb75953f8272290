"""Changes behind a model's name: what they do to the config, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import predict
from perfmodel.catalog_entries import model_entry
from perfmodel.errors import InputError, ModelError
from perfmodel.graphs import load_model
from perfmodel.graphs.overrides import changed_config, expand_overrides, plain_values, split_overrides

LLAMA = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "rope_theta": 10000.0,
    "layer_types": ["full_attention", "sliding_attention"] * 2, "tie_word_embeddings": False,
}  # fmt: skip


def change(**changes: str) -> dict[str, object]:
    return changed_config(LLAMA, changes, "example")


@given(layers=st.integers(1, 60), ffn=st.integers(1, 64))
def test_parameters_follow_depth_and_width(layers: int, ffn: int) -> None:
    ffn *= 256
    model = load_model(f"llama-3.1-8b:layers={layers}:ffn={ffn}")
    attention = 4096 * 128 * (2 * 32 + 2 * 8)
    assert model.parameters == layers * (attention + 3 * 4096 * ffn + 2 * 4096) + 4096 + 2 * 128256 * 4096
    assert model.name == f"llama-3.1-8b:layers={layers}:ffn={ffn}"


def test_names_of_the_config_work_too() -> None:
    short, own = (load_model(f"llama-3.1-8b:{key}=16") for key in ("layers", "num_hidden_layers"))
    assert short.parameters == own.parameters < load_model("llama-3.1-8b").parameters


def test_nothing_changed_is_the_model_itself() -> None:
    one, same = (predict(name, "h100-sxm") for name in ("llama-3.1-8b", "llama-3.1-8b:layers=32:hidden=4096"))
    assert one.phases["decode"].time == same.phases["decode"].time


def test_the_size_of_heads_follows_the_width_unless_it_is_its_own() -> None:
    assert change(hidden="1024")["head_dim"] == 128
    assert change(hidden="1024", heads="16")["head_dim"] == 64
    assert change(hidden="1024", head_size="64")["head_dim"] == 64
    apart = changed_config({**LLAMA, "head_dim": 96}, {"hidden": "500"}, "example")
    assert apart["head_dim"] == 96


def test_lists_of_layers_follow_the_depth() -> None:
    assert change(layers="5")["layer_types"] == [*LLAMA["layer_types"], "full_attention"]  # type: ignore[misc]
    assert change(layers="1")["layer_types"] == ["full_attention"]
    assert load_model("gemma-3-4b:layers=10").facts["layers"] == 10


def test_image_models_change_too() -> None:
    assert load_model("resnet-50:depths=3-4-23-3").parameters == load_model("resnet-101").parameters
    assert load_model("vit-b-16:layers=24:hidden=1024:ffn=4096:heads=16").parameters == pytest.approx(
        load_model("vit-l-16").parameters
    )


@pytest.mark.torch
def test_models_of_timm_take_the_arguments_of_their_class() -> None:
    pytest.importorskip("torch")
    try:
        model = load_model("timm:resnet50:layers=3-4-23-3")
    except ModelError as error:
        pytest.skip(str(error))
    assert model.parameters == 44_549_160
    assert model.name == "resnet50:layers=3-4-23-3"
    with pytest.raises(InputError, match="cannot be built with foo=3"):
        load_model("timm:resnet50:foo=3")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("llama-3.1-8b:layer=3", r"'layer' is nothing .* Nearest: layers.*Known: layers, hidden, ffn.*vocab_size"),
        ("llama-3.1-8b:layers=many", "layers must be a whole number, like 32, not 'many'"),
        ("llama-3.1-8b:layers=", "layers must be a whole number"),
        ("llama-3.1-8b:layers=0", "num_hidden_layers must be a whole number from 1"),
        ("llama-3.1-8b:layers=10_000_000", "num_hidden_layers must be a whole number from 1"),
        ("llama-3.1-8b:hidden=4100", "hidden_size 4100 is no multiple of num_attention_heads 32"),
        ("llama-3.1-8b:heads=0", "no multiple of num_attention_heads 0"),
        ("llama-3.1-8b:layers=2:num_hidden_layers=3", "layers and num_hidden_layers both change num_hidden_layers"),
        ("llama-3.1-8b:layers=2:layers=3", "layers is changed twice"),
        ("llama-3.1-8b:mlp_bias=3", "mlp_bias must be true or false, not '3'"),
        ("llama-3.1-8b:x=1:vocab=y", "'x' is nothing.*; vocab must be a whole number"),
        ("resnet-50:depths=3", r"depths must be a list of 4 whole numbers"),
        ("resnet-50:depths=a-b", "depths must be whole numbers with dashes between them, like 3-4-6-3"),
        ("torch:file.py:make:layers=3", "cannot be changed in a torch module"),
        ("model.onnx:layers=3", "cannot be changed in|no model|not a model|unknown"),
    ],
)
def test_mistakes_are_told(source: str, told: str) -> None:
    with pytest.raises((ModelError, InputError), match=told):
        load_model(source)


def test_config_files_and_their_folders(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "layer_types": None}), encoding="utf-8")
    whole = load_model(str(tmp_path))
    for source in (tmp_path, tmp_path / "config.json"):
        half = load_model(f"{source}:layers=2")
        assert half.parameters < whole.parameters
        assert half.name == f"{tmp_path.name}:layers=2"
    with pytest.raises(ModelError, match=r"config\.json.*'x' is nothing"):
        load_model(f"{tmp_path}:x=2")


@given(
    st.dictionaries(st.sampled_from(["layers", "hidden", "ffn"]), st.lists(st.integers(1, 99), min_size=1, max_size=3))
)
def test_every_combination_is_named_once(values: dict[str, list[int]]) -> None:
    text = ":".join(("m", *(f"{key}={'|'.join(map(str, each))}" for key, each in values.items())))
    names = expand_overrides(text)
    wanted = 1
    for each in values.values():
        wanted *= len(set(each))
    assert len(names) == len(set(names)) == wanted
    for name in names:
        model, changes = split_overrides(name)
        assert model == "m"
        assert all(int(changes[key]) in each for key, each in values.items())


def test_values_for_factories() -> None:
    assert plain_values({"a": "3", "b": "true", "c": "3-4", "d": "0.5", "e": "gelu"}) == {
        "a": 3, "b": True, "c": (3, 4), "d": 0.5, "e": "gelu"
    }  # fmt: skip


def test_a_changed_model_of_the_catalog_is_kept() -> None:
    assert model_entry("llama-3.1-8b:layers=3") is model_entry("llama-3.1-8b:layers=3")
