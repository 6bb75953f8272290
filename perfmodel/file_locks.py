"""Locks on files and folders that are open: they end with the process that holds them, however it ends.

Nothing is written for a lock, so that none can be left behind. Some systems have none (Windows, some network disks):
there, two processes are not kept apart. May import: errors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perfmodel.errors import InputError

WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.05


def try_lock(descriptor: int) -> bool | None:
    """Take the lock of an open file or folder, until it is closed.

    Returns:
        False: another process has it. None: there are no locks here.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def is_at(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Whether an open file or folder is still the one of that name: a lock on one that was removed keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextmanager
def one_at_a_time(folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Keep other processes that ask for the same out, for what reads files of a folder and writes them again.

    Args:
        wait_seconds: for another process to end its turn.

    Raises:
        InputError: another process does not.
    """
    if os.name != "posix":  # folders cannot be opened
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror or error}.") from None
    try:
        end = time.monotonic() + wait_seconds
        while try_lock(descriptor) is False:
            if time.monotonic() > end:
                raise InputError(
                    f"the files in {folder} are being written by another process for more than {wait_seconds:g} s: "
                    "wait for it, or end it, and run the same command again."
                )
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)
