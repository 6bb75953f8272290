"""Commands in the docs print what the docs show."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
_SPEC = importlib.util.spec_from_file_location("write_answers", DOCS / "write_answers.py")
assert _SPEC is not None
assert _SPEC.loader is not None
write_answers = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(write_answers)


@pytest.mark.parametrize("page", write_answers.PAGES, ids=lambda page: page.name)
def test_pages_show_what_their_commands_print(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name == "tradeoff.md" and importlib.util.find_spec("timm") is None:
        pytest.skip("image models of timm are among the answers")
    assert write_answers.BLOCK.search(text)
    assert write_answers.refreshed(text) == text
