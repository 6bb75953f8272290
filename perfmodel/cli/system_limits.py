"""What the system has no more of, in words: no mistake of perfmodel, and something that people can do about.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import errno

_ENDED = {
    errno.ENOSPC: "the disk is full, or what stands behind the output takes no more: make room, or write elsewhere",
    errno.EDQUOT: "your share of the disk is used up: make room, or write elsewhere",
    errno.EROFS: "the disk is read-only: write elsewhere",
    errno.EMFILE: "too many open files for this process: raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine: close other programs",
    errno.EAGAIN: "no process or thread can be started: close other programs, or raise the limit (ulimit -u)",
    errno.ENOMEM: "not enough memory: close other programs, raise the limit (ulimit -v), or ask for less",
}
_NO_MEMORY_FOR_CODE = ("failed to map segment", "cannot allocate memory")


def limit_reached(error: BaseException) -> str:
    """What the system has no more of, and what to do; "" where the error is another one.

    >>> limit_reached(OSError(errno.EMFILE, "Too many open files"))
    'too many open files for this process: raise the limit (ulimit -n)'
    """
    if isinstance(error, MemoryError):
        return _ENDED[errno.ENOMEM]
    if isinstance(error, ImportError):  # of a compiled library
        told = str(error).lower()
        return _ENDED[errno.ENOMEM] if any(text in told for text in _NO_MEMORY_FOR_CODE) else ""
    return _ENDED.get(error.errno or 0, "") if isinstance(error, OSError) else ""
