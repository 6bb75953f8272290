"""Fitting a framework's kernels to measured whole models, and scoring what was left out.

    rows of a scope ──fit──▶ FittedScope          rows ──fit without each device, family or model──▶ Scored rows

Many families or models are dealt into a few folds, each left out as a whole. Of a known device, intervals come from
model families left out; of an unknown one, from devices left out, or where only one was measured from its own and a
guessed spread between devices.

May import: framework_rows, fit, intervals, left_out, scoring, model_families and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.calibration.fit import Observed, Parameter, fit
from perfmodel.calibration.framework_rows import (
    ModelRow,
    Stack,
    regimes_of,
    scope_of_fact,
    stack,
    stack_half_widths,
    stack_seconds,
)
from perfmodel.calibration.intervals import LEAST_ROWS, calibrated_widths
from perfmodel.calibration.left_out import by_label
from perfmodel.calibration.model_families import model_family
from perfmodel.calibration.scoring import KEYS, Scored, metrics_of
from perfmodel.fitted_scopes import DEVICES_LEFT_OUT, LEVELS, REGIMES, SHARES, FittedScope, Widths, half_normal_quantile
from perfmodel.kernels import fitted_device
from perfmodel.kernels.framework import LAUNCH_SECONDS
from perfmodel.kernels.networks import fitted_priors
from perfmodel.types import Hardware

Progress = Callable[[str], None]
FOLDS, MOST_FITS = 5, 8  # more families or models than that are dealt into folds
NOISE = 0.07  # σ of a model's log time
UNLIMITED = 1e9  # every model is a fact of its own
# log standard deviation between chips where one was measured: guessed, for GPUs from how far the two of eager runs lie
# apart, for CPUs from factors of up to 1.5 between them
BETWEEN_DEVICES = {"gpu": 0.13, "cpu": 0.4}
_QUANTILES = np.array([half_normal_quantile(share) for share in SHARES])
Series = tuple[str, str, str]  # device, runtime, layout of images
LeftOut = tuple[Sequence[ModelRow], FittedScope]


def by_scope(rows: Sequence[ModelRow], chips: Mapping[str, Hardware]) -> dict[str, list[ModelRow]]:
    """Rows by the scope whose coefficients they are for."""
    found: dict[str, list[ModelRow]] = {}
    for row in rows:
        found.setdefault(scope_of_fact(row.fact, chips[row.fact.hardware]), []).append(row)
    return found


def fit_rows(scope: str, rows: Sequence[ModelRow], chips: Mapping[str, Hardware]) -> FittedScope:
    """Fit the coefficients of a scope to its rows."""
    observed = [_observed(stack(own, scope), series, own[0].fact.engine) for series, own in _by_series(rows).items()]
    return fit(observed, chips, [Parameter(prior=prior, scope=scope) for prior in fitted_priors(scope)])[scope]


def _observed(rows: Stack, series: Series, engine: str) -> Observed:
    hardware, runtime, kernel = series
    return Observed(
        hardware=hardware,
        runtime=runtime,
        engine=engine,
        kernel=kernel,
        seconds=rows.seconds,
        predict=lambda device: stack_seconds(rows, device)[0],
        slopes=lambda device: stack_seconds(rows, device)[1],
        facts=UNLIMITED,
        noise=NOISE,
    )


def _by_series(rows: Sequence[ModelRow]) -> dict[Series, list[ModelRow]]:
    found: dict[Series, list[ModelRow]] = {}
    for row in rows:
        key = (row.fact.hardware, row.fact.runtime, row.fact.options.get("memory_format", ""))
        found.setdefault(key, []).append(row)
    return found


# ------------------------------------------------------------------------------------------------ left out


def folds_of(rows: Sequence[ModelRow], leave_out: str) -> list[list[ModelRow]]:
    """What is left out together: rows of a device, or of a fold of model families or of models."""
    groups: dict[str, list[ModelRow]] = {}
    for row in rows:
        groups.setdefault(_label(row, leave_out), []).append(row)
    if len(groups) <= MOST_FITS:
        return list(groups.values())
    names = np.array(sorted(groups))
    np.random.default_rng(0).shuffle(names)
    return [[row for name in names[start::FOLDS] for row in groups[name]] for start in range(FOLDS)]


def _label(row: ModelRow, leave_out: str) -> str:
    if leave_out == "hardware":
        return row.fact.hardware
    return model_family(row.fact.subject) if leave_out == "family" else row.fact.subject


def left_out_fits(
    scope: str,
    rows: Sequence[ModelRow],
    chips: Mapping[str, Hardware],
    leave_out: str,
    progress: Progress | None = None,
) -> list[LeftOut]:
    """(rows left out together, the fit to all others), fold by fold; none if all are of one fold."""
    folds = folds_of(rows, leave_out)
    found: list[LeftOut] = []
    for place, fold in enumerate(folds if len(folds) > 1 else ()):
        if progress:
            progress(f"{scope}: {leave_out} left out, fit {place + 1} of {len(folds)}")
        left = {id(row) for row in fold}
        found.append((fold, fit_rows(scope, [row for row in rows if id(row) not in left], chips)))
    return found


def score_left_out(
    scope: str, fits: Sequence[LeftOut], chips: Mapping[str, Hardware], leave_out: str, share: float
) -> list[Scored]:
    """Rows predicted by the fits without them, each with the interval that the errors of the other folds give it."""
    level = LEVELS[0] if leave_out == "hardware" else LEVELS[-1]
    plain = [score_rows(scope, fold, fitted, chips, share) for fold, fitted in fits]
    found: list[Scored] = []
    for place, (fold, fitted) in enumerate(fits):
        widths = _widths([own for other, sets in enumerate(plain) if other != place for own in sets], level)
        found += score_rows(scope, fold, with_widths(fitted, dict.fromkeys(LEVELS, widths)), chips, share)
    return found


def with_widths(fitted: FittedScope, by_level: Mapping[str, Widths]) -> FittedScope:
    """The fit with half-widths for each level, whether the layout of images was measured or not."""
    widths = {
        (level, kernel): replace(own, level=level) for level, own in by_level.items() for kernel in ("known", "any")
    }
    return replace(fitted, widths=widths)


def score_rows(
    scope: str, rows: Sequence[ModelRow], fitted: FittedScope | None, chips: Mapping[str, Hardware], share: float
) -> list[Scored]:
    """Predict measured models under fitted coefficients; a set of one row each."""
    found = []
    for (hardware, runtime, kernel), own in _by_series(rows).items():
        chip = chips[hardware]
        scopes = {scope: fitted} if fitted and fitted.covers(chip) else {}
        device = fitted_device(chip, runtime, scopes, own[0].fact.engine, kernel)
        stacked = stack(own, scope)
        seconds = stack_seconds(stacked, device)[0]
        half_widths = stack_half_widths(stacked, device, share)
        regime = np.array(regimes_of(stacked, device)).argmax(axis=0)
        level = scopes[scope].level(chip) if scopes else LEVELS[0]
        for place, row in enumerate(own):
            labels = {**_labels(row), "scope": scope, "kernel": kernel, "level": level}
            at = slice(place, place + 1)
            found.append(
                Scored(
                    labels=labels,
                    measured=np.array([row.fact.value_seconds]),
                    predicted=seconds[at],
                    half_width=half_widths[at],
                    bound=np.array([row.bound_seconds]),
                    regime=regime[at],
                    rows=np.array([row.fact.row]),
                    shares={scope: 1.0},
                )
            )
    return found


def _labels(row: ModelRow) -> dict[str, str]:
    fact = row.fact
    return dict.fromkeys(KEYS, "") | {
        "hardware": fact.hardware, "family": model_family(fact.subject), "engine": fact.engine,
        "version": fact.version, "precision": fact.precision, "runtime": fact.runtime, "model": fact.subject,
        "phase": fact.phase, "batch": str(fact.batch), "source": fact.source, "file": fact.file,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ intervals


def finished_fit(
    scope: str, rows: Sequence[ModelRow], chips: Mapping[str, Hardware], share: float, progress: Progress | None = None
) -> FittedScope:
    """The fit of a scope with its intervals, and its errors on model families left out."""
    if progress:
        progress(f"{scope}: {len(rows)} models")
    fitted = fit_rows(scope, rows, chips)
    by_family = left_out_fits(scope, rows, chips, "family", progress)
    by_device = left_out_fits(scope, rows, chips, "hardware", progress)
    seen = [own for fold, other in by_family for own in score_rows(scope, fold, other, chips, share)]
    seen = seen or score_rows(scope, rows, fitted, chips, share)
    unseen = [own for fold, other in by_device for own in score_rows(scope, fold, other, chips, share)]
    known = _widths(seen, LEVELS[-1])
    between = BETWEEN_DEVICES[chips[rows[0].fact.hardware].kind]
    unknown = _widths(unseen, LEVELS[0]) if unseen else widened(known, between)
    errors = {
        "split": "model families left out" if by_family else "rows that were fitted",
        **_errors(score_left_out(scope, by_family, chips, "family", share) or seen, share),
        DEVICES_LEFT_OUT: _errors(score_left_out(scope, by_device, chips, "hardware", share), share),
    }
    widths = {level: known if level == LEVELS[-1] else unknown for level in LEVELS}
    return replace(with_widths(fitted, widths), errors=errors, rows=len(rows))


def _widths(sets: Sequence[Scored], level: str) -> Widths:
    """Half-widths from errors of rows that were left out; one for compute and memory, which a model mixes.

    Where launches decide, and hardly anything was measured (small batches on GPUs), the launch time's own spread does.
    """
    launching = REGIMES.index("overhead")
    mixed = [
        replace(own, regime=np.where(own.regime == launching, launching, REGIMES.index("compute"))) for own in sets
    ]
    found = calibrated_widths(mixed, level)
    half = found.by_regime.copy()
    half[REGIMES.index("memory")] = half[REGIMES.index("compute")]
    if sum(int((own.regime == launching).sum()) for own in sets) < LEAST_ROWS:
        half[launching] = np.maximum(half[launching], LAUNCH_SECONDS.log_sd * _QUANTILES)
    return Widths(level, half, 1.0)


def widened(known: Widths, between: float) -> Widths:
    """Half-widths for other chips where one was measured: its errors and a spread between chips, in quadrature."""
    return replace(known, level=LEVELS[0], by_regime=np.hypot(known.by_regime, between * _QUANTILES))


def _errors(sets: Sequence[Scored], share: float) -> dict[str, Any]:
    """All rows and those of each device; nothing without rows."""

    def summary(own: Sequence[Scored]) -> dict[str, float]:
        found = metrics_of(own, share)["latency"]
        return {name: round(found[name], 4) for name in ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")}

    groups = by_label(sets, "hardware")
    return {**summary(sets), "by_hardware": {name: summary(groups[name]) for name in sorted(groups)}} if sets else {}
