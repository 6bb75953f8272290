"""Writes docs/architecture.md from the tree: the order of the rooms, what each holds, and which rooms it uses.

    python docs/write_architecture.py

Rows come from `ROWS` of tests/test_import_rule.py, words from the first sentence of each room's docstring, arrows from
the imports in its files. tests/docs/test_architecture.py compares the page with what this writes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, PAGE = ROOT / "perfmodel", ROOT / "docs" / "architecture.md"
RULE = ROOT / "tests" / "test_import_rule.py"
HEAD = """# Architecture

<!-- written by docs/write_architecture.py: change the docstrings of the rooms, or the text there -->

perfmodel answers one question, from any model and any chip: how fast will it run, how sure is that, and why? Data flows
one way, and no room calls back to an earlier one:

```text
source ──graphs──▶ Graph ──rewrite, shard──▶ Graph of one device ──costs──▶ OpCost of each op
  ──kernels (Hardware, Coefficients)──▶ OpTime ──program, phases──▶ Prediction ──serving──▶ ServingPrediction
  ──planning──▶ answer ──report──▶ table, document, picture, page
```

Who reads `predict` in `predict.py` and `prepare` in `preparing.py` once has seen the whole of it. Calibration is a loop
outside: measurements ─ fit ▶ a file of coefficients ─▶ the same flow again.

Five ideas carry it. *One formula, three uses*: costs and kernel times are pure functions of sizes that are ints (one
prediction), arrays (a sweep) or symbols (a closed form), so that no formula asks what a size is. *Results add up*:
costs and times have a zero, `+` and `* n`, so that a repeated block is computed once. *Facts, priors and fits do not
mix*: datasheets with their sources in `hardware_specs/`, priors beside their equations in `kernels/`, fits with the
data they came from in `calibration/coefficients/`. *Every number has an interval* and says what it stands on. *Nothing
is dropped in silence*: an op without a formula, a field that is not understood, a precision a chip lacks is told by
name.

## Rooms

A room is a package, or a module by itself, of `perfmodel/`. They stand in rows: a room imports only from rows above its
own in this table, also inside functions; rooms of one row do not know each other. The test
`tests/test_import_rule.py` holds every file to that. What a room is made of, what it may import and how to add to it
stands at the head of its `__init__.py`.

| row | room | holds | uses |
|---|---|---|---|
"""
TAIL = """
How to add a chip, an op, a front-end or a source of measurements: [CONTRIBUTING.md](../CONTRIBUTING.md).
"""


def rows_of_rooms() -> list[list[str]]:
    """The rooms, row by row from the ground up, each row in the order of the alphabet."""
    for node in ast.parse(RULE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROWS":
            return [sorted(row) for row in ast.literal_eval(node.value)]
    raise ValueError(f"{RULE} has no ROWS")


def files_of(room: str) -> list[Path]:
    """The files of a package, its head first, or the one of a module."""
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]


def first_sentence(path: Path) -> str:
    """Of a file's docstring, without what it may import, in one line.

    Raises:
        ValueError: it has none.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    if not text:
        raise ValueError(f"{path} has no docstring")
    line = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", line)[0].rstrip(".:")


def uses(room: str) -> list[str]:
    """The other rooms that the files of a room import, also inside functions."""
    found: set[str] = set()
    for path in files_of(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perfmodel."):
                found.add((node.module or "").split(".")[1])
    return sorted(found - {room})


def lines_of_table() -> Iterator[str]:
    for number, row in enumerate(rows_of_rooms(), start=1):
        for room in row:
            holds = first_sentence(files_of(room)[0]).replace("|", "\\|")
            yield f"| {number} | `{room}` | {holds} | {', '.join(uses(room)) or '–'} |"


def architecture() -> str:
    """The page."""
    return HEAD + "\n".join(lines_of_table()) + "\n" + TAIL


if __name__ == "__main__":
    PAGE.write_text(architecture(), encoding="utf-8")
