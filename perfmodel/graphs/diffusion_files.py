"""Folders of image pipelines: model_index.json and every component's config.json -> one config.

Nothing but these files is read: no weights, no code, no network. May import: errors, diffusion, huggingface,
image_pipeline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perfmodel.errors import ModelError, PerfmodelError
from perfmodel.graphs.diffusion import diffusion_model
from perfmodel.graphs.huggingface import read_json_object
from perfmodel.graphs.image_pipeline import OPTIONAL, PIPELINES
from perfmodel.outside_files import is_file
from perfmodel.types import Model

INDEX = "model_index.json"


def is_pipeline(path: Path) -> bool:
    """Whether a path is a pipeline's folder, or the index in it."""
    return path.name == INDEX or is_file(path / INDEX)


def read_pipeline(path: Path, *, image_size: int = 0) -> Model:
    """The model of a pipeline's folder.

    Raises:
        ModelError: files that are missing or cannot be read (all of them named), and what `diffusion_model` refuses.
        SpecError: a model_index.json that is no JSON object, with the line.
    """
    folder = path.parent if path.name == INDEX else path
    index = folder / INDEX
    config = read_json_object(index)
    kind = PIPELINES.get(str(config.get("_class_name")))
    config.setdefault("_class_name", "")
    if kind is not None:
        wanted = (kind.denoiser, "vae", *kind.encoders, "scheduler")
        config |= _component_configs(folder, config, wanted)
    return diffusion_model(config, name=folder.resolve().name, source=str(index), image_size=image_size)


def _component_configs(folder: Path, index: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    """The configs of the components that the index names; a scheduler may be missing, it only says how many steps."""
    found: dict[str, Any] = {}
    mistakes = []
    for part in parts:
        entry = index.get(part)
        class_name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if class_name is None and part in (*OPTIONAL, "scheduler"):
            continue
        file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        if part == "scheduler" and not file.is_file():
            found[part] = {"_class_name": class_name}
            continue
        try:
            found[part] = {"_class_name": class_name} | read_json_object(file)
        except PerfmodelError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ModelError("\n".join(mistakes))
    return found
