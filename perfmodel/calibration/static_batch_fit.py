"""The fit of an engine's coefficients to static batches: maximum a posteriori, engine by engine.

    min Σ ρ((log figure' − log figure)/σ) + w·Σ z²,   log value = log prior + sd·z

Rows of one sweep are nearly one observation, so that the weight w of the priors is above 1. Coefficients that no row of
an engine depends on stay at their priors and are not written down. Engines share nothing: what they do with the same
kernels differs more than it resembles.

May import: static_batch_rows, serving_fit and below; scipy inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.calibration.serving_fit import pseudo_huber
from perfmodel.calibration.static_batch_rows import StaticSet, predict_static, take_static
from perfmodel.serving.engine_coefficients import EngineCoefficients, Parameter
from perfmodel.serving.step_table import Array

SIGMA, PRIOR_WEIGHT = 0.10, 2.0
# before any static batch was seen: no graphs or small ones, hardly a scheduler
PRIORS = (
    Parameter("launch_share", 0.8, 0.4, ""),
    Parameter("experts_launch_share", 0.8, 0.4, ""),
    Parameter("collective_latency", 1.0, 0.6, ""),
    Parameter("layer_seconds", 1e-5, 1.0, ""),
    Parameter("step_seconds", 3e-4, 1.0, ""),
    Parameter("sequence_seconds", 3e-6, 1.0, ""),
    Parameter("stage_seconds", 5e-5, 1.0, ""),
)
# what is known of an engine: coefficient -> prior, log_sd
KNOWN: Mapping[str, Mapping[str, tuple[float, float]]] = {
    # Python starts every kernel, and prepares every sequence, while the device runs
    "vllm-2023": {"host_overlap": (2.2, 0.2), "layer_seconds": (4e-4, 0.5), "sequence_seconds": (2e-4, 0.8)},
    "megatron": {"host_overlap": (2.2, 0.2), "layer_seconds": (4e-4, 0.5), "sequence_seconds": (2e-4, 0.8)},
    # all-reduces of tens of microseconds
    "fastertransformer": {"layer_seconds": (3e-5, 0.6), "collective_latency": (4.0, 0.8)},
    # attention of one query head at a time
    "trtllm-2023": {"key_rereads": (0.1, 1.0)},
    # about twenty small kernels a layer, one after the other, and a thread block for each row of a matrix
    "llama-cpp": {"layer_seconds": (8e-5, 0.4), "vector_hbm": (0.68, 0.2), "stage_slowdown": (1.25, 0.3)},
    # unpacking a weight takes tens of floating-point operations there: no integer dot products
    "llama-cpp/apple": {"layer_seconds": (8e-5, 0.4), "unpack_operations": (20.0, 0.5)},
    # rows of each matrix are computed by several devices and gathered through the host
    "llama-cpp-2023": {"layer_seconds": (8e-5, 0.4), "collective_latency": (10.0, 1.0)},
}
# multipliers of kernel classes by the beginning of the class: resource -> log_sd
CLASSES: Mapping[str, Mapping[str, float]] = {
    "gemm": {"compute": 0.3, "memory": 0.2},
    "experts": {"compute": 0.3, "memory": 0.2},
    "attention": {"work": 0.8},  # scores that go through memory or not
    "streaming": {"work": 0.5},
    "collective": {"network": 0.4},
}
PACKED_SD = 0.4  # of both, for weights that are unpacked on the way
SPLITS = {"hardware": "hardware", "family": "family", "model": "model", "deployment": ""}  # "": each deployment
MATTERS = 1e-4  # change of a figure, in log, by a shift of one sd, below which a coefficient says nothing here


def parameters_of(classes: Sequence[str], fit: str) -> tuple[Parameter, ...]:
    """All that may be fitted for an engine with these kernels."""
    found = [
        Parameter(f"{resource}.{name}", 1.0, PACKED_SD if ".w" in name else log_sd, "")
        for name in classes
        for resource, log_sd in next((own for start, own in CLASSES.items() if name.startswith(start)), {}).items()
    ]
    return (*found, *priors_of(fit))


def priors_of(fit: str) -> tuple[Parameter, ...]:
    """What holds for an engine, by the name of its fit, before its own rows are seen."""
    known = {name: Parameter(name, value, log_sd, "") for name, (value, log_sd) in KNOWN.get(fit, {}).items()}
    return tuple(({one.name: one for one in PRIORS} | known).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFit:
    """Coefficients of one engine; names and values of those that its rows say something of."""

    engine: str
    names: tuple[str, ...]
    values: Array

    @property
    def coefficients(self) -> EngineCoefficients:
        """With the priors of static batches for what no row depends on."""
        fitted = dict(zip(self.names, map(float, self.values), strict=True))
        return EngineCoefficients(values=prior_values(self.engine) | fitted, level="engine")


def prior_values(engine: str = "") -> dict[str, float]:
    """Coefficients of an engine of static batches before its rows are seen."""
    return {parameter.name: parameter.value for parameter in priors_of(engine)}


def fit_static(data: StaticSet) -> StaticFit:
    """The coefficients that explain the rows of one engine best."""
    from scipy.optimize import least_squares

    engine = str(data.labels["fit"][0])
    base = prior_values(engine)
    parameters = _that_matter(data, base, parameters_of(data.parts.classes, engine))
    priors = np.log([parameter.value for parameter in parameters])
    log_sd = np.array([parameter.log_sd for parameter in parameters])
    names = tuple(parameter.name for parameter in parameters)

    def residuals(z: Array) -> Array:
        values = dict(zip(names, np.exp(priors + log_sd * z), strict=True))
        off = np.log(predict_static(data, EngineCoefficients(values=base | values)) / data.measured)
        return np.concatenate([pseudo_huber(off / SIGMA), np.sqrt(PRIOR_WEIGHT) * z])

    found = [least_squares(residuals, start, max_nfev=60) for start in _starts(names)]
    z = min(found, key=lambda own: own.cost).x
    return StaticFit(engine=engine, names=names, values=np.exp(priors + log_sd * z))


def _starts(names: Sequence[str]) -> list[Array]:
    """At the priors, and where the host decides: a short host time hides behind kernels, and nothing pulls it up."""
    slow = {"layer_seconds": 3.0, "sequence_seconds": 2.0, "step_seconds": 1.0}
    return [np.array([own.get(name, 0.0) for name in names]) for own in ({}, slow)]


def _that_matter(data: StaticSet, base: Mapping[str, float], parameters: Sequence[Parameter]) -> list[Parameter]:
    at_priors = np.log(predict_static(data, EngineCoefficients(values=base)))
    found = []
    for parameter in parameters:
        moved = {**base, parameter.name: parameter.value * np.exp(parameter.log_sd)}
        change = np.log(predict_static(data, EngineCoefficients(values=moved))) - at_priors
        if np.abs(change).max() > MATTERS:
            found.append(parameter)
    return found


def left_out(
    data: StaticSet, split: str, progress: Callable[[str], None] | None = None
) -> tuple[Array, np.ndarray[Any, Any]]:
    """Figures of all rows, each from a fit of its engine without the rows of its device, family, model, ...

    Args:
        split: one of `SPLITS`.

    Returns:
        Predictions, NaN where an engine has nothing else to be fitted on; and what was left out with each row.
    """
    label = SPLITS[split]
    keys = data.group.astype(str) if label == "" else data.labels[label]
    predicted = np.full(len(data), np.nan)
    for fit in dict.fromkeys(data.labels["fit"]):
        mine = data.labels["fit"] == fit
        names = dict.fromkeys(keys[mine])
        for name in names if len(names) > 1 else ():
            if progress:
                progress(f"{fit} without {name}")
            test = mine & (keys == name)
            c = fit_static(take_static(data, np.flatnonzero(mine & ~test))).coefficients
            predicted[test] = predict_static(take_static(data, np.flatnonzero(test)), c)
    return predicted, np.char.add(np.char.add(data.labels["fit"].astype(str), "|"), keys.astype(str))
