"""Answers that were given lately, by what was asked; the least recently used go first. May import: nothing."""

from __future__ import annotations

from collections import OrderedDict

OVERHEAD = 200  # bytes of an entry beside its key and answer, about


class ResponseCache:
    """Bounded in bytes; an answer that is a large part of all is not kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._held = most_bytes, 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Of all keys and answers."""
        return self._held

    def get(self, key: bytes) -> bytes | None:
        """The answer, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, answer: bytes) -> None:
        """Keep an answer."""
        size = len(key) + len(answer) + OVERHEAD
        if size > self._most // 8 or key in self._entries:
            return
        self._entries[key] = answer
        self._held += size
        while self._held > self._most:
            old_key, old = self._entries.popitem(last=False)
            self._held -= len(old_key) + len(old) + OVERHEAD
