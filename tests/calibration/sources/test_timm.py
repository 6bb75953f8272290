"""timm tables: what the file's name says, and milliseconds per batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.sources import read_measurements
from perfmodel.errors import InputError
from tests.calibration.files import write_csv


def row(**changes: Any) -> dict[str, Any]:
    own = {"model": "resnet50", "infer_img_size": 224, "infer_samples_per_sec": 2560.0, "infer_step_time": 100.0,
           "infer_batch_size": 256, "param_count": 25.56, "infer_gmacs": 4.11, "infer_macts": 11.11}  # fmt: skip
    return own | changes


def read(tmp_path: Path, name: str, *rows: dict[str, Any]) -> Imported:
    return read_measurements(write_csv(tmp_path / name, rows or [row()]))


def test_a_row(tmp_path: Path) -> None:
    (fact,) = read(tmp_path, "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv").measurements
    assert (fact.hardware, fact.model, fact.subject, fact.precision) == (
        "rtx-3090",
        "timm:resnet50",
        "resnet50",
        "fp16",
    )
    assert (fact.batch, fact.image_size, fact.value_seconds, fact.runtime) == (256, 224, 0.1, "eager")
    assert (fact.engine, fact.version, fact.phase, fact.repeats) == ("torch", "2.4.0", "forward", 40)
    assert fact.options == {"memory_format": "nhwc", "cuda": "124", "autocast": "fp16", "norms": "low"}
    assert fact.facts == {"parameters": pytest.approx(25.56e6), "flops": pytest.approx(256 * 8.22e9)}


@pytest.mark.parametrize(
    ("name", "hardware", "precision", "runtime", "autocast"),
    [
        (
            "benchmark-infer-amp_bf16-nchw-pt291-cu130-pro6000maxq-dynamo.csv",
            "rtx-pro-6000-maxq",
            "bf16",
            "compiled",
            True,
        ),
        ("benchmark-infer-bf16-nchw-pt291-cu130-pro6000maxq.csv", "rtx-pro-6000-maxq", "bf16", "eager", False),
        ("benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv", "i9-10940x", "fp32", "compiled", False),
        ("benchmark-infer-fp32-nchw-pt240-cu124-rtx4090.csv", "rtx-4090", "tf32", "eager", False),
    ],
)
def test_file_names(tmp_path: Path, name: str, hardware: str, precision: str, runtime: str, autocast: bool) -> None:
    (fact,) = read(tmp_path, name).measurements
    assert (fact.hardware, fact.precision, fact.runtime) == (hardware, precision, runtime)
    assert ("autocast" in fact.options) == autocast


def test_training_steps(tmp_path: Path) -> None:
    own = {
        "model": "resnet50",
        "train_img_size": 224,
        "train_step_time": 300.0,
        "train_batch_size": 64,
        "param_count": 25,
    }
    (fact,) = read(tmp_path, "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv", own).measurements
    assert (fact.phase, fact.value_seconds, fact.version) == ("training", 0.3, "1.12")
    assert fact.facts == {"parameters": 25e6}


def test_facts_that_a_row_lacks(tmp_path: Path) -> None:
    name = "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv"
    imported = read(tmp_path, name, row(infer_gmacs=""), row(infer_batch_size=""), row(infer_step_time=-1))
    (fact,) = imported.measurements
    assert fact.facts == {"parameters": pytest.approx(25.56e6)}
    assert imported.skipped == {"batch_size is missing or not a number": 1, "time is negative": 1}


def test_devices_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown device gtx1 "):
        read(tmp_path, "benchmark-infer-amp-nhwc-pt240-cu124-gtx1.csv")


@pytest.mark.parametrize("name", ["results.csv", "benchmark-infer-fp7-nhwc-pt240-cu124-rtx3090.csv"])
def test_names_that_do_not_say(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"name it like benchmark-infer-amp-nhwc-pt240-cu124-rtx3090\.csv"):
        read(tmp_path, name)
