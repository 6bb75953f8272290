"""Runs the notebooks in docs/examples again and keeps what they print.

    python docs/write_notebooks.py            # writes the notebooks
    python docs/write_notebooks.py --check    # fails where a notebook is not what its cells print

Pictures are only compared in their number: their bytes differ with each release of matplotlib.
"""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "examples"
ROOT = FOLDER.parents[1]
NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))
SECONDS = 120  # of a cell, at most
TEXTS = ("text/html", "text/plain", "text/markdown")


def executed(path: Path) -> Any:
    """A notebook with what its cells print now, run in its own folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
        record_timing=False, coalesce_streams=True,
    )  # fmt: skip
    before = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    client.execute(env={**os.environ, "PYTHONPATH": before})
    return tidied(notebook)


def tidied(notebook: Any) -> Any:
    """Without what a machine adds: versions of the kernel, texts of what is a picture."""
    notebook = deepcopy(notebook)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            data = output.get("data", {})
            if "image/png" in data or "text/html" in data:
                data.pop("text/plain", None)
            if output["output_type"] in ("display_data", "execute_result"):
                output["metadata"] = {}
    return notebook


def shown(notebook: Any) -> list[list[str]]:
    """What a reader sees below each cell, without pictures' bytes."""
    return [[_text(output) for output in cell.get("outputs", [])] for cell in notebook.cells]


def _text(output: Any) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return "a picture"
    return next((data[kind] for kind in TEXTS if kind in data), output.get("text", ""))


def main() -> None:
    """Write or check all notebooks."""
    import nbformat

    stale = []
    for path in NOTEBOOKS:
        kept, new = nbformat.read(path, as_version=4), executed(path)
        if shown(kept) != shown(new):
            stale.append(path.name)
            if "--check" not in sys.argv:
                nbformat.write(new, path)
    if stale and "--check" in sys.argv:
        sys.exit(f"not what the cells print: {', '.join(stale)}")


if __name__ == "__main__":
    main()
