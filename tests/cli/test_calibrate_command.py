"""`perfmodel calibrate`: a real calibration on few programs, what it leaves behind, and bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

pytest.importorskip("torch")

from perfmodel.report.calibration_document import calibration_schema
from tests.cli.running import run

pytestmark = pytest.mark.torch
FEW = ("calibrate", "--dtype", "fp32", "--threads", "1", "--programs", "^block", "--no-models", "--force")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_afterwards_the_machine_is_a_chip_like_others(home: Path) -> None:
    done = run(*FEW, "--name", "mine", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    jsonschema.validate(document, calibration_schema())
    (scope,) = document["scopes"]
    assert (scope["dtype"], scope["threads"]) == ("fp32", 1)
    assert scope["runs"] > 40
    written = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert {"hardware/mine.yaml", "measurements/mine-quick.jsonl", "measurements/mine-models.jsonl"} <= written
    assert any(name.startswith("coefficients/mine") for name in written)
    assert any(name.startswith("reports/mine/") and name.endswith(".png") for name in written)
    shown = run("predict", "timm:resnet18", "--hardware", "mine", "--threads", "1", "--precision", "fp32", "--runtime",
                "eager", "--json")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)[0]["provenance"]["level"] == "device"
    # what is finished is measured anew, and what was there is put aside
    before = (home / "measurements" / "mine-quick.jsonl").read_text(encoding="utf-8")
    again = run(*FEW, "--name", "mine")
    assert again.exit_code == 0, again.output
    assert "mine" in again.stdout
    assert (home / "measurements" / "mine-quick.previous.jsonl").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--device", "cuda"), "CUDA"),
        (("--dtype", "fp32,fp7"), "fp7"),
        (("--name", "h100-sxm"), "choose another --name"),
        (("--threads", "4096"), "cores"),
        (("--programs", "("), "no regular expression"),
        (("--programs", "no such program"), "no program of the suite"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(home: Path, options: tuple[str, ...], what: str) -> None:
    done = run("calibrate", *options)
    assert done.exit_code == 2
    assert what.lower() in done.output.lower()
    assert not list(home.rglob("*.jsonl"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_protected_home_is_told_before_anything_is_measured(home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    try:
        done = run(*FEW)
        assert done.exit_code == 2
        assert "PERFMODEL_HOME" in done.output
    finally:
        home.chmod(0o700)


def test_a_home_that_is_a_file_is_told(home: Path) -> None:
    home.write_text("", encoding="utf-8")
    done = run(*FEW)
    assert done.exit_code == 2
    assert "PERFMODEL_HOME" in done.output
