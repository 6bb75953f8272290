"""The profile that predictions for this machine start from: `starting_profile(machine)`.

    peak(dtype) = usable cores x FLOP per cycle x clock,   bandwidth = min(of the socket, usable cores x of one core)

A CPU that the catalog knows by its name takes its figures from there: rates by the share of its cores and at the boost
clock, because a bound must hold at any clock. Another one takes the rates of its instruction sets (`cpu_rates`). What is
assumed (a clock that a virtual machine hides, a memory bandwidth) has confidence "low" and says so in its note.

A bound is never below what was measured:

- a peak is the larger one of itself and the measured rate times `MARGIN`; it is never lowered, because how much of its
  peak a library reaches is what is fitted, and even a guessed clock bounds better than one library does;
- where the clock is a guess and a measured rate asks for a higher one, all peaks follow that clock;
- a bandwidth that is known (a whole socket of the catalog) is raised likewise; an assumed one is replaced, because
  reading memory reaches nearly all there is, and the assumption may be far off.

`MARGIN` is by how much the best of many runs may still miss what the machine can do.

May import: errors, types, catalog, hardware_profile, machine.detection, machine.cpu_rates, machine.profile_files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from perfmodel.catalog import fold_name, match_hardware
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.hardware_profile import DTYPES, UNITS, default_fallbacks
from perfmodel.machine.cpu_rates import cycle_rates, rate_source
from perfmodel.machine.detection import Machine, machine_id
from perfmodel.machine.profile_files import as_read
from perfmodel.types import Figure, Hardware, Unit

MARGIN = 1.05
DEFAULT_NAME = "local"
DETECTED = "detected: operating system"
MEASURED = "measured on this machine"
ASSUMED = "assumed: not told by the system"
DERIVED = "derived: usable cores x FLOP per cycle x clock"
# The highest boost clocks of processors of the kind: Zen 5 and Xeon 6 servers reach 4 to 5 GHz, Arm servers 2.6 to 3.4
_ASSUMED_CLOCK = {"Apple": 4.5e9, "Arm": 3.5e9, "": 4.5e9}
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
    _check_measured(peaks, speeds)
    known = matching_chip(machine)
    if known is not None:
        figures, notes = _scaled_figures(known, machine)
        start = replace(known, aliases=(), path="")
    else:
        figures, notes = _own_figures(machine, peaks)
        start = _blank(machine)
    figures |= _detected_figures(machine)
    notes += machine.notes
    figures = _with_measured(figures, peaks, *speeds)
    native = start.native or tuple(dtype for dtype in DTYPES if any((u, dtype) in _peaks(figures) for u in UNITS))
    return as_read(
        replace(
            start,
            id=name,
            name=f"{machine.cpu or 'unknown CPU'}, {machine.cores_usable} cores",
            native=native,
            fallbacks=dict(start.fallbacks) or default_fallbacks(native, _peaks(figures)),
            memory_type=start.memory_type,
            launch_date=start.launch_date,
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
    figures = {}
    for key, figure in chip.figures.items():
        if key.startswith("peaks."):
            figures[key] = replace(figure, value=figure.value * share * faster, note=_joined(figure.note, said))
        elif key in ("caches.l2", "caches.llc"):
            figures[key] = replace(
                figure, value=figure.value * share, note=_joined(figure.note, f"its share: {share:.3g}")
            )
        elif not key.startswith(_WHOLE_CHIP) and not key.startswith("cores."):
            figures[key] = figure
    notes = [f"figures of {chip.id} ({chip.name}): {said}."]
    socket = chip.figures["memory.bandwidth"]
    cores_draw = machine.cores_usable * _core_bandwidth(machine)
    if share < 1 and cores_draw < socket.value:
        figures["memory.bandwidth"] = _figure(
            cores_draw, "bytes_per_second", ASSUMED, "low", _core_note(machine) + f"; the socket has {_gb(socket.value)}"
        )
    elif share != 1:
        sockets = max(1, math.ceil(share))
        figures["memory.bandwidth"] = replace(
            socket, value=socket.value * sockets, note=_joined(socket.note, f"of {sockets} whole socket(s)")
        )
    if share < 1:
        notes.append(
            f"{machine.cores_usable} of {chip.cores} cores: the last cache and the memory bandwidth are shared with "
            "whoever uses the others."
        )
    return figures, notes


def _at_base_clock(chip: Hardware) -> bool:
    """Whether a profile's rates are at the base clock: only then are they a whole number of lanes per core and cycle."""
    rate = chip.peaks.get(("vector", "fp32"), 0.0)
    lanes = rate / (chip.cores * chip.base_clock_hertz) if chip.base_clock_hertz else 0.0
    return lanes > 0 and abs(math.log2(lanes) - round(math.log2(lanes))) < 0.01


# --------------------------------------------------------------------------------- a CPU it does not know


def _own_figures(machine: Machine, measured: Mapping[str, float]) -> tuple[dict[str, Figure], list[str]]:
    rates = cycle_rates(machine)
    if not rates:
        raise UnsupportedError(
            f"the rates of this processor ({machine.cpu or 'no name'}, {machine.architecture or 'no architecture'}) are "
            "not known: only x86 and Arm are. Write a profile by hand (hardware_specs/README.md)."
        )
    best = {dtype: max(rate.flops for (_, own), rate in rates.items() if own == dtype) for _, dtype in rates}
    clock = _clock(machine, best, measured)
    confidence = "medium" if machine.boost_clock_hertz else "low"
    source = f"{DERIVED}; {rate_source(machine)}"
    figures = {
        f"peaks.{unit}.{dtype}": _figure(
            machine.cores_usable * rate.flops * clock.value, "flops_per_second", source, confidence,
            f"{machine.cores_usable} x {rate.flops:g} ({rate.why}) x {clock.value / 1e9:.3g} GHz",
        )
        for (unit, dtype), rate in rates.items()
    }  # fmt: skip
    bandwidth = min(machine.cores_usable * _core_bandwidth(machine), _platform_bandwidth(machine))
    figures["clocks.boost"] = clock
    if machine.base_clock_hertz:
        figures["clocks.base"] = _figure(machine.base_clock_hertz, "hertz", DETECTED, "medium")
    figures["memory.bandwidth"] = _relative_bandwidth(machine) or _figure(
        bandwidth, "bytes_per_second", ASSUMED, "low", _core_note(machine)
    )
    notes = ["the catalog does not know this CPU by its name: rates follow from its instruction sets, as upper bounds."]
    if clock.source == ASSUMED:
        notes.append(f"the clock is an assumption ({clock.value / 1e9:g} GHz): measure, or correct it.")
    return figures, notes


def _clock(machine: Machine, best: Mapping[str, float], measured: Mapping[str, float]) -> Figure:
    """The clock of the bounds: as told, else the highest of such processors, or what a measured rate asks for."""
    if machine.boost_clock_hertz:
        return _figure(machine.boost_clock_hertz, "hertz", DETECTED, "high", "")
    assumed = max(_ASSUMED_CLOCK.get(machine.vendor, _ASSUMED_CLOCK[""]), machine.base_clock_hertz)
    asked = [rate * MARGIN / (machine.cores_usable * best[dtype]) for dtype, rate in measured.items() if dtype in best]
    if max(asked, default=0.0) > assumed:
        return _figure(max(asked), "hertz", MEASURED, "medium", "that a measured rate asks for")
    return _figure(assumed, "hertz", ASSUMED, "low", "the boost clock is hidden: the highest of processors like it")


def _relative_bandwidth(machine: Machine) -> Figure | None:
    """The memory bandwidth of a chip whose GPU the catalog has: they share their memory (Apple)."""
    chip = match_hardware([machine.cpu, f"{machine.cpu} GPU"]) if machine.vendor == "Apple" else None
    figure = chip.figures["memory.bandwidth"] if chip is not None else None
    return replace(figure, note=_joined(figure.note, "the GPU's of the same chip")) if figure else None


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
        key: _figure(float(size), "bytes", DETECTED, confidence, note) for key, (size, note) in sizes.items() if size
    }
    return figures | {
        "cores.count": _figure(float(machine.cores_usable), "count", DETECTED, "high", _cores_note(machine))
    }


def _with_measured(
    figures: Mapping[str, Figure], peaks: Mapping[str, float], bandwidth: float, cache_bandwidth: float
) -> dict[str, Figure]:
    found = dict(figures)
    for dtype, rate in peaks.items():
        own = {key: figure for key, figure in figures.items() if key in {f"peaks.{unit}.{dtype}" for unit in UNITS}}
        if own:
            key = max(own, key=lambda candidate: own[candidate].value)
            found[key] = _raised(own[key], rate)
    memory = found["memory.bandwidth"]
    if bandwidth and memory.source == ASSUMED:
        note = f"plus {MARGIN - 1:.0%}; replaces an assumed {_gb(memory.value)}"
        found["memory.bandwidth"] = _figure(bandwidth * MARGIN, "bytes_per_second", MEASURED, "medium", note)
    elif bandwidth:
        found["memory.bandwidth"] = _raised(memory, bandwidth)
    if cache_bandwidth:
        key = "caches.llc_bandwidth" if "caches.llc" in found else "caches.l2_bandwidth"
        note = f"plus {MARGIN - 1:.0%}"
        found[key] = _figure(cache_bandwidth * MARGIN, "bytes_per_second", MEASURED, "medium", note)
    return found


def _raised(figure: Figure, measured: float) -> Figure:
    """The figure, or what was measured with its margin where that is more: a bound is not below it."""
    if figure.value >= measured * MARGIN:
        return figure
    note = _joined(figure.note, f"raised to what was measured plus {MARGIN - 1:.0%}")
    return replace(figure, value=measured * MARGIN, source=MEASURED, confidence="medium", note=note)


def _check_measured(peaks: Mapping[str, float], speeds: tuple[float, float]) -> None:
    wrong = [f"'{dtype}' is no dtype of a peak ({', '.join(DTYPES)})" for dtype in peaks if dtype not in DTYPES]
    wrong += [
        f"the measured {dtype} rate must be above 0, not {rate!r}"
        for dtype, rate in peaks.items()
        if not (math.isfinite(rate) and rate > 0)
    ]
    wrong += [
        f"a measured bandwidth must be 0 or more, not {speed!r}"
        for speed in speeds
        if not (math.isfinite(speed) and speed >= 0)
    ]
    if wrong:
        raise InputError("; ".join(wrong) + ".")


def _peaks(figures: Mapping[str, Figure]) -> set[tuple[Unit, str]]:
    return {(unit, dtype) for unit in UNITS for dtype in DTYPES if f"peaks.{unit}.{dtype}" in figures}


def _figure(value: float, dimension: str, source: str, confidence: str, note: str = "") -> Figure:
    return Figure(value=value, dimension=dimension, source=source, confidence=confidence, note=note)


def _core_bandwidth(machine: Machine) -> float:
    return _CORE_BYTES_PER_SECOND.get(machine.vendor, _CORE_BYTES_PER_SECOND[""])


def _platform_bandwidth(machine: Machine) -> float:
    server = machine.hypervisor or _SERVER_NAMES.search(machine.cpu) is not None
    return _SERVER_BYTES_PER_SECOND if server or machine.vendor == "Apple" else _DESKTOP_BYTES_PER_SECOND


def _core_note(machine: Machine) -> str:
    return f"memory channels are not told: at most {_gb(_core_bandwidth(machine))} for each usable core"


def _cores_note(machine: Machine) -> str:
    parts = [f"usable by this process, of {machine.cores_physical}"]
    if machine.threads_per_core > 1:
        parts.append(f"{machine.threads_per_core} threads each")
    return "; ".join(parts)


def _gb(value: float) -> str:
    return f"{value / 1e9:.4g} GB/s"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
