"""The header of a GGUF file: metadata and the list of tensors, read strictly and within bounds; never the weights.

    magic "GGUF", version (u32), tensors (u64), keys (u64), then key-values, then (name, dimensions, type, offset)

Every length is compared with what is left of the file before anything is read or allocated. Long arrays (the
vocabulary) are stepped over: of those only the length is kept. Layout: docs/gguf.md of ggml.

May import: errors, stored_weights, gguf_types.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from perfmodel.errors import ModelError
from perfmodel.graphs.gguf_types import GGML_TYPES, REMOVED_TYPES
from perfmodel.graphs.stored_weights import StoredTensor
from perfmodel.outside_files import open_file
from perfmodel.precisions import StorageFormat

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# Beyond any real file (a vocabulary has 300 thousand words, the largest models 2 thousand tensors): what is larger is
# no header, and reading it would take forever.
_MAX_KEYS, MAX_TENSORS = 65_536, 65_536
_MAX_KEY_BYTES, _MAX_TEXT_BYTES = 65_535, 1 << 24
MAX_STRINGS = 4_000_000  # of all arrays together
_KEPT_ITEMS, _KEPT_BYTES = 4096, 65_536  # arrays and texts up to here are kept, longer ones stepped over
_MAX_KEPT = 64 << 20  # bytes of all values that are kept; a file of zeros may claim any number of long ones
_CHUNK_BYTES = 1 << 20
_MAX_DIMENSIONS, _MAX_ELEMENTS = 4, 2**53
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_SMALLEST_KEY, _SMALLEST_TENSOR = 13, 24  # bytes: an empty name and the fields of fixed size
_ALIGNMENT = 32
_OLD_MAGICS = (b"lmgg", b"tjgg", b"fmgg", b"GGML", b"ggml")


@dataclass(frozen=True, slots=True)
class LongArray:
    """An array that was stepped over: its length."""

    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a file says before its weights.

    Args:
        metadata: scalars, texts and short arrays by key. tensors: in the order of the file.
        data_bytes: of all tensors, padded to the alignment. held_bytes: how many the file holds behind its header.
    """

    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[StoredTensor, ...]
    data_bytes: int
    held_bytes: int


def read_gguf_header(path: Path) -> GgufHeader:
    """Read a file's header.

    Raises:
        ModelError: the file cannot be read, is cut, or contradicts itself; with the place in the file.
    """
    try:
        with open_file(path) as file:
            return _Reader(file, os.fstat(file.fileno()).st_size, str(path)).header()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None


class _Reader:
    """Reads forward through a file of known size; every refusal names the byte where it stands."""

    def __init__(self, file: BinaryIO, size: int, where: str) -> None:
        self._file = file
        self._size = size
        self._where = where
        self._position = 0
        self._strings = 0
        self._kept = 0

    def header(self) -> GgufHeader:
        version = self._version()
        tensor_count, key_count = self._scalar("Q"), self._scalar("Q")
        self._check_count("tensors", tensor_count, _SMALLEST_TENSOR, MAX_TENSORS)
        self._check_count("metadata keys", key_count, _SMALLEST_KEY, _MAX_KEYS)
        metadata: dict[str, Any] = {}
        for _ in range(key_count):
            key = self._name("a metadata key", _MAX_KEY_BYTES)
            if key in metadata:
                raise self._wrong(f"the metadata key '{key}' stands there twice")
            metadata[key] = self._value(self._scalar("I"), key)
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if type(alignment) is not int or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._wrong(f"general.alignment must be a power of two from 8 on, is {alignment!r}")
        tensors, data_bytes = self._tensors(tensor_count, alignment)
        held = max(self._size - _padded(self._position, alignment), 0)
        return GgufHeader(version=version, metadata=metadata, tensors=tensors, data_bytes=data_bytes, held_bytes=held)

    def _version(self) -> int:
        if self._size == 0:
            raise ModelError(f"{self._where}: is empty (0 bytes)")
        magic = self._take(4, "the magic")
        if magic != MAGIC:
            old = "; it is of an older ggml format: convert it to GGUF" if magic in _OLD_MAGICS else ""
            raise ModelError(f"{self._where}: is no GGUF file: it begins with {magic!r}, not {MAGIC!r}{old}")
        version = int(self._scalar("I"))
        if version in VERSIONS:
            return version
        what = f"GGUF version {version} is not understood, only {' and '.join(map(str, VERSIONS))}"
        if version & 0xFFFF == 0 and version >> 24 in (1, *VERSIONS):
            what = "is a big-endian GGUF file, which is not understood; convert it to little-endian"
        raise ModelError(f"{self._where}: {what}")

    def _tensors(self, count: int, alignment: int) -> tuple[tuple[StoredTensor, ...], int]:
        """The tensors, and the bytes of their data; each begins where the one before ends, padded."""
        tensors: dict[str, StoredTensor] = {}
        expected = 0
        for _ in range(count):
            tensor, stored_bytes = self._tensor()
            if tensor.name in tensors:
                raise self._wrong(f"the tensor '{tensor.name}' stands there twice")
            tensors[tensor.name] = tensor
            offset = self._scalar("Q")
            if offset != expected:
                raise self._wrong(
                    f"tensor '{tensor.name}' begins at byte {offset} of the data, but those before it end at {expected}"
                )
            expected = _padded(expected + stored_bytes, alignment)
        return tuple(tensors.values()), expected

    def _tensor(self) -> tuple[StoredTensor, int]:
        """A tensor without its offset, and its bytes."""
        name = self._name("a tensor's name", _MAX_KEY_BYTES)
        rank = self._scalar("I")
        if not 1 <= rank <= _MAX_DIMENSIONS:
            raise self._wrong(f"tensor '{name}' has {rank} dimensions, not 1 to {_MAX_DIMENSIONS}")
        inside_out = struct.unpack(f"<{rank}Q", self._take(8 * rank, f"the dimensions of '{name}'"))
        elements = 1
        for dim in inside_out:
            elements *= dim
        if not 0 < elements <= _MAX_ELEMENTS:
            raise self._wrong(f"tensor '{name}' has the impossible shape {list(inside_out)}")
        dtype = self._dtype(name)
        tensor = StoredTensor(name, tuple(reversed(inside_out)), dtype.name)
        if inside_out[0] % (dtype.block_in or 1):
            raise self._wrong(f"tensor '{name}' has rows of {inside_out[0]}, no multiple of {dtype.block_in}")
        return tensor, tensor.bytes

    def _dtype(self, name: str) -> StorageFormat:
        number = self._scalar("I")
        if number not in GGML_TYPES:
            reason = REMOVED_TYPES.get(number, "it is newer than this reader, or the file is damaged")
            raise self._wrong(f"tensor '{name}' is of the unknown type {number}: {reason}")
        return GGML_TYPES[number]

    # ------------------------------------------------------------------------------------------------ values

    def _value(self, kind: int, key: str) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _TEXT:
            return self._text(key)
        if kind == _ARRAY:
            return self._array(key)
        raise self._wrong(f"the metadata key '{key}' has a value of the unknown type {kind}")

    def _array(self, key: str) -> tuple[Any, ...] | LongArray:
        kind, length = self._scalar("I"), self._scalar("Q")
        if kind in _SCALARS:
            width = struct.calcsize(f"<{_SCALARS[kind]}")
            self._check_count(f"values under '{key}'", length, width, self._size)
            if length > _KEPT_ITEMS:
                self._skip(length * width)
                return LongArray(length)
            self._keep(32 * length, key)
            return struct.unpack(f"<{length}{_SCALARS[kind]}", self._take(length * width, key))
        if kind != _TEXT:
            raise self._wrong(f"the metadata key '{key}' has an array of the unknown type {kind}")
        self._strings += length
        self._check_count(f"texts under '{key}'", length, 8, MAX_STRINGS)
        self._check_count("texts in all arrays", self._strings, 0, MAX_STRINGS)
        self._skip_texts(length, key)
        return LongArray(length)

    def _skip_texts(self, count: int, key: str) -> None:
        """Step over texts, a chunk of the file at a time: a vocabulary has hundreds of thousands of them."""
        place = start = self._position
        chunk = b""
        for _ in range(count):
            if place + 8 > start + len(chunk):
                self._file.seek(place)
                chunk, start = self._file.read(_CHUNK_BYTES), place
            length = int.from_bytes(chunk[place - start : place - start + 8], "little")
            place += 8 + length
            if length > _MAX_TEXT_BYTES or place > self._size:
                raise self._wrong(f"a text under '{key}' has a length of {length} bytes, or is cut off")
        self._file.seek(place)
        self._position = place

    def _text(self, key: str) -> str:
        length = self._length(f"the text under '{key}'", _MAX_TEXT_BYTES)
        if length > _KEPT_BYTES:
            self._skip(length)
            return ""
        self._keep(length, key)
        return self._take(length, key).decode("utf-8", errors="replace")

    def _keep(self, count: int, key: str) -> None:
        self._kept += count
        if self._kept > _MAX_KEPT:
            raise self._wrong(f"the metadata up to '{key}' are larger than the largest sensible ones")

    def _name(self, what: str, most: int) -> str:
        data = self._take(self._length(what, most), what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self._wrong(f"{what} is not text in UTF-8: {data[:40]!r}") from None

    def _length(self, what: str, most: int) -> int:
        length = self._scalar("Q")
        left = self._size - self._position
        if length > left:
            raise self._wrong(f"{what} has a length of {length} bytes, but only {left} are left in the file")
        if length > most:
            raise self._wrong(f"{what} has a length of {length} bytes, more than the largest sensible one, {most}")
        return int(length)

    def _check_count(self, what: str, count: int, width: int, most: int) -> None:
        if count > most:
            raise self._wrong(f"{count} {what} are more than the largest sensible number, {most}")
        left = self._size - self._position
        if count * width > left:
            raise self._wrong(f"{count} {what} do not fit into the {left} bytes that are left of the file")

    def _scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}"), "a value"))[0]

    def _take(self, count: int, what: str) -> bytes:
        data = self._file.read(count) if count <= self._size - self._position else b""
        if len(data) < count:
            raise self._wrong(f"{what} is cut off: the file ends in its header")
        self._position += count
        return data

    def _skip(self, count: int) -> None:
        if count > self._size - self._position:
            raise self._wrong("the file ends in its header")
        self._file.seek(count, os.SEEK_CUR)
        self._position += count

    def _wrong(self, message: str) -> ModelError:
        return ModelError(f"{self._where}: byte {self._position}: {message}")


def _padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment
