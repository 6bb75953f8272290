"""Published static batches: known coefficients found again, what is left out of a fit, the errors that were reached."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.static_batch_fit import fit_static, left_out, prior_values
from perfmodel.calibration.static_batch_fitting import fit_static_batches
from perfmodel.calibration.static_batch_rows import (
    EARLY,
    FASTER,
    METRICS,
    StaticSet,
    gather_static,
    predict_static,
)
from perfmodel.calibration.static_batch_scores import score_static
from perfmodel.calibration.validation import validate
from perfmodel.errors import InputError
from perfmodel.serving.engine_coefficients import EngineCoefficients

HEADER = (
    "hardware,n_devices,model,precision,engine,input_len,output_len,batch_or_concurrency,metric,value,unit,source\n"
)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "published"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no published figures in {DATA}")


def rows_of(folder: Path, lines: list[str]) -> tuple[ServingRows, ...]:
    path = folder / "published.csv"
    path.write_text(HEADER + "".join(f"{line},test\n" for line in lines))
    return read_measurements(str(path)).serving


def grid(folder: Path) -> StaticSet:
    lines = [
        f"{chip},1,{model},F16,llama.cpp (May 2024),{prompt},{output},1,{metric},100,tok/s"
        for chip in ("3090 24GB", "RTX A6000 48GB", "A100 PCIe 80GB")
        for model in ("Llama-3-8B", "Llama-2-7B")
        for prompt, output, metric in (
            (512, 0, "prefill_throughput"), (4096, 0, "prefill_throughput"), (0, 512, "decode_throughput"),
            (0, 4096, "decode_throughput"), (0, 8192, "decode_throughput"),
        )
    ]  # fmt: skip
    data, _ = gather_static(rows_of(folder, lines))
    assert data is not None
    return data


def test_known_coefficients_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = grid(tmp_path)
    truth = prior_values("llama-cpp") | {"vector_hbm": 0.5, "work.attention.prefill": 0.3}
    made = replace(data, measured=predict_static(data, EngineCoefficients(values=truth)))
    monkeypatch.setattr("perfmodel.calibration.static_batch_fit.PRIOR_WEIGHT", 1e-3)  # so that the rows decide
    fit = fit_static(made)
    assert fit.coefficients["vector_hbm"] == pytest.approx(0.5, rel=0.05)
    assert fit.coefficients["work.attention.prefill"] == pytest.approx(0.3, rel=0.05)
    assert np.abs(np.log(predict_static(made, fit.coefficients) / made.measured)).max() < 0.02


def test_a_row_left_out_says_nothing_of_itself(tmp_path: Path) -> None:
    data = grid(tmp_path)
    a100 = data.labels["hardware"] == "a100-pcie-80gb"
    before, _ = left_out(data, "hardware")
    after, _ = left_out(replace(data, measured=np.where(a100, data.measured * 3, data.measured)), "hardware")
    assert np.array_equal(before[a100], after[a100])
    assert not np.allclose(before[~a100], after[~a100])


def test_answers_that_ended_early_are_passed_over(tmp_path: Path) -> None:
    common = 'A100-SXM-80GB,8,llama2-70b,fp16,"vLLM (Splitwise, 2023)",512,1024,1'
    groups = rows_of(tmp_path, [f"{common},decode_latency_per_token,45,ms", f"{common},e2e_latency,29.3,s"])
    data, skipped = gather_static(groups)
    assert skipped == {EARLY: 1}
    assert data is not None
    assert len(data) == 1


def test_batches_that_beat_the_device_are_passed_over(tmp_path: Path) -> None:
    common = 'A100-SXM-80GB,2,llama2-70b,fp16,"vLLM (Splitwise, 2023)",512,128,32'
    groups = rows_of(tmp_path, [f"{common},prefill_latency,50,ms", f"{common},decode_latency_per_token,60,ms"])
    _, skipped = gather_static(groups)
    assert skipped == {FASTER: 2}


def test_unknown_splits_are_refused(tmp_path: Path) -> None:
    groups = rows_of(tmp_path, ["3090 24GB,1,Llama-3-8B,F16,llama.cpp (May 2024),0,512,1,decode_throughput,47,tok/s"])
    with pytest.raises(InputError, match="hardware, family, model, deployment"):
        score_static(groups, leave_out="weekday")


def test_one_device_only_is_told(tmp_path: Path) -> None:
    groups = rows_of(tmp_path, ["3090 24GB,1,Llama-3-8B,F16,llama.cpp (May 2024),0,512,1,decode_throughput,47,tok/s"])
    sets, skipped = score_static(groups, leave_out="hardware")
    assert sets == []
    assert skipped == {"static batches of llama-cpp: of one hardware only, so none can be left out": 1}


def test_validate_scores_them(tmp_path: Path) -> None:
    groups = ["3090 24GB,1,Llama-3-8B,F16,llama.cpp (May 2024),0,512,1,decode_throughput,47.4,tok/s"]
    rows_of(tmp_path, groups)
    found = validate(str(tmp_path / "published.csv"))
    assert found.predicted == 1
    assert found.metrics["tpot"]["median_ape"] < 0.1
    (group,) = found.groups(("engine", "hardware"))
    assert group.key == {"engine": "llama-cpp", "hardware": "rtx-3090"}


def test_nothing_to_fit_is_told() -> None:
    with pytest.raises(InputError, match="no static batch"):
        fit_static_batches([])


# ------------------------------------------------------------------------------------------------ published figures


@cache
def published() -> tuple[ServingRows, ...]:
    return tuple(rows for path in sorted(DATA.glob("*.csv")) for rows in read_measurements(str(path)).serving)


@cache
def predicted_without(split: str, engine: str) -> tuple[StaticSet, np.ndarray]:
    data, _ = gather_static([rows for rows in published() if rows.engine == engine])
    assert data is not None
    return data, left_out(data, split)[0]


def median_error(split: str, metric: str, engine: str, hardware: str = "") -> float:
    data, predicted = predicted_without(split, engine)
    chosen = data.figure == METRICS.index(metric)
    chosen &= np.char.startswith(data.labels["hardware"].astype(str), hardware)
    return float(np.nanmedian(np.abs(predicted / data.measured - 1)[chosen]))


@needs_data
@pytest.mark.parametrize(
    ("split", "metric", "labels", "most"),
    [
        ("hardware", "tpot", {"engine": "llama-cpp", "hardware": "rtx"}, 0.06),
        ("hardware", "tpot", {"engine": "llama-cpp", "hardware": "a100"}, 0.13),
        ("hardware", "tpot", {"engine": "llama-cpp", "hardware": "apple"}, 0.16),
        ("hardware", "ttft", {"engine": "llama-cpp"}, 0.20),
        ("model", "ttft", {"engine": "llama-cpp"}, 0.20),
        ("model", "throughput", {"engine": "trtllm-2023"}, 0.10),
        ("model", "e2e", {"engine": "fastertransformer"}, 0.09),
        ("model", "tpot", {"engine": "vllm-2023"}, 0.09),
        ("model", "tpot", {"engine": "gpt-fast"}, 0.09),
    ],
)
def test_left_out_errors(split: str, metric: str, labels: dict[str, str], most: float) -> None:
    assert median_error(split, metric, **labels) < most


@needs_data
def test_shipped_coefficients_are_those_of_the_data() -> None:
    sets, skipped = score_static(published())
    ratio = np.concatenate([own.log_ratio for own in sets])
    width = np.concatenate([own.half_width for own in sets])
    assert sum(map(len, sets)) + sum(skipped.values()) == sum(map(len, published()))
    assert 10 <= skipped[EARLY] <= 20
    assert skipped[FASTER] <= 5
    assert np.median(np.abs(ratio)) < 0.07
    assert (np.abs(ratio) <= width).mean() > 0.8
    assert {own.labels["level"] for own in sets} == {"family"}
