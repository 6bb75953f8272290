"""What Linux says of processors, caches and the limits of a control group, in files.

Every function takes the root of the file system, and answers with 0 or nothing where a file is not there.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_UNLIMITED_BYTES = 1 << 60  # what cgroup v1 writes for "no limit" lies above
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_word(path: Path) -> str:
    """The text of a file, without blanks around it; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def read_number(path: Path) -> int:
    """The whole number in a file, with a suffix K, M or G (binary); 0 where there is none."""
    word = read_word(path)
    factor = _SIZES.get(word[-1:], 1)
    digits = word[:-1] if factor > 1 else word
    return int(digits) * factor if digits.isdecimal() else 0


def core_of_cpu(root: Path = ROOT) -> dict[int, tuple[int, int]]:
    """Logical CPU -> (socket, core) of it."""
    found = {}
    for folder in _numbered(root / _CPUS, "cpu"):
        topology = folder / "topology"
        core, socket = read_word(topology / "core_id"), read_word(topology / "physical_package_id")
        if core.isdecimal():
            found[int(folder.name[3:])] = (int(socket) if socket.isdecimal() else 0, int(core))
    return found


def cache_bytes(usable: Collection[int], root: Path = ROOT) -> dict[str, int]:
    """Caches that logical CPUs see: "L1d" and "L2" of one core, "L3" the sum of all they share in.

    Args:
        usable: the logical CPUs; empty for all.
    """
    instances: dict[str, dict[str, int]] = {}
    for folder in _numbered(root / _CPUS, "cpu"):
        if usable and int(folder.name[3:]) not in usable:
            continue
        for cache in _numbered(folder / "cache", "index"):
            level, kind = read_word(cache / "level"), read_word(cache / "type")
            name = f"L{level}d" if level == "1" else f"L{level}"
            if kind != "Instruction":
                shared = read_word(cache / "shared_cpu_list") or folder.name
                instances.setdefault(name, {})[shared] = read_number(cache / "size")
    found = {name: max(sizes.values()) for name, sizes in instances.items()}
    return found | ({"L3": sum(instances["L3"].values())} if "L3" in instances else {})


def clock_hertz(root: Path = ROOT) -> tuple[float, float]:
    """(base, boost) clock of the fastest core as the frequency driver states it; 0 for what it does not."""
    folders = [folder / "cpufreq" for folder in _numbered(root / _CPUS, "cpu")]
    base, boost = (
        max((read_number(folder / name) for folder in folders), default=0) * 1e3
        for name in ("base_frequency", "cpuinfo_max_freq")
    )
    return base, boost


def cpu_quota(root: Path = ROOT) -> float:
    """CPUs' worth of time that the control group of this process may use; 0 where nothing limits it."""
    limits = []
    for folder in _groups(root, "cpu"):
        words = read_word(folder / "cpu.max").split()
        quota, period = words if len(words) == 2 else (read_word(folder / "cpu.cfs_quota_us"), "")
        period = period or read_word(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            limits.append(int(quota) / int(period))
    return min(limits, default=0.0)


def memory_limit_bytes(root: Path = ROOT) -> int:
    """Memory that the control group of this process may use; 0 where nothing limits it."""
    limits = [
        read_number(folder / name)
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((limit for limit in limits if 0 < limit < _UNLIMITED_BYTES), default=0)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, of version 1 and 2, up to the root."""
    for line in read_word(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        for top in (root / "sys/fs/cgroup", root / "sys/fs/cgroup" / (controllers or "unified"),
                    root / "sys/fs/cgroup" / controller):  # fmt: skip
            inside = path.strip("/")
            while True:
                yield top / inside
                if not inside:
                    break
                inside = os.path.dirname(inside)


def _numbered(folder: Path, name: str) -> list[Path]:
    """The entries cpu0, cpu1, ... of a folder, in order."""
    try:
        entries = [entry for entry in folder.iterdir() if entry.name.removeprefix(name).isdecimal()]
    except OSError:
        return []
    return sorted(
        (entry for entry in entries if entry.name.startswith(name)), key=lambda entry: int(entry.name[len(name) :])
    )
