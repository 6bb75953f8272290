"""`perfmodel results`: rows, fronts, pivots, what is written and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import jsonschema
import pytest

from cli.running import refuse, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

ROWS = """\
hardware,tp,tpot_s,usd_per_hour,stable,refusal
l4,1,0.05,0.8,true,
l4,2,0.03,1.6,true,
h100-sxm,1,0.01,3,true,
h100-sxm,2,,,,too big
b200,1,0.01,6,false,
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "sweep.csv"
    path.write_text(ROWS, encoding="utf-8")
    return str(path)


def test_rows_of_a_condition(table: str) -> None:
    printed = succeed("results", table, "--where", "tpot_s <= 0.03 and refusal = ''", "--columns", "hardware,tpot_s")
    assert printed.splitlines() == [
        "hardware   tpot_s", "l4        0.03000", "h100-sxm  0.01000", "b200      0.01000", "3 rows.",
    ]  # fmt: skip
    assert succeed("results", table, "--where", "tp > 9") == "No row satisfies the condition.\n"
    assert succeed("results", table, "--top", "2").endswith("5 rows; the first 2 are shown.\n")


def test_front_as_json(table: str) -> None:
    document = succeed_json("results", table, "--pareto", "usd_per_hour:min,tpot_s:min", "--sort", "tpot_s:max")
    jsonschema.validate(document, read_schema("results"), cls=jsonschema.Draft202012Validator)
    assert [(row["hardware"], row["tp"]) for row in document["rows"]] == [("l4", 1), ("l4", 2), ("h100-sxm", 1)]
    assert (document["matched"], document["front"]) == (5, 3)
    whole = succeed_json("results", table)
    jsonschema.validate(whole, read_schema("results"), cls=jsonschema.Draft202012Validator)
    assert whole["rows"][3] == {
        "hardware": "h100-sxm", "tp": 2, "tpot_s": None, "usd_per_hour": None, "stable": None, "refusal": "too big",
    }  # fmt: skip


def test_csv_and_files(table: str, tmp_path: Path) -> None:
    printed = succeed("results", table, "--sort", "hardware,tp:max", "--csv")
    assert [row["hardware"] for row in csv.DictReader(io.StringIO(printed))] == [
        "b200", "h100-sxm", "h100-sxm", "l4", "l4",
    ]  # fmt: skip
    out = tmp_path / "few.csv"
    assert succeed("results", table, "--where", "tp = 1", "--out", str(out)) == f"{out}: 3 rows\n"
    assert out.read_text(encoding="utf-8").splitlines()[0] == ROWS.splitlines()[0]


def test_parquet_out_and_in(table: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "few.parquet"
    succeed("results", table, "--out", str(out))
    assert succeed_json("results", str(out))["rows"] == succeed_json("results", table)["rows"]


def test_pivot(table: str, tmp_path: Path) -> None:
    printed = succeed("results", table, "--pivot", "hardware,tp,tpot_s:min", "--plot", str(tmp_path / "heat.png"))
    lines = printed.splitlines()
    assert lines[0] == "min of tpot_s by hardware (down) and tp (across)"
    assert lines[4].split() == ["l4", "0.05000", "0.03000"]
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    document = succeed_json("results", table, "--pivot", "tp,hardware,refusal:count", "--where", "tp = 2")
    jsonschema.validate(document, read_schema("results"), cls=jsonschema.Draft202012Validator)
    assert document["pivot"]["cells"] == [[1.0]]
    assert succeed("results", table, "--pivot", "tp,hardware,tpot_s", "--csv").splitlines()[2] == "2,,,0.03"
    succeed("results", table, "--pivot", "tp,hardware,tpot_s", "--plot", str(tmp_path / "lines.svg"))
    assert "<svg" in (tmp_path / "lines.svg").read_text(encoding="utf-8")
    assert "none of 0 rows" in refuse("results", table, "--where", "tp > 9", "--pivot", "tp,hardware,tpot_s")


def test_all_mistakes_at_once(table: str, tmp_path: Path) -> None:
    message = refuse(
        "results", table, "--where", "tpots < 1", "--columns", "foo", "--sort", "hardwar", "--pareto", "tp:min",
        "--top", "0", "--plot", "a.txt", "--out", str(tmp_path / "none" / "a.csv"), "--json", "--csv",
    )  # fmt: skip
    assert message.startswith("Error: 10 mistakes\n")
    for part in (
        "--where: unknown column 'tpots'; nearest: tpot_s",
        "--columns: unknown column 'foo'",
        "--sort: unknown column 'hardwar'; nearest: hardware",
        "--pareto: a front needs two columns at least",
        "--top: must be at least 1",
        "--plot: 'a.txt' must end in .png, .svg, .pdf",
        "there is no folder",
        "--plot: draws what --pivot sums up",
        "--json and --csv exclude each other",
    ):
        assert part in message
    assert "hardware holds texts" in refuse("results", table, "--pareto", "hardware:min,tp:min")
    assert "is the table that is read" in refuse("results", table, "--out", table)
    assert "unknown summary 'sum'" in refuse("results", table, "--pivot", "tp,hardware,tpot_s:sum")
    assert "--top: does not go with --pivot" in refuse("results", table, "--pivot", "tp,hardware,tpot_s", "--top", "3")
    assert "cannot be read" in refuse("results", str(tmp_path / "nothing.csv"))
