"""One case: written, read, and judged."""

from __future__ import annotations

import os
import random as randoms
import shutil
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from perfmodel.errors import PerfmodelError
from tests.fuzz.readers import Case, Reader

LONGEST_MESSAGE = 60_000  # letters; all mistakes of a file at once are long


class Finding(AssertionError):
    """What a reader must not do."""


def case_of(reader: Reader, seed: int) -> Case:
    """The case of a seed, the same in every process."""
    return reader.make(randoms.Random(f"{reader.name} {seed}"))


def write_case(folder: Path, case: Case) -> Path:
    """Write the files of a case; the path of the first."""
    for name, content in case.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / next(iter(case))


def judge(reader: Reader, path: Path, watched: AbstractContextManager[object] | None = None) -> bool:
    """Read a case; True if it was read, False if it was refused as it should be.

    Raises:
        Finding: an exception that is none of perfmodel's, a message without the file's name or without end.
    """
    try:
        with watched or nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            reader.read(path)
    except PerfmodelError as error:
        message = str(error)
        if reader.names_file and str(path.parent) not in message:
            raise Finding(f"the message does not name the file: {message[:400]}") from error
        if not message.strip() or len(message) > LONGEST_MESSAGE:
            raise Finding(f"a message of {len(message)} letters: {message[:400]}") from error
        return False
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {str(error)[:400]}\n{place_of(error)}") from error
    return True


def place_of(error: BaseException) -> str:
    """Where in perfmodel an error came up."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/perfmodel/" in frame.filename]
    if not frames:
        return ""
    last = frames[-1]
    return f"perfmodel/{last.filename.rpartition('/perfmodel/')[2]}:{last.lineno} in {last.name}"


def fresh(folder: Path) -> Path:
    """An empty folder in place of what was there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
