"""Files written whole or not at all.

May import: errors.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from perfmodel.errors import InputError


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a failure leaves the old file as it was.

    Args:
        content: text goes out as UTF-8.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path).expanduser()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if isinstance(content, str):
            beside.write_text(content, encoding="utf-8")
        else:
            beside.write_bytes(content)
        os.replace(beside, target)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            beside.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
