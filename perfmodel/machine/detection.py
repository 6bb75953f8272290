"""The CPU of the machine at hand: `detect_machine()`, and a short name by which measurements of it are recognised.

What the operating system does not say is 0 or "", and named in `notes`. Linux is read from its own files, which know
topology, caches and control groups; names and instruction sets, and all of macOS and Windows, come through py-cpuinfo
and psutil. May import: errors, catalog, machine.linux_files.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from perfmodel.catalog import fold_name
from perfmodel.machine import linux_files

# instruction sets that decide the rate of a matrix product, by the names Linux and py-cpuinfo use for them
FLAGS: Mapping[str, tuple[str, ...]] = {
    "avx": ("avx",), "avx2": ("avx2",), "fma": ("fma", "fma3"), "avx512f": ("avx512f",),
    "avx512_bf16": ("avx512_bf16",), "avx512_fp16": ("avx512_fp16",), "avx512_vnni": ("avx512_vnni", "avx512vnni"),
    "avx_vnni": ("avx_vnni",), "amx_tile": ("amx_tile",), "amx_bf16": ("amx_bf16",), "amx_int8": ("amx_int8",),
    "amx_fp16": ("amx_fp16",), "asimd": ("asimd", "neon"), "asimdhp": ("asimdhp",), "asimddp": ("asimddp",),
    "sve": ("sve",), "bf16": ("bf16",), "i8mm": ("i8mm",),
}  # fmt: skip
VENDORS = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel", "ARM": "Arm", "HygonGenuine": "Hygon"}
ARM_MACHINES = ("arm64", "aarch64")
PACKAGES = ("torch", "numpy", "perfmodel")
# (family, model) of CPUID -> the core design, by the names of families in the catalog; model -1 for all others
_DESIGNS: Mapping[tuple[str, int, int], str] = {
    ("AMD", 26, -1): "zen5", ("Intel", 6, 85): "cascade-lake", ("Intel", 6, 106): "ice-lake-sp",
    ("Intel", 6, 108): "ice-lake-sp", ("Intel", 6, 143): "sapphire-rapids", ("Intel", 6, 207): "emerald-rapids",
    ("Intel", 6, 173): "granite-rapids", ("Intel", 6, 174): "granite-rapids", ("Intel", 6, 151): "alder-lake",
    ("Intel", 6, 154): "alder-lake",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The CPU of a machine and what this process may use of it; what is unknown is 0 or "".

    Args:
        cpu: its name as it reports it. family: core design by the catalog's names (zen5, sapphire-rapids).
        cores_usable: cores this process may keep busy, by affinity and control group. threads_usable: logical ones.
        cpu_quota: CPUs' worth of time per second that a control group allows; 0 without a limit.
        l1d_bytes, l2_bytes: of one core. l3_bytes: the sum of what the usable cores share in.
        memory_bytes: of the machine, or what a control group leaves of it.
        hypervisor: whether this is a virtual machine that says so.
        versions: of python and of packages that are installed. notes: what could not be told, and why.
    """

    cpu: str
    vendor: str = ""
    architecture: str = ""
    family: str = ""
    cores_physical: int = 0
    cores_logical: int = 0
    threads_per_core: int = 1
    threads_usable: int = 0
    cores_usable: int = 1
    cpu_quota: float = 0.0
    flags: tuple[str, ...] = ()
    l1d_bytes: int = 0
    l2_bytes: int = 0
    l3_bytes: int = 0
    memory_bytes: int = 0
    base_clock_hertz: float = 0.0
    boost_clock_hertz: float = 0.0
    system: str = ""
    kernel: str = ""
    hypervisor: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def machine_id(machine: Machine) -> str:
    """Twelve hexadecimal digits that are the same as long as what decides the speed of the CPU is.

    Name, usable cores and threads, instruction sets, caches, and memory to two digits of GiB, because a kernel keeps
    a little of it to itself. Clocks are no part of it: a virtual machine states another one each time.
    """
    memory = float(f"{machine.memory_bytes / 2**30:.2g}")
    facts = (
        machine.cpu, machine.architecture, machine.family, machine.cores_usable, machine.threads_usable,
        round(machine.cpu_quota, 2), machine.flags, machine.l1d_bytes, machine.l2_bytes, machine.l3_bytes, memory,
    )  # fmt: skip
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def detect_machine() -> Machine:
    """What the operating system tells of the machine this runs on. It takes about a second."""
    linux = platform.system() == "Linux"
    told = _processor_facts()
    architecture = platform.machine()
    raw_flags = set(told.get("flags", ()))
    flags = tuple(name for name, known in FLAGS.items() if raw_flags & set(known))
    if architecture.lower() in ARM_MACHINES and "asimd" not in flags:
        flags = ("asimd", *flags)  # every 64-bit Arm core has it, and macOS lists no flags
    cpu = str(told.get("brand_raw", "")) or platform.processor()
    vendor = _vendor(str(told.get("vendor_id_raw", "")), cpu)
    logical, usable = _logical_cpus()
    cores = linux_files.core_of_cpu() if linux else {}
    physical = len(set(cores.values())) or _physical_cores() or logical
    threads_per_core = max(1, round(logical / physical))
    quota = linux_files.cpu_quota() if linux else 0.0
    caches = linux_files.cache_bytes(usable) if linux else _told_caches(told, physical)
    hypervisor = "hypervisor" in raw_flags
    base, boost = _clocks(told, hypervisor, linux)
    machine = Machine(
        cpu=cpu,
        vendor=vendor,
        architecture=architecture,
        family=core_design(vendor, cpu, int(told.get("family", 0)), int(told.get("model", 0)), flags),
        cores_physical=physical,
        cores_logical=logical,
        threads_per_core=threads_per_core,
        threads_usable=len(usable) or logical,
        cores_usable=usable_cores(usable, cores, quota, threads_per_core, logical),
        cpu_quota=quota,
        flags=flags,
        l1d_bytes=caches.get("L1d", 0),
        l2_bytes=caches.get("L2", 0),
        l3_bytes=caches.get("L3", 0),
        memory_bytes=_memory_bytes(linux_files.memory_limit_bytes() if linux else 0),
        base_clock_hertz=base,
        boost_clock_hertz=boost,
        system=platform.system(),
        kernel=platform.release(),
        hypervisor=hypervisor,
        versions=_versions(),
    )
    return with_notes(machine)


def usable_cores(
    usable: frozenset[int], cores: Mapping[int, tuple[int, int]], quota: float, threads_per_core: int, logical: int
) -> int:
    """Cores that a process can keep busy: those its logical CPUs lie on, no more than its quota of time.

    Args:
        usable: logical CPUs of its affinity; empty where the system has none. cores: logical CPU -> (socket, core).
        quota: CPUs' worth of time; 0 without a limit.
    """
    threads = len(usable) or logical
    own = {cores[cpu] for cpu in (usable or cores) if cpu in cores}
    count = len(own) or math.ceil(threads / threads_per_core)
    return max(1, min(count, math.ceil(quota)) if quota else count)


def core_design(vendor: str, cpu: str, family: int, model: int, flags: tuple[str, ...]) -> str:
    """The design of the cores by the catalog's names of families; "" where it is not known.

    Args:
        family, model: of CPUID, in decimal.

    >>> core_design("AMD", "AMD EPYC", 26, 2, ()), core_design("Arm", "Neoverse-V1", 0, 0, ())
    ('zen5', 'neoverse-v1')
    """
    if (vendor, family) == ("AMD", 25):  # Zen 3 and Zen 4 share a family; only the latter has AVX-512
        return "zen4" if "avx512f" in flags else "zen3"
    if (vendor, family, model) == ("Intel", 6, 85) and "avx512_vnni" not in flags:
        return ""  # Skylake-SP, the same model without VNNI
    found = _DESIGNS.get((vendor, family, model)) or _DESIGNS.get((vendor, family, -1), "")
    folded = fold_name(cpu)
    return found or (folded if folded.startswith(("neoverse-", "cortex-")) else "")


def with_notes(machine: Machine) -> Machine:
    """The machine with a note on everything that is not known of it."""
    notes = []
    if not machine.cpu:
        notes.append("the name of the CPU is not known")
    sizes = {"L1d": machine.l1d_bytes, "L2": machine.l2_bytes, "L3": machine.l3_bytes}
    missing = [name for name, size in sizes.items() if not size]
    if missing:
        notes.append(f"not told by the system: {', '.join(missing)} cache")
    if not machine.memory_bytes:
        notes.append("the size of the memory is not known")
    if not machine.boost_clock_hertz:
        base = (
            f"; the time-stamp counter runs at {machine.base_clock_hertz / 1e9:.2f} GHz, usually the base clock"
            if machine.hypervisor and machine.base_clock_hertz
            else ""
        )
        notes.append(f"the boost clock is not told by the system{base}")
    if machine.hypervisor:
        notes.append(
            "a virtual machine: its cores may be threads of cores shared with others, and its caches and memory "
            "bandwidth may be shared too"
        )
    if machine.cpu_quota:
        notes.append(f"a control group allows {machine.cpu_quota:g} CPUs' worth of time")
    return replace(machine, notes=tuple(notes))


# ------------------------------------------------------------------------------------------ single questions


def _processor_facts() -> Mapping[str, Any]:
    """What py-cpuinfo finds; nothing where it does not know the processor at all."""
    from cpuinfo import get_cpu_info

    try:
        return dict(get_cpu_info())
    except Exception:  # it raises a bare Exception on architectures that it does not know
        return {}


def _vendor(identifier: str, cpu: str) -> str:
    if cpu.startswith("Apple"):
        return "Apple"
    return VENDORS.get(identifier, identifier)


def _logical_cpus() -> tuple[int, frozenset[int]]:
    """(logical CPUs of the machine, those this process may run on; empty where the system has no affinity)."""
    import psutil

    process = psutil.Process()
    usable = frozenset(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else frozenset()
    return psutil.cpu_count(logical=True) or os.cpu_count() or 1, usable


def _physical_cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or 0


def _memory_bytes(limit: int) -> int:
    import psutil

    total = int(psutil.virtual_memory().total)
    return min(total, limit) if limit else total


def _told_caches(told: Mapping[str, Any], cores: int) -> dict[str, int]:
    """Caches by py-cpuinfo, which sums L1 and L2 over the cores."""
    sizes = {"L1d": "l1_data_cache_size", "L2": "l2_cache_size", "L3": "l3_cache_size"}
    found = {name: told[key] for name, key in sizes.items() if isinstance(told.get(key), int)}
    return {name: size if name == "L3" else size // max(cores, 1) for name, size in found.items()}


def _clocks(told: Mapping[str, Any], hypervisor: bool, linux: bool) -> tuple[float, float]:
    """(base, boost). In a virtual machine the clock that is shown is that of the time-stamp counter: the base clock."""
    base, boost = linux_files.clock_hertz() if linux else (0.0, 0.0)
    advertised = told.get("hz_advertised", (0, 0))
    shown = float(advertised[0]) if advertised else 0.0
    # without a frequency driver a bare machine shows the clock of the moment, which says nothing
    return base or (shown if hypervisor or not linux or "@" in str(told.get("brand_raw")) else 0.0), boost


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
