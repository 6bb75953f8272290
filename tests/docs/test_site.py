"""The documentation as a site: it builds without a warning, has the whole reference, and fetches nothing."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import perfmodel
from perfmodel.cli import main
from tests.docs.doc_commands import ROOT

pytest.importorskip("material", reason="the site needs mkdocs-material: pip install 'perfmodel[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning, as of a dead link, fails the build."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_all_pages_are_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {"index", "questions", "how-it-works", "accuracy"} <= pages
    missing = {page for page in pages if not (site / f"{page}.html").is_file()}
    assert not missing
    assert (site / "files" / "CONTRIBUTING.html").is_file()
    assert (site / "files" / "perfmodel" / "report" / "schemas" / "plan.schema.json").is_file()
    assert not list(site.rglob("*.py"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//", text), page
        for link in re.findall(r"<link\b[^>]*>", text):
            assert not re.search(r"href=[\"']?(?:https?:)?//", link), link
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_search_works_without_a_server(site: Path) -> None:
    """Pages opened from a folder may not read JSON: the index is a script, and a worker a frame."""
    assert "largest" in (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert 'src="assets/iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "assets" / "iframe-worker.js").is_file()


def test_the_reference_has_every_command_with_its_options(site: Path) -> None:
    text = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    found = list(leaves(main, click.Context(main, info_name="perfmodel")))
    assert len(found) > 10
    for command, context in found:
        assert f'id="{context.command_path.replace(" ", "-")}"' in text
        start = text.index(f'id="{context.command_path.replace(" ", "-")}"')
        part = text[start : text.find("<h2", start)]
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in part, (context.command_path, parameter.opts)


def test_examples_in_what_builds_the_site() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    for name in ("build_hooks", "write_reference"):
        outcome = doctest.testmod(importlib.import_module(name))
        assert outcome.attempted
        assert not outcome.failed


def leaves(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below one, itself included."""
    yield command, context
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        own = command.get_command(context, name)
        assert own is not None
        yield from leaves(own, click.Context(own, info_name=name, parent=context))


def test_the_reference_has_every_public_name(site: Path) -> None:
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in perfmodel.__all__:
        assert name == "__version__" or f'id="{name.lower()}"' in text, name
    # what the functions return, down to the parts of their fields
    for name in ("Prediction", "PhasePrediction", "OpTime", "ServingPrediction", "PlanAnswer", "Confirmation"):
        assert f'id="{name.lower()}"' in text, name
    assert "Sentinel" not in text
    assert "&lt;object object" not in text
