"""Energy of a static batch: of the work of its phases, and of what its devices draw meanwhile.

May import: program, power and below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.kernels.roofline import Array
from perfmodel.layouts import Layout
from perfmodel.power import dynamic_joules, half_width, idle_watts, power_level, power_watts
from perfmodel.program import PhaseTimes, Program
from perfmodel.types import Hardware, PhasePrediction


def phase_joules(program: Program, times: PhaseTimes) -> Array:
    """Energy of the work of a phase on one device, at the first configuration, above what it draws anyway; of joined
    phases (phases,)."""
    joules = np.empty(times.bounds.shape)
    for rows, cost in zip(program.rows, times.costs, strict=True):
        joules[rows] = dynamic_joules(cost, program.device.hardware)
    return np.asarray(program.repeats @ joules[:, 0])


def energy_fields(
    hardware: Hardware,
    layout: Layout,
    in_flight: float,
    phases: Mapping[str, PhasePrediction],
    joules: Mapping[str, float],
    repeats: Mapping[str, int],
    level: float,
) -> dict[str, Any]:
    """The fields of a `Prediction` about energy, of a batch on all devices; none where the TDP is unknown.

    E = devices / batches in flight · Σ t·P(work / t) over the phases; its interval is that of the power and of the
    time in quadrature, between idle and TDP throughout.

    Args:
        joules: of the work of each phase on a device that runs all pipeline stages. repeats: of phases, if not 1.
    """
    if not hardware.power_watts:
        return {}
    devices, filled = layout.devices / in_flight, in_flight / layout.pipeline
    energy = seconds = low = high = 0.0
    for name, phase in phases.items():
        count, time = repeats.get(name, 1), phase.time
        energy += count * time.seconds * float(power_watts(hardware, joules[name] / time.seconds * filled))
        seconds, low, high = seconds + count * time.seconds, low + count * time.low, high + count * time.high
    spread = math.exp(math.hypot(half_width(hardware, level), math.log(high / seconds)))
    return {
        "energy_joules": devices * energy,
        "energy_low_joules": devices * max(energy / spread, min(idle_watts(hardware) * low, energy)),
        "energy_high_joules": devices * min(energy * spread, hardware.power_watts * high),
        "power_level": power_level(hardware),
    }
