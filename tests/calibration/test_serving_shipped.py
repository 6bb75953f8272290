"""Server runs predicted with the coefficients at hand: what `predict --engine` would have answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.serving_runs import ServingSet, gather_serving
from perfmodel.calibration.serving_shipped import predict_shipped
from perfmodel.serving.engine_files import EngineFile, write_engine_file
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.standing import PRIOR_WIDTHS
from tests.calibration.served import server_rows

QWEN = "Qwen/Qwen3-32B"


def gathered(*engines: str, hardware: str = "h100-sxm", specs: str | None = None) -> ServingSet:
    data, _ = gather_serving([server_rows(QWEN, hardware, engine) for engine in engines], specs=specs)
    assert data is not None
    return data


@pytest.mark.parametrize("hardware", ["h100-sxm", "b200", "l40s"])
def test_the_same_as_single_predictions(hardware: str) -> None:
    """With what is known of like deployments, on chips that were fitted and on others."""
    data = gathered("vllm", hardware=hardware)
    found, stands = predict_shipped(data)
    own = data.groups[0]
    for row in (0, 5, 11):
        answer = predict_serving(
            own.model, hardware, engine="vllm", precision="fp8", layout=own.layout, version=own.version,
            cache_precision="fp8" if hardware == "b200" else None, concurrency=own.concurrency[row],
            input_tokens=int(own.input_tokens[row]), output_tokens=int(own.output_tokens[row]),
        )  # fmt: skip
        assert answer.standing == stands[row] == ("family" if hardware == "l40s" else "device")
        for metric, tolerance in (("tpot", 0.02), ("ttft", 0.05)):
            latency = answer.latencies[metric]
            assert found.predicted[metric][row] == pytest.approx(latency.seconds, rel=tolerance)
            assert np.exp(found.half_width[metric][row]) == pytest.approx(latency.high / latency.seconds)


def test_engines_nobody_fitted_stand_on_their_priors() -> None:
    data = gathered("torch")
    found, stands = predict_shipped(data, level=0.8)
    assert set(stands) == {"datasheet"}
    np.testing.assert_allclose(found.half_width["tpot"], PRIOR_WIDTHS["tpot"][3], rtol=1e-6)
    anchored, stands = predict_shipped(data, anchors=1)
    assert set(stands) == {"anchored"}
    assert anchored.anchor.sum() == 1
    # measured 1 s of each, which is far slower: the anchor is believed for the most part
    assert np.all(anchored.predicted["tpot"] > 2 * found.predicted["tpot"])


def test_coefficients_of_an_own_folder_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "calibration" / "coefficients"
    folder.mkdir(parents=True)
    slow = EngineFile(fitted="2026-01-02", provenance="made up", engines={"torch": {"step_seconds": 0.5}})
    write_engine_file(folder / "serving-mine.json", slow)
    data = gathered("torch", specs=str(tmp_path))
    assert np.all(predict_shipped(data, specs=str(tmp_path))[0].predicted["tpot"] > 0.5)
    assert np.all(predict_shipped(data)[0].predicted["tpot"] < 0.5)
