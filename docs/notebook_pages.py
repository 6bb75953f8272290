"""The notebooks of docs/examples as pages of the site, with what their cells print. For docs/build_hooks.py."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "examples"
NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by their names beside the page."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    pictures: dict[str, bytes] = {}
    blocks = [block for cell in notebook["cells"] for block in _blocks(cell, path.stem, pictures)]
    blocks.append(f"The notebook itself: [{path.name}](../examples/{path.name}).")
    return "\n\n".join(blocks) + "\n", pictures


def _blocks(cell: dict[str, Any], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            picture = f"{name}-{len(pictures) + 1}.png"
            pictures[picture] = base64.b64decode("".join(data["image/png"]))
            yield f"![What the cell draws]({picture})"
        elif "text/html" in data:
            yield "".join(data["text/html"])
        else:
            yield f"```text\n{''.join(output.get('text', data.get('text/plain', ''))).rstrip()}\n```"
