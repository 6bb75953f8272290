"""JSON from outside."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.web.strict_json import JSONMistake, dump_json, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)  # fmt: skip


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    assert read_json(dump_json(value)) == value


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        value = read_json(text)
    except JSONMistake:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"level": NaN}', "NaN is no number"),
        (b'{"level": -Infinity}', "-Infinity is no number"),
        (b'{"level": 1e999}', "too large"),
        (b'{"batch": 1' + b"0" * 5000 + b"}", "5001 digits"),
        (b'{"a": 1, "a": 2}', "'a' comes twice"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": }', "line 1, column 7"),
        (b'"\xff"', "not UTF-8"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: bytes, told: str) -> None:
    with pytest.raises(JSONMistake, match=told):
        read_json(text)


def test_a_lone_surrogate_can_be_told_of() -> None:
    assert dump_json(read_json(b'"\\ud800"')) == b'"\\ud800"'
