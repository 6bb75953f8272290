"""What a calibration starts from, and what it is compared with: the coefficients that perfmodel ships.

On a CPU a fit starts from the priors. On a GPU every dtype has coefficients of its own (`networks.calibrated_scope`),
which start from those that were fitted to other GPUs in 16 bits, with the spread of the priors: whole models in large
batches say little of how far another chip, dtype or batch strays.

Compiled code on a GPU starts likewise, and not from eager code on it: of one GPU with timm tables of both, 330 compiled
models are missed by 37 % (median) from there, by 15 % from the priors, and by 18 and 11 % after a fit to four of them.

May import: scoring, model_times, run_rows and below; coefficient_files, program, uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.calibration.model_times import model_program
from perfmodel.calibration.run_rows import RunRow
from perfmodel.calibration.scoring import KEYS, Scored
from perfmodel.coefficient_files import closest_scopes, load_scopes
from perfmodel.coefficients import Coefficient
from perfmodel.fitted_scopes import FittedScope
from perfmodel.kernels import Device, fitted_device
from perfmodel.kernels.cpu_network import INNER_CACHE, LAST_CACHE, MEMORY, SLOWDOWN
from perfmodel.kernels.framework_classes import COMPUTING
from perfmodel.kernels.networks import calibrated_scope, fitted_priors, network_scope, shared_scope
from perfmodel.program import time_program
from perfmodel.threads import split_threads
from perfmodel.types import Hardware
from perfmodel.uncertainty import phase_half_width

COMPILED = "compiled"
# of a CPU, what eager and compiled code have in common: the library's kernels and the way to memory
_OF_THE_MACHINE = (*(SLOWDOWN[name] for name in COMPUTING), MEMORY, LAST_CACHE, INNER_CACHE)
_TRANSFERRED = 0.5  # spread between the two over the prior's: a guess


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
    return closest_scopes(others, chip)


def starting_device(chip: Hardware, runtime: str, dtype: str) -> Device:
    """The chip with the coefficients that a fit to runs of a dtype starts from, under the names of its scope."""
    if chip.kind != "gpu":
        return Device(chip, runtime, {})
    scope = own_scope(chip, runtime, dtype)
    shared = fitted_device(chip, runtime, shipped_fits(chip)).in_scope(shared_scope(runtime))
    coefficients = {}
    for prior in fitted_priors(scope):
        name, own = f"{scope}:{prior.name}", prior.resolve(chip, runtime)
        coefficients[name] = replace(
            shared[prior], name=name, value=_steep(shared[prior].value, own), log_sd=own.log_sd
        )
    return Device(chip, runtime, coefficients)


def compiled_start(eager: FittedScope, chip: Hardware, dtype: str) -> Device:
    """The chip with the coefficients that compiled code starts from, where eager code was fitted on it."""
    if chip.kind == "gpu":
        return starting_device(chip, COMPILED, dtype)
    scope = own_scope(chip, COMPILED, dtype)
    shipped = fitted_device(chip, COMPILED, shipped_fits(chip)).in_scope(scope)
    coefficients = {}
    for prior, moved, log_sd in zip(fitted_priors(scope), eager.pooled, eager.log_sd, strict=True):
        own, value = prior.resolve(chip, COMPILED), shipped[prior].value
        spread = own.log_sd
        if prior in _OF_THE_MACHINE:
            value, spread = (
                own.value * float(np.exp(moved)),
                min(spread, float(np.hypot(log_sd, spread * _TRANSFERRED))),
            )
        coefficients[f"{scope}:{prior.name}"] = replace(own, value=value, log_sd=spread)
    return Device(chip, COMPILED, coefficients)


def _steep(value: float, prior: Coefficient) -> float:
    """The value to start from: of an excess at least half the prior's, for below that a time has no slope along its
    logarithm by which a fit could find back."""
    return max(value, prior.value / 2) if prior.name.endswith(".excess") else value


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
