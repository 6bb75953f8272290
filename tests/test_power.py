from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.catalog import list_hardware, load_hardware
from perfmodel.power import (
    dynamic_joules,
    half_width,
    idle_watts,
    memory_bit_joules,
    power_level,
    power_of,
    power_watts,
)
from perfmodel.types import OpCost

H100 = load_hardware("h100-sxm")
CHIPS = [chip for chip in list_hardware() if chip.power_watts]
chips = st.sampled_from(CHIPS)
watts = st.floats(0, 1e5)
shares = st.floats(0, 1)


@given(chips, watts, shares)
def test_power_lies_between_idle_and_tdp(chip, dynamic, awake):
    power = power_of(chip, dynamic, awake=awake)
    assert idle_watts(chip) * (1 - 1e-12) <= power.low <= power.watts <= power.high
    assert power.high <= chip.power_watts * (1 + 1e-12)


@given(chips, watts, st.floats(0, 1e4), shares)
def test_more_work_never_draws_less(chip, dynamic, more, awake):
    less, full = power_watts(chip, dynamic, awake), power_watts(chip, dynamic + more, awake)
    assert full >= less * (1 - 1e-12)


@given(chips, watts, shares, shares)
def test_being_awake_longer_never_draws_less(chip, dynamic, first, second):
    low, high = sorted((first, second))
    assert power_watts(chip, dynamic, high) >= power_watts(chip, dynamic, low) * (1 - 1e-12)


@given(st.floats(0, 1e15), st.floats(0, 1e13), st.floats(0, 1e12))
def test_energy_of_work_adds_up(flops, moved, sent):
    parts = (
        OpCost(flops={("matrix", "bf16"): flops}),
        OpCost(weight_bytes=moved),
        OpCost(link_bytes=sent),
    )
    whole = parts[0] + parts[1] + parts[2]
    assert dynamic_joules(whole, H100) == pytest.approx(sum(dynamic_joules(part, H100) for part in parts))


def test_fewer_bits_older_nodes_and_vector_units():
    def joules(dtype, chip=H100, unit="matrix"):
        return dynamic_joules(OpCost(flops={(unit, dtype): 1e12}), chip)

    assert joules("fp4") < joules("fp8") < joules("bf16") < joules("tf32") < joules("fp32")
    assert (
        joules("bf16", load_hardware("v100-sxm-16gb")) > joules("bf16", load_hardware("a100-sxm-80gb")) > joules("bf16")
    )
    assert joules("fp32", unit="vector") > joules("fp32")


def test_arrays_give_what_numbers_give():
    cost = OpCost(flops={("matrix", "fp8"): np.array([[1e12, 2e12]])}, read_bytes=np.array([[1e9, 3e9]]))
    single = OpCost(flops={("matrix", "fp8"): 2e12}, read_bytes=3e9)
    assert dynamic_joules(cost, H100)[0, 1] == pytest.approx(dynamic_joules(single, H100))


@pytest.mark.parametrize(
    ("name", "expected"), [("HBM2e", 6.0), ("HBM3e", 4.5), ("GDDR6", 7.5), ("DDR4-3200 x8", 17.0), ("", 10.0)]
)
def test_memory_energy_goes_by_the_type(name, expected):
    assert memory_bit_joules(name) == pytest.approx(expected * 1e-12)


def test_a_full_stream_of_memory_fits_under_the_limit_of_every_gpu():
    """Else the figures of a memory type, or of a chip, are a factor off."""
    for chip in CHIPS:
        if chip.kind == "gpu":
            streaming = dynamic_joules(OpCost(read_bytes=chip.memory_bandwidth_bytes_per_second), chip)
            assert streaming < 1.2 * chip.power_watts, chip.id


def test_unknown_limit_is_no_power():
    assert power_watts(replace(H100, power_watts=0.0), 100.0) == 0


def test_intervals_widen_with_the_level_and_with_ignorance():
    assert half_width(H100, 0.5) < half_width(H100, 0.8) < half_width(H100, 0.95)
    others = [load_hardware(name) for name in ("rtx-4090", "epyc-9654")]
    assert [power_level(chip) for chip in (H100, *others)] == ["device", "family", "datasheet"]
    assert half_width(H100, 0.8) < half_width(others[0], 0.8) < half_width(others[1], 0.8)
