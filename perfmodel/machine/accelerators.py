"""The GPUs of the machine at hand, as torch sees them, and their profiles.

torch is imported inside the functions, and its absence is an answer: there are none. May import: errors, types,
catalog, hardware_profile, machine.gpu_rates, machine.measured_figures, machine.profile_files, machine.linux_files.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any

from perfmodel.catalog import match_hardware
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.hardware_profile import DTYPES, UNITS, default_fallbacks
from perfmodel.machine.gpu_rates import FAMILIES, SOURCE, multiprocessor_rates
from perfmodel.machine.linux_files import ROOT, read_word
from perfmodel.machine.measured_figures import make_figure, with_measured
from perfmodel.machine.profile_files import as_read
from perfmodel.types import Figure, Hardware

KINDS = ("cuda", "rocm", "mps")
_FIELD = "gpu_"  # in front of an accelerator's fields in the first line of a file of runs
_OF_PROCESS = ("name", "index", "driver")  # fields that are kept otherwise, or change while the GPU stays what it is
_SEEN = "detected: torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A GPU; what torch does not tell is 0 or "".

    Args:
        kind: cuda, rocm or mps. index: torch's number of it.
        capability: "9.0" of CUDA, "gfx942" of ROCm. multiprocessors: SM or CU.
        memory_bandwidth_bytes_per_second: memory clock x bus width, where torch tells both.
        driver: its version. toolkit: the CUDA or ROCm version that torch was built with.
    """

    kind: str
    name: str
    index: int = 0
    memory_bytes: int = 0
    capability: str = ""
    multiprocessors: int = 0
    clock_hertz: float = 0.0
    memory_bandwidth_bytes_per_second: float = 0.0
    driver: str = ""
    toolkit: str = ""


def detect_accelerators() -> tuple[Accelerator, ...]:
    """All GPUs that torch can use; none where torch is not installed or sees none."""
    if find_spec("torch") is None:
        return ()
    import torch

    found = []
    if torch.cuda.is_available():
        kind, toolkit = ("rocm", torch.version.hip) if torch.version.hip else ("cuda", torch.version.cuda)
        found += [
            from_properties(torch.cuda.get_device_properties(index), kind, index, toolkit or "")
            for index in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        name = _mac_chip()
        found.append(Accelerator(kind="mps", name=name, memory_bytes=int(torch.mps.recommended_max_memory())))
    return tuple(found)


def require_device(kind: str) -> Accelerator:
    """The first GPU of a kind: cuda, rocm or mps.

    Raises:
        UnsupportedError: there is none, with what there is instead and why.
    """
    found = detect_accelerators()
    own = [accelerator for accelerator in found if accelerator.kind == kind]
    if own:
        return own[0]
    if found:
        there = "here is " + ", ".join(f"{accelerator.name} ({accelerator.kind})" for accelerator in found)
    elif find_spec("torch") is None:
        there = "torch, through which GPUs are found, is not installed (pip install 'perfmodel[torch]')"
    else:
        import torch

        there = f"torch {torch.__version__} sees no GPU, only the CPU"
    raise UnsupportedError(f"no {kind} device on this machine: {there}. Use --device cpu.")


def accelerator_profile(
    accelerator: Accelerator,
    name: str,
    *,
    measured_peaks: Mapping[str, float] | None = None,
    measured_bandwidth_bytes_per_second: float = 0.0,
) -> Hardware:
    """A GPU as a chip: as the catalog has it, else by its compute capability.

    Args:
        name, measured_*: as `profile.starting_profile`.

    Raises:
        UnsupportedError: the catalog does not know it, and too little is told of it.
        InputError: measured figures that are no positive numbers. SpecError: the name is no id.
    """
    known = matching_accelerator(accelerator)
    start, figures, note = _known(known, accelerator) if known else _unknown(accelerator)
    figures = with_measured(figures, dict(measured_peaks or {}), measured_bandwidth_bytes_per_second)
    driver = f", driver {accelerator.driver}" if accelerator.driver else ""
    notes = (*start.notes, note, f"{accelerator.kind} {accelerator.toolkit}{driver}".strip())
    return as_read(replace(start, id=name, aliases=(), figures=figures, notes=notes, path=""))


def matching_accelerator(accelerator: Accelerator) -> Hardware | None:
    """The chip of the catalog that a GPU names itself after, if any."""
    found = match_hardware([accelerator.name]) if accelerator.name else None
    return found if found is not None and found.kind == "gpu" else None


def _known(chip: Hardware, accelerator: Accelerator) -> tuple[Hardware, dict[str, Figure], str]:
    figures = dict(chip.figures)
    if accelerator.memory_bytes:
        figures["memory.usable"] = make_figure(float(accelerator.memory_bytes), "bytes", _SEEN, "high", "by the driver")
    return chip, figures, f"figures of {chip.id}; `--hardware {chip.id}` has what was measured on others of it."


def _unknown(accelerator: Accelerator) -> tuple[Hardware, dict[str, Figure], str]:
    rates = multiprocessor_rates(accelerator.capability) if accelerator.kind == "cuda" else {}
    told = {
        "compute capability": rates,
        "clock": accelerator.clock_hertz,
        "memory bandwidth": accelerator.memory_bandwidth_bytes_per_second,
        "memory size": accelerator.memory_bytes,
    }
    missing = [what for what, known in told.items() if not known]
    if missing:
        raise UnsupportedError(
            f"the catalog has no '{accelerator.name}', and torch tells no {', '.join(missing)} to make a profile from: "
            "write one by hand (hardware_specs/README.md)."
        )
    cores, clock = accelerator.multiprocessors, accelerator.clock_hertz
    figures = {
        f"peaks.{unit}.{dtype}": make_figure(
            cores * flops * clock, "flops_per_second", f"derived: units x FLOP per cycle x clock; {SOURCE}", "low",
            f"{cores} x {flops:g} x {clock / 1e9:.3g} GHz",
        )
        for (unit, dtype), flops in rates.items()
    }  # fmt: skip
    bandwidth = accelerator.memory_bandwidth_bytes_per_second
    figures |= {
        "memory.capacity": make_figure(float(accelerator.memory_bytes), "bytes", _SEEN, "high"),
        "memory.bandwidth": make_figure(bandwidth, "bytes_per_second", _SEEN, "medium", "memory clock x bus width"),
        "cores.count": make_figure(float(cores), "count", _SEEN, "high"),
        "clocks.boost": make_figure(clock, "hertz", _SEEN, "high"),
    }
    native = tuple(dtype for dtype in DTYPES if any((unit, dtype) in rates for unit in UNITS))
    start = Hardware(
        id="", name=accelerator.name, vendor="NVIDIA", kind="gpu", family=FAMILIES[accelerator.capability], peaks={},
        memory_bytes=0, memory_bandwidth_bytes_per_second=0, native=native, core_kind="SM",
        fallbacks=default_fallbacks(native, rates.keys()),
    )  # fmt: skip
    return start, figures, "the catalog does not know this GPU: rates follow from its compute capability."


def from_properties(properties: Any, kind: str, index: int, toolkit: str) -> Accelerator:
    """An accelerator from torch's properties of a device, whose fields differ between versions of torch."""

    def told(field: str) -> int:
        return int(getattr(properties, field, 0) or 0)

    bus_bytes = told("memory_bus_width") / 8
    return Accelerator(
        kind=kind,
        name=str(properties.name),
        index=index,
        memory_bytes=told("total_memory"),
        capability=f"{properties.major}.{properties.minor}" if kind == "cuda" else _gfx(properties),
        multiprocessors=told("multi_processor_count"),
        clock_hertz=told("clock_rate") * 1e3,
        memory_bandwidth_bytes_per_second=2 * told("memory_clock_rate") * 1e3 * bus_bytes,  # two transfers per clock
        driver=_driver() if kind == "cuda" else "",
        toolkit=toolkit,
    )


def accelerator_fields(accelerator: Accelerator) -> dict[str, Any]:
    """What is known of a GPU, as the first line of a file of runs has it: its name as `gpu`, `gpu_memory_bytes`, ..."""
    told = {
        field.name: getattr(accelerator, field.name) for field in fields(Accelerator) if field.name not in _OF_PROCESS
    }
    return {"gpu": accelerator.name, **{f"{_FIELD}{name}": value for name, value in told.items() if value}}


def accelerator_of(machine: Mapping[str, Any]) -> Accelerator:
    """The GPU that runs were measured on.

    Args:
        machine: of the first line of their file; fields that it lacks are not known.

    Raises:
        InputError: it names no GPU, or fields are of another type.
    """
    name = machine.get("gpu")
    if not name or not isinstance(name, str):
        raise InputError("the first line of the file of runs names no GPU; measure anew")
    told: dict[str, Any] = {"kind": "cuda", "name": name}
    wrong = []
    for field in fields(Accelerator):
        key = f"{_FIELD}{field.name}"
        if field.name in _OF_PROCESS or key not in machine:
            continue
        value = machine[key]
        if isinstance(value, bool) or not isinstance(value, str if field.type == "str" else int | float):
            wrong.append(f"{key} is {value!r}")
        told[field.name] = value
    if wrong:
        raise InputError(f"the first line of the file of runs is damaged: {', '.join(wrong)}")
    return Accelerator(**told)


def _gfx(properties: Any) -> str:
    return str(getattr(properties, "gcnArchName", "")).split(":")[0]


def _driver() -> str:
    version = re.search(r"Kernel Module[^0-9]*([0-9.]+)", read_word(ROOT / "proc/driver/nvidia/version"))
    return version[1] if version else ""


def _mac_chip() -> str:
    from cpuinfo import get_cpu_info

    return str(get_cpu_info().get("brand_raw", "")) or platform.processor()
