"""What the rows of a sweep depend on, as one number: the sweep, perfmodel's code and data, and files it names.

Parts with another fingerprint are of another sweep, and a process elsewhere that has another one would answer
otherwise. May import: points, catalog, home.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from perfmodel.catalog import data_dirs, search_state
from perfmodel.home import home_folder
from perfmodel.sweeping.points import Sweep

_DATA = ("hardware_specs", "model_specs", "engine_specs", "calibration/coefficients")
_NAMING = ("model", "hardware", "engine")  # axes whose values may be files


def fingerprint_of(sweep: Sweep, form: str) -> str:
    """Of a sweep that is written in a format."""
    names = sorted({str(value) for space in sweep.spaces for axis in _NAMING for value in space.axes.get(axis, ())})
    own = hashlib.sha256(_program_digest(sweep.specs, search_state()).encode())
    own.update(repr((sweep.kind, sweep.spaces, sweep.exclude, sweep.only, sweep.level, sweep.columns)).encode())
    own.update(repr((sweep.part_points, form, sweep.text)).encode())
    for path in (Path(name) for name in names if os.path.exists(name)):
        for file in [path] if path.is_file() else sorted(path.glob("*.json")):
            own.update(hashlib.sha256(file.read_bytes()).digest())
    return own.hexdigest()[:32]


@lru_cache(8)
def _program_digest(specs: str | None, _folders: str) -> str:
    digest = hashlib.sha256()
    for root, file in _program_files(specs):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _program_files(specs: str | None) -> Iterator[tuple[Path, Path]]:
    """(folder, file in it) of everything that a prediction may read."""
    package = Path(__file__).resolve().parent.parent
    folders = [package, *(folder for name in _DATA for folder in data_dirs(name, specs=specs)), home_folder()]
    for folder in folders:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.suffix in (".py", ".yaml", ".yml", ".json") and file.is_file():
                yield folder, file
