"""--tp, --pp, --ep, --attention-dp and --sequence-parallel of predict and explain."""

from __future__ import annotations

import csv
import io
import re
import shlex
from pathlib import Path

import jsonschema
import pytest

from cli.running import refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

LLAMA = ("predict", "llama-3.1-70b", "--hardware", "h100-sxm")


def test_every_combination_of_the_lists() -> None:
    entries = succeed_json(*LLAMA, "--tp", "4,8", "--pp", "1,2")
    jsonschema.validate(entries, read_schema("predict"))
    assert [(entry["layout"]["tp"], entry["layout"]["pp"]) for entry in entries] == [(4, 1), (4, 2), (8, 1), (8, 2)]
    steps = [entry["phases"]["decode"]["seconds"] for entry in entries]
    assert steps[2] < steps[0]
    text = succeed(*LLAMA, "--tp", "4,8", "--pp", "1,2", columns=120)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("tp")] == [
        "tp4",
        "tp4-pp2",
        "tp8",
        "tp8-pp2",
    ]


def test_one_layout_is_in_the_heading_and_memory_is_of_each_device() -> None:
    text = succeed(*LLAMA, "--tp", "8", "--sequence-parallel", columns=120)
    assert "128 out, tp8-sp, runtime graphs" in text
    assert "Memory of each device: 1" in text
    assert "NVLink4" in text
    (entry,) = succeed_json(*LLAMA, "--tp", "8", "--sequence-parallel")
    jsonschema.validate([entry], read_schema("predict"))
    assert entry["layout"] == {"tp": 8, "pp": 1, "ep": 1, "attention_dp": 1, "sequence_parallel": True}


def test_experts_and_attention_groups() -> None:
    model = ("predict", "qwen3-30b-a3b", "--hardware", "h100-sxm", "--batch", "64")
    rows = list(csv.DictReader(io.StringIO(succeed(*model, "--attention-dp", "8", "--ep", "1,8", "--csv"))))
    assert [(row["attention_dp"], row["ep"], row["fits"]) for row in rows] == [("8", "1", "True"), ("8", "8", "True")]
    assert float(rows[1]["weights_bytes"]) == pytest.approx(float(rows[0]["weights_bytes"]), rel=1e-3)


def test_layouts_that_do_not_go_together_are_left_out_and_named() -> None:
    text = succeed("predict", "qwen3-30b-a3b", "--hardware", "h100-sxm", "--tp", "2,4", "--ep", "1,4", columns=120)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("tp")] == ["tp2", "tp4", "tp4-ep4"]
    assert "left out: experts over 4 devices do not come out even on the 2 of a stage" in " ".join(text.split())
    assert "--ep: experts over 3 devices" in refuse(*LLAMA, "--tp", "4", "--ep", "3")


def test_a_model_that_cannot_be_spread_like_that_is_a_row_with_its_reason() -> None:
    text = succeed("predict", "falcon-7b", "--hardware", "h100-sxm", "--tp", "1,2", columns=120)
    assert "refused [1]" in text
    assert "71 query heads do not divide over 2 devices" in " ".join(text.split())
    alone = run("predict", "bert-base", "--hardware", "h100-sxm", "--tp", "2")
    assert alone.exit_code == 2
    assert "only decoder language models" in alone.stderr


def test_mistakes_are_told_all_at_once() -> None:
    message = refuse(*LLAMA, "--tp", "x", "--pp", "0", "--attention-dp", "1000000")
    for part in ("3 mistakes", "--tp: 'x'", "--pp: must be at least 1", "--attention-dp: 1000000 is more than"):
        assert part in message


def test_explain_names_the_collectives() -> None:
    text = succeed(
        "explain", "gpt-oss-20b", "--hardware", "h100-sxm", "--tp", "4", "--ep", "4", "--top", "0", columns=140
    )
    assert "attention.output.all_reduce" in text
    assert "Each device sends" in text
    document = succeed_json("explain", "gpt-oss-20b", "--hardware", "h100-sxm", "--tp", "2")
    kinds = {op["kind"] for op in document["phases"]["decode"]["ops"]}
    assert "collective" in kinds
    assert "2 with two values" not in refuse("explain", "gpt-oss-20b", "--hardware", "h100-sxm", "--tp", "2,4")


def test_two_layouts_side_by_side() -> None:
    text = succeed("explain", "llama-3.1-8b", "--compare", "--hardware", "h100-sxm", "--tp", "1,4", columns=140)
    assert "tp4, runtime graphs" in text
    assert "collectives" in text


def test_the_documented_example_is_real() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "parallelism.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n\$ perfmodel (.*)\n([\s\S]*?)```", text)
    assert block is not None
    printed = succeed(*shlex.split(block[1]))
    assert [line.strip() for line in printed.strip().splitlines()] == [
        line.strip() for line in block[2].strip().splitlines()
    ]
