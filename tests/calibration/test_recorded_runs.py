"""The runs that are recorded here, through fit and check: whole models that no program resembles."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from perfmodel.calibration.local import calibrate_runs
from perfmodel.calibration.validation import validate
from perfmodel.catalog import load_hardware
from perfmodel.measuring.run_files import Runs, read_runs

pytestmark = [pytest.mark.torch, pytest.mark.slow]
RECORDED = Path(__file__).parents[2] / "calibration" / "measurements"
MACHINE = "epyc-zen5-2-cores"


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_models_never_fitted_are_predicted(dtype: str) -> None:
    suite, models = (
        Runs(runs.header, tuple(point for point in runs.points if (point["dtype"], point["threads"]) == (dtype, 1)))
        for runs in (read_runs(RECORDED / MACHINE / name) for name in ("quick.jsonl", "models.jsonl"))
    )
    (found,) = calibrate_runs(load_hardware(MACHINE), suite, models)
    assert not found.skipped
    assert len(found.scores) == 15
    # as good as docs/calibrating.md promises, and worth the while
    assert found.after["median_ape"] < {"fp32": 0.07, "bf16": 0.09}[dtype]
    assert found.after["mape"] < {"fp32": 0.10, "bf16": 0.13}[dtype]
    assert found.after["median_ape"] < found.before["median_ape"]
    assert 0.6 <= found.after["coverage"] <= 1.0


def test_the_shipped_coefficients_hold_for_them() -> None:
    found = validate([str(RECORDED / MACHINE / "models.jsonl")])
    assert sum(len(own.measured) for own in found.sets) == 104
    assert {own.labels["level"] for own in found.sets} == {"device"}
