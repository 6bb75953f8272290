"""The profile of a machine that was measured, raised to what its runs reached: no bound may be below a measurement.

    CPU of this machine    detection            ──starting_profile──┐
    CPU of another one     a profile with its id as alias ──────────┼─▶ raised ─▶ Hardware
    GPU                    the first line of its files ──accelerator_profile──┘

May import: run_rows, starting and below; machine, catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perfmodel.calibration.run_rows import RunRow, program_rows
from perfmodel.calibration.sources.rows import device_finder
from perfmodel.calibration.starting import starting_device
from perfmodel.catalog import MACHINE_ALIAS
from perfmodel.errors import InputError
from perfmodel.kernels import Device, contraction_rate
from perfmodel.kernels.cpu_network import CpuParts
from perfmodel.kernels.framework import Parts
from perfmodel.kernels.memory_bound import ecc_efficiency
from perfmodel.machine.accelerators import accelerator_of, accelerator_profile
from perfmodel.machine.detection import Machine
from perfmodel.machine.measured_figures import MARGIN, with_measured
from perfmodel.machine.profile import starting_profile
from perfmodel.machine.profile_files import as_read
from perfmodel.measuring.run_files import Runs
from perfmodel.types import Hardware

Point = Mapping[str, Any]
_FOR_BANDWIDTH_BYTES = 64 << 20  # a program that reads less says little of memory
_BEYOND_CACHES = 8  # as often as the last cache a program must move bytes for the same to hold on a GPU
_FOR_RATES = ("linear", "copy", "clone", "add", "relu")  # programs that reach what the machine can do


def profile_of(machine: Machine, name: str, runs: Runs, threads: Sequence[int]) -> Hardware:
    """The profile of this machine's CPU.

    Args:
        threads: numbers of them that were measured; only runs on all cores say what it can do.
    """
    start = starting_profile(machine, name)
    peaks, bandwidth = _reached(start, runs, threads)
    return starting_profile(machine, name, measured_peaks=peaks, measured_bandwidth_bytes_per_second=bandwidth)


def other_profile(machine: Mapping[str, Any], name: str, runs: Runs, threads: Sequence[int]) -> Hardware:
    """The profile of another machine's CPU, from one that was made there.

    Args:
        machine: of the first line of its files. name: of the new profile; "" for that of the one it comes from.

    Raises:
        InputError: no profile is of that machine.
    """
    identifier = str(machine.get("id", ""))
    known = device_finder()(f"{MACHINE_ALIAS}{identifier}")
    if known is None:
        raise InputError(
            f"the runs are of another machine, {machine.get('cpu') or 'unknown CPU'} (machine {identifier}), and no "
            "profile is of it: make one there with `perfmodel hardware detect --save`, and copy it into the folder "
            "hardware of the home folder here"
        )
    start = as_read(replace(known, id=name or known.id, path=""))
    peaks, bandwidth = _reached(start, runs, threads)
    return as_read(replace(start, figures=with_measured(start.figures, peaks, bandwidth)))


def gpu_profile_of(name: str, runs: Runs) -> Hardware:
    """The profile of the GPU that runs were measured on: as the catalog has it, by its name, else as torch told it.

    Raises:
        InputError: the runs do not say which GPU it is. UnsupportedError: the catalog does not know it, and too little
            is told of it.
    """
    accelerator = accelerator_of(runs.header["machine"])
    start = accelerator_profile(accelerator, name)
    peaks: dict[str, float] = {}
    bandwidth = 0.0
    for dtype in dict.fromkeys(point["dtype"] for point in runs.points):
        device = starting_device(start, "eager", dtype)
        rate = contraction_rate(start, dtype)
        ecc = ecc_efficiency(device)
        rated_bytes = start.memory_bandwidth_bytes_per_second * (ecc.value if ecc else 1.0)
        own = [point for point in runs.points if point["dtype"] == dtype]
        for row in _rows(own, start, runs, device):
            parts, repeats = row.row.parts, row.row.repeats
            if not isinstance(parts, Parts):
                continue
            seconds = row.row.fact.value_seconds
            if row.name.startswith("linear") and not rate.emulated:
                reached = float(repeats @ parts.compute_seconds[:, 0]) * rate.flops_per_second / seconds
                peaks[dtype] = max(peaks.get(dtype, 0.0), reached)
            moved = float(repeats @ parts.memory_seconds[:, 0]) * rated_bytes
            if moved > max(_FOR_BANDWIDTH_BYTES, _BEYOND_CACHES * start.l2_bytes):
                bandwidth = max(bandwidth, moved / seconds)
    # a little above the datasheet is what the last cache held of it
    raised = bandwidth if bandwidth > start.memory_bandwidth_bytes_per_second * MARGIN else 0.0
    above = {dtype: rate for dtype, rate in peaks.items() if rate > contraction_rate(start, dtype).flops_per_second}
    return accelerator_profile(accelerator, name, measured_peaks=above, measured_bandwidth_bytes_per_second=raised)


def _reached(start: Hardware, runs: Runs, threads: Sequence[int]) -> tuple[dict[str, float], float]:
    """(dtype -> FLOP/s, bytes/s that memory may be raised to) that programs on all cores of a CPU reached."""
    points = [point for point in runs.points if point["threads"] == start.cores]
    peaks: dict[str, float] = {}
    bandwidth = 0.0
    for own in _rows(points, start, runs) if start.cores in threads else ():
        parts, repeats = own.row.parts, own.row.repeats
        if not isinstance(parts, CpuParts):
            continue
        seconds = own.row.fact.value_seconds
        dtype = own.row.fact.precision
        rate = start.peaks.get(("matrix", dtype)) or start.peaks.get(("vector", dtype), 0.0)
        if own.name.startswith("linear") and rate:
            reached = float(repeats @ parts.compute_seconds[:, 0]) * rate / seconds
            peaks[dtype] = max(peaks.get(dtype, 0.0), reached)
        far, near = (
            float(repeats @ part[:, 0]) * start.memory_bandwidth_bytes_per_second
            for part in (parts.memory_seconds, parts.last_seconds + parts.inner_seconds)
        )
        if far > _FOR_BANDWIDTH_BYTES and far > 10 * near:
            bandwidth = max(bandwidth, far / seconds)
    # no program does nothing but read, so that what they reach may raise an assumed bandwidth, and not replace it
    return peaks, bandwidth if bandwidth * MARGIN > start.memory_bandwidth_bytes_per_second else 0.0


def _rows(points: Iterable[Point], chip: Hardware, runs: Runs, start: Device | None = None) -> list[RunRow]:
    chosen = [point for point in points if str(point["program"]).startswith(_FOR_RATES)]
    header = runs.header
    return program_rows(chosen, chip, header["suite"], header["machine"]["llc_bytes"], start=start)
