"""The parts of a sweep that are done, in a folder beside its file: what makes it go on where it was stopped.

    sweep.parquet.parts/sweep.json       the fingerprint of the sweep
    sweep.parquet.parts/000017.part      rows, written whole or not at all
    sweep.parquet.parts/joined           the table, until it takes its place

The fingerprint is there before the first part, and goes after the last one: at whatever moment a sweep is killed, the
folder is known to be its own. May import: errors, file_locks, whole_files.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.errors import InputError
from perfmodel.file_locks import is_at, try_lock
from perfmodel.whole_files import write_whole

HEAD, JOINED, LOCK = "sweep.json", "joined", ".lock"
_PART = re.compile(r"\d{6,}\.part")
_UNFINISHED = re.compile(rf"\.(\d{{6,}}\.part|{re.escape(HEAD)})\.[0-9a-f]{{8}}\.tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The folder of a sweep under way. lock: held while it is open."""

    out: Path
    folder: Path
    lock: Any

    def path(self, part: int) -> Path:
        return self.folder / f"{part:06d}.part"

    def done(self) -> set[int]:
        """The parts that are there."""
        return {int(name.partition(".")[0]) for name in _part_names(self.folder)}

    @property
    def joined(self) -> Path:
        """Where the table is made of the parts."""
        return self.folder / JOINED

    def write(self, part: int, rows: bytes) -> None:
        """Keep a part.

        Raises:
            InputError: the disk is full, or cannot be written any more.
        """
        try:
            write_whole(self.path(part), rows)
        except InputError as error:
            raise InputError(f"{error} {self.resume}") from None

    @property
    def resume(self) -> str:
        """What to do after a failure."""
        return f"What is done is kept in {self.folder}: make room, then run the same command again to go on from there."

    def finish(self) -> None:
        """Put the joined file into its place, and remove the parts; the lock goes last."""
        with self.joined.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.joined, self.out)
        with suppress(OSError):  # what stays is found done by the same sweep
            _remove_parts(self.folder)
            if os.name != "posix":  # what is open cannot be removed
                self.close()
            (self.folder / LOCK).unlink()
            self.folder.rmdir()
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self.lock.close()


def check_target(out: Path, spec: str | os.PathLike[str] | None) -> None:
    """
    Raises:
        InputError: nothing can be written there; says why.
    """
    if spec is not None and out.exists() and os.path.exists(spec) and os.path.samefile(out, spec):
        raise InputError(f"{out} is the sweep's own file: give another name")
    if out.is_dir():
        raise InputError(f"{out} is a folder: give the name of a file in it")
    if not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"{out} cannot be written: the folder {out.parent} is read-only for you")


def open_parts(out: Path, fingerprint: str, *, restart: bool = False) -> Parts:
    """The folder of parts beside a file, made or found.

    Args:
        restart: remove what is there and start anew.

    Raises:
        InputError: the parts are of another sweep; another process is at it; it cannot be written.
    """
    folder = out.with_name(f"{out.name}.parts")
    head = folder / HEAD
    try:
        if _other_names(folder):
            raise _not_a_sweeps(folder)
        lock = _locked(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None
    try:
        if not head.exists() and any(folder.glob("[!.]*")):
            raise _not_a_sweeps(folder)
        if restart:
            _remove_parts(folder)
        if head.exists():
            _check_same(head, fingerprint)
            _remove_unfinished(folder)
        else:
            write_whole(head, json.dumps({"fingerprint": fingerprint}))
    except OSError as error:
        _let_go(folder, lock)
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None
    except InputError:
        _let_go(folder, lock)
        raise
    return Parts(out=out, folder=folder, lock=lock)


def _let_go(folder: Path, lock: Any) -> None:
    """Of a sweep that does not begin; a folder with nothing in it goes."""
    with suppress(OSError):
        if not any(folder.glob("[!.]*")):
            (folder / LOCK).unlink()
            folder.rmdir()
    lock.close()


def _not_a_sweeps(folder: Path) -> InputError:
    return InputError(f"{folder} exists and is not a sweep's: remove it, or write another file")


def _other_names(folder: Path) -> list[str]:
    """Names that no sweep gives, whatever it is at; none where there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [name for name in names if not (name.startswith(".") or name in (HEAD, JOINED) or _PART.fullmatch(name))]


def _part_names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if _PART.fullmatch(name)]


def _remove_parts(folder: Path) -> None:
    """All that a sweep writes, the fingerprint last: parts without it are of no sweep."""
    for name in _part_names(folder):
        (folder / name).unlink()
    _remove_unfinished(folder)
    (folder / HEAD).unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """What a killed sweep was writing; nobody else is, as the folder is locked."""
    for name in os.listdir(folder):
        if name == JOINED or _UNFINISHED.fullmatch(name):
            (folder / name).unlink(missing_ok=True)


def _check_same(head: Path, fingerprint: str) -> None:
    try:
        found = json.loads(head.read_text(encoding="utf-8")).get("fingerprint")
    except (ValueError, AttributeError):
        found = None
    if found != fingerprint:
        done = len(_part_names(head.parent))
        raise InputError(
            f"{head.parent} holds {done} parts of another sweep: the specification, perfmodel or its coefficients have "
            "changed since. --restart removes them and starts anew; or write to another file"
        )


def _locked(folder: Path) -> Any:
    """An open file in the folder, which is made, that other processes see as taken, where the system has such locks;
    without, two at once do the same work twice, and write the same parts.

    Raises:
        InputError: another process has it. OSError: the folder cannot be written.
    """
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            file = (folder / LOCK).open("w")
        except FileNotFoundError:  # a process that has just finished removes the folder
            if folder.parent.is_dir():
                continue
            raise
        if try_lock(file.fileno()) is False:
            file.close()
            raise InputError(f"another process is at this sweep ({folder}): wait for it, or write to another file")
        if is_at(file.fileno(), folder / LOCK):
            return file
        file.close()
