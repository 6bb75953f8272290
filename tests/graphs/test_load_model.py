"""Sources are told apart by form and content; bad ones get one clear message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel.errors import InputError, ModelError, PerfmodelError, SpecError, UnknownNameError
from perfmodel.graphs import list_models, load_model, model_spec

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip


def test_config_file_its_folder_and_a_spec_are_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    spec = {"id": "tiny", "source": "a test", "config": CONFIG}
    (tmp_path / "tiny.yaml").write_text(json.dumps(spec))  # JSON is YAML
    sources = (str(tmp_path), str(tmp_path / "config.json"), str(tmp_path / "tiny.yaml"))
    assert len({load_model(source).parameters for source in sources}) == 1


def test_own_folder_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "model_specs"
    folder.mkdir()
    spec = {"id": "llama-3.1-8b", "source": "a test", "aliases": ["mine"], "config": CONFIG}
    (folder / "llama-3.1-8b.yaml").write_text(json.dumps(spec))
    assert load_model("llama-3.1-8b", specs=str(tmp_path)).parameters < 1_000_000
    assert load_model("mine", specs=str(tmp_path)).name == "llama-3.1-8b"


@pytest.mark.parametrize("name", list_models())
def test_every_catalog_model_loads_with_its_stated_parameters(name: str) -> None:
    model, spec = load_model(name), model_spec(name)
    assert model.parameters == spec["parameters"]
    assert model.phases


def test_aliases_and_case() -> None:
    assert load_model("meta-llama/Llama-3.1-8B").name == load_model("LLAMA-3.1-8B").name == "llama-3.1-8b"


def test_unknown_name_has_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"lama-3\.1-8b.*nearest: .*llama-3\.1-8b"):
        load_model("lama-3.1-8b")


def test_all_mistakes_of_a_spec_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("id: bad\nconfig: 3\nfamly: x\n")
    with pytest.raises(SpecError) as caught:
        load_model(str(file))
    text = str(caught.value)
    assert "bad.yaml:3" in text
    assert "family" in text
    assert "'source' is missing" in text
    assert "config" in text


@pytest.mark.parametrize(
    ("file", "content"),
    [("config.json", '{"model_type": "llama", '), ("config.json", ""), ("config.json", "[1]"), ("model.bin", "x"),
     ("graph.yaml", "ops: ["), ("graph.yaml", ""), ("empty.yaml", "just text")],
)  # fmt: skip
def test_unreadable_content(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(PerfmodelError, match=file):
        load_model(str(tmp_path / file))


def test_missing_file() -> None:
    with pytest.raises(ModelError, match=r"nowhere/config\.json"):
        load_model("nowhere/config.json")


def test_image_size_changes_the_tokens_and_nothing_else() -> None:
    small, large = load_model("vit-b-16"), load_model("vit-b-16", image_size=384)
    assert small.facts["tokens"] == 197
    assert large.facts["tokens"] == 24 * 24 + 1
    with pytest.raises(ModelError, match="patches"):
        load_model("vit-b-16", image_size=225)
    with pytest.raises(InputError, match="image size"):
        load_model("llama-3.1-8b", image_size=224)


@pytest.mark.parametrize(
    "name",
    ["meta-llama/Llama-3.1-8B", "https://huggingface.co/meta-llama/Llama-3.1-8B/", "hf.co/meta-llama/Llama-3.1-8B"],
)
def test_names_and_addresses_of_the_hub_are_models_of_the_catalog(name: str) -> None:
    assert load_model(name).name == "llama-3.1-8b"


def test_a_model_of_the_hub_that_is_not_in_the_catalog_needs_its_config() -> None:
    with pytest.raises(UnknownNameError, match=r"Nothing is downloaded: save the model's config\.json"):
        load_model("meta-llama/Llama-9-Behemoth")
