"""From measured ops to fitted scopes with errors and intervals: what `perfmodel fit` does.

    measurements ──by scope──▶ fit ──▶ FittedScope
                       └──▶ fit without each device ──▶ errors, half-widths of the level `datasheet`

May import: scopes, fit, left_out, intervals, scoring.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from perfmodel.calibration.fit import fit_scope
from perfmodel.calibration.intervals import calibrated_widths
from perfmodel.calibration.left_out import left_out_fits, score_left_out, with_cross_intervals
from perfmodel.calibration.measurements import Imported, OpRows
from perfmodel.calibration.scopes import by_scope, parameters_of
from perfmodel.calibration.scoring import Scored, metrics_of, score_ops
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.unit_check import suspicious_units
from perfmodel.catalog import Specs, load_hardware
from perfmodel.coefficient_files import CoefficientFile
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import FittedScope, Widths
from perfmodel.types import Hardware

SHARE = 0.8  # of the intervals whose coverage is reported
HOST_TIMED = "timed launch by launch, so a host's time and no kernel's"


@dataclass(frozen=True)
class ScopeFit:
    """The fit of one scope.

    Args:
        left_out: every row predicted without its device; empty with a single device.
        seen: every row under the fit.
    """

    scope: FittedScope
    left_out: tuple[Scored, ...]
    seen: tuple[Scored, ...]


@dataclass(frozen=True)
class FitOutcome:
    """What files gave.

    Args:
        file: as it is written. fits: by scope. rows: measured values in the files. unused: reason -> rows.
    """

    file: CoefficientFile
    fits: Mapping[str, ScopeFit]
    rows: int
    unused: Mapping[str, int]

    @property
    def used(self) -> int:
        return sum(fitted.scope.rows for fitted in self.fits.values())


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
        source: format of the files; None to recognise each by its columns.
        leave_out: hardware or family: what is left out in turn for errors and intervals.

    Raises:
        InputError: files that cannot be read, whose units look wrong, or that hold nothing to fit.
    """
    imported = read_measurements(paths, source, specs=specs)
    if suspicions := suspicious_units(imported, specs=specs):
        raise InputError("coefficients are not fitted to times that cannot be right:\n" + "\n".join(suspicions))
    chips = {rows.hardware: load_hardware(rows.hardware, specs=specs) for rows in imported.ops}
    fits, unused = fit_ops(imported.ops, chips, leave_out=leave_out, progress=progress)
    if not fits:
        reasons = "; ".join(f"{reason} ({rows})" for reason, rows in {**imported.skipped, **unused}.items())
        raise InputError(f"nothing to fit: {reasons or 'the files hold no measured ops'}.")
    today = date.today().isoformat()
    names = ", ".join(dict.fromkeys(rows.source for rows in imported.ops))
    provenance = f"{names}: {sum(fitted.scope.rows for fitted in fits.values())} rows of {', '.join(sorted(chips))}"
    scopes = {name: replace(fitted.scope, provenance=provenance) for name, fitted in sorted(fits.items())}
    file = CoefficientFile(fitted=today, provenance=provenance, data=_data_entries(imported), scopes=scopes)
    return FitOutcome(file, fits, imported.rows, {**imported.skipped, **unused})


def _data_entries(imported: Imported) -> tuple[Mapping[str, Any], ...]:
    """Name, hash and rows of each file; no folders, which say nothing elsewhere."""
    counts: dict[str, int] = {}
    for rows in imported.ops:
        counts[rows.file] = counts.get(rows.file, 0) + len(rows)
    return tuple(
        {
            "file": Path(path).name,
            "sha256": hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest(),
            "rows": rows,
        }
        for path, rows in counts.items()
    )


def fit_ops(
    ops: Sequence[OpRows],
    chips: Mapping[str, Hardware],
    *,
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, ScopeFit], dict[str, int]]:
    """Fit every scope that measured ops belong to.

    Returns:
        The fits by scope, and reason -> rows that none of them used.
    """
    scopes, unused = by_scope(ops, chips)
    fits: dict[str, ScopeFit] = {}
    for name, all_groups in scopes.items():
        groups, left = kernel_timed(all_groups)
        for reason, rows in left.items():
            unused[reason] = unused.get(reason, 0) + rows
        if not parameters_of(name):
            reason = f"no coefficient is fitted for {name}"
            unused[reason] = unused.get(reason, 0) + sum(map(len, groups))
            continue
        if progress:
            progress(name)
        fits[name] = fit_one(name, groups, chips, leave_out=leave_out, progress=progress)
    return fits, unused


def kernel_timed(groups: Sequence[OpRows]) -> tuple[list[OpRows], dict[str, int]]:
    """Rows to fit: where some were replayed as graphs, those timed launch by launch tell of the host and are left."""
    graphs = [rows for rows in groups if rows.runtime == "graphs"]
    if not graphs or len(graphs) == len(groups):
        return list(groups), {}
    return graphs, {HOST_TIMED: sum(len(rows) for rows in groups if rows.runtime != "graphs")}


def fit_one(
    name: str,
    groups: Sequence[OpRows],
    chips: Mapping[str, Hardware],
    *,
    leave_out: str = "hardware",
    progress: Callable[[str], None] | None = None,
) -> ScopeFit:
    """Fit one scope, leave each device out in turn, and calibrate its intervals."""
    priors = [parameter.prior for parameter in parameters_of(name)]
    fitted = fit_scope(name, groups, chips, priors)
    others = left_out_fits(name, groups, chips, priors, leave_out, progress)
    widths: dict[tuple[str, str], Widths] = {}
    left_out: list[Scored] = []
    seen: list[Scored] = []
    for kernel in ("any", "known"):
        known = kernel == "known"
        seen = [score_ops(rows, {name: fitted}, chips[rows.hardware], engine_known=known) for rows in groups]
        left_out = score_left_out(groups, others, chips, leave_out, engine_known=known) if others else []
        widths["device", kernel] = calibrated_widths(seen, "device")
        if left_out:
            chosen = [own for own in left_out if own.kernel_known or not known] or left_out
            widths["datasheet", kernel] = unseen = calibrated_widths(chosen, "datasheet")
            # too few families have two devices to calibrate their level: they get the datasheet's, which is wider
            widths["family", kernel] = replace(unseen, level="family")
    if left_out:
        left_out = with_cross_intervals(left_out, chips, SHARE, leave_out)
    finished = replace(fitted, widths=widths, errors=_errors(left_out, seen, leave_out), rows=sum(map(len, groups)))
    return ScopeFit(finished, tuple(left_out), tuple(seen))


def _errors(left_out: Sequence[Scored], seen: Sequence[Scored], what: str) -> dict[str, Any]:
    """Errors by device for the report and the file."""
    sets = left_out or seen
    split = f"one {what} left out" if left_out else "rows that were fitted: a single device was measured"
    by_device = {
        hardware: _summary([own for own in sets if own.labels["hardware"] == hardware])
        for hardware in sorted({own.labels["hardware"] for own in sets})
    }
    return {"split": split, **_summary(sets), "by_hardware": by_device}


def _summary(sets: Sequence[Scored]) -> dict[str, float]:
    found = metrics_of(sets, SHARE)["latency"]
    names = ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")
    return {name: round(found[name], 4) for name in names}
