"""Files of the page, kept in memory with their compressed form. May import: nothing of perfmodel."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
    ".json": "application/json", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2",
}  # fmt: skip
FOR_EVER = "public, max-age=31536000, immutable"  # of an address that names a version
LOOK_AGAIN = "no-cache"  # kept, and asked whether it is still the same


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes
    tag: str
    version: tuple[int, int]


class StaticFiles:
    """A folder, and files from elsewhere under names of their own. Only what `TYPES` lists is served.

    `?v=...` in an address names a version: browsers then keep the file for a year.
    """

    def __init__(self, folder: Path, others: Mapping[str, Path]) -> None:
        self._folder, self._others = folder, others
        self._files: dict[str, _File] = {}

    async def respond(self, name: str, request: Request) -> Response | None:
        """The file, or that it has not changed; None where there is none."""
        file = await asyncio.to_thread(self._read, name)
        if file is None:
            return None
        cached = FOR_EVER if "v" in request.query_params else LOOK_AGAIN
        headers = {"etag": file.tag, "cache-control": cached, "vary": "accept-encoding"}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        content = file.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["content-encoding"] = file.compressed, "gzip"
        return Response(content, headers=headers, media_type=TYPES[Path(name).suffix])

    def _read(self, name: str) -> _File | None:
        path = self._others.get(name) or self._inside(name)
        if path is None or path.suffix not in TYPES:
            return None
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_size)
            kept = self._files.get(name)
            if kept is None or kept.version != version:
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
                kept = self._files[name] = _File(content, gzip.compress(content, 6, mtime=0), tag, version)
            return kept
        except (OSError, ValueError):
            return None

    def _inside(self, name: str) -> Path | None:
        """The file of that name in the folder, and nowhere else."""
        try:
            path = (self._folder / name).resolve()
            return path if path.is_relative_to(self._folder.resolve()) and path.is_file() else None
        except (OSError, ValueError):
            return None
