"""Fitted coefficients of engines on disk: a round trip, what comes first, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.coefficient_files import load_scopes
from perfmodel.errors import SpecError
from perfmodel.serving.engine_coefficients import PARAMETERS
from perfmodel.serving.engine_files import (
    EngineFile,
    load_engine_coefficients,
    load_engine_files,
    read_engine_file,
    write_engine_file,
)

FILE = EngineFile(
    fitted="2026-01-02",
    provenance="rows of a test",
    shared={"interference": 1.25, "compute.gemm.fp8": 0.875},
    engines={"one": {"layer_seconds": 1.5e-5}, "two": {"interference": 2.0}},
    errors={"tpot": {"median_ape": 0.1}},
    widths={"one": [0.1, 0.2]},
    effects={"model | a": [1, 2.5]},
)


def folder_of(root: Path) -> Path:
    folder = root / "calibration" / "coefficients"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_engine_file(tmp_path / "serving.json", FILE)
    assert read_engine_file(tmp_path / "serving.json") == FILE


def test_values_of_an_engine_come_before_the_shared_ones_of_its_file(tmp_path: Path) -> None:
    write_engine_file(folder_of(tmp_path) / "serving-mine.json", FILE)
    one, two = (load_engine_coefficients(engine, specs=str(tmp_path)) for engine in ("one", "two"))
    assert (one["layer_seconds"], one["interference"], one["compute.gemm.fp8"]) == (1.5e-5, 1.25, 0.875)
    assert two["interference"] == 2.0
    assert (one.level, one.provenance) == ("engine", "rows of a test")


def test_unknown_engine_stands_on_its_priors(tmp_path: Path) -> None:
    write_engine_file(folder_of(tmp_path) / "serving.json", FILE)
    found = load_engine_coefficients("nobody's", specs=str(tmp_path))
    assert found.level == "prior"
    assert all(found[parameter.name] == parameter.value for parameter in PARAMETERS)


def test_later_files_and_own_folders_come_first(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for root, name, value in (
        (tmp_path / "base", "serving-static.json", 1e-5),
        (tmp_path / "base", "serving.json", 2e-5),
        (mine, "serving-static.json", 3e-5),
    ):
        own = {"layer_seconds": value} | ({"step_seconds": 4e-3} if name == "serving-static.json" else {})
        file = EngineFile(fitted="2026-01-02", provenance=name, engines={"one": own})
        write_engine_file(folder_of(root) / name, file)
    base = load_engine_coefficients("one", specs=str(tmp_path / "base"))
    assert (base["layer_seconds"], base["step_seconds"]) == (2e-5, 4e-3)
    both = load_engine_coefficients("one", specs=[str(mine), str(tmp_path / "base")])
    assert both["layer_seconds"] == 3e-5


def test_kernels_do_not_read_these_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    write_engine_file(folder / "serving-mine.json", FILE)
    load_scopes(specs=str(tmp_path))
    assert str(folder / "serving-mine.json") in load_engine_files(specs=str(tmp_path))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    path.write_text(
        '{"format": "perfmodel-serving/9",\n "fitted": "2026-01-02",\n "sharde": {},\n'
        ' "shared": {"interference": -1},\n "engines": {"one": [], "two": {"layer_seconds": "fast"}}}\n'
    )
    with pytest.raises(SpecError) as caught:
        read_engine_file(path)
    text = str(caught.value)
    for part in ("provenance", "perfmodel-serving/9", "sharde", "interference", "engines.one", "layer_seconds"):
        assert part in text
    assert "serving.json:4" in text
