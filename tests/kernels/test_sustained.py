"""The power limit: it lowers a rate, never raises it, and only where power, node and clock are known."""

from typing import Any

import pytest
from builders import cpu, gpu, tpu
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.coefficients import Coefficient
from perfmodel.kernels.device import Device, Rate, contraction_rate
from perfmodel.kernels.sustained import power_cap, sustained_rate

MATRIX = Rate(1000e12, "matrix", "bf16", False)
VECTOR = Rate(60e12, "vector", "fp32", False)
rates = st.sampled_from([MATRIX, VECTOR])


def sustained(rate: Rate, efficiency: float = 0.8, modifier: float = 1.0, **figures: Any) -> float:
    coefficient = Coefficient("test", efficiency, 0.1, "prior", "")
    return sustained_rate(Device(gpu(**figures), "graphs", {}), rate, coefficient, modifier).flops_per_second


@given(rates, st.floats(0.05, 1), st.floats(0.1, 3), st.floats(1, 2000), st.floats(2, 40))
def test_a_cap_only_lowers(rate: Rate, efficiency: float, modifier: float, watts: float, node: float) -> None:
    free = rate.flops_per_second * min(efficiency * modifier, 1)
    capped = sustained(rate, efficiency, modifier, power_watts=watts, process_nm=node)
    assert 0 < capped <= free * (1 + 1e-12)
    assert capped <= power_cap(Device(gpu(power_watts=watts, process_nm=node), "graphs", {}), rate)[0] * (1 + 1e-12)


@given(rates, st.floats(10, 1000), st.floats(1, 3))
def test_more_power_is_never_slower(rate: Rate, watts: float, factor: float) -> None:
    assert sustained(rate, power_watts=watts) <= sustained(rate, power_watts=watts * factor) * (1 + 1e-12)


@pytest.mark.parametrize("unknown", [{"power_watts": 0.0}, {"process_nm": 0.0}])
@pytest.mark.parametrize("rate", [MATRIX, VECTOR])
def test_no_cap_where_a_figure_is_missing(rate: Rate, unknown: dict[str, float]) -> None:
    assert sustained(rate, 0.8, **unknown) == 0.8 * rate.flops_per_second


@pytest.mark.parametrize(
    "hardware",
    [cpu(), tpu(), gpu(vendor="AMD"), gpu(cores=0), gpu(clock_hertz=0.0)],
    ids=lambda own: own.id + own.vendor,
)
def test_the_matrix_rule_needs_an_nvidia_gpu_with_known_clock(hardware: Any) -> None:
    assert power_cap(Device(hardware, "graphs", {}), MATRIX) == (0.0, None)


def test_small_cards_are_capped_and_large_ones_are_not() -> None:
    """Tesla T4: 70 W for 40 SMs; H100: 700 W for 132."""
    t4 = {"power_watts": 70.0, "process_nm": 12.0, "cores": 40, "clock_hertz": 1.59e9}
    h100 = {"power_watts": 700.0, "process_nm": 4.0, "cores": 132, "clock_hertz": 1.98e9}
    fp16 = Rate(65e12, "matrix", "fp16", False)
    assert sustained(fp16, 0.82, **t4) < 0.7 * 0.82 * 65e12
    assert sustained(MATRIX, 0.82, **h100) > 0.97 * 0.82 * 1000e12
    assert sustained(Rate(8.1e12, "vector", "fp32", False), 0.89, **t4) < 0.8 * 0.89 * 8.1e12


@given(rates, st.floats(20, 1000))
def test_the_two_coefficients_share_the_sensitivity(rate: Rate, watts: float) -> None:
    """F = (peak^-n + cap^-n)^(-1/n): the exponents of peak and cap add up to one."""
    device = Device(gpu(power_watts=watts), "graphs", {})
    found = sustained_rate(device, rate, Coefficient("test", 0.8, 0.1, "prior", ""))
    assert 0 <= found.cap_share <= 1
    shares = [share for _, share in found.sensitivities(2.0)]  # type: ignore[arg-type]
    assert sum(shares) == pytest.approx(2.0)


def test_a_dtype_without_a_rate_of_its_own() -> None:
    hardware = gpu(native=("bf16", "fp32"), fallbacks={"fp8": "fp16", "fp16": "bf16", "fp64": "fp8"})
    assert contraction_rate(hardware, "fp64") == Rate(1000e12, "matrix", "bf16", True)
    assert contraction_rate(hardware, "fp32") == Rate(60e12, "vector", "fp32", False)


def test_fp32_is_limited_by_power_on_matrix_units_too() -> None:
    """A matrix unit spends less energy on a FLOP, and a newer node less than an older one."""
    amd = {"vendor": "AMD", "power_watts": 300.0, "process_nm": 7.0}
    matrix, vector = (
        power_cap(Device(gpu(**amd), "eager", {}), Rate(46e12, unit, "fp32", False))[0]  # type: ignore[arg-type]
        for unit in ("matrix", "vector")
    )
    assert vector < matrix < 2 * vector
    nodes = [power_cap(Device(gpu(process_nm=node), "eager", {}), VECTOR)[0] for node in (16.0, 12.0, 7.0, 5.0)]
    assert nodes == sorted(nodes)


def test_which_cards_are_capped_in_fp32() -> None:
    """(peak, watts, nm): T4 and L4 far below their peak, A100 PCIe at its limit, V100 below it."""
    cards = {"t4": (8.1e12, 70.0, 12.0), "l4": (30.3e12, 72.0, 4.0), "a100": (19.5e12, 250.0, 7.0),
             "v100": (14.1e12, 250.0, 12.0)}  # fmt: skip
    shares = {
        name: sustained(Rate(peak, "vector", "fp32", False), 0.94, power_watts=watts, process_nm=node) / (0.94 * peak)
        for name, (peak, watts, node) in cards.items()
    }
    assert shares["l4"] < 0.5
    assert shares["t4"] < 0.7
    assert 0.9 < shares["a100"] < 0.99
    assert shares["v100"] > 0.97
