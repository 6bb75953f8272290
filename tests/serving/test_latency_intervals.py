"""Intervals of mean latencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.serving.latency_intervals import half_widths, latencies_at, with_intervals
from perfmodel.serving.standing import Knowledge

SECONDS = st.floats(1e-4, 1e3)
WIDTHS = st.floats(0.01, 2.0)


@given(SECONDS, SECONDS, WIDTHS, WIDTHS, st.floats(0.0, 1.0), st.integers(1, 5000))
def test_an_answer_is_as_sure_as_its_parts(
    ttft: float, tpot: float, ttft_width: float, tpot_width: float, share: float, tokens: int
) -> None:
    found = {"ttft": np.array([ttft]), "tpot": np.array([tpot])}
    floors = {metric: share * own for metric, own in found.items()}
    widths = {"ttft": ttft_width, "tpot": tpot_width}
    own = latencies_at(with_intervals(found, floors, widths, tokens))
    for metric in ("ttft", "tpot"):
        assert floors[metric][0] <= own[metric].low <= own[metric].seconds <= own[metric].high
        assert own[metric].high == pytest.approx(found[metric][0] * np.exp(widths[metric]))
    whole, later = own["e2e"], tokens - 1
    assert whole.seconds == pytest.approx(ttft + later * tpot)
    # errors that are independent add up to less than those of both parts at once
    assert own["ttft"].low + later * own["tpot"].low <= whole.low * (1 + 1e-9)
    assert whole.high <= (own["ttft"].high + later * own["tpot"].high) * (1 + 1e-9)


def test_without_a_steady_state_all_ends_are_infinite() -> None:
    found = {"ttft": np.array([0.1, np.inf]), "tpot": np.array([0.01, np.inf])}
    floors = {"ttft": np.zeros(2), "tpot": np.zeros(2)}
    ends = with_intervals(found, floors, half_widths(Knowledge(), "datasheet", 0.8), 100)
    assert np.isfinite(latencies_at(ends, 0)["e2e"].high)
    endless = latencies_at(ends, 1)["e2e"]
    assert (endless.seconds, endless.low, endless.high) == (np.inf, np.inf, np.inf)


def test_one_token_has_no_time_per_token() -> None:
    found = {"ttft": np.array([0.1]), "tpot": np.array([np.inf])}
    ends = with_intervals(found, {"ttft": np.zeros(1), "tpot": np.zeros(1)}, {"ttft": 0.5, "tpot": 0.5}, 1)
    assert latencies_at(ends)["e2e"].seconds == 0.1
