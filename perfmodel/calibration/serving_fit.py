"""The fit of engines' coefficients to server runs: maximum a posteriori, with strong priors.

    min Σ ρ((log TPOT' − log TPOT)/σ_t) + Σ ρ((log TTFT' − log TTFT)/σ_f) + w·Σ z²,   log value = log prior + sd·z

ρ is the pseudo-Huber loss with kink 0.6. The weight w of the priors is high, since the rows of one sweep are nearly one
observation: of 8, 32 and 64, the last predicts an unseen model's TPOT best (MAPE 19.5, 18.5, 18.3 %).

May import: serving_features and below; scipy inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.calibration.serving_features import Runs, run_latencies, take_runs
from perfmodel.serving.engine_coefficients import EngineCoefficients, Parameter, parameters_for
from perfmodel.serving.step_table import Array

TPOT_SIGMA, TTFT_SIGMA = 0.10, 0.25
KINK = 0.6
PRIOR_WEIGHT = 64.0
EVALUATIONS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns:
    """What is fitted: a name for each place of the vector z; by engine "<name>@<engine>".

    Args:
        priors, log_sd: of each place. shared: name -> place. own: name -> places by engine.
    """

    names: tuple[str, ...]
    priors: Array
    log_sd: Array
    shared: Mapping[str, int]
    own: Mapping[str, tuple[int, ...]]

    def values(self, z: Array) -> Array:
        """The coefficients in their units."""
        return np.asarray(np.exp(np.log(self.priors) + self.log_sd * z))

    def coefficients(self, z: Array, engine: Any) -> EngineCoefficients:
        """For rows of the engines with those indices."""
        values = self.values(z)
        found: dict[str, Any] = {name: values[place] for name, place in self.shared.items()}
        found |= {name: values[list(places)][engine] for name, places in self.own.items()}
        return EngineCoefficients(values=found)


def unknowns_of(classes: Sequence[str], engines: Sequence[str]) -> Unknowns:
    """All coefficients that runs with these kernels and engines depend on."""
    names: list[str] = []
    kept: list[Parameter] = []
    shared: dict[str, int] = {}
    own: dict[str, tuple[int, ...]] = {}
    for parameter in parameters_for(classes):
        if parameter.by_engine:
            own[parameter.name] = tuple(range(len(names), len(names) + len(engines)))
            names += [f"{parameter.name}@{engine}" for engine in engines]
            kept += [parameter] * len(engines)
        else:
            shared[parameter.name] = len(names)
            names.append(parameter.name)
            kept.append(parameter)
    return Unknowns(
        names=tuple(names),
        priors=np.array([parameter.value for parameter in kept]),
        log_sd=np.array([parameter.log_sd for parameter in kept]),
        shared=shared,
        own=own,
    )


def fit_runs(runs: Runs, unknowns: Unknowns, tpot: Array, ttft: Array, *, prior_weight: float = PRIOR_WEIGHT) -> Array:
    """The z that explains the runs best.

    Args:
        tpot, ttft: measured seconds, NaN where there are none. prior_weight: w of the formula above.
    """
    from scipy.optimize import least_squares

    def residuals(z: Array) -> Array:
        own = run_latencies(runs, unknowns.coefficients(z, runs.engine))
        pairs = zip(own, (tpot, ttft), (TPOT_SIGMA, TTFT_SIGMA), strict=True)
        off = [np.log(predicted / measured) / sigma for predicted, measured, sigma in pairs]
        found = np.concatenate(off)
        return np.concatenate([pseudo_huber(found[np.isfinite(found)]), np.sqrt(prior_weight) * z])

    first = np.zeros(len(unknowns.names))
    return np.asarray(least_squares(residuals, first, method="lm", max_nfev=EVALUATIONS * (len(first) + 1)).x)


def pseudo_huber(off: Array) -> Array:
    """Residuals whose squares are the pseudo-Huber loss: as they are when small, their root when large."""
    # sqrt(1 + u²) - 1 as u² / (1 + sqrt(1 + u²)): the difference loses every digit of a small residual
    return np.asarray(off * np.sqrt(2 / (1 + np.sqrt(1 + (off / KINK) ** 2))))


def predict_rows(runs: Runs, unknowns: Unknowns, z: Array, rows: Any) -> tuple[Array, Array]:
    """(TPOT, TTFT) of some rows."""
    chosen = take_runs(runs, rows)
    return run_latencies(chosen, unknowns.coefficients(z, chosen.engine))
