"""Dimensions: a chip told in other seconds gives the same times, and texts of quantities read back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.strategies import ROUNDING, chips, device_of, examples, graphs, runtimes, sizes
from perfmodel.coefficients import declared_priors
from perfmodel.errors import UnitError
from perfmodel.kernels import Device
from perfmodel.program import compile_graph, time_program
from perfmodel.types import Graph, Hardware
from perfmodel.units import _UNITS, DIMENSIONS, format_quantity, parse_quantity

PER_SECOND = ("memory_bandwidth_bytes_per_second", "l2_bandwidth_bytes_per_second", "clock_hertz", "base_clock_hertz",
              "tensor_clock_hertz", "link_bytes_per_second", "inter_node_bytes_per_second", "pcie_bytes_per_second",
              "power_watts")  # fmt: skip


# told for kernels of a GPU at REFERENCE_HERTZ: they are cycles, and follow the clock by themselves
CLOCKED = {"gemm.launch_seconds", "gemm.split_seconds", "attention.launch_seconds", "experts.launch_seconds",
           "memory_bound.launch_seconds", "quantize.launch_seconds", "recurrent.launch_seconds",
           "state_space.launch_seconds", "collective.start_seconds", "collective.pipeline_seconds",
           "collective.step_seconds"}  # fmt: skip
PARTS = ("seconds", "device_seconds", "compute_seconds", "memory_seconds", "network_seconds", "overhead_seconds",
         "host_seconds", "bound_seconds")  # fmt: skip


def in_other_seconds(chip: Hardware, factor: float) -> Hardware:
    """The chip where a second is `factor` times as long: every rate is so much higher."""
    rates = {name: factor * getattr(chip, name) for name in PER_SECOND}
    return replace(chip, peaks={key: factor * rate for key, rate in chip.peaks.items()}, **rates)


def in_those_seconds(device: Device, chip: Hardware, factor: float) -> Device:
    """The device as that chip: what is told in seconds is so much less, but for what is told at a clock of 1.8 GHz."""
    clocked = CLOCKED if chip.kind == "gpu" else ()
    moved = {
        f"{scope}{prior.name}": replace(own, value=own.value / factor)
        for prior in declared_priors()
        if "seconds" in prior.name and prior.name not in clocked
        for scope in ("", *(f"{name}:" for name in device.fitted_scopes))
        for own in [device.in_scope(scope[:-1])[prior]]
    }
    return Device(chip, device.runtime, {**device.overrides, **moved}, device.widths)


@examples(150)
@given(graphs(most=4), chips(), runtimes, sizes, st.sampled_from([0.25, 0.5, 2.0, 64.0, 3.7]))
def test_times_scale_with_the_second(
    graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], factor: float
) -> None:
    device = device_of(chip, runtime)
    other = in_those_seconds(device, in_other_seconds(chip, factor), factor)
    plain, moved = (time_program(compile_graph(graph, own), values) for own in (device, other))
    for part in PARTS:
        assert getattr(moved, part)[0] * factor == pytest.approx(getattr(plain, part)[0], rel=ROUNDING, abs=1e-25)


@examples(60)
@given(graphs(most=4), chips(), runtimes, sizes, st.sampled_from([2, 8]))
def test_costs_know_no_chip_and_no_second(
    graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], factor: int
) -> None:
    """Bounds are bytes over bytes per second: twice the rates, half of the bound, to the last bit."""
    faster = in_other_seconds(chip, factor)
    plain, moved = (time_program(compile_graph(graph, device_of(own, runtime)), values) for own in (chip, faster))
    assert moved.bound_seconds[0] * factor == plain.bound_seconds[0]


texts = st.floats(1e-3, 9.99e2).map(lambda value: float(f"{value:.6g}"))


@pytest.mark.parametrize("dimension", DIMENSIONS)
@examples(30)
@given(value=texts, data=st.data())
def test_every_unit_reads_as_its_factor(dimension: str, value: float, data: st.DataObject) -> None:
    """A number with a prefix is the number times the prefix; without a unit it is refused where there is one."""
    symbols, prefixes = _UNITS[dimension]
    symbol, prefix = data.draw(st.sampled_from(symbols)), data.draw(st.sampled_from(sorted(prefixes)))
    blank = data.draw(st.sampled_from(["", " ", "  "]))
    read = parse_quantity(f"{value!r}{blank}{prefix}{symbol}", dimension)
    assert read == pytest.approx(value * prefixes[prefix], rel=1e-15)
    assert parse_quantity(format_quantity(read, dimension, 15), dimension) == pytest.approx(read, rel=1e-12)
    others = [name for name in DIMENSIONS if not {*_UNITS[name][0]} & {*symbols} and name != "count"]
    other = data.draw(st.sampled_from(others))
    if symbol and symbol not in {f"{more}{own}" for own in _UNITS[other][0] for more in _UNITS[other][1]}:
        with pytest.raises(UnitError):
            parse_quantity(f"{value!r} {symbol}", other)
