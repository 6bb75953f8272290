"""What was found of the machine at hand, as text and as a document.

May import: types, units, catalog, machine, rich.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from perfmodel.catalog import hardware_to_dict
from perfmodel.machine.accelerators import Accelerator
from perfmodel.machine.detection import Machine, machine_id
from perfmodel.report.catalog_tables import print_chip, print_facts
from perfmodel.report.formats import format_bytes
from perfmodel.types import Hardware
from perfmodel.units import format_quantity

if TYPE_CHECKING:
    from rich.console import Console


def print_machine(
    console: Console, machine: Machine, accelerators: Sequence[Accelerator], matched: Hardware | None, profile: Hardware
) -> None:
    """Print what was found, what it was matched to, and the profile that is made of it."""
    console.print(f"This machine ({machine_id(machine)})", style="bold")
    print_facts(console, machine_facts(machine) | _gpu_facts(accelerators))
    console.print(f"Matched: {_match(matched)}")
    assumed = assumed_figures(profile)
    console.print(f"Assumed or estimated: {', '.join(assumed) or 'nothing'}")
    console.print()
    print_chip(console, profile)


def machine_document(
    machine: Machine, accelerators: Sequence[Accelerator], matched: Hardware | None, profile: Hardware, file: str
) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "machine": {"id": machine_id(machine), **asdict(machine)},
        "accelerators": [asdict(accelerator) for accelerator in accelerators],
        "matched": matched.id if matched else None,
        "assumed": assumed_figures(profile),
        "profile": hardware_to_dict(profile),
        "file": file or None,
    }


def assumed_figures(profile: Hardware) -> list[str]:
    """The keys of the figures that are no more than assumptions."""
    return [key for key, figure in profile.figures.items() if figure.confidence == "low"]


def machine_facts(machine: Machine) -> dict[str, str]:
    """What is known of a machine, in words; what is not is ""."""
    smt = f", {machine.threads_per_core} threads each" if machine.threads_per_core > 1 else ""
    quota = f", {machine.cpu_quota:g} CPUs' worth of time" if machine.cpu_quota else ""
    caches = {"L1d": machine.l1d_bytes, "L2": machine.l2_bytes}
    sizes = [f"{name} {format_bytes(size)} per core" for name, size in caches.items() if size]
    sizes += [f"L3 {format_bytes(machine.l3_bytes)} visible"] if machine.l3_bytes else []
    clocks = {"base": machine.base_clock_hertz, "boost": machine.boost_clock_hertz}
    return {
        "CPU": ", ".join(filter(None, (machine.cpu, machine.vendor, machine.family, machine.architecture))),
        "cores": f"{machine.cores_physical}{smt}; usable here: {machine.cores_usable}{quota}",
        "instructions": ", ".join(machine.flags),
        "caches": ", ".join(sizes),
        "memory": format_bytes(machine.memory_bytes) if machine.memory_bytes else "",
        "clocks": ", ".join(f"{name} {format_quantity(hertz, 'hertz')}" for name, hertz in clocks.items() if hertz),
        "system": " ".join(filter(None, (machine.system, machine.kernel, "(virtual)" if machine.hypervisor else ""))),
        "versions": ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
    }


def _gpu_facts(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    return {
        f"{gpu.kind}:{gpu.index}": ", ".join(
            filter(
                None,
                (
                    gpu.name,
                    format_bytes(gpu.memory_bytes) if gpu.memory_bytes else "",
                    gpu.capability,
                    f"driver {gpu.driver}" if gpu.driver else "",
                    f"{gpu.kind} {gpu.toolkit}" if gpu.toolkit else "",
                ),
            )
        )
        for gpu in accelerators
    }


def _match(matched: Hardware | None) -> str:
    return f"{matched.id} of the catalog ({matched.name})" if matched else "no chip of the catalog by its name"
