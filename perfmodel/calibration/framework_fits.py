"""Fitting a framework's kernels to measured whole models, and scoring what was left out.

    rows of a scope ──fit──▶ FittedScope          rows ──fit without each device, family or model──▶ Scored rows

Many families or models are dealt into a few folds, each left out as a whole. Of a known device, intervals come from
model families left out; of an unknown one, from devices left out, or where only one was measured from that and a
spread between devices which is known from elsewhere.

May import: framework_rows, fit, intervals, scoring, model_families and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.calibration.fit import Observed, Parameter, fit
from perfmodel.calibration.framework_rows import ModelRow, Stack, regimes_of, scope_of_fact, stack, stack_seconds
from perfmodel.calibration.intervals import LEAST_ROWS, calibrated_widths
from perfmodel.calibration.model_families import model_family
from perfmodel.calibration.scoring import KEYS, Scored, metrics_of
from perfmodel.fitted_scopes import REGIMES, SHARES, FittedScope, Widths, half_normal_quantile
from perfmodel.kernels import fitted_device
from perfmodel.kernels.framework import FITTED, LAUNCH_SECONDS
from perfmodel.types import Hardware

Progress = Callable[[str], None]
FOLDS, MOST_FITS = 5, 8  # more families or models than that are dealt into folds
NOISE = 0.07  # σ of a model's log time
UNLIMITED = 1e9  # every model is a fact of its own
# log standard deviation between devices: of GPUs found on devices left out, of CPUs the error of one for another
BETWEEN_DEVICES = {"gpu": 0.13, "cpu": 0.4}
Series = tuple[str, str, str]  # device, runtime, layout of images


def by_scope(rows: Sequence[ModelRow], chips: Mapping[str, Hardware]) -> dict[str, list[ModelRow]]:
    """Rows by the scope whose coefficients they are for."""
    found: dict[str, list[ModelRow]] = {}
    for row in rows:
        found.setdefault(scope_of_fact(row.fact, chips[row.fact.hardware]), []).append(row)
    return found


def fit_rows(scope: str, rows: Sequence[ModelRow], chips: Mapping[str, Hardware]) -> FittedScope:
    """Fit the coefficients of a scope to its rows."""
    observed = [_observed(stack(own, scope), series, own[0].fact.engine) for series, own in _by_series(rows).items()]
    return fit(observed, chips, [Parameter(prior=prior, scope=scope) for prior in FITTED])[scope]


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


def score_left_out(
    scope: str,
    rows: Sequence[ModelRow],
    chips: Mapping[str, Hardware],
    leave_out: str,
    progress: Progress | None = None,
) -> list[list[Scored]]:
    """Rows predicted by fits without them, fold by fold, with no interval yet; none if all are of one fold."""
    folds = folds_of(rows, leave_out)
    found = []
    for place, fold in enumerate(folds if len(folds) > 1 else ()):
        if progress:
            progress(f"{scope}: {leave_out} left out, fit {place + 1} of {len(folds)}")
        left = {id(row) for row in fold}
        fitted = fit_rows(scope, [row for row in rows if id(row) not in left], chips)
        found.append(score_rows(scope, fold, fitted, chips, 0.8))
    return found


def with_cross_intervals(
    folds: Sequence[Sequence[Scored]], share: float, leave_out: str, between: float
) -> list[Scored]:
    """Left-out rows, each with the interval that the errors of the other folds give it."""
    found: list[Scored] = []
    for place, fold in enumerate(folds):
        others = [own for other, sets in enumerate(folds) if other != place for own in sets]
        widths = _widths(others, "datasheet" if leave_out == "hardware" else "device", between).at(share)
        found += [replace(own, half_width=widths[own.regime]) for own in fold]
    return found


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
        regime = np.array(regimes_of(stacked, device)).argmax(axis=0)
        widths = device.widths.get(scope)
        half = widths.at(share)[regime] if widths else np.full(len(own), half_normal_quantile(share) * 0.4)
        level = scopes[scope].level(chip) if scopes else "datasheet"
        for place, row in enumerate(own):
            labels = {**_labels(row, chip), "scope": scope, "kernel": kernel, "level": level}
            at = slice(place, place + 1)
            found.append(
                Scored(
                    labels=labels,
                    measured=np.array([row.fact.value_seconds]),
                    predicted=np.maximum(seconds[at], row.bound_seconds),
                    half_width=half[at],
                    bound=np.array([row.bound_seconds]),
                    regime=regime[at],
                    rows=np.array([row.fact.row]),
                    shares={scope: 1.0},
                )
            )
    return found


def _labels(row: ModelRow, chip: Hardware) -> dict[str, str]:
    fact = row.fact
    return dict.fromkeys(KEYS, "") | {
        "hardware": fact.hardware, "family": model_family(fact.subject), "engine": fact.engine,
        "version": fact.version, "precision": fact.precision, "runtime": fact.runtime, "model": fact.subject,
        "phase": fact.phase, "batch": str(fact.batch), "source": fact.source, "file": fact.file,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ intervals


def finished_fit(
    scope: str, rows: Sequence[ModelRow], chips: Mapping[str, Hardware], share: float, progress: Progress | None = None
) -> tuple[FittedScope, list[Scored]]:
    """The fit of a scope with its intervals and errors, and its rows as they were predicted without their family."""
    if progress:
        progress(f"{scope}: {len(rows)} models")
    fitted = fit_rows(scope, rows, chips)
    kind = chips[rows[0].fact.hardware].kind
    families = score_left_out(scope, rows, chips, "family", progress)
    devices = score_left_out(scope, rows, chips, "hardware", progress)
    seen = [own for fold in families for own in fold] or score_rows(scope, rows, fitted, chips, share)
    known = _widths(seen, "device", 0.0)
    if devices:
        unseen = _widths([own for fold in devices for own in fold], "datasheet", 0.0)
    else:
        unseen = _widths(seen, "datasheet", BETWEEN_DEVICES[kind])
    widths = {}
    for kernel in ("known", "any"):
        widths["device", kernel] = known
        widths["datasheet", kernel], widths["family", kernel] = unseen, replace(unseen, level="family")
    scored = with_cross_intervals(families, share, "family", 0.0) if families else seen
    return replace(fitted, widths=widths, errors=_errors(scored, share), rows=len(rows)), scored


def _widths(sets: Sequence[Scored], level: str, between: float) -> Widths:
    """Half-widths from errors of rows that were left out.

    Where launches decide, and hardly anything was measured (small batches on GPUs), the launch time's own spread does.
    """
    own = calibrated_widths(sets, level)
    quantiles = np.array([half_normal_quantile(share) for share in SHARES])
    half = np.hypot(own.by_regime, between * quantiles)
    overhead = REGIMES.index("overhead")
    if sum(int((one.regime == overhead).sum()) for one in sets) < LEAST_ROWS:
        half[overhead] = np.maximum(half[overhead], LAUNCH_SECONDS.log_sd * quantiles)
    return Widths(level, half, 1.0)


def _errors(sets: Sequence[Scored], share: float) -> dict[str, Any]:
    def summary(own: Sequence[Scored]) -> dict[str, float]:
        found = metrics_of(own, share)["latency"]
        return {name: round(found[name], 4) for name in ("rows", "median_ape", "mape", "p90_ape", "bias", "coverage")}

    devices = sorted({own.labels["hardware"] for own in sets})
    groups = {device: summary([own for own in sets if own.labels["hardware"] == device]) for device in devices}
    return {"split": "model families left out", **summary(sets), "by_hardware": groups}
