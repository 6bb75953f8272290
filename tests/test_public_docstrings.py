"""Public functions say what they take and how they refuse; rooms say what they hold, import and take in."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel

PACKAGE = Path(perfmodel.__file__).parent
FUNCTIONS = {name: own for name in perfmodel.__all__ if callable(own := getattr(perfmodel, name))}
# what these say of a parameter holds wherever one of its name is taken
SHARED = ("predict", "prepare", "load_model", "load_hardware")
ROOMS = sorted(path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)


def docstring(own: Callable[..., Any]) -> str:
    return inspect.getdoc(own) or ""


def section(text: str, name: str) -> str:
    """`Args:` of a docstring, up to the next section."""
    found = re.search(rf"^{name}:\n((?:    .*\n?|\n)*)", text, flags=re.MULTILINE)
    return found[1] if found else ""


def described(text: str) -> set[str]:
    """Names that stand before a colon in `Args:`, alone or in a list of them."""
    names = re.findall(r"((?:\w+, )*\w+):", section(text, "Args"))
    return {name for listed in names for name in listed.split(", ")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_described(name: str) -> None:
    text = docstring(FUNCTIONS[name])
    assert re.match(r"[A-Z].*", text), "a sentence on what it gives"
    if inspect.isclass(FUNCTIONS[name]) and issubclass(FUNCTIONS[name], Exception):  # type: ignore[arg-type]
        return
    known = described(text).union(*(described(docstring(FUNCTIONS[own])) for own in SHARED))
    taken = inspect.signature(FUNCTIONS[name]).parameters.values()
    typed = {own.name for own in taken if str(own.annotation).lower() == own.name}  # `prepared: Prepared`
    assert [own.name for own in taken if own.name not in known | typed and own.name not in text] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_take_texts_say_how_they_refuse(name: str) -> None:
    own, text = FUNCTIONS[name], docstring(FUNCTIONS[name])
    if text.startswith("As `"):  # as another public function, which says it
        assert re.match(r"As `(\w+)`", text)[1] in FUNCTIONS  # type: ignore[index]
        return
    if not inspect.isfunction(own):
        return
    annotations = [str(each.annotation) for each in inspect.signature(own).parameters.values()]
    if any(re.search(r"\bstr\b(?!,)|Specs", annotation) for annotation in annotations):  # keys of mappings are no texts
        assert section(text, "Raises"), f"{name} takes names or files, and must say what it raises"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.parent.relative_to(PACKAGE)))
def test_rooms_say_what_they_hold_import_and_take_in(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert re.match(r"\S.*[.:]\n", f"{text}\n"), "a first line on what it holds"
    assert re.search(r"\bMay import\b", text), "what it may import"
    assert re.search(r"\bTo add\b", text), "how to add to it"


def test_the_rules_notice_what_lacks() -> None:
    text = "Do it.\n\nArgs:\n    a, b: numbers. c: a text.\n\nRaises:\n    InputError: no text.\n"
    assert described(text) == {"a", "b", "c"}
    assert "InputError" in section(text, "Raises")
    assert described("Do it.") == set()
