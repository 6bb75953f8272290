"""`perfmodel compress`: what is printed, what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import jsonschema

from cli.running import refuse, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

ASKED = ("compress", "llama-3.1-8b", "--hardware", "h100-sxm")


def test_table_reasons_and_words() -> None:
    printed = succeed(*ASKED, "--batch", "8", "--input-tokens", "2048", "--to", "w4a16", "--heads", "0.5")
    lines = printed.splitlines()
    assert lines[0].startswith("llama-3.1-8b on h100-sxm, bf16, batch 8, 2048 tokens in, 128 out")
    assert [line.split()[0] for line in lines[2:5]] == ["original", "w4a16", "heads"]
    assert any(line.startswith("w4a16: hurts prefill") for line in lines)
    assert "Accuracy is not predicted" in printed
    assert "Slower than the original: w4a16 in prefill" in printed


def test_json_follows_its_schema() -> None:
    document = succeed_json("compress", "gpt2-small,vit-b-16", "--hardware", "h100-sxm,v100-sxm-16gb", "--batch", "1,8")
    jsonschema.validate(document, read_schema("compress"), cls=jsonschema.Draft202012Validator)
    assert len(document["results"]) == 8
    refused = [each for result in document["results"] for each in result["variants"] if each["refused"]]
    assert {each["kind"] for each in refused} >= {"2:4"}
    assert all(each["figures"] is None for each in refused)


def test_csv_has_a_line_for_each_phase_and_for_what_is_refused() -> None:
    printed = succeed(*ASKED, "--layers", "0.5", "--sparsity-2-4", "--precision", "w4a16", "--csv")
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["variant"], row["phase"]) for row in rows] == [
        ("original", "prefill"), ("original", "decode"), ("layers 0.5", "prefill"), ("layers 0.5", "decode"),
        ("2:4 sparsity", ""),
    ]  # fmt: skip
    assert float(rows[2]["speedup"]) > 1.5
    assert rows[4]["reasons"].startswith("refused: ")


def test_plot_is_written(tmp_path: Path) -> None:
    picture = tmp_path / "bars.png"
    printed = succeed(*ASKED, "--only", "precision", "--plot", str(picture))
    assert printed.splitlines()[-1] == f"Plot: {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_all_mistakes_at_once() -> None:
    told = refuse(*ASKED, "--heads", "2", "--rank", "x", "--only", "foo", "--multiple", "2,3", "--to", "fp9",
                  "--plot", "a.gif")  # fmt: skip
    for option in ("--heads", "--rank", "--only", "--multiple", "--to", "--plot"):
        assert f"- {option}: " in told
    assert "--anchors" in refuse(*ASKED, "--anchors", "tests/none.csv")
