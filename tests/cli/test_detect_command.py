"""`perfmodel hardware detect`, and chips of this machine in the other commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.running import SMALL_CHIP, refuse, run, succeed, succeed_json
from perfmodel.machine.accelerators import detect_accelerators
from perfmodel.machine.detection import detect_machine, machine_id


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_tells_what_was_found_and_what_is_assumed() -> None:
    text = succeed("hardware", "detect")
    machine = detect_machine()
    assert text.startswith(f"This machine ({machine_id(machine)})\n")
    assert machine.cpu in text
    assert "Matched: " in text
    assert "Assumed or estimated: " in text
    (row,) = (line for line in text.splitlines() if line.startswith("memory.bandwidth"))
    assert "GB/s" in row


def test_json() -> None:
    document = succeed_json("hardware", "detect", "--name", "mine")
    assert document["machine"]["id"] == machine_id(detect_machine())
    assert document["profile"]["id"] == "mine"
    assert document["file"] is None
    assert set(document["assumed"]) <= set(document["profile"]["figures"])


def test_a_written_profile_is_fine_and_predicts(tmp_path: Path) -> None:
    path = tmp_path / "my-box.yaml"
    assert succeed("hardware", "detect", "--out", str(path)).endswith(f"Use it: --hardware {path}\n")
    assert succeed("hardware", "check", str(path)) == "No mistakes found.\n"
    assert succeed_json("hardware", "show", str(path))["id"] == "my-box"
    assert "my-box" in succeed("predict", "timm:resnet18", "--hardware", str(path))


def test_a_saved_profile_is_local_everywhere(home: Path) -> None:
    assert f"Profile: {home / 'hardware' / 'local.yaml'}" in succeed("hardware", "detect", "--save")
    listed = succeed("hardware", "list", "--kind", "cpu")
    assert listed.startswith("This machine (local)\n")
    assert listed.splitlines()[2].startswith("local ")
    assert "(local: of this machine)" in succeed("hardware", "show", "local")
    marks = {chip["id"]: chip["local"] for chip in succeed_json("hardware", "list", "--kind", "cpu")}
    assert [name for name, local in marks.items() if local] == ["local"]
    assert "exists already" in refuse("hardware", "detect", "--save")
    succeed("hardware", "detect", "--save", "--force")


def test_asking_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    if "cuda" in {found.kind for found in detect_accelerators()}:
        pytest.skip("there is a GPU here")
    message = refuse("hardware", "detect", "--device", "cuda", "--out", str(tmp_path / "gpu.yaml"))
    assert "no cuda device on this machine" in message
    assert "torch" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--out", "a.txt"), "must end in .yaml"),
        (("--out", "a.yaml", "--name", "b"), "named after its id"),
        (("--out", "a.yaml", "--save"), "give one of them"),
        (("--name", "Not An Id"), "must be lower case"),
        (("--name", "h100-sxm", "--save"), "of the catalog"),
    ],
)
def test_refused(
    arguments: tuple[str, ...], reason: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reason in refuse("hardware", "detect", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_profile_is_told_of_and_left_out(home: Path) -> None:
    (home / "hardware").mkdir(parents=True)
    (home / "hardware" / "local.yaml").write_text(SMALL_CHIP.format(id="other", capacity="64 GiB"))
    result = run("hardware", "list", "--json")
    assert result.exit_code == 0
    assert "local" not in {chip["id"] for chip in json.loads(result.stdout)}
    assert "local.yaml:1: id:" in result.stderr
    assert "local.yaml:1: id:" in refuse("predict", "llama-3.2-1b", "--hardware", "local")
    succeed("predict", "llama-3.2-1b", "--hardware", "NVIDIA L4")
