"""Where a table cannot be written, or an option is wrong: said before or at once, and nothing is torn."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from cli.running import refuse, succeed, succeed_json

import perfmodel
from perfmodel.errors import InputError
from perfmodel.report.schema_files import read_schema
from sweeping.specs import LONG, command

SMALL = {"grid": {"model": "llama-3.1-8b", "hardware": "h100-sxm", "concurrency": [1, 2, 4]}}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps(SMALL))
    return file


def test_command(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.csv"
    document = succeed_json("sweep", str(spec), "--out", str(out), "--workers", "1")
    jsonschema.validate(document, read_schema("sweep"), cls=jsonschema.Draft202012Validator)
    assert (document["rows"], document["points"], document["parts"]) == (3, 3, 1)
    assert len(out.read_text().splitlines()) == 4
    assert "3 rows of 3 points" in succeed("sweep", str(spec), "--out", str(out), "--workers", "1")


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("sweep.json", (), "must end in .parquet or .csv"),
        ("sweep.yaml", (), "must end in .parquet or .csv"),
        ("nowhere/sweep.csv", (), "there is no folder"),
        ("folder.csv", (), "is a folder"),
        ("linked.csv", (), "is the sweep's own file"),
        ("taken.csv", (), "is not a sweep's"),
        ("sweep.csv", ("--executor", "spark"), "unknown executor 'spark'"),
        ("sweep.csv", ("--address", "tcp://127.0.0.1:1"), "--executor dask with it"),
        ("sweep.csv", ("--workers", "0"), "--workers"),
    ],
)
def test_mistakes(spec: Path, out: str, options: tuple[str, ...], message: str) -> None:
    folder = spec.parent
    (folder / "folder.csv").mkdir()
    (folder / "linked.csv").symlink_to(spec)
    (folder / "taken.csv.parts").mkdir()
    (folder / "taken.csv.parts" / "own").write_text("mine")
    before = sorted(folder.rglob("*"))
    assert message in refuse("sweep", str(spec), "--out", str(folder / out), *options)
    assert sorted(folder.rglob("*")) == before
    assert json.loads(spec.read_text()) == SMALL


def test_mistakes_of_the_file_come_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("grid: {model: llama-3.1-8b, hardware: h10, rate: 1}\n")
    assert f"{file}:1: grid.hardware: unknown chip 'h10'" in refuse("sweep", str(file), "--out", f"{tmp_path}/o.csv")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_read_only_folder(spec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o500)
    assert "read-only" in refuse("sweep", str(spec), "--out", str(folder / "sweep.csv"))


def at_most(size: int) -> Callable[[], None]:
    """No file of the process grows beyond so many bytes, as on a disk that is full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [10_000, 150_000], ids=["in a part", "while joining"])
def test_a_full_disk_loses_nothing(tmp_path: Path, size: int) -> None:
    file, out = tmp_path / "sweep.yaml", tmp_path / "sweep.csv"
    long = {**LONG, "columns": ["ttft_s"]}
    file.write_text(json.dumps(long))
    process = command(file, out, "--workers", "1", preexec_fn=at_most(size))
    text, errors = process.communicate()
    assert process.returncode == 2, errors
    assert text == ""
    assert "cannot be written: File too large" in errors
    assert f"What is done is kept in {out}.parts" in errors
    assert "Traceback" not in errors
    assert not out.exists()
    result = perfmodel.sweep(long, out=out, workers=2)
    assert result.resumed == (0 if size == 10_000 else result.parts)
    assert len(out.read_text().splitlines()) == result.rows + 1


def test_two_commands_at_once(tmp_path: Path) -> None:
    out = tmp_path / "sweep.csv"

    def once_more(_done: int, _total: int, label: str) -> None:
        if label == "started":
            with pytest.raises(InputError, match="another process is at this sweep"):
                perfmodel.sweep(SMALL, out=out, workers=1)

    perfmodel.sweep(SMALL, out=out, workers=1, show=once_more)
    assert out.exists()
