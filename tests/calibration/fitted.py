"""Measured ops made from the formulas themselves, with noise: tables whose truth is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from perfmodel.calibration.fit import Parameter, fit, observed_rows, thin
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import row_seconds
from perfmodel.calibration.sources import read_measurements
from perfmodel.catalog import load_hardware
from perfmodel.coefficients import Coefficient, Prior
from perfmodel.fitted_scopes import FittedScope
from perfmodel.kernels import Device
from perfmodel.types import Hardware

COLUMNS = ("hardware", "precision", "runtime", "engine", "kernel", "op", "m", "n", "k", "seconds")


def fit_scope(
    scope: str, groups: Sequence[OpRows], chips: Mapping[str, Hardware], priors: Sequence[Prior]
) -> FittedScope:
    """The fit of one scope to measured ops, thinned as those of files are."""
    parameters = [Parameter(prior=prior, scope=scope) for prior in priors]
    return fit([observed_rows(thin(rows)) for rows in groups], chips, parameters)[scope]


def gemm_table(
    path: Path,
    devices: Mapping[str, Mapping[str, float]],
    *,
    rows: int = 300,
    noise: float = 0.05,
    scale: float = 1.0,
    seed: int = 0,
) -> str:
    """A table of bf16 linear layers on devices of the catalog, each with its own true coefficients.

    Args:
        devices: id -> coefficients that differ from the priors. noise: of log time. scale: on all times.
    """
    random = np.random.default_rng(seed)
    sizes = np.exp2(random.uniform((0, 9, 9), (13, 14, 14), (rows, 3))).round().astype(int)
    lines = [
        [device, "bf16", "graphs", "engine", "kernel", "linear", *row, "1e-3"] for device in devices for row in sizes
    ]
    _write(path, lines)
    for group in read_measurements(str(path)).ops:
        times = _true_seconds(group, devices[group.hardware]) * np.exp(random.normal(0, noise, len(group))) * scale
        for row, seconds in zip(group.rows, times, strict=True):
            lines[row - 1][-1] = f"{seconds:.6g}"
    _write(path, lines)
    return str(path)


def _true_seconds(rows: OpRows, truth: Mapping[str, float]) -> np.ndarray:
    overrides = {name: Coefficient(name, value, 0.0, "truth", "") for name, value in truth.items()}
    return row_seconds(rows, Device(load_hardware(rows.hardware), rows.runtime, overrides))


def _write(path: Path, lines: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
