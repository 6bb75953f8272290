"""Server runs scored: one set for each deployment, metric and request, with ranks inside groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.scoring import KEYS, SERVING, metrics_of
from perfmodel.calibration.serving_scores import score_serving
from perfmodel.calibration.validation import validate
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import REGIMES
from tests.calibration.files import table_row, write_csv
from tests.calibration.served import server_set, server_table

GROUPS = server_set(models=("Qwen/Qwen3-32B", "Qwen/Qwen3-8B"), chips=("h100-sxm", "b200")).groups


def test_sets_and_their_labels() -> None:
    sets, skipped = score_serving(GROUPS)
    assert skipped == {}
    assert sum(len(own) for own in sets if own.metric == "tpot") == sum(map(len, GROUPS))
    for own in sets:
        assert set(own.labels) == set(KEYS)
        assert own.labels["phase"] == SERVING
        assert own.labels["level"] in ("device", "family")
        assert np.all((own.low < own.measured) | (own.low < own.predicted))
        assert np.all(own.low >= np.minimum(own.bound, own.predicted) * (1 - 1e-12))
        assert set(own.regime.tolist()) <= set(range(len(REGIMES)))
        lengths = {f"{i:g}x{o:g}" for i, o in zip(own.sizes["input_tokens"], own.sizes["output_tokens"], strict=True)}
        assert lengths == {own.labels["lengths"]}


def test_ranks_within_groups() -> None:
    """Latencies grow with the users, and are predicted to: tau within is high, and told of servers alone."""
    sets, _ = score_serving(GROUPS)
    found = metrics_of(sets, 0.8)
    assert found["tpot"]["kendall_tau_within"] > 0.6
    turned = [replace(own, predicted=1 / own.predicted) for own in sets]
    assert metrics_of(turned, 0.8)["tpot"]["kendall_tau_within"] == pytest.approx(-found["tpot"]["kendall_tau_within"])
    assert "kendall_tau_within" not in metrics_of([own.take(np.arange(1)) for own in sets[:1]], 0.8)[sets[0].metric]
    others = [replace(own, labels=own.labels | {"phase": "decode"}) for own in sets]
    assert "kendall_tau_within" not in metrics_of(others, 0.8)["tpot"]


def test_left_out_with_and_without_anchors() -> None:
    sets, skipped = score_serving(GROUPS, leave_out="hardware")
    assert {own.labels["level"] for own in sets} == {"left out"}
    assert skipped == {}
    sets, skipped = score_serving(GROUPS, leave_out="hardware", anchors=2)
    assert {own.labels["level"] for own in sets} == {"anchored"}
    assert skipped == {"given as anchors": 2 * len(GROUPS)}
    assert sum(len(own) for own in sets if own.metric == "ttft") == sum(map(len, GROUPS)) - 2 * len(GROUPS)
    with pytest.raises(InputError, match="one family only"):
        score_serving([own for own in GROUPS if own.hardware == "b200"], leave_out="family")
    assert score_serving([], leave_out="model") == ([], {})


def test_validate_counts_runs_not_figures(tmp_path: Path) -> None:
    table = server_table(tmp_path / "servers.csv", GROUPS[:2])
    ops = write_csv(tmp_path / "ops.csv", [table_row(runtime="graphs")] * 3)
    found = validate([table, ops])
    assert (found.rows, found.predicted, found.skipped) == (27, 27, {})
    assert {"tpot", "ttft", "latency"} == found.metrics.keys()
    assert found.metrics["tpot"]["rows"] == 24
    assert found.metrics["tpot"]["median_ape"] < 0.3
