"""`perfmodel calibrate`: a real calibration on few programs, what it leaves behind, and bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from perfmodel.report.schema_files import read_schema

pytest.importorskip("torch")

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
    jsonschema.validate(document, read_schema("calibrate"))
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
    # what is finished is measured anew, what was there is put aside; too few runs for a fit leave the chip as it was
    kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    again = run("calibrate", "--dtype", "fp32", "--threads", "1", "--programs", "^block.*patch mixer", "--no-models",
                "--force", "--name", "mine")  # fmt: skip
    assert again.exit_code == 2
    assert "too few to fit" in again.output
    runs = home / "measurements" / "mine-quick.jsonl"
    assert runs.with_suffix(".previous.jsonl").read_bytes() == kept[runs]
    for path, content in kept.items():
        assert path.parent.name == "measurements" or path.read_bytes() == content, path


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


# ------------------------------------------------------------------------------------------------ files of before


@pytest.fixture(scope="module")
def gpu_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Runs of a GPU box that is made up: programs, and whole models."""
    from tests.calibration.synthetic_gpu import FEW, write_models, write_programs

    folder = tmp_path_factory.mktemp("runs")
    programs = write_programs(folder / "runs-cuda-quick.jsonl", ["bf16"], pattern=FEW)
    return str(programs), str(
        write_models(folder / "runs-cuda-anchors.jsonl", ["bf16"], ["small-encoder", "bert-base"])
    )


def test_a_gpu_is_calibrated_from_files_that_someone_brings(home: Path, gpu_files: tuple[str, str]) -> None:
    done = run("calibrate", "--from", *gpu_files, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    jsonschema.validate(document, read_schema("calibrate"))
    (scope,) = document["scopes"]
    assert (document["device"], document["machine"]["gpu"]) == ("cuda", "NVIDIA H100 80GB HBM3")
    assert (scope["scope"], scope["threads"], scope["hardware"]) == ("framework.gpu.eager.bf16", 0, "local-gpu")
    assert scope["after"]["median_ape"] < 0.05 < scope["before"]["median_ape"]
    written = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert {"hardware/local-gpu.yaml", "coefficients/local-gpu.json", "reports/local-gpu/report.md"} <= written
    page = (home / "reports/local-gpu/report.md").read_text(encoding="utf-8")
    assert "bf16 on the GPU" in page
    assert "NVIDIA H100 80GB HBM3" in page
    shown = run("predict", "bert-base", "--hardware", "local-gpu", "--precision", "bf16", "--runtime", "eager",
                "--input-tokens", "128", "--json")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)[0]["provenance"]["level"] == "device"
    # the name is now that of this GPU
    refused = run("calibrate", "--name", "local-gpu")
    assert refused.exit_code == 2
    assert "profile of a gpu" in refused.output


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--from", "{0}", "--device", "cpu"), "was measured on cuda, not on cpu"),
        (("--from", "{1}"), "no programs of a suite"),
        (("--from", "{0}", "--dtype", "fp16"), "there are bf16"),
        (("--from", "{0}", "--suite", "full", "--programs", "linear"), "--suite, --programs: nothing is measured"),
        (("--from", "{0}", "--threads", "4"), "decide nothing for a GPU"),
        (("--from", "{0}", "--runtime", "graphs"), "calibrated are eager and compiled"),
        (("--from", "{0}", "--name", "h100-sxm"), "choose another --name"),
        (("--from", "no-such-file.jsonl"), "cannot be read"),
        (("{0}",), "stand behind --from"),
        (("--device", "cuda", "--threads", "4"), "decide nothing for a GPU"),
        (("--dtype", "tf32"), "tf32 on cpu"),
    ],
)
def test_files_and_options_that_do_not_fit_are_told(
    home: Path, gpu_files: tuple[str, str], options: tuple[str, ...], what: str
) -> None:
    done = run("calibrate", *(option.format(*gpu_files) for option in options))
    assert done.exit_code == 2
    assert what in done.output
    assert not list(home.rglob("*.json"))


def test_runs_of_another_cpu_need_its_profile(home: Path, tmp_path: Path) -> None:
    from perfmodel.measuring.run_files import open_runs, read_runs

    recorded = Path(__file__).parents[2] / "calibration" / "measurements" / "epyc-zen5-2-cores" / "quick.jsonl"
    runs = read_runs(recorded)
    few = [point for point in runs.points if (point["dtype"], point["threads"]) == ("fp32", 1)][::20]

    def brought(name: str, **changes: object) -> str:
        header = {key: value for key, value in runs.header.items() if key != "schema"}
        with open_runs(tmp_path / name, header | {"machine": header["machine"] | changes}) as file:
            for point in few:
                file.append(point)
        return str(tmp_path / name)

    stranger = run("calibrate", "--from", brought("a.jsonl", id="aaaaaaaaaaaa"))
    assert stranger.exit_code == 2
    assert "no profile is of it" in stranger.output
    done = run("calibrate", "--from", brought("b.jsonl"), "--name", "that-box")
    assert done.exit_code == 0, done.output
    assert (home / "coefficients" / "that-box-1-threads.json").exists()
