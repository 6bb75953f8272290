"""Whole networks in a framework: which form times them, bounds, and slopes, on GPUs and CPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import cpu, experts, gpu, linear
from hypothesis import assume, given
from hypothesis import strategies as st

from perfmodel import load_hardware, load_model
from perfmodel.coefficients import Coefficient
from perfmodel.graphs.rewrite import in_scheme
from perfmodel.kernels import Device
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.networks import calibrated_scope, fitted_priors, has_own_kernels, network_scope, time_parts
from perfmodel.precisions import find_scheme
from perfmodel.program import Program, compile_graph, program_parts, time_program

VIT = load_model("google-vit-base-patch16-224")
PRECISIONS = {"rtx-3090": "fp16", "h100-sxm": "amp-fp16", "i9-10940x": "fp32", "epyc-9654": "bf16"}
NAMES = sorted({own.name for scope in ("framework.gpu.eager", "framework.cpu.eager") for own in fitted_priors(scope)})
coefficients = st.fixed_dictionaries({name: st.floats(1e-6, 30.0) for name in NAMES})
chips = st.sampled_from(sorted(PRECISIONS))


@pytest.mark.parametrize(
    ("kind", "runtime", "dtypes", "cache", "scope"),
    [
        ("gpu", "eager", ("fp16",), False, "framework.gpu.eager"),
        ("gpu", "compiled", ("tf32", "bf16"), False, "framework.gpu.compiled"),
        ("gpu", "graphs", ("fp16",), False, ""),
        ("gpu", "eager", ("fp32",), False, ""),
        ("gpu", "eager", ("fp16", "int8"), False, ""),
        ("gpu", "eager", ("fp16",), True, ""),
        ("gpu", "eager", (), False, ""),
        ("cpu", "compiled", ("fp32",), False, "framework.cpu.compiled"),
        ("cpu", "eager", ("fp32",), True, "framework.cpu.eager"),
        ("cpu", "eager", ("fp32", "bf16"), False, "framework.cpu.eager.bf16"),
        ("cpu", "eager", ("fp8",), False, ""),
        ("cpu", "graphs", ("fp32",), False, ""),
        ("tpu", "compiled", ("bf16",), False, ""),
    ],
)
def test_where_a_form_is_used(kind: Any, runtime: str, dtypes: tuple[str, ...], cache: bool, scope: str) -> None:
    assert network_scope(replace(gpu(), kind=kind), runtime, dtypes, has_cache=cache) == scope


@pytest.mark.parametrize(
    ("dtypes", "kept", "fitted", "scope"),
    [
        (("fp32",), (), "fp32", "framework.gpu.eager.fp32"),
        (("fp32", "bf16"), (), "bf16", "framework.gpu.eager.bf16"),
        (("bf16",), (), "fp32", "framework.gpu.eager"),
        (("fp16", "int8"), (), "fp16", ""),
        ((), ("fp16", "fp32", "int64"), "fp16", "framework.gpu.eager.fp16"),
        ((), ("fp32",), "tf32", "framework.gpu.eager.tf32"),
        ((), ("fp32",), "bf16", ""),
    ],
)
def test_a_gpu_that_was_calibrated_goes_by_its_own(
    dtypes: tuple[str, ...], kept: tuple[str, ...], fitted: str, scope: str
) -> None:
    own = {calibrated_scope("eager", fitted)}
    for has_cache in (False, True):
        found = network_scope(gpu(), "eager", dtypes, has_cache=has_cache, kept=kept, fitted=own)
        assert found == ("" if has_cache and scope == "framework.gpu.eager" else scope)
    assert network_scope(gpu(), "graphs", dtypes, has_cache=False, kept=kept, fitted=own) == ""
    assert not network_scope(cpu(), "eager", ("fp32",), has_cache=False, fitted=own).startswith("framework.gpu")


def test_what_the_host_takes_belongs_to_a_gpus_own_fit() -> None:
    assert HOST_SECONDS in fitted_priors(calibrated_scope("compiled", "fp16"))
    assert HOST_SECONDS not in fitted_priors("framework.gpu.compiled")
    graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme("fp16"))
    scope, name = calibrated_scope("eager", "fp16"), HOST_SECONDS.name
    times = []
    for value in (5e-6, 5e-4):
        own = {f"{scope}:{name}": Coefficient(f"{scope}:{name}", value, 0.01, "device", "")}
        program = compile_graph(graph, Device(load_hardware("h100-sxm"), "eager", own))
        assert (program.network, program.host_coefficient.value) == (scope, value)
        times.append(float(time_program(program, {"batch": 1}).seconds[0]))
    assert times[1] > 5 * times[0]


def test_recurrent_layers_have_kernels_of_their_own_on_gpus_alone() -> None:
    assert has_own_kernels("recurrent", network_scope(gpu(), "eager", ("fp16",), has_cache=False))
    assert not has_own_kernels("recurrent", network_scope(cpu(), "eager", ("fp32",), has_cache=False))


def program_on(chip: str, values: dict[str, float], runtime: str = "eager") -> Program:
    overrides = {name: Coefficient(name, value, 0.1, "fit", "") for name, value in values.items()}
    graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme(PRECISIONS[chip]))
    return compile_graph(graph, Device(load_hardware(chip), runtime, overrides))


@given(coefficients, chips, st.sampled_from(["eager", "compiled"]), st.sampled_from([1, 7, 256]))
def test_no_time_is_below_the_bound(values: dict[str, float], chip: str, runtime: str, batch: int) -> None:
    """Whatever a fit makes of the coefficients."""
    program = program_on(chip, values, runtime)
    assert all(group.classes for group in program.groups)
    timed = time_program(program, {"batch": batch})
    assert np.all(timed.op_seconds >= timed.bounds * (1 - 1e-9))


@given(coefficients, chips, st.sampled_from(NAMES))
def test_sensitivities_are_slopes(values: dict[str, float], chip: str, moved: str) -> None:
    """Signed, unlike the spread needs them: a fit goes by them."""
    scope = "framework.cpu.eager" if load_hardware(chip).kind == "cpu" else "framework.gpu.eager"
    assume(moved in {own.name for own in fitted_priors(scope)})

    def seconds(step: float) -> tuple[float, float]:
        program = program_on(chip, {name: value * np.exp(step * (name == moved)) for name, value in values.items()})
        total = slope = 0.0
        for group, parts in program_parts(program, {"batch": 8}):
            kernel = time_parts(parts, program.device)
            total += float(group.repeats @ kernel.seconds[:, 0])
            slope += sum(
                float(group.repeats @ np.broadcast_to(part, kernel.seconds.shape)[:, 0])
                for coefficient, part in kernel.sensitivities
                if coefficient.name == moved
            )
        return total, slope

    low, high = seconds(-1e-4)[0], seconds(1e-4)[0]
    total, slope = seconds(0.0)
    assert (high - low) / 2e-4 == pytest.approx(slope, rel=1e-3, abs=1e-6 * total)


def test_what_fits_into_a_cpus_caches_is_faster() -> None:
    chip = load_hardware("i9-10940x")
    graph = in_scheme(VIT.phases["forward"], find_scheme(VIT.precision), find_scheme("fp32"))

    def seconds(cache: float) -> float:
        figures = {name: figure for name, figure in chip.figures.items() if not name.startswith("caches")}
        own = replace(chip, l2_bytes=cache, figures=figures)
        return float(time_program(compile_graph(graph, Device(own, "eager", {})), {"batch": 1}).seconds[0])

    times = [seconds(cache) for cache in (0.0, 4e6, 40e6, 4e9)]
    assert times == sorted(times, reverse=True)
    assert times[-1] < times[0]


def test_prior_names_are_of_one_form_each() -> None:
    gpu_names, cpu_names = ({own.name for own in fitted_priors(f"framework.{kind}.eager")} for kind in ("gpu", "cpu"))
    assert not gpu_names & cpu_names


def test_weights_are_packed_for_more_than_a_row() -> None:
    """A decode step multiplies each weight, and each expert's, by a row or less; a prompt by many."""
    chip = cpu(l2_bytes=0)
    for graph in (linear(64, 128), experts(8, 2, 128, 64)):
        device = Device(chip, "eager", {})
        packed = [
            float(program_parts(compile_graph(graph, device), {"batch": rows})[0][1].packed_seconds.sum())
            for rows in (1, 64)
        ]
        assert packed[0] == 0
        assert packed[1] > 0
