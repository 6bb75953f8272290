"""Where what a person made on their own machine lies: profiles, coefficients, measurements and reports.

    $PERFMODEL_HOME, else the platform's place for a user's data (~/.local/share/perfmodel, ~/Library/Application
    Support/perfmodel, %LOCALAPPDATA%\\perfmodel)

`hardware/ID.yaml` is a chip that every command knows by its id. `coefficients/ID.json` (or any .json or .yaml file in
a folder `coefficients/ID/`) is what was fitted on that chip, and speaks of no other. Nothing here needs to exist.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

ENVIRONMENT = "PERFMODEL_HOME"
HARDWARE, COEFFICIENTS, MEASUREMENTS, REPORTS = "hardware", "coefficients", "measurements", "reports"


def home_folder(part: str = "") -> Path:
    """The folder of a person's own files, or a part of it: `HARDWARE`, `COEFFICIENTS`, `MEASUREMENTS`, `REPORTS`."""
    given = os.environ.get(ENVIRONMENT)
    root = Path(given).expanduser() if given else _platform_folder()
    return root / part if part else root


@lru_cache(1)
def _platform_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("perfmodel", appauthor=False)


def is_local(path: str | os.PathLike[str]) -> bool:
    """Whether a profile is one of a person's own machine."""
    return bool(path) and Path(path).is_relative_to(home_folder(HARDWARE))


def coefficient_paths(identifier: str, profile: str | os.PathLike[str], suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of coefficients that were fitted here on the chip of that id.

    Args:
        profile: the file that the chip was read from; none are of a chip from elsewhere that only shares the id with
            one of this machine (somebody else's local.yaml).
    """
    if not is_local(profile) and os.path.exists(home_folder(HARDWARE) / f"{identifier}.yaml"):
        return ()
    folder = home_folder(COEFFICIENTS)
    own = [folder / f"{identifier}{suffix}" for suffix in suffixes]
    inside = folder / identifier
    if os.path.isdir(inside):
        own += sorted(path for path in inside.iterdir() if path.suffix in suffixes and not path.name.startswith("."))
    return tuple(path for path in own if os.path.isfile(path))


def home_state() -> str:
    """Text that changes when the home does: which one it is, and when files were last put into it or taken out."""
    folders = _watched(os.environ.get(ENVIRONMENT), os.environ.get("HOME"))
    return "\n".join(f"{folder} {_changed(folder)}" for folder in folders)


@lru_cache(8)
def _watched(_given: str | None, _person: str | None) -> tuple[str, ...]:
    """The folders that are looked at before each prediction, by what decides where they are."""
    return tuple(os.fspath(home_folder(part)) for part in (HARDWARE, COEFFICIENTS))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0
