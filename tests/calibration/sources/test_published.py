"""Published figures of static batches: every metric and unit, layouts by engine, and what cannot be used."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.serving_rows import METRICS, ServingRows
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.published import read_engine_name
from perfmodel.catalog import load_hardware
from perfmodel.layouts import Layout
from perfmodel.precisions import storage_bytes
from perfmodel.preparing import prepare
from tests.calibration.files import shared, write_csv


def figure(**changes: Any) -> dict[str, Any]:
    own = {
        "hardware": "A100-SXM-80GB", "n_devices": 4, "model": "LLaMA 70B", "precision": "fp16",
        "engine": "TensorRT-LLM 0.9.0", "input_len": 128, "output_len": 2048, "batch_or_concurrency": 64,
        "metric": "output_throughput", "value": 1000.0, "unit": "tok/s", "source": "a document",
    }  # fmt: skip
    return own | changes


def read(tmp_path: Path, *rows: dict[str, Any]) -> Imported:
    return read_measurements(write_csv(tmp_path / "a.csv", rows or [figure()]))


def one(tmp_path: Path, **changes: Any) -> ServingRows:
    (rows,) = read(tmp_path, figure(**changes)).serving
    return rows


def test_a_figure(tmp_path: Path) -> None:
    rows = one(tmp_path)
    assert (rows.source, rows.harness, rows.hardware, rows.engine) == (
        "published",
        "static batch",
        "a100-sxm-80gb",
        "trtllm-2023",
    )
    assert (rows.subject, rows.model, rows.precision, rows.version) == ("LLaMA 70B", "llama-2-70b", "fp16", "0.9.0")
    assert rows.layout == Layout(tensor=4)
    assert (rows.concurrency[0], rows.requests[0], rows.rate[0]) == (64, 64, np.inf)
    assert (rows.input_tokens[0], rows.output_tokens[0]) == (128, 2048)


@pytest.mark.parametrize(
    ("metric", "unit", "value", "name", "expected"),
    [
        ("output_throughput", "tok/s", 1000, "output_throughput", 1000),
        ("output_throughput_per_gpu", "tok/s/GPU", 1000, "output_throughput", 4000),
        ("prefill_latency", "ms", 250, "ttft_seconds", 0.25),
        ("first_token_latency", "s", 0.25, "ttft_seconds", 0.25),
        ("prefill_throughput", "tok/s", 4096, "ttft_seconds", 64 * 128 / 4096),
        ("decode_latency_per_token", "ms", 40, "tpot_seconds", 0.04),
        ("decode_throughput", "tok/s", 1600, "tpot_seconds", 0.04),
        ("e2e_latency", "ms", 7000, "e2e_seconds", 7.0),
    ],
)
def test_metrics(tmp_path: Path, metric: str, unit: str, value: float, name: str, expected: float) -> None:
    rows = one(tmp_path, metric=metric, unit=unit, value=value)
    found = {own: getattr(rows, own)[0] for own in METRICS}
    assert found.pop(name) == pytest.approx(expected)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize(
    ("engine", "devices", "layout"),
    [
        ("llama.cpp (May 2024)", 4, Layout(pipeline=4)),
        ("llama.cpp (October 2023)", 4, Layout(tensor=4)),
        ("llama.cpp", 2, Layout(pipeline=2)),
        ("exllama", 2, Layout(pipeline=2)),
        ("FasterTransformer TP8", 8, Layout(tensor=8)),
        ("FasterTransformer TP8 PP2", 16, Layout(tensor=8, pipeline=2)),
        ("Megatron PP2", 8, Layout(tensor=4, pipeline=2)),
        ("vLLM (Splitwise, 2023)", 2, Layout(tensor=2)),
        ("MLC LLM", "1.0", Layout()),
    ],
)
def test_devices_are_used_as_the_engine_does(tmp_path: Path, engine: str, devices: object, layout: Layout) -> None:
    assert one(tmp_path, engine=engine, n_devices=devices).layout == layout


def test_a_document_gives_its_date_to_engines_without(tmp_path: Path) -> None:
    rows = one(tmp_path, engine="llama.cpp", source="github:mlc-ai/llm-perf-bench README.md")
    assert (rows.layout, rows.dates.tolist()) == (Layout(tensor=4), ["2023"])


@pytest.mark.parametrize(
    ("text", "engine", "version", "date"),
    [
        ("TensorRT-LLM 0.5-era (commit 6755a3f0, 2023-11-18)", "trtllm-2023", "0.5", "2023-11-18"),
        ("TensorRT-LLM 0.6.1/0.7 (commit d879430b, 2024-01-09)", "trtllm-2023", "0.6.1", "2024-01-09"),
        ("TensorRT-LLM (commit 728cc004, 2024-03-05)", "trtllm-2023", "728cc004", "2024-03-05"),
        ("vLLM (Splitwise, 2023)", "vllm-2023", "", "2023"),
        ("llama.cpp (May 2024)", "llama-cpp", "", "2024-05"),
        ("gpt-fast (torch.compile)", "gpt-fast", "", ""),
        ("Exllama V2", "exllamav2", "", ""),
        ("Some Engine (x)", "some-engine", "", ""),
    ],
)
def test_engine_names(text: str, engine: str, version: str, date: str) -> None:
    found = read_engine_name(text)
    assert (found.engine, found.version, found.date) == (engine, version, date)


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("3070 8GB", "rtx-3070"), ("3090 24GB", "rtx-3090"), ("4080 16GB", "rtx-4080"), ("4090 24GB", "rtx-4090"),
        ("RTX A6000 48GB", "rtx-a6000"), ("RTX 5000 Ada 32GB", "rtx-5000-ada"), ("RTX 3090 Ti", "rtx-3090-ti"),
        ("A100 PCIe 80GB", "a100-pcie-80gb"), ("A40 48GB", "a40"), ("L40S 48GB", "l40s"), ("A10G", "a10g"),
        ("H100 PCIe 80GB", "h100-pcie"), ("h100-80gb", "h100-sxm"), ("a100-80gb", "a100-sxm-80gb"),
        ("M2 Ultra 76-Core GPU 192GB", "apple-m2-ultra"), ("M3 Max 40\u2011Core GPU 64GB", "apple-m3-max"),
    ],
)  # fmt: skip
def test_chips(tmp_path: Path, name: str, chip: str) -> None:
    assert one(tmp_path, hardware=name).hardware == chip


def test_a_power_cap_is_a_fact(tmp_path: Path) -> None:
    rows = one(tmp_path, hardware="A100-SXM-80GB (330W cap)")
    assert (rows.hardware, rows.facts["power_watts"].tolist()) == ("a100-sxm-80gb", [330.0])


def test_weights_of_a_gguf_file_are_those_of_the_catalog(tmp_path: Path) -> None:
    rows = one(tmp_path, model="Llama-3-8B", precision="Q4_K_M")
    assert (rows.model, rows.precision) == ("llama-3-8b-q4_k_m", "gguf:q4_k_m")
    assert prepare(rows.model, rows.hardware, precision=rows.precision).precision == "gguf:q4_k_m"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hardware": "H900"}, "unknown device H900"),
        ({"metric": "joy"}, "unknown metric joy"),
        ({"unit": "ms"}, "output_throughput in ms, not in tok/s"),
        ({"metric": "e2e_latency", "unit": ""}, "e2e_latency in no unit, not in ms or s or us"),
        ({"value": ""}, "value is missing or not a number"),
        ({"value": -1}, "value is not positive"),
        ({"value": "inf"}, "value is not positive"),
        ({"metric": "prefill_throughput", "input_len": 0}, "value is not positive"),
        ({"n_devices": 0}, "n_devices is below 1"),
        ({"batch_or_concurrency": ""}, "batch_or_concurrency is missing or not a number"),
        ({"output_len": -1}, "output_len is below 0"),
        ({"model": "Model 9B"}, "unknown model Model 9B in fp16"),
        ({"precision": "Q4_K_M"}, "unknown model LLaMA 70B in Q4_K_M"),
        ({"precision": ""}, "unknown model LLaMA 70B in no precision"),
        ({"engine": "Megatron TP8"}, "n_devices contradicts the layout in the engine's name"),
    ],
)
def test_figures_that_are_left_out(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    imported = read(tmp_path, figure(), figure(**changes))
    assert imported.skipped == {reason: 1}
    assert (imported.rows, imported.used) == (2, 1)


@pytest.mark.parametrize(("value", "left_out"), [(400.0, 1), (3000.0, 0)])
def test_prompts_slowed_down_by_the_build(tmp_path: Path, value: float, left_out: int) -> None:
    own = {"hardware": "A100 PCIe 80GB", "n_devices": 1, "model": "Llama-3-8B", "engine": "llama.cpp (May 2024)",
           "metric": "prefill_throughput", "batch_or_concurrency": 1}  # fmt: skip
    rows = [figure(**own, precision="Q4_K_M", value=2500.0), figure(**own, precision="F16", value=value)]
    assert sum(read(tmp_path, *rows).skipped.values()) == left_out


JUNK = st.sampled_from(["", "nan", "inf", "-inf", "0", "-1", "0.5", "1e300", "x", "TP0", "7", "int4", "µ", "(", "2023"])


@given(data=st.data())
def test_whatever_stands_in_a_row_is_used_or_counted(data: st.DataObject) -> None:
    names = st.sampled_from(list(figure()))
    rows = [figure(), *(figure(**data.draw(st.dictionaries(names, JUNK, max_size=3))) for _ in range(3))]
    with TemporaryDirectory() as folder:
        imported = read(Path(folder), *rows)
    assert imported.rows == imported.used + sum(imported.skipped.values()) == 4
    for own in imported.serving:
        figures = np.stack([getattr(own, name) for name in METRICS])
        assert (np.isfinite(figures).sum(axis=0) == 1).all()
        assert (np.nan_to_num(figures, nan=1.0) > 0).all()


def weight_bytes(rows: ServingRows) -> float:
    """What a step reads of a dense model's weights."""
    graph = prepare(rows.model, "h100-sxm", precision=rows.precision).model.phases["decode"]
    read = [own for own in graph.tensors.values() if own.kind == "weight" and "embedding" not in own.name]
    return sum(float(str(storage_bytes(own.shape, own.dtype))) * own.copies for own in read)


def test_the_shared_figures() -> None:
    imported = read_measurements(shared("published/*.csv"))
    assert (imported.rows, imported.used) == (778, 778)
    shares = []
    for rows in imported.serving:
        decode = np.isfinite(rows.tpot_seconds) & (rows.concurrency == 1)
        if decode.any() and "mixtral" not in rows.model:
            rate = weight_bytes(rows) / rows.layout.tensor / rows.tpot_seconds[decode].min()
            shares.append(rate / load_hardware(rows.hardware).figures["memory.bandwidth"].value)
    # no step reads its weights faster than memory gives them, and the best are close to that
    assert 0.8 < max(shares) < 1.0
    assert min(shares) > 0.04  # 4-bit weights in rows over eight cards
