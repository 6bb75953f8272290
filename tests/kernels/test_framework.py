"""Times of a framework's kernels: bounds, monotonicity, and when the form is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import cpu, gpu, linear, times
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import load_hardware, load_model, predict
from perfmodel.coefficients import Coefficient
from perfmodel.graphs.rewrite import in_scheme
from perfmodel.kernels import Device
from perfmodel.kernels.framework import EXCESS, FITTED, SLOWDOWN, framework_scope, time_framework, uses_framework_form
from perfmodel.precisions import find_scheme
from perfmodel.program import compile_graph, program_parts, time_program

VIT = load_model("google-vit-base-patch16-224")


@pytest.mark.parametrize(
    ("kind", "runtime", "dtypes", "cache", "used"),
    [
        ("gpu", "eager", ("fp16",), False, True),
        ("gpu", "compiled", ("tf32", "bf16"), False, True),
        ("gpu", "graphs", ("fp16",), False, False),
        ("gpu", "eager", ("fp32",), False, False),
        ("gpu", "eager", ("fp16", "int8"), False, False),
        ("gpu", "eager", ("fp16",), True, False),
        ("gpu", "eager", (), False, False),
        ("cpu", "compiled", ("fp32",), False, True),
        ("tpu", "compiled", ("bf16",), False, False),
    ],
)
def test_where_the_form_is_used(kind: Any, runtime: str, dtypes: tuple[str, ...], cache: bool, used: bool) -> None:
    assert uses_framework_form(replace(gpu(), kind=kind), runtime, dtypes, has_cache=cache) is used


coefficients = st.fixed_dictionaries({own.name: st.floats(1e-6, 30.0) for own in FITTED})


@given(coefficients, st.sampled_from(["rtx-3090", "i9-10940x", "h100-sxm"]), st.sampled_from([1, 7, 256]))
def test_no_time_is_below_the_bound(values: dict[str, float], chip: str, batch: int) -> None:
    """Whatever a fit makes of the coefficients."""
    hardware = load_hardware(chip)
    overrides = {name: Coefficient(name, value, 0.1, "fit", "") for name, value in values.items()}
    graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme("amp-fp16"))
    if hardware.kind == "cpu":
        graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme("fp32"))
    program = compile_graph(graph, Device(hardware, "eager", overrides))
    assert all(group.classes for group in program.groups)
    timed = time_program(program, {"batch": batch})
    for kernel, bound in zip(timed.kernels, timed.bounds, strict=True):
        assert np.all(kernel.seconds >= np.asarray(bound) * (1 - 1e-9))


@given(coefficients, st.integers(0, len(FITTED) - 1))
def test_sensitivities_are_slopes(values: dict[str, float], moved: int) -> None:
    """Signed, unlike the spread needs them: a fit goes by them."""
    graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme("fp16"))
    hardware = load_hardware("rtx-3090")

    def seconds(step: float) -> tuple[float, float]:
        own = {name: value * np.exp(step * (name == FITTED[moved].name)) for name, value in values.items()}
        device = Device(hardware, "eager", {name: Coefficient(name, v, 0.1, "fit", "") for name, v in own.items()})
        program = compile_graph(graph, device)
        total = slope = 0.0
        for group, parts in program_parts(program, {"batch": 8}):
            kernel = time_framework(parts, device)
            total += float(group.repeats @ kernel.seconds[:, 0])
            slope += sum(
                float(group.repeats @ np.broadcast_to(part, kernel.seconds.shape)[:, 0])
                for coefficient, part in kernel.sensitivities
                if coefficient.name == FITTED[moved].name
            )
        return total, slope

    low, high = seconds(-1e-4)[0], seconds(1e-4)[0]
    total, slope = seconds(0.0)
    assert (high - low) / 2e-4 == pytest.approx(slope, rel=1e-3, abs=1e-6 * total)


def test_a_power_limited_chip_is_slower_at_the_same_peak() -> None:
    free, capped = (times(linear(4096, 4096), replace(gpu(), power_watts=watts, process_nm=5.0, cores=100,
                                                      clock_hertz=2e9, vendor="NVIDIA"), "eager",
                          batch=64, tokens=512) for watts in (2000.0, 100.0))  # fmt: skip
    assert capped.compute_seconds[0] > free.compute_seconds[0]


def test_better_hardware_is_never_slower() -> None:
    chip = load_hardware("rtx-3090")
    base = predict("google-vit-base-patch16-224", chip, precision="fp16", batch=64).seconds
    for better in (
        replace(chip, memory_bandwidth_bytes_per_second=chip.memory_bandwidth_bytes_per_second * 2),
        replace(chip, peaks={key: 2 * rate for key, rate in chip.peaks.items()}),
    ):
        assert predict("google-vit-base-patch16-224", better, precision="fp16", batch=64).seconds <= base


def test_scopes_differ_by_kind_and_runtime() -> None:
    scopes = {framework_scope(chip, runtime) for chip in (gpu(), cpu()) for runtime in ("eager", "compiled")}
    assert len(scopes) == 4
    assert len({own.name for own in (*EXCESS.values(), *SLOWDOWN.values())}) == len(EXCESS) + len(SLOWDOWN)
