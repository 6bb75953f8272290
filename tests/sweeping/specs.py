"""Small sweeps that several tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# three parts of deployments that can be and of ones that cannot, with conditions
SERVING: dict[str, Any] = {
    "kind": "serving",
    "grid": {
        "model": "llama-3.1-8b",
        "input_tokens": {"from": 128, "to": 4096, "steps": 5, "scale": "log"},
        "output_tokens": [1, 200],
        "concurrency": {"from": 1, "to": 512, "steps": 12, "scale": "log"},
    },
    "spaces": [
        {"hardware": ["h100-sxm", "l4"], "precision": ["bf16", "fp8"], "tp": [1, 3]},
        {"hardware": "gb200", "engine": "trtllm", "tp": 2, "replicas": 2},
    ],
    "exclude": [
        {"hardware": "l4", "precision": "fp8"},
        {"input_tokens": {"above": 2000}, "concurrency": {"at_least": 300}},
    ],
}
# many parts, so that there is something to interrupt
LONG: dict[str, Any] = SERVING | {
    "grid": SERVING["grid"] | {"concurrency": {"from": 1, "to": 2000, "steps": 150, "scale": "log"}},
    "part_points": 500,
}


def command(spec: Path, out: Path, *options: str, **settings: Any) -> subprocess.Popen[str]:
    """`perfmodel sweep` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "perfmodel", "sweep", str(spec), "--out", str(out), *options],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **settings,
    )
