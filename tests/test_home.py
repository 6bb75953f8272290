"""What was made on this machine: found by its id, and without a say about any other chip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli.running import SMALL_CHIP
from test_coefficient_files import document

from perfmodel.catalog import check_specs, list_hardware, load_hardware, match_hardware
from perfmodel.coefficient_files import scopes_for
from perfmodel.errors import SpecError, UnknownNameError
from perfmodel.home import COEFFICIENTS, HARDWARE, home_folder, is_local
from perfmodel.machine.profile_files import as_read, save_profile
from perfmodel.predict import predict

MODEL = "llama-3.2-1b"
GEMM = "gemm.bf16:gemm.memory_efficiency"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PERFMODEL_DATA", raising=False)
    for part in (HARDWARE, COEFFICIENTS):
        (tmp_path / "home" / part).mkdir(parents=True)
    return tmp_path / "home"


def own_gpu(home: Path, identifier: str = "local") -> None:
    """A Hopper of one's own: what was fitted on H100 in the catalog speaks of its family."""
    text = SMALL_CHIP.format(id=identifier, capacity="64 GiB").replace("kind: accelerator", "kind: gpu")
    (home / HARDWARE / f"{identifier}.yaml").write_text(text + "vendor: NVIDIA\nfamily: hopper\n")


def own_fit(home: Path, name: str = "local.json", device: str = "local") -> Path:
    """A fit in which this machine reads weights at 0.25 of the bandwidth that its family reads at."""
    path = home / COEFFICIENTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(effects={"family": {"hopper": [1.0, 0.6]}, "device": {device: [1.0, 0.25]}})))
    return path


def seconds(chip: str) -> float:
    return float(predict(MODEL, chip, precision="bf16").phases["decode"].time.seconds)


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    assert home_folder() == tmp_path
    assert home_folder("reports") == tmp_path / "reports"
    monkeypatch.delenv("PERFMODEL_HOME")
    assert home_folder().name == "perfmodel"
    assert home_folder().is_absolute()
    assert tmp_path not in home_folder().parents


def test_an_own_chip_works_everywhere(home: Path) -> None:
    with pytest.raises(UnknownNameError):
        load_hardware("local")
    own_gpu(home)
    chip = load_hardware("local")
    assert is_local(chip.path)
    assert chip in list_hardware()
    assert not any(is_local(other.path) for other in list_hardware() if other.id != "local")
    assert predict(MODEL, "local", precision="bf16").provenance["levels"]["gemm.bf16"] == "family"
    assert load_hardware("loc") == chip


def test_an_own_chip_makes_no_name_ambiguous(home: Path) -> None:
    before = load_hardware("rtx-509")
    own_gpu(home, "rtx-5090-mine")
    assert load_hardware("rtx-509") == before
    assert load_hardware("rtx-5090-mine").id == "rtx-5090-mine"
    assert match_hardware(["rtx-5090-mine"]) is None  # the catalog's chips only


def test_specs_come_before_the_home(home: Path, tmp_path: Path) -> None:
    own_gpu(home)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "local.yaml").write_text(SMALL_CHIP.format(id="local", capacity="16 GiB"))
    assert load_hardware("local", specs=tmp_path / "specs").memory_bytes == 16 * 2**30
    assert load_hardware("local").memory_bytes == 64 * 2**30


def test_a_broken_profile_breaks_nothing_else(home: Path) -> None:
    before = len(list_hardware())
    (home / HARDWARE / "local.yaml").write_text("id: local\nkind: toaster\n")
    assert len(list_hardware()) == before
    assert load_hardware("NVIDIA H100 80GB HBM3").id == "h100-sxm"  # by an alias, for which all files are read
    assert match_hardware(["NVIDIA L4"]) is not None
    with pytest.raises(SpecError, match=r"local\.yaml:2: kind: must be one of"):
        load_hardware("local")
    assert len(check_specs()) == 1


@pytest.mark.parametrize("name", ["local.json", "local/cpu-kernels.json"])
def test_own_coefficients_hold_for_their_chip_alone(home: Path, name: str) -> None:
    own_gpu(home)
    own_gpu(home, "local-2")
    others = ("h100-sxm", "h200-sxm", "local-2")
    before = {chip: seconds(chip) for chip in ("local", *others)}
    own_fit(home, name)
    found = predict(MODEL, "local", precision="bf16")
    assert found.provenance["levels"]["gemm.bf16"] == "device"
    assert found.provenance["coefficients"][GEMM]["provenance"] == "a test"
    assert found.phases["decode"].time.seconds > 2 * before["local"]
    assert {chip: seconds(chip) for chip in others} == {chip: before[chip] for chip in others}


def test_own_coefficients_come_before_shipped_ones_of_the_same_chip(home: Path) -> None:
    before = seconds("h100-sxm")
    own_fit(home, "h100-sxm.json", "h100-sxm")
    assert scopes_for(load_hardware("h100-sxm"))["gemm.bf16"].provenance == "a test"
    assert seconds("h100-sxm") > 2 * before


def test_somebody_elses_chip_of_the_same_id_is_another(home: Path, tmp_path: Path) -> None:
    own_gpu(home)
    theirs = tmp_path / "local.yaml"
    theirs.write_text((home / HARDWARE / "local.yaml").read_text())
    before = seconds(str(theirs))
    own_fit(home)
    assert seconds("local") > 2 * before
    assert seconds(str(theirs)) == before


def test_broken_coefficients_break_their_chip_alone(home: Path) -> None:
    own_gpu(home)
    before = seconds("h100-sxm")
    (home / COEFFICIENTS / "local.json").write_text('{"format": 1, "scopes": {"gemm.bf16": {}}}')
    assert seconds("h100-sxm") == before
    with pytest.raises(SpecError, match=r"local\.json"):
        seconds("local")


def test_coefficients_of_another_chip_are_refused(home: Path) -> None:
    own_gpu(home)
    own_fit(home, device="h100-sxm")
    with pytest.raises(SpecError, match=r"local\.json: says nothing of local .*fitted on h100-sxm"):
        seconds("local")


def test_a_new_fit_counts_at_once(home: Path) -> None:
    own_gpu(home)
    before = seconds("local")
    own_fit(home)
    assert seconds("local") > 2 * before
    (home / COEFFICIENTS / "local.json").unlink()
    assert seconds("local") == before


INTEL = [["cpu", "Intel"]]


def effects(device: str) -> dict[str, dict[str, list[float]]]:
    return {"device": {device: [1.0, 0.5]}}


def test_own_coefficients_hold_for_fewer_threads_too_unless_those_were_fitted(home: Path) -> None:
    save_profile(as_read(replace(load_hardware("i9-10940x"), id="local", aliases=())))
    (home / COEFFICIENTS / "local.json").write_text(json.dumps(document(effects=effects("local"), vendors=INTEL)))
    for chip in ("local", "local-4-threads"):
        assert scopes_for(load_hardware(chip))["gemm.bf16"].provenance == "a test"
    threads = document(effects=effects("local-4-threads"), vendors=INTEL, rows=77)
    (home / COEFFICIENTS / "local-4-threads.json").write_text(json.dumps(threads))
    assert scopes_for(load_hardware("local-4-threads"))["gemm.bf16"].rows == 77
    assert scopes_for(load_hardware("local"))["gemm.bf16"].rows != 77
