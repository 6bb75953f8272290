"""The Markdown page of a calibration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import perfmodel.report.calibration_report as pages
from perfmodel.errors import InputError
from perfmodel.report.calibration_report import write_report
from perfmodel.report.calibration_words import conditions_of
from report.calibrated import no_runs, runs, scope


def write(folder: Path, *found) -> Path:
    files = {"Profile": ["home/local.yaml"], "Coefficients": ["home/local.json"]}
    return write_report(found, folder, conditions_of(runs(), no_runs()), "local", files)


def test_page(tmp_path: Path) -> None:
    page = write(tmp_path / "new" / "folder", scope(), scope("bf16", 8, skipped={"odd": "no\nsuch op"}))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Calibration of local\n")
    for part in (
        "| fp32 | 48 | 5 | before | 75.0 |", "| after | 45.0 |",
        "| net, 32 tokens | 10.0 ms | 11.0 ms | +10.0 |", "far\\|off", "## Conditions", "load average",
        "torch 2.13.0", "Threads: 48, 8.", "- odd: no such op", "nothing that was measured", "## How to read it",
        "`home/local.json`", "    perfmodel predict MODEL --hardware local\n",
    ):  # fmt: skip
        assert part in text


def test_pictures_are_linked_and_there(tmp_path: Path) -> None:
    page = write(tmp_path, scope(), scope("bf16", scores=()))
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert len(links) == 5
    assert {path.name for path in tmp_path.iterdir()} == {*links, page.name}


def test_a_gpu_and_compiled_code_have_pages_of_their_own_kind(tmp_path: Path) -> None:
    compiled = scope("bf16", 0, programs=(), runtime="compiled")
    text = write(tmp_path, scope("bf16", 0), compiled).read_text(encoding="utf-8")
    for part in ("## bf16 on the GPU\n", "## bf16 on the GPU, compiled\n", "| bf16 compiled | - | 1 | before |",
                 "Fitted: the anchors small-encoder, 96 tokens, and no programs.", "- Suite: quick.\n"):  # fmt: skip
        assert part in text
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert sorted(links) == ["bf16-gpu-compiled-models.png", "bf16-gpu-models.png", "bf16-gpu-programs.png",
                             "bf16-gpu-roofline.png"]  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {*links, "report.md"}


def test_tables_are_well_formed(tmp_path: Path) -> None:
    lines = write(tmp_path, scope()).read_text(encoding="utf-8").splitlines()
    tables, widths = 0, set()
    for line in lines:
        if line.startswith("|"):
            widths.add(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(widths) <= 1
            tables += len(widths)
            widths = set()
    assert tables == 3


def test_what_cannot_be_written_leaves_the_page_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(tmp_path, scope())
    before = page.read_bytes()

    def fail(*_: object) -> None:
        raise InputError("disk full")

    monkeypatch.setattr(pages, "write_calibration_plots", fail)
    with pytest.raises(InputError, match="disk full"):
        write(tmp_path, scope("bf16"))
    assert page.read_bytes() == before
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(InputError, match="cannot be made"):
        write(blocked, scope())
    assert blocked.read_text() == "mine"
