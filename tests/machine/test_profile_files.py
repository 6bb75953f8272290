"""Profiles written and read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from machine.test_detection import MACHINE
from perfmodel.catalog import check_specs, list_hardware, load_hardware
from perfmodel.errors import InputError, SpecError
from perfmodel.machine.detection import machine_id
from perfmodel.machine.profile import starting_profile
from perfmodel.machine.profile_files import as_read, save_profile, write_profile

PROFILE = starting_profile(MACHINE)


def test_round_trip(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path / "local.yaml")
    assert check_specs([path]) == []
    assert replace(load_hardware(str(path)), path="") == PROFILE


def test_every_chip_of_the_catalog_survives_writing() -> None:
    for chip in list_hardware():
        again = as_read(chip)
        kept = {key: figure for key, figure in chip.figures.items() if not key.startswith("price.")}
        assert again.figures == kept, chip.id
        assert (again.peaks, again.native, again.fallbacks) == (chip.peaks, chip.native, chip.fallbacks)
        assert (again.notes, again.memory_bytes) == (tuple(note.strip() for note in chip.notes), chip.memory_bytes)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "local.yaml"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"exists already.*--force"):
        write_profile(PROFILE, path)
    assert path.read_text() == "mine"
    write_profile(PROFILE, path, force=True)
    assert check_specs([path]) == []
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("other.yaml", "named after its id"), ("local.json", "must end in .yaml"), ("no/where/local.yaml", "written")],
)
def test_refused_places(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        write_profile(PROFILE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        write_profile(PROFILE, tmp_path / "file" / "local.yaml")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_chip_that_is_none_is_not_written(tmp_path: Path) -> None:
    wrong = replace(PROFILE, figures={key: value for key, value in PROFILE.figures.items() if key[:5] != "peaks"})
    with pytest.raises(SpecError, match="peak"):
        write_profile(wrong, tmp_path / "local.yaml")
    assert list(tmp_path.iterdir()) == []


def test_saved_profiles_are_found_by_their_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "new" / "home"))
    path = save_profile(PROFILE)
    assert path == tmp_path / "new" / "home" / "hardware" / "local.yaml"
    assert load_hardware("local").peaks == PROFILE.peaks


@pytest.mark.parametrize("name", ["h100-sxm", "xeon-8480"])
def test_no_chip_of_the_catalog_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"'{name}' is the chip {name} of the catalog"):
        save_profile(starting_profile(MACHINE, name))
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be made.*PERFMODEL_HOME"):
        save_profile(PROFILE)


def test_a_profile_is_found_by_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    alias = f"machine-{machine_id(MACHINE)}"
    save_profile(PROFILE)
    assert load_hardware(alias).id == "local"
    save_profile(starting_profile(MACHINE, "second"))
    assert load_hardware(alias).id == "local"  # the first by name
    assert check_specs() == []
