"""`validate`, `fit` and `predict --anchors` with load tests of servers, as people and scripts use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.calibration.files import table_row, write_csv
from tests.calibration.served import server_set, server_table
from tests.calibration.sources.test_reports import VLLM
from tests.cli.running import refuse, run, succeed, succeed_json

SERVER = ("predict", "qwen3-32b", "--precision", "fp8", "--tp", "2", "--engine", "vllm", "--concurrency", "16")
CHIP = ("--hardware", "h100-sxm")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    groups = server_set(models=("Qwen/Qwen3-32B", "Qwen/Qwen3-8B"), chips=("h100-sxm", "b200")).groups
    return server_table(tmp_path_factory.mktemp("served") / "servers.csv", groups)


def test_validate_document(table: str) -> None:
    document = succeed_json("validate", table, "--by", "engine,hardware")
    assert (document["source"], document["rows"], document["predicted"]) == ("serving", 96, 96)
    assert document["metrics"].keys() == {"tpot", "ttft"}
    for values in document["metrics"].values():
        assert -1 <= values["kendall_tau_within"] <= 1
        assert 0 <= values["coverage"] <= 1
    assert len(document["groups"]) == 4


def test_validate_table_with_anchors(table: str) -> None:
    text = succeed("validate", table, "--leave-out", "model", "--anchor-runs", "1")
    for part in ("one model left out", "tau within", "coverage", "given as anchors", "Level: anchored", "ttft", "tpot"):
        assert part in text


def test_fit_prints_and_writes_what_predictions_then_use(table: str, tmp_path: Path) -> None:
    folder = tmp_path / "calibration" / "coefficients"
    folder.mkdir(parents=True)
    path = folder / "serving-mine.json"
    text = succeed("fit", table, "--out", str(path), "--about", "made up for a test")
    for part in ("96 of 96 server runs fitted", "vllm", "sglang", "all engines", "step_seconds", "pull", "anchored",
                 "one model left out, 1 of its runs given", "coverage", "Coefficients:"):  # fmt: skip
        assert part in text
    written = json.loads(path.read_text())
    assert written["format"] == "perfmodel-serving/1"
    assert "96 runs of 8 deployments" in written["provenance"]
    assert "made up for a test" in written["provenance"]
    assert written["data"][0]["file"] == "servers.csv"
    assert str(tmp_path) not in path.read_text()
    (answer,) = succeed_json(*SERVER, *CHIP, "--specs", str(tmp_path))
    assert written["provenance"] in answer["provenance"]["fitted"]
    assert answer["provenance"]["level"] == "device"
    before = succeed_json("validate", table)["metrics"]["tpot"]
    after = succeed_json("validate", table, "--specs", str(tmp_path))["metrics"]["tpot"]
    assert after["mape"] < before["mape"]


def test_fit_document(table: str) -> None:
    document = succeed_json("fit", table)
    assert (document["rows"], document["fitted"], document["not_fitted"]) == (96, 96, {})
    assert document["engines"].keys() == {"vllm", "sglang", "all engines"}
    (row,) = [own for own in document["engines"]["vllm"] if own["name"] == "step_seconds"]
    assert row["value"] > row["prior"] == 1e-3
    assert row["pull_sd"] > 0
    assert document["errors"]["family"]["tpot"]["rows"] == 96


def test_fit_refuses(table: str, tmp_path: Path) -> None:
    ops = write_csv(tmp_path / "ops.csv", [table_row(runtime="graphs")] * 3)
    assert "one after the other" in refuse("fit", table, ops)
    assert "--about" in refuse("fit", ops, "--about", "mine")
    message = refuse("fit", table, "--out", str(tmp_path / "mine.json"))
    assert "serving*.json" in message
    assert not (tmp_path / "mine.json").exists()


def test_anchors_of_a_table(table: str) -> None:
    (plain,), (anchored,) = succeed_json(*SERVER, *CHIP), succeed_json(*SERVER, *CHIP, "--anchors", table)
    assert anchored["provenance"]["level"] == "anchored"
    assert anchored["phases"]["tpot"]["seconds"] != plain["phases"]["tpot"]["seconds"]
    assert "anchored (runs of this deployment were given)" in succeed(*SERVER, *CHIP, "--anchors", table)
    refused = run(*SERVER, "--hardware", "l40s", "--anchors", table)
    assert refused.exit_code == 2
    assert "hold no run of qwen3-32b in fp8 on l40s under vllm" in refused.stderr
    # of two chips, the one that was measured is answered
    answers = succeed_json(*SERVER, "--hardware", "b200,l40s", "--anchors", table)
    assert ["error" in own for own in answers] == [False, True]


def test_anchors_of_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(VLLM))
    own = ("predict", "llama-3.1-8b", *CHIP, "--engine", "vllm", "--concurrency", "16", "--anchors", str(report))
    (answer,) = succeed_json(*own)
    assert answer["provenance"]["level"] == "anchored"
    message = refuse("predict", "llama-3.1-8b", "--hardware", "h100-sxm,b200", "--engine", "vllm,sglang",
                     "--concurrency", "16", "--anchors", str(report))  # fmt: skip
    assert "hardware, engine" in message


def test_anchors_that_are_none(tmp_path: Path) -> None:
    assert "no load test" in refuse(*SERVER, *CHIP, "--anchors", write_csv(tmp_path / "ops.csv", [table_row()]))
    assert run(*SERVER, *CHIP, "--anchors", str(tmp_path / "missing.csv")).exit_code == 2
