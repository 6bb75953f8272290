"""The profile that predictions for this machine start from: `starting_profile(machine)`.

    peak(dtype) = usable cores x FLOP per cycle x clock,   bandwidth = min(of the socket, usable cores x of one core)

A CPU that the catalog knows by its name takes its figures from there: rates by the share of its cores and at the boost
clock, because a bound must hold at any clock, without those whose instructions a virtual machine hides. Another one
takes the rates of its instruction sets (`cpu_rates`). What is assumed (a clock that a virtual machine hides, a memory
bandwidth) has confidence "low" and says so in its note.

Measured figures raise or replace these by the rule of `measured_figures`; and where the clock is a guess and a measured
rate asks for a higher one, all peaks follow that clock.

May import: errors, types, catalog, hardware_profile, machine.detection, machine.cpu_rates,
machine.measured_figures, machine.profile_files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from perfmodel.catalog import MACHINE_ALIAS, fold_name, match_hardware
from perfmodel.errors import UnsupportedError
from perfmodel.hardware_profile import DTYPES, UNITS, default_fallbacks
from perfmodel.machine.cpu_rates import cycle_rates, rate_source
from perfmodel.machine.detection import Machine, machine_id
from perfmodel.machine.measured_figures import (
    ASSUMED,
    DETECTED,
    MARGIN,
    MEASURED,
    gigabytes,
    joined,
    make_figure,
    six_digits,
    with_measured,
)
from perfmodel.machine.profile_files import as_read
from perfmodel.types import Figure, Hardware, Unit

DEFAULT_NAME = "local"
DERIVED = "derived: usable cores x FLOP per cycle x clock"
# The highest boost clocks of processors of the kind: Zen 5 and Xeon 6 servers reach 4 to 5 GHz, Arm servers 2.6 to 3.4
_ASSUMED_CLOCK = {"Apple": 4.5e9, "Arm": 3.5e9, "": 4.5e9}
_HIGHEST_CLOCK = 6.2e9  # of any processor sold; a rate that asks for more comes from units that no flag tells
# A core keeps some 100 lines of 64 bytes in flight, which take about 100 ns each
_CORE_BYTES_PER_SECOND = {"Apple": 100e9, "": 60e9}
# 12 channels of DDR5-6400, and two of them
_SERVER_BYTES_PER_SECOND, _DESKTOP_BYTES_PER_SECOND = 614.4e9, 102.4e9
_SERVER_NAMES = re.compile(r"epyc|xeon|neoverse|graviton|ampere|altra", re.IGNORECASE)
_WHOLE_CHIP = ("power.", "price.", "links.", "measured.", "clocks.tensor", "memory.usable")  # not of a part of a chip


def starting_profile(
    machine: Machine,
    name: str = DEFAULT_NAME,
    *,
    measured_peaks: Mapping[str, float] | None = None,
    measured_bandwidth_bytes_per_second: float = 0.0,
    measured_cache_bandwidth_bytes_per_second: float = 0.0,
) -> Hardware:
    """The CPU of a machine as a chip, every figure with its source and confidence.

    Its alias is `MACHINE_ALIAS` and the machine's id, by which files of runs find it.

    Args:
        name: the id of the profile.
        measured_peaks: dtype -> FLOP/s that a matrix product reached on all usable cores; a dtype that the CPU
            computes through another one has no peak and is left out.
        measured_bandwidth_bytes_per_second: that reading memory reached; 0 where it was not measured.
        measured_cache_bandwidth_bytes_per_second: that reading the last cache reached, all usable cores together.

    Raises:
        InputError: measured figures that are no positive numbers, or of unknown dtypes.
        UnsupportedError: a processor whose rates are not known (neither x86 nor Arm).
        SpecError: the figures contradict each other, or the name is no id.
    """
    peaks = dict(measured_peaks or {})
    speeds = (measured_bandwidth_bytes_per_second, measured_cache_bandwidth_bytes_per_second)
    known = matching_chip(machine)
    if known is not None:
        figures, notes = _scaled_figures(known, machine)
        start = replace(known, path="")
    else:
        figures, notes = _own_figures(machine, peaks)
        start = _blank(machine)
    figures |= _detected_figures(machine)
    notes += machine.notes
    figures = with_measured(figures, peaks, *speeds)
    peaked = _peaks(figures)
    native = tuple(dtype for dtype in DTYPES if any((unit, dtype) in peaked for unit in UNITS))
    same = start.native and set(start.native) == set(native)
    return as_read(
        replace(
            start,
            id=name,
            aliases=(f"{MACHINE_ALIAS}{machine_id(machine)}",),
            name=f"{machine.cpu or 'unknown CPU'}, {machine.cores_usable} cores",
            native=native,
            fallbacks=dict(start.fallbacks) if same else default_fallbacks(native, peaked),
            figures=figures,
            notes=(*notes, f"machine {machine_id(machine)}: {machine.system} {machine.kernel}, {machine.architecture}"),
        )
    )


def matching_chip(machine: Machine) -> Hardware | None:
    """The CPU of the catalog that the machine names itself after, if any."""
    short = re.sub(r"\s+(\d+-core processor|cpu @.*|processor)$", "", machine.cpu, flags=re.IGNORECASE)
    found = match_hardware([name for name in (machine.cpu, short) if name])
    return found if found is not None and found.kind == "cpu" and found.cores else None


# ------------------------------------------------------------------------------------ a CPU of the catalog


def _scaled_figures(chip: Hardware, machine: Machine) -> tuple[dict[str, Figure], list[str]]:
    """The figures of a chip for the cores that can be used of it (or of several of it)."""
    share = machine.cores_usable / chip.cores
    boost = machine.boost_clock_hertz or chip.clock_hertz
    faster = boost / chip.base_clock_hertz if _at_base_clock(chip) and boost else 1.0
    at = f"at the boost clock, {boost / 1e9:.2f} GHz" if faster != 1 else "at the clock of the catalog"
    said = f"{machine.cores_usable} of {chip.cores} cores of {chip.id}, {at}"
    shown = {f"peaks.{unit}.{dtype}" for unit, dtype in cycle_rates(machine)}
    figures, hidden = {}, []
    for key, figure in chip.figures.items():
        if key.startswith("peaks.") and key not in shown:
            hidden.append(key)
        elif key.startswith("peaks."):
            value = six_digits(figure.value * share * faster)
            figures[key] = replace(figure, value=value, note=joined(figure.note, said))
        elif key in ("caches.l2", "caches.llc"):
            value = six_digits(figure.value * share)
            figures[key] = replace(figure, value=value, note=joined(figure.note, f"its share: {share:.3g}"))
        elif share == 1 or not key.startswith(_WHOLE_CHIP):
            figures[key] = figure
    if machine.boost_clock_hertz:
        figures["clocks.boost"] = make_figure(machine.boost_clock_hertz, "hertz", DETECTED, "high")
    notes = [f"figures of {chip.id} ({chip.name}): {said}."]
    if hidden:
        notes.append(f"left out, because the instructions are not there for this process: {', '.join(hidden)}.")
    socket = chip.figures["memory.bandwidth"]
    cores_draw = machine.cores_usable * _core_bandwidth(machine)
    if share < 1 and cores_draw < socket.value:
        figures["memory.bandwidth"] = make_figure(
            cores_draw,
            "bytes_per_second",
            ASSUMED,
            "low",
            _core_note(machine) + f"; the socket has {gigabytes(socket.value)}",
        )
    elif share != 1:
        sockets = max(1, math.ceil(share))
        figures["memory.bandwidth"] = replace(
            socket, value=socket.value * sockets, note=joined(socket.note, f"of {sockets} whole socket(s)")
        )
    if share < 1:
        notes.append(
            f"{machine.cores_usable} of {chip.cores} cores: the last cache and the memory bandwidth are shared with "
            "whoever uses the others."
        )
    return figures, notes


def _at_base_clock(chip: Hardware) -> bool:
    """Whether a profile's rates are at the base clock: only then are they a power of two per core and cycle."""
    rate = chip.peaks.get(("vector", "fp32"), 0.0)
    lanes = rate / (chip.cores * chip.base_clock_hertz) if chip.base_clock_hertz else 0.0
    return lanes > 0 and abs(math.log2(lanes) - round(math.log2(lanes))) < 0.01


# --------------------------------------------------------------------------------- a CPU it does not know


def _own_figures(machine: Machine, measured: Mapping[str, float]) -> tuple[dict[str, Figure], list[str]]:
    rates = cycle_rates(machine)
    if not rates:
        raise UnsupportedError(
            f"the rates of this processor ({machine.cpu or 'no name'}, {machine.architecture or 'no architecture'}) "
            "are not known: only x86 and Arm are. Write a profile by hand (hardware_specs/README.md)."
        )
    best = {dtype: max(rate.flops for (_, own), rate in rates.items() if own == dtype) for _, dtype in rates}
    clock = _clock(machine, best, measured)
    confidence = "medium" if machine.boost_clock_hertz else "low"
    source = f"{DERIVED}; {rate_source(machine)}"
    figures = {
        f"peaks.{unit}.{dtype}": make_figure(
            machine.cores_usable * rate.flops * clock.value, "flops_per_second", source, confidence,
            f"{machine.cores_usable} x {rate.flops:g} ({rate.why}) x {clock.value / 1e9:.3g} GHz",
        )
        for (unit, dtype), rate in rates.items()
    }  # fmt: skip
    bandwidth = min(machine.cores_usable * _core_bandwidth(machine), _platform_bandwidth(machine))
    figures["clocks.boost"] = clock
    if machine.base_clock_hertz:
        figures["clocks.base"] = make_figure(machine.base_clock_hertz, "hertz", DETECTED, "medium")
    figures["memory.bandwidth"] = _relative_bandwidth(machine) or make_figure(
        bandwidth, "bytes_per_second", ASSUMED, "low", _core_note(machine)
    )
    notes = ["the catalog does not know this CPU by its name: rates follow from its instruction sets, as upper bounds."]
    if clock.source == ASSUMED:
        notes.append(f"the clock is an assumption ({clock.value / 1e9:g} GHz): measure, or correct it.")
    return figures, notes


def _clock(machine: Machine, best: Mapping[str, float], measured: Mapping[str, float]) -> Figure:
    """The clock of the bounds: as told, else the highest of such processors, or what a measured rate asks for."""
    if machine.boost_clock_hertz:
        return make_figure(machine.boost_clock_hertz, "hertz", DETECTED, "high", "")
    assumed = max(_ASSUMED_CLOCK.get(machine.vendor, _ASSUMED_CLOCK[""]), machine.base_clock_hertz)
    asked = [rate * MARGIN / (machine.cores_usable * best[dtype]) for dtype, rate in measured.items() if dtype in best]
    if max(asked, default=0.0) > assumed:
        return make_figure(
            min(max(asked), _HIGHEST_CLOCK), "hertz", MEASURED, "medium", "that a measured rate asks for"
        )
    return make_figure(assumed, "hertz", ASSUMED, "low", "the boost clock is hidden: the highest of processors like it")


def _relative_bandwidth(machine: Machine) -> Figure | None:
    """The memory bandwidth of a chip whose GPU the catalog has: they share their memory (Apple)."""
    chip = match_hardware([machine.cpu, f"{machine.cpu} GPU"]) if machine.vendor == "Apple" else None
    figure = chip.figures["memory.bandwidth"] if chip is not None else None
    return replace(figure, note=joined(figure.note, "the GPU's of the same chip")) if figure else None


def _blank(machine: Machine) -> Hardware:
    return Hardware(
        id="", name="", vendor=machine.vendor, kind="cpu",
        family=machine.family or fold_name(machine.cpu) or "unknown-cpu", peaks={}, memory_bytes=0,
        memory_bandwidth_bytes_per_second=0, core_kind="core",
    )  # fmt: skip


# --------------------------------------------------------------------------------------- common to both


def _detected_figures(machine: Machine) -> dict[str, Figure]:
    confidence = "medium" if machine.hypervisor else "high"
    sizes = {
        "memory.capacity": (machine.memory_bytes, "what the system shows"),
        "caches.l1": (machine.l1d_bytes, "data cache of a core"),
        "caches.l2": (machine.l2_bytes * machine.cores_usable, "sum over the usable cores"),
        "caches.llc": (machine.l3_bytes, "all that the usable cores share in"),
    }
    figures = {
        key: make_figure(float(size), "bytes", DETECTED, confidence, note)
        for key, (size, note) in sizes.items()
        if size
    }
    return figures | {
        "cores.count": make_figure(float(machine.cores_usable), "count", DETECTED, "high", _cores_note(machine))
    }


def _peaks(figures: Mapping[str, Figure]) -> set[tuple[Unit, str]]:
    return {(unit, dtype) for unit in UNITS for dtype in DTYPES if f"peaks.{unit}.{dtype}" in figures}


def _core_bandwidth(machine: Machine) -> float:
    return _CORE_BYTES_PER_SECOND.get(machine.vendor, _CORE_BYTES_PER_SECOND[""])


def _platform_bandwidth(machine: Machine) -> float:
    server = machine.hypervisor or _SERVER_NAMES.search(machine.cpu) is not None
    return _SERVER_BYTES_PER_SECOND if server or machine.vendor == "Apple" else _DESKTOP_BYTES_PER_SECOND


def _core_note(machine: Machine) -> str:
    return f"memory channels are not told: at most {gigabytes(_core_bandwidth(machine))} for each usable core"


def _cores_note(machine: Machine) -> str:
    parts = [f"usable by this process, of {machine.cores_physical}"]
    if machine.threads_per_core > 1:
        parts.append(f"{machine.threads_per_core} threads each")
    return "; ".join(parts)
