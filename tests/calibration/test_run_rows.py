"""Runs as rows: programs are built, traced and compiled; whole models go through what predictions use."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from perfmodel.calibration.framework_rows import stack, stack_seconds
from perfmodel.calibration.run_rows import model_fact, model_name, model_rows, program_rows
from perfmodel.catalog import load_hardware
from perfmodel.kernels import Device
from perfmodel.kernels.cpu_network import CLASSES
from perfmodel.measuring.programs import suite_programs
from perfmodel.threads import with_threads

pytestmark = pytest.mark.torch
CHIP = load_hardware("ryzen-9-7950x")
LLC = 64 << 20


def point(program: str, dtype: str = "fp32", **changes: object) -> dict:
    made = {"program": program, "group": "single", "dtype": dtype, "threads": 16, "runtime": "eager", "seconds": 1e-3}
    return made | changes


def model_point(model: str, phase: str = "forward", **changes: object) -> dict:
    made = {
        "model": model,
        "phase": phase,
        "dtype": "fp32",
        "threads": 16,
        "runtime": "eager",
        "seconds": 0.02,
        "batch": 1,
    }
    return made | changes


def names(dtype: str, pattern: str) -> list[str]:
    return [own.name for own in suite_programs("quick", dtype, LLC, pattern)]


def test_a_program_is_what_its_module_does() -> None:
    (name,) = names("fp32", r"^single linear 256x1024 to 1024 hot")
    (found,) = program_rows([point(name)], CHIP, "quick", LLC)
    parts, repeats = found.row.parts, found.row.repeats
    assert {CLASSES[place] for place in parts.classes} == {"linear"}
    calls = repeats.sum()
    flops = float(repeats @ parts.compute_seconds[:, 0]) * CHIP.peaks["vector", "fp32"]
    assert flops == pytest.approx(calls * 2 * 256 * 1024 * 1024)
    assert found.row.fact.value_seconds == 1e-3


def test_hot_weights_come_from_caches_and_cold_ones_from_memory() -> None:
    hot, cold = (
        names("fp32", r"^single linear 256x1024 to 1024 hot"),
        names("fp32", r"^single linear 1x2048 to 2048 cold"),
    )
    shares = []
    for own in program_rows([point(hot[0]), point(cold[0])], CHIP, "quick", LLC):
        parts = own.row.parts
        moved = [
            float(own.row.repeats @ part[:, 0])
            for part in (parts.memory_seconds, parts.last_seconds, parts.inner_seconds)
        ]
        shares.append(moved[0] / sum(moved))
    assert shares[0] < 0.01
    assert shares[1] > 0.95


def test_disturbed_runs_and_unknown_programs_are_left_out() -> None:
    (name,) = names("fp32", r"^single linear 256x1024 to 1024 hot")
    points = [point(name, contaminated=True), point("of another suite"), point(name)]
    assert len(program_rows(points, CHIP, "quick", LLC)) == 1


def test_quantised_programs_compute_in_int8() -> None:
    name = names("int8", "")[0]
    (found,) = program_rows([point(name, "int8")], CHIP, "quick", LLC)
    linear = [place for place, own in enumerate(found.row.parts.classes) if CLASSES[own] == "linear"]
    wide = float(found.row.parts.compute_seconds[linear].sum())
    assert wide > 0
    (plain,) = program_rows([point(names("fp32", r"^single linear 256x1024 to 1024 hot")[0])], CHIP, "quick", LLC)
    assert plain.row.fact.precision == "fp32"
    assert found.row.fact.precision == "int8"


def test_models_are_predicted_as_predictions_are() -> None:
    points = [model_point("resnet18"), model_point("bert-base", input_tokens=32),
              model_point("gpt2-small", "prefill", input_tokens=64, output_tokens=0),
              model_point("gpt2-small", "decode", input_tokens=64, output_tokens=16)]  # fmt: skip
    found, reasons = model_rows(points, CHIP)
    assert not reasons
    times = [
        float(stack_seconds(stack([own.row], "framework.cpu.eager"), Device(CHIP, "eager", {}))[0][0]) for own in found
    ]
    assert all(seconds > own.row.bound_seconds for seconds, own in zip(times, found, strict=True))
    assert times[2] > times[3]
    assert {own.group for own in found} == {"model"}


def test_what_cannot_be_predicted_has_a_reason() -> None:
    found, reasons = model_rows([model_point("no-such-model"), model_point("resnet18")], CHIP)
    assert len(found) == 1
    assert "no-such-model" in next(iter(reasons.values()))


def test_fewer_threads_are_another_chip() -> None:
    chip, _ = with_threads(CHIP, 4)
    fact = model_fact(model_point("resnet18", threads=4), chip)
    assert fact.hardware == "ryzen-9-7950x-4-threads"
    assert fact.model == "timm:resnet18"


def test_names_tell_phase_and_sizes() -> None:
    assert model_name(model_point("resnet18", batch=4)) == "resnet18, batch 4"
    assert model_name(model_point("gpt2-small", "prefill", input_tokens=128)) == "gpt2-small prefill, 128 tokens"
