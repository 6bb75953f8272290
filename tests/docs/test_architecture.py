"""The page on the architecture is what the tree is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.test_import_rule import PACKAGE, ROWS

WRITER = Path(__file__).resolve().parents[2] / "docs" / "write_architecture.py"
_SPEC = importlib.util.spec_from_file_location("write_architecture", WRITER)
assert _SPEC is not None
assert _SPEC.loader is not None
write_architecture = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(write_architecture)


def test_page_is_up_to_date() -> None:
    text = write_architecture.PAGE.read_text(encoding="utf-8")
    assert text == write_architecture.architecture(), "run: python docs/write_architecture.py"


def test_every_room_has_its_line() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    told = [line.split("|")[2].strip().strip("`") for line in write_architecture.lines_of_table()]
    assert sorted(told) == sorted(rooms - {"__init__"})
    assert write_architecture.rows_of_rooms() == [sorted(row) for row in ROWS]


def test_arrows_lead_down() -> None:
    level = {room: place for place, row in enumerate(ROWS) for room in row}
    for room, place in level.items():
        assert all(level[other] < place for other in write_architecture.uses(room)), room
    assert "costs" in write_architecture.uses("kernels")


def test_a_file_without_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "silent.py"
    path.write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no docstring"):
        write_architecture.first_sentence(path)
    path.write_text('"""One thing: another.\n\nMay import: x."""\n', encoding="utf-8")
    assert write_architecture.first_sentence(path) == "One thing: another"
