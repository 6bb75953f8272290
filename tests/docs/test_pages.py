"""What pages say beside their commands: examples in Python run, links lead somewhere, figures of accuracy are right."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from tests.calibration.sources.test_reports import VLLM
from tests.docs.doc_commands import ROOT, shown_file

DOCS = sorted((ROOT / "docs").glob("*.md"))
# a mark in an example -> why it is not run
NOT_RUN = {"llamacpp_llama3.csv": "needs the published tables"}
EXAMPLES = [
    (page, code)
    for page in DOCS
    for code in re.findall(r"```python\n([\s\S]*?)```", page.read_text(encoding="utf-8"))
    if not any(mark in code for mark in NOT_RUN)
]


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=lambda value: getattr(value, "name", ""))
def test_python_examples_run(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "result.json").write_text(json.dumps(VLLM))
    for name in ("prices.yaml", "sweep.yaml"):
        (tmp_path / name).write_text(shown_file(name))
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, page.name, "exec"), {"__name__": "__main__"})
    assert printed.getvalue() or "print" not in code


@pytest.mark.parametrize("page", [*DOCS, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere_in_the_repository(page: Path) -> None:
    """In the site that is checked by its build."""
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_accuracy_that_how_it_works_names_is_what_was_measured() -> None:
    accuracy = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    sections = {
        re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-"): text
        for title, text in re.findall(r"^## (.+)\n([\s\S]*?)(?=^## |\Z)", accuracy, re.MULTILINE)
    }
    told = re.findall(
        r"^\| .+ \| (\d+) \| ([\d.]+) % \| ([\d.]+) \| \[.+\]\(accuracy\.md#([\w-]+)\) \|$",
        (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(told) > 5
    for rows, median, coverage, section in told:
        head = re.search(r"^\|.*\brows\b.*\|$", sections[section], re.MULTILINE)
        total = re.search(r"^\| all \|.*\|$", sections[section], re.MULTILINE)
        assert head is not None
        assert total is not None
        names, values = ([cell.strip() for cell in line[0].strip("|").split("|")] for line in (head, total))
        row = dict(zip(names, values, strict=True))
        assert (row["rows"], row["median %"], row["coverage"]) == (rows, median, coverage), section
