"""Coefficients of one machine from programs and a few whole models measured on it.

    minimise  Σ ρ((log t(c) − log t_measured)/σ_group) + Σ ρ(log(c/start)/sd),   ρ(r) = 2·K²·(√(1 + (r/K)²) − 1)

σ is small for what resembles whole models: 3 % for deep programs, 25 % for ops by themselves, which run faster than
they do in any network; and 1 % for the few anchors, which also set the scale where the machine was slower while
programs ran. Over ten calibrations of CPUs this lowers the median error of models not fitted from 10.4 to 7.8 % (12 %
for ops, 2 % for deep programs and 3 % for anchors before); the choice was made on these models. Solved by scipy's trust
region from the start (starting.py), with derivatives from the forms' sensitivities: with Gauss-Newton the same data end
in a minimum twice as bad.

Compiled code is fitted to anchors alone, since compiling every program would take an hour.

May import: run_rows, framework_rows, fitted_scopes, kernels and below; scipy inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.calibration.framework_fits import BETWEEN_DEVICES, widened
from perfmodel.calibration.framework_fits import NOISE as UNSEEN_NOISE
from perfmodel.calibration.framework_rows import stack, stack_seconds
from perfmodel.calibration.run_rows import MODEL, RunRow
from perfmodel.coefficients import Coefficient
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import LEVELS, REGIMES, SHARES, Array, FittedScope, Widths, half_normal_quantile
from perfmodel.kernels import Device, fitted_device
from perfmodel.kernels.networks import fitted_priors
from perfmodel.types import Hardware

NOISE: Mapping[str, float] = {"single": 0.25, "interleaved": 0.25, "block": 0.05, "deep": 0.03, "model": 0.01}
FOLDS = 6
_LIKE_MODELS = ("block", "deep", "model")
# on the half-widths, for whole architectures are missed by more than programs: chosen, not fitted; docs/accuracy.md has
# the coverage that it gives
UNSEEN = 1.15
LEAST_ROWS = 20
MOST_STEPS = 300
KINK = 6.0  # σ beyond which a run counts less: only what the form does not describe at all is so far off


def fit_runs(scope: str, rows: Sequence[RunRow], chip: Hardware, start: Device | None = None) -> FittedScope:
    """Fit the coefficients of a scope to runs of one chip.

    Args:
        start: the chip with the coefficients to start from, whose spreads hold them there; None for the priors.

    Raises:
        InputError: too few runs to fit anything.
    """
    if len(rows) < LEAST_ROWS:
        raise InputError(f"{scope}: {len(rows)} runs are too few to fit; {LEAST_ROWS} are needed at least.")
    return _fit(scope, rows, start or Device(chip, rows[0].row.fact.runtime, {}), NOISE)


def fit_anchors(scope: str, anchors: Sequence[RunRow], start: Device) -> FittedScope:
    """Move the coefficients that a scope starts from towards runs of whole models, as far as their spreads let them."""
    return _fit(scope, anchors, start, {MODEL: UNSEEN_NOISE})


def _fit(scope: str, rows: Sequence[RunRow], begin: Device, noise_of: Mapping[str, float]) -> FittedScope:
    from scipy.optimize import least_squares

    chip, runtime = begin.hardware, begin.runtime
    names = [prior.name for prior in fitted_priors(scope)]
    known = np.log([prior.resolve(chip, runtime).value for prior in fitted_priors(scope)])
    begun = [begin.in_scope(scope)[prior] for prior in fitted_priors(scope)]
    start = np.log([coefficient.value for coefficient in begun])
    spread = np.array([coefficient.log_sd for coefficient in begun])
    stacked = stack([own.row for own in rows], scope)
    noise = np.array([noise_of[own.group] for own in rows])
    measured = np.log(stacked.seconds)
    none = np.zeros(len(rows))

    def device(logs: Any) -> Device:
        values = zip(names, np.exp(logs), strict=True)
        return Device(chip, runtime, {
            f"{scope}:{name}": Coefficient(name, float(value), 0.0, "fit", "") for name, value in values
        })  # fmt: skip

    def residuals(logs: Any) -> Any:
        predicted = np.log(stack_seconds(stacked, device(logs))[0])
        return np.concatenate([(predicted - measured) / noise, (logs - start) / spread])

    def jacobian(logs: Any) -> Any:
        slopes = stack_seconds(stacked, device(logs))[1]
        columns = np.array([slopes.get(name, none) for name in names]).T
        return np.vstack([columns / noise[:, None], np.diag(1 / spread)])

    found = least_squares(
        residuals, start, jac=jacobian, loss="soft_l1", f_scale=KINK, x_scale=spread, max_nfev=MOST_STEPS, method="trf"
    )
    steep = jacobian(found.x) / (1 + (residuals(found.x) / KINK) ** 2)[:, None] ** 0.25
    log_sd = np.sqrt(np.diag(np.linalg.inv(steep.T @ steep)))
    return FittedScope(
        scope=scope,
        runtime=runtime,
        names=tuple(names),
        priors=np.exp(known),
        prior_sd=spread,
        pooled=found.x - known,
        log_sd=log_sd,
        effects={("device", chip.id): np.zeros(len(names))},
        vendors=frozenset({(chip.kind, chip.vendor)}),
        rows=len(rows),
        stays=log_sd > spread / np.sqrt(2),
    )


# ------------------------------------------------------------------------------------------------ intervals


def with_intervals(
    fitted: FittedScope, rows: Sequence[RunRow], chip: Hardware, start: Device | None = None
) -> FittedScope:
    """The fit with half-widths from blocks, deep programs and models that were left out of fits to all else.

    They are dealt into `FOLDS` folds; what ran eagerly and as a graph, too, is left out as both. What is unlike any
    program (a whole architecture) is missed by more than a program left out: `UNSEEN` widens by that.
    """
    alike = [place for place, own in enumerate(rows) if own.group in _LIKE_MODELS and not own.replayed]
    order = np.random.default_rng(0).permutation(alike)
    errors: list[float] = []
    for begin in range(FOLDS):
        left = set(order[begin::FOLDS].tolist())
        if not left:
            continue
        names = {(rows[place].group, rows[place].name) for place in left}
        others = [
            row
            for place, row in enumerate(rows)
            if place not in left and not (row.replayed and (row.group, row.name) in names)
        ]
        own = fit_runs(fitted.scope, others, chip, start)
        errors += log_ratios([rows[place] for place in sorted(left)], own, chip).tolist()
    return _with_half_widths(fitted, UNSEEN * np.quantile(np.abs(errors), SHARES), chip)


def with_anchor_intervals(
    fitted: FittedScope, anchors: Sequence[RunRow], start: Device, eager: FittedScope
) -> FittedScope:
    """The fit with half-widths from anchors that were left out in turn, taken as normal; never below those of eager
    code, for the anchors are few."""
    chip = start.hardware
    models = dict.fromkeys(own.row.fact.subject for own in anchors)
    errors: list[float] = []
    for model in models if len(models) > 1 else ():
        others = [own for own in anchors if own.row.fact.subject != model]
        left = [own for own in anchors if own.row.fact.subject == model and not own.replayed]
        errors += log_ratios(left, fit_anchors(fitted.scope, others, start), chip).tolist()
    spread = float(np.sqrt(np.mean(np.square(errors)))) if errors else UNSEEN_NOISE
    half = UNSEEN * spread * np.array([half_normal_quantile(share) for share in SHARES])
    known = eager.widths[LEVELS[-1], "known"].by_regime.max(axis=0)
    return _with_half_widths(fitted, np.maximum(half, known), chip)


def _with_half_widths(fitted: FittedScope, half: Array, chip: Hardware) -> FittedScope:
    """The fit with half-widths at `SHARES` for the chip, and wider ones of what its runs say of another chip."""
    known = Widths(LEVELS[-1], np.tile(half, (len(REGIMES), 1)), 1.0)
    unknown = widened(known, BETWEEN_DEVICES[chip.kind])
    widths = {
        (level, kernel): replace(known if level == LEVELS[-1] else unknown, level=level)
        for level in LEVELS
        for kernel in ("known", "any")
    }
    return replace(fitted, widths=widths)


def log_ratios(rows: Sequence[RunRow], fitted: FittedScope, chip: Hardware) -> Array:
    """log(predicted/measured) of each run."""
    runtime = rows[0].row.fact.runtime
    device = fitted_device(chip, runtime, {fitted.scope: fitted}, "torch")
    stacked = stack([own.row for own in rows], fitted.scope)
    return np.asarray(np.log(stack_seconds(stacked, device)[0] / stacked.seconds))
