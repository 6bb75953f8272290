"""Features of server runs: the closed form in columns is the one of single predictions."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.calibration.serving_features import DECODE, run_latencies, run_steps, settle, take_runs
from perfmodel.calibration.serving_fit import unknowns_of
from perfmodel.calibration.serving_runs import gather_serving
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import host_seconds
from perfmodel.serving.servers import server_of
from perfmodel.serving.steady_answers import fixed_concurrency
from tests.calibration.served import server_rows, server_set

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_columns_are_the_closed_form_of_single_predictions(engine: str) -> None:
    data, _ = gather_serving([server_rows(LLAMA, "h100-sxm", engine)])
    assert data is not None
    server = server_of(data.deployments[0])
    c = server.coefficients
    runs = settle(data.runs, c)
    tpot, ttft = run_latencies(runs, c)
    own = data.groups[0]
    state = fixed_concurrency(
        server, concurrency=own.concurrency, input_tokens=own.input_tokens, output_tokens=own.output_tokens
    )
    np.testing.assert_allclose(tpot, state.tpot_seconds, rtol=0.05)
    np.testing.assert_allclose(ttft, state.ttft_seconds, rtol=0.05)


def test_rows_do_not_depend_on_each_other() -> None:
    runs = server_set().runs
    unknowns = unknowns_of(runs.classes, runs.engines)
    z = np.random.default_rng(1).normal(size=len(unknowns.names))
    whole = run_latencies(runs, unknowns.coefficients(z, runs.engine))
    chosen = np.array([3, 40, 100, 7])
    some = take_runs(runs, chosen)
    assert len(some) == 4
    for own, all_rows in zip(run_latencies(some, unknowns.coefficients(z, some.engine)), whole, strict=True):
        np.testing.assert_allclose(own, all_rows[chosen], rtol=1e-12)


def test_steps_never_beat_the_physical_bound() -> None:
    """Whatever the coefficients say of kernels."""
    runs = server_set().runs
    fast = EngineCoefficients(
        values={f"{kind}.{name}": 1e3 for name in runs.classes for kind in ("compute", "memory", "network", "work")}
        | {"launch_share": 0.0}
    )
    steps = run_steps(runs, fast)
    assert np.all(steps.decode >= runs.bounds[DECODE] + host_seconds(runs.host, fast))


def test_more_users_never_make_tokens_come_faster() -> None:
    data = server_set(noise=0.0)
    for place, own in enumerate(data.groups):
        tpot = data.tpot[data.group == place].reshape(-1, 4)  # four numbers of users for each kind of request
        assert np.all(np.diff(tpot, axis=1) > 0), own.subject


def test_batches_stay_within_the_users() -> None:
    runs = server_set().runs
    assert np.all(runs.batch <= runs.loop.users * (1 + 1e-9))
    assert np.all(runs.batch >= 0.5)
