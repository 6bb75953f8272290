"""The fit of engines: known coefficients come back, priors hold what data does not speak of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.serving_features import run_latencies
from perfmodel.calibration.serving_fit import fit_runs, predict_rows, pseudo_huber, unknowns_of
from perfmodel.serving.engine_coefficients import PARAMETERS
from tests.calibration.served import TRUTH, server_set


def test_unknowns_start_at_their_priors() -> None:
    unknowns = unknowns_of(("gemm.fp8.block", "attention.decode"), ("vllm", "sglang"))
    values = dict(zip(unknowns.names, unknowns.values(np.zeros(len(unknowns.names))), strict=True))
    for parameter in PARAMETERS:
        names = [f"{parameter.name}@vllm", f"{parameter.name}@sglang"] if parameter.by_engine else [parameter.name]
        assert [values[name] for name in names] == pytest.approx([parameter.value] * len(names))
    assert {"compute.gemm.fp8.block", "memory.gemm.fp8.block", "work.attention.decode"} <= values.keys()
    own = unknowns.coefficients(np.arange(len(unknowns.names)) / 10, np.array([0, 1, 1]))
    assert own["step_seconds"].shape == (3,)
    assert own["step_seconds"][0] != own["step_seconds"][1] == own["step_seconds"][2]
    assert own["draft_cost"].shape == ()


def test_known_coefficients_come_back() -> None:
    """Without noise and nearly without priors, those that the runs speak of alone."""
    data = server_set(noise=0.0)
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    z = fit_runs(data.runs, unknowns, data.tpot, data.ttft, prior_weight=1e-4)
    found = dict(zip(unknowns.names, z, strict=True))
    for name, truth in TRUTH.items():
        assert found[name] == pytest.approx(truth, abs=0.25), name
    fitted = run_latencies(data.runs, unknowns.coefficients(z, data.runs.engine))
    for measured, own in zip((data.tpot, data.ttft), fitted, strict=True):
        np.testing.assert_allclose(own, measured, rtol=0.01)


def test_strong_priors_hold_back_and_still_fit() -> None:
    data = server_set()
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    z = fit_runs(data.runs, unknowns, data.tpot, data.ttft)
    before, after = (
        run_latencies(data.runs, unknowns.coefficients(own, data.runs.engine)) for own in (np.zeros(len(z)), z)
    )
    for measured, first, last in zip((data.tpot, data.ttft), before, after, strict=True):
        assert np.abs(np.log(last / measured)).mean() < 0.6 * np.abs(np.log(first / measured)).mean()
    found = dict(zip(unknowns.names, z, strict=True))
    for name, truth in TRUTH.items():
        assert 0 < found[name] * np.sign(truth) < abs(truth) * 1.3, name
    # no run drafts tokens or shards attention's data: nothing is said of these
    for name in ("draft_cost", "accepted_1@vllm", "attention_data_steps"):
        assert found[name] == pytest.approx(0, abs=1e-6)


def test_a_metric_that_was_not_measured_is_left_alone() -> None:
    data = server_set()
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    z = fit_runs(data.runs, unknowns, data.tpot, np.full(len(data), np.nan))
    found = dict(zip(unknowns.names, z, strict=True))
    assert found["first_token_seconds@vllm"] == pytest.approx(0, abs=1e-6)
    assert found["step_seconds@vllm"] > 0


def test_chosen_rows_are_predicted_alike() -> None:
    data = server_set()
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    z = np.full(len(unknowns.names), 0.1)
    whole = run_latencies(data.runs, unknowns.coefficients(z, data.runs.engine))
    for own, each in zip(predict_rows(data.runs, unknowns, z, np.array([5, 2])), whole, strict=True):
        np.testing.assert_allclose(own, each[[5, 2]])


@given(st.floats(-50, 50))
def test_large_residuals_count_less(off: float) -> None:
    own = float(pseudo_huber(np.array([off]))[0])
    assert abs(own) <= abs(off) + 1e-12
    assert own == pytest.approx(-float(pseudo_huber(np.array([-off]))[0]))
    if abs(off) < 0.05:
        assert own == pytest.approx(off, abs=1e-4)
    if abs(off) > 10:
        assert own**2 < 0.15 * off**2
