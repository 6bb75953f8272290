"""Calibration on the machine at hand: its runs -> its profile, its coefficients, and errors before and after.

    runs of the suite, anchors ──profile_of──▶ Hardware ──calibrate_runs──▶ ScopeCalibration of each dtype and threads
    runs of whole models, none of them fitted ──────────────────────────────▶ its scores

What was never fitted tells the error: neither programs nor anchors resemble the models checked. The error before is
that of the same profile with what perfmodel ships.

May import: local_fit, run_rows, framework_fits, scoring and below; machine, threads, catalog.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.framework_fits import score_rows
from perfmodel.calibration.framework_rows import scope_of_fact
from perfmodel.calibration.local_fit import fit_runs, log_ratios, with_intervals
from perfmodel.calibration.run_rows import RunRow, model_rows, program_rows
from perfmodel.calibration.scoring import Scored, metrics_of
from perfmodel.catalog import load_hardware
from perfmodel.coefficient_files import CoefficientFile, load_scopes, read_coefficients
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.fitted_scopes import DEVICES_LEFT_OUT, FittedScope, choose_scopes
from perfmodel.kernels.cpu_network import CpuParts
from perfmodel.machine.detection import Machine
from perfmodel.machine.measured_figures import MARGIN
from perfmodel.machine.profile import starting_profile
from perfmodel.measuring.run_files import Runs, read_runs
from perfmodel.measuring.validation_models import VALIDATION_MODELS
from perfmodel.threads import split_threads, with_threads
from perfmodel.types import Hardware

Progress = Callable[[str], None]
Point = Mapping[str, Any]
SHARE = 0.8  # of cases that intervals shall hold
_FOR_BANDWIDTH_BYTES = 64 << 20  # a program that reads less says little of memory
_FOR_RATES = ("linear", "copy", "clone", "add", "relu")  # programs that reach what the machine can do


@dataclass(frozen=True, slots=True)
class ProgramPoint:
    """A measured program beside its fit, for plots."""

    name: str
    group: str
    measured_seconds: float
    predicted_seconds: float
    compute_seconds: float
    memory_seconds: float


@dataclass(frozen=True, slots=True)
class ModelScore:
    """A whole model that was not fitted: (seconds, low, high) before and after calibration."""

    name: str
    measured_seconds: float
    before: tuple[float, float, float]
    after: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ScopeCalibration:
    """What was fitted for a dtype and a number of threads.

    Args:
        chip: with those threads. anchors: models whose runs were fitted with the programs.
        before, after: metrics of the scores, as `validate` gives them; empty without models to check.
        skipped: model -> why its run cannot be predicted.
    """

    dtype: str
    threads: int
    chip: Hardware
    fitted: FittedScope
    programs: tuple[ProgramPoint, ...]
    anchors: tuple[str, ...]
    scores: tuple[ModelScore, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    skipped: Mapping[str, str]


def profile_of(machine: Machine, name: str, runs: Runs, threads: Sequence[int]) -> Hardware:
    """The machine's profile, raised to what its runs on all cores reached: no bound may be below a measurement."""
    start = starting_profile(machine, name)
    points = [
        point
        for point in runs.points
        if point["threads"] == start.cores and str(point["program"]).startswith(_FOR_RATES)
    ]
    if not points or start.cores not in threads:
        return start
    rows = program_rows(points, start, runs.header["suite"], runs.header["machine"]["llc_bytes"])
    peaks: dict[str, float] = {}
    bandwidth = 0.0
    for own in rows:
        parts, repeats = own.row.parts, own.row.repeats
        if not isinstance(parts, CpuParts):  # a form for GPUs
            continue
        seconds = own.row.fact.value_seconds
        dtype = own.row.fact.precision
        rate = start.peaks.get(("matrix", dtype)) or start.peaks.get(("vector", dtype), 0.0)
        if own.name.startswith("linear") and rate:
            reached = float(repeats @ parts.compute_seconds[:, 0]) * rate / seconds
            peaks[dtype] = max(peaks.get(dtype, 0.0), reached)
        far, near = (
            float(repeats @ part[:, 0]) * start.memory_bandwidth_bytes_per_second
            for part in (parts.memory_seconds, parts.last_seconds + parts.inner_seconds)
        )
        if far > _FOR_BANDWIDTH_BYTES and far > 10 * near:
            bandwidth = max(bandwidth, far / seconds)
    # no program does nothing but read, so that what they reach may raise an assumed bandwidth, and not replace it
    known = start.memory_bandwidth_bytes_per_second
    raised = bandwidth if bandwidth * MARGIN > known else 0.0
    return starting_profile(machine, name, measured_peaks=peaks, measured_bandwidth_bytes_per_second=raised)


def calibrate_runs(
    profile: Hardware,
    suite: Runs,
    models: Runs,
    progress: Progress = lambda text: None,
    *,
    disturbed: bool = False,
) -> tuple[ScopeCalibration, ...]:
    """Fit every dtype and number of threads that was measured, and check it on whole models.

    Args:
        suite: runs of the suite's programs. models: runs of anchors, and of the models to check.
        disturbed: use runs that other programs disturbed, too.

    Raises:
        InputError: too few runs to fit.
    """
    pairs = dict.fromkeys((point["threads"], point["dtype"]) for point in suite.points)
    found = []
    for threads, dtype in pairs:
        chip = with_threads(profile, threads)[0] if threads < profile.cores else profile

        def of_pair(points: Iterable[Point], threads: int = threads, dtype: str = dtype) -> list[Point]:
            return [point for point in points if point["threads"] == threads and point["dtype"] == dtype]

        progress(f"reading {dtype} runs on {threads} threads")
        header = suite.header
        rows = program_rows(
            of_pair(suite.points), chip, header["suite"], header["machine"]["llc_bytes"], disturbed=disturbed
        )
        anchors, checked, skipped = _models(of_pair(models.points), chip, disturbed)
        progress(f"fitting {dtype} on {threads} threads")
        found.append(_calibrate(dtype, threads, chip, rows, anchors, checked, skipped))
    return tuple(found)


def _models(
    points: Sequence[Point], chip: Hardware, disturbed: bool = False
) -> tuple[list[RunRow], list[RunRow], dict[str, str]]:
    """Runs of anchors, those of other models, and why some cannot be predicted."""
    names = {model.name for model in VALIDATION_MODELS if model.anchor}
    wide = {model.name for model in VALIDATION_MODELS if model.convolutional}  # whatever int8 says, they stay in fp32
    points = [point for point in points if point["dtype"] != "int8" or point["model"] not in wide]
    anchors, reasons = model_rows([point for point in points if point["model"] in names], chip, disturbed=disturbed)
    checked, more = model_rows([point for point in points if point["model"] not in names], chip, disturbed=disturbed)
    return anchors, checked, reasons | more


def _calibrate(
    dtype: str,
    threads: int,
    chip: Hardware,
    rows: Sequence[RunRow],
    anchors: Sequence[RunRow],
    checked: Sequence[RunRow],
    skipped: Mapping[str, str],
) -> ScopeCalibration:
    if not rows:
        raise InputError(f"no undisturbed run of {dtype} programs on {threads} threads; measure again.")
    scope = scope_of_fact(rows[0].row.fact, chip)
    known = [*rows, *anchors]
    fitted = with_intervals(fit_runs(scope, known, chip), known, chip)
    shipped = _shipped(scope, chip)
    chips = {chip.id: chip}
    before = score_rows(scope, [own.row for own in checked], shipped, chips, SHARE)
    after = score_rows(scope, [own.row for own in checked], fitted, chips, SHARE)
    errors: dict[str, Any] = {DEVICES_LEFT_OUT: {}}  # one machine says how far off it is, and nothing of others
    if checked:
        errors |= {"split": "whole models that were not fitted", **_rounded(metrics(after))}
    return ScopeCalibration(
        dtype=dtype,
        threads=threads,
        chip=chip,
        fitted=replace(fitted, errors=errors, rows=len(known)),
        programs=_points(rows, fitted, chip),
        anchors=tuple(own.name for own in anchors),
        scores=_scores(checked, before, after),
        before=metrics(before) if checked else {},
        after=metrics(after) if checked else {},
        skipped=dict(skipped),
    )


def _shipped(scope: str, chip: Hardware) -> FittedScope | None:
    """What perfmodel ships for the chip, apart from what was fitted on the chip itself."""
    whole = split_threads(chip.id)[0]

    def is_of_chip(fit: FittedScope) -> bool:
        return any(effect[0] == "device" and split_threads(effect[1])[0] == whole for effect in fit.effects)

    fits = [fit for fit in load_scopes().get(scope, ()) if not is_of_chip(fit)]
    return choose_scopes({scope: fits}, chip).get(scope)


def metrics(sets: Sequence[Scored]) -> dict[str, float]:
    """Errors and coverage of latencies, as `perfmodel validate` gives them."""
    return dict(metrics_of(sets, SHARE)["latency"])


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    names = ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")
    return {name: round(values[name], 4) for name in names}


def _points(rows: Sequence[RunRow], fitted: FittedScope, chip: Hardware) -> tuple[ProgramPoint, ...]:
    ratios = np.exp(log_ratios(rows, fitted, chip))
    return tuple(
        ProgramPoint(
            own.name,
            own.group,
            own.row.fact.value_seconds,
            own.row.fact.value_seconds * float(ratio),
            float(own.row.repeats @ own.row.parts.compute_seconds[:, 0]),
            float(own.row.repeats @ own.row.parts.memory_seconds[:, 0]),
        )
        for own, ratio in zip(rows, ratios, strict=True)
    )


def _scores(rows: Sequence[RunRow], before: Sequence[Scored], after: Sequence[Scored]) -> tuple[ModelScore, ...]:
    found = []
    for own, left, right in zip(rows, before, after, strict=True):
        intervals = []
        for scored in (left, right):
            seconds, spread = float(scored.predicted[0]), float(np.exp(scored.half_width[0]))
            intervals.append((seconds, seconds / spread, seconds * spread))
        found.append(ModelScore(own.name, own.row.fact.value_seconds, intervals[0], intervals[1]))
    return tuple(found)


def coefficient_files(
    found: Sequence[ScopeCalibration], suite: Runs, data: Sequence[Mapping[str, Any]]
) -> dict[str, CoefficientFile]:
    """For each chip (all cores, or some of them) the file of its coefficients.

    Args:
        data: name, SHA-256 and rows of the files of runs.
    """
    created = str(suite.header.get("created", ""))[:10]
    files = {}
    for chip in dict.fromkeys(own.chip.id for own in found):
        own = [one for one in found if one.chip.id == chip]
        counts = ", ".join(f"{one.fitted.rows} {one.dtype}" for one in own)
        provenance = f"torch {suite.header['versions']['torch']} on this machine, {created}: {counts} runs"
        scopes = {one.fitted.scope: replace(one.fitted, provenance=provenance) for one in own}
        files[chip] = CoefficientFile(
            fitted=created, provenance=provenance, data=tuple(data), scopes=dict(sorted(scopes.items()))
        )
    return files


def with_scopes_before(file: CoefficientFile, path: Path, profile: Hardware) -> CoefficientFile:
    """The file with those scopes of the one that it replaces that it does not fit again; without them where that cannot
    be read, or where the saved profile has other rates than this one: coefficients are factors on them."""
    try:
        saved, before = load_hardware(profile.id), read_coefficients(path)
    except PerfmodelError:
        return file
    if (saved.peaks, saved.memory_bandwidth_bytes_per_second) != (
        profile.peaks,
        profile.memory_bandwidth_bytes_per_second,
    ):
        return file
    return replace(file, scopes=dict(sorted({**before.scopes, **file.scopes}.items())))


def run_file_entries(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, SHA-256 and rows of files of runs, as a file of coefficients tells what it was fitted on."""
    return [
        {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rows": len(read_runs(path).points),
        }
        for path in paths
    ]
