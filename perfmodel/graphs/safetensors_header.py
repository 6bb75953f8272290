"""The header of safetensors files: which tensors they hold, in which dtype and shape; strict and within bounds.

    length of the header (u64, little-endian), then JSON {name: {"dtype", "shape", "data_offsets"}, ...}, then the data

Layout: README of the safetensors project. May import: errors, huggingface (for JSON files).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.huggingface import read_json_object
from perfmodel.outside_files import is_file, is_folder, open_file, parse_json

# bits of an element
DTYPE_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
MAX_HEADER_BYTES = 32 * 1024 * 1024  # that of a shard has some hundred kilobytes; JSON takes ten times that in memory
MAX_SHARDS = 4096
_LARGEST, _MAX_DIMENSIONS = 2**53, 16
_SHARD = re.compile(r"(.*-)\d{5}(-of-\d{5}\.safetensors)", re.DOTALL)
_LFS_POINTER = b"version "
_INDEX = ".safetensors.index.json"


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many values it holds; of packed ones, how many words."""
        return prod(self.shape)

    @property
    def bits(self) -> int:
        """What it takes."""
        return self.elements * DTYPE_BITS[self.dtype]


def read_tensors(path: Path) -> dict[str, FileTensor]:
    """All tensors of a model: of one file, of all shards beside it, of an index's shards, or of a folder.

    Raises:
        ModelError: a file that is missing, cut or contradicts itself; a tensor that two files hold.
    """
    files = _files(path)
    absent = [str(file) for file in files if not is_file(file)]
    if absent:
        raise ModelError(f"{path}: missing: {', '.join(absent[:10])}{', ...' if len(absent) > 10 else ''}")
    tensors: dict[str, FileTensor] = {}
    for file in files:
        for tensor in read_safetensors_header(file):
            if tensor.name in tensors:
                raise ModelError(f"{file}: the tensor '{tensor.name}' is also in another shard")
            tensors[tensor.name] = tensor
    if not tensors:
        raise ModelError(f"{path}: holds no tensors")
    return tensors


def _files(path: Path) -> list[Path]:
    if is_folder(path):
        indices = sorted(path.glob(f"*{_INDEX}"))
        whole = path / "model.safetensors"
        if indices:
            return _indexed(indices[0])
        return [whole] if whole.is_file() else sorted(path.glob("*.safetensors"))
    if path.name.lower().endswith(_INDEX):
        return _indexed(path)
    shard = _SHARD.fullmatch(path.name)
    if shard is None or not is_file(path):
        return [path]
    count = int(shard[2][4:9])
    if not 0 < count <= MAX_SHARDS:
        raise ModelError(f"{path}: its name speaks of {count} shards, not 1 to {MAX_SHARDS}")
    return [path.with_name(f"{shard[1]}{place:05}{shard[2]}") for place in range(1, count + 1)]


def _indexed(index: Path) -> list[Path]:
    """The shards that an index names."""
    shards = read_json_object(index, MAX_HEADER_BYTES).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ModelError(f"{index}: needs weight_map, an object with the file of every tensor")
    names = sorted(set(shards.values()))
    outside = [name[:80] for name in names if not name or Path(name).name != name or "\0" in name]
    if outside or not 0 < len(names) <= MAX_SHARDS:
        what = f"names files that do not lie beside it: {outside[:5]}" if outside else f"names {len(names)} files"
        raise ModelError(f"{index}: weight_map {what}")
    return [index.with_name(name) for name in names]


def read_safetensors_header(path: Path) -> tuple[FileTensor, ...]:
    """The tensors of one file.

    Raises:
        ModelError: the file cannot be read, is cut, or its header contradicts itself; all tensors at fault are named.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(8)
            if first == _LFS_POINTER:
                raise ModelError(
                    f"{path}: is a Git LFS pointer, not the file itself; fetch it, or give config.json alone"
                )
            length = int.from_bytes(first, "little")
            _check_length(path, length, size)
            data = file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        header = parse_json(data)
    except ValueError as error:
        raise ModelError(f"{path}: its header is not readable JSON: {error}") from None
    if not isinstance(header, dict):
        raise ModelError(f"{path}: its header must be a JSON object, is a {type(header).__name__}")
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    mistakes = [f"'{name}' {mistake}" for name, entry in entries.items() if (mistake := _mistake(entry))]
    mistakes = mistakes or list(_gaps(entries))
    if mistakes:
        more = f" (and {len(mistakes) - 5} more)" if len(mistakes) > 5 else ""
        raise ModelError(f"{path}: tensor {'; '.join(mistakes[:5])}{more}")
    return tuple(FileTensor(name, entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items())


def _check_length(path: Path, length: int, size: int) -> None:
    if size < 8:
        raise ModelError(f"{path}: has {size} bytes, which is no safetensors file: those begin with 8 bytes of length")
    if length > size - 8:
        raise ModelError(
            f"{path}: is cut, or no safetensors file: its header should have {length} bytes, {size - 8} are left"
        )
    if length > MAX_HEADER_BYTES:
        raise ModelError(f"{path}: a header of {length} bytes is too large; the limit is {MAX_HEADER_BYTES}")


def _mistake(entry: Any) -> str:
    """What is wrong with a tensor's entry; "" if nothing is."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        return "needs dtype, shape and data_offsets"
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        return f"has the unknown dtype {str(dtype)[:40]!r}"
    if not _are_counts(shape) or prod(shape) > _LARGEST:
        return f"has the impossible shape {str(shape)[:60]}"
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        return f"has data_offsets {str(offsets)[:60]}, not a begin and an end"
    needed = -(-prod(shape) * DTYPE_BITS[dtype] // 8)
    held = offsets[1] - offsets[0]
    return "" if held == needed else f"takes {held} bytes by its data_offsets, {needed} by its dtype and shape"


def _are_counts(values: Any) -> bool:
    if not isinstance(values, list) or len(values) > _MAX_DIMENSIONS:
        return False
    return all(type(value) is int and 0 <= value <= _LARGEST for value in values)


def _gaps(entries: dict[str, Any]) -> Iterable[str]:
    """Tensors that do not begin where the one before them ends."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
        begin = entry["data_offsets"][0]
        if begin != end:
            yield f"'{name}' begins at byte {begin} of the data, but the one before it ends at {end}"
        end = entry["data_offsets"][1]
