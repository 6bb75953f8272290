"""What a serving engine does with requests: how it batches, what it keeps, where its limits are.

A profile is a small YAML file in `engine_specs/`, found like the chips (`data_files`): facts from the engine's
documentation with their source; nothing in it is fitted. What was fitted for an engine (host times, shares of launch
times, multipliers of kernel classes) stands in calibration/coefficients/ and is read by `serving.engine_files`.

    id: example
    name: Example Server
    aliases: [example-server]
    source: "https://example.org/arguments, 2026-03"
    chunk_tokens: 8192
    mixed: true

May import: errors, catalog, yaml_strict. To add an engine: one file named like its id.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfmodel.catalog import Specs, data_files, is_path, resolve_name
from perfmodel.yaml_strict import Document, describe, read_list, read_text, read_yaml, unknown_key

FOLDER = "engine_specs"
_HINT = "`perfmodel engines list` shows all"
_LARGEST = 1 << 24
MEMORY_RULES = ("share", "free", "static")  # what `memory_utilisation` is a share of; see `serving.capacity`
RUNTIMES = ("graphs", "compiled", "eager")
ACCUMULATE = ("fp32", "fp16")  # what products of fp16 are added up in
_CHOICES = {"memory_rule": MEMORY_RULES, "runtime": RUNTIMES, "accumulate": ACCUMULATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """Scheduler and memory of an engine; facts from its documentation, no fitted figure.

    Args:
        id: name as people write it (vllm, sglang, ...). name: for tables. version: "" for any.
        chunk_tokens: tokens of a step at most; longer prompts are cut into chunks. 0: prompts are never cut.
        mixed: prompts and running sequences share a step; else prompts go first, in steps of their own.
        max_sequences: running at once at most.
        memory_utilisation: share of a device's memory that the engine takes, by memory_rule: for weights, activations
            and cache (share); for weights and cache (static); or of what the rest leaves free, for the cache (free).
        block_tokens: tokens of a block of the KV cache.
        capture_sizes: batches for which steps are captured as graphs, ascending; a step runs at the next larger one.
            Empty: steps are not padded.
        prefix_cache: keys and values of a common start of prompts are kept and used again.
        runtime: how kernels are started: graphs, compiled or eager.
        vector_batch: tokens of a step up to which matrix products run in kernels for vectors, without tiles.
        accumulate: fp16 where products of fp16 are added up in fp16, which GeForce chips do at twice the rate.
        kernels: the engine whose measured kernels it runs, "" for a mean over those measured.
        source: where the figures come from. notes: what to know.
    """

    id: str
    name: str
    version: str = ""
    chunk_tokens: int = 8192
    mixed: bool = True
    max_sequences: int = 256
    memory_utilisation: float = 0.9
    memory_rule: str = "share"
    block_tokens: int = 16
    capture_sizes: tuple[int, ...] = ()
    prefix_cache: bool = True
    runtime: str = "graphs"
    vector_batch: int = 0
    accumulate: str = "fp32"
    kernels: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()


def load_engine(name: str, *, specs: Specs = None) -> EnginePolicy:
    """The engine of that name: an id, an alias, or a path to a file.

    Raises:
        UnknownNameError: with the nearest names. SpecError: all mistakes of the file.
    """
    if is_path(name):
        return _read_file(Path(name).expanduser())
    files = data_files(FOLDER, specs=specs)
    told = "Its release is an option of its own, --engine-version. " if "@" in name else ""
    hint = f"{told}Known: {', '.join(sorted(files))}; {_HINT}"
    return _read_file(files[resolve_name("engine", name, files, _aliases(tuple(files.items())), hint)])


def list_engines(*, specs: Specs = None) -> tuple[EnginePolicy, ...]:
    """All engines, sorted by id."""
    return tuple(_read_file(path) for _, path in sorted(data_files(FOLDER, specs=specs).items()))


def _read_file(path: Path) -> EnginePolicy:
    """The same file is the same object, as long as nobody writes to it: deployments are remembered by it."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # which reading will tell
        return read_engine(read_yaml(path), path.stem)
    return _read_version(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read_version(path: str, _time: int, _size: int) -> EnginePolicy:
    return read_engine(read_yaml(path), Path(path).stem)


@lru_cache(maxsize=8)
def _aliases(files: tuple[tuple[str, Path], ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for engine, path in files:
        data = read_yaml(path).data
        if isinstance(data, dict) and isinstance(data.get("aliases"), list):
            found |= {str(alias): engine for alias in data["aliases"]}
    return found


def read_engine(document: Document, name: str = "") -> EnginePolicy:
    """A policy from a YAML document.

    Raises:
        SpecError: all its mistakes, with line and key.
    """
    data = document.data
    if not isinstance(data, dict):
        if not document.problems:
            document.report(f"must hold keys and values, not {describe(data)}")
        document.refuse()
        raise AssertionError("refuse raises")
    known = {field.name: field for field in fields(EnginePolicy)}
    for key in data.keys() - known.keys() - {"aliases"}:
        document.report(unknown_key(key, known), key)
    read_list(document, data.get("aliases", []), "aliases")
    required = [key for key, field in known.items() if field.default is MISSING] + ["source"]
    for key in required:
        if data.get(key) in (None, ""):
            document.report("is missing", key)
    found = {key: _checked(document, key, data[key]) for key in known if key in data}
    if name and data.get("id") not in (None, name):
        document.report(f"must be the name of its file, '{name}'", "id")
    document.refuse()
    return EnginePolicy(**found)


def _checked(document: Document, key: str, value: Any) -> Any:
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            document.report(f"must be one of {', '.join(_CHOICES[key])}, not {describe(value)}", key)
        return value
    if key in ("id", "name", "version", "kernels", "source"):
        return read_text(document, value, key) if value not in ("", None) else ""
    if key in ("mixed", "prefix_cache"):
        if not isinstance(value, bool):
            document.report(f"must be true or false, not {describe(value)}", key)
        return value
    if key == "memory_utilisation":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            document.report(f"must be a share above 0 and at most 1, not {describe(value)}", key)
        return value
    if key == "notes":
        return read_list(document, value, key)
    if key == "capture_sizes":
        return _sizes(document, value)
    least = int(key not in ("chunk_tokens", "vector_batch"))
    if type(value) is not int or not least <= value <= _LARGEST:
        document.report(f"must be a whole number from {least} to {_LARGEST}, not {describe(value)}", key)
    return value


def _sizes(document: Document, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size > 0 for size in value):
        document.report(f"must be a list of positive whole numbers, not {describe(value)}", "capture_sizes")
        return ()
    if sorted(set(value)) != value:
        document.report("must ascend", "capture_sizes")
    return tuple(value)
