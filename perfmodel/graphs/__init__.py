"""Sources -> Graph: whatever a person has, as ops over named tensors.

`load_model` recognises the source by its form and content; each front-end is one file here. May import: errors, sizes,
precisions, types, catalog. To add a front-end: a file with a function that returns a `Model`, a line in `load_model`,
and a case in tests/graphs/test_front_ends.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from perfmodel.errors import InputError, ModelError
from perfmodel.graphs.model_spec import list_models, model_spec, read_model_spec
from perfmodel.graphs.overrides import changed_config, changed_name, refuse_overrides, split_overrides
from perfmodel.graphs.weight_files import is_weight_file, read_weight_file
from perfmodel.outside_files import is_file, is_folder
from perfmodel.types import Model
from perfmodel.yaml_strict import read_yaml

__all__ = ["list_models", "load_model", "model_spec"]

Logits: TypeAlias = Literal["last", "all"]
_GRAPH_KEYS = {"ops", "phases"}


def load_model(source: str, *, specs: str | None = None, image_size: int = 0, logits: Logits = "last") -> Model:
    """Load a model from wherever it is described.

    Args:
        source: a catalog name (`llama-3.1-8b`), a Hugging Face `config.json` or its folder, the folder of a
            diffusers pipeline, a `model.gguf` or `model.safetensors` (also in parts), an `.onnx` file,
            `timm:resnet50`, `torch:file.py:factory`, or a YAML graph or model spec. Changes of a config may stand
            behind it (`llama-3.1-8b:layers=16:ffn=8192`, see `overrides`).
        specs: a folder of own specs that is searched first.
        image_size: pixels of an image's side for vision configs and ONNX files that leave it open; 0 for the size they
            were trained with.
        logits: of the last token, or of all of them (as in training); for configs.

    Raises:
        InputError: an image size for a model that takes none.
        UnknownNameError: no model of that name. ModelError, SpecError: a source that cannot be read.
    """
    model = _load(source, specs, image_size, logits)
    if image_size and "image_size" not in model.facts:
        raise InputError(f"{model.name} has no image size that could be set; leave it out")
    return model


def _load(whole: str, specs: str | None, image_size: int, logits: Logits) -> Model:
    source, changes = split_overrides(whole)
    if source.startswith("torch:"):
        from perfmodel.graphs.torch_module import load_factory

        refuse_overrides(whole, changes, "a torch module: give its factory other sizes")
        return load_factory(source.removeprefix("torch:"))
    if source.startswith("timm:"):
        from perfmodel.graphs.timm_models import load_timm

        return load_timm(source, image_size, changes)
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _load_yaml_model(path, whole, changes, image_size, logits)
    folder_or_json = path.suffix.lower() == ".json" or is_folder(path)
    if folder_or_json:
        from perfmodel.graphs.diffusion_files import is_pipeline, read_pipeline

        if is_pipeline(path):
            refuse_overrides(whole, changes, "an image pipeline")
            return read_pipeline(path, image_size=image_size)
    if is_weight_file(path):
        refuse_overrides(whole, changes, "a file of weights")
        return read_weight_file(path, image_size=image_size, logits=logits)
    if folder_or_json:
        from perfmodel.graphs.huggingface import read_config_file

        return read_config_file(path, image_size=image_size, logits=logits, changes=changes)
    if path.suffix.lower() == ".onnx" or is_file(path):
        from perfmodel.graphs.onnx_file import is_onnx_file, read_onnx_file

        if is_onnx_file(path):
            refuse_overrides(whole, changes, "an ONNX file")
            return read_onnx_file(path, image_size=image_size)
        raise ModelError(
            f"{source}: not a model format that is understood; give a config.json, its folder, a .gguf, a "
            ".safetensors, an .onnx file, a graph .yaml, timm:NAME, torch:file.py:factory, or a catalog name"
        )
    return _from_spec(model_spec(source, specs=specs), changes, image_size, logits)


def _from_spec(spec: dict[str, Any], changes: dict[str, str], image_size: int, logits: Logits) -> Model:
    from perfmodel.graphs.gguf_recipes import recipe_of, recipe_weights
    from perfmodel.graphs.huggingface import load_config

    name, source, config = str(spec["id"]), str(spec["source"]), spec["config"]
    if changes:
        name = changed_name(name, changes)
        config = changed_config(config, changes, name)
    stored = None
    if recipe := recipe_of(config):
        stored = recipe_weights(config, recipe)
        config = {key: value for key, value in config.items() if key != "quantization_config"}
    return load_config(config, name=name, source=source, image_size=image_size, logits=logits, stored=stored)


def _load_yaml_model(path: Path, whole: str, changes: dict[str, str], image_size: int, logits: Logits) -> Model:
    from perfmodel.graphs.graph_file import read_graph_file

    data = read_yaml(path).data
    if isinstance(data, dict) and "config" in data and not _GRAPH_KEYS & data.keys():
        try:
            return _from_spec(read_model_spec(path), changes, image_size, logits)
        except ModelError as error:  # which names the source of the config
            raise ModelError(f"{path}: {error}") from None
    refuse_overrides(whole, changes, "a graph")
    return read_graph_file(path)
