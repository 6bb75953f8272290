"""Load tests of servers in the tidy table: one group for each deployment, and what cannot be a run."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.validation import validate
from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError
from perfmodel.graphs import load_model
from perfmodel.layouts import Layout
from tests.calibration.files import shared, write_csv


def run(**changes: Any) -> dict[str, Any]:
    own = {
        "id": "a", "model": "Qwen/Qwen3-32B", "hardware": "h100_sxm", "engine": "vllm", "engine_version": "0.12.0",
        "date": "2026-01-02", "weight_precision": "fp8", "gemm_precision": "fp8", "moe_precision": "fp8",
        "input_tokens": 1024, "output_tokens": 512, "concurrency": 16.0, "tp": 2, "attention_dp": 1, "pp": 1,
        "moe_tp": 1, "moe_ep": 1, "speculative": 0, "suspect": "", "ttft_ms": 200.0, "tpot_ms": 15.0,
    }  # fmt: skip
    return own | changes


def read(tmp_path: Path, *rows: dict[str, Any]) -> Imported:
    return read_measurements(write_csv(tmp_path / "runs.csv", rows or [run()]))


def test_a_run(tmp_path: Path) -> None:
    (rows,) = read(tmp_path).serving
    assert (rows.source, rows.harness, rows.hardware) == ("serving", "silicon_e2e", "h100-sxm")
    assert (rows.engine, rows.version, rows.subject, rows.model) == ("vllm", "0.12.0", "Qwen/Qwen3-32B", "qwen3-32b")
    assert (rows.precision, rows.gemm_precision, rows.moe_precision, rows.cache_precision) == ("fp8", "fp8", "fp8", "")
    assert (rows.layout, rows.speculative, rows.rows.tolist()) == (Layout(tensor=2), False, [1])
    assert (rows.ttft_seconds[0], rows.tpot_seconds[0]) == (pytest.approx(0.2), pytest.approx(0.015))
    assert (rows.input_tokens[0], rows.output_tokens[0], rows.concurrency[0]) == (1024, 512, 16)
    assert np.isnan([rows.rate[0], rows.e2e_seconds[0], rows.output_throughput[0]]).all()
    assert rows.dates.tolist() == ["2026-01-02"]


def test_groups_are_deployments(tmp_path: Path) -> None:
    runs = [run(), run(concurrency=64, date=""), run(tp=4), run(engine_version="0.13.0"), run(speculative=1)]
    groups = read(tmp_path, *runs).serving
    assert sorted(own.rows.tolist() for own in groups) == [[1, 2], [3], [4], [5]]
    assert sum(own.speculative for own in groups) == 1
    first = next(own for own in groups if len(own) == 2)
    assert first.take(np.array([False, True])).concurrency.tolist() == [64]
    assert first.take(np.array([1])).dates.tolist() == [""]


@pytest.mark.parametrize(
    ("columns", "layout"),
    [
        ({"tp": 1, "attention_dp": 8, "moe_tp": 1, "moe_ep": 8}, Layout(attention_data=8, expert=8)),
        ({"tp": 8, "moe_tp": 2, "moe_ep": 4}, Layout(tensor=8, expert=4)),
        ({"tp": 4, "pp": 2, "moe_tp": 4, "moe_ep": 1}, Layout(tensor=4, pipeline=2)),
        ({"tp": 4, "attention_dp": 0, "pp": "", "moe_tp": 0, "moe_ep": 0}, Layout(tensor=4)),
    ],
)
def test_layouts(tmp_path: Path, columns: dict[str, Any], layout: Layout) -> None:
    (rows,) = read(tmp_path, run(**columns)).serving
    assert rows.layout == layout
    assert rows.sequences.tolist() == [16 / layout.attention_data]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"suspect": "multi-node layout"}, "suspect: multi-node layout"),
        ({"concurrency": ""}, "concurrency is missing or not a number"),
        ({"concurrency": -4}, "concurrency is below 1"),
        ({"output_tokens": 0.5}, "output_tokens is below 1"),
        ({"ttft_ms": "", "tpot_ms": "nan"}, "neither TTFT nor TPOT"),
        ({"ttft_ms": -1}, "ttft_ms is not positive"),
        ({"tpot_ms": 0}, "tpot_ms is not positive"),
        ({"tpot_ms": "inf"}, "tpot_ms is infinite"),
        ({"hardware": "h900_sxm"}, "unknown device h900_sxm"),
        ({"model": "nobody/Model-9B"}, "unknown model nobody/Model-9B"),
        ({"weight_precision": "int3"}, "unknown weight_precision int3"),
        ({"tp": 2, "moe_tp": 4}, "degrees of experts' parallelism do not make the devices of attention's"),
        ({"tp": 1.5}, "a degree of parallelism is no whole number"),
        ({"tp": ""}, "a degree of parallelism is no whole number"),
        ({"speculative": 2}, "speculative is neither 0 nor 1"),
    ],
)
def test_runs_that_are_left_out(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    imported = read(tmp_path, run(), run(**changes))
    assert imported.skipped == {reason: 1}
    assert (imported.rows, imported.used) == (2, 1)


def test_one_metric_is_enough(tmp_path: Path) -> None:
    (rows,) = read(tmp_path, run(ttft_ms="")).serving
    assert np.isnan(rows.ttft_seconds[0])
    assert rows.tpot_seconds[0] == pytest.approx(0.015)


def test_optional_columns(tmp_path: Path) -> None:
    needed = {name: value for name, value in run().items() if name not in (
        "id", "engine_version", "date", "gemm_precision", "moe_precision", "attention_dp", "pp", "moe_tp", "moe_ep",
        "speculative", "suspect")}  # fmt: skip
    (rows,) = read(tmp_path, needed).serving
    assert (rows.version, rows.layout, rows.speculative) == ("", Layout(tensor=2), False)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    row = {name: value for name, value in run().items() if name != "tpot_ms"}
    with pytest.raises(InputError, match=r"Nearest is serving \(server runs\), which also needs tpot_ms\."):
        read(tmp_path, row)


def test_validate_scores_the_two_latencies_of_a_run_which_counts_as_one(tmp_path: Path) -> None:
    found = validate(write_csv(tmp_path / "runs.csv", [run()]))
    assert (found.rows, found.predicted) == (1, 1)
    assert sorted(own.metric for own in found.sets) == ["tpot", "ttft"]


JUNK = st.sampled_from(["", "nan", "inf", "-inf", "0", "-1", "0.5", "1e300", "x", "{}", "7", "yes", "µ"])


@given(data=st.data())
def test_whatever_stands_in_a_row_is_used_or_counted(data: st.DataObject) -> None:
    names = st.sampled_from(list(run()))
    rows = [run(), *(run(**data.draw(st.dictionaries(names, JUNK, max_size=3))) for _ in range(3))]
    with TemporaryDirectory() as folder:
        imported = read(Path(folder), *rows)
    assert imported.rows == imported.used + sum(imported.skipped.values()) == 4
    for own in imported.serving:
        assert np.isfinite([own.input_tokens, own.output_tokens, own.concurrency]).all()
        assert not np.any(own.ttft_seconds <= 0)
        assert not np.any(own.tpot_seconds <= 0)


def test_the_shared_runs() -> None:
    (path,) = shared("silicon_e2e/serving_agg.csv")
    start = time.perf_counter()
    imported = read_measurements(path)
    assert time.perf_counter() - start < 5.0  # below 1 s on an idle machine
    assert (imported.rows, imported.used) == (1404, 1309)
    assert all(reason.startswith("suspect: ") for reason in imported.skipped)
    for hardware in {own.hardware for own in imported.serving}:
        assert load_hardware(hardware).id == hardware
    models = {own.model: load_model(own.model) for own in imported.serving}
    assert all({"prefill", "decode"} <= set(model.phases) for model in models.values())
    own_precisions = {own.model for own in imported.serving if own.precision == models[own.model].precision}
    quantised = {"deepseek-r1-nvfp4", "kimi-k2.5-nvfp4", "glm-5-nvfp4", "qwen3-235b-a22b-fp8", "gpt-oss-120b"}
    assert quantised <= own_precisions
    # a decode step reads the weights once: nothing is faster than that
    tpot = np.concatenate([own.tpot_seconds for own in imported.serving])
    assert 1e-3 < tpot.min() < np.median(tpot) < 0.05
