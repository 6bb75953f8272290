"""Collectives between processes of a CPU: what gloo copies takes the cores' time, and a fit finds how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import chain, cpu, gpu, graph, times, x, y
from calibration.files import write_csv
from calibration.fitted import fit_scope
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import row_scope, row_seconds, time_rows
from perfmodel.calibration.scopes import parameters_of
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.unit_check import suspicious_ops
from perfmodel.coefficients import Coefficient
from perfmodel.costs.collective import HOST, OPERATIONS, cost_collective
from perfmodel.errors import UnsupportedError
from perfmodel.kernels import Device, KernelTime, fitted_device, time_group
from perfmodel.kernels.host_collective import COPY_BYTES, FRESH_SHARE, OWN_SHARE, START_SECONDS, STEP_SECONDS
from perfmodel.kernels.links import link_bound_seconds
from perfmodel.types import Hardware

CHIP = replace(cpu(), cores=16, clock_hertz=4e9)
operations = st.sampled_from(OPERATIONS)
buffers = st.integers(1, 2**32)
counts = st.integers(1, 64)
EXACT = 1 - 1e-9  # room for rounding


def collective(
    size: Any,
    processes: Any = 2,
    operation: str = "all_reduce",
    chip: Hardware = CHIP,
    overrides: Mapping[str, Coefficient] | None = None,
) -> KernelTime:
    sizes = {
        name: np.atleast_2d(np.asarray(value, dtype=float))
        for name, value in (("bytes", size), ("devices", processes), ("devices_per_node", processes))
    }
    flags = {"operation": operation, "library": "gloo", "fabric": HOST}
    cost = cost_collective(**sizes, **flags)
    return time_group(("collective",), sizes, flags, cost, Device(chip, "eager", overrides or {}), None)


def seconds(*arguments: Any, **more: Any) -> float:
    return float(collective(*arguments, **more).seconds[0, 0])


@given(buffers, counts, operations, st.floats(0.1, 1e4))
def test_never_beyond_the_memory(size: int, processes: int, operation: str, factor: float) -> None:
    copied = {COPY_BYTES.name: replace(COPY_BYTES.resolve(CHIP, "eager"), value=factor)}
    sizes = {"bytes": size, "devices": processes, "devices_per_node": processes}
    cost = cost_collective(**sizes, operation=operation, library="gloo", fabric=HOST)
    kernel = collective(size, processes, operation, overrides=copied)
    assert kernel.network_seconds >= link_bound_seconds(CHIP, sizes, operation, cost, HOST) * EXACT
    if processes > 1:
        assert kernel.network_seconds >= cost.bytes / CHIP.memory_bandwidth_bytes_per_second * EXACT


@given(buffers, operations)
def test_one_process_takes_no_time(size: int, operation: str) -> None:
    kernel = collective(size, 1, operation)
    assert kernel.seconds == 0
    assert all(part == 0 for _, part in kernel.sensitivities)


@given(buffers, st.integers(2, 64), operations, st.integers(1, 2**20), st.integers(1, 16))
def test_more_is_never_faster(size: int, processes: int, operation: str, bytes_more: int, more: int) -> None:
    plain = seconds(size, processes, operation)
    assert seconds(size + bytes_more, processes, operation) >= plain * EXACT
    assert seconds(size, processes + more, operation) >= plain * EXACT


@given(st.lists(st.tuples(buffers, counts), min_size=1, max_size=5), operations)
def test_arrays_give_what_one_by_one_gives(rows: list[tuple[int, int]], operation: str) -> None:
    size, processes = zip(*rows, strict=True)
    together = collective(size, processes, operation).seconds[0]
    for place, (own, count) in enumerate(rows):
        assert together[place] == pytest.approx(seconds(own, count, operation), rel=1e-9)


@settings(max_examples=30)
@given(buffers, st.integers(2, 64), operations)
def test_sensitivities_are_derivatives(size: int, processes: int, operation: str) -> None:
    plain = collective(size, processes, operation)
    for coefficient, part in plain.sensitivities:
        if coefficient.name.endswith(".form"):
            continue
        moved = {coefficient.name: replace(coefficient, value=coefficient.value * (1 + 1e-5))}
        change = (seconds(size, processes, operation, overrides=moved) - plain.seconds[0, 0]) / 1e-5
        assert change == pytest.approx(part[0, 0], rel=1e-3, abs=1e-12)


def test_small_messages_wait_and_large_ones_are_copied() -> None:
    small, large = collective(64), collective(2**28)
    assert small.overhead_seconds > 100 * small.network_seconds
    assert large.network_seconds > 100 * large.overhead_seconds
    rate = 4e9 * COPY_BYTES.resolve(CHIP, "eager").value
    assert large.network_seconds[0, 0] == pytest.approx(2 * 2**28 / rate)  # sends it all, and receives as much


def test_what_gloo_makes_of_an_operation() -> None:
    """A reduce-scatter is a whole all-reduce and copies besides; an all-to-all moves half of it; a tree has levels."""
    size = 2**26
    assert seconds(size, 2, "reduce_scatter") > seconds(size, 2, "all_reduce")
    assert collective(size, 2, "all_reduce").network_seconds == pytest.approx(
        2 * collective(size, 2, "all_to_all").network_seconds
    )
    assert collective(size, 8, "broadcast").network_seconds == pytest.approx(
        3 * collective(size, 2, "broadcast").network_seconds
    )
    assert collective(size, 8, "send_recv").seconds == pytest.approx(collective(size, 2, "send_recv").seconds)


def test_large_buffers_of_its_own_are_fresh_each_time() -> None:
    """glibc gives blocks of 32 MiB back to the system; an all-reduce needs no such buffer."""
    below, above = 2**25 - 8, 2**25
    assert seconds(above, 2, "all_gather") > 1.3 * seconds(below, 2, "all_gather")
    assert seconds(above, 2, "all_reduce") == pytest.approx(seconds(below, 2, "all_reduce"), rel=1e-5)


def test_more_processes_than_cores_take_turns() -> None:
    two_cores = replace(CHIP, cores=2)
    assert seconds(2**26, 2, chip=two_cores) == seconds(2**26, 2)
    assert collective(2**26, 4, chip=two_cores).network_seconds == pytest.approx(
        2 * collective(2**26, 4).network_seconds
    )


def test_a_gpu_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"gloo moves messages through the memory of a CPU"):
        collective(1024, chip=gpu())


def test_inside_a_model_on_a_cpu() -> None:
    tensors = [x("x", "batch 4096", "fp32"), y("y", "batch 4096", "fp32")]
    reduce = {"operation": "all_reduce", "devices": 2, "library": "gloo"}
    split = graph(tensors, *chain(("reduce", "collective", "x", "y", reduce)))
    assert times(split, CHIP, batch=64).network_seconds[0] == pytest.approx(
        collective(64 * 4096 * 4).network_seconds[0, 0]
    )


# ------------------------------------------------------------------------------------------ measured rows


def rows(operation: str, truth: Mapping[str, Coefficient] | None = None) -> OpRows:
    """Two and four processes, from 1 KiB to 64 MiB; times as some coefficients would have them."""
    sizes, processes = np.tile(2.0 ** np.arange(10, 27), 2), np.repeat([2.0, 4.0], 17)
    found = OpRows(
        source="test", file="test.jsonl", hardware=CHIP.id, engine="gloo", version="2.13.0", kernel="",
        runtime="eager", kind="collective", precision="fp32",
        flags={"operation": operation, "library": "gloo", "fabric": HOST},
        sizes={"bytes": sizes, "devices": processes, "devices_per_node": processes},
        seconds=np.ones(34), rows=np.arange(1, 35),
    )  # fmt: skip
    return replace(found, seconds=row_seconds(found, Device(CHIP, "eager", truth or {})))


def test_measured_rows_go_through_the_same_formula() -> None:
    found = rows("all_reduce")
    timed = time_rows(found, Device(CHIP, "eager", {}))
    assert row_scope(found, CHIP) == "collective.gloo"
    assert timed.seconds[0] == pytest.approx(seconds(1024, 2))
    assert (timed.seconds >= timed.bound_seconds * EXACT).all()
    assert suspicious_ops(found, CHIP) == ""


def test_rows_in_another_unit_are_noticed() -> None:
    assert "times too large" in suspicious_ops(
        replace(rows("all_reduce"), seconds=rows("all_reduce").seconds * 1e3), CHIP
    )


def test_a_table_can_name_gloo(tmp_path: Path) -> None:
    row = {"hardware": "epyc-9654", "precision": "fp32", "op": "collective", "operation": "all_gather", "bytes": 4096,
           "devices": 2, "devices_per_node": 2, "library": "gloo", "runtime": "eager", "seconds": 1e-3}  # fmt: skip
    (found,) = read_measurements(write_csv(tmp_path / "table.csv", [row])).ops
    assert found.flags["fabric"] == HOST


def test_a_fit_finds_the_coefficients_that_made_the_times() -> None:
    priors = [parameter.prior for parameter in parameters_of("collective.gloo")]
    assert priors == [START_SECONDS, STEP_SECONDS, COPY_BYTES, OWN_SHARE, FRESH_SHARE]
    truth = {own.name: factor * own.value for own, factor in zip(priors, (4.0, 0.6, 0.7, 1.4, 0.7), strict=True)}
    made = {name: Coefficient(name, value, 0.0, "test", "") for name, value in truth.items()}
    measured = [rows(operation, made) for operation in OPERATIONS]
    fitted = fit_scope("collective.gloo", measured, {CHIP.id: CHIP}, priors)
    found = fitted_device(CHIP, "eager", {"collective.gloo": fitted}, "gloo", "").in_scope("collective.gloo")
    for own in priors:
        assert found[own].value == pytest.approx(truth[own.name], rel=0.06)  # the priors pull
