"""Server runs in columns: which can be scored, what they are labelled with, what a load generator really sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.calibration.serving_runs import (
    LABELS,
    closed_loops,
    deployment_of,
    drafts_of,
    drawn_lengths,
    gather_serving,
    possible_layout,
    usual_cache,
)
from perfmodel.graphs import load_model
from perfmodel.layouts import Layout
from perfmodel.serving.effects import USUAL
from tests.calibration.served import server_rows

QWEN = "Qwen/Qwen3-32B"


def test_columns_of_several_deployments() -> None:
    groups = [server_rows(QWEN, "h100-sxm", "vllm"), server_rows(QWEN, "b200", "sglang", version="")]
    data, skipped = gather_serving(groups)
    assert data is not None
    assert (len(data), skipped, len(data.deployments)) == (24, {}, 2)
    assert data.runs.engines == ("vllm", "sglang")
    assert data.runs.loop.mixed.tolist() == [True] * 12 + [False] * 12
    assert set(data.labels) == set(LABELS)
    assert [data.labels[name][12] for name in ("family", "hardware", "chip_family", "engine", "lengths", "layout")] == [
        "qwen3-32b", "b200", "blackwell", "sglang", "1000x500", "tp2"
    ]  # fmt: skip
    assert [data.groups[own].rows[place] for own, place in zip(data.group, data.place, strict=True)] == [
        *range(1, 13), *range(1, 13)
    ]  # fmt: skip
    np.testing.assert_allclose(np.exp(data.slopes[1]) * USUAL, (8, 1000, 500))


def test_what_cannot_be_scored_is_told() -> None:
    rows = server_rows(QWEN, "h100-sxm", "vllm")
    nothing = np.where(np.arange(12) < 2, np.nan, 1.0)
    open_loop = replace(rows, concurrency=np.full(12, np.nan), rate=np.ones(12))
    unmeasured = replace(rows, ttft_seconds=nothing, tpot_seconds=nothing)
    unknown = replace(rows, layout=Layout(tensor=7))
    data, skipped = gather_serving([open_loop, unmeasured, unknown])
    assert data is not None
    assert len(data) == 10
    assert sorted(skipped.values()) == [12, 14]
    assert any("closed loop" in reason for reason in skipped)
    assert any("7" in reason for reason in skipped)
    assert gather_serving([open_loop])[0] is None
    assert gather_serving([]) == (None, {})


def test_static_batches_are_no_load_tests() -> None:
    rows = server_rows(QWEN, "h100-sxm", "vllm")
    assert closed_loops([rows, replace(rows, harness="static batch")]) == [rows]


def test_engines_go_by_their_ids_whatever_a_file_calls_them() -> None:
    data, _ = gather_serving([server_rows(QWEN, "h100-sxm", "tensorrt-llm")])
    assert data is not None
    assert data.runs.engines == ("trtllm",)
    assert set(data.labels["engine"]) == {"trtllm"}
    assert usual_cache(server_rows(QWEN, "h100-sxm", "tensorrt-llm")) == "fp8"


@pytest.mark.parametrize(
    ("hardware", "engine", "precision", "cache"),
    [
        ("h100-sxm", "vllm", "fp8", None),
        ("h100-sxm", "trtllm", "fp8", "fp8"),
        ("h100-sxm", "trtllm", "bf16", None),
        ("b200", "vllm", "fp8", "fp8"),
        ("b200", "sglang", "nvfp4", "fp8"),
        ("b200", "vllm", "mxfp4", None),
    ],
)
def test_usual_caches(hardware: str, engine: str, precision: str, cache: str | None) -> None:
    assert usual_cache(server_rows(QWEN, hardware, engine, precision=precision)) == cache


def test_a_cache_that_is_told_comes_first() -> None:
    narrow, wide = (
        deployment_of(server_rows(QWEN, "b200", "vllm", cache_precision=cache)).capacity.sequences(30_000.0)
        for cache in ("fp8", "bf16")
    )
    assert narrow == pytest.approx(2 * wide, rel=0.02)


def test_drawn_lengths_are_those_of_one_load_generator() -> None:
    lengths = {"input_tokens": np.array([1024.0, 8192.0, 1000.0]), "output_tokens": np.array([1024.0, 128.0, 1024.0])}
    rows = server_rows(QWEN, "h100-sxm", "vllm", **lengths)
    for own, nominal in zip(drawn_lengths(rows), lengths.values(), strict=True):
        np.testing.assert_array_equal(own, nominal)
    inputs, outputs = drawn_lengths(replace(rows, harness="silicon_e2e"))
    np.testing.assert_allclose(inputs, [921.6, 8192, 1000])
    np.testing.assert_allclose(outputs, [921.6, 128, 1024])


def test_drafted_tokens() -> None:
    rows = server_rows(QWEN, "h100-sxm", "vllm")
    assert drafts_of(rows) == 0
    assert drafts_of(replace(rows, speculative=True)) == 3
    assert drafts_of(replace(rows, speculative=True, layout=Layout(attention_data=2))) == 1


def test_a_model_that_ran_although_it_cannot_fit() -> None:
    """An estimate that leaves no room for a cache is wrong about a run that took place: no limit then."""
    data, skipped = gather_serving([server_rows(QWEN, "h100-sxm", "vllm", precision="bf16", layout=Layout())])
    assert data is not None
    assert not skipped
    assert np.all(data.runs.loop.running >= 1)


def test_a_dense_model_has_no_expert_parallelism_whatever_a_table_says() -> None:
    assert possible_layout(Layout(tensor=8, expert=8), load_model("llama-3.1-8b")) == Layout(tensor=8)
    assert possible_layout(Layout(tensor=8, expert=8), load_model("gpt-oss-20b")) == Layout(tensor=8, expert=8)
