"""Ten million steady states as one Parquet file: wall time, memory, and that nothing changes its bytes.

    python benchmarks/sweep.py [FOLDER]

One worker, two workers, two of which everything is killed half way and the command run again, and two workers of a
Dask cluster, one of which is killed. Needs the extras parquet and dask, and 2 GB on the disk. Wall times are of this
machine as it is: the load that it had is told with them.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

SPEC = """\
kind: serving
grid:
  model: llama-3.1-70b
  hardware: [h100-sxm, h200-sxm, a100-sxm-80gb, b200, mi300x]
  precision: [bf16, fp8, w4a16]
  tp: [1, 2, 4, 8]
  input_tokens: {from: 128, to: 16384, steps: 44, scale: log}
  output_tokens: [32, 64, 128, 256, 512, 1024, 2048]
  concurrency: {from: 1, to: 4096, steps: 1024, scale: log}
"""


class Watched:
    """A command with the memory of all of its processes: proportional shares, so that nothing counts twice."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
        self.began, self.peak_bytes = time.monotonic(), 0
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            total = 0
            for own in self.family():
                try:
                    total += own.memory_full_info().pss
                except (psutil.Error, OSError):  # it just ended
                    continue
            self.peak_bytes = max(self.peak_bytes, total)
            time.sleep(0.5)

    def family(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.Error:
            return []

    def workers(self) -> list[psutil.Process]:
        """The processes that compute: of the pool, or of Dask."""
        return [own for own in self.family()[1:] if "spawn_main" in " ".join(own.cmdline())]

    def finish(self) -> float:
        """Seconds since the start."""
        self.process.communicate()
        self.thread.join()
        return time.monotonic() - self.began


def sweep(spec: Path, out: Path, *options: str) -> Watched:
    return Watched("-m", "perfmodel", "sweep", str(spec), "--out", str(out), *options)


def wait_for_parts(out: Path, count: int) -> None:
    while len(list(out.with_name(f"{out.name}.parts").glob("*.part"))) < count:
        time.sleep(0.05)


def told(what: str, seconds: float, watched: Watched, out: Path) -> str:
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    load = os.getloadavg()[0]
    print(f"{what:36} {seconds:7.1f} s  {watched.peak_bytes / 1e6:6.0f} MB  load {load:4.1f}  sha256 {digest[:16]}")
    return digest


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="sweep-"))
    spec, out = folder / "sweep.yaml", folder / "sweep.parquet"
    spec.write_text(SPEC)
    seconds, digests = [], set()
    for workers in (1, 2):
        watched = sweep(spec, out, "--workers", str(workers))
        seconds.append(watched.finish())
        digests.add(told(f"{workers} worker{'s' * (workers > 1)}", seconds[-1], watched, out))
    print(f"speed-up of two workers: {seconds[0] / seconds[1]:.2f}")
    out.unlink()

    watched = sweep(spec, out, "--workers", "2")
    wait_for_parts(out, 40)
    watched.process.send_signal(signal.SIGKILL)
    before = watched.finish()
    watched = sweep(spec, out, "--workers", "2")
    digests.add(told("killed half way, and run again", before + watched.finish(), watched, out))
    out.unlink()

    watched = sweep(spec, out, "--executor", "dask", "--workers", "2")
    wait_for_parts(out, 20)
    watched.workers()[0].send_signal(signal.SIGKILL)
    digests.add(told("Dask, one of two workers killed", watched.finish(), watched, out))
    print("the same bytes each time" if len(digests) == 1 else "DIFFERENT BYTES")
    sys.exit(len(digests) > 1)


if __name__ == "__main__":
    main()
