"""Compiled where numba is, and kept on disk where there is a place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perfmodel.serving import compiling

CODE = """
from perfmodel.serving.compiling import compiled_entry, has_compiler
assert has_compiler()
import {module}
from perfmodel.serving import step_sums
import numpy as np
times = np.ones((6, 3))
times[step_sums.CONTEXT_KNOTS] = [0, 10, 20]
print(step_sums.run_seconds(times, step_sums.ALONE, 1.0, 1.0, 30), sum(step_sums.run_seconds.stats.cache_hits.values()))
"""


def run(environment: dict[str, str], module: str = "numpy") -> list[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")} | environment
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", CODE.format(module=module)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not compiling.has_compiler(), reason="needs numba")
def test_compiled_code_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    assert run(environment) == ["30.0", "0"]
    assert run(environment) == ["30.0", "1"]
    assert any(path.suffix == ".nbc" for path in tmp_path.rglob("*"))


@pytest.mark.skipif(not compiling.has_compiler(), reason="needs numba")
def test_without_a_place_to_keep_it_compiles_anew(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    environment = {"XDG_CACHE_HOME": str(blocked), "HOME": str(blocked), "LOCALAPPDATA": str(blocked)}
    assert run(environment)[0] == "30.0"


def test_every_compiled_file_counts() -> None:
    """A file whose functions are compiled is part of the digest that names the folder."""
    folder = Path(compiling.__file__).parent
    using = {path.name for path in folder.glob("*.py") if "\n@compiled" in path.read_text(encoding="utf-8")}
    assert using == set(compiling.COMPILED_FILES)
