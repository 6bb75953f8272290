"""What a measurement depends on besides the program: the machine and the versions.

May import: errors; torch inside functions.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL_LLC_BYTES = 32 << 20


def machine() -> dict[str, Any]:
    """The CPU's name and number, cores that this process may use, last-level cache in bytes, memory in whole GiB."""
    return {
        "cpu": _cpu_fact("model name") or platform.processor() or platform.machine(),
        "cpu_number": "/".join(_cpu_fact(name) for name in ("vendor_id", "cpu family", "model", "stepping")),
        "isa": platform.machine(),
        "cores": available_cores(),
        "llc_bytes": llc_bytes(),
        "memory_gib": round(memory_bytes() / 2**30),
    }


def versions() -> dict[str, str]:
    """Of what decides which kernels run."""
    import torch

    return {"python": platform.python_version(), "torch": str(torch.__version__)}


def gpu() -> dict[str, Any]:
    """The CUDA device that is timed."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {"gpu": properties.name, "gpu_memory_bytes": properties.total_memory, "llc_bytes": properties.L2_cache_size}


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def llc_bytes() -> int:
    """Size of the last-level cache that one core sees; 32 MiB where the system does not say."""
    sizes = [_cache_bytes(file) for file in _CACHES.glob("index*/size")]
    return max(sizes, default=0) or _USUAL_LLC_BYTES


def memory_bytes() -> int:
    """Of the machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def free_memory_bytes() -> int:
    """What can still be allocated without swapping; 0 where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _cpu_fact(name: str) -> str:
    """What Linux says of the first core; the names of virtual machines' CPUs leave out which one it is."""
    try:
        found = re.search(rf"^{name}\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def _cache_bytes(file: Path) -> int:
    try:
        found = re.fullmatch(r"(\d+)([KMG]?)", file.read_text().strip())
    except OSError:
        return 0
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]] if found else 0
