"""Files written whole or not at all.

May import: errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perfmodel.errors import InputError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file to write beside the one named, which takes its place when the block ends; a failure leaves the
    old file as it was.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path).expanduser()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield beside
        os.replace(beside, target)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            beside.unlink(missing_ok=True)


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
