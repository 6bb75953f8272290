"""Phases timed together are the phases timed one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.joining import joined
from perfmodel.layouts import Layout
from perfmodel.predict import explain, phase_sizes, predict
from perfmodel.preparing import prepare
from perfmodel.program import time_program
from perfmodel.uncertainty import phase_half_width, scope_share_rows

CASES = [
    ("llama-3.1-8b", "h100-sxm", "fp8", None),
    ("qwen3-30b-a3b", "mi300x", None, None),
    ("gemma-3-27b", "tpu-v5e", "w8a16", None),
    ("t5-base", "l4", None, None),
    ("llama-3.1-70b", "h100-sxm", None, Layout(tensor=4)),
]


@pytest.mark.parametrize(("model", "chip", "precision", "layout"), CASES)
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 300), st.integers(1, 9000), st.integers(1, 900))
def test_the_same_times_and_intervals(
    model: str, chip: str, precision: str | None, layout: Layout | None, batch: int, tokens_in: int, tokens_out: int
) -> None:
    prepared = prepare(model, chip, precision=precision, layout=layout)
    assert prepared.joined is not None
    values = {name: phase_sizes(name, batch, tokens_in, tokens_out) for name in prepared.programs}
    together = time_program(prepared.joined, values)
    shares = scope_share_rows(prepared.joined, together)
    widths = phase_half_width(prepared.joined, together, 0.8)
    largest: dict[str, float] = {}
    for place, (name, program) in enumerate(prepared.programs.items()):
        alone = time_program(program, values[name])
        for part in ("seconds", "compute_seconds", "memory_seconds", "network_seconds", "bound_seconds"):
            np.testing.assert_allclose(getattr(together, part)[place], getattr(alone, part), rtol=1e-12, atol=1e-20)
        np.testing.assert_allclose(widths[place], phase_half_width(program, alone, 0.8), rtol=1e-12)
        for scope, share in scope_share_rows(program, alone).items():
            largest[scope] = max(largest.get(scope, 0.0), float(share[0]))
    assert {scope: float(share[0]) for scope, share in shares.items()} == pytest.approx(largest, rel=1e-12)


def test_predictions_do_not_tell_whether_phases_were_joined() -> None:
    together = predict("llama-3.1-8b", "l40s", batch=3, input_tokens=777, output_tokens=55)
    apart = explain("llama-3.1-8b", "l40s", batch=3, input_tokens=777, output_tokens=55)  # op by op, phase by phase
    assert together.energy_joules == pytest.approx(apart.energy_joules, rel=1e-12)
    for name, phase in together.phases.items():
        assert phase.time.high == pytest.approx(apart.phases[name].time.high, rel=1e-12)
        assert phase.time.low == pytest.approx(apart.phases[name].time.low, rel=1e-12)


def test_single_phases_and_frameworks_stay_apart() -> None:
    assert prepare("bert-base", "h100-sxm").joined is None
    eager = prepare("llama-3.1-8b", "xeon-8480", runtime="eager")
    assert joined(eager.programs) is None
