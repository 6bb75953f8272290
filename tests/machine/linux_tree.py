"""A made-up /proc and /sys: processors with their cores, caches and control groups."""

from __future__ import annotations

from pathlib import Path


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def write_cpus(root: Path, cores: list[tuple[int, int]], *, cores_per_l3: int = 2) -> None:
    """Logical CPUs on (socket, core), with 32 KiB of L1d and 1 MiB of L2 per core, 16 MiB of L3 for a few cores."""
    order = list(dict.fromkeys(cores))
    for cpu, place in enumerate(cores):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        write(root, f"{folder}/topology/physical_package_id", str(place[0]))
        write(root, f"{folder}/topology/core_id", str(place[1]))
        own = ",".join(str(other) for other, there in enumerate(cores) if there == place)
        group = order.index(place) // cores_per_l3
        shared = ",".join(
            str(other) for other, there in enumerate(cores) if order.index(there) // cores_per_l3 == group
        )
        caches = (("1", "Data", "32K", own), ("1", "Instruction", "64K", own), ("2", "Unified", "1024K", own),
                  ("3", "Unified", "16M", shared))  # fmt: skip
        for index, (level, kind, size, list_) in enumerate(caches):
            for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", list_)):
                write(root, f"{folder}/cache/index{index}/{name}", text)
