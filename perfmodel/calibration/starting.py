"""What a calibration starts from, and what it is compared with: the coefficients that perfmodel ships.

On a CPU a fit starts from the priors. On a GPU every dtype has coefficients of its own (`networks.calibrated_scope`),
which start from those that were fitted to other GPUs in 16 bits, with the spread of the priors: whole models in large
batches say little of how far another chip, dtype or batch strays.

May import: scoring, model_times, run_rows and below; coefficient_files, program, uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.calibration.model_times import model_program
from perfmodel.calibration.run_rows import RunRow
from perfmodel.calibration.scoring import KEYS, Scored
from perfmodel.coefficient_files import load_scopes
from perfmodel.fitted_scopes import FittedScope, choose_scopes
from perfmodel.kernels import Device, fitted_device
from perfmodel.kernels.networks import calibrated_scope, fitted_priors, network_scope, shared_scope
from perfmodel.program import time_program
from perfmodel.threads import split_threads
from perfmodel.types import Hardware
from perfmodel.uncertainty import phase_half_width


def own_scope(chip: Hardware, runtime: str, dtype: str) -> str:
    """The scope that runs of a dtype on a chip are fitted for."""
    if chip.kind == "gpu":
        return calibrated_scope(runtime, dtype)
    return network_scope(chip, runtime, (dtype,), has_cache=False)


def shipped_fits(chip: Hardware) -> dict[str, FittedScope]:
    """What perfmodel ships for the chip by scope, apart from what was fitted on the chip itself."""
    whole = split_threads(chip.id)[0]

    def is_of_chip(fit: FittedScope) -> bool:
        return any(effect[0] == "device" and split_threads(effect[1])[0] == whole for effect in fit.effects)

    others = {scope: [fit for fit in fits if not is_of_chip(fit)] for scope, fits in load_scopes().items()}
    return choose_scopes(others, chip)


def starting_device(chip: Hardware, runtime: str, dtype: str) -> Device:
    """The chip with the coefficients that a fit to runs of a dtype starts from, under the names of its scope."""
    if chip.kind != "gpu":
        return Device(chip, runtime, {})
    scope = own_scope(chip, runtime, dtype)
    shared = fitted_device(chip, runtime, shipped_fits(chip)).in_scope(shared_scope(runtime))
    coefficients = {}
    for prior in fitted_priors(scope):
        name = f"{scope}:{prior.name}"
        spread = prior.resolve(chip, runtime).log_sd
        coefficients[name] = replace(shared[prior], name=name, log_sd=spread)
    return Device(chip, runtime, coefficients)


def shipped_scores(rows: Sequence[RunRow], chip: Hardware, share: float) -> list[Scored]:
    """Measured models as perfmodel predicts them before the chip is calibrated; a set of one row each."""
    fits = shipped_fits(chip)
    found = []
    for own in rows:
        fact = own.row.fact
        program, sizes = model_program(fact, fitted_device(chip, fact.runtime, fits))
        times = time_program(program, sizes)
        found.append(
            Scored(
                labels=dict.fromkeys(KEYS, "") | {"hardware": chip.id, "model": fact.subject, "phase": fact.phase},
                measured=np.array([fact.value_seconds]),
                predicted=times.seconds[:1],
                half_width=phase_half_width(program, times, share)[:1],
                bound=times.bound_seconds[:1],
                regime=np.zeros(1, dtype=int),
                rows=np.array([fact.row]),
            )
        )
    return found
