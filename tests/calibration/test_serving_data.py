"""Real servers: errors of the shared load tests with what is predicted left out, against the figures reached.

One split is run with all tests; the others with PERFMODEL_ALL_SPLITS=1."""

from __future__ import annotations

import os

import numpy as np
import pytest

from perfmodel.calibration.scoring import metrics_of
from perfmodel.calibration.serving_runs import ServingSet, gather_serving
from perfmodel.calibration.serving_scores import score_serving
from perfmodel.calibration.serving_splits import predict_left_out
from perfmodel.calibration.sources import read_measurements
from tests.calibration.files import shared

TABLE = "silicon_e2e/serving_agg.csv"


@pytest.fixture(scope="module")
def servers() -> ServingSet:
    data, skipped = gather_serving(read_measurements(shared(TABLE)).serving)
    assert data is not None
    assert skipped == {}
    assert len(data) > 1300
    return data


def test_one_model_left_out(servers: ServingSet) -> None:
    left = predict_left_out(servers, "model")
    errors = {"tpot": left.predicted["tpot"] / servers.tpot, "ttft": left.predicted["ttft"] / servers.ttft}
    for metric, median, mean in (("tpot", 0.125, 0.19), ("ttft", 0.29, 0.385)):
        off = np.abs(errors[metric] - 1)
        assert np.median(off) <= median
        assert off.mean() <= mean
        assert np.mean(np.abs(np.log(errors[metric])) <= left.half_width[metric]) == pytest.approx(0.8, abs=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PERFMODEL_ALL_SPLITS"), reason="a minute: set PERFMODEL_ALL_SPLITS=1 to run")
@pytest.mark.parametrize(
    ("split", "anchors", "tpot", "ttft"),
    [
        ("deployment", 0, (0.095, 0.145), (0.20, 0.30)),
        ("hardware", 0, (0.125, 0.195), (0.28, 0.37)),
        ("model", 1, (0.09, 0.13), (0.23, 0.33)),
    ],
)
def test_other_splits(split: str, anchors: int, tpot: tuple[float, float], ttft: tuple[float, float]) -> None:
    sets, _ = score_serving(read_measurements(shared(TABLE)).serving, leave_out=split, anchors=anchors)
    found = metrics_of(sets, 0.8)
    for metric, (median, mean) in (("tpot", tpot), ("ttft", ttft)):
        assert found[metric]["median_ape"] <= median
        assert found[metric]["mape"] <= mean
        assert found[metric]["coverage"] == pytest.approx(0.8, abs=0.05)
        assert found[metric]["kendall_tau_within"] > 0.5
