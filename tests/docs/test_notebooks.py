"""The notebooks of docs/examples show what their cells print, and nothing of the machine that ran them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def loaded(name: str) -> ModuleType:
    """A module that lies in docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


write_notebooks, notebook_pages = loaded("write_notebooks"), loaded("notebook_pages")
NOTEBOOKS = pytest.mark.parametrize("path", write_notebooks.NOTEBOOKS, ids=lambda path: path.stem)


@NOTEBOOKS
def test_notebook_shows_what_its_cells_print(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="running notebooks needs nbformat")
    for package in ("nbclient", "ipykernel", *(("timm", "torch") if path.stem == "validate" else ())):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"running {path.name} needs {package}")
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert all(cell.outputs or "import" in cell.source for cell in kept.cells if cell.cell_type == "code")
    assert write_notebooks.shown(kept) == write_notebooks.shown(write_notebooks.executed(path))


@NOTEBOOKS
def test_notebook_tells_nothing_of_its_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/|\d\d:\d\d:\d\d", text)
    assert len(text) < 200_000
    assert "execution" not in json.dumps([cell["metadata"] for cell in json.loads(text)["cells"]])


@NOTEBOOKS
def test_notebook_is_a_page(path: Path) -> None:
    page, pictures = notebook_pages.notebook_page(path)
    assert page.startswith("# ")
    assert page.count("```python") == sum(cell["cell_type"] == "code" for cell in json.loads(path.read_text())["cells"])
    assert all(f"]({name})" in page and data.startswith(b"\x89PNG") for name, data in pictures.items())
    # an empty line would end a block of HTML
    assert all(block.endswith("</div>") for block in page.split("\n\n") if block.startswith("<div"))


def test_a_changed_notebook_is_noticed() -> None:
    nbformat = pytest.importorskip("nbformat")
    kept = nbformat.read(write_notebooks.NOTEBOOKS[0], as_version=4)
    changed = nbformat.read(write_notebooks.NOTEBOOKS[0], as_version=4)
    output = next(cell.outputs[0] for cell in changed.cells if cell.get("outputs"))
    output["data"]["text/html"] = output["data"]["text/html"].replace("ms", "s")
    assert write_notebooks.shown(kept) != write_notebooks.shown(changed)
