"""`perfmodel tradeoff`: a table of one's own to a front, in words, JSON, CSV and a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import jsonschema
import pytest

from cli.running import refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

TIMM = """\
model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation
resnet18.a1_in1k,71,29,90,10,11.69,224,0.95,bicubic
test_vit,50,50,70,30,0.37,160,0.95,bicubic
resnet34.a1_in1k,70,30,90,10,21.80,224,0.95,bicubic
resnet181,60,40,70,30,0.37,160,0.95,bicubic
"""


@pytest.fixture
def timm_table(tmp_path: Path) -> str:
    pytest.importorskip("timm")
    path = tmp_path / "results.csv"
    path.write_text(TIMM, encoding="utf-8")
    return str(path)


@pytest.fixture
def language_table(tmp_path: Path) -> str:
    path = tmp_path / "mine.csv"
    path.write_text("model,mmlu\ngpt2-small,0.30\ngpt2-medium,0.35\ngpt2-large,0.33\nnope,0.4\n", encoding="utf-8")
    return str(path)


@pytest.mark.torch
def test_a_timm_table(timm_table: str, tmp_path: Path) -> None:
    picture = tmp_path / "front.png"
    printed = succeed(
        "tradeoff", timm_table, "--hardware", "h100-sxm", "--budget-latency", "1 s", "--plot", str(picture)
    )
    lines = printed.splitlines()
    assert lines[0] == "top1 against latency on h100-sxm, fp32, batch 1, runtime eager, budget 1.00 s"
    assert [(line.split()[0], line.split()[-1]) for line in lines[2:4]] == [
        ("resnet18.a1_in1k", "best"), ("test_vit", "front"),
    ]  # fmt: skip
    assert lines[5].startswith("Best under 1.00 s: resnet18.a1_in1k, top1 71 %, ")
    assert f"Left out of {timm_table}, line 5 (resnet181): unknown model 'resnet181'; nearest: " in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert lines[-1] == f"Plot: {picture}"


def test_json_of_language_models(language_table: str) -> None:
    document = succeed_json("tradeoff", language_table, "--hardware", "h100-sxm,l4", "--batch", "1,8")
    jsonschema.validate(document, read_schema("tradeoff"), cls=jsonschema.Draft202012Validator)
    assert document["table"]["unit"] == "fraction"
    assert document["latency"] == "tpot"
    assert document["budget"] == {"seconds": None, "memory_bytes": None, "cost_usd": None}
    asked = [(front["hardware"], front["batch"]) for front in document["fronts"]]
    assert asked == [("h100-sxm", 1), ("h100-sxm", 8), ("l4", 1), ("l4", 8)]
    assert {front["best"] for front in document["fronts"]} == {"gpt2-medium"}
    assert [row["model"] for row in document["left_out"]] == ["nope"]


def test_csv(language_table: str) -> None:
    result = run("tradeoff", language_table, "--hardware", "l4", "--latency", "e2e", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["model"], row["standing"], row["best"]) for row in rows][:2] == [
        ("gpt2-medium", "front", "True"), ("gpt2-small", "front", "False"),
    ]  # fmt: skip
    assert float(rows[0]["low"]) < float(rows[0]["seconds"]) < float(rows[0]["high"])
    assert "line 5 (nope): unknown model" in result.stderr


def test_words_on_a_tight_budget(language_table: str) -> None:
    document = succeed_json("tradeoff", language_table, "--hardware", "l4")
    seconds = {point["model"]: point for point in document["fronts"][0]["points"]}
    limit = (seconds["gpt2-medium"]["low"] + seconds["gpt2-medium"]["seconds"]) / 2
    printed = succeed("tradeoff", language_table, "--hardware", "l4", "--budget-latency", f"{limit} s")
    assert "Best under " in printed
    assert ": gpt2-small, mmlu 0.3, " in printed
    assert "gpt2-medium is more accurate and may be within it, too" in printed
    none = succeed("tradeoff", language_table, "--hardware", "l4", "--budget-latency", "1 ns")
    assert "No model is within 1.00 ns. The fastest is gpt2-small" in none


def test_lower_is_better(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    path.write_text("model,perplexity\ngpt2-small,30\ngpt2-medium,23\n", encoding="utf-8")
    asked = ("tradeoff", str(path), "--hardware", "l4", "--accuracy-column", "perplexity", "--lower-is-better")
    assert succeed_json(*asked)["fronts"][0]["best"] == "gpt2-medium"


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("net,speed\na,1\n", encoding="utf-8")
    message = refuse(
        "tradeoff", str(path), "--hardware", "h10", "--budget-latency", "5 GB", "--budget-memory", "0",
        "--latency", "p9", "--plot", "a.txt", "--batch", "0", "--json", "--csv",
    )  # fmt: skip
    assert message.startswith("Error: 8 mistakes\n")
    for part in (
        f"- FILE: {path}: no column that names the model, such as model",
        "Its columns: net, speed",
        "--hardware: unknown chip 'h10'",
        "--budget-latency: '5 GB' is in bytes, but seconds is wanted",
        "--budget-memory: a budget must be more than 0",
        "--latency: unknown latency 'p9'",
        "--plot: 'a.txt' must end in .png, .svg, .pdf",
        "--json and --csv exclude each other",
    ):
        assert part in message
    missing = str(tmp_path / "none" / "a.png")
    assert "there is no folder" in refuse("tradeoff", str(path), "--hardware", "l4", "--plot", missing)
