"""Fitted coefficients of serving engines on disk: calibration/coefficients/serving*.json <-> `EngineFile`.

    {"format": "perfmodel-serving/1", "fitted": date, "provenance": text, "shared": {name: value},
     "engines": {engine: {name: value}}, "data": [{...}], "errors": {...}, "widths": {...}, "effects": {...}}

A file is one fit. Its shared values hold for the engines that it names, and an engine's own come before them. Where
several files name an engine, each adds what it knows; for the same coefficient the user's own file comes before the
shipped ones, and of one folder the one that sorts last (serving.json after serving-static.json). An engine that no file
names stands on its priors. Errors, widths and effects are kept as they are for those who wrote them.

May import: errors, catalog, coefficient_files, whole_files, yaml_strict, engine_coefficients.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfmodel.catalog import Specs, data_dirs
from perfmodel.coefficient_files import FOLDER, SERVING
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.types import Hardware
from perfmodel.whole_files import write_whole
from perfmodel.yaml_strict import Document, describe, read_yaml, unknown_key

FORMAT = "perfmodel-serving/1"
HOME_VENDOR = "nvidia"  # whose chips an engine's bare name speaks of
DIGITS = 5  # significant ones, as in the files of kernels
_KEYS = ("format", "fitted", "provenance", "shared", "engines", "data", "errors", "widths", "effects")
_NEEDED = ("format", "fitted", "provenance", "engines")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """One fit as it is stored.

    Args:
        fitted: date. provenance: the data and their rows in words.
        shared: coefficients of all engines in this file, by name. engines: each one's own.
        data: for each file its name, SHA-256 and rows.
        errors, widths, effects: of the fit, plain JSON.
    """

    fitted: str
    provenance: str
    shared: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: tuple[Mapping[str, Any], ...] = ()
    errors: Mapping[str, Any] = field(default_factory=dict)
    widths: Mapping[str, Any] = field(default_factory=dict)
    effects: Mapping[str, Any] = field(default_factory=dict)


def load_engine_coefficients(engine: str, *, specs: Specs = None) -> EngineCoefficients:
    """What was fitted for an engine, or its priors where nothing was.

    Args:
        engine: its id ("vllm"), as `engines.load_engine` gives it, or its `fit_name` on a chip, whose values come
            before those of the id. specs: own folders of coefficients.

    Raises:
        SpecError: a file with mistakes, all of them at once.
    """
    values: dict[str, float] = {}
    provenance: list[str] = []
    for file in load_engine_files(specs=specs).values():
        own = [name for name in dict.fromkeys((engine.split("/")[0], engine)) if name in file.engines]
        if own:
            values |= file.shared
            provenance.append(file.provenance)
        for name in own:
            values |= file.engines[name]
    if not values:
        return EngineCoefficients()
    return EngineCoefficients(values=values, level="engine", provenance="; ".join(provenance))


def fit_name(engine: str, hardware: Hardware) -> str:
    """The name of an engine's coefficients on a chip: its kernels for other makers' chips are other programs.

    Returns:
        "llama-cpp" on NVIDIA's chips, "llama-cpp/apple" on Apple's.
    """
    vendor = hardware.vendor.lower()
    return engine if vendor in ("", HOME_VENDOR) else f"{engine}/{vendor}"


def load_engine_files(*, specs: Specs = None) -> Mapping[str, EngineFile]:
    """All files by path, those first whose values give way to the others'.

    Raises:
        SpecError: a file with mistakes, all of them at once.
    """
    paths = [path for folder in reversed(data_dirs(FOLDER, specs=specs)) for path in sorted(folder.glob(SERVING))]
    return _read_all(tuple((str(path), path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=8)
def _read_all(files: tuple[tuple[str, int], ...]) -> Mapping[str, EngineFile]:
    return {path: read_engine_file(path) for path, _ in files}


def read_engine_file(path: str | os.PathLike[str]) -> EngineFile:
    """A checked file.

    Raises:
        SpecError: all its mistakes at once, with line and key.
    """
    document = read_yaml(Path(path))  # JSON is YAML, and these files are small
    document.refuse()
    data = _mapping(document, document.data)
    for key in data.keys() - set(_KEYS):
        document.report(unknown_key(key, _KEYS), key)
    for key in _NEEDED:
        if data.get(key) in (None, ""):
            document.report("is missing", key)
    if data.get("format", FORMAT) != FORMAT:
        document.report(f"is format {data['format']}; this version of perfmodel reads {FORMAT}", "format")
    own = {str(name): value for name, value in _mapping(document, data.get("engines", {}), "engines").items()}
    file = EngineFile(
        fitted=str(data.get("fitted", "")),
        provenance=str(data.get("provenance", "")),
        shared=_values(document, data.get("shared", {}), "shared"),
        engines={engine: _values(document, value, "engines", engine) for engine, value in own.items()},
        data=_entries(document, data.get("data", [])),
        **{key: _mapping(document, data.get(key, {}), key) for key in ("errors", "widths", "effects")},
    )
    document.refuse()
    return file


def _mapping(document: Document, value: Any, *keys: str | int) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    document.report(f"expected a mapping, found {describe(value)}", *keys)
    return {}


def _entries(document: Document, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        document.report(f"expected a list, found {describe(value)}", "data")
        return ()
    return tuple(_mapping(document, own, "data", place) for place, own in enumerate(value))


def _values(document: Document, value: Any, *keys: str) -> dict[str, float]:
    found = {}
    for name, number in _mapping(document, value, *keys).items():
        plain = isinstance(number, int | float) and not isinstance(number, bool)
        if not plain or not math.isfinite(number) or number < 0:
            document.report(f"expected a number not below 0, found {describe(number)}", *keys, name)
        else:
            found[str(name)] = float(number)
    return found


def write_engine_file(path: str | os.PathLike[str], file: EngineFile) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    document = {"format": FORMAT, **{key: _rounded(getattr(file, key)) for key in _KEYS[1:]}}
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _rounded(value: Any) -> Any:
    """Plain JSON, whose floats have `DIGITS` significant digits."""
    if isinstance(value, Mapping):
        return {str(name): _rounded(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(own) for own in value]
    return float(f"{float(value):.{DIGITS}g}") if isinstance(value, float) else value
