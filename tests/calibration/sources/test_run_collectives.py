"""Collectives in files of runs: which chip, library and operation each point is of, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfmodel.calibration.fitting import fit_files
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.run_collectives import DISTURBED
from perfmodel.calibration.validation import validate
from perfmodel.costs.collective import OPERATIONS
from perfmodel.errors import InputError
from tests.calibration.sources.test_runs import CORES, home, point, write  # noqa: F401


def collective(**changes: Any) -> dict[str, Any]:
    own = {"operation": "all_reduce", "library": "gloo", "bytes": 1024, "devices": 2, "dtype": "fp32", "threads": 1,
           "runtime": "eager", "seconds": 4e-4, "repeats": 12, "contaminated": False}  # fmt: skip
    return {name: value for name, value in (own | changes).items() if value is not None}


def made_points() -> list[dict[str, Any]]:
    """Half a millisecond, and 2 GB/s."""
    return [
        collective(operation=operation, bytes=4**power, seconds=5e-4 + 4**power / 2e9)
        for operation in OPERATIONS
        for power in range(5, 14)
    ]


def test_points_of_one_operation_are_rows(tmp_path: Path) -> None:
    points = [collective(), collective(operation="broadcast"), collective(bytes=4096, devices=4, seconds=1e-3)]
    reduce, broadcast = read_measurements(write(tmp_path / "runs.jsonl", *points)).ops
    assert (reduce.source, reduce.hardware, reduce.engine, reduce.version) == ("runs", "local", "gloo", "2.13.0")
    assert (reduce.kind, reduce.precision, reduce.runtime) == ("collective", "fp32", "eager")
    assert reduce.flags == {"operation": "all_reduce", "library": "gloo", "fabric": "host"}
    assert {name: column.tolist() for name, column in reduce.sizes.items()} == {
        "bytes": [1024, 4096], "devices": [2, 4], "devices_per_node": [2, 4]
    }  # fmt: skip
    assert (reduce.seconds.tolist(), reduce.rows.tolist(), broadcast.rows.tolist()) == ([4e-4, 1e-3], [1, 3], [2])


def test_they_stand_beside_models(tmp_path: Path) -> None:
    imported = read_measurements(
        write(tmp_path / "runs.jsonl", collective(), point(threads=CORES), collective(bytes=8))
    )
    assert [fact.row for fact in imported.measurements] == [2]
    assert [rows.rows.tolist() for rows in imported.ops] == [[1, 3]]
    assert imported.rows == imported.used == 3


def test_nccl_is_of_the_gpu(tmp_path: Path) -> None:
    header = {"machine": {"gpu": "NVIDIA H100 80GB HBM3"}, "versions": {"torch": "2.13.0", "nccl": "2.27.3"}}
    path = write(tmp_path / "runs.jsonl", collective(library="nccl", devices=8), device="cuda", **header)
    (rows,) = read_measurements(path).ops
    assert (rows.hardware, rows.engine, rows.kernel, rows.version) == ("h100-sxm", "nccl", "NCCL", "2.27.3")
    assert rows.flags["fabric"] == "NVLink4+NVSwitch3"
    assert validate(path).predicted == 1


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    points = [
        collective(contaminated=True), collective(seconds=0.0), collective(operation="shuffle"),
        collective(library="nccl"), collective(dtype="fp5"), collective(devices=1), collective(bytes=0.5), collective(),
    ]  # fmt: skip
    imported = read_measurements(write(tmp_path / "runs.jsonl", *points))
    assert imported.used == 1
    assert imported.rows == imported.used + sum(imported.skipped.values()) == len(points)
    assert imported.skipped[DISTURBED] == 1
    reasons = " | ".join(imported.skipped)
    for said in ("time is zero", "unknown collective shuffle", "library nccl on a device cpu, which has gloo",
                 "unknown dtype fp5", "devices is below 2", "bytes is below 1"):  # fmt: skip
        assert said in reasons


def test_a_machine_without_a_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0123456789ab"):
        read_measurements(write(tmp_path / "runs.jsonl", collective(), machine={"id": "0123456789ab"}))


def test_they_are_validated_and_fitted(tmp_path: Path) -> None:
    points = made_points()
    path = write(tmp_path / "runs.jsonl", *points)
    checked = validate(path)
    assert checked.predicted == len(points)
    assert {group.key["function"] for group in checked.groups(["function"])} == set(OPERATIONS)
    assert checked.warnings == ()
    outcome = fit_files([path])
    assert outcome.used == len(points)
    assert list(outcome.file.scopes) == ["collective.gloo"]
    assert outcome.file.scopes["collective.gloo"].errors["median_ape"] < checked.metrics["latency"]["median_ape"]
