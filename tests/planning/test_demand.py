"""Loads and limits, and the chance that limits are kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.planning.demand import Demand, confidence_of
from perfmodel.serving.standing import Knowledge

GOOD: dict[str, Any] = {"rate": 1.0, "input_tokens": 100, "output_tokens": 10, "ttft_seconds": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0.0}, "give one load"),
        ({"concurrency": 3.0}, "not both"),
        ({"rate": -1.0}, "rate must be a positive number, not -1"),
        ({"ttft_seconds": 0.0}, "give a limit"),
        ({"ttft_seconds": -1.0}, "above 0"),
        ({"tpot_seconds": 0.1, "output_tokens": 1}, "contradicts answers of one token"),
        ({"percentile": 100.0}, "percentile must lie"),
        ({"input_tokens": 0}, "input_tokens must be at least 1"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Demand(**(GOOD | changes))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError, match=r"one load.*at least 1.*give a limit"):
        Demand(input_tokens=0, output_tokens=1)


@given(st.floats(0.001, 1.0), st.floats(1.0, 10.0))
def test_confidence_grows_with_the_limit(seconds: float, factor: float) -> None:
    known, found = Knowledge(), {"ttft": seconds, "tpot": seconds}
    tight = confidence_of(found, {"ttft": seconds, "tpot": seconds}, known, "datasheet")
    loose = confidence_of(found, {"ttft": factor * seconds, "tpot": factor * seconds}, known, "datasheet")
    assert tight == pytest.approx(0.25)  # each mean keeps its limit in one case of two
    assert tight <= loose <= 1
