"""Calibration of one machine: its runs -> its coefficients, and errors before and after.

    profile, runs of the suite, anchors ──calibrate_runs──▶ ScopeCalibration of each dtype, threads and runtime
    runs of whole models, none of them fitted ────────────▶ its scores

What was never fitted tells the error: neither programs nor anchors resemble the models checked. The error before is
that of the same profile with what perfmodel ships.

May import: local_fit, starting, run_rows, framework_fits, scoring and below; threads, catalog.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.framework_fits import score_rows
from perfmodel.calibration.local_fit import fit_anchors, fit_runs, log_ratios, with_anchor_intervals, with_intervals
from perfmodel.calibration.run_rows import RunRow, model_rows, program_rows
from perfmodel.calibration.scoring import Scored, metrics_of
from perfmodel.calibration.starting import (
    COMPILED,
    compiled_start,
    own_scope,
    shipped_fits,
    shipped_scores,
    starting_device,
)
from perfmodel.catalog import load_hardware
from perfmodel.coefficient_files import CoefficientFile, read_coefficients
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.fitted_scopes import DEVICES_LEFT_OUT, FittedScope
from perfmodel.kernels import Device
from perfmodel.measuring.run_files import Runs, read_runs
from perfmodel.measuring.validation_models import VALIDATION_MODELS
from perfmodel.threads import with_threads
from perfmodel.types import Hardware

Progress = Callable[[str], None]
Point = Mapping[str, Any]
SHARE = 0.8  # of cases that intervals shall hold
EAGER = "eager"


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
    """What was fitted for a dtype, a number of threads and a runtime.

    Args:
        threads: 0 on a GPU. chip: with those threads.
        programs: none for compiled code. anchors: models whose runs were fitted, with the programs if there are any.
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

    @property
    def runtime(self) -> str:
        """eager or compiled."""
        return self.fitted.runtime


def calibrate_runs(
    profile: Hardware,
    suite: Runs,
    models: Runs,
    progress: Progress = lambda text: None,
    *,
    disturbed: bool = False,
) -> tuple[ScopeCalibration, ...]:
    """Fit every dtype and number of threads that was measured, and check it on whole models.

    Where whole models were measured compiled, too, compiled code is fitted to the anchors among them.

    Args:
        suite: runs of the suite's programs. models: runs of anchors, and of the models to check.
        disturbed: use runs that other programs disturbed, too.

    Raises:
        InputError: too few runs to fit.
    """
    on_gpu = profile.kind == "gpu"  # where the threads of the host decide nothing

    def part(points: Iterable[Point], threads: int, dtype: str, runtime: str) -> list[Point]:
        wanted = [point for point in points if (point["dtype"], point["runtime"]) == (dtype, runtime)]
        return [point for point in wanted if on_gpu or point["threads"] == threads]

    pairs = dict.fromkeys((0 if on_gpu else point["threads"], point["dtype"]) for point in suite.points)
    found = []
    for threads, dtype in pairs:
        chip = with_threads(profile, threads)[0] if threads and threads < profile.cores else profile
        words = f"{dtype} on {threads} threads" if threads else dtype
        progress(f"reading runs: {words}")
        start = starting_device(chip, EAGER, dtype)
        header = suite.header
        rows = program_rows(
            part(suite.points, threads, dtype, EAGER), chip, header["suite"], header["machine"]["llc_bytes"],
            start=start, disturbed=disturbed,
        )  # fmt: skip
        if not rows:
            raise InputError(f"no undisturbed run of programs: {words}; measure again.")
        measured = _models(part(models.points, threads, dtype, EAGER), start, disturbed)
        progress(f"fitting {words}")
        known = [*rows, *measured.anchors]
        scope = own_scope(chip, EAGER, dtype)
        fitted = with_intervals(fit_runs(scope, known, chip, start), known, chip, start)
        eager = _checked(dtype, threads, fitted, rows, measured, start)
        found.append(eager)
        if compiled := part(models.points, threads, dtype, COMPILED):
            progress(f"fitting {words}, compiled")
            found += _compiled(eager, compiled, disturbed)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Models:
    """Runs of anchors, those of other models, and why some cannot be predicted."""

    anchors: list[RunRow]
    checked: list[RunRow]
    skipped: dict[str, str]


def _models(points: Sequence[Point], start: Device, disturbed: bool = False) -> _Models:
    chip = start.hardware
    names = {model.name for model in VALIDATION_MODELS if model.anchor}
    wide = {model.name for model in VALIDATION_MODELS if model.convolutional}  # whatever int8 says, they stay in fp32
    points = [point for point in points if point["dtype"] != "int8" or point["model"] not in wide]
    chosen = ([point for point in points if (point["model"] in names) == known] for known in (True, False))
    (anchors, reasons), (others, more) = (model_rows(own, chip, start=start, disturbed=disturbed) for own in chosen)
    return _Models(anchors, [own for own in others if not own.replayed], reasons | more)


def _compiled(eager: ScopeCalibration, points: Sequence[Point], disturbed: bool) -> list[ScopeCalibration]:
    """Compiled code from its anchors; nothing where there are none."""
    chip = eager.chip
    scope = own_scope(chip, COMPILED, eager.dtype)
    start = compiled_start(eager.fitted, chip, eager.dtype)
    measured = _models(points, start, disturbed)
    if not measured.anchors:
        return []
    fitted = fit_anchors(scope, measured.anchors, start)
    fitted = with_anchor_intervals(fitted, measured.anchors, start, eager.fitted)
    return [_checked(eager.dtype, eager.threads, fitted, [], measured, start)]


def _checked(
    dtype: str, threads: int, fitted: FittedScope, rows: Sequence[RunRow], measured: _Models, start: Device
) -> ScopeCalibration:
    """A fit with its errors on the models that were not fitted, before and after."""
    chip, checked = start.hardware, measured.checked
    models, chips = [own.row for own in checked], {chip.id: chip}
    if chip.kind == "gpu":
        before = shipped_scores(checked, chip, SHARE)
    else:
        before = score_rows(fitted.scope, models, shipped_fits(chip).get(fitted.scope), chips, SHARE)
    after = score_rows(fitted.scope, models, fitted, chips, SHARE)
    errors: dict[str, Any] = {DEVICES_LEFT_OUT: {}}  # one machine says how far off it is, and nothing of others
    if checked:
        errors |= {"split": "whole models that were not fitted", **_rounded(metrics(after))}
    return ScopeCalibration(
        dtype=dtype,
        threads=threads,
        chip=chip,
        fitted=replace(fitted, errors=errors, rows=len(rows) + len(measured.anchors)),
        programs=_points([own for own in rows if not own.replayed], fitted, chip),
        anchors=tuple(own.name for own in measured.anchors if not own.replayed),
        scores=_scores(checked, before, after),
        before=metrics(before) if checked else {},
        after=metrics(after) if checked else {},
        skipped=dict(measured.skipped),
    )


def metrics(sets: Sequence[Scored]) -> dict[str, float]:
    """Errors and coverage of latencies, as `perfmodel validate` gives them."""
    return dict(metrics_of(sets, SHARE)["latency"])


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    names = ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")
    return {name: round(values[name], 4) for name in names}


def _points(rows: Sequence[RunRow], fitted: FittedScope, chip: Hardware) -> tuple[ProgramPoint, ...]:
    if not rows:
        return ()
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
        counts = ", ".join(
            f"{one.fitted.rows} {one.dtype}{' compiled' if one.runtime == COMPILED else ''}" for one in own
        )
        place = suite.header["machine"].get("gpu") or "this machine"
        provenance = f"torch {suite.header['versions']['torch']} on {place}, {created}: {counts} runs"
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
