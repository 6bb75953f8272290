"""Calibration of a GPU from files of a machine that is made up: coefficients, whole models, intervals, predictions."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

pytest.importorskip("torch")
if find_spec("timm") is None:
    pytest.skip("needs timm", allow_module_level=True)

from perfmodel import predict
from perfmodel.calibration.local import ScopeCalibration, calibrate_runs, coefficient_files
from perfmodel.calibration.run_profiles import gpu_profile_of
from perfmodel.calibration.run_sets import RunSet, read_run_set
from perfmodel.calibration.starting import starting_device
from perfmodel.catalog import load_hardware
from perfmodel.coefficient_files import read_coefficients, write_coefficients
from perfmodel.home import COEFFICIENTS
from perfmodel.kernels.framework import EXCESS, LAUNCH_SECONDS
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.networks import calibrated_scope
from perfmodel.machine.profile_files import made_folder, save_profile
from perfmodel.types import Hardware
from tests.calibration.synthetic_gpu import FEW, H100, MODELS, true_device, write_models, write_programs

pytestmark = pytest.mark.torch
DTYPE = "fp16"


@cache
def run_set() -> RunSet:
    folder = Path(mkdtemp())
    programs = write_programs(folder / "programs.jsonl", [DTYPE], pattern=FEW)
    models = write_models(folder / "models.jsonl", [DTYPE], MODELS, runtimes=("eager", "compiled"))
    return read_run_set([programs, models])


@cache
def profile() -> Hardware:
    return gpu_profile_of("local-gpu", run_set().suite)


@cache
def calibrated() -> tuple[ScopeCalibration, ScopeCalibration]:
    eager, compiled = calibrate_runs(profile(), run_set().suite, run_set().models)
    return eager, compiled


def test_the_chip_is_that_of_the_catalog_under_the_name_of_the_machine() -> None:
    known = load_hardware("h100-sxm")
    assert (profile().id, profile().family, profile().kind) == ("local-gpu", "hopper", "gpu")
    assert profile().peaks == pytest.approx(known.peaks)
    assert profile().memory_bandwidth_bytes_per_second == known.memory_bandwidth_bytes_per_second


def test_known_coefficients_are_recovered() -> None:
    eager, _ = calibrated()
    true = true_device(profile(), DTYPE)
    found = dict(zip(eager.fitted.names, eager.fitted.priors * np.exp(eager.fitted.pooled), strict=True))
    told = [place for place, stays in enumerate(eager.fitted.stays) if not stays]
    assert len(told) > 10
    for place in told:
        name = eager.fitted.names[place]
        off = abs(np.log(found[name] / true.overrides[f"{eager.fitted.scope}:{name}"].value))
        assert off < 3 * eager.fitted.log_sd[place] + 0.02, name
    for name, tolerance in {HOST_SECONDS.name: 0.02, LAUNCH_SECONDS.name: 0.05, EXCESS["copy"].name: 0.15}.items():
        assert found[name] == pytest.approx(true.overrides[f"{eager.fitted.scope}:{name}"].value, rel=tolerance), name


def test_models_never_fitted_are_predicted_better_than_before() -> None:
    eager, _ = calibrated()
    assert (eager.fitted.scope, eager.runtime, eager.threads) == ("framework.gpu.eager.fp16", "eager", 0)
    assert eager.after["median_ape"] < 0.04 < 0.2 < eager.before["median_ape"]
    assert eager.after["mape"] < 0.05
    # single and large batches, with and without a KV cache
    names = [own.name for own in eager.scores]
    assert {"resnet18", "resnet18, batch 64", "gpt2-small decode, 128 + 64 tokens"} <= set(names)
    assert not eager.skipped
    assert not any(name.startswith(("resnet34", "small-")) for name in names)


def test_compiled_code_follows_its_anchors() -> None:
    eager, compiled = calibrated()
    assert (compiled.runtime, compiled.programs) == ("compiled", ())
    assert {"resnet34", "resnet34, batch 64"} <= set(compiled.anchors)
    assert compiled.after["median_ape"] < 0.07 < compiled.before["median_ape"]
    wider, own = (found.fitted.widths["device", "known"].by_regime for found in (compiled, eager))
    assert np.all(wider >= own)


def test_intervals_hold_about_as_many_as_they_say() -> None:
    eager, compiled = calibrated()
    for own in (eager, compiled):
        assert own.after["coverage"] >= 0.6
    assert 1.01 < eager.after["interval_factor"] < 1.12  # the noise is 2 %, and the form is the truth


def test_a_run_and_its_replay_are_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the replay would tell the fit what the run is to be predicted without."""
    from perfmodel.calibration import local_fit
    from perfmodel.calibration.run_rows import program_rows

    start = starting_device(profile(), "eager", DTYPE)
    rows = program_rows(run_set().suite.points, profile(), "quick", 50 << 20, start=start)
    whole = local_fit.fit_runs(calibrated()[0].fitted.scope, rows, profile(), start)
    seen: list[set[tuple[str, bool]]] = []

    def noted(scope: str, fitted: list, chip: Hardware, start: object) -> object:
        seen.append({(own.name, own.replayed) for own in fitted})
        return whole

    monkeypatch.setattr(local_fit, "fit_runs", noted)
    local_fit.with_intervals(whole, rows, profile(), start)
    alike = {own.name for own in rows if own.group in ("block", "deep")}
    assert len(seen) == local_fit.FOLDS
    for kept in seen:
        missing = {name for name in alike if (name, False) not in kept}
        assert missing
        assert not any((name, True) in kept for name in missing)


def test_predictions_go_by_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    save_profile(profile())
    before = predict("timm:resnet18", "local-gpu", precision=DTYPE, runtime="eager")
    ((chip, file),) = coefficient_files(calibrated(), run_set().suite, []).items()
    write_coefficients(made_folder(COEFFICIENTS) / f"{chip}.json", file)
    assert set(read_coefficients(tmp_path / COEFFICIENTS / f"{chip}.json").scopes) == {
        calibrated_scope("eager", DTYPE), calibrated_scope("compiled", DTYPE)
    }  # fmt: skip
    for name, runtime, tokens in (("timm:resnet18", "eager", 0), ("timm:resnet18", "compiled", 0),
                                  ("gpt2-small", "eager", 128)):  # fmt: skip
        sizes = {"input_tokens": tokens, "output_tokens": 64} if tokens else {}
        made = predict(name, "local-gpu", precision=DTYPE, runtime=runtime, **sizes)
        assert made.provenance["level"] == "device"
        for phase, own in made.phases.items():
            short = name.removeprefix("timm:")
            measured = next(
                point["seconds"] for point in run_set().models.points
                if (point["model"], point["phase"], point["batch"], point["runtime"]) == (short, phase, 1, runtime)
            )  # fmt: skip
            assert own.time.seconds == pytest.approx(measured, rel=0.1)
            assert own.time.low < own.time.seconds < own.time.high < 1.3 * own.time.seconds
    assert before.provenance["level"] != "device"
    # other dtypes, replayed graphs and other chips stay with what they had
    for options in ({"precision": "bf16", "runtime": "eager"}, {"precision": DTYPE, "runtime": "graphs"}):
        assert predict("timm:resnet18", "local-gpu", **options).provenance["level"] != "device"
    assert "device" not in predict("timm:resnet18", "h100-sxm", precision=DTYPE, runtime="eager").provenance["level"]


def test_other_precisions_of_one_model_may_be_calibrated_or_not() -> None:
    """fp32 goes by the network's form once it was calibrated; until then its kernels are timed one by one."""
    from perfmodel.kernels import Device
    from perfmodel.kernels.networks import network_scope

    scope = calibrated_scope("eager", "fp32")
    overrides = starting_device(profile(), "eager", "fp32").overrides
    fitted = Device(profile(), "eager", overrides).fitted_scopes
    for has_cache in (False, True):
        assert network_scope(profile(), "eager", ("fp32",), has_cache=has_cache, fitted=fitted) == scope
        assert network_scope(profile(), "eager", ("fp32",), has_cache=has_cache) == ""
    assert network_scope(profile(), "eager", (), has_cache=False, kept=("fp32",), fitted=fitted) == scope
    assert network_scope(profile(), "eager", ("bf16",), has_cache=False, fitted=fitted) == "framework.gpu.eager"
    assert network_scope(profile(), "graphs", ("fp32",), has_cache=False, fitted=fitted) == ""


def test_a_gpu_that_the_catalog_does_not_know_is_made_of_what_torch_told(tmp_path: Path) -> None:
    unknown = replace(H100, name="NVIDIA Example 9000")
    path = write_programs(
        tmp_path / "runs.jsonl", [DTYPE], pattern="^single linear (1|64)x", accelerator=unknown
    )  # fmt: skip
    made = gpu_profile_of("local-gpu", read_run_set([path]).suite)
    assert (made.name, made.cores, made.memory_bandwidth_bytes_per_second) == (unknown.name, 132, 3.35e12)


def test_a_bound_is_raised_to_what_was_measured() -> None:
    suite = run_set().suite
    fast = replace(suite, points=tuple(own | {"seconds": own["seconds"] / 8} for own in suite.points))
    raised = gpu_profile_of("local-gpu", fast)
    assert raised.peaks["matrix", DTYPE] > profile().peaks["matrix", DTYPE]
    assert raised.memory_bandwidth_bytes_per_second > profile().memory_bandwidth_bytes_per_second
