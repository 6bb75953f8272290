"""Hostile files by name, read under limits: all of them, or those of one group.

python -m tests.fuzz.hostile [--quick] [GROUP]...       a line of JSON for each file that is a finding, then how many
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from perfmodel.errors import PerfmodelError
from perfmodel.graphs import load_model
from tests.fuzz import guards, hostile_files
from tests.fuzz.cases import Finding, case_of, judge, place_of, write_case
from tests.fuzz.readers import BY_NAME, Reader

Write: TypeAlias = Callable[[Path], Path]
# what the first file of each reader may be called
NAMES = {
    "config.json": "m/config.json", "diffusers folder": "model_index.json", "model spec": "m.yaml", "onnx": "m.onnx",
    "gguf": "m.gguf", "safetensors": "m.safetensors", "chip": "chip.yaml", "fabric": "f.yaml", "engine": "e.yaml",
    "graph": "g.yaml", "sweep": "s.yaml", "prices": "p.yaml", "coefficients": "c.json", "engine coefficients": "c.json",
    "measurements csv": "t.csv", "measurements parquet": "t.parquet", "load test": "r.json", "runs": "r.jsonl",
    "trace": "t.csv", "accuracies": "a.csv", "results": "r.csv", "anchors": "a.csv",
}  # fmt: skip
OF_YAML = ("model spec", "chip", "fabric", "engine", "sweep", "prices", "engine coefficients")
OF_TABLES = ("measurements csv", "results", "accuracies", "anchors")
# quick ones of `anywhere`, which every reader sees in every run of the suite
QUICK = ("empty", "only a byte order mark", "a picture", "packed", "surrogates", "five gigabytes", "brackets", "digits",
         "folder", "pipe", "broken link", "link to itself", "device without end", "memory of a process")  # fmt: skip


def _torch(path: Path) -> object:
    return load_model(f"torch:{path}:make")


TORCH = Reader(name="torch", make=lambda _: {}, read=_torch)
PRICES_CSV = BY_NAME["prices"]


def groups(quick: bool) -> dict[str, list[tuple[str, Reader, Write]]]:
    """(what it is, who reads it, what writes it) by group."""
    model = BY_NAME["config.json"]
    whole = Reader(name="model", make=model.make, read=BY_NAME["gguf"].read)
    readers = [(BY_NAME[name], file) for name, file in NAMES.items()]
    readers += [(PRICES_CSV, "p.csv"), (TORCH, "m.py"), (whole, "m.safetensors.index.json")]
    found: dict[str, list[tuple[str, Reader, Write]]] = {
        "anywhere": [
            (f"{reader.name}, {file}: {what}", reader, write)
            for reader, file in readers
            for what, write in hostile_files.anywhere(file).items()
            if not quick or what in QUICK
        ],
        "yaml": [
            (f"{name}: {what}", BY_NAME[name], write("x.yaml"))
            for name in (OF_YAML[:2] if quick else OF_YAML)
            for what, write in hostile_files.YAML.items()
        ],
        "parquet": [
            (f"{name}: {what}", BY_NAME[name], write)
            for name in (OF_TABLES[:2] if quick else OF_TABLES)
            for what, write in hostile_files.PARQUET.items()
        ],
    }
    for name in ("GGUF", "SAFETENSORS", "CONFIGS", "GRAPHS", "ONNX"):
        files: dict[str, Write] = getattr(hostile_files, name)
        found[name.lower()] = [(f"{name.lower()}: {what}", whole, write) for what, write in files.items()]
    return found


def findings(chosen: list[tuple[str, Reader, Write]]) -> Iterator[dict[str, object]]:
    """What went wrong with any of them; one at a time, in this process, whose memory is limited."""
    _warm({reader.name for _, reader, _ in chosen})
    guards.limit_memory()
    for what, reader, write in chosen:
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            path = write(Path(folder))
            guards.reset_peak()
            before, begun = guards.peak_bytes(), time.process_time()
            try:
                with guards.time_limit(reader.seconds):
                    judge(reader, path)
            except (Finding, MemoryError) as error:
                yield {"case": what, "finding": f"{type(error).__name__}: {error}"[:2000]}
            except guards.TooLong as error:
                yield {"case": what, "finding": f"TooLong: {error}\n{place_of(error)}"}
            taken = guards.peak_bytes() - before
            if taken > guards.MEMORY_BYTES:
                yield {"case": what, "finding": f"took {taken / 2**20:.0f} MiB, {time.process_time() - begun:.1f} s"}


def _warm(names: set[str]) -> None:
    """Read something of each kind, so that what is imported does not count."""
    for name in sorted(names & BY_NAME.keys()) + ["onnx"] * ("model" in names):
        for seed in range(3):
            with tempfile.TemporaryDirectory(prefix="hostile-") as folder, suppress(PerfmodelError, Finding):
                judge(BY_NAME[name], write_case(Path(folder), case_of(BY_NAME[name], seed)))


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    found = groups(quick)
    names = [name for name in arguments if name != "--quick"] or list(found)
    chosen = [case for name in names for case in found[name]]
    count = 0
    for finding in findings(chosen):
        count += 1
        print(json.dumps(finding), flush=True)
    print(json.dumps({"cases": len(chosen), "findings": count}))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
