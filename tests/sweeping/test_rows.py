"""What stands in the table is what the commands answer, one by one."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

import perfmodel
from perfmodel.errors import PerfmodelError
from perfmodel.layouts import Layout
from perfmodel.serving.prediction import predict_serving
from sweeping.specs import SERVING

pq = pytest.importorskip("pyarrow.parquet")
CLOSE = 1e-6  # the table has seven digits


def table(spec: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    out = folder / "sweep.parquet"
    result = perfmodel.sweep(spec, out=out, workers=1)
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    assert len(rows) == result.rows
    assert [file.name for file in folder.iterdir()] == ["sweep.parquet"]
    return rows


def same(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, float) and not math.isfinite(value):
            assert row[name] is None, name
        elif isinstance(value, float):
            assert row[name] == pytest.approx(value, rel=CLOSE), name
        else:
            assert row[name] == value, name


def test_servers(tmp_path: Path) -> None:
    rows = table(SERVING, tmp_path)
    assert {row["tp"] for row in rows if row["refusal"]} == {3}
    for row in rows[::23]:
        where = {
            "engine": row["engine"], "precision": row["precision"], "layout": Layout(tensor=row["tp"]),
            "replicas": row["replicas"], "concurrency": row["concurrency"], "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
        }  # fmt: skip
        if row["refusal"]:
            with pytest.raises(PerfmodelError) as error:
                predict_serving(row["model"], row["hardware"], **where)
            assert row["refusal"] == str(error.value)
            assert row["ttft_s"] is row["stable"] is None
            continue
        alone = predict_serving(row["model"], row["hardware"], **where)
        devices = row["tp"] * row["replicas"]
        price = alone.deployment.hardware.price_usd_per_hour * devices
        wanted: dict[str, Any] = {
            "devices": devices, "stable": alone.stable, "fits": alone.fits, "level": alone.standing, "refusal": None,
            "requests_per_s": alone.throughput["requests"], "output_tokens_per_s": alone.throughput["output_tokens"],
            "running": alone.running, "waiting": alone.waiting, "capacity": alone.capacity,
            "highest_rate_per_s": alone.highest_rate, "usd_per_hour": price or math.nan,
        }  # fmt: skip
        for metric, own in alone.latencies.items():
            wanted |= {f"{metric}_s": own.seconds, f"{metric}_low_s": own.low, f"{metric}_high_s": own.high}
        same(row, wanted)


def test_requests_longer_than_the_context_are_refused(tmp_path: Path) -> None:
    grid = {"model": "llama-2-7b", "hardware": "h100-sxm", "rate": [0.1, 1000], "input_tokens": [100, 4096]}
    rows = table({"grid": grid}, tmp_path)
    assert [bool(row["refusal"]) for row in rows] == [False, False, True, True]
    assert [row["stable"] for row in rows] == [True, False, None, None]
    assert "context" in rows[2]["refusal"]
    assert rows[1]["ttft_s"] is None  # no steady state
    assert rows[2]["ttft_s"] is None
    assert rows[0]["rate"] == 0.1
    assert "concurrency" not in rows[0]


def test_predictions(tmp_path: Path) -> None:
    spec = {
        "kind": "predict",
        "grid": {"precision": ["bf16", "fp8"], "batch": [1, 7, 64], "hardware": ["h100-sxm", "l4"]},
        "spaces": [{"model": "llama-3.1-8b", "input_tokens": [100, 3000], "tp": [1, 2]}, {"model": "bert-base"}],
    }
    rows = table(spec, tmp_path)
    assert len(rows) == 2 * 3 * 2 * (4 + 1)
    for row in rows[::3]:
        if row["refusal"]:
            continue
        alone = perfmodel.predict(
            row["model"], row["hardware"], precision=row["precision"], batch=row["batch"],
            input_tokens=row["input_tokens"], output_tokens=row["output_tokens"], layout=Layout(tensor=row["tp"]),
        )  # fmt: skip
        wanted: dict[str, Any] = {
            "fits": alone.fits, "memory_bytes": alone.memory_bytes["total"], "whole_s": alone.seconds,
            "level": alone.provenance["level"], "runtime": alone.request.runtime,
            "requests_per_s": alone.throughput.get("requests", alone.throughput.get("samples", math.nan)),
        }  # fmt: skip
        for name, phase in alone.phases.items():
            wanted |= {
                f"{name}_s": phase.time.seconds,
                f"{name}_low_s": phase.time.low,
                f"{name}_high_s": phase.time.high,
            }
        same(row, wanted)
    assert {row["decode_s"] for row in rows if row["model"] == "bert-base"} == {None}


def test_plans(tmp_path: Path) -> None:
    load = {"rate": 20, "input_tokens": 1000, "output_tokens": 200}
    grid = {"model": "llama-3.1-8b", "hardware": "h100-sxm", "tp": 1, "tpot_limit_s": ["50 ms", 1e-6]}
    first, impossible = table({"kind": "plan", "grid": grid | load}, tmp_path)
    best = perfmodel.plan("llama-3.1-8b", "h100-sxm", tpot=0.05, **load).feasible[0]
    assert best.confirmation is not None
    same(
        first,
        {
            "devices": best.gpus, "plan_replicas": best.replicas, "chosen_layout": str(best.candidate.layout),
            "tpot_s": best.latencies["tpot"].seconds, "ttft_high_s": best.latencies["ttft"].high,
            "confidence": best.confidence, "headroom": best.headroom, "usd_per_hour": best.usd_per_hour,
            "tpot_simulated_s": best.confirmation.seconds["tpot"], "level": best.standing, "refusal": None,
        },
    )  # fmt: skip
    assert "too slow" in impossible["refusal"]
    assert impossible["devices"] is None


def test_simulations(tmp_path: Path) -> None:
    grid = {"model": "llama-3.1-8b", "hardware": "h100-sxm", "rate": [2, 500], "requests": 500, "tpot_limit_s": 0.02}
    calm, busy = table({"kind": "simulate", "grid": grid}, tmp_path)
    assert (calm["stable"], busy["stable"]) == (True, False)
    assert calm["ttft_low_s"] < calm["ttft_mean_s"] < calm["ttft_high_s"]
    assert calm["ttft_p50_s"] < calm["ttft_p99_s"]
    assert calm["goodput_share"] == 1.0
    assert calm["requests_per_s"] == pytest.approx(2, rel=0.15)


def test_csv_says_the_same(tmp_path: Path) -> None:
    rows = table({**SERVING, "columns": ["tpot_s", "stable"]}, tmp_path)
    out = tmp_path / "sweep.csv"
    perfmodel.sweep({**SERVING, "columns": ["tpot_s", "stable"]}, out=out, workers=1)
    with out.open(newline="") as file:
        texts = list(csv.DictReader(file))
    assert len(texts) == len(rows)
    assert list(texts[0]) == list(rows[0])
    for text, row in zip(texts, rows, strict=True):
        assert text["refusal"] == (row["refusal"] or "")
        assert text["hardware"] == row["hardware"]
        assert text["stable"] == {True: "true", False: "false", None: ""}[row["stable"]]
        assert (float(text["tpot_s"]) if text["tpot_s"] else None) == (
            None if row["tpot_s"] is None else pytest.approx(row["tpot_s"], rel=CLOSE)
        )
