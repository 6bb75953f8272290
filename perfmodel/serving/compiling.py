"""Loops compiled by numba where it is installed; without it the very same functions run as plain Python, slower.

Compiled code is kept in the user's cache folder, so that a process after the first starts at once. The folder's name
holds a digest of all files that are compiled, and of this one: numba looks only at the file of a function, not of those
that it calls.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED_FILES = (
    "step_sums.py",
    "replica_state.py",
    "kept_starts.py",
    "batching.py",
    "event_records.py",
    "event_loop.py",
)


@lru_cache(1)
def has_compiler() -> bool:
    """Whether functions marked `compiled` are: numba is there, takes this numpy, and is not switched off."""
    try:
        import numba
    except ImportError:
        return False
    return not numba.config.DISABLE_JIT


def compiled(function: Function) -> Function:
    """Compile a function that only compiled ones call; a module that uses this is imported inside functions only."""
    if not has_compiler():
        return function
    import numba

    # ways in from Python take a third of the time that compiling takes
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(error_model="numpy", **options)(function)  # type: ignore[no-any-return]


def compiled_entry(function: Function) -> Function:
    """Compile a function that Python calls, and keep it on disk with all that it calls; other threads run beside it."""
    if not has_compiler():
        return function
    import numba

    before = numba.config.CACHE_DIR
    with suppress(OSError, RuntimeError):  # no folder can be written: compile anew in each process
        numba.config.CACHE_DIR = before or str(_cache_folder())
        try:
            return numba.njit(error_model="numpy", nogil=True, cache=True)(function)  # type: ignore[no-any-return]
        finally:
            numba.config.CACHE_DIR = before
    return numba.njit(error_model="numpy", nogil=True)(function)  # type: ignore[no-any-return]


@lru_cache(1)
def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    here = Path(__file__).parent
    files = (*COMPILED_FILES, Path(__file__).name)
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in files)).hexdigest()
    return user_cache_path("perfmodel", appauthor=False) / "compiled" / digest[:16]
