"""How time grows with size: exponents, regimes, crossings."""

from __future__ import annotations

import csv
import math
from itertools import pairwise

import pytest
from calibration.files import shared
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import Layout, PerfmodelError, predict, scale
from perfmodel.planning.scaling import SizePoint, crossing, exponent, size_lines
from perfmodel.types import OpTime

CHIPS = ("h100-sxm", "l4", "tpu-v5e", "mi300x", "xeon-8480")
positive = st.floats(1e-6, 1e3)


def point(parameters: int, *, model: str = "m", **parts: float) -> SizePoint:
    seconds = sum(parts.values())
    time = OpTime(
        seconds=seconds, low=seconds, high=seconds, **{f"{name}_seconds": each for name, each in parts.items()}
    )
    return SizePoint(
        model=model, parameters=parameters, time=time, rate_per_second=1.0, memory_bytes=1.0, fits=True
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- formulas


@given(st.floats(-0.5, 2.0), st.integers(10**6, 10**9), st.floats(1.2, 1000.0))
def test_a_power_law_gives_its_exponent(power: float, parameters: int, factor: float) -> None:
    small, larger = parameters, round(parameters * factor)
    found = exponent(point(small, memory=1.0), point(larger, memory=(larger / small) ** power))
    assert found == pytest.approx(power, abs=1e-9)


def test_no_exponent_between_models_of_one_size() -> None:
    assert exponent(point(100, memory=1.0), point(100, memory=2.0)) is None
    assert exponent(point(100, memory=1.0), point(104, memory=2.0)) is None
    assert exponent(point(100, memory=1.0), point(106, memory=2.0)) is not None


@given(positive, positive, st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_crossing_lies_between_its_neighbours(a: float, b: float, left: float, right: float) -> None:
    small = point(10**8, overhead=a, memory=a * left)
    large = point(10**9, overhead=b * right, memory=b)
    found = crossing(small, large)
    assert small.parameters < found.parameters < large.parameters
    assert (found.below, found.above) == ("overhead", "memory")
    ends = sorted((small.time.seconds, large.time.seconds))
    assert ends[0] * (1 - 1e-9) <= found.seconds <= ends[1] * (1 + 1e-9)


def test_crossing_of_constant_launches_and_proportional_memory_is_exact() -> None:
    # 1 ms of launches at any size, 1 ms of memory at 10^9 parameters
    small, large = point(10**8, overhead=1e-3, memory=1e-4), point(10**10, overhead=1e-3, memory=1e-2)
    assert crossing(small, large).parameters == pytest.approx(1e9)


def test_crossing_with_nothing_to_interpolate_is_the_middle() -> None:
    found = crossing(point(10**8, overhead=1e-3), point(10**10, memory=1e-3))
    assert found.parameters == pytest.approx(1e9)


# ---------------------------------------------------------------------------------------- physics


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt3", "opt"])
def test_decode_grows_with_size_and_never_faster_than_weights(family: str) -> None:
    lines = scale(family, CHIPS, phase="decode", precision="bf16")
    assert [line.request.hardware for line in lines] == list(CHIPS)
    for line in lines:
        seconds = [each.time.seconds for each in line.points]
        assert seconds == sorted(seconds)
        assert all(-0.1 < each.exponent < 1.3 for each in line.points[1:] if each.exponent is not None)
        assert line.points[-1].time.bound == "memory"  # a step for one sequence reads all weights


def test_prefill_of_long_prompts_is_compute_bound() -> None:
    (line,) = scale("llama", "h100-sxm", phase="prefill", input_tokens=4096)
    assert {each.time.bound for each in line.points} == {"compute"}
    assert len(line.regimes) == 1
    assert line.crossings == ()
    assert 0.8 < line.exponent < 1.05


def test_small_models_are_launch_bound_on_a_fast_chip_and_gain_less() -> None:
    (line,) = scale("gpt3", "h100-sxm", phase="decode", precision="bf16")
    assert [regime.bound for regime in line.regimes] == ["overhead", "memory"]
    launching, moving = line.regimes
    assert 0 < launching.halving_gain < moving.halving_gain <= 0.5
    assert 0.3e9 < line.crossings[0].parameters < 3e9


def test_launches_reach_further_on_several_devices() -> None:
    one, eight = (scale("llama", "h100-sxm", phase="decode", layout=Layout(tensor=devices))[0] for devices in (1, 8))
    assert eight.exponent < one.exponent
    assert [regime.bound for regime in one.regimes] == ["memory"]
    assert eight.regimes[0].bound == "overhead"


def test_vision_transformers_of_twelve_layers_take_nearly_the_same_time() -> None:
    (line,) = scale("vit", "h100-sxm")
    assert line.phase == "forward"
    assert line.points[1].exponent < 0.3 < line.points[-1].exponent


# ---------------------------------------------------------------------------------------- lines


def test_lines_agree_with_predictions() -> None:
    (line,) = scale("bert-large,bert-base", "l4", batch=4)
    assert [each.model for each in line.points] == ["bert-base", "bert-large"]
    for each in line.points:
        alone = predict(each.model, "l4", batch=4)
        assert each.time == alone.phases["forward"].time
        assert each.rate_per_second == alone.throughput["samples"]
        assert (each.parameters, each.memory_bytes) == (alone.parameters, alone.memory_bytes["total"])
    assert line.family == ""
    assert line.exponent == line.points[1].exponent


def test_regimes_cover_the_line_and_crossings_part_them() -> None:
    for line in scale("gpt3,t5", ("h100-sxm", "l4"), precision="bf16"):
        places = [place for regime in line.regimes for place in range(regime.first, regime.last + 1)]
        assert places == list(range(len(line.points)))
        assert len(line.crossings) == len(line.regimes) - 1
        for (a, b), each in zip(pairwise(line.regimes), line.crossings, strict=True):
            assert (each.below, each.above) == (a.bound, b.bound)
            assert line.points[a.last].parameters <= each.parameters <= line.points[b.first].parameters
        for regime in line.regimes:
            assert regime.halving_gain == pytest.approx(1 - math.exp(-math.log(2) * regime.exponent))


def test_each_family_and_each_way_to_ask_has_a_line() -> None:
    lines = scale("gpt-2,opt,bert-base", "a100-sxm-80gb", precision="fp16")
    assert [(line.family, line.phase, len(line.points)) for line in lines] == [
        ("gpt-2", "prefill", 4), ("opt", "prefill", 7), ("gpt-2", "decode", 4), ("opt", "decode", 7),
        ("", "forward", 1),
    ]  # fmt: skip
    predictions = [predict(name, "l4", batch=batch) for name in ("gpt2-small", "gpt2-xl") for batch in (1, 8)]
    lines = size_lines(predictions, "decode")
    assert [(line.request.batch, len(line.points)) for line in lines] == [(1, 2), (8, 2)]


def test_mistakes_are_those_of_predict() -> None:
    with pytest.raises(PerfmodelError, match="unknown model"):
        scale("gpt-2,lama", "l4")
    assert scale("gpt-2", "l4", phase="forward") == ()


# ---------------------------------------------------------------------------------------- measured


@pytest.mark.torch
def test_growth_of_resnets_is_as_measured() -> None:
    (path,) = shared("timm/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["infer_img_size"] == "224"]
    (line,) = scale("resnet", "rtx-3090", precision="amp-fp16", batch=1024)
    measured = {row["model"].partition(".")[0]: row for row in rows if row["infer_batch_size"] == "1024"}
    for a, b in pairwise(line.points):
        seconds = [float(measured[each.model.replace("-", "")]["infer_step_time"]) for each in (a, b)]
        steps = [float(measured[each.model.replace("-", "")]["param_count"]) for each in (a, b)]
        assert b.exponent == pytest.approx(math.log(seconds[1] / seconds[0]) / math.log(steps[1] / steps[0]), abs=0.25)
