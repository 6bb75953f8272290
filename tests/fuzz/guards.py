"""What a case may not do, watched from inside the process that runs it: take long, take much memory, touch other files.

The time is that of the processor, so that a busy machine finds nothing that is not there.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 2.0
WAITING = 20  # times as long on the clock: a reader that waits takes no processor
MEMORY_BYTES = 1 << 30  # above what the process has when the first case begins
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "os.utime", "os.putenv", "shutil.rmtree", "shutil.move"}  # fmt: skip
_BEYOND = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.bind",
           "ctypes.dlopen"}  # fmt: skip


class TooLong(BaseException):
    """A case that took more time than it may; no reader's `except Exception` catches it."""


class Trespass(BaseException):
    """A case that wrote, or reached, outside its folder."""


def limit_memory(most: int = MEMORY_BYTES) -> None:
    """Let the process take that much more memory than it has."""
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + most, held + most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_bytes() -> int:
    """The most memory that the process had since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Forget the most memory so far, where the kernel can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `TooLong` within, with the place where the time went."""

    def end(*_: Any) -> None:
        raise TooLong(f"more than {seconds:g} s of processor time")

    before = signal.signal(signal.SIGPROF, end), signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


class Fence:
    """Watches what the process does to files, programs and the network.

    Args:
        folder: where a case may write.
    """

    def __init__(self, folder: Path, programs: bool = False) -> None:
        # a server keeps what is uploaded in a folder of its own
        served = os.path.join(tempfile.gettempdir(), "perfmodel-")
        self._inside = (str(folder), "/dev/null", "/proc/self/", *([served] if programs else []))
        self._active = False
        self._programs = programs
        self.crossed: list[str] = []
        sys.addaudithook(self._seen)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Within, whatever is done outside the folder is kept in `crossed`."""
        self.crossed, self._active = [], True
        try:
            yield
        finally:
            self._active = False

    def _seen(self, event: str, details: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "open" and isinstance(details[0], str | bytes | os.PathLike):
            path, mode, flags = details
            writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                isinstance(flags, int) and flags & _WRITING and mode is None
            )
            name = os.path.abspath(os.fsdecode(path)) if "\0" not in os.fsdecode(path) else ""
            if writes and not name.startswith(self._inside):
                self.crossed.append(f"wrote {name}")
            if name.endswith(("/etc/passwd", "/etc/shadow", "/.ssh/id_rsa")):
                self.crossed.append(f"read {name}")
        elif event in _CHANGES and not self._within(details):
            self.crossed.append(f"{event} {details[:2]}")
        elif event in _BEYOND and not self._programs and event != "ctypes.dlopen":
            self.crossed.append(f"{event} {str(details[:2])[:200]}")

    def _within(self, details: tuple[Any, ...]) -> bool:
        paths = [os.path.abspath(os.fsdecode(own)) for own in details if isinstance(own, str | bytes | os.PathLike)]
        return all(path.startswith(self._inside) for path in paths)
