"""Temporary folders that go with the process that made them; what killed processes left goes with the next one.

May import: errors, file_locks.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perfmodel.errors import InputError
from perfmodel.file_locks import is_at, try_lock


@contextmanager
def own_folder(kind: str) -> Iterator[Path]:
    """An empty folder `perfmodel-KIND-0a1b2c3d` among the temporary files, gone in the end.

    Args:
        kind: letters that all folders for one purpose share.

    Raises:
        InputError: none can be made.
    """
    try:
        remove_abandoned(kind)
        path, descriptor = _made(kind)
    except OSError as error:
        raise InputError(f"there is no room for temporary files: {error.strerror or error}; set TMPDIR.") from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(kind: str) -> None:
    """Remove folders of that kind, and of this person, whose process is gone."""
    if os.name != "posix":  # folders cannot be locked
        return
    name = re.compile(rf"perfmodel-{re.escape(kind)}-[a-z0-9_]{{8}}")
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [Path(entry.path) for entry in entries if name.fullmatch(entry.name) and _is_own(entry)]
    for path in found:
        with suppress(OSError):  # somebody else removes it, too
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if try_lock(descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _is_own(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    return False


def _made(kind: str) -> tuple[Path, int | None]:
    """A folder, and its descriptor, which holds its lock; None where folders cannot be locked."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"perfmodel-{kind}-"))
        if os.name != "posix":
            return path, None
        with suppress(FileNotFoundError):  # taken for abandoned before it was locked
            descriptor = os.open(path, os.O_RDONLY)
            if try_lock(descriptor) is not False and is_at(descriptor, path):
                return path, descriptor
            os.close(descriptor)
