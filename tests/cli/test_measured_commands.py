"""`perfmodel validate` and `perfmodel fit` as people and scripts use them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from tests.calibration.files import table_row, write_csv
from tests.calibration.fitted import gemm_table
from tests.calibration.sources.test_reports import VLLM
from tests.calibration.test_validation import TRUTH
from tests.cli.running import refuse, run, succeed, succeed_json

METRICS = {
    "rows", "median_ape", "mape", "p90_ape", "bias", "r2_log", "kendall_tau", "coverage", "interval_factor", "level",
}  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gemm_table(tmp_path_factory.mktemp("measured") / "gemm.csv", TRUTH, rows=120)


def test_validate_document(table: str) -> None:
    document = succeed_json("validate", table, "--by", "hardware,op", "--leave-out", "hardware", "--level", "0.9")
    assert (document["source"], document["rows"], document["predicted"], document["skipped"]) == ("table", 360, 360, {})
    assert document["metrics"]["latency"].keys() == METRICS
    assert document["metrics"]["latency"]["level"] == 0.9
    assert {group["key"]["hardware"] for group in document["groups"]} == set(TRUTH)
    assert all(group["rows"] == 120 and group["key"]["op"] == "linear" for group in document["groups"])
    assert document["split"] == "one hardware left out"


def test_validate_table_plot_and_rows(table: str, tmp_path: Path) -> None:
    plot, rows = tmp_path / "plot.png", tmp_path / "rows.csv"
    text = succeed("validate", table, "--by", "hardware", "--plot", str(plot), "--rows", str(rows), "--worst", "2")
    for part in ("360 of 360", "median %", "coverage", "h100-sxm", "worst rows", "why"):
        assert part in text
    assert plot.read_bytes().startswith(b"\x89PNG")
    with rows.open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 360
    for row in found:
        low, predicted, high = (float(row[f"{name}_seconds"]) for name in ("low", "predicted", "high"))
        assert low <= predicted <= high
    assert len({(row["file"], row["row"]) for row in found}) == 360


def test_fit_writes_what_predictions_then_use(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "calibration" / "coefficients"
    folder.mkdir(parents=True)
    path = folder / "mine.json"
    text = succeed("fit", table, "--out", str(path))
    for part in ("gemm.bf16: 360 rows", "pull", "one hardware left out", "h100-sxm", "Coefficients:"):
        assert part in text
    document = json.loads(path.read_text())
    (entry,) = document["data"]
    assert (entry["file"], entry["rows"], len(entry["sha256"])) == ("gemm.csv", 360, 64)
    assert str(tmp_path) not in path.read_text()
    before = succeed_json("validate", table)["metrics"]["latency"]["mape"]
    monkeypatch.setenv("PERFMODEL_DATA", str(tmp_path))
    after = succeed_json("validate", table)["metrics"]["latency"]
    assert after["mape"] <= before
    assert 0.7 <= after["coverage"] <= 0.95


def test_fit_document_and_few_rows(tmp_path: Path) -> None:
    document = succeed_json("fit", write_csv(tmp_path / "few.csv", [table_row(runtime="graphs")] * 3))
    scope = document["scopes"]["gemm.bf16"]
    assert scope["rows"] == 3
    assert any(coefficient["stays_at_prior"] for coefficient in scope["coefficients"])
    assert "single device" in scope["errors"]["split"]
    assert "stays at its prior" in succeed("fit", str(tmp_path / "few.csv"))


def test_wrong_units_are_named(tmp_path: Path) -> None:
    path = gemm_table(tmp_path / "gemm.csv", TRUTH, rows=60, scale=1e-3)
    result = run("validate", path)
    assert result.exit_code == 0
    assert "seconds read as milliseconds" in result.stderr
    assert "seconds read as milliseconds" in refuse("fit", path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "hardwar"], "hardware"),
        (["--level", "80"], "between 0 and 1"),
        (["--source", "neusigt"], "neusight"),
        (["--plot", "x.jpg"], ".png"),
        (["--leave-out", "engine"], "hardware"),
    ],
)
def test_wrong_options_are_told_before_any_work(table: str, arguments: list[str], message: str) -> None:
    assert message in refuse("validate", table, *arguments)


def test_bad_files(tmp_path: Path) -> None:
    assert "no.csv" in refuse("validate", str(tmp_path / "no.csv"))
    assert "nowhere" in refuse("validate", write_csv(tmp_path / "u.csv", [table_row(hardware="nowhere")]))
    unusable = [table_row(milliseconds=value) for value in ("nan", "-1", "0", "inf")]
    text = refuse("validate", write_csv(tmp_path / "t.csv", unusable))
    for reason in ("not a number", "negative", "zero", "infinite"):
        assert reason in text
    assert ".json" in refuse("fit", write_csv(tmp_path / "f.csv", [table_row()]), "--out", "x.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_output(table: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in refuse("fit", table, "--out", str(tmp_path / "x.json"))


def test_anchors_from_a_file(tmp_path: Path) -> None:
    plain = succeed_json("predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--batch", "4")[0]
    measured = plain["phases"]["decode"]["seconds"] * 1.3
    row = {
        "hardware": "h100-sxm", "precision": "bf16", "seconds": measured, "model": "llama-3.1-8b", "phase": "decode",
        "batch": 4, "input_tokens": 512, "output_tokens": 128, "runtime": "graphs",
    }  # fmt: skip
    path = write_csv(tmp_path / "runs.csv", [row])
    arguments = ("predict", "llama-3.1-8b", "--hardware", "h100-sxm,l4", "--batch", "4", "--anchors", path)
    found, elsewhere = succeed_json(*arguments)
    assert found["provenance"]["level"] == "anchored"
    assert plain["phases"]["decode"]["seconds"] * 1.05 < found["phases"]["decode"]["seconds"] <= measured * 1.001
    assert elsewhere["provenance"]["level"] != "anchored"
    assert "anchor" in refuse("predict", "llama-3.1-8b", "--hardware", "l4", "--anchors", str(tmp_path / "no.csv"))


def test_a_report_of_a_load_test_needs_to_be_told_of(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(VLLM | {"backend": "openai", "model_id": "served"}))
    message = refuse("validate", str(path))
    for part in ("result.json is a report of vllm-bench", "--hardware", "--model", "--engine"):
        assert part in message
    assert "unknown chip" in refuse("validate", str(path), "--hardware", "h900")
    assert "experts over 4 devices" in refuse("validate", str(path), "--tp", "2", "--ep", "4")


def test_what_is_told_is_for_reports(table: str) -> None:
    assert "for reports of load tests only" in refuse("validate", table, "--hardware", "h100-sxm")


def test_a_table_of_ones_own_is_told_its_columns(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("gpu,model,latency_ms\nh100-sxm,llama-3.1-8b,12\n")
    assert "A table of your own has the columns hardware, precision, milliseconds" in refuse(
        "validate", str(tmp_path / "mine.csv")
    )
    (tmp_path / "two.csv").write_text("hardware,precision,model,milliseconds\nh100,bf16,llama-3.1-8b,12\n")
    told = refuse("validate", str(tmp_path / "two.csv"))
    assert "unknown device h100 (1). `perfmodel hardware list` has the names of chips." in told
