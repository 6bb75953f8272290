"""Collectives: never beyond the links, never slower for less, and what each library does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import chain, gpu, graph, op, times, tpu, w, x, y
from calibration.fitted import fit_scope
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import HOST_CALL_SECONDS, row_scope, row_seconds, time_rows
from perfmodel.calibration.scopes import parameters_of
from perfmodel.catalog import load_hardware
from perfmodel.coefficients import Coefficient
from perfmodel.costs.collective import OPERATIONS, cost_collective
from perfmodel.errors import UnsupportedError
from perfmodel.fitted_scopes import REGIMES
from perfmodel.kernels import Device, KernelTime, fitted_device, time_group
from perfmodel.kernels.collective import (
    DIRECT_START_SECONDS,
    HOST_CONTENTION,
    LINK_EFFICIENCY,
    NETWORK_EFFICIENCY,
    START_SECONDS,
    STEP_SECONDS,
)
from perfmodel.kernels.links import link_bound_seconds
from perfmodel.phases import phase_prediction
from perfmodel.program import compile_graph, time_program
from perfmodel.types import Hardware

NODE = gpu(
    link_name="NVLink4+NVSwitch3",
    link_bytes_per_second=450e9,
    pcie_bytes_per_second=63e9,
    inter_node_bytes_per_second=50e9,
    domain_size=8,
    devices_per_node=8,
)
HOST = replace(NODE, link_name="PCIe5", link_bytes_per_second=63e9, domain_size=1)
RACK = tpu(
    link_name="ICI", link_bytes_per_second=200e9, inter_node_bytes_per_second=10e9, domain_size=256, devices_per_node=4
)
PARTIAL = replace(NODE, domain_size=2)
chips = st.sampled_from([NODE, HOST, RACK, PARTIAL])
operations = st.sampled_from(OPERATIONS)
libraries = st.sampled_from(["nccl", "custom"])
buffers = st.integers(1, 2**32)
counts = st.integers(1, 512)
EXACT = 1 - 1e-9  # room for rounding


def collective(
    chip: Hardware,
    size: Any,
    devices: Any,
    operation: str = "all_reduce",
    library: str = "nccl",
    per_node: Any = 8,
    overrides: Mapping[str, Coefficient] | None = None,
) -> KernelTime:
    sizes = {
        name: np.atleast_2d(np.asarray(value, dtype=float))
        for name, value in (("bytes", size), ("devices", devices), ("devices_per_node", per_node))
    }
    flags = {"operation": operation, "library": library, "fabric": ""}
    cost = cost_collective(**sizes, **flags)
    return time_group(("collective",), sizes, flags, cost, Device(chip, "graphs", overrides or {}), None)


def seconds(*arguments: Any, **more: Any) -> float:
    return float(collective(*arguments, **more).seconds[0, 0])


@given(chips, buffers, counts, operations, libraries, st.integers(1, 16), st.floats(0.01, 100))
def test_never_beyond_the_links(
    chip: Hardware, size: int, devices: int, operation: str, library: str, per_node: int, factor: float
) -> None:
    efficiencies = {
        own.name: replace(own.resolve(chip, "graphs"), value=factor) for own in (LINK_EFFICIENCY, NETWORK_EFFICIENCY)
    }
    sizes = {"bytes": size, "devices": devices, "devices_per_node": per_node}
    cost = cost_collective(**sizes, operation=operation, library=library, fabric="")
    kernel = collective(chip, size, devices, operation, library, per_node, efficiencies)
    assert kernel.network_seconds >= link_bound_seconds(chip, sizes, operation, cost) * EXACT
    assert kernel.network_seconds >= cost.bytes / chip.memory_bandwidth_bytes_per_second * EXACT
    assert np.isfinite(kernel.seconds).all()


@given(chips, buffers, operations, libraries)
def test_one_device_takes_no_time(chip: Hardware, size: int, operation: str, library: str) -> None:
    kernel = collective(chip, size, 1, operation, library)
    assert kernel.seconds == 0
    assert all(part == 0 for _, part in kernel.sensitivities)


@given(chips, buffers, st.integers(2, 512), operations, libraries, st.integers(1, 2**20), st.integers(1, 64))
@example(HOST, 46596, 8, "broadcast", "nccl", 1, 1)  # a ninth device on another node frees no crowded host
def test_more_is_never_faster(
    chip: Hardware, size: int, devices: int, operation: str, library: str, bytes_more: int, devices_more: int
) -> None:
    plain = seconds(chip, size, devices, operation, library)
    assert seconds(chip, size + bytes_more, devices, operation, library) >= plain * EXACT
    assert seconds(chip, size, devices + devices_more, operation, library) >= plain * EXACT


@given(chips, st.lists(st.tuples(buffers, counts), min_size=1, max_size=5), operations, libraries)
def test_arrays_give_what_one_by_one_gives(
    chip: Hardware, rows: list[tuple[int, int]], operation: str, library: str
) -> None:
    size, devices = zip(*rows, strict=True)
    together = collective(chip, size, devices, operation, library).seconds[0]
    for place, (own, count) in enumerate(rows):
        assert together[place] == pytest.approx(seconds(chip, own, count, operation, library), rel=1e-9)


@settings(max_examples=30)
@given(chips, buffers, st.integers(2, 64), operations, libraries)
def test_sensitivities_are_derivatives(chip: Hardware, size: int, devices: int, operation: str, library: str) -> None:
    plain = collective(chip, size, devices, operation, library)
    for coefficient, _ in plain.sensitivities:
        if coefficient.name.endswith(".form"):
            continue
        parts = sum(float(part[0, 0]) for other, part in plain.sensitivities if other.name == coefficient.name)
        changes = []
        for step in (1e-5, -1e-5):  # where another way becomes the fastest, the time has a kink
            moved = {coefficient.name: replace(coefficient, value=coefficient.value * (1 + step))}
            after = seconds(chip, size, devices, operation, library, overrides=moved)
            changes.append(abs(after - plain.seconds[0, 0]) / abs(step))
        assert min(changes) <= parts * (1 + 1e-3) + 1e-12


def test_small_messages_wait_and_large_ones_move() -> None:
    small, large = collective(NODE, 1024, 8), collective(NODE, 2**30, 8)
    assert small.overhead_seconds > 100 * small.network_seconds
    assert large.network_seconds > 20 * large.overhead_seconds
    steps = STEP_SECONDS.resolve(NODE, "graphs").value
    longer = collective(NODE, 1, 8).overhead_seconds - collective(NODE, 1, 4).overhead_seconds
    assert longer[0, 0] == pytest.approx(8 * steps, rel=1e-3)  # 14 steps instead of 6


def test_a_large_all_reduce_reaches_the_share_of_the_links_it_should() -> None:
    moved = 2 * 7 / 8 * 2**30 + 0.3 * 2**30 / 8  # two passes, and the own share once
    expected = moved / (LINK_EFFICIENCY.resolve(NODE, "graphs").value * 450e9)
    assert collective(NODE, 2**30, 8).network_seconds[0, 0] == pytest.approx(expected)


def test_frameworks_use_their_own_kernel_while_it_is_faster() -> None:
    size = 2.0 ** np.arange(10, 31)
    own, nccl = (collective(NODE, size, 8, library=library).seconds[0] for library in ("custom", "nccl"))
    assert (own <= nccl).all()
    assert own[0] < nccl[0] / 3
    assert own[0] == pytest.approx(DIRECT_START_SECONDS.resolve(NODE, "graphs").value, rel=0.02)
    assert own[-1] == nccl[-1]
    gathered = [collective(NODE, size, 8, "all_gather", library).seconds[0] for library in ("custom", "nccl")]
    assert (gathered[0] == gathered[1]).all()  # they only have an all-reduce


def test_no_direct_kernel_without_direct_links() -> None:
    assert seconds(HOST, 1024, 2, library="custom") < seconds(HOST, 1024, 2)
    for chip, devices, per_node in ((HOST, 4, 8), (PARTIAL, 4, 8), (NODE, 16, 8)):
        arguments = {"per_node": per_node}
        assert seconds(chip, 1024, devices, library="custom", **arguments) == seconds(chip, 1024, devices, **arguments)


def test_devices_behind_one_host_slow_each_other() -> None:
    power = HOST_CONTENTION.resolve(HOST, "graphs").value
    two, four = (collective(HOST, 2**30, devices, "send_recv").network_seconds[0, 0] for devices in (2, 4))
    assert four == pytest.approx(2**power * two)
    direct = [collective(NODE, 2**30, devices, "send_recv").network_seconds[0, 0] for devices in (2, 4)]
    assert direct[0] == direct[1]


def test_other_nodes_are_further_away() -> None:
    inside, across = seconds(NODE, 1024, 8), seconds(NODE, 1024, 8, per_node=4)
    assert across > inside + 20e-6
    assert collective(NODE, 2**30, 16).network_seconds > 1.5 * collective(NODE, 2**30, 8).network_seconds
    assert seconds(RACK, 2**30, 64, per_node=4) < 3 * seconds(RACK, 2**30, 4, per_node=4)  # a domain over many nodes


def test_a_chip_without_links_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no bandwidth between devices"):
        collective(gpu(), 1024, 8)


# ------------------------------------------------------------------------------------------ inside a model


def parallel_layer() -> Any:
    """A linear layer split over devices, and its all-reduce in 16 and in 8 bits."""
    tensors = [x("x", "batch 4096"), w("w", "4096 4096"), y("y", "batch 4096"), y("z", "batch 4096")]
    reduce = {"operation": "all_reduce", "devices": 8}
    return graph(
        tensors,
        *chain(
            ("linear", "linear", "x w", "y", {"compute": "bf16"}),
            ("nccl", "collective", "y", "z", reduce),
            ("direct", "collective", "y", "z", reduce | {"library": "custom"}),
        ),
    )


def test_network_time_is_its_own_part() -> None:
    timed = times(parallel_layer(), NODE, batch=4096)
    parts = (timed.compute_seconds, timed.memory_seconds, timed.network_seconds, timed.overhead_seconds)
    assert sum(part[0] for part in parts) == pytest.approx(timed.device_seconds[0])
    size = 4096 * 4096 * 2
    both = sum(collective(NODE, size, 8, library=library).network_seconds[0, 0] for library in ("nccl", "custom"))
    assert timed.network_seconds[0] == pytest.approx(both)
    alone = op("linear", [x("x", "batch 4096"), w("w", "4096 4096")], [y("y", "batch 4096")], {"compute": "bf16"})
    assert times(alone, NODE, batch=4096).network_seconds[0] == 0


def test_ops_of_a_phase_show_network_time_and_its_bound() -> None:
    program = compile_graph(parallel_layer(), Device(NODE, "graphs", {}))
    phase = phase_prediction("forward", program, time_program(program, {"batch": 64}), 0.8, with_ops=True)
    linear, nccl, direct = phase.ops
    assert linear.time.network_seconds == 0
    assert nccl.time.bound == "overhead"
    assert nccl.bound_seconds == pytest.approx(64 * 4096 * 2 * 7 / 8 / 450e9)  # switches save one pass
    assert direct.time.seconds < nccl.time.seconds
    assert phase.time.network_seconds == pytest.approx(sum(own.time.network_seconds for own in phase.ops))
    large = phase_prediction("forward", program, time_program(program, {"batch": 65536}), 0.8, with_ops=True)
    assert large.ops[1].time.bound == "network"


# ------------------------------------------------------------------------------------------ measured rows


def rows(chip: str = "a100-sxm-80gb", library: str = "nccl", runtime: str = "graphs", **conditions: Any) -> OpRows:
    sizes = np.tile(2.0 ** np.arange(10, 30), 3)
    devices = np.repeat([2.0, 4.0, 8.0], 20)
    flags: dict[str, str | bool] = {"operation": "all_reduce", "library": library, "fabric": "NVLink"}
    return OpRows(
        source="test", file="test.csv", hardware=chip, engine="nccl", version="", kernel="NCCL", runtime=runtime,
        kind="collective", precision="fp16", flags=flags,
        sizes={"bytes": sizes, "devices": devices, "devices_per_node": devices},
        seconds=np.ones(60), rows=np.arange(1, 61), conditions=conditions,
    )  # fmt: skip


def test_measured_rows_go_through_the_same_formula() -> None:
    chip = load_hardware("a100-sxm-80gb")
    timed = time_rows(rows(), Device(chip, "graphs", {}))
    assert timed.seconds[-1] == pytest.approx(seconds(chip, 2**29, 8))
    assert (timed.seconds >= timed.bound_seconds * EXACT).all()
    assert timed.bound_seconds[-1] == pytest.approx(2 * 7 / 8 * 2**29 / chip.link_bytes_per_second)
    assert [REGIMES[place] for place in timed.regime[[0, -1]]] == ["overhead", "memory"]  # the network counts as memory
    assert row_scope(rows(), chip) == "collective.nccl"
    assert row_scope(rows(library="custom"), chip) == "collective.custom"


def test_the_host_paces_short_eager_calls() -> None:
    chip = load_hardware("a100-sxm-80gb")
    eager, paced_rows = Device(chip, "graphs", {}), rows(library="custom", host_paced=1.0)
    free, paced = time_rows(rows(library="custom"), eager), time_rows(paced_rows, eager)
    host = HOST_CALL_SECONDS.resolve(chip, "graphs")
    assert paced.seconds[0] == pytest.approx(host.value, rel=0.01)
    assert paced.seconds[-1] == pytest.approx(free.seconds[-1], rel=0.01)
    slower = {f"collective.custom:{host.name}": replace(host, value=60e-6)}
    assert time_rows(paced_rows, Device(chip, "graphs", slower)).seconds[0] == pytest.approx(60e-6, rel=0.01)


def test_every_coefficient_that_is_fitted_acts_on_its_rows() -> None:
    names = {parameter.prior.name for scope in ("nccl", "custom") for parameter in parameters_of(f"collective.{scope}")}
    used = set()
    for chip in ("a100-sxm-80gb", "l40s"):
        device = Device(load_hardware(chip), "graphs", {})
        time_rows(rows(chip, "custom"), device)
        used |= {own.name for own in device.used_coefficients}
    assert names - used == {NETWORK_EFFICIENCY.name}  # no row leaves its node


def test_a_fit_finds_the_coefficients_that_made_the_times() -> None:
    chip = load_hardware("a100-sxm-80gb")
    priors = (START_SECONDS, STEP_SECONDS, LINK_EFFICIENCY)
    truth = {own.name: factor * own.value for own, factor in zip(priors, (1.4, 0.7, 0.9), strict=True)}
    made = {name: Coefficient(name, value, 0.0, "test", "") for name, value in truth.items()}
    measured = replace(rows(), seconds=row_seconds(rows(), Device(chip, "graphs", made)))
    fitted = fit_scope("collective.nccl", [measured], {chip.id: chip}, priors)
    found = fitted_device(chip, "graphs", {"collective.nccl": fitted}, "nccl", "NCCL").in_scope("collective.nccl")
    for own in priors:
        assert found[own].value == pytest.approx(truth[own.name], rel=0.06)  # the priors, 10 to 40 % away, pull
