"""Headers of safetensors files: one, many, an index, and everything that is none."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.safetensors_writer import framed, safetensors_bytes
from perfmodel.errors import ModelError, PerfmodelError
from perfmodel.graphs.safetensors_header import FileTensor, read_safetensors_header, read_tensors

TENSORS = {"a.weight": ("BF16", (4, 8)), "b": ("F32", ()), "c": ("F8_E4M3", (3,)), "empty": ("F16", (0, 4))}
FILE = safetensors_bytes(TENSORS)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_safetensors_header(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("data", [False, True])
def test_what_a_header_states(tmp_path: Path, data: bool) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes(TENSORS, data=data))
    assert read_safetensors_header(path) == tuple(FileTensor(name, *own) for name, own in TENSORS.items())


def test_a_file_of_the_reference_writer(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn,
             "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16,
             "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool, "F64": torch.float64}  # fmt: skip
    save({name: torch.zeros((3, 5), dtype=kind) for name, kind in kinds.items()}, tmp_path / "x.safetensors")
    found = read_tensors(tmp_path / "x.safetensors")
    assert {name: (own.dtype, own.shape) for name, own in found.items()} == {name: (name, (3, 5)) for name in kinds}


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "not readable JSON"),
        ("[1]", "must be a JSON object, is a list"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        ("[" * 100_000, "not readable JSON"),
        (json.dumps({"a": 3}), "'a' needs dtype, shape and data_offsets"),
        (json.dumps({"a": entry(dtype="F7")}), "'a' has the unknown dtype 'F7'"),
        (json.dumps({"a": entry(dtype=["F32"])}), "'a' has the unknown dtype"),
        (json.dumps({"a": entry(shape=[-2])}), "'a' has the impossible shape"),
        (json.dumps({"a": entry(shape=[2**40, 2**40])}), "'a' has the impossible shape"),
        (json.dumps({"a": entry(shape=[True, 2])}), "'a' has the impossible shape"),
        (json.dumps({"a": entry(offsets=[8, 0])}), "'a' has data_offsets"),
        (json.dumps({"a": entry(offsets=[0, 9])}), "'a' takes 9 bytes by its data_offsets, 8 by its dtype"),
        (json.dumps({"a": entry(), "b": entry(offsets=[4, 12])}), "'b' begins at byte 4 of the data"),
        (json.dumps({"a": entry(dtype="X"), "b": entry(shape=3)}), "'a' has the unknown dtype 'X'; 'b' has the imposs"),
    ],
)  # fmt: skip
def test_what_contradicts_itself(header: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path / "x.safetensors", framed(header))


def test_lengths_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    assert "has 0 bytes" in refused(path, b"")
    assert "give config.json alone" in refused(path, b"version https://git-lfs.github.com/spec/v1\noid sha256:0")
    tracemalloc.start()
    assert "is cut, or no safetensors file" in refused(path, struct.pack("<Q", 2**62) + b"{}")
    with path.open("wb") as file:  # sparse: any length fits
        file.write(struct.pack("<Q", 2**38) + b"{}")
        file.truncate(2**39)
    with pytest.raises(ModelError, match="is too large"):
        read_safetensors_header(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(0, 255), st.one_of(st.none(), st.integers(0, len(FILE))))
def test_damaged_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: int | None
) -> None:
    content = bytearray(FILE)
    content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content[:cut])
    try:
        assert all(own.bits >= 0 for own in read_safetensors_header(path))
    except PerfmodelError as error:
        assert "damaged.safetensors" in str(error)  # noqa: PT017 - both outcomes are right


# ------------------------------------------------------------------------------------------------------- shards


def shards(folder: Path) -> list[Path]:
    files = []
    for place in (1, 2):
        files.append(folder / f"model-{place:05}-of-00002.safetensors")
        files[-1].write_bytes(safetensors_bytes({f"t{place}": ("BF16", (4,))}))
    return files


def test_shards_by_name_by_index_by_folder(tmp_path: Path) -> None:
    files = shards(tmp_path)
    assert set(read_tensors(files[1])) == {"t1", "t2"}
    assert set(read_tensors(tmp_path)) == {"t1", "t2"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"t1": files[0].name}}))
    assert set(read_tensors(index)) == set(read_tensors(tmp_path)) == {"t1"}


def test_shards_that_are_missing_or_overlap(tmp_path: Path) -> None:
    files = shards(tmp_path)
    files[1].write_bytes(files[0].read_bytes())
    with pytest.raises(ModelError, match="the tensor 't1' is also in another shard"):
        read_tensors(files[0])
    files[1].unlink()
    with pytest.raises(ModelError, match=r"missing: .*model-00002-of-00002\.safetensors"):
        read_tensors(files[0])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(ModelError, match="do not lie beside it"):
        read_tensors(index)
    index.write_text("{}")
    with pytest.raises(ModelError, match="needs weight_map"):
        read_tensors(index)
