"""Lists and counts as they are written on the command line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cli.options import read_counts, read_limit, split_list
from perfmodel.errors import InputError

LARGEST = 1 << 31


@given(st.lists(st.integers(1, LARGEST), min_size=1))
def test_counts_are_read_back(counts: list[int]) -> None:
    assert read_counts(",".join(map(str, counts)), LARGEST) == tuple(dict.fromkeys(counts))


def test_underscores_and_blanks() -> None:
    assert read_counts("1_000, 2", LARGEST) == (1000, 2)


@given(st.text(max_size=12))
def test_any_text_gives_counts_or_a_message(text: str) -> None:
    try:
        counts = read_counts(text, LARGEST)
    except InputError as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(1 <= count <= LARGEST for count in counts)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "2k", "1e3", "nan", "1,,2", "1,", "٣", "0x10", "99999999999", "9" * 5000]
)
def test_wrong_counts(text: str) -> None:
    with pytest.raises(InputError):
        read_counts(text, LARGEST)


def test_all_wrong_counts_are_named() -> None:
    with pytest.raises(InputError, match=r"'2k'.*'x'"):
        read_counts("2k,1,x", LARGEST)


def test_list_drops_repetitions() -> None:
    assert split_list("b, a,b") == ("b", "a")


@given(st.floats(1e-3, 99.0))
def test_limits_without_a_unit_are_seconds(seconds: float) -> None:
    assert read_limit(f"{seconds!r}") == read_limit(f"{seconds!r} s") == seconds


@given(st.integers(100, 10**6))
def test_numbers_of_milliseconds_without_their_unit_are_asked_about(number: int) -> None:
    told = re.escape(f"'{number}' would be {number:g} seconds: write '{number} ms', or '{number} s'")
    with pytest.raises(InputError, match=told):
        read_limit(str(number))
    assert read_limit(f"{number} ms") == pytest.approx(number / 1000)
    assert read_limit(f"{number} seconds") == number
