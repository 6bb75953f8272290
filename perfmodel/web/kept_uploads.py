"""Files of pasted and uploaded models, as the server keeps them: bounded, named by a digest, never read here.

May import: limits, refusals, uploads.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from perfmodel.errors import InputError
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import UNAVAILABLE, refuse
from perfmodel.web.uploads import PREFIX
from perfmodel.whole_files import write_whole


class KeptUploads:
    """The files of a folder; the least recently uploaded go first."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def keep(self, content: bytes, suffix: str) -> str:
        """Write a file; its reference.

        Raises:
            Refusal: there is no room for it.
        """
        name = hashlib.sha256(suffix.encode() + content).hexdigest()[:32] + suffix
        if name not in self._sizes or not (self._folder / name).exists():
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_whole(self._folder / name, content)
            except (OSError, InputError):
                raise refuse(
                    UNAVAILABLE, "the server has no room to keep the model: ask again later", "server", 60
                ) from None
        self._sizes[name] = len(content)
        self._sizes.move_to_end(name)
        while len(self._sizes) > self._limits.uploads or sum(self._sizes.values()) > self._limits.upload_bytes:
            self._remove(next(iter(self._sizes)))
        return PREFIX + name.removesuffix(suffix)

    def forget(self, reference: str, suffix: str) -> None:
        """Remove a file that turned out to be no model."""
        self._remove(reference.removeprefix(PREFIX) + suffix)

    def _remove(self, name: str) -> None:
        self._sizes.pop(name, None)
        with suppress(OSError):
            (self._folder / name).unlink()
