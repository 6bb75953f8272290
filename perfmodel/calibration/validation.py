"""Predictions against measured files: what `perfmodel validate` does.

    files ──read──▶ ops, models ──predict (as shipped, or fitted without each device)──▶ Scored rows ──▶ metrics

May import: sources, fitting, scoring, unit_check and below.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.calibration.framework_fits import by_scope as by_framework_scope
from perfmodel.calibration.framework_fits import left_out_fits as left_out_framework_fits
from perfmodel.calibration.framework_fits import score_left_out as score_framework_left_out
from perfmodel.calibration.framework_fits import score_rows
from perfmodel.calibration.framework_rows import ModelRow, read_rows, split_facts
from perfmodel.calibration.host_time import without_host_time
from perfmodel.calibration.left_out import (
    left_out_fits,
    score_left_out,
    score_models_left_out,
    with_cross_intervals,
)
from perfmodel.calibration.measurements import Imported, Measurement, OpRows
from perfmodel.calibration.model_scores import score_models
from perfmodel.calibration.model_times import reason_to_skip
from perfmodel.calibration.scopes import by_scope, parameters_of
from perfmodel.calibration.scoring import SERVING, Group, Scored, group_scored, metrics_of, score_ops
from perfmodel.calibration.serving_runs import closed_loops
from perfmodel.calibration.serving_scores import score_serving
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.load_tests import NOTHING_TOLD, Told
from perfmodel.calibration.static_batch_scores import score_static
from perfmodel.calibration.unit_check import suspicious_units
from perfmodel.calibration.units import LEAVE_OUT, units_of
from perfmodel.catalog import Specs, load_hardware
from perfmodel.coefficient_files import scopes_for
from perfmodel.errors import InputError
from perfmodel.notebooks import notebook_html
from perfmodel.types import Hardware

Progress = Callable[[str], None]
PLURALS = {"hardware": "devices", "family": "families", "model": "models"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Scored rows of files.

    Args:
        rows: measured values in the files. skipped: reason -> rows. warnings: units that look wrong.
        level: share of rows that intervals are meant to hold. split: how the rows were predicted, in words.
    """

    source: str
    rows: int
    sets: tuple[Scored, ...]
    skipped: Mapping[str, int]
    warnings: tuple[str, ...]
    level: float
    split: str

    @property
    def predicted(self) -> int:
        """Rows of files; a run of a server is one, however many of its figures are predicted."""
        served = [own for own in self.sets if own.labels["phase"] == SERVING]
        runs = {(own.labels["file"], row) for own in served for row in own.rows.tolist()}
        return sum(len(own) for own in self.sets) - sum(map(len, served)) + len(runs)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        return metrics_of(self.sets, self.level) if self.sets else {}

    def groups(self, by: Sequence[str]) -> tuple[Group, ...]:
        """Rows by labels (`scoring.KEYS`)."""
        return group_scored(self.sets, by)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def validate(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    source: str | None = None,
    leave_out: str | None = None,
    level: float = 0.8,
    specs: Specs = None,
    progress: Progress | None = None,
    told: Told = NOTHING_TOLD,
    anchor_runs: int = 0,
) -> Validation:
    """Predict every row of measured files and compare.

    Args:
        paths: of files in any format of `calibration.sources`.
        source: format of the files; None to recognise each by its columns.
        leave_out: None to predict with the coefficients at hand; "hardware", "family" or "model" to fit the files
            without each device, family or model in turn and to predict it from the others; of server runs also
            "deployment".
        level: share of rows that the intervals are meant to hold. specs: own folders of chips and coefficients.
        progress: called with what is being done.
        told: what reports of load tests do not say: chip, model, engine, layout.
        anchor_runs: of each deployment of server runs, that many are given, and the others predicted.

    Raises:
        PerfmodelError: files that cannot be read, an unknown source, a level outside (0, 1), nothing to predict.
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1 (0.8 for an 80 % interval), got {level!r}")
    imported = read_measurements(paths, source, specs=specs, told=told)
    warnings = suspicious_units(imported, specs=specs)
    chips = {name: load_hardware(name, specs=specs) for name in _devices(imported)}
    tally = _Tally(dict(imported.skipped))
    scopes, unsupported = by_scope(imported.ops, chips)
    tally.add_all(unsupported)
    usable: dict[str, list[OpRows]] = {}
    for name, groups in scopes.items():
        usable[name], left = without_host_time(groups)
        tally.add_all(left)
    framework, facts = split_facts(imported.measurements, chips)
    rows, unread = read_rows(framework, chips, progress)
    tally.add_all(unread)
    served, unserved = score_serving(
        closed_loops(imported.serving), leave_out=leave_out, anchors=anchor_runs, level=level, specs=specs,
        progress=progress,
    )  # fmt: skip
    tally.add_all(unserved)
    static, unscored = score_static(imported.serving, leave_out=leave_out, level=level, specs=specs, progress=progress)  # type: ignore[arg-type]
    tally.add_all(unscored)
    if leave_out is None:
        sets = _as_shipped(usable, facts, rows, chips, level, specs, tally)
    else:
        sets = _left_out(usable, facts, chips, leave_out, level, tally, progress) if usable or facts else []
        sets += _frameworks_left_out(rows, chips, leave_out, level, tally, progress) if rows else []
    sets += [*served, *static]
    if not sets:
        reasons = "; ".join(f"{reason} ({rows} rows)" for reason, rows in tally.skipped.items())
        raise InputError(f"no row can be predicted: {reasons or 'the files hold none'}.")
    split = "coefficients as shipped" if leave_out is None else f"one {leave_out} left out"
    read: tuple[Any, ...] = (*imported.ops, *imported.measurements, *imported.serving)
    sources = dict.fromkeys(own.source for own in read)
    return Validation(
        source=", ".join(sources), rows=imported.rows, sets=tuple(sets), skipped=tally.skipped, warnings=warnings,
        level=level, split=split,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tally:
    """Rows that are not scored, by reason."""

    skipped: dict[str, int]

    def add(self, reason: str, rows: int) -> None:
        if rows:
            self.skipped[reason] = self.skipped.get(reason, 0) + rows

    def add_all(self, counts: Mapping[str, int]) -> None:
        for reason, rows in counts.items():
            self.add(reason, rows)


def _devices(imported: Imported) -> list[str]:
    return list(
        dict.fromkeys([rows.hardware for rows in imported.ops] + [fact.hardware for fact in imported.measurements])
    )


def _as_shipped(
    usable: Mapping[str, Sequence[OpRows]],
    facts: Sequence[Measurement],
    rows: Sequence[ModelRow],
    chips: Mapping[str, Hardware],
    level: float,
    specs: Specs,
    tally: _Tally,
) -> list[Scored]:
    fitted = {name: scopes_for(chip, specs=specs) for name, chip in chips.items()}
    ops = [
        score_ops(rows, fitted[rows.hardware], chips[rows.hardware], level)
        for groups in usable.values()
        for rows in groups
    ]
    models, skipped = score_models(facts, fitted, chips, level)
    tally.add_all(skipped)
    frameworks = [
        own
        for scope, members in by_framework_scope(rows, chips).items()
        for hardware in dict.fromkeys(row.fact.hardware for row in members)
        for own in score_rows(
            scope,
            [row for row in members if row.fact.hardware == hardware],
            fitted[hardware].get(scope),
            chips,
            level,
        )
    ]
    return [*ops, *models, *frameworks]


def _frameworks_left_out(
    rows: Sequence[ModelRow],
    chips: Mapping[str, Hardware],
    leave_out: str,
    level: float,
    tally: _Tally,
    progress: Progress | None,
) -> list[Scored]:
    """Whole models in a framework; families are those of models, many of them dealt into folds."""
    if leave_out not in LEAVE_OUT:
        raise InputError(f"measurements can be left out by {', '.join(LEAVE_OUT)}, not by {leave_out!r}")
    sets: list[Scored] = []
    for scope, members in by_framework_scope(rows, chips).items():
        fits = left_out_framework_fits(scope, members, chips, leave_out, progress)
        if not fits:
            tally.add(f"{scope}: of fewer than two {PLURALS[leave_out]}, so none can be left out", len(members))
            continue
        sets += score_framework_left_out(scope, fits, chips, leave_out, level)
    return sets


def _left_out(
    usable: Mapping[str, Sequence[OpRows]],
    facts: Sequence[Measurement],
    chips: Mapping[str, Hardware],
    leave_out: str,
    level: float,
    tally: _Tally,
    progress: Progress | None,
) -> list[Scored]:
    """Where models are scored, their ops are what they are fitted with, and are not scored themselves."""
    fitted = {name: groups for name, groups in usable.items() if parameters_of(name)}
    for name in usable.keys() - fitted.keys():
        tally.add(f"no coefficient is fitted for {name}", sum(map(len, usable[name])))
    sets: list[Scored] = []
    units = units_of(fitted, facts)
    for unit in units:
        fits = left_out_fits(unit, chips, leave_out, progress)
        rows = sum(len(own) for groups in unit.groups.values() for own in groups)
        if not fits:
            tally.add(
                f"{unit.name}: of fewer than two {PLURALS[leave_out]}, so none can be left out", rows + len(unit.facts)
            )
            continue
        ops = score_left_out(unit, fits, chips, leave_out)
        if unit.facts:
            tally.add("ops that whole models are fitted with", rows)
            models, skipped = score_models_left_out(unit, fits, ops, chips, level, leave_out)
            tally.add_all(skipped)
            sets += models
            continue
        for own in ops.values():
            sets += with_cross_intervals(own, level, leave_out)
    scored = {id(fact) for unit in units for fact in unit.facts}
    for fact in facts:
        if id(fact) not in scored:
            tally.add(reason_to_skip(fact) or "models are left out in eager torch only, with ops in the same files", 1)
    return sets
