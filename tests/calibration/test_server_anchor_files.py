"""A server's own runs: what a file of them says of its other predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.calibration.server_anchor_files import read_server_anchors
from perfmodel.calibration.sources.load_tests import Told
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from tests.calibration.files import table_row, write_csv
from tests.calibration.sources.test_reports import VLLM
from tests.calibration.sources.test_serving import run

LOAD = {"concurrency": 16, "input_tokens": 1000, "output_tokens": 500}


def ask(**changes: Any) -> ServingPrediction:
    asked = {"hardware": "h100-sxm", "precision": "fp8", "engine": "vllm", "layout": Layout(tensor=2), **LOAD}
    return predict_serving("qwen3-32b", **asked | changes)


def measured(factor: float, **changes: Any) -> dict[str, Any]:
    """A run that took a multiple of what is predicted for it."""
    own = ask(version="0.12.0", concurrency=changes.get("concurrency", 16)).latencies
    sizes = {"input_tokens": 1000, "output_tokens": 500}
    return (
        run(**sizes, ttft_ms=1e3 * factor * own["ttft"].seconds, tpot_ms=1e3 * factor * own["tpot"].seconds) | changes
    )


def test_a_run_moves_its_own_prediction_most(tmp_path: Path) -> None:
    anchors = read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.3)]))
    (anchor,) = anchors
    assert anchor.off["tpot"] == pytest.approx(np.log(1.3), abs=0.01)
    before, after = ask(version="0.12.0"), ask(anchors=anchors)
    assert (before.standing, after.standing) == ("device", "anchored")
    same = after.latencies["tpot"].seconds / before.latencies["tpot"].seconds
    assert 1.15 < same < 1.3
    # another layout, another load: in the same direction
    others = ({"layout": Layout(tensor=4)}, {"concurrency": 128}, {"input_tokens": 8000, "output_tokens": 200})
    for changes in others:
        own = ask(anchors=anchors, **changes).latencies["tpot"].seconds
        assert 1.0 < own / ask(version="0.12.0", **changes).latencies["tpot"].seconds < 1.3
    for metric in ("tpot", "ttft"):
        wide = [own.latencies[metric].high / own.latencies[metric].seconds for own in (before, after)]
        assert wide[1] <= wide[0] * (1 + 1e-9)


def test_more_runs_are_believed_more(tmp_path: Path) -> None:
    rows = [measured(1.3, concurrency=float(users)) for users in (8, 16, 32)]
    moved = []
    for count in (1, 3):
        anchors = read_server_anchors(write_csv(tmp_path / f"{count}.csv", rows[:count]))
        moved.append(ask(anchors=anchors).latencies["ttft"].seconds)
    assert moved[1] > moved[0] > ask(version="0.12.0").latencies["ttft"].seconds


def test_exact_runs_change_little(tmp_path: Path) -> None:
    anchors = read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.0)]))
    before, after = ask(version="0.12.0"), ask(anchors=anchors)
    for metric in ("tpot", "ttft"):
        assert after.latencies[metric].seconds == pytest.approx(before.latencies[metric].seconds, rel=0.03)


def test_only_what_was_measured_is_moved(tmp_path: Path) -> None:
    anchors = read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.3, ttft_ms="")]))
    before, after = ask(version="0.12.0").latencies, ask(anchors=anchors).latencies
    assert after["ttft"] == before["ttft"]
    assert after["tpot"].seconds > before["tpot"].seconds


def test_runs_of_other_deployments_are_refused(tmp_path: Path) -> None:
    anchors = read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.3)]))
    others = ({"hardware": "b200"}, {"engine": "sglang"}, {"precision": "bf16"})
    for changes in others:
        with pytest.raises(InputError, match="they are of qwen3-32b in fp8 on h100-sxm under vllm"):
            ask(anchors=anchors, **changes)


def test_engines_that_were_not_fitted(tmp_path: Path) -> None:
    anchors = read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.3, engine="torch", engine_version="")]))
    before, after = ask(engine="torch"), ask(engine="torch", anchors=anchors)
    assert (before.standing, after.standing) == ("datasheet", "anchored")
    assert after.latencies["tpot"].seconds != before.latencies["tpot"].seconds


def test_reports_are_told_what_they_do_not_say(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(VLLM))
    told = Told(hardware="h100-sxm", engine="vllm@0.8.5", layout=Layout(tensor=2))
    (anchor,) = read_server_anchors(path, told=told)
    assert (anchor.labels["family"], anchor.labels["version"], anchor.labels["layout"]) == (
        "llama-3.1-8b",
        "0.8.5",
        "tp2",
    )
    # tables say it themselves: what is told is of no use there
    assert len(read_server_anchors(write_csv(tmp_path / "runs.csv", [measured(1.0)]), told=told)) == 1


def test_files_without_load_tests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ops\.csv has no load test of a server"):
        read_server_anchors(write_csv(tmp_path / "ops.csv", [table_row()]))
