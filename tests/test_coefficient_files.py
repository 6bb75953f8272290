"""Fitted coefficients on disk: whom they hold for, for which runtime, and what is wrong with a bad file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.calibration.scopes import parameters_of
from perfmodel.catalog import load_hardware
from perfmodel.coefficient_files import load_scopes, read_coefficients, write_coefficients
from perfmodel.coefficients import declared_priors
from perfmodel.errors import InputError, SpecError
from perfmodel.fitted_scopes import REGIMES, SHARES, choose_scopes
from perfmodel.kernels import fitted_device
from perfmodel.kernels.networks import fitted_priors
from perfmodel.predict import predict
from perfmodel.types import Model

PRIORS = {prior.name: prior for prior in declared_priors()}
WIDTH = [0.05, 0.06, 0.08, 0.1, 0.15, 0.2]


def document(**scope: Any) -> dict[str, Any]:
    """A fit of H100 in which weights are read at 0.4 of the bandwidth."""
    good = {
        "runtime": "graphs",
        "rows": 1000,
        "vendors": [["gpu", "NVIDIA"]],
        "coefficients": {
            "gemm.launch_seconds": {"prior": 2.75e-6, "prior_sd": 0.3, "factor": 1.5, "log_sd": 0.05},
            "gemm.memory_efficiency": {"prior": 0.8, "prior_sd": 0.08, "factor": 1.0, "log_sd": 0.02},
        },
        "effects": {
            "family": {"hopper": [1.0, 0.6]},
            "device": {"h100-sxm": [1.0, 0.9]},
        },
        "intervals": [
            {"level": level, "kernel": "any", "correlation": 0.5, "model_scale": [1.0] * 6}
            | dict.fromkeys(REGIMES, WIDTH)
            for level in ("device", "family", "datasheet")
        ],
        "errors": {"coverage": 0.81},
    }
    return {
        "format": 1,
        "fitted": "2026-11-25",
        "provenance": "a test",
        "data": [],
        "scopes": {"gemm.bf16": good | scope},
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "calibration" / "coefficients"
    inside.mkdir(parents=True)
    (inside / "own.json").write_text(json.dumps(document()))
    monkeypatch.setenv("PERFMODEL_DATA", str(tmp_path))
    return inside


def overrides(chip: str, runtime: str = "graphs") -> dict[str, Any]:
    own = {"gemm.bf16": load_scopes()["gemm.bf16"][:1]}  # without the shipped ones
    hardware = load_hardware(chip)
    return dict(fitted_device(hardware, runtime, choose_scopes(own, hardware)).overrides)


def test_device_family_and_the_rest(folder: Path) -> None:
    own, relative, other = (
        overrides(chip)["gemm.bf16:gemm.memory_efficiency"] for chip in ("h100-sxm", "h200-sxm", "l4")
    )
    prior = PRIORS["gemm.memory_efficiency"].value
    assert [round(found.value / prior, 6) for found in (own, relative, other)] == [0.54, 0.6, 1.0]
    assert [found.level for found in (own, relative, other)] == ["device", "family", "datasheet"]
    assert own.log_sd < relative.log_sd < other.log_sd
    assert overrides("mi300x") == {}  # no AMD chip was measured
    assert overrides("xeon-8480") == {}


def test_launch_times_hold_for_their_runtime_only(folder: Path) -> None:
    assert "gemm.bf16:gemm.launch_seconds" in overrides("h100-sxm")
    assert "gemm.bf16:gemm.launch_seconds" not in overrides("h100-sxm", "eager")
    assert "gemm.bf16:gemm.memory_efficiency" in overrides("h100-sxm", "eager")


def test_predictions_use_them_in_their_scope_and_say_so(folder: Path, tiny: Model) -> None:
    fitted = predict(tiny, "h100-sxm", specs=str(folder.parents[1]))
    coefficient = fitted.provenance["coefficients"]["gemm.bf16:gemm.memory_efficiency"]
    assert coefficient["provenance"] == "a test"
    assert fitted.provenance["levels"]["gemm.bf16"] == "device"
    decode = fitted.phases["decode"]
    assert decode.time.seconds > 1.5 * decode.bound_seconds  # weights are read at about 0.43 of the bandwidth
    in_fp8 = predict(tiny, "h100-sxm", precision="fp8").provenance["coefficients"]
    assert not any(name.startswith("gemm.fp8:") and entry["provenance"] == "a test" for name, entry in in_fp8.items())


@pytest.fixture
def tiny() -> Model:
    from perfmodel.graphs.huggingface import load_config

    config = {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 8,
    }  # fmt: skip
    return load_config(config, name="tiny", source="test")


def test_the_fit_that_knows_most_of_a_chip_is_chosen(folder: Path) -> None:
    first = load_scopes()["gemm.bf16"][0]
    stranger = document(effects={"device": {"l4": [1.0, 1.0]}, "family": {"ada": [1.0, 1.0]}})
    (folder / "another.json").write_text(json.dumps(stranger))
    found = {"gemm.bf16": load_scopes()["gemm.bf16"][:2]}
    assert choose_scopes(found, load_hardware("h200-sxm"))["gemm.bf16"].effects.keys() == first.effects.keys()
    assert ("device", "l4") in choose_scopes(found, load_hardware("l4"))["gemm.bf16"].effects


def test_round_trip(folder: Path, tmp_path: Path) -> None:
    first = read_coefficients(folder / "own.json")
    write_coefficients(tmp_path / "again.json", first)
    again = read_coefficients(tmp_path / "again.json")
    assert again.fitted == first.fitted
    own, other = first.scopes["gemm.bf16"], again.scopes["gemm.bf16"]
    assert (own.names, own.vendors, own.rows, own.errors) == (other.names, other.vendors, other.rows, other.errors)
    np.testing.assert_allclose(own.pooled, other.pooled, atol=1e-4)
    for effect, shift in own.effects.items():
        np.testing.assert_allclose(shift, other.effects[effect], atol=1e-4)
    for key, widths in own.widths.items():
        np.testing.assert_allclose(widths.at(SHARES[2]), other.widths[key].at(SHARES[2]), rtol=1e-4)


def test_all_mistakes_at_once_with_lines(folder: Path) -> None:
    bad = document(
        runtme="graphs", effects={"device": {"h100-sxm": [1.0]}, "planet": {}}, intervals=[{"level": "high"}]
    )
    bad["scopes"]["gemm.bf16"]["coefficients"]["gemm.memory_efficiency"]["factor"] = 0
    (folder / "own.json").write_text(json.dumps(bad, indent=1))
    with pytest.raises(SpecError) as caught:
        load_scopes()
    text = str(caught.value)
    for part in ("own.json:", "runtme", "expected 2 positive factors", "planet", "expected a number above 0", "level"):
        assert part in text, part
    assert any(line.split(":")[1].isdigit() and int(line.split(":")[1]) > 3 for line in text.splitlines())


def test_a_file_that_is_no_json_is_told(folder: Path) -> None:
    (folder / "own.json").write_text('{"format": 1, "scopes": ')
    with pytest.raises(SpecError, match=r"own\.json"):
        load_scopes()


def test_a_failed_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "own.json"
    before = path.read_text()

    def full(self: Path, *_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left"):
        write_coefficients(path, read_coefficients(path))
    assert path.read_text() == before
    assert [entry.name for entry in folder.iterdir()] == ["own.json"]


def test_shipped_files_are_sound_and_not_stale() -> None:
    """Priors that changed in the code since a fit would shift what it says."""
    shipped = [scope for fits in load_scopes().values() for scope in fits]
    for scope in shipped:
        chips = [load_hardware(effect[1]) for effect in scope.effects if effect[0] == "device"]
        for name, prior in zip(scope.names, scope.priors, strict=True):
            resolved = {PRIORS[name].resolve(chip, scope.runtime).value for chip in chips}
            assert any(prior == pytest.approx(value, rel=1e-3) for value in resolved), (scope.scope, name)
        fitted = {parameter.prior.name for parameter in parameters_of(scope.scope, with_models=True)}
        fitted |= {own.name for own in fitted_priors(scope.scope)} if scope.scope.startswith("framework.") else set()
        assert set(scope.names) <= fitted | {parameter.prior.name for parameter in parameters_of(scope.scope)}
        assert scope.widths, scope.scope
        assert scope.errors["split"], scope.scope
