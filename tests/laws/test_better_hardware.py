"""Better hardware is never slower: bandwidth, peaks, memory, links, cores, caches, clocks, cheaper launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laws.strategies import (
    ROUNDING,
    answered,
    caches,
    chips,
    decoders,
    device_of,
    examples,
    graphs,
    layouts,
    precisions,
    runtimes,
    sizes,
    timed,
    workloads,
)
from perfmodel.coefficients import Coefficient
from perfmodel.kernels import Device
from perfmodel.layouts import Layout
from perfmodel.program import compile_graph, time_program
from perfmodel.types import Graph, Hardware, Model


def scaled(*names: str) -> Callable[[Hardware, int], Hardware]:
    return lambda chip, factor: replace(chip, **{name: factor * getattr(chip, name) for name in names})


def with_peaks(chip: Hardware, factor: int) -> Hardware:
    return replace(chip, peaks={key: factor * rate for key, rate in chip.peaks.items()})


def with_vector_peak(chip: Hardware, factor: int) -> Hardware:
    return replace(chip, peaks={**chip.peaks, ("vector", "fp32"): factor * chip.peaks["vector", "fp32"]})


def larger(chip: Hardware, factor: int) -> Hardware:
    """More of the same cores, each with its peak, its part of the cache and its power."""
    return with_peaks(scaled("cores", "l2_bytes", "power_watts")(chip, factor), factor)


def clocked(chip: Hardware, factor: int) -> Hardware:
    return with_peaks(scaled("clock_hertz")(chip, factor), factor)


BETTER: Mapping[str, Callable[[Hardware, int], Hardware]] = {
    "bandwidth": scaled("memory_bandwidth_bytes_per_second"),
    "peaks": with_peaks,
    "vector peak": with_vector_peak,
    "memory": scaled("memory_bytes"),
    "links": scaled("link_bytes_per_second"),
    "PCIe": scaled("pcie_bytes_per_second"),
    "network": scaled("inter_node_bytes_per_second"),
    "all links": scaled("link_bytes_per_second", "pcie_bytes_per_second", "inter_node_bytes_per_second"),
    "cache": scaled("l2_bytes"),
    "power": scaled("power_watts"),
    "cores": larger,
    "clock": clocked,
}
each_way = pytest.mark.parametrize("way", BETTER)
factors = st.floats(1, 12)
few = graphs(most=3) | graphs(("collective",), most=1)


@each_way
@examples(30)
@given(
    graph=graphs(most=3) | graphs(("collective",), most=1), chip=chips(), runtime=runtimes, values=sizes, data=st.data()
)
def test_any_graph(
    way: str, graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], data: st.DataObject
) -> None:
    factor = data.draw(st.integers(2, 9) if way == "cores" else factors)
    before = timed(graph, chip, runtime, values)
    after = timed(graph, BETTER[way](chip, factor), runtime, values)
    assert after.seconds[0] <= before.seconds[0] * (1 + ROUNDING)


@each_way
@examples(8)
@given(
    model=decoders(), chip=chips(), layout=layouts, precision=precisions, cache=caches, work=workloads, data=st.data()
)
def test_any_decoder(
    way: str, model: Model, chip: Hardware, layout: Layout, precision: str | None, cache: str | None,
    work: dict[str, int], data: st.DataObject,
) -> None:  # fmt: skip
    asked: dict[str, Any] = {"layout": layout, "precision": precision, "cache_precision": cache}
    before = answered(model, chip, work, **asked)
    assume(before is not None)
    factor = data.draw(st.integers(2, 9) if way == "cores" else factors)
    after = answered(model, BETTER[way](chip, factor), work, **asked)
    assert before
    assert after
    assert after.fits or not before.fits
    for name, phase in before.phases.items():
        assert after.phases[name].time.seconds <= phase.time.seconds * (1 + ROUNDING)


@examples(40)
@given(graphs(most=3), chips(), runtimes, sizes, st.floats(0.05, 1))
def test_cheaper_launches(graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], factor: float) -> None:
    device = device_of(chip, runtime)
    plain = time_program(compile_graph(graph, device), values)
    cheaper: dict[str, Coefficient] = {
        own.name: replace(own, value=own.value * factor) for own in device.used_coefficients if "launch" in own.name
    }
    quick = Device(device.hardware, device.runtime, {**device.overrides, **cheaper}, device.widths)
    assert time_program(compile_graph(graph, quick), values).seconds[0] <= plain.seconds[0] * (1 + ROUNDING)
