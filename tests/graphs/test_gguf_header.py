"""Reading GGUF headers: what a file states, and one clear refusal for everything that is no header."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.gguf_writer import F32, Q4_0, Q4_K, Q6_K, data_bytes, gguf_bytes, text, value
from perfmodel.errors import ModelError
from perfmodel.graphs.gguf_header import LongArray, read_gguf_header
from perfmodel.graphs.gguf_types import FILE_TYPES, GGML_TYPES
from perfmodel.precisions import storage_bytes

METADATA = {"general.architecture": "llama", "llama.block_count": 2, "a.flag": True, "a.number": 1.5,
            "a.lengths": [1, 2, 3], "tokenizer.ggml.tokens": ["<s>", "é", ""]}  # fmt: skip
TENSORS = [("token_embd.weight", (100, 256), Q4_K), ("blk.0.ffn_down.weight", (8, 64, 512), Q6_K),
           ("output_norm.weight", (3,), F32)]  # fmt: skip
FILE = gguf_bytes(METADATA, TENSORS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.gguf"


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def with_tensor(*, name: str = "a", dims: tuple[int, ...] = (32,), kind: int = F32, offset: int = 0) -> bytes:
    info = text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("data", [False, True])
def test_what_a_header_states(path: Path, version: int, data: bool) -> None:
    path.write_bytes(gguf_bytes(METADATA, TENSORS, version=version, data=data))
    header = read_gguf_header(path)
    assert header.version == version
    assert header.metadata == METADATA | {"a.lengths": (1, 2, 3), "tokenizer.ggml.tokens": LongArray(3)}
    assert [(own.name, own.shape, own.dtype) for own in header.tensors] == [
        ("token_embd.weight", (100, 256), "q4_k"), ("blk.0.ffn_down.weight", (8, 64, 512), "q6_k"),
        ("output_norm.weight", (3,), "fp32"),
    ]  # fmt: skip
    assert sum(own.bytes for own in header.tensors) == data_bytes(TENSORS)
    assert header.held_bytes == (header.data_bytes if data else 0)


def test_a_file_of_the_reference_writer(path: Path) -> None:
    """gguf-py writes every type with data; our sizes must be the file's, to the byte."""
    gguf = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    for kind, (weights, block_bytes) in gguf.GGML_QUANT_SIZES.items():
        rows = numpy.zeros((5, 2 * 256 // weights * block_bytes), dtype=numpy.uint8)
        writer.add_tensor(f"blk.0.{kind.name}.weight", rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_gguf_header(path)
    assert len(header.tensors) == len(gguf.GGML_QUANT_SIZES)
    assert all(own.shape == (5, 512) for own in header.tensors)
    assert header.data_bytes == header.held_bytes


def test_numbers_are_those_of_the_reference() -> None:
    gguf = pytest.importorskip("gguf")
    for kind, (weights, block_bytes) in gguf.GGML_QUANT_SIZES.items():
        assert storage_bytes((weights,), GGML_TYPES[kind.value].name) == block_bytes, kind
    for kind in gguf.LlamaFileType:
        name = {"ALL_F32": "fp32", "MOSTLY_F16": "fp16"}.get(kind.name, kind.name.removeprefix("MOSTLY_").lower())
        assert kind.name == "GUESSED" or FILE_TYPES[kind.value] == name


# bits per weight as ggml's own table of quantisations has them
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("q4_0", 4.5), ("q4_1", 5.0), ("q5_0", 5.5), ("q5_1", 6.0), ("q8_0", 8.5), ("q2_k", 2.625), ("q3_k", 3.4375),
     ("q4_k", 4.5), ("q5_k", 5.5), ("q6_k", 6.5625), ("iq1_s", 1.5625), ("iq1_m", 1.75), ("iq2_xxs", 2.0625),
     ("iq2_xs", 2.3125), ("iq2_s", 2.5625), ("iq3_xxs", 3.0625), ("iq3_s", 3.4375), ("iq4_nl", 4.5),
     ("iq4_xs", 4.25), ("tq1_0", 1.6875), ("tq2_0", 2.0625), ("mxfp4", 4.25), ("nvfp4", 4.5)],
)  # fmt: skip
def test_bits_per_weight(dtype: str, bits: float) -> None:
    assert storage_bytes((512, 1024), dtype) == 512 * 1024 * bits / 8


def test_what_is_no_gguf_file(path: Path) -> None:
    assert "is empty (0 bytes)" in refused(path, b"")
    assert "begins with b'PK" in refused(path, b"PK\x03\x04" + bytes(40))
    assert "older ggml format" in refused(path, b"tjgg" + bytes(40))
    assert "version 1 is not understood, only 2 and 3" in refused(path, b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    assert "version 9" in refused(path, b"GGUF" + struct.pack("<IQQ", 9, 0, 0))
    assert "big-endian" in refused(path, b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    assert "cut off" in refused(path, b"GG")


def test_what_contradicts_itself(path: Path) -> None:
    twice = struct.pack("<IQQ", 3, 0, 2) + 2 * (text("a.key") + value(1))
    assert "the metadata key 'a.key' stands there twice" in refused(path, b"GGUF" + twice)
    assert "'a' stands there twice" in refused(path, gguf_bytes({}, [("a", (32,), Q4_0), ("a", (32,), Q4_0)]))
    assert "has rows of 33, no multiple of 32" in refused(path, with_tensor(dims=(33,), kind=Q4_0))
    assert "impossible shape [0, 5]" in refused(path, with_tensor(dims=(0, 5)))
    assert "impossible shape" in refused(path, with_tensor(dims=(2**63, 2**63)))
    assert "has 5 dimensions, not 1 to 4" in refused(path, with_tensor(dims=(1, 1, 1, 1, 1)))
    assert "begins at byte 64 of the data, but those before it end at 0" in refused(path, with_tensor(offset=64))
    assert "general.alignment must be a power of two" in refused(path, gguf_bytes({"general.alignment": 33}, []))


def test_unknown_types(path: Path) -> None:
    assert "tensor 'a' is of the unknown type 99: it is newer" in refused(path, with_tensor(kind=99))
    assert "removed from ggml" in refused(path, with_tensor(kind=31))
    key = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.key")
    assert "'a.key' has a value of the unknown type 77" in refused(path, key + struct.pack("<I", 77) + bytes(9))
    nested = key + struct.pack("<IIQ", 9, 9, 1) + bytes(30)
    assert "'a.key' has an array of the unknown type 9" in refused(path, nested)
    assert "is not text in UTF-8" in refused(path, b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2) + b"\xff\xfe" + bytes(20))


HUGE = 2**63
HOSTILE = {
    "tensors": struct.pack("<IQQ", 3, HUGE, 0),
    "keys": struct.pack("<IQQ", 3, 0, HUGE),
    "many keys": struct.pack("<IQQ", 3, 0, 60_000),
    "key length": struct.pack("<IQQQ", 3, 0, 1, HUGE) + bytes(100),
    "text length": struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IQ", 8, HUGE) + bytes(100),
    "numbers": struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 10, HUGE) + bytes(100),
    "texts": struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, HUGE) + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lengths_beyond_the_file_are_refused_before_anything_is_allocated(name: str, path: Path) -> None:
    tracemalloc.start()
    message = refused(path, b"GGUF" + HOSTILE[name])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "byte " in message
    assert peak < 1_000_000


def test_a_large_hollow_file_is_refused_at_once(path: Path) -> None:
    """A sparse file makes any length fit; limits of their own keep the reader from going through it."""
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**36))
        file.truncate(2**40)
    with pytest.raises(ModelError, match="more than the largest sensible number"):
        read_gguf_header(path)


@pytest.mark.parametrize("cut", range(0, len(FILE), 7))
def test_a_header_that_is_cut_off_is_refused(cut: int, path: Path) -> None:
    refused(path, FILE[:cut])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(FILE)
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), min_size=1)):
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(content)
    try:
        header = read_gguf_header(path)
    except ModelError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert header.data_bytes >= 0
