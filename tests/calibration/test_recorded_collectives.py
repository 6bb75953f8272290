"""The collectives that are recorded here: what the priors say of them, and what half of them say of the other half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.fitted import fit_scope
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.scopes import parameters_of
from perfmodel.calibration.scoring import metrics_of, score_ops
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.validation import validate
from perfmodel.catalog import load_hardware
from perfmodel.costs.collective import OPERATIONS

MACHINE, SCOPE = "epyc-zen4-2-cores", "collective.gloo"
RECORDED = Path(__file__).parents[2] / "calibration" / "measurements" / MACHINE / "collectives.jsonl"


def test_the_priors_hold_for_them() -> None:
    found = validate([str(RECORDED)])
    assert found.warnings == ()
    assert {own.labels["function"] for own in found.sets} == set(OPERATIONS) - {"reduce"}
    latency = found.metrics["latency"]
    assert latency["median_ape"] < 0.25
    assert latency["coverage"] > 0.8


@pytest.mark.parametrize("first", [0, 1])
def test_every_other_size_is_predicted_from_the_rest(first: int) -> None:
    chip = load_hardware(MACHINE)
    groups = read_measurements(str(RECORDED)).ops
    sizes = sorted({size for rows in groups for size in rows.sizes["bytes"]})
    told, asked = sizes[first::2], sizes[1 - first :: 2]

    def of(rows: OpRows, wanted: list[float]) -> OpRows:
        return rows.take(np.isin(rows.sizes["bytes"], wanted))

    priors = [parameter.prior for parameter in parameters_of(SCOPE)]
    fitted = fit_scope(SCOPE, [of(rows, told) for rows in groups], {chip.id: chip}, priors)
    scored = [score_ops(of(rows, asked), {SCOPE: fitted}, chip) for rows in groups]
    assert metrics_of(scored, 0.8)["latency"]["median_ape"] < 0.25
