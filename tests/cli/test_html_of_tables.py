"""`--html` of commands that read tables or tell what to measure: `fit`, `results`, `measure --suggest`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.calibration.fitted import gemm_table
from tests.calibration.served import server_set, server_table
from tests.calibration.test_validation import TRUTH
from tests.cli.running import refuse, succeed
from tests.cli.test_html_option import HOSTILE, check_closed
from tests.report.pages import leaves, texts_of

Command: TypeAlias = tuple[str, ...]


def kernels(folder: Path) -> Command:
    return "fit", gemm_table(folder / "gemm.csv", TRUTH, rows=40)


def servers(folder: Path) -> Command:
    groups = server_set(models=("Qwen/Qwen3-32B",), chips=("h100-sxm", "b200")).groups
    return "fit", server_table(folder / "servers.csv", groups)


def rows(folder: Path) -> Command:
    file = folder / "sweep.csv"
    lines = [f"{chip},{batch},{0.001 * batch + place}" for place, chip in enumerate("ab") for batch in range(1, 30)]
    file.write_text("\n".join(["chip,batch,seconds", *lines, f"{HOSTILE},1,"]))
    return "results", str(file), "--sort", "seconds"


def front(folder: Path) -> Command:
    return *rows(folder)[:2], "--pareto", "batch:max,seconds:min", "--where", "chip = a"


def pivot(folder: Path) -> Command:
    return *rows(folder)[:2], "--pivot", "chip,batch,seconds:median"


def suggestions(_: Path) -> Command:
    pytest.importorskip("torch")
    return ("measure", "--suggest", "2", "bert-base", "--hardware", "i9-10940x", "--threads", "4",
            "--programs", "^single linear 1x", "--input-tokens", "32")  # fmt: skip


PICTURES = {kernels: 1, servers: 1, rows: 0, front: 0, pivot: 1, suggestions: 1}


@pytest.mark.parametrize("made", PICTURES, ids=lambda own: own.__name__)
def test_every_figure_of_the_json_is_on_the_page(made: Callable[[Path], Command], tmp_path: Path) -> None:
    command, path = made(tmp_path), tmp_path / "report.html"
    document = json.loads(succeed(*command, "--json", "--html", str(path)))
    html = path.read_text(encoding="utf-8")
    assert not leaves(document) - texts_of(html)
    assert html.count("data:image/png;base64,") == PICTURES[made]
    assert f"perfmodel {command[0]}" in html
    check_closed(html)
    for name, told in (("report.pdf", "must end in .html"), ("missing/report.html", "there is no folder")):
        assert told in refuse(*command, "--html", str(tmp_path / name))


def test_what_is_printed_stays(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for command in (rows(tmp_path), pivot(tmp_path)):
        assert succeed(*command, "--html", str(path)) == succeed(*command) + f"Report: {path}\n"
        assert succeed(*command, "--csv", "--html", str(path)) == succeed(*command, "--csv")


def test_a_page_holds_so_many_rows(tmp_path: Path) -> None:
    file, path = tmp_path / "long.csv", tmp_path / "report.html"
    file.write_text("number\n" + "\n".join(map(str, range(10_001))))
    told = refuse("results", str(file), "--html", str(path))
    assert "10,001 rows are more than the 10,000 of a page" in told
    assert not path.exists()
    succeed("results", str(file), "--top", "10000", "--html", str(path))
    assert "<td>9999</td>" in path.read_text().replace(' class="right"', "")


def test_contradictions_are_told(tmp_path: Path) -> None:
    both = ("--out", str(tmp_path / "a.csv"), "--html", str(tmp_path / "a.html"))
    assert "--html: is a page of what is printed" in refuse(*rows(tmp_path), *both)
    assert "--html goes with --suggest" in refuse("measure", "bert-base", "--html", "report.html")
    assert "--html" in refuse("measure", "--collectives", "2", "--html", "report.html")
