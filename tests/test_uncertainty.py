"""From intervals of ops to the interval of a phase."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.coefficients import Coefficient
from perfmodel.fitted_scopes import REGIMES, Widths
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.networks import calibrated_scope
from perfmodel.predict import predict_arrays
from perfmodel.preparing import prepare
from perfmodel.program import compile_graph, time_program
from perfmodel.uncertainty import composed, op_half_widths, phase_half_width, prior_spread, regimes, scope_shares

ops = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8)


@given(st.lists(st.tuples(ops, st.floats(0.0, 1.0)), min_size=1, max_size=5))
def test_composition_lies_between_independent_and_equal_errors(scopes: list[tuple[list[float], float]]) -> None:
    parts = [np.array(own) for own, _ in scopes]
    added, squared = np.array([[own.sum()] for own in parts]), np.array([[(own**2).sum()] for own in parts])
    found = float(composed(added, squared, np.array([[correlation] for _, correlation in scopes]))[0])
    everything = np.concatenate(parts)
    assert np.sqrt((everything**2).sum()) * (1 - 1e-9) <= found <= everything.sum() * (1 + 1e-9)


def constant(half_width: float, correlation: float = 1.0) -> Widths:
    return Widths("device", np.full((len(REGIMES), 6), half_width), correlation)


def test_a_phase_is_never_less_sure_than_its_least_sure_kernels() -> None:
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    program = prepared.programs["decode"]
    times = time_program(program, {"batch": 4, "tokens": 1, "context": 512})
    scopes = {group.scope for group in program.groups}
    widths = {scope: constant(0.2) for scope in scopes}
    measured = replace(program, device=replace(program.device, widths=widths))
    (found,) = phase_half_width(measured, times, 0.8)
    assert 0.0 < found <= 0.2
    narrow = replace(program, device=replace(program.device, widths={scope: constant(0.1) for scope in scopes}))
    assert phase_half_width(narrow, times, 0.8)[0] == pytest.approx(found / 2, rel=1e-6)


def test_a_host_that_was_fitted_with_the_kernels_is_missed_as_they_are() -> None:
    scope = calibrated_scope("eager", "bf16")
    own = {f"{scope}:{HOST_SECONDS.name}": Coefficient("", 8e-6, 0.001, "device", "")}
    prepared = prepare("timm:resnet18", "h100-sxm", precision="bf16", runtime="eager")
    device = replace(prepared.device, overrides=own, widths={scope: constant(0.2)})
    program = compile_graph(prepared.programs["forward"].graph, device)
    for batch in (1, 30, 512):  # the host sets the pace, both do, the kernels do
        times = time_program(program, {"batch": batch})
        assert phase_half_width(program, times, 0.8)[0] == pytest.approx(0.2, rel=1e-6)


def test_measured_widths_go_by_scope_and_regime() -> None:
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    program = prepared.programs["prefill"]
    times = time_program(program, {"batch": 1, "tokens": 4096, "context": 4096})
    by_regime = Widths("device", np.array([[0.1] * 6, [0.2] * 6, [0.3] * 6]), 0.5)
    for group, kernel in zip(program.groups, times.kernels, strict=True):
        device = replace(program.device, widths={group.scope: by_regime})
        found = op_half_widths(kernel, group.scope, device, 0.8)
        np.testing.assert_allclose(found, np.array([0.1, 0.2, 0.3])[regimes(kernel)])
        without = replace(program.device, widths={})
        np.testing.assert_allclose(op_half_widths(kernel, group.scope, without, 0.8), 1.2815516 * prior_spread(kernel))


def test_shares_of_scopes_add_up() -> None:
    program = prepare("llama-3.1-8b", "h100-sxm").programs["decode"]
    times = time_program(program, {"batch": 1, "tokens": 1, "context": 100})
    assert sum(scope_shares(program, times).values()) == pytest.approx(1.0)


def test_intervals_hold_the_prediction_and_grow_with_the_level() -> None:
    prepared = prepare("qwen2.5-7b", "b200")
    batch = np.array([1, 16, 256])
    narrow, wide = (predict_arrays(prepared, batch=batch, level=level) for level in (0.5, 0.95))
    for phase in ("prefill", "decode"):
        assert (narrow[f"{phase}_low"] <= narrow[f"{phase}_seconds"]).all()
        assert (narrow[f"{phase}_high"] < wide[f"{phase}_high"]).all()
        assert (wide[f"{phase}_low"] <= narrow[f"{phase}_low"]).all()
