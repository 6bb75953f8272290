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
_NO_MEMORY_FOR_CODE = ("failed to map segment", "cannot allocate memory")  # what the loader of libraries says


def limit_reached(error: BaseException) -> str:
    """What the system has no more of, and what to do; "" where the error is another one.

    >>> limit_reached(OSError(errno.EMFILE, "Too many open files"))
    'too many open files for this process: raise the limit (ulimit -n)'
    """
    if out_of_memory(error):
        return _ENDED[errno.ENOMEM]
    return _ENDED.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error comes of too little memory, if need be by way of the errors before it."""
    while error is not None:
        told = str(error).lower() if isinstance(error, ImportError | OSError) else ""
        if isinstance(error, MemoryError) or any(text in told for text in _NO_MEMORY_FOR_CODE):
            return True
        error = error.__cause__ or error.__context__
    return False
