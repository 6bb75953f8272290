"""Memory that numpy gives back and asks for again all the time, kept by the process instead.

May import: nothing of perfmodel.
"""

from __future__ import annotations

from functools import lru_cache

KEPT_BYTES = 31 << 20


@lru_cache(1)
def keep_freed_memory() -> None:
    """Have the C library keep what temporary arrays free, a few times `KEPT_BYTES` at most.

    glibc returns larger blocks to the system at once, whose next use faults page by page, which takes longer than most
    arithmetic on them; once a block was freed it keeps as much, and twice that of the rest (mallopt(3),
    M_MMAP_THRESHOLD). So one is freed here. Elsewhere this does nothing.
    """
    import numpy

    numpy.empty(KEPT_BYTES, dtype=numpy.uint8)  # nobody holds it, so that it is freed
