"""What the quick tests of all readers share: the readers in groups, and one case of one of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.cases import case_of, judge, write_case
from tests.fuzz.readers import BY_NAME

SEEDS = st.integers(0, 10**9)  # a failing one: python -m tests.fuzz.run --readers NAME --seed SEED --cases 1
MODELS = ("config.json", "diffusers folder", "model spec", "graph", "onnx", "gguf", "safetensors")
SPECS = ("chip", "fabric", "engine", "sweep", "prices", "coefficients", "engine coefficients")
TABLES = ("measurements csv", "measurements parquet", "load test", "runs", "trace", "accuracies", "results")
TEXTS = ("overrides", "condition", "unit", "size")
ELSEWHERE = ("anchors", "model name", "command line", "request")  # in the long run only, or in the corpus


def read_or_refused(name: str, seed: int, content: bytes | None = None) -> bool:
    """Whether a case is read; an error if it is neither read nor refused as it should be.

    Args:
        content: of the case's first file, in place of its own.
    """
    reader, here = BY_NAME[name], os.getcwd()
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        path = write_case(Path(folder), case_of(reader, seed))
        if content is not None:
            path.write_bytes(content)
        os.chdir(folder)
        try:
            return judge(reader, path)
        finally:
            os.chdir(here)
