"""Fit units: the scopes of kernels that are fitted together, and the measured models that are fitted with them.

Kernels of a serving engine are fitted scope by scope. Eager torch is different: whole models were measured beside its
ops, and they decide. Short isolated ops run at burst clocks and with everything in cache, so that what ops alone say
misleads whole models; their scopes are fitted jointly, models weighing more than ops.

May import: fit, scopes, model_times, measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.calibration.fit import Observed, fit, observed_rows, thin
from perfmodel.calibration.measurements import Array, Measurement, OpRows
from perfmodel.calibration.model_times import model_program, reason_to_skip
from perfmodel.calibration.scopes import parameters_of
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.fitted_scopes import FittedScope
from perfmodel.kernels import Device
from perfmodel.program import Program, time_program
from perfmodel.types import Hardware

LEAVE_OUT = ("hardware", "family", "model")
MODEL_ENGINE = "torch"  # whose ops and models are fitted together
MODEL_NOISE = 0.05  # σ of a whole model's log time
JOINT_ROWS, JOINT_FACTS = 60, 1.0  # ops of one kind on one device in a joint fit; what those of a device count for
LEAST_SECONDS = 1e-4  # in a joint fit; the host's gaps decide shorter ops


@dataclass(frozen=True)
class Unit:
    """Measurements that are fitted together.

    Args:
        groups: ops by scope. facts: whole models.
    """

    groups: Mapping[str, Sequence[OpRows]]
    facts: tuple[Measurement, ...] = ()

    @property
    def name(self) -> str:
        return " + ".join([*self.groups, *(["models"] if self.facts else [])])

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.hardware for row in self._rows))

    @property
    def rows(self) -> list[OpRows]:
        """All measured ops."""
        return [rows for groups in self.groups.values() for rows in groups]

    @property
    def _rows(self) -> list[OpRows | Measurement]:
        return [*self.rows, *self.facts]

    def values(self, leave_out: str, chips: Mapping[str, Hardware]) -> tuple[str, ...]:
        """What can be left out in turn."""
        found = dict.fromkeys(group_of(leave_out, row, chips) for row in self._rows)
        return tuple(value for value in found if value)

    def without(self, leave_out: str, value: str, chips: Mapping[str, Hardware]) -> Unit:
        """The same without one device, family or model."""

        def kept(row: OpRows | Measurement) -> bool:
            return group_of(leave_out, row, chips) != value

        groups = {scope: [rows for rows in own if kept(rows)] for scope, own in self.groups.items()}
        return Unit({scope: own for scope, own in groups.items() if own}, tuple(filter(kept, self.facts)))


def group_of(leave_out: str, row: OpRows | Measurement, chips: Mapping[str, Hardware]) -> str:
    """What is left out together with a row; "" where nothing ever leaves it out (ops belong to no model).

    Raises:
        InputError: there is no such way.
    """
    if leave_out not in LEAVE_OUT:
        raise InputError(f"measurements can be left out by {', '.join(LEAVE_OUT)}, not by {leave_out!r}")
    if leave_out == "model":
        return row.subject if isinstance(row, Measurement) else ""
    return row.hardware if leave_out == "hardware" else chips[row.hardware].family


def units_of(scopes: Mapping[str, Sequence[OpRows]], facts: Sequence[Measurement]) -> list[Unit]:
    """What is fitted together: the ops of eager torch with the models measured on it, everything else by scope."""
    eager = tuple(fact for fact in facts if is_fitted(fact))
    joint = {scope: own for scope, own in scopes.items() if eager and _is_of_models(scope, own)}
    alone = [Unit({scope: own}) for scope, own in scopes.items() if scope not in joint]
    return [*alone, Unit(joint, eager)] if joint else alone


def is_fitted(fact: Measurement) -> bool:
    """Whether a measured model takes part in a fit."""
    return fact.engine == MODEL_ENGINE and fact.runtime == "eager" and not reason_to_skip(fact)


def _is_of_models(scope: str, groups: Sequence[OpRows]) -> bool:
    eager = all(rows.engine == MODEL_ENGINE and rows.runtime == "eager" for rows in groups)
    return eager and bool(parameters_of(scope, with_models=True))


def fit_unit(unit: Unit, chips: Mapping[str, Hardware]) -> dict[str, FittedScope]:
    """Fit the scopes of a unit."""
    parameters = [
        parameter for scope in unit.groups for parameter in parameters_of(scope, with_models=bool(unit.facts))
    ]
    every = [rows for own in unit.groups.values() for rows in own]
    if not unit.facts:
        return fit([observed_rows(thin(rows)) for rows in every], chips, parameters)
    long = [rows.take(rows.seconds > LEAST_SECONDS) for rows in every]
    ops = [replace(observed_rows(thin(rows, JOINT_ROWS)), facts=JOINT_FACTS) for rows in long if len(rows)]
    return fit([*ops, *observed_models(unit.facts, chips)], chips, parameters)


def observed_models(facts: Sequence[Measurement], chips: Mapping[str, Hardware]) -> list[Observed]:
    """Whole models as a fit wants them, those of one device together; what cannot be predicted is left."""
    by_device: dict[tuple[str, str], list[tuple[Program, Mapping[str, int], float]]] = {}
    for fact in facts:
        try:
            program, sizes = model_program(fact, Device(chips[fact.hardware], fact.runtime, {}))
        except PerfmodelError:
            continue
        by_device.setdefault((fact.hardware, fact.runtime), []).append((program, sizes, fact.value_seconds))
    return [
        Observed(
            hardware=hardware,
            runtime=runtime,
            engine=MODEL_ENGINE,
            kernel="",
            seconds=np.array([seconds for *_, seconds in own]),
            predict=_predictor([(program, sizes) for program, sizes, _ in own]),
            noise=MODEL_NOISE,
        )
        for (hardware, runtime), own in by_device.items()
    ]


def _predictor(programs: Sequence[tuple[Program, Mapping[str, int]]]) -> Callable[[Device], Array]:
    def predict(device: Device) -> Array:
        timed = [time_program(replace(program, device=device), sizes) for program, sizes in programs]
        return np.array([times.seconds[0] for times in timed])

    return predict
