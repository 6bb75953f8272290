"""What a measurement depends on besides the program: the machine and the versions.

May import: machine; torch inside functions.
"""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfmodel.machine.accelerators import accelerator_fields, require_device
from perfmodel.machine.detection import Machine, detect_machine, machine_id

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL_LLC_BYTES = 32 << 20


def machine() -> dict[str, Any]:
    """Id of the machine, name of its CPU, cores that this process can keep busy, last-level cache, memory in GiB."""
    found = _detected()
    return {
        "id": machine_id(found),
        "cpu": found.cpu or found.architecture,
        "isa": found.architecture,
        "cores": found.cores_usable,
        "llc_bytes": llc_bytes(),
        "memory_gib": round(found.memory_bytes / 2**30),
    }


def versions() -> dict[str, str]:
    """Of what decides which kernels run."""
    import torch

    return {"python": platform.python_version(), "torch": str(torch.__version__)}


def gpu() -> dict[str, Any]:
    """The CUDA device that is timed: its name, its last cache, and what a profile can be made from."""
    import torch

    found = require_device("rocm" if torch.version.hip else "cuda")
    caches = torch.cuda.get_device_properties(found.index).L2_cache_size
    return {**accelerator_fields(found), "llc_bytes": caches}


def available_cores() -> int:
    """Cores that this process can keep busy: by affinity and control group, two threads of one core counted once."""
    return _detected().cores_usable


def llc_bytes() -> int:
    """Size of the last-level cache that one core sees; 32 MiB where the system does not say."""
    sizes = [_cache_bytes(file) for file in _CACHES.glob("index*/size")]
    return max(sizes, default=0) or _USUAL_LLC_BYTES


def free_memory_bytes() -> int:
    """What can still be allocated without swapping; 0 where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def free_gpu_bytes() -> int:
    """What can still be allocated on the CUDA device, with what torch keeps for itself given back first."""
    import torch

    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info()[0])


@lru_cache(1)
def _detected() -> Machine:
    return detect_machine()


def _cache_bytes(file: Path) -> int:
    try:
        found = re.fullmatch(r"(\d+)([KMG]?)", file.read_text().strip())
    except OSError:
        return 0
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]] if found else 0
