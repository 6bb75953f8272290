"""Validation of files: metrics that are right, devices really left out, reasons for rows that are not scored."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.scoring import group_scored, metrics_of
from perfmodel.calibration.validation import validate
from perfmodel.calibration.worst_rows import worst_rows
from perfmodel.errors import InputError, UnknownNameError
from tests.calibration.files import shared, table_row, write_csv
from tests.calibration.fitted import gemm_table
from tests.calibration.test_intervals import scored

TRUTH = {
    "h100-sxm": {"gemm.memory_efficiency": 0.78, "gemm.compute_efficiency": 0.80},
    "a100-sxm-80gb": {"gemm.memory_efficiency": 0.82, "gemm.compute_efficiency": 0.84},
    "l40s": {"gemm.memory_efficiency": 0.86, "gemm.compute_efficiency": 0.88},
}


def test_metrics_by_hand() -> None:
    own = scored("a", np.log(np.array([1.1, 0.8, 1.0, 2.0])))
    found = metrics_of([own], 0.8)["latency"]
    assert found["median_ape"] == pytest.approx(0.15)
    assert found["mape"] == pytest.approx((0.1 + 0.2 + 0 + 1.0) / 4)
    assert found["bias"] == pytest.approx(np.sqrt(1.1) - 1)
    assert found["coverage"] == 0.25  # half-widths are 0: only the exact one
    assert found["kendall_tau"] == 0.0


def test_left_out_devices_are_predicted_and_covered(tmp_path: Path) -> None:
    path = gemm_table(tmp_path / "gemm.csv", TRUTH)
    found = validate(path, leave_out="hardware")
    assert (found.rows, found.predicted, found.skipped) == (900, 900, {})
    assert found.metrics["latency"]["median_ape"] < 0.09
    for group in found.groups(["hardware"]):
        assert group.rows == 300
        assert 0.6 <= metrics_of(group.sets, 0.8)["latency"]["coverage"] <= 1.0
    assert {own.labels["level"] for own in found.sets} == {"datasheet"}


def test_the_left_out_device_has_no_say(tmp_path: Path) -> None:
    """Ruining the times of one device changes nothing in what is predicted for it."""
    sound = gemm_table(tmp_path / "sound.csv", TRUTH)
    ruined = Path(gemm_table(tmp_path / "ruined.csv", TRUTH))
    lines = ruined.read_text().splitlines()
    slow = [
        ",".join([*cells[:-1], str(1.2 * float(cells[-1]))]) if cells[0] == "l40s" else line
        for line, cells in ((line, line.split(",")) for line in lines)
    ]
    ruined.write_text("\n".join(slow))

    def predicted(path: str) -> np.ndarray:
        sets = validate(path, leave_out="hardware").sets
        return np.concatenate([own.predicted for own in sets if own.labels["hardware"] == "l40s"])

    np.testing.assert_allclose(predicted(str(ruined)), predicted(sound), rtol=1e-9)


def test_one_device_leaves_nothing_to_fit(tmp_path: Path) -> None:
    path = gemm_table(tmp_path / "gemm.csv", {"l40s": {}}, rows=50)
    with pytest.raises(InputError, match="fewer than two devices"):
        validate(path, leave_out="hardware")
    assert validate(path).predicted == 50


def test_rows_that_are_not_scored_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [table_row(), table_row(milliseconds=""), table_row(hardware="nowhere"), table_row(precision="fp8"),
            table_row(precision="fp8", hardware="a100-sxm-80gb", engine="vllm", runtime="eager")]  # fmt: skip
    found = validate(write_csv(tmp_path / "t.csv", rows))
    assert found.predicted == 2
    assert sum(found.skipped.values()) == 3
    assert any("launch by launch" in reason for reason in found.skipped)
    assert any("nowhere" in reason for reason in found.skipped)


def test_seconds_read_as_milliseconds_are_suspected(tmp_path: Path) -> None:
    found = validate(gemm_table(tmp_path / "gemm.csv", TRUTH, scale=1e-3))
    assert found.warnings
    assert "seconds read as milliseconds" in found.warnings[0]


def test_unknown_key_and_level_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [table_row()])
    with pytest.raises(UnknownNameError, match="hardware"):
        validate(path).groups(["hardwar"])
    with pytest.raises(InputError, match="between 0 and 1"):
        validate(path, level=80)


def test_groups_split_by_regime() -> None:
    regime = np.array([0, 0, 1, 2])
    groups = group_scored([scored("a", np.zeros(4), regime)], ["regime"])
    assert {(group.key["regime"], group.rows) for group in groups} == {("compute", 2), ("memory", 1), ("overhead", 1)}


def test_worst_rows_come_first_with_a_reason() -> None:
    errors = np.random.default_rng(0).normal(0, 0.05, 100)
    errors[7] = -1.5
    sets = [scored("a", errors, kernel="good"), scored("b", errors[50:] - 1.6, kernel="slow")]
    first, second = worst_rows(sets, 2)
    assert (first.labels["hardware"], second.labels["hardware"]) == ("b", "a")
    assert re.search(r"the whole kernel runs [45]\.?\d* times slower", first.reason)
    assert second.row == 8
    assert "whole kernel" not in second.reason


def test_shared_gemm_tables_one_device_left_out() -> None:
    """The figure that docs/accuracy.md states first, on a thinned share of its rows."""
    pytest.importorskip("pyarrow")
    found = validate(shared("aiconfigurator/*/gemm/vllm/*/gemm_perf.parquet"), leave_out="hardware")
    sets = [own for own in found.sets if own.labels["precision"] == "bf16"]
    latency = metrics_of(sets, 0.8)["latency"]
    assert latency["median_ape"] < 0.115
    assert latency["mape"] < 0.16
    assert 0.72 < latency["coverage"] < 0.95
