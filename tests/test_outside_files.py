"""Files from outside: what is no file, sizes, JSON within limits, and the page that tells the limits."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import outside_files, yaml_strict
from perfmodel.graphs import gguf_header, onnx_program, safetensors_header
from perfmodel.outside_files import MAX_DIGITS, MAX_LINE, MAX_NESTING, lines_of, open_file, parse_json, read_bytes
from perfmodel.serving.workload import MAX_REQUESTS
from perfmodel.sizes import MAX_POWER

ROOT = Path(__file__).resolve().parents[1]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_what_the_standard_library_reads(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) is not ...


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands there twice"),
        ("9" * (MAX_DIGITS + 1), "a number of 41 digits"),
        ("[" * (MAX_NESTING + 2) + "]" * (MAX_NESTING + 2), "nested deeper than 64"),
        ("[" * 100_000, "nested deeper than 64"),
        ("[" + "0," * outside_files.MAX_JSON_VALUES + "0]", "more than 3,000,000"),
        ('{"a": }', "Expecting value"),
    ],
    ids=str,
)
def test_json_that_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_the_deepest_json() -> None:
    text = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert json.dumps(parse_json(text)) == text
    assert parse_json("9" * MAX_DIGITS) == 10**MAX_DIGITS - 1


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = {
        pipe: "is a pipe",
        tmp_path: "Is a directory",
        Path("/dev/null"): "is a device",
        tmp_path / "a\0b": "impossible",
    }
    for path, said in told.items():
        with pytest.raises(OSError, match=said) as caught:
            open_file(path)
        assert said in str(caught.value.strerror)
        assert not outside_files.is_file(path)
    assert not outside_files.is_file("x" * 10_000)
    assert not outside_files.is_folder("x" * 10_000)
    assert outside_files.is_folder(tmp_path)


def test_sizes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_bytes(path, 10) == b"0123456789"
    with pytest.raises(OSError, match="limit"):
        read_bytes(path, 9)
    os.truncate(path, 1 << 40)  # sparse: to read it would take a day
    with pytest.raises(OSError, match="limit"):
        read_bytes(path, 1 << 30)


@given(st.text(alphabet="ab\n", max_size=50))
def test_lines_are_those_of_the_file(text: str) -> None:
    assert list(lines_of(StringIO(text))) == text.splitlines(keepends=True)


def test_a_line_without_end() -> None:
    with pytest.raises(ValueError, match="line 2 is longer"):
        list(lines_of(StringIO("a\n" + "b" * MAX_LINE)))


def test_the_page_tells_the_limits() -> None:
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    in_bytes = (outside_files.MAX_SPEC_BYTES, outside_files.MAX_TABLE_BYTES, outside_files.MAX_REPORT_BYTES,
                outside_files.MAX_TRACE_BYTES, outside_files.MAX_MODEL_BYTES,
                safetensors_header.MAX_HEADER_BYTES)  # fmt: skip
    counts = (outside_files.MAX_JSON_VALUES, outside_files.MAX_CELLS, outside_files.MAX_COLUMNS, outside_files.MAX_ROWS,
              outside_files.MAX_LINE, yaml_strict.MAX_VALUES, safetensors_header.MAX_SHARDS, MAX_REQUESTS,
              onnx_program.MAX_NODES, gguf_header.MAX_TENSORS, gguf_header.MAX_STRINGS)  # fmt: skip
    wanted = [outside_files.in_megabytes(size) for size in in_bytes] + [f"{count:,}" for count in counts]
    wanted += [
        f"{MAX_NESTING} levels",
        f"{yaml_strict.MAX_DEPTH} levels",
        f"{MAX_DIGITS} digits",
        f"powers up to {MAX_POWER}",
    ]
    assert [text for text in wanted if text not in page] == []
