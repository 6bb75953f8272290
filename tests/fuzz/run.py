"""The long run: thousands of cases of every reader, in processes with little memory and little time.

    python -m tests.fuzz.run --cases 10000 --out build/fuzz [--readers onnx,gguf] [--seed 0]

Findings are kept as folders, the case's files and what happened; the last lines are a table of all readers. Ends with 1
if there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.cases import case_of, fresh, write_case
from tests.fuzz.readers import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
SILENCE_SECONDS = 60.0  # without a sign of life, after which a process hangs


@dataclass
class Tally:
    """What became of the cases of one reader."""

    reader: str
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    most_bytes: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    seconds: float = 0.0

    def row(self) -> str:
        found = sum(self.findings.values())
        return (f"{self.reader:24} {self.read + self.refused + found:7} {self.read:7} {self.refused:8} {found:9} "
                f"{self.slowest:8.2f} {self.most_bytes / 2**20:9.0f} {self.seconds:9.0f}")  # fmt: skip


HEAD = (f"{'reader':24} {'cases':>7} {'read':>7} {'refused':>8} {'findings':>9} {'slowest':>8} {'most MiB':>9} "
        f"{'total s':>9}")  # fmt: skip


def run_reader(name: str, cases: int, first: int, out: Path) -> Tally:
    """All cases of one reader; a process that dies or hangs is one finding, and the next goes on behind it."""
    tally, begun, at = Tally(name), time.monotonic(), first
    while at < first + cases:
        at = _run_child(name, at, first + cases, out, tally)
    tally.seconds = time.monotonic() - begun
    return tally


def _run_child(name: str, begin: int, end: int, out: Path, tally: Tally) -> int:
    """Run a child from a case on; where to go on."""
    scratch = fresh(out / "scratch" / name.replace(" ", "-"))
    told = scratch / "told.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.child", name, str(begin), str(end), str(scratch)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PERFMODEL_HOME": str(scratch / "home"),
             "OPENBLAS_NUM_THREADS": "1",
             "PYTHONDONTWRITEBYTECODE": "1", "PERFMODEL_DEBUG": ""},
        stdout=subprocess.DEVNULL, stderr=(scratch / "stderr").open("wb"),
    )  # fmt: skip
    reached, seen, since = begin, 0, time.monotonic()
    while True:
        ended = child.poll() is not None
        with told.open() if told.exists() else open(os.devnull) as file:
            file.seek(seen)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        seen += len(whole.encode())
        for line in whole.splitlines():
            record = json.loads(line)
            reached, since = record["seed"] + 1, time.monotonic()
            _count(tally, record, out)
        if ended:
            break
        if time.monotonic() - since > SILENCE_SECONDS:
            child.kill()
            child.wait()
        time.sleep(0.2)
    if reached < end and child.returncode != 0:
        why = f"the process ended with {child.returncode}" if child.returncode != -9 else "it hangs, or was killed"
        error = (scratch / "stderr").read_text(errors="replace")[-1500:]
        _count(tally, {"seed": reached, "finding": f"{why}\n{error}"}, out)
        reached += 1
    return reached


def _count(tally: Tally, record: dict[str, Any], out: Path) -> None:
    tally.slowest = max(tally.slowest, record.get("seconds", 0.0))
    tally.most_bytes = max(tally.most_bytes, record.get("bytes", 0))
    finding = record.get("finding", "")
    if not finding:
        tally.read += record["read"]
        tally.refused += not record["read"]
        return
    lines = finding.splitlines()
    key = lines[-1] if lines[-1].startswith("perfmodel/") else lines[0][:120]
    tally.findings[key] += 1
    if tally.findings[key] > 3:
        return
    folder = out / "findings" / f"{tally.reader.replace(' ', '-')}-{record['seed']}"
    write_case(fresh(folder), case_of(BY_NAME[tally.reader], record["seed"]))
    (folder / "FINDING.txt").write_text(finding, encoding="utf-8", errors="replace")
    tally.kept += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", default="")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz")
    options = parser.parse_args()
    names = options.readers.split(",") if options.readers else list(BY_NAME)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    print(HEAD, flush=True)
    tallies = []
    for name in names:
        tallies.append(run_reader(name, options.cases, options.seed, out))
        print(tallies[-1].row(), flush=True)
        for what, times in tallies[-1].findings.most_common():
            print(f"    {times} x {what}", flush=True)
    found = sum(sum(own.findings.values()) for own in tallies)
    print(f"{found} findings" + (f", kept in {out / 'findings'}" if found else ""))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
