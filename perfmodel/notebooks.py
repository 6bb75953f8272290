"""How results show themselves in a notebook.

The types of results are data and lie below the room that writes HTML. So that room is found by its name, when a
notebook asks for a result and not before. May import: nothing of perfmodel.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

WRITER = "perfmodel.report.result_html"


def notebook_html(result: Any) -> str:
    """A result as HTML: small tables with units, intervals and level. For `_repr_html_`."""
    text: str = import_module(WRITER).result_html(result)
    return text
