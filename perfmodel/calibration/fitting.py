"""From measured ops to fitted scopes with errors and intervals: what `perfmodel fit` does.

    measurements ──by scope──▶ fit ──▶ FittedScope
                       └──▶ fit without each device ──▶ errors, half-widths of the level `datasheet`

May import: scopes, fit, left_out, intervals, scoring.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.framework_fits import by_scope as by_framework_scope
from perfmodel.calibration.framework_fits import finished_fit
from perfmodel.calibration.framework_rows import ModelRow, read_rows, split_facts
from perfmodel.calibration.host_time import without_host_time
from perfmodel.calibration.intervals import calibrated_widths, model_scale
from perfmodel.calibration.left_out import (
    by_label,
    left_out_fits,
    score_left_out,
    score_models_composed,
    score_models_left_out,
    with_cross_intervals,
)
from perfmodel.calibration.measurements import Array, Imported, Measurement, OpRows
from perfmodel.calibration.scopes import by_scope, parameters_of
from perfmodel.calibration.scoring import Scored, metrics_of, score_ops
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.unit_check import suspicious_units
from perfmodel.calibration.units import Unit, fit_unit, units_of
from perfmodel.catalog import Specs, load_hardware
from perfmodel.coefficient_files import CoefficientFile
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES, FittedScope, Widths
from perfmodel.types import Hardware

SHARE = 0.8  # of the intervals whose coverage is reported


@dataclass(frozen=True)
class FitOutcome:
    """What files gave.

    Args:
        file: as it is written. rows: measured values in the files. unused: reason -> rows.
        models: whole models that were fitted with ops, each predicted without its device, family or itself.
        model_errors: of those, as `FittedScope.errors`; empty if there are none.
    """

    file: CoefficientFile
    rows: int
    unused: Mapping[str, int]
    models: tuple[Scored, ...] = ()
    model_errors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return sum(scope.rows for scope in self.file.scopes.values()) + len(self.models)


def fit_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    source: str | None = None,
    leave_out: str = "hardware",
    specs: Specs = None,
    progress: Callable[[str], None] | None = None,
) -> FitOutcome:
    """Fit every scope that the files hold measurements of.

    Args:
        paths: of files in any format of `calibration.sources`. specs: own folders of chips and coefficients.
        progress: called with what is being done.
        source: format of the files; None to recognise each by its columns.
        leave_out: hardware, family or model: what is left out in turn for errors and intervals. Kernels belong to no
            model: with model, theirs are those with the device left out. Image models in a framework leave out
            families of models and devices, whatever is asked for.

    Raises:
        InputError: files that cannot be read, whose units look wrong, or that hold nothing to fit.
    """
    return fit_imported(
        read_measurements(paths, source, specs=specs), leave_out=leave_out, specs=specs, progress=progress
    )


def fit_imported(
    imported: Imported,
    *,
    leave_out: str = "hardware",
    specs: Specs = None,
    progress: Callable[[str], None] | None = None,
) -> FitOutcome:
    """`fit_files` for measurements that are read."""
    if suspicions := suspicious_units(imported, specs=specs):
        raise InputError("coefficients are not fitted to times that cannot be right:\n" + "\n".join(suspicions))
    names = [rows.hardware for rows in imported.ops] + [fact.hardware for fact in imported.measurements]
    chips = {name: load_hardware(name, specs=specs) for name in dict.fromkeys(names)}
    framework, facts = split_facts(imported.measurements, chips)
    units, unused = fit_units(imported.ops, facts, chips)
    scopes: dict[str, FittedScope] = {}
    models: list[Scored] = []
    for unit in units:
        if progress:
            progress(unit.name)
        found, own_models = fit_one(unit, chips, leave_out=leave_out, progress=progress)
        scopes |= found
        models += own_models
    rows, skipped = read_rows(framework, chips, progress)
    for scope, own_rows in by_framework_scope(rows, chips).items():
        scopes[scope] = finished_fit(scope, own_rows, chips, SHARE, progress)
    unused = {**imported.skipped, **imported.unscored, **unused, **skipped}
    if not scopes:
        reasons = "; ".join(f"{reason} ({rows})" for reason, rows in unused.items())
        raise InputError(f"nothing to fit: {reasons or 'the files hold no measured ops'}.")
    provenance = _provenance(imported, units, rows, len(models))
    scopes = {name: replace(scope, provenance=provenance) for name, scope in sorted(scopes.items())}
    file = CoefficientFile(
        fitted=date.today().isoformat(), provenance=provenance, data=data_entries(imported), scopes=scopes
    )
    return FitOutcome(file, imported.rows, unused, tuple(models), _errors(models, (), leave_out) if models else {})


def _provenance(imported: Imported, units: Sequence[Unit], rows: Sequence[ModelRow], models: int) -> str:
    """The data in words."""
    sources = dict.fromkeys([own.source for own in imported.ops] + [fact.source for fact in imported.measurements])
    ops = sum(len(own) for unit in units for own in unit.rows)
    counts = [f"{count} {what}" for count, what in ((ops, "ops"), (models + len(rows), "models")) if count]
    devices = {device for unit in units for device in unit.devices} | {row.fact.hardware for row in rows}
    return f"{', '.join(sources)}: {' and '.join(counts)} on {', '.join(sorted(devices))}"


def data_entries(imported: Imported) -> tuple[Mapping[str, Any], ...]:
    """Name, hash and rows of each file; no folders, which say nothing elsewhere."""
    counts: dict[str, int] = {}
    groups: tuple[OpRows | ServingRows, ...] = (*imported.ops, *imported.serving)
    for rows in groups:
        counts[rows.file] = counts.get(rows.file, 0) + len(rows)
    for fact in imported.measurements:
        counts[fact.file] = counts.get(fact.file, 0) + 1
    return tuple(
        {
            "file": Path(path).name,
            "sha256": hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest(),
            "rows": rows,
        }
        for path, rows in counts.items()
    )


def fit_units(
    ops: Sequence[OpRows], facts: Sequence[Measurement], chips: Mapping[str, Hardware]
) -> tuple[list[Unit], dict[str, int]]:
    """What is fitted together, and reason -> rows that no fit uses."""
    scopes, unused = by_scope(ops, chips)
    kept: dict[str, list[OpRows]] = {}
    for name, groups in scopes.items():
        timed, left = without_host_time(groups)
        if not parameters_of(name):
            timed, left = [], {f"no coefficient is fitted for {name}": sum(map(len, groups))}
        if timed:
            kept[name] = timed
        for reason, rows in left.items():
            unused[reason] = unused.get(reason, 0) + rows
    units = units_of(kept, facts)
    used = {id(fact) for unit in units for fact in unit.facts}
    if left_facts := sum(id(fact) not in used for fact in facts):
        unused["whole models that no fit uses (no eager torch, or no ops beside them)"] = left_facts
    return units, unused


def fit_one(
    unit: Unit,
    chips: Mapping[str, Hardware],
    *,
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, FittedScope], list[Scored]]:
    """Fit a unit, leave each device out in turn, and calibrate its intervals.

    Returns:
        The fits by scope, and the unit's models as they were predicted without their device.
    """
    fitted = fit_unit(unit, chips)
    by_what = leave_out
    by_model = left_out_fits(unit, chips, "model", progress) if by_what == "model" else {}
    leave_out = "hardware" if by_what == "model" else by_what
    others = left_out_fits(unit, chips, leave_out, progress)
    unseen = {known: score_left_out(unit, others, chips, leave_out, engine_known=known) if others else {}
              for known in (False, True)}  # fmt: skip
    finished = {
        name: _calibrated(fitted[name], groups, {known: sets.get(name, []) for known, sets in unseen.items()},
                          fitted, chips, leave_out)
        for name, groups in unit.groups.items()
    }  # fmt: skip
    models: list[Scored] = []
    if unit.facts and others:
        models, _ = score_models_left_out(unit, others, unseen[True], chips, SHARE, leave_out)
        scale = np.array([
            model_scale(score_models_composed(unit, others, unseen[True], chips, share, leave_out)[0], share)
            for share in SHARES
        ])  # fmt: skip
        finished = {name: _scaled(scope, scale) for name, scope in finished.items()}
    if by_what == "model":
        models, _ = score_models_left_out(unit, by_model, {}, chips, SHARE, "model")
    return finished, models


def _scaled(scope: FittedScope, model_scale: Array) -> FittedScope:
    return replace(scope, widths={key: replace(own, model_scale=model_scale) for key, own in scope.widths.items()})


def _calibrated(
    scope: FittedScope,
    groups: Sequence[OpRows],
    unseen: Mapping[bool, Sequence[Scored]],
    fitted: Mapping[str, FittedScope],
    chips: Mapping[str, Hardware],
    leave_out: str,
) -> FittedScope:
    """A fit with half-widths for all levels, and its errors."""
    widths: dict[tuple[str, str], Widths] = {}
    seen: list[Scored] = []
    for known, left_out in unseen.items():
        kernel = "known" if known else "any"
        seen = [score_ops(rows, fitted, chips[rows.hardware], engine_known=known) for rows in groups]
        widths["device", kernel] = calibrated_widths(seen, "device")
        chosen = [own for own in left_out if own.kernel_known or not known] or left_out
        if chosen:
            widths["datasheet", kernel] = wide = calibrated_widths(chosen, "datasheet")
            # too few families have two devices to calibrate their level: they get the datasheet's, which is wider
            widths["family", kernel] = replace(wide, level="family")
    crossed = with_cross_intervals(unseen[True], SHARE, leave_out) if unseen[True] else []
    return replace(scope, widths=widths, errors=_errors(crossed, seen, leave_out), rows=sum(map(len, groups)))


def _errors(left_out: Sequence[Scored], seen: Sequence[Scored], what: str) -> dict[str, Any]:
    """Errors by device, or by model, for the report and the file."""
    sets = left_out or seen
    split = f"one {what} left out" if left_out else "rows that were fitted: a single device was measured"
    label = "model" if what == "model" else "hardware"
    groups = {value: _summary(own) for value, own in sorted(by_label(sets, label).items())}
    return {"split": split, **_summary(sets), f"by_{label}": groups}


def _summary(sets: Sequence[Scored]) -> dict[str, float]:
    found = metrics_of(sets, SHARE)["latency"]
    names = ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")
    return {name: round(found[name], 4) for name in names}
