"""Calibration of a machine from runs that are made up by known coefficients: profile, errors, files."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from perfmodel import load_hardware, predict
from perfmodel.calibration.framework_rows import stack, stack_seconds
from perfmodel.calibration.local import (
    calibrate_runs,
    coefficient_files,
    run_file_entries,
    with_scopes_before,
)
from perfmodel.calibration.run_profiles import profile_of
from perfmodel.calibration.run_rows import model_rows, program_rows
from perfmodel.coefficient_files import write_coefficients
from perfmodel.coefficients import Coefficient
from perfmodel.home import COEFFICIENTS
from perfmodel.kernels import Device
from perfmodel.kernels.cpu_network import LAST_CACHE, SLOWDOWN, START
from perfmodel.machine.detection import detect_machine
from perfmodel.machine.profile import starting_profile
from perfmodel.machine.profile_files import made_folder, save_profile
from perfmodel.measuring.programs import suite_programs
from perfmodel.measuring.run_files import Runs
from perfmodel.threads import with_threads

pytestmark = pytest.mark.torch
LLC = 32 << 20
WANTED = r"^(block|deep)|single linear (64|128|256)|single convolution 1x\d+x(14|28)x"
SCOPE = "framework.cpu.eager"
MODELS = (
    ("resnet34", 0),
    ("small-encoder", 96),
    ("resnet18", 0),
    ("mobilenetv3", 0),
    ("bert-base", 32),
    ("bert-base", 128),
)
HEADER = {"schema": "perfmodel-runs/1", "machine": {"llc_bytes": LLC}, "versions": {"torch": "2.13.0"}, "device": "cpu",
          "suite": "quick", "created": "2026-11-29T12:00:00+00:00"}  # fmt: skip
TRUTH = {SLOWDOWN["linear"].name: 4.0, SLOWDOWN["pointwise_convolution"].name: 5.0, LAST_CACHE.name: 0.9,
         START["convolution_3x3"].name: 40e-6}  # fmt: skip


@cache
def machine_profile():
    return starting_profile(detect_machine(), "local")


@cache
def runs(threads: int) -> tuple[Runs, Runs]:
    """(programs, models) with the times that TRUTH gives them, and 2 % of noise."""
    whole = machine_profile()
    chip = with_threads(whole, threads)[0] if threads < whole.cores else whole
    base = {"dtype": "fp32", "threads": threads, "runtime": "eager", "seconds": 1.0}
    programs = [
        base | {"program": own.name, "group": own.group} for own in suite_programs("quick", "fp32", LLC, WANTED)
    ]
    models = [base | {"model": name, "phase": "forward", "batch": 1, "input_tokens": tokens} for name, tokens in MODELS]
    random = np.random.default_rng(threads)
    timed = []
    for points, rows in ((programs, program_rows(programs, chip, "quick", LLC)), (models, model_rows(models, chip)[0])):
        overrides = {f"{SCOPE}:{name}": Coefficient(name, value, 0.0, "fit", "") for name, value in TRUTH.items()}
        seconds = stack_seconds(stack([own.row for own in rows], SCOPE), Device(chip, "eager", overrides))[0]
        noise = np.exp(random.normal(0, 0.02, len(points)))
        timed.append(tuple(own | {"seconds": float(s)} for own, s in zip(points, seconds * noise, strict=True)))
    return Runs(HEADER, timed[0]), Runs(HEADER, timed[1])


def test_models_never_fitted_are_predicted_better_than_before() -> None:
    suite, models = runs(machine_profile().cores)
    (found,) = calibrate_runs(machine_profile(), suite, models)
    assert found.anchors == ("resnet34", "small-encoder, 96 tokens")
    assert [own.name for own in found.scores] == [
        "resnet18", "mobilenetv3", "bert-base, 32 tokens", "bert-base, 128 tokens"
    ]  # fmt: skip
    assert found.after["median_ape"] < 0.05 < found.before["median_ape"]
    assert found.fitted.errors["split"] == "whole models that were not fitted"
    assert all(score.after[1] < score.after[0] < score.after[2] for score in found.scores)
    assert len(found.programs) == len(suite.points)


def test_compiled_code_is_fitted_to_its_anchors() -> None:
    """From what eager code was found to take where both have it in common; the truth here has them alike."""
    whole = machine_profile()
    suite, models = runs(whole.cores)
    points = [point | {"runtime": "compiled"} for point in models.points]
    rows = model_rows(points, whole)[0]
    scope = "framework.cpu.compiled"
    truth = {f"{scope}:{name}": Coefficient(name, value, 0.0, "fit", "") for name, value in TRUTH.items()}
    seconds = stack_seconds(stack([own.row for own in rows], scope), Device(whole, "compiled", truth))[0]
    timed = tuple(own | {"seconds": float(s)} for own, s in zip(points, seconds, strict=True))
    eager, compiled = calibrate_runs(whole, suite, Runs(HEADER, models.points + timed))
    assert [own.runtime for own in (eager, compiled)] == ["eager", "compiled"]
    assert (compiled.fitted.scope, compiled.programs, compiled.anchors) == (scope, (), eager.anchors)
    assert compiled.after["median_ape"] < 0.15 < compiled.before["median_ape"]
    assert compiled.after["coverage"] >= 0.5
    (file,) = coefficient_files([eager, compiled], suite, []).values()
    assert set(file.scopes) == {SCOPE, scope}
    assert "2 fp32 compiled" in file.provenance


def test_each_number_of_threads_is_fitted_by_itself() -> None:
    whole = machine_profile()
    if whole.cores < 2:
        pytest.skip("this machine has one core")
    parts = [runs(threads) for threads in (1, whole.cores)]
    suite, models = (Runs(HEADER, tuple(point for pair in parts for point in pair[place].points)) for place in (0, 1))
    found = calibrate_runs(whole, suite, models)
    assert [own.chip.id for own in found] == ["local-1-threads", "local"]
    assert set(coefficient_files(found, suite, [])) == {"local-1-threads", "local"}


def test_predictions_for_the_machine_go_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    suite, models = runs(machine_profile().cores)
    profile = machine_profile()
    found = calibrate_runs(profile, suite, models)
    save_profile(profile)
    before = predict("timm:resnet18", "local", precision="fp32", runtime="eager")
    assert before.provenance["level"] != "device"
    for chip, file in coefficient_files(found, suite, []).items():
        write_coefficients(made_folder(COEFFICIENTS) / f"{chip}.json", file)
    after = predict("timm:resnet18", "local", precision="fp32", runtime="eager")
    assert after.provenance["level"] == "device"
    measured = next(point["seconds"] for point in models.points if point["model"] == "resnet18")
    assert after.seconds == pytest.approx(measured, rel=0.1)
    other = predict("timm:resnet18", load_hardware("xeon-8480"), precision="fp32", runtime="eager")
    assert other.provenance["level"] != "device"


def test_a_profile_is_raised_to_what_was_reached() -> None:
    start = machine_profile()
    suite, _ = runs(start.cores)
    quick = Runs(HEADER, tuple(point | {"seconds": point["seconds"] / 20} for point in suite.points))
    raised = profile_of(detect_machine(), "local", quick, [start.cores])
    assert raised.peaks["vector", "fp32"] > start.peaks["vector", "fp32"]
    slow = profile_of(detect_machine(), "local", suite, [start.cores])
    assert slow.peaks["vector", "fp32"] == pytest.approx(start.peaks["vector", "fp32"])


def test_files_of_runs_are_told_by_name_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "local-quick.jsonl"
    path.write_text('{"schema": "perfmodel-runs/1"}\n{"program": "x", "seconds": 1}\n', encoding="utf-8")
    (entry,) = run_file_entries([path])
    assert (entry["file"], entry["rows"], len(entry["sha256"])) == ("local-quick.jsonl", 1, 64)


def test_other_dtypes_keep_what_was_fitted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path))
    suite, models = runs(machine_profile().cores)
    profile = machine_profile()
    file = coefficient_files(calibrate_runs(profile, suite, models), suite, [])["local"]
    path = made_folder(COEFFICIENTS) / "local.json"
    assert with_scopes_before(file, path, profile) == file  # there is none yet
    save_profile(profile)
    before = replace(file, scopes={f"{SCOPE}.bf16": replace(file.scopes[SCOPE], scope=f"{SCOPE}.bf16")})
    write_coefficients(path, before)
    assert set(with_scopes_before(file, path, profile).scopes) == {SCOPE, f"{SCOPE}.bf16"}
    other = replace(profile, peaks={key: 2 * rate for key, rate in profile.peaks.items()})
    assert set(with_scopes_before(file, path, other).scopes) == {SCOPE}  # factors on other rates
