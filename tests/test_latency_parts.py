"""Two sets of latencies in parts: exact sums, signs, what counts as the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.latency_parts import Made, compare_latencies, whole_latency
from perfmodel.report.comparison_words import SAME
from perfmodel.report.latency_plot import steps_of
from perfmodel.report.latency_words import compared_sentences, made_sentence

PARTS = st.dictionaries(
    st.sampled_from(["weights read", "KV cache read", "collectives", "host per step", "queue of prompts"]),
    st.floats(1e-6, 10.0),
    min_size=1,
)


def made(parts: dict[str, float], wide: float = 1.2) -> Made:
    seconds = sum(parts.values())
    return Made(seconds=seconds, low=seconds / wide, high=seconds * wide, parts=parts)


@given(PARTS, PARTS)
def test_parts_add_up_and_swapping_swaps_signs(a: dict[str, float], b: dict[str, float]) -> None:
    (one,) = compare_latencies({"tpot": made(a)}, {"tpot": made(b)})
    (other,) = compare_latencies({"tpot": made(b)}, {"tpot": made(a)})
    limit = 1e-12 * max(one.a.seconds, one.b.seconds)
    assert sum(part.difference_seconds for part in one.parts) == pytest.approx(one.difference_seconds, abs=limit)
    assert {part.name: part.difference_seconds for part in one.parts} == {
        part.name: -part.difference_seconds for part in other.parts
    }
    sizes = [abs(part.difference_seconds) for part in one.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert one.ratio_interval == pytest.approx(tuple(1 / end for end in reversed(other.ratio_interval)))
    assert one.ratio_interval[0] <= one.ratio <= one.ratio_interval[1]
    assert sum(seconds for _, seconds in steps_of(one)) == pytest.approx(one.difference_seconds, abs=limit)


@given(PARTS)
def test_equal_requests_are_the_same(parts: dict[str, float]) -> None:
    found = compare_latencies({"ttft": made(parts), "tpot": made(parts)}, {"ttft": made(parts), "tpot": made(parts)})
    assert all(each.same for each in found)
    assert compared_sentences(found) == (SAME,)


def test_the_words() -> None:
    a = {"tpot": made({"weights read": 0.010, "collectives": 0.001, "host per step": 0.001})}
    b = {"tpot": made({"weights read": 0.011, "collectives": 0.0041, "host per step": 0.001})}
    (sentence,) = compared_sentences(compare_latencies(a, b))
    assert sentence.startswith("Per token B is 1.34 times slower than A (16.1 ms against 12.0 ms; ")
    assert sentence.endswith("): collectives +3.10 ms and weights read +1.00 ms.")
    (sentence,) = compared_sentences(compare_latencies(b, a))
    assert sentence.startswith("Per token B is 1.34 times faster than A (12.0 ms against 16.1 ms; ")
    assert sentence.endswith("): collectives -3.10 ms and weights read -1.00 ms.")
    assert made_sentence("tpot", a["tpot"]) == (
        "Per token it takes 12.0 ms: weights read 83 %, collectives 8.3 % and host per step 8.3 %."
    )


def test_one_latency_may_be_the_same_while_another_differs() -> None:
    a = {"ttft": made({"weights read": 1.0}), "tpot": made({"weights read": 1.0})}
    b = {"ttft": made({"weights read": 1.0}), "tpot": made({"weights read": 2.0})}
    assert compared_sentences(compare_latencies(a, b))[0] == "To its first token A and B take the same 1.00 s."


def test_independent_errors_add_as_squares() -> None:
    (found,) = compare_latencies({"e2e": made({"x": 1.0}, wide=1.3)}, {"e2e": made({"x": 1.0}, wide=1.4)})
    half = math.hypot(math.log(1.3), math.log(1.4))
    assert found.ratio_interval == pytest.approx((math.exp(-half), math.exp(half)))


def test_a_whole_answer_is_its_tokens() -> None:
    whole = whole_latency(made({"x": 0.5}), made({"y": 0.01}), 101, 1.0, 2.0)
    assert whole.seconds == pytest.approx(1.5)
    assert dict(whole.parts) == {"first token": 0.5, "further tokens": 1.0}
    assert whole_latency(made({"x": 0.5}), made({"y": 0.01}), 1, 0.4, 0.6).parts["further tokens"] == 0


def test_no_steady_state_is_refused() -> None:
    endless = {"tpot": Made(seconds=math.inf, low=math.inf, high=math.inf, parts={})}
    with pytest.raises(InputError, match="B has no steady state"):
        compare_latencies({"tpot": made({"x": 1.0})}, endless)
