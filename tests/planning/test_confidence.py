"""The chance that limits are kept, against drawn errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.planning.confidence import UTILISATION, chance_of_limits, log_errors
from perfmodel.serving.standing import Knowledge

ERRORS = log_errors(Knowledge(), "datasheet")


@given(st.floats(0.001, 1.0), st.floats(1.0, 10.0))
def test_it_grows_with_the_limits(seconds: float, factor: float) -> None:
    found = {"ttft": seconds, "tpot": seconds}
    tight = chance_of_limits(found, {"ttft": seconds, "tpot": seconds}, ERRORS)
    loose = chance_of_limits(found, {"ttft": factor * seconds, "tpot": factor * seconds}, ERRORS)
    assert tight == pytest.approx(0.25)  # each mean keeps its limit in one case of two
    assert tight <= loose <= 1


@given(st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.floats(0.05, 0.95))
def test_it_is_the_share_of_drawn_errors(ttft: float, tpot: float, e2e: float, first_share: float) -> None:
    x, y = np.exp(np.random.default_rng(0).standard_normal((2, 20_000)) * [[ERRORS["ttft"]], [ERRORS["tpot"]]])
    kept = (x <= ttft) & (y <= tpot) & (first_share * x + (1 - first_share) * y <= e2e)
    ones, limits = {"ttft": 1.0, "tpot": 1.0, "e2e": 1.0}, {"ttft": ttft, "tpot": tpot, "e2e": e2e}
    assert chance_of_limits(ones, limits, ERRORS, first_share) == pytest.approx(kept.mean(), abs=0.02)


def test_gaps_and_tokens_err_together_and_a_full_server_may_be_too_slow() -> None:
    one = chance_of_limits({"tpot": 0.02}, {"tpot": 0.025}, ERRORS)
    both = chance_of_limits({"tpot": 0.02, "itl": 0.02}, {"tpot": 0.025, "itl": 0.03}, ERRORS)
    assert both == one
    full = chance_of_limits({"tpot": 0.02, UTILISATION: 1.0}, {"tpot": 0.025}, ERRORS)
    assert full == pytest.approx(0.5)
