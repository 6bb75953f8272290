"""Loads and limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.planning.demand import Demand, traced_demand
from perfmodel.serving.trace_files import Trace

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
        ({"e2e_seconds": 0.5}, "limits contradict each other"),
        ({"itl_seconds": 0.1, "output_tokens": 1}, "ITL contradicts answers of one token"),
        ({"spread": -1.0}, "spread of lengths must lie between 0 and 10"),
        ({"spread": float("nan")}, "spread of lengths"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Demand(**(GOOD | changes))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError, match=r"one load.*at least 1.*give a limit"):
        Demand(input_tokens=0, output_tokens=1)


def test_a_trace_brings_its_lengths_and_its_rate() -> None:
    trace = Trace(
        path="three.csv", input_tokens=np.array([10, 20, 30], dtype=np.int32),
        output_tokens=np.array([1, 2, 6], dtype=np.int32), arrival_seconds=np.array([0.0, 1.0, 4.0]),
    )  # fmt: skip
    found = traced_demand(trace, tpot_seconds=0.1)
    assert (found.rate, found.input_tokens, found.output_tokens) == (0.5, 20, 3)
    assert traced_demand(trace, concurrency=3, tpot_seconds=0.1).rate == 0
    with pytest.raises(InputError, match="no arrival times"):
        traced_demand(replace(trace, arrival_seconds=None), tpot_seconds=0.1)
