"""Answers that are kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perfmodel.web.response_cache import OVERHEAD, ResponseCache


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000)), max_size=80))
def test_its_bytes_are_bounded_and_counted(asked: list[tuple[int, int]]) -> None:
    cache = ResponseCache(10_000)
    for key, size in asked:
        cache.put(str(key).encode(), b"x" * size)
        assert cache.held_bytes <= 10_000
    kept = [(str(key).encode(), found) for key in range(21) if (found := cache.get(str(key).encode())) is not None]
    assert len(kept) == len(cache)
    assert cache.held_bytes == sum(len(key) + len(found) + OVERHEAD for key, found in kept)


def test_what_was_used_last_stays() -> None:
    cache = ResponseCache(8 * (OVERHEAD + 11))
    for number in range(8):
        cache.put(str(number).encode(), b"0123456789")
    assert cache.get(b"0") == b"0123456789"
    cache.put(b"8", b"0123456789")
    assert cache.get(b"0") is not None
    assert cache.get(b"1") is None


def test_an_answer_that_is_most_of_it_is_not_kept() -> None:
    cache = ResponseCache(10_000)
    cache.put(b"large", b"x" * 5000)
    assert cache.get(b"large") is None
