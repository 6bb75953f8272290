"""Files written whole or not at all.

A file is written beside the one that it replaces, `.NAME.0123abcd.tmp`, and takes its place when it is on the disk.
Whoever writes holds a lock on it, so that what a killed process left is known, and removed when the same file is
written again. May import: errors, file_locks.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perfmodel.errors import InputError
from perfmodel.file_locks import is_at, try_lock


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file to write beside the one named, which takes its place when the block ends; a failure leaves the
    old file as it was. Devices and pipes (/dev/stdout) are written as they are.

    Raises:
        InputError: it cannot be written.
    """
    target, before = _checked(path)
    try:
        if before is not None and not stat.S_ISREG(before.st_mode):
            yield target
            return
        remove_unfinished(target)
        beside, descriptor = _begun(target)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}.") from None
    try:
        if before is not None and hasattr(os, "fchmod"):
            with suppress(OSError):  # some disks have no modes
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        yield beside
        os.fsync(descriptor)  # else a loss of power may leave the new name on an empty file
        if os.name != "posix":  # what is open cannot be moved
            os.close(descriptor)
            descriptor = -1
        os.replace(beside, target)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}.") from None
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            beside.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a failure leaves the old file as it was.

    Args:
        content: text goes out as UTF-8.

    Raises:
        InputError: it cannot be written.
    """
    with whole_file(path) as beside:
        if isinstance(content, str):
            beside.write_text(content, encoding="utf-8")
        else:
            beside.write_bytes(content)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Say before long work that its file cannot be written, as far as that is known.

    Raises:
        InputError: it is a folder or write-protected, or its folder is missing or write-protected.
    """
    target, before = _checked(path)
    if (before is None or stat.S_ISREG(before.st_mode)) and not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: the folder {target.parent} is write-protected.")


def _checked(path: str | os.PathLike[str]) -> tuple[Path, os.stat_result | None]:
    """The file itself, so that a link stays a link, to the new file; and what is there."""
    given = Path(path).expanduser()
    try:
        before, target = _stat(given), Path(os.path.realpath(given))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}.") from None
    if before is not None and stat.S_ISDIR(before.st_mode):
        raise InputError(f"{path} cannot be written: it is a folder; name a file in it.")
    if before is not None and not stat.S_ISREG(before.st_mode):
        return given, before
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {target.parent}.")
    if before is not None and not os.access(target, os.W_OK):
        raise InputError(f"{path} cannot be written: it is write-protected.")
    return target, before


def remove_unfinished(target: Path) -> None:
    """Remove what processes that are gone left of writing a file."""
    unfinished = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp")
    for name in os.listdir(target.parent):
        if unfinished.fullmatch(name):
            with suppress(OSError):  # somebody else removes it, too, or it is of another person
                _remove_abandoned(target.with_name(name))


def _remove_abandoned(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if try_lock(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _begun(target: Path) -> tuple[Path, int]:
    """A new file beside another, and its descriptor, which holds its lock."""
    while True:
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        # between the two lines somebody may have taken it for abandoned
        if try_lock(descriptor) is not False and is_at(descriptor, beside):
            return beside, descriptor
        os.close(descriptor)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
