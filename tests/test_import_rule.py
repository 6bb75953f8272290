"""The order of the building: a module imports only from rows below its own, also inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "perfmodel"

# from the ground up; rooms of one row do not know each other
ROWS = (
    {"errors", "allocation", "arithmetic", "identity_cache", "home", "collector", "notebooks", "outside_files"},
    {"file_locks"},
    {"units", "sizes", "yaml_strict", "whole_files", "own_folders", "layouts"},
    {"precisions"},
    {"types"},
    {"figures", "threads", "latency_parts", "likeness"},
    {"hardware_profile"},
    {"catalog"},
    {"machine"},
    {"graphs", "costs", "coefficients"},
    {"fitted_scopes"},
    {"coefficient_files", "catalog_entries"},
    {"reuse"},
    {"kernels", "memory"},
    {"program", "power"},
    {"joining"},
    {"uncertainty", "economics", "prices"},
    {"phases", "energy", "provenance", "spreading"},
    {"anchoring", "preparing"},
    {"serving"},
    {"measuring"},
    {"calibration"},
    {"predict", "closed_form", "comparison"},
    {"static_latencies"},
    {"planning"},
    {"sweeping"},
    {"report"},
    {"cli"},
    {"web"},
    {"__main__"},
)
LEVELS = {room: level for level, row in enumerate(ROWS) for room in row}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> Iterator[tuple[int, str]]:
    """(line, room) of everything of perfmodel that a file imports."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            module = node.module or ""
            # `from perfmodel import types` names the room itself
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "perfmodel" else [module]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "perfmodel":
                yield node.lineno, rest.split(".")[0]


def violations(room: str, source: str) -> list[str]:
    return [
        f"line {line}: {room} may not import {other}"
        for line, other in imported_rooms(source)
        if other not in (room, "__version__") and not LEVELS.get(other, len(ROWS)) < LEVELS[room]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_below(path: Path) -> None:
    assert room_of(path) in LEVELS, f"give {room_of(path)} its place in ROWS"
    assert violations(room_of(path), path.read_text(encoding="utf-8")) == []


def test_rule_notices_a_violation() -> None:
    assert violations("costs", "from perfmodel.graphs import load_model") == ["line 1: costs may not import graphs"]
    assert violations("types", "def late():\n    import perfmodel.predict") == ["line 2: types may not import predict"]
    assert violations("report", "from perfmodel import cli") == ["line 1: report may not import cli"]
    assert violations("cli", "from perfmodel.types import Graph\nimport numpy") == []
