"""Commands in processes that are killed: at random moments, or at a given step of what they write.

A command runs in a fork of a process that has imported everything already, so that a kill costs little. Steps are what
changes a folder: files opened for writing, bytes written, renamings, removals, locks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

STEPS = "steps"  # the file in which a run that is not killed leaves how many there were
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["numpy", "scipy.optimize", "matplotlib.backends.backend_agg", "pyarrow.parquet", "torch", "perfmodel.cli.measured",
     "perfmodel.calibration.local", "perfmodel.sweeping.running", "perfmodel.report.html_page"]
)  # fmt: skip
_CHANGES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "fcntl.flock")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Args:
        code: of the exit; -9 where it was killed. steps: that it made below its folder, where it was not killed.
    """

    code: int
    steps: int
    output: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def run_killed(
    arguments: Sequence[str],
    folder: Path,
    *,
    at: int = 0,
    after_seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], Any] | None = None,
) -> Ended:
    """Run `perfmodel ARGUMENTS` within a folder.

    Args:
        at: the step in the midst of which it is killed, from 1; 0 for none. after_seconds: after which it is killed.
        prepare: is called in its process before it starts.
    """
    notes = folder.parent / f"{folder.name}.notes"
    notes.mkdir(exist_ok=True)
    (notes / STEPS).unlink(missing_ok=True)
    settings = (list(arguments), folder, notes, at, dict(environment or {}), prepare)
    child = _CONTEXT.Process(target=_run, args=settings)
    child.start()
    if after_seconds is not None:
        child.join(after_seconds)
        child.kill()
    child.join()
    assert child.exitcode is not None
    steps = int((notes / STEPS).read_text()) if (notes / STEPS).exists() else 0
    return Ended(child.exitcode, steps, (notes / "output").read_text(errors="replace"))


def _run(
    arguments: list[str],
    folder: Path,
    notes: Path,
    at: int,
    environment: Mapping[str, str],
    prepare: Callable[[], Any] | None,
) -> NoReturn:
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ.update(environment)
        output = os.open(notes / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, (0, 1, 2), "rww")  # not those of pytest
        if prepare is not None:
            prepare()
        steps = Steps(folder, at)
        steps.watch()
        from perfmodel.cli import main

        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        steps.folder = ""
        (notes / STEPS).write_text(str(steps.made))
        sys.stdout.flush()
    finally:
        os._exit(code)


class Steps:
    """Counts what this process changes below a folder, and kills it in the midst of one of them."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder, self._at, self.made = str(folder.resolve()), at, 0
        self._open: dict[int, str] = {}

    def watch(self) -> None:
        sys.addaudithook(self._heard)
        written = os.write

        def write(descriptor: int, data: Any) -> int:
            if self._counts(descriptor):
                self._step(lambda: written(descriptor, bytes(data)[: len(data) // 2]))
            return written(descriptor, data)

        os.write = write  # type: ignore[assignment]

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or not self.folder:
            return
        target = arguments[0]
        if event == "open":
            flags = arguments[2] or 0
            if not flags & (os.O_WRONLY | os.O_RDWR) or not self._counts(target):
                return
            kept = flags & ~os.O_EXCL
            self._step(lambda: os.close(os.open(target, kept, 0o644)))  # as if it came just after
        elif self._counts(target):
            self._step(lambda: None)

    def _counts(self, target: Any) -> bool:
        if not self.folder:
            return False
        try:
            path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.path.abspath(target)
        except (OSError, TypeError):
            return False
        return os.fsdecode(path).startswith(self.folder + os.sep)

    def _step(self, half: Callable[[], Any]) -> None:
        self.made += 1
        if self.made == self._at:
            self.folder = ""
            half()
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Checks that files are the same in the end, byte by byte."""
    before = {path: path.read_bytes() for path in paths}
    yield
    for path, content in before.items():
        assert path.read_bytes() == content, f"{path} has changed"


def listing(folder: Path) -> set[str]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
