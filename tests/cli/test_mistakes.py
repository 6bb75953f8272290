"""Mistakes of options are told together, those about outputs before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.cli.mistakes import BOTH_FORMS, output_mistakes, refuse_all
from perfmodel.errors import InputError
from tests.cli.running import refuse


def test_one_is_told_as_it_is_and_several_in_a_list() -> None:
    refuse_all([])
    with pytest.raises(InputError, match=r"^--a: no$"):
        refuse_all(["--a: no"])
    with pytest.raises(InputError, match=r"^2 mistakes\n- --a: no\n- --b: no$"):
        refuse_all(["--a: no", "--b: no"])


def test_outputs(tmp_path: Path) -> None:
    assert output_mistakes(None, as_json=True, as_csv=False) == []
    assert output_mistakes(str(tmp_path / "a.PNG"), as_json=False, as_csv=False) == []
    found = output_mistakes(str(tmp_path / "none" / "a.png"), as_json=True, as_csv=True)
    assert [option for option, _ in found] == ["plot", "json"]
    assert f"there is no folder {tmp_path / 'none'}" in str(found[0][1])
    assert str(found[1][1]) == BOTH_FORMS


@pytest.mark.parametrize("command", [("scale", "llama"), ("compress", "llama-3.1-8b")])
def test_a_folder_that_is_not_there_is_told_before_the_work(command: tuple[str, ...], tmp_path: Path) -> None:
    text = refuse(*command, "--hardware", "h100", "--plot", str(tmp_path / "none" / "a.png"))
    assert "there is no folder" in text
    assert "--hardware" in text, "with the other mistakes"


@pytest.mark.parametrize(
    "command",
    ["explain llama-3.1-8b --hardware h100-sxm", "simulate llama-3.1-8b --hardware h100-sxm", "validate x.csv"],
)
def test_pictures_that_cannot_be_drawn(command: str, tmp_path: Path) -> None:
    assert refuse(*command.split(), "--plot", "a.txt").startswith("Error: --plot: 'a.txt' must end in .png, .svg, .pdf")
    assert "there is no folder" in refuse(*command.split(), "--plot", str(tmp_path / "none" / "a.png"))
