"""What this machine is told to be, and the name by which its measurements are recognised."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from perfmodel.machine.detection import (
    Machine,
    core_design,
    detect_machine,
    machine_id,
    usable_cores,
    with_notes,
)

SMT = {0: (0, 0), 1: (0, 1), 2: (0, 0), 3: (0, 1)}
MACHINE = Machine(
    cpu="AMD EPYC 9755 128-Core Processor", vendor="AMD", architecture="x86_64", family="zen5", cores_physical=2,
    cores_logical=2, threads_usable=2, cores_usable=2, flags=("avx2", "fma", "avx512f"), l1d_bytes=48 << 10,
    l2_bytes=1 << 20, l3_bytes=32 << 20, memory_bytes=24 << 30, base_clock_hertz=2.6e9, system="Linux",
)  # fmt: skip


@pytest.fixture(scope="module")
def here() -> Machine:
    return detect_machine()


def test_this_machine_agrees_with_the_system(here: Machine) -> None:
    assert here.cpu
    assert here.architecture == platform.machine()
    assert here.cores_logical == os.cpu_count()
    assert 1 <= here.cores_usable <= here.cores_physical <= here.cores_logical
    assert 0 < here.memory_bytes <= psutil.virtual_memory().total
    assert here.versions["python"] == platform.python_version()
    assert {"asimd", "avx", "avx2"} & set(here.flags) or platform.machine() not in ("x86_64", "aarch64", "arm64")
    assert here.boost_clock_hertz or any("boost clock" in note for note in here.notes)


def test_twice_the_same(here: Machine) -> None:
    assert machine_id(detect_machine()) == machine_id(here)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_counts() -> None:
    cpu = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from perfmodel.machine.detection import detect_machine\n"
        "found = detect_machine(); print(found.cores_usable, found.threads_usable)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "1"]


def test_detection_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import perfmodel.machine.detection as detection, perfmodel.machine.profile, perfmodel.machine.accelerators\n"
        "import sys; early = {'psutil', 'cpuinfo', 'torch'} & set(sys.modules); detection.detect_machine()\n"
        "print(sorted(early), sorted({'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] []"


@pytest.mark.parametrize(
    ("usable", "quota", "expected"),
    [({0, 1, 2, 3}, 0.0, 2), ({0, 2}, 0.0, 1), ({0, 1}, 0.0, 2), ({0, 1}, 1.0, 1), ({0, 1}, 1.5, 2), ((), 0.0, 2),
     ({0, 1}, 0.2, 1)],
)  # fmt: skip
def test_cores_that_can_be_kept_busy(usable: set[int], quota: float, expected: int) -> None:
    assert usable_cores(frozenset(usable), SMT, quota, 2, 4) == expected


def test_cores_without_a_map_of_them() -> None:
    assert usable_cores(frozenset(), {}, 0.0, 2, 16) == 8
    assert usable_cores(frozenset({0, 1, 2}), {}, 0.0, 2, 16) == 2


@pytest.mark.parametrize(
    ("vendor", "cpu", "family", "model", "flags", "expected"),
    [
        ("AMD", "AMD EPYC", 26, 2, ("avx512f",), "zen5"),
        ("AMD", "AMD EPYC 9R14", 25, 17, ("avx512f",), "zen4"),
        ("AMD", "AMD EPYC 7763 64-Core Processor", 25, 1, ("avx2",), "zen3"),
        ("Intel", "Intel(R) Xeon(R) Platinum 8488C", 6, 143, (), "sapphire-rapids"),
        ("Intel", "Intel(R) Xeon(R) Platinum 8259CL", 6, 85, ("avx512_vnni",), "cascade-lake"),
        ("Intel", "Intel(R) Xeon(R) Platinum 8124M", 6, 85, ("avx512f",), ""),
        ("Arm", "Neoverse-V2", 0, 0, (), "neoverse-v2"),
        ("Apple", "Apple M2 Pro", 0, 0, (), ""),
    ],
)
def test_core_designs(vendor: str, cpu: str, family: int, model: int, flags: tuple[str, ...], expected: str) -> None:
    assert core_design(vendor, cpu, family, model, flags) == expected


@pytest.mark.parametrize(
    "change",
    [{"cpu": "AMD EPYC"}, {"cores_usable": 1}, {"l3_bytes": 16 << 20}, {"memory_bytes": 48 << 30}, {"cpu_quota": 1.5},
     {"flags": ("avx2", "fma")}],
)  # fmt: skip
def test_id_follows_what_decides_the_speed(change: dict[str, object]) -> None:
    assert machine_id(replace(MACHINE, **change)) != machine_id(MACHINE)  # type: ignore[arg-type]


def test_id_overlooks_what_does_not() -> None:
    same = replace(
        MACHINE, base_clock_hertz=2.4e9, kernel="7.0", versions={"torch": "3"}, memory_bytes=(24 << 30) - (200 << 20)
    )
    assert machine_id(same) == machine_id(MACHINE)
    assert len(machine_id(same)) == 12


def test_what_is_not_known_is_noted() -> None:
    text = " ".join(with_notes(replace(MACHINE, l2_bytes=0, l3_bytes=0, hypervisor=True, cpu_quota=1.5)).notes)
    for part in ("L2, L3 cache", "boost clock", "2.60 GHz", "virtual machine", "1.5 CPUs"):
        assert part in text
    assert "boost" not in " ".join(with_notes(replace(MACHINE, boost_clock_hertz=4.1e9)).notes)
