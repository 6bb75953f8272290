"""Known coefficients are recovered from synthetic times of whole models, and what is left out is never fitted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from perfmodel import load_hardware
from perfmodel.calibration.framework_fits import (
    finished_fit,
    fit_rows,
    folds_of,
    left_out_fits,
    score_left_out,
    score_rows,
)
from perfmodel.calibration.framework_rows import ModelRow, is_framework_fact, read_rows, stack, stack_seconds
from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.model_times import model_program
from perfmodel.coefficients import Coefficient
from perfmodel.fitted_scopes import DEVICES_LEFT_OUT
from perfmodel.kernels import Device, fitted_device
from perfmodel.kernels.framework import EXCESS, FITTED, SLOWDOWN
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.program import time_program
from perfmodel.provenance import standing
from perfmodel.uncertainty import phase_half_width

pytestmark = pytest.mark.torch
SCOPE = "framework.gpu.eager"
MODELS = (
    "resnet18", "resnet26", "efficientnet_b0", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto",
    "mixer_s16_224", "regnetx_002", "deit_tiny_patch16_224", "ghostnet_050", "lcnet_035", "pit_ti_224",
)  # fmt: skip
CHIPS = {name: load_hardware(name) for name in ("rtx-3090", "rtx-pro-6000-maxq")}
TRUTH = {EXCESS["heavy"].name: 0.6, EXCESS["linear"].name: 1.5, SLOWDOWN["linear"].name: 1.4, EXCESS["light"].name: 0.1}


def fact(model: str, batch: int = 64, hardware: str = "rtx-3090", **changes: object) -> Measurement:
    made = Measurement(
        source="timm", file="f.csv", row=1, hardware=hardware, runtime="eager", engine="torch", version="2.4.0",
        subject=model, model=f"timm:{model}", phase="forward", precision="fp16", batch=batch, image_size=224,
        value_seconds=1.0, options={"autocast": "fp16", "norms": "low", "memory_format": "nchw"},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def true_seconds(row: ModelRow) -> float:
    overrides = {name: Coefficient(name, value, 0.1, "fit", "") for name, value in TRUTH.items()}
    device = Device(CHIPS[row.fact.hardware], "eager", overrides)
    return float(stack_seconds(stack([row], SCOPE), device)[0][0])


@cache
def rows() -> tuple[ModelRow, ...]:
    facts = [fact(model, batch, hardware) for hardware in CHIPS for model in MODELS for batch in (32, 256)]
    read, skipped = read_rows(facts, CHIPS)
    assert not skipped
    return tuple(replace(row, fact=replace(row.fact, value_seconds=true_seconds(row))) for row in read)


def test_a_row_takes_the_time_of_its_program() -> None:
    row = rows()[0]
    device = Device(CHIPS[row.fact.hardware], "eager", {})
    program, sizes = model_program(row.fact, device)
    own = stack_seconds(stack([row], SCOPE), device)[0][0]
    assert own == pytest.approx(time_program(program, sizes).seconds[0], rel=1e-9)


def test_slopes_are_derivatives() -> None:
    stacked = stack(rows()[:6], SCOPE)

    def logs(step: float, name: str) -> np.ndarray:
        values = {own.name: own.value * np.exp(step * (own.name == name)) for own in (*FITTED, HOST_SECONDS)}
        device = Device(CHIPS["rtx-3090"], "eager", {n: Coefficient(n, v, 0.1, "fit", "") for n, v in values.items()})
        return np.log(stack_seconds(stacked, device)[0])

    slopes = stack_seconds(stacked, Device(CHIPS["rtx-3090"], "eager", {}))[1]
    for name, slope in slopes.items():
        assert slope == pytest.approx((logs(1e-4, name) - logs(-1e-4, name)) / 2e-4, abs=1e-5)


def test_known_coefficients_are_recovered() -> None:
    fitted = fit_rows(SCOPE, rows(), CHIPS)
    for own in score_rows(SCOPE, rows(), fitted, CHIPS, 0.8):
        assert own.predicted[0] == pytest.approx(own.measured[0], rel=0.05)
    place = fitted.names.index(SLOWDOWN["linear"].name)
    found = fitted.priors[place] * np.exp(fitted.shift(CHIPS["rtx-3090"], "torch", "nchw")[place])
    assert found == pytest.approx(TRUTH[SLOWDOWN["linear"].name], rel=0.1)


def test_folds_part_families_and_keep_them_whole() -> None:
    folds = folds_of(rows(), "family")
    assert sum(map(len, folds)) == len(rows())
    families = [{row.fact.subject.split("_")[0].rstrip("0123456789") for row in fold} for fold in folds]
    assert all(not left & right for place, left in enumerate(families) for right in families[:place])
    assert [len({row.fact.hardware for row in fold}) for fold in folds_of(rows(), "hardware")] == [1, 1]


def test_what_is_left_out_has_intervals_from_the_others() -> None:
    fits = left_out_fits(SCOPE, rows(), CHIPS, "hardware")
    scored = score_left_out(SCOPE, fits, CHIPS, "hardware", 0.8)
    assert len(scored) == len(rows())
    assert {own.labels["level"] for own in scored} <= {"datasheet", "family"}
    for fold, fitted in fits:
        assert ("device", fold[0].fact.hardware) not in fitted.effects
    narrow = score_left_out(SCOPE, fits, CHIPS, "hardware", 0.5)
    assert all(own.half_width[0] >= less.half_width[0] for own, less in zip(scored, narrow, strict=True))


def test_a_finished_fit_knows_its_levels() -> None:
    fitted = finished_fit(SCOPE, rows(), CHIPS, 0.8)
    known, unknown = (fitted.widths[level, "known"].at(0.8) for level in ("device", "datasheet"))
    assert fitted.level(CHIPS["rtx-3090"]) == "device"
    assert fitted.level(load_hardware("l40s")) == "datasheet"
    assert np.all(known <= unknown + 1e-12)
    assert known[2] > known[0]  # launches were hardly measured
    assert fitted.errors["split"] == "model families left out"
    assert 0 <= fitted.errors[DEVICES_LEFT_OUT]["coverage"] <= 1


def test_one_device_tells_nothing_of_others() -> None:
    """Its errors are widened by a guess, and no coverage is claimed for another chip."""
    own = [row for row in rows() if row.fact.hardware == "rtx-3090"]
    fitted = finished_fit(SCOPE, own, CHIPS, 0.8)
    known, unknown = (fitted.widths[level, "known"].at(0.8) for level in ("device", "datasheet"))
    assert np.all(unknown > known)
    assert fitted.errors[DEVICES_LEFT_OUT] == {}
    for chip, held in ((CHIPS["rtx-3090"], True), (load_hardware("l40s"), False)):
        told = standing(fitted_device(chip, "eager", {SCOPE: fitted}), {SCOPE: fitted}, {SCOPE: 1.0})
        assert (told["coverage"][SCOPE] is not None) is held
        assert ("guessed spread" in told["interval"]) is not held


def test_a_row_has_the_interval_of_its_prediction() -> None:
    """What is validated is what is shipped."""
    fitted = finished_fit(SCOPE, rows(), CHIPS, 0.8)
    row = rows()[0]
    device = fitted_device(CHIPS[row.fact.hardware], "eager", {SCOPE: fitted}, "torch", "nchw")
    program, sizes = model_program(row.fact, device)
    times = time_program(program, sizes)
    (scored,) = score_rows(SCOPE, [row], fitted, CHIPS, 0.8)
    assert scored.predicted[0] == pytest.approx(times.seconds[0], rel=1e-9)
    on_device = (times.device_seconds / times.seconds) ** 4
    assert scored.half_width[0] == pytest.approx(phase_half_width(program, times, 0.8)[0] / on_device[0], rel=0.05)


@pytest.mark.parametrize(
    ("changes", "is_one"),
    [({}, True), ({"precision": "fp32"}, False), ({"runtime": "graphs"}, False), ({"phase": "training"}, False),
     ({"engine": "vllm"}, False), ({"layout": "tp2"}, False)],
)  # fmt: skip
def test_which_facts_are_of_a_framework(changes: dict[str, object], is_one: bool) -> None:
    assert is_framework_fact(fact("resnet18", **changes), CHIPS["rtx-3090"]) is is_one


def test_a_model_that_cannot_be_read_is_told() -> None:
    read, skipped = read_rows([fact("resnet18"), fact("no_such_model")], CHIPS)
    assert len(read) == 1
    assert len(skipped) == 1
    assert "no_such_model" in next(iter(skipped))
