"""Maximum a posteriori fit of kernel coefficients to measurements, in log space, with effects of kernel and device.

    log c(chip, kernel) = log prior(chip) + pooled + δ_kernel + δ_family + δ_device + δ_series

    minimise  Σ w·huber((log t(c) − log t_measured) / σ)  +  Σ (pooled/sd)²  +  Σ_effects huber(δ/τ)

`pooled` is what the data say of all chips together, as a shift of the prior that each chip has by its kind and vendor;
an effect is what one kernel of an engine, one architecture family, one device, or one series (a kernel on a device)
adds. A chip stands on the effects that are known of it: a device left out has no δ_device and no δ_series, and a family
of which nothing was measured no δ_family. Rows of one series are no independent facts (neighbouring sizes run the same
code): the weight w makes a series count as `EFFECTIVE_ROWS` facts, which keeps the priors alive. Robust losses:
pseudo-Huber, so that a few odd rows do not pull, and one odd device or kernel (a fallback, ten times slower) does not
shift the chips that lack it. Solved by Gauss-Newton with Levenberg damping; the spread of a coefficient is the inverse
Hessian's.

May import: coefficients, kernels, measurements, row_times. Numbers only: files and reports are elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.calibration.measurements import Array, OpRows
from perfmodel.calibration.row_times import row_seconds
from perfmodel.coefficients import Coefficient, Prior
from perfmodel.fitted_scopes import EFFECT_SD, FittedScope, effects_of
from perfmodel.kernels import Device
from perfmodel.types import Hardware

EFFECTIVE_ROWS = 400.0
NOISE = 0.15  # σ: what a good formula leaves unexplained, in log time
KINK = 1.5  # of the robust loss, in σ
EFFECT_KINK = 0.7  # of an effect's penalty, in τ
STEP = 1e-4  # of the numerical derivative, in log
ITERATIONS = 25
TOLERANCE = 1e-5
HOST_PREFIX = "benchmark."  # properties of the machine that measured a series: nothing carries over to other chips
FIXED = 1e8  # precision of what does not move
MOST_ROWS = 1500  # per set of rows; more change no coefficient


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A coefficient to fit: a prior, for the kernels of a scope ("gemm.bf16"), or everywhere ("")."""

    prior: Prior
    scope: str = ""

    @property
    def name(self) -> str:
        return f"{self.scope}:{self.prior.name}" if self.scope else self.prior.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Measured times that share device, software and kernel, and how to predict them.

    Args:
        seconds: measured, (rows,). predict: the chip with coefficients -> predicted seconds, (rows,).
        slopes: ∂log t/∂log c by the coefficient's name, each (rows,), where it is known without trying.
        facts: how many facts the rows of its series and noise count for at most. noise: σ of a row.
    """

    hardware: str
    runtime: str
    engine: str
    kernel: str
    seconds: Array
    predict: Callable[[Device], Array]
    slopes: Callable[[Device], Mapping[str, Array]] | None = None
    facts: float = EFFECTIVE_ROWS
    noise: float = NOISE


def observed_rows(rows: OpRows) -> Observed:
    """Measured ops as a fit wants them."""
    return Observed(
        hardware=rows.hardware,
        runtime=rows.runtime,
        engine=rows.engine,
        kernel=rows.kernel,
        seconds=rows.seconds,
        predict=lambda device: row_seconds(rows, device),
    )


def thin(rows: OpRows, most: int = MOST_ROWS, seed: int = 0) -> OpRows:
    """A random sample of the rows, the same at every call."""
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False)))


def fit(
    observed: Sequence[Observed], chips: Mapping[str, Hardware], parameters: Sequence[Parameter]
) -> dict[str, FittedScope]:
    """Fit coefficients to measurements of several devices.

    Args:
        observed: of kernels that the parameters act on. chips: device id -> its profile.
        parameters: the coefficients to fit, of one scope or of several; all others stay at their priors.

    Returns:
        What was fitted, by scope.
    """
    resolved = [
        [parameter.prior.resolve(chips[own.hardware], own.runtime) for parameter in parameters] for own in observed
    ]
    priors = np.log([[coefficient.value for coefficient in row] for row in resolved])
    prior_sd = np.array([coefficient.log_sd for coefficient in resolved[0]])
    acting = [effects_of(chips[own.hardware], own.engine, own.kernel) for own in observed]
    effects = tuple(dict.fromkeys(effect for row in acting for effect in row))
    places = [[0, *(1 + effects.index(effect) for effect in row)] for row in acting]
    names = tuple(parameter.name for parameter in parameters)

    def device_with(which: int, logs: Array) -> Device:
        overrides = {
            name: Coefficient(prior.name, float(np.exp(value)), 0.0, "fit", "")
            for name, prior, value in zip(names, resolved[which], logs, strict=True)
        }
        return Device(chips[observed[which].hardware], observed[which].runtime, overrides)

    def predicted(which: int, logs: Array) -> Array:
        return np.log(observed[which].predict(device_with(which, logs)))

    def slopes(which: int, logs: Array) -> Array | None:
        own = observed[which]
        if own.slopes is None:
            return None
        known, none = own.slopes(device_with(which, logs)), np.zeros(len(own.seconds))
        return np.array([known.get(parameter.prior.name, none) for parameter in parameters]).T

    spreads = np.array([[EFFECT_SD[effect[0]]] * len(names) for effect in effects])
    of_kernels = [effect[0] == "kernel" for effect in effects]
    spreads[of_kernels] = np.maximum(spreads[of_kernels], [own.prior.kernel_log_sd for own in parameters])
    precision = np.vstack([prior_sd**-2.0, spreads**-2.0])
    if len({own.hardware for own in observed}) > 1:  # an effect of all rows is no other than the pooled shift
        precision[1:][[all(effect in row for row in acting) for effect in effects]] = FIXED
    of_host = [parameter.prior.name.startswith(HOST_PREFIX) for parameter in parameters]
    shared = [True, *(effect[0] != "series" for effect in effects)]
    precision[np.ix_(shared, of_host)] = FIXED
    problem = _Problem(predicted, slopes, places, priors, [np.log(own.seconds) for own in observed],
                       _weights(observed), precision)  # fmt: skip
    shifts, hessian = _solve(problem)
    log_sd = np.sqrt(np.diag(np.linalg.inv(hessian))[: len(names)])
    told = np.diag(hessian)[: len(names)] - precision[0]  # by the data, of everything that shifts a coefficient
    found = {}
    for scope in dict.fromkeys(parameter.scope for parameter in parameters):
        own = [place for place, parameter in enumerate(parameters) if parameter.scope == scope]
        found[scope] = FittedScope(
            scope=scope,
            runtime=observed[0].runtime,
            names=tuple(parameters[place].prior.name for place in own),
            priors=np.exp(priors[0][own]),
            prior_sd=prior_sd[own],
            pooled=shifts[0][own],
            log_sd=log_sd[own],
            effects={effect: shift[own] for effect, shift in zip(effects, shifts[1:], strict=True)},
            vendors=frozenset((chips[one.hardware].kind, chips[one.hardware].vendor) for one in observed),
            rows=sum(len(one.seconds) for one in observed),
            stays=told[own] < precision[0][own],
        )
    return found


def _weights(observed: Sequence[Observed]) -> list[float]:
    """What a residual of each set of rows counts: all rows of one series are so many facts at most."""
    counts: dict[tuple[str, str, str, float], int] = {}
    keys = [(own.hardware, own.engine, own.kernel, own.noise) for own in observed]
    for key, own in zip(keys, observed, strict=True):
        counts[key] = counts.get(key, 0) + len(own.seconds)
    return [
        float(np.sqrt(min(1.0, own.facts / counts[key])) / own.noise) for key, own in zip(keys, observed, strict=True)
    ]


@dataclass(frozen=True)
class _Problem:
    """The objective: `predicted(which, logs)` gives log seconds of one set of rows for its coefficients' logarithms,
    `slopes` their derivatives where they are known (rows, coefficients).

    Args:
        places: for each set of rows the rows of the shifts that act on it. priors: its logs, (sets, coefficients).
        precision: of the shifts, (1 + effects, coefficients).
    """

    predicted: Callable[[int, Array], Array]
    slopes: Callable[[int, Array], Array | None]
    places: Sequence[Sequence[int]]
    priors: Array
    measured: Sequence[Array]
    weights: Sequence[float]
    precision: Array

    def logs(self, shifts: Array, which: int) -> Array:
        return np.asarray(self.priors[which] + shifts[self.places[which]].sum(axis=0))

    def residuals(self, shifts: Array) -> list[Array]:
        return [
            (self.predicted(which, self.logs(shifts, which)) - measured) * weight
            for which, (measured, weight) in enumerate(zip(self.measured, self.weights, strict=True))
        ]

    def objective(self, shifts: Array, residuals: Sequence[Array]) -> float:
        loss = sum(float((2 * KINK**2 * (np.sqrt(1 + (r / KINK) ** 2) - 1)).sum()) for r in residuals)
        squares = self.precision * shifts**2
        effects = 2 * EFFECT_KINK**2 * (np.sqrt(1 + squares[1:] / EFFECT_KINK**2) - 1)
        return loss + float(squares[0].sum() + effects.sum())

    def derivatives(self, shifts: Array, residuals: Sequence[Array]) -> tuple[Array, Array]:
        """(gradient, Gauss-Newton Hessian) over all shifts; every effect of a set acts on it as the pooled shift."""
        size = shifts.shape[1]
        precision = self.precision.copy()
        precision[1:] /= np.sqrt(1 + precision[1:] * shifts[1:] ** 2 / EFFECT_KINK**2)
        gradient = (precision * shifts).ravel()
        hessian = np.diag(precision.ravel())
        for which, (residual, weight, own) in enumerate(zip(residuals, self.weights, self.places, strict=True)):
            jacobian = self._jacobian(which, self.logs(shifts, which)) * weight
            robust = 1 / np.sqrt(1 + (residual / KINK) ** 2)
            block, part = (jacobian * robust[:, None]).T @ jacobian, jacobian.T @ (robust * residual)
            for left in own:
                rows = slice(left * size, (left + 1) * size)
                gradient[rows] += part
                for right in own:
                    hessian[rows, right * size : (right + 1) * size] += block
        return gradient, hessian

    def _jacobian(self, which: int, logs: Array) -> Array:
        known = self.slopes(which, logs)
        if known is not None:
            return known
        base = self.predicted(which, logs)
        columns = []
        for column in range(len(logs)):
            moved = logs.copy()
            moved[column] += STEP
            columns.append((self.predicted(which, moved) - base) / STEP)
        return np.array(columns).T


def _solve(problem: _Problem) -> tuple[Array, Array]:
    """(shifts, Hessian) at the minimum."""
    shifts = np.zeros_like(problem.precision)
    residuals = problem.residuals(shifts)
    best, damping = problem.objective(shifts, residuals), 1e-3
    hessian = np.diag(problem.precision.ravel())
    for _ in range(ITERATIONS):
        gradient, hessian = problem.derivatives(shifts, residuals)
        while damping < 1e6:
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            candidate = shifts + np.clip(step, -1.0, 1.0).reshape(shifts.shape)
            new_residuals = problem.residuals(candidate)
            new = problem.objective(candidate, new_residuals)
            if new < best:
                break
            damping *= 6
        else:
            break
        gain, shifts, residuals, best = (best - new) / best, candidate, new_residuals, new
        damping = max(damping / 6, 1e-7)
        if gain < TOLERANCE:
            break
    return shifts, hessian
