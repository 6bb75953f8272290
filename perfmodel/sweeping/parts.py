"""The parts of a sweep that are done, in a folder beside its file: what makes it go on where it was stopped.

    sweep.parquet.parts/sweep.json       the fingerprint of the sweep
    sweep.parquet.parts/000017.part      rows, written whole or not at all

May import: errors, whole_files.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.errors import InputError
from perfmodel.whole_files import write_whole

HEAD = "sweep.json"


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
        return {int(file.stem) for file in self.folder.glob("*.part")}

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

    def finish(self, joined: Path) -> None:
        """Put the joined file into its place, and remove the parts."""
        os.replace(joined, self.out)
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

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
        if folder.exists() and not head.exists() and any(folder.glob("[!.]*")):
            raise InputError(f"{folder} exists and is not a sweep's: remove it, or write another file")
        folder.mkdir(exist_ok=True)
        lock = _locked(folder)
        if restart:
            head.unlink(missing_ok=True)  # first: parts without it are of no sweep
            for file in folder.glob("*.part"):
                file.unlink()
        if head.exists():
            _check_same(head, fingerprint)
        else:
            for file in folder.glob("*.part"):
                file.unlink()
            write_whole(head, json.dumps({"fingerprint": fingerprint}))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None
    return Parts(out=out, folder=folder, lock=lock)


def _check_same(head: Path, fingerprint: str) -> None:
    try:
        found = json.loads(head.read_text(encoding="utf-8")).get("fingerprint")
    except (ValueError, AttributeError):
        found = None
    if found != fingerprint:
        done = len(list(head.parent.glob("*.part")))
        raise InputError(
            f"{head.parent} holds {done} parts of another sweep: the specification, perfmodel or its coefficients have "
            "changed since. --restart removes them and starts anew; or write to another file"
        )


def _locked(folder: Path) -> Any:
    """An open file that other processes see as taken, where the system has such locks.

    Raises:
        InputError: another process has it.
    """
    file = (folder / ".lock").open("w")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: two at once do the same work twice, and write the same parts
        pass
    except OSError:
        file.close()
        raise InputError(
            f"another process is at this sweep ({folder}): wait for it, or write to another file"
        ) from None
    return file
