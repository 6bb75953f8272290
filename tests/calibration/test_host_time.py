"""Rows of a host are told from rows of kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.files import table_row, write_csv
from perfmodel.calibration.host_time import HOST_TIMED, is_host_time, without_host_time
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.sources import read_measurements


def rows(path: Path, **changes: str) -> OpRows:
    (found,) = read_measurements(write_csv(path / "t.csv", [table_row(**changes)])).ops
    return found


@pytest.mark.parametrize(
    ("engine", "runtime", "host"),
    [("vllm", "eager", True), ("vllm", "graphs", False), ("torch", "eager", False), ("nccl", "eager", False)],
)
def test_engines_launching_one_by_one_are_hosts(tmp_path: Path, engine: str, runtime: str, host: bool) -> None:
    assert is_host_time(rows(tmp_path, engine=engine, runtime=runtime)) is host


def test_they_are_counted(tmp_path: Path) -> None:
    groups = [rows(tmp_path, engine="vllm", runtime=runtime) for runtime in ("eager", "graphs", "eager")]
    kept, left = without_host_time(groups)
    assert [own.runtime for own in kept] == ["graphs"]
    assert left == {HOST_TIMED: 2}
