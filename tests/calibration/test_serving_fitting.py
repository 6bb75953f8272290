"""Fits of engines ready to be shipped: levels with their errors and half-widths, effects, a file that is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.serving_fitting import ServingOutcome, fit_server_files, fit_serving
from perfmodel.calibration.sources import read_measurements
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES
from perfmodel.serving.effects import effects_from_json
from perfmodel.serving.engine_coefficients import PARAMETERS
from perfmodel.serving.engine_files import read_engine_file, write_engine_file
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.standing import STANDINGS
from tests.calibration.files import table_row, write_csv
from tests.calibration.served import TRUTH, server_set, server_table

GROUPS = server_set(models=("Qwen/Qwen3-32B", "Qwen/Qwen3-8B"), chips=("h100-sxm", "b200")).groups


@pytest.fixture(scope="module")
def outcome() -> ServingOutcome:
    return fit_serving(GROUPS)


def test_coefficients_by_engine(outcome: ServingOutcome) -> None:
    assert (outcome.rows, outcome.used, outcome.unused) == (96, 96, {})
    file = outcome.file
    assert file.engines.keys() == {"vllm", "sglang"}
    own = {parameter.name for parameter in PARAMETERS if parameter.by_engine}
    assert all(values.keys() == own for values in file.engines.values())
    assert not own & file.shared.keys()
    priors = {parameter.name: parameter.value for parameter in PARAMETERS}
    for name, truth in TRUTH.items():
        parameter, _, engine = name.partition("@")
        assert (file.engines[engine][parameter] - priors[parameter]) * truth > 0, name


def test_levels(outcome: ServingOutcome) -> None:
    errors, widths = outcome.file.errors, outcome.file.widths
    assert tuple(errors) == tuple(widths) == STANDINGS
    for standing in STANDINGS:
        for metric in ("tpot", "ttft"):
            kept, own = widths[standing][metric], errors[standing][metric]
            assert len(kept) == len(SHARES)
            assert np.all(np.diff(kept) >= 0)
            assert 0 < own["median"] <= own["p90"]
            assert own["rows"] == (96 - len(GROUPS) if standing == "anchored" else 96)
            assert ("coverage" in own) == (standing != "datasheet")
            if standing != "datasheet":
                assert 0.6 <= own["coverage"] <= 1.0
    assert errors["device"]["tpot"]["mape"] < errors["datasheet"]["tpot"]["mape"]


def test_the_file_is_read_back_and_used(outcome: ServingOutcome, tmp_path: Path) -> None:
    folder = tmp_path / "calibration" / "coefficients"
    folder.mkdir(parents=True)
    write_engine_file(folder / "serving-mine.json", outcome.file)
    file = read_engine_file(folder / "serving-mine.json")
    for engine, values in outcome.file.engines.items():
        assert file.engines[engine] == pytest.approx(values, rel=1e-4)
    known = file.effects["closed_loop"]
    assert known["families"] == {"vllm": ["qwen3-32b", "qwen3-8b"], "sglang": ["qwen3-32b", "qwen3-8b"]}
    assert known["chips"] == ["b200", "h100-sxm"]
    assert effects_from_json(known["metrics"]["tpot"]).noise < 0.002  # the runs' noise is 2 %
    run = {"concurrency": 8, "input_tokens": 1000, "output_tokens": 500, "precision": "fp8", "specs": str(tmp_path)}
    own = next(own for own in GROUPS if (own.hardware, own.engine, own.model) == ("h100-sxm", "vllm", "qwen3-32b"))
    answer = predict_serving("qwen3-32b", "h100-sxm", layout=own.layout, version=own.version, **run)
    row = int(np.flatnonzero((own.concurrency == 8) & (own.input_tokens == 1000))[0])
    assert answer.standing == "device"
    assert answer.latencies["tpot"].seconds == pytest.approx(own.tpot_seconds[row], rel=0.06)
    assert answer.latencies["tpot"].low < own.tpot_seconds[row] < answer.latencies["tpot"].high


def test_one_deployment_has_no_level_but_its_own() -> None:
    found = fit_serving(GROUPS[:1]).file
    assert found.errors.keys() == found.widths.keys() == {"datasheet"}
    assert found.effects["closed_loop"]["chips"] == [GROUPS[0].hardware]


def test_files(tmp_path: Path) -> None:
    path = server_table(tmp_path / "servers.csv", GROUPS[:2], suspect="")
    imported = read_measurements(path)
    found = fit_server_files(imported)
    (entry,) = found.file.data
    assert (entry["file"], entry["rows"], len(entry["sha256"])) == ("servers.csv", 24, 64)
    assert (found.rows, found.used) == (24, 24)
    assert "24 runs of 2 deployments" in found.file.provenance
    ops = read_measurements(write_csv(tmp_path / "ops.csv", [table_row()]))
    with pytest.raises(InputError, match="one after the other"):
        fit_server_files(imported + ops)
    with pytest.raises(InputError, match="no load test"):
        fit_server_files(Imported())
