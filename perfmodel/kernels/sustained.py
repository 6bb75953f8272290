"""The rate a chip sustains under its power limit, which on small cards is far below the datasheet peak.

Two rules, by unit:

- fp32 (on vector units, and on matrix units of AMD GPUs): P_cap = TDP / (E·node), with an energy per FLOP E of
  about 20 pJ at 16 nm, scaled by node, and less on matrix units.
- Other dtypes on matrix units of NVIDIA GPUs: the clock falls by s = min(1, TDP / (SM·clock·w)), w watts per SM and
  GHz.

Both enter as a smooth minimum, F = ((peak·efficiency)^-n + cap^-n)^(-1/n), n = 10. The constants were found on NeuSight
fp32 models (P4 to A100, MI100) and timm throughput tables (RTX 3090, RTX PRO 6000 Max-Q); on nodes above 5 nm the
matrix rule is an extrapolation with a wide spread.

May import: coefficients, types.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.coefficients import Coefficient, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.roofline import Array

ENERGY_PER_FLOP_JOULES = prior(
    "power.energy_per_flop_joules", 20e-12, 0.15,
    meaning="energy of one fp32 FLOP on vector units at 16 nm", source="NeuSight fp32 whole models",
)  # fmt: skip
MATRIX_ENERGY_FACTOR = prior(
    "power.matrix_energy_factor", 0.79, 0.2,
    meaning="energy of one fp32 FLOP on matrix units over that on vector units",
    source="NeuSight, MI100 and MI250",
)  # fmt: skip
WATTS_PER_CORE_GIGAHERTZ = prior(
    "power.watts_per_core_gigahertz", 1.4, 0.2,
    meaning="board power per SM and GHz under full matrix load, 4-5 nm", source="timm throughput tables",
)  # fmt: skip
SHARPNESS = 10
# energy per operation relative to 16 nm, from this process node (nm) upwards; 7 nm by the datasheets' fp32 rate per
# watt of V100, A100 and H100 PCIe (the foundry's own figure, 0.4, would leave an A100 PCIe far from its limit)
NODE_ENERGY = ((14.0, 1.0), (10.0, 0.8), (5.5, 0.6), (0.0, 0.28))
# watts per core and GHz relative to 4-5 nm: V100 is just uncapped, T4 and Max-Q cards are capped
NODE_POWER = ((14.0, 1.75), (10.0, 1.6), (6.5, 1.15), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Sustained:
    """A sustained rate, and how much of it the power limit decides (0: not at all, 1: alone).

    Args:
        efficiency: the coefficient for the share of the peak. cap: the coefficient of the power rule, if one applies.
    """

    flops_per_second: float
    efficiency: Coefficient
    cap: Coefficient | None = None
    cap_share: float = 0.0

    def sensitivities(self, compute_seconds: Array) -> tuple[tuple[Coefficient, Array], ...]:
        """∂t/∂log of the two coefficients, for the given compute time."""
        own = (self.efficiency, compute_seconds * (1 - self.cap_share))
        return (own, (self.cap, compute_seconds * self.cap_share)) if self.cap else (own,)


def sustained_rate(device: Device, rate: Rate, efficiency: Coefficient, modifier: float = 1.0) -> Sustained:
    """FLOP/s under the power limit; peak·efficiency where no limit is known to apply.

    Args:
        modifier: a factor on the efficiency, e.g. for narrow dtypes.
    """
    peak = rate.flops_per_second * min(efficiency.value * modifier, 1.0)
    cap, coefficient = power_cap(device, rate)
    if not cap:
        return Sustained(peak, efficiency)
    ratio = (peak / cap) ** SHARPNESS  # F = peak·(1 + ratio)^(-1/n)
    return Sustained(peak * (1 + ratio) ** (-1 / SHARPNESS), efficiency, coefficient, ratio / (1 + ratio))


def power_cap(device: Device, rate: Rate) -> tuple[float, Coefficient | None]:
    """The FLOP/s that the power limit allows; 0 if it is no GPU, or its power, node, cores or clock are unknown."""
    hardware = device.hardware
    if hardware.kind != "gpu" or not (hardware.power_watts and hardware.process_nm):
        return 0.0, None
    if rate.unit == "vector" or rate.dtype == "fp32":
        energy = device[ENERGY_PER_FLOP_JOULES]
        joules = energy.value * _from_node(NODE_ENERGY, hardware.process_nm)
        joules *= device[MATRIX_ENERGY_FACTOR].value if rate.unit == "matrix" else 1.0
        return hardware.power_watts / joules, energy
    clock = hardware.tensor_clock_hertz or hardware.clock_hertz
    if hardware.vendor != "NVIDIA" or not (hardware.cores and clock):
        return 0.0, None
    watts = device[WATTS_PER_CORE_GIGAHERTZ]
    full_power_watts = hardware.cores * clock / 1e9 * watts.value * _from_node(NODE_POWER, hardware.process_nm)
    return rate.flops_per_second * hardware.power_watts / full_power_watts, watts


def clock_share(device: Device) -> float:
    """The share of its clock that a GPU holds while a whole model keeps its matrix units busy; 1 where no limit is
    known. Unlike `sustained_rate` it concerns everything that runs at the core's clock, caches included."""
    hardware = device.hardware
    clock = hardware.tensor_clock_hertz or hardware.clock_hertz
    if hardware.kind != "gpu" or hardware.vendor != "NVIDIA" or not (hardware.cores and clock):
        return 1.0
    if not (hardware.power_watts and hardware.process_nm):
        return 1.0
    watts = device[WATTS_PER_CORE_GIGAHERTZ].value * _from_node(NODE_POWER, hardware.process_nm)
    wanted = hardware.cores * clock / 1e9 * watts / hardware.power_watts
    return float((1 + wanted**SHARPNESS) ** (-1 / SHARPNESS))


def _from_node(table: tuple[tuple[float, float], ...], process_nm: float) -> float:
    return next(value for lower, value in table if process_nm >= lower)
