"""Messages between the server and its workers: a length, a kind, JSON. Nothing is pickled.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import asyncio
import struct
from typing import BinaryIO

READY, ANSWER, REFUSED, PROGRESS, ASKED = b"r", b"a", b"x", b"p", b"q"
SPENT = b"s"  # refused, and the worker ends
LARGEST = 256 << 20
_HEAD = struct.Struct("!Ic")


def packed(kind: bytes, payload: bytes) -> bytes:
    """A message."""
    return _HEAD.pack(len(payload), kind) + payload


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """(kind, payload) of the next message; None where the other side has closed."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, kind = _HEAD.unpack(head)
    payload = stream.read(length)
    return (kind, payload) if len(payload) == length else None


async def receive_frame(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """As `read_frame`, for the server.

    Raises:
        EOFError: the worker has gone, or writes what is no message.
    """
    length, kind = _HEAD.unpack(await stream.readexactly(_HEAD.size))
    if length > LARGEST:
        raise EOFError(f"a message of {length} bytes")
    return kind, await stream.readexactly(length)
