"""Bombs, pipes, devices, lies about lengths: each in little time and memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.fuzz import hostile
from tests.fuzz.readers import READERS
from tests.fuzz.seeds import ROOT

GROUPS = (("anywhere", "yaml"), ("gguf", "safetensors", "configs", "graphs", "onnx"), ("parquet",))


@pytest.mark.parametrize("groups", GROUPS, ids="-".join)
def test_hostile_files_are_refused_or_read_within_limits(groups: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.hostile", "--quick", *groups], cwd=ROOT, text=True, capture_output=True
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines, ran.stderr[-2000:]
    assert lines[:-1] == [], ran.stderr[-2000:]
    assert lines[-1]["findings"] == 0
    assert lines[-1]["cases"] > 10


def test_every_group_and_reader_is_tested() -> None:
    found = hostile.groups(quick=True)
    assert {name for names in GROUPS for name in names} == found.keys()
    read = {reader.name for cases in found.values() for _, reader, _ in cases}
    texts = {reader.name for reader in READERS if not reader.names_file}
    assert read | texts >= {reader.name for reader in READERS}
