"""Files from outside, read within limits: what they may weigh, how deep and how long their JSON may be.

Whoever reads a file that somebody else wrote opens it here. A pipe or a device in the place of a file is refused
rather than waited for, a size is checked before anything is read, and a name that no file can have is that of no file.
Refusals are `OSError`s with a reason in words (`strerror`) and `ValueError`s, for each reader to put into its own
error with the name of the file. May import: nothing of perfmodel.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeAlias

Pathlike: TypeAlias = str | os.PathLike[str]

MAX_SPEC_BYTES = 5_000_000  # of YAML and of configs; the largest that are shipped have 0.1 MB
MAX_TABLE_BYTES = 64 << 20  # of measurements and traces, read whole; the largest published tables have 8 MB
MAX_REPORT_BYTES = 64 << 20  # of load tests, which may hold every request
MAX_MODEL_BYTES = 2 << 30  # of ONNX files: protobuf itself ends there
MAX_JSON_VALUES = 3_000_000  # each takes some 200 bytes of memory at most, so that all of them stay below 1 GB
MAX_NESTING = 64  # of JSON; the deepest reports have 8 levels
MAX_DIGITS = 40  # of a whole number; no count is longer
MAX_COLUMNS = 10_000  # of a table
MAX_ROWS = 100_000_000  # of a table that is read in pieces; a minute or so
MAX_LINE = 4 << 20  # letters of a line of a table, so that columns may have 400 each
MAX_TRACE_BYTES = 512 << 20  # of traces, which are read line by line
MAX_CELLS = 8_000_000  # of a table that is read whole: a cell of text takes 60 bytes


def open_file(path: Pathlike) -> BinaryIO:
    """A regular file, opened for reading bytes; the user's folder may be written as ~.

    Raises:
        OSError: there is none, it cannot be read, or it is a folder, a pipe or a device.
    """
    try:
        # a pipe without a writer would be waited for
        descriptor = os.open(Path(path).expanduser(), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (ValueError, RuntimeError) as error:  # a NUL in the name; the folder of a user that is not there
        raise OSError(errno.EINVAL, f"its name is impossible ({error})") from None
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, f"is {_kind(kind)}, not a file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _kind(mode: int) -> str:
    return "a pipe; write what comes out of it into a file" if stat.S_ISFIFO(mode) else "a device"


def read_bytes(path: Pathlike, most: int) -> bytes:
    """A file's content.

    Raises:
        OSError: as `open_file` and `check_size`.
    """
    with open_file(path) as file:
        check_size(file, most)
        return file.read(os.fstat(file.fileno()).st_size)  # no more, were it growing


def check_size(file: BinaryIO, most: int) -> None:
    """
    Raises:
        OSError: a file holds more than `most` bytes.
    """
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise OSError(errno.EFBIG, f"is larger than {in_megabytes(most)}, the limit of such files")


def in_megabytes(size: int) -> str:
    """A size for messages.

    >>> in_megabytes(5_000_000)
    '5 MB'
    """
    return f"{size / 1e6:,.0f} MB"


def is_file(path: Pathlike) -> bool:
    """Whether a regular file is there; False for names that none can have."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Pathlike) -> bool:
    """Whether a folder is there; False for names that none can have."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text in UTF-8, a byte order mark in front allowed; NaN and infinities as Python has them.

    Raises:
        json.JSONDecodeError: it is no JSON, with line and column. UnicodeDecodeError: it is not UTF-8.
        ValueError: it holds too many values, is nested too deep, or has endless numbers or keys that come twice.

    >>> parse_json(b'{"layers": [1, 2]}')
    {'layers': [1, 2]}
    """
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
    values = sum(map(text.count, ",[{"))
    if values > MAX_JSON_VALUES:
        raise ValueError(f"it holds {values:,} values, more than {MAX_JSON_VALUES:,}")
    try:
        found = json.loads(text, parse_int=_whole, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_nesting(found)
    return found


_TOO_DEEP = f"lists and objects are nested deeper than {MAX_NESTING} levels"


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:12]}... is a number of {len(text)} digits; the most are {MAX_DIGITS}")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{twice[:40]}' stands there twice")
    return found


def _check_nesting(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_NESTING + 1):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def lines_of(file: TextIO) -> Iterator[str]:
    """The lines of an open text file, none of which is read that takes the memory of a machine.

    Raises:
        ValueError: a line longer than `MAX_LINE`.
    """
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise ValueError(f"line {number} is longer than {MAX_LINE:,} letters")
        yield line
