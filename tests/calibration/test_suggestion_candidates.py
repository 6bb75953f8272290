"""What is suggested for real models: programs of their kernels, the models themselves, smaller sizes of them."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import itertools

from perfmodel.calibration.run_rows import MODEL
from perfmodel.calibration.suggestion_candidates import (
    ANCHORS,
    PROGRAM,
    Suggestions,
    program_seconds,
    suggest_runs,
)
from perfmodel.catalog import load_hardware
from perfmodel.errors import UnsupportedError
from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.whole_models import Case, read_case
from perfmodel.predict import predict
from perfmodel.types import Hardware

pytestmark = pytest.mark.torch
# a CPU that no coefficients were fitted to, and a few programs of unlike kernels
CPU = "epyc-9755"
PATTERN = r"^single (linear 64x|convolution 3|softmax|row norm)|^deep 40 mlp 1x1x|^block . (mlp|attention)"


@pytest.fixture(scope="module")
def chip() -> Hardware:
    return load_hardware(CPU)


def case_of(chip: Hardware, source: str = "gpt2-small", **sizes: int) -> Case:
    return read_case(source, Sizes(**sizes), precision="fp32", threads=chip.cores)


@pytest.fixture(scope="module")
def found(chip: Hardware) -> Suggestions:
    return suggest_runs(case_of(chip, batch=2, input_tokens=128, output_tokens=64), chip, 6, pattern=PATTERN)


def test_the_phases_are_those_of_a_prediction(chip: Hardware, found: Suggestions) -> None:
    predicted = predict(
        "gpt2-small", chip, precision="fp32", runtime="eager", batch=2, input_tokens=128, output_tokens=64
    )
    assert [phase.name for phase in found.phases] == ["prefill", "decode"]
    for phase in found.phases:
        assert phase.seconds == pytest.approx(predicted.phases[phase.name].time.seconds, rel=1e-6)


def test_every_run_narrows_the_interval(found: Suggestions) -> None:
    halves = [found.half_width, *(own.together for own in found.runs)]
    assert len(found.runs) == 6
    assert all(after < before for before, after in itertools.pairwise(halves))
    assert 0 < found.floor < found.half_width


def test_the_model_itself_comes_first_and_programs_stop_at_the_floor(found: Suggestions) -> None:
    assert found.runs[0].candidate.kind == MODEL
    assert found.runs[0].alone < found.floor
    assert all(own.alone >= found.floor for own in found.runs if own.candidate.kind in (PROGRAM, ANCHORS))


def test_smaller_sizes_are_considered_and_take_less_time(found: Suggestions) -> None:
    own = {own.candidate.sizes: own.candidate.run.seconds for own in found.runs if own.candidate.sizes}
    asked = Sizes(batch=2, input_tokens=128, output_tokens=64)
    assert set(own) - {asked}
    assert all(seconds < own.get(asked, float("inf")) for sizes, seconds in own.items() if sizes != asked)


def test_programs_of_the_models_kernels_come_before_others(found: Suggestions) -> None:
    programs = [own.candidate.name for own in found.runs if own.candidate.kind == PROGRAM]
    assert programs
    assert "mlp" in programs[0] or "linear" in programs[0]


def test_a_program_is_expected_to_take_its_budget_or_five_samples() -> None:
    assert program_seconds(1e-3, "quick") == pytest.approx(0.13, abs=0.01)
    assert program_seconds(0.1, "quick") == pytest.approx(0.07 + 0.7)
    assert program_seconds(1e-3, "full") > program_seconds(1e-3, "quick")


def test_programs_alone_never_go_below_the_floor(chip: Hardware, found: Suggestions) -> None:
    case = case_of(chip, batch=2, input_tokens=128, output_tokens=64)
    programs = suggest_runs(case, chip, 50, pattern="^deep 40 mlp 1x1x", whole=False)
    assert programs.floor == pytest.approx(found.floor)
    assert {own.candidate.kind for own in programs.runs} == {PROGRAM}
    assert programs.floor <= programs.runs[-1].together < programs.half_width


def test_a_model_larger_than_the_memory_is_not_suggested_and_why_is_told() -> None:
    small = load_hardware("raspberry-pi-5")
    case = read_case("llama-3.1-8b", Sizes(input_tokens=16), precision="fp32", threads=small.cores)
    found = suggest_runs(case, small, 3, pattern="^deep 40 mlp 1x1x")
    assert all(own.candidate.kind != MODEL for own in found.runs)
    assert "GiB of memory" in found.skipped["llama-3.1-8b, 16 + 128 tokens"]


def test_what_cannot_be_suggested_is_refused_with_all_reasons() -> None:
    case = read_case("gpt2-small", Sizes(), precision="amp-bf16", threads=1, runtime="compiled")
    with pytest.raises(UnsupportedError, match=r"is no CPU.*amp-bf16.*compiled code"):
        suggest_runs(case, load_hardware("h100-sxm"), 3)
