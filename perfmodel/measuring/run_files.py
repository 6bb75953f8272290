"""A file of measured points that grows line by line and survives whatever interrupts the measuring.

    {"schema": "perfmodel-runs/1", "machine": {...}, "versions": {...}, "device": "cpu", "suite": "quick", ...}
    {"program": "...", "group": "single", "dtype": "fp32", "threads": 1, "runtime": "eager", "seconds": 1.2e-4, ...}
    ...

Each point is one write, flushed to disk. A line that a crash cut off is dropped when the file is opened again; a write
that fails leaves the file as it was. One process appends at a time. May import: errors, file_locks, outside_files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from perfmodel.errors import InputError, Problem, SpecError
from perfmodel.file_locks import is_at, try_lock
from perfmodel.outside_files import MAX_TABLE_BYTES, open_file, parse_json, read_bytes

SCHEMA = "perfmodel-runs/1"
# what tells points apart: of a suite's points the program, of a model's its name and sizes, of a collective's the rest
KEYS = (
    "program", "model", "phase", "dtype", "threads", "runtime", "batch", "input_tokens", "output_tokens", "image_size",
    "operation", "bytes", "devices", "library",
)  # fmt: skip
# header entries that must agree before points of two sessions go into one file; of one machine's CPU the id says it all
_SAME = ("device", "suite", "machine", "versions")
_OF_CPU = ("cpu", "isa", "cores", "llc_bytes", "memory_gib")
_START = f'{{"schema": "{SCHEMA}"'.encode()

MOST_PROBLEMS = 20  # shown of one file
_LONGEST_HEADER = 1 << 16  # bytes

Point: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Runs:
    """A file that was read: what it says of the machine, and its points."""

    header: Mapping[str, Any]
    points: tuple[Point, ...]


def key_of(point: Mapping[str, Any]) -> Key:
    """What a point is a measurement of."""
    return tuple(point.get(name) for name in KEYS)


def read_runs(path: str | os.PathLike[str]) -> Runs:
    """A file of runs; a last line that was cut off is left out.

    Raises:
        InputError: it cannot be read. SpecError: it is no such file, or lines in it are no points; all of them.
    """
    try:
        data = read_bytes(path, MAX_TABLE_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {_reason(error)}.") from None
    runs, _ = _parse(data, str(path))
    if runs is None:
        raise SpecError(str(path), [Problem(message=f"is empty; a file of runs starts with {_START.decode()}", line=1)])
    return runs


def holds_runs(path: str | os.PathLike[str]) -> bool:
    """Whether a file's first line is the header of a file of runs, of whatever version."""
    try:
        with open_file(path) as file:
            header = parse_json(file.readline(_LONGEST_HEADER))
    except (OSError, ValueError):
        return False
    schema = header.get("schema") if isinstance(header, dict) else None
    return isinstance(schema, str) and schema.startswith(SCHEMA.partition("/")[0])


class RunFile:
    """A file of runs that is open for more points; made by `open_runs`."""

    def __init__(self, path: Path, descriptor: int, size: int, runs: Runs) -> None:
        self.path = path
        self.header = runs.header
        self.done: set[Key] = {key_of(point) for point in runs.points}
        self._descriptor = descriptor
        self._size = size

    def append(self, point: Mapping[str, Any]) -> None:
        """Write a point.

        Raises:
            InputError: it cannot be written; the file is as it was. Or it was removed.
        """
        if not is_at(self._descriptor, self.path):
            raise InputError(f"{self.path} was removed or replaced while it was written: run the same command again.")
        self._size = _append(self._descriptor, self._size, point, self.path)
        self.done.add(key_of(point))


@contextmanager
def open_runs(path: str | os.PathLike[str], header: Mapping[str, Any]) -> Iterator[RunFile]:
    """Open a file of runs, or begin one.

    Args:
        header: device, suite, machine, versions and whatever else is to be told of this session.

    Raises:
        InputError: the file cannot be opened or written, is being written by another process, or was measured with
            another machine, version, device or suite. SpecError: it is no file of runs.
    """
    target = Path(path).expanduser()
    with locked_runs(path) as descriptor:
        runs, size = _parse(_read(descriptor), str(path))
        try:
            os.ftruncate(descriptor, size)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {_reason(error)}.") from None
        if runs is None:
            first = {"schema": SCHEMA, **header}
            try:
                size = _append(descriptor, 0, first, target)
            except InputError:
                with suppress(OSError):  # nothing is in it
                    target.unlink()
                raise
            runs = Runs(first, ())
        _check_same(runs.header, header, path)
        yield RunFile(target, descriptor, size, runs)


@contextmanager
def locked_runs(path: str | os.PathLike[str]) -> Iterator[int]:
    """The descriptor of a file, made where there is none, that no other process appends to meanwhile.

    Raises:
        InputError: it cannot be opened, or another process appends to it.
    """
    target = Path(path).expanduser()
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is no regular file; name a file that can hold the runs.")
    while True:
        descriptor = _open(target, path)
        try:
            _lock(descriptor, path)
            if is_at(descriptor, target):  # else it was put aside before it was locked
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _open(target: Path, path: str | os.PathLike[str]) -> int:
    try:
        return os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no folder {target.parent}; make it, or name another file.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}.") from None


def _lock(descriptor: int, path: str | os.PathLike[str]) -> None:
    if try_lock(descriptor) is False:
        raise InputError(f"{path} is being written by another process; wait for it, or name another file with --out.")


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _append(descriptor: int, size: int, record: Mapping[str, Any], path: Path) -> int:
    """Write a line at the end and return the file's new size; whatever fails, the file is as long as it was."""
    line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            os.write(descriptor, line[written:])  # says why there is no room
        os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise InputError(f"{path} cannot be written: {_reason(error)}. What was measured before is in it.") from None
    except KeyboardInterrupt:
        if os.fstat(descriptor).st_size < size + len(line):
            os.ftruncate(descriptor, size)
        raise
    return size + len(line)


def _parse(data: bytes, path: str) -> tuple[Runs | None, int]:
    """The runs (None: nothing yet) and how many bytes are whole lines."""
    size = data.rfind(b"\n") + 1
    if not size:
        if data and not (data.startswith(_START) or _START.startswith(data)):
            raise SpecError(
                path, [Problem(message=f"is no file of runs: it does not start with {_START.decode()}", line=1)]
            )
        return None, 0
    records, problems = [], []
    for number, line in enumerate(data[:size].splitlines(), start=1):
        try:
            record = parse_json(line)
        except ValueError as error:
            record, reason = None, str(error)
        else:
            reason = "" if isinstance(record, dict) else "not an object"
        wanted = "schema" if number == 1 else "seconds"
        if not reason and wanted not in record:
            reason = f"'{wanted}' is missing"
        if reason:
            problems.append(
                Problem(message=f"is no {'header' if number == 1 else 'point'} of runs: {reason}", line=number)
            )
        records.append(record)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        if more > 0:
            problems[MOST_PROBLEMS:] = [Problem(message=f"and {more:,} more like these", line=problems[-1].line)]
        raise SpecError(path, problems)
    if records[0]["schema"] != SCHEMA:
        raise SpecError(path, [Problem(message=f"schema is '{records[0]['schema']}', not '{SCHEMA}'", line=1)])
    return Runs(records[0], tuple(records[1:])), size


def _check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    if differences := different_conditions(found, wanted):
        raise InputError(
            f"{path} was measured under other conditions ({'; '.join(differences)}). Name another file with --out, or "
            "remove this one to measure anew."
        )


def different_conditions(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """In what two headers differ that must not differ within a file, in words; empty if in nothing."""
    return [f"{what}: {was} in the file, {now} now" for what, was, now in differences(found, wanted)]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(what, of the one, of the other) of all in which two headers differ that are to agree within a file."""
    found: list[tuple[str, Any, Any]] = []
    for name in _SAME:
        left, right = one.get(name), other.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            found += [
                (f"{name} {key}", left.get(key), right.get(key))
                for key in {**left, **right}
                if left.get(key) != right.get(key)
                and not (key in _OF_CPU and left.get("id") and left["id"] == right.get("id"))
            ]
        elif left != right:
            found.append((name, left, right))
    return found


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
