"""A catalog model: a small YAML file with a Hugging Face config, its source and what to call it.

May import: errors, catalog, yaml_strict. To add a model: one file in model_specs/, named like its id.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfmodel.catalog import Specs, data_files, resolve_name
from perfmodel.errors import SpecError
from perfmodel.yaml_strict import describe, read_yaml, unknown_key

FOLDER = "model_specs"
_HINT = "`perfmodel models list` shows all; a path to a config.json works too"
_HUB_HINT = (
    "`perfmodel models list` shows all. Nothing is downloaded: save the model's config.json from Hugging Face and give "
    "its path"
)
_HUB = re.compile(r"^(?:https?://)?(?:huggingface\.co|hf\.co)/|/+$")
_REQUIRED = ("id", "source", "config")
_KEYS = (*_REQUIRED, "name", "aliases", "family", "task", "confidence", "parameters", "active_parameters", "notes")


def list_models(*, specs: Specs = None) -> tuple[str, ...]:
    """Names of all catalog models.

    Args:
        specs: own folders, whose models are listed, too.

    Raises:
        InputError: a folder that cannot be read.
    """
    return tuple(sorted(data_files(FOLDER, specs=specs)))


def model_aliases(*, specs: Specs = None) -> dict[str, str]:
    """Other names of the catalog's models -> their id. Faulty files have none."""
    return dict(_aliases(tuple(data_files(FOLDER, specs=specs).items())))


def model_spec(name: str, *, specs: Specs = None) -> dict[str, Any]:
    """The facts of a catalog model as its file states them.

    Args:
        name: an id, the beginning of one, or the name or address of the model on Hugging Face.

    Raises:
        UnknownNameError: with the nearest names. SpecError: all mistakes of the file.
    """
    files = data_files(FOLDER, specs=specs)
    known = name.lower()
    if known not in files:
        bare = _HUB.sub("", name)
        hint = _HUB_HINT if "/" in bare else _HINT
        known = resolve_name("model", bare, files, _aliases(tuple(files.items())), hint)
    return read_model_spec(files[known])


def read_model_spec(path: Path) -> dict[str, Any]:
    """Read one file.

    Raises:
        SpecError: all its mistakes, with line and key.
    """
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict):
        if not document.problems:
            document.report(f"expected a model spec with the keys {', '.join(_REQUIRED)}, found {describe(data)}")
        document.refuse()
        raise AssertionError("refuse raises")
    for key in data.keys() - set(_KEYS):
        document.report(unknown_key(key, _KEYS), key)
    for key in _REQUIRED:
        if not data.get(key):
            document.report(f"'{key}' is missing", key)
    if data.get("config") is not None and not isinstance(data["config"], dict):
        document.report(f"expected the fields of a config.json, found {describe(data['config'])}", "config")
    document.refuse()
    return data


@lru_cache(maxsize=8)
def _aliases(files: tuple[tuple[str, Path], ...]) -> dict[str, str]:
    """Other names of catalog models -> their id; read only when a name is no id. Faulty files have none."""
    found: dict[str, str] = {}
    for model_id, path in files:
        try:
            aliases = read_model_spec(path).get("aliases") or ()
        except SpecError:
            continue
        found |= {str(alias): model_id for alias in aliases}
    return found
