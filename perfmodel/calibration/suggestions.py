"""Which runs would narrow the interval of a question most: expected variance of a linear Gaussian model.

    e_q = g·x + own,    x ~ N(0, S)                    x: errors of the coefficients' logarithms, then misfits by phase
    a run's error = A·x + noise,   noise ~ N(0, R)     A: (observations, unknowns), R diagonal
    S' = S − S·Aᵀ·(A·S·Aᵀ + R)⁻¹·A·S,   Var(e_q) = g·S'·g + own

The variance that a run leaves does not depend on what it finds, so runs can be ranked before any is made. They are
chosen greedily: the gain of a set is nearly submodular, for which that is close to the best set (Krause et al. 2008).

What the interval holds beyond the coefficients is the misfit of the form to this very model: no run of another program
tells it. Of it the share (f_model + f_both)/(f_model + f_both + f_own) of `anchoring` is common to all runs of the
model's phase, whatever their sizes, and the rest is of each run alone.

May import: anchoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from perfmodel.anchoring import BOTH, MODEL, OWN, REPEATS_SD

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
OWN_SHARE = OWN / (MODEL + BOTH + OWN)  # of a misfit
# Of a network that was not measured, with coefficients that were: image models of families left out are missed by
# 10.6 % (median; kernels/cpu_network.py)
MISFIT_SD = 0.15
ALIKE = 0.01  # runs whose gains differ by less are alike, and the cheapest is taken
_NOTHING = 1e-6  # of the variance: a gain that is none


@dataclass(frozen=True, slots=True)
class Run:
    """A run that could be made.

    Args:
        slopes: of the logarithms of what it measures, (observations, unknowns). noise_sd: (observations,), in log.
        seconds: that it takes.
    """

    slopes: Array
    noise_sd: Array
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be known.

    Args:
        slopes: of its logarithm, (unknowns,). own_variance: that no run takes away.
    """

    slopes: Array
    own_variance: float = 0.0

    def variance(self, covariance: Array) -> float:
        """Of its logarithm, if the unknowns have that covariance."""
        return float(self.slopes @ covariance @ self.slopes) + self.own_variance


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about the phases of a model, and what is known before any run.

    Args:
        covariance: of the unknowns: coefficients, then the misfit of each phase. own_variances: of the rest of it.
        misfit_variance: of a whole model like this one, all of it.
    """

    question: Question
    covariance: Array
    own_variances: Array
    misfit_variance: float

    @property
    def floor_variance(self) -> float:
        """Of the question once all coefficients are known: the misfit of its phases."""
        phases = len(self.own_variances)
        weights = self.question.slopes[-phases:]
        return float(weights @ self.covariance[-phases:, -phases:] @ weights) + self.question.own_variance


@dataclass(frozen=True, slots=True)
class Step:
    """A run that was chosen.

    Args:
        place: among the runs. alone, together: variance of the question after this run alone, and after it and all
            chosen before it.
    """

    place: int
    alone: float
    together: float


def ask(weights: Array, slopes: Array, sds: Array, coefficient_sds: Array, *, calibrated: bool) -> Asked:
    """What is known of the time of a model before any run.

    An interval that measurements calibrated exceeds what is left of the coefficients by the misfit. One from priors
    alone takes them to be wrong for all ops alike, which runs of any program with those ops tell: all of it beyond
    `MISFIT_SD` is the coefficients', whose spreads are stretched to it.

    Args:
        weights: shares of the time by phase, (phases,). slopes: of the log time of each phase, (phases, coefficients).
        sds: standard deviations in log that the phases' intervals have. coefficient_sds: of the log coefficients.
        calibrated: whether the intervals are from measurements.
    """
    covariance = np.diag(coefficient_sds**2)
    told = np.einsum("pc,cd,pd->p", slopes, covariance, slopes)
    misfit = np.maximum(sds**2 - told, 0.0) if calibrated else np.full(len(sds), MISFIT_SD**2)
    misfit = np.minimum(np.maximum(misfit, REPEATS_SD**2), sds**2)
    together = weights @ slopes
    if calibrated:
        # spreads are stored without the correlations that would keep them within the interval
        scale = min(1.0, float(np.min((sds**2 - misfit) / np.maximum(told, 1e-30))))
    else:
        left = float(weights @ sds) ** 2 - float(weights**2 @ misfit)
        scale = max(left, 0.0) / max(float(together @ covariance @ together), 1e-30)
    own = OWN_SHARE * misfit
    count, phases = len(coefficient_sds), len(sds)
    joint = np.zeros((count + phases, count + phases))
    joint[:count, :count] = scale * covariance
    joint[count:, count:] = np.diag(misfit - own)
    question = Question(np.concatenate([together, weights]), float(weights**2 @ own))
    return Asked(question, joint, own, float(np.mean(misfit)))


def updated(covariance: Array, run: Run) -> Array:
    """Covariance of the unknowns after a run.

    Two coefficients of standard deviation 0.5, and a run that depends on the first alone and repeats to 0.5:

    >>> run = Run(np.array([[1.0, 0.0]]), np.array([0.5]), 1.0)
    >>> updated(np.diag([0.25, 0.25]), run).tolist()
    [[0.125, 0.0], [0.0, 0.25]]
    """
    shared = covariance @ run.slopes.T
    within = run.slopes @ shared + np.diag(run.noise_sd**2)
    left = covariance - shared @ np.linalg.solve(within, shared.T)
    return np.asarray((left + left.T) / 2)


def variance_after(covariance: Array, question: Question, run: Run) -> float:
    """Variance of a question after a run.

    >>> run = Run(np.array([[1.0, 0.0]]), np.array([0.5]), 1.0)
    >>> variance_after(np.diag([0.25, 0.25]), Question(np.array([1.0, 1.0])), run)
    0.375
    """
    shared = run.slopes @ covariance
    within = shared @ run.slopes.T + np.diag(run.noise_sd**2)
    with_question = shared @ question.slopes
    gain = float(with_question @ np.linalg.solve(within, with_question))
    return max(question.variance(covariance) - gain, question.own_variance)


def choose(covariance: Array, question: Question, runs: Sequence[Run], count: int) -> list[Step]:
    """The runs to make, the most telling first; fewer than `count` where no other tells anything."""
    waiting = set(range(len(runs)))
    alone: dict[int, float] = {}
    steps: list[Step] = []
    while waiting and len(steps) < count:
        now = question.variance(covariance)
        after = {place: variance_after(covariance, question, runs[place]) for place in sorted(waiting)}
        alone = alone or after
        gain = now - min(after.values())
        if gain <= _NOTHING * now:
            break
        alike = [place for place, left in after.items() if now - left >= (1 - ALIKE) * gain]
        chosen = min(alike, key=lambda place: (runs[place].seconds, after[place]))
        covariance = updated(covariance, runs[chosen])
        steps.append(Step(chosen, alone[chosen], question.variance(covariance)))
        waiting.remove(chosen)
    return steps
