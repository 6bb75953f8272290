"""Anchors: a prediction moves towards measured runs, by how much they share with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.anchoring import BOTH, DEVICE, MODEL, OWN, SCOPE, Anchor, Subject, anchored
from perfmodel.predict import predict

GEMM, STREAM = {"gemm.bf16": 1.0}, {"streaming": 1.0}


def subject(hardware: str = "a", model: str = "m", phase: str = "decode", sd: float = 0.2, **shares: float) -> Subject:
    return Subject(hardware=hardware, shares=shares or GEMM, sd=sd, model=model, phase=phase)


def test_parts_of_the_variance_add_up() -> None:
    assert pytest.approx(1.0) == DEVICE + SCOPE + MODEL + BOTH + OWN


def test_without_anchors_nothing_moves() -> None:
    assert anchored(subject(), ()) == (0.0, 0.2)


def test_the_more_is_shared_the_more_a_prediction_moves() -> None:
    slow = 0.3  # every anchor was measured 35 % slower than predicted
    target = subject("a", "m")
    kinds = [subject("a", "m"), subject("a", "other"), subject("b", "m"), subject("b", "other")]
    shifts = [anchored(target, [Anchor(subject=kind, log_ratio=slow)])[0] for kind in kinds]
    assert shifts[0] > shifts[1] > shifts[2] > shifts[3] == 0.0
    assert shifts[0] < slow
    left = [anchored(target, [Anchor(subject=kind, log_ratio=slow)])[1] for kind in kinds]
    assert left[0] < left[1] < left[2] < left[3] == pytest.approx(0.2)


def test_ops_of_the_same_kernels_speak_for_a_model() -> None:
    target = subject("a", "m", **{"gemm.bf16": 0.9, "streaming": 0.1})
    same, other = (Subject(hardware="a", shares=shares, sd=0.2) for shares in (GEMM, STREAM))
    assert (
        anchored(target, [Anchor(subject=same, log_ratio=0.3)])[0]
        > anchored(target, [Anchor(subject=other, log_ratio=0.3)])[0]
    )


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=12))
def test_many_runs_of_the_same_model_settle_it(errors: list[float]) -> None:
    anchors = [Anchor(subject=subject(), log_ratio=error) for error in errors]
    shift, left = anchored(subject(), anchors)
    assert min(0.0, *errors) - 1e-9 <= shift <= max(0.0, *errors) + 1e-9
    assert left <= 0.2
    more, less = anchored(subject(), anchors * 2)[1], left
    assert more <= less + 1e-12


def test_a_simulated_world_is_covered_and_better_predicted() -> None:
    """Errors drawn from the covariance that the rule assumes: anchored intervals hold their share."""
    random = np.random.default_rng(0)
    inside, before, after = [], [], []
    for _ in range(300):
        device, scope = (random.normal(0, 0.2 * part**0.5) for part in (DEVICE, SCOPE))
        anchor_error, truth = (device + scope + random.normal(0, 0.2 * (MODEL + BOTH + OWN) ** 0.5) for _ in range(2))
        shift, left = anchored(subject("a", "m"), [Anchor(subject=subject("a", "n"), log_ratio=anchor_error)])
        inside.append(abs(truth - shift) <= 1.2816 * left)
        before.append(abs(truth))
        after.append(abs(truth - shift))
    assert 0.73 <= np.mean(inside) <= 0.87
    assert np.mean(after) < 0.9 * np.mean(before)


def test_a_prediction_says_what_it_was_anchored_on() -> None:
    plain = predict("llama-3.1-8b", "h100-sxm", batch=4)
    measured = plain.phases["decode"].time.seconds * 1.4
    own = Anchor(subject=Subject(hardware="h100-sxm", shares=GEMM, sd=0.15, model="llama-3.1-8b", phase="decode"),
                 log_ratio=float(np.log(1.4)))  # fmt: skip
    found = predict("llama-3.1-8b", "h100-sxm", batch=4, anchors=[own])
    decode = found.phases["decode"].time
    assert plain.phases["decode"].time.seconds < decode.seconds <= measured
    assert decode.high / decode.low < plain.phases["decode"].time.high / plain.phases["decode"].time.low
    assert found.provenance["level"] == "anchored"
    assert found.provenance["anchors"] == {"runs": 1, "of_this_chip": 1}
    parts = decode.compute_seconds + decode.memory_seconds + decode.network_seconds + decode.overhead_seconds
    assert parts == pytest.approx(decode.seconds)
    elsewhere = predict("llama-3.1-8b", "l4", batch=4, anchors=[own])
    assert elsewhere.provenance["level"] != "anchored"


def test_no_anchor_pulls_below_the_physical_bound() -> None:
    own = Anchor(subject=Subject(hardware="h100-sxm", shares=GEMM, sd=2.0, model="llama-3.1-8b", phase="decode"),
                 log_ratio=-5.0)  # fmt: skip
    decode = predict("llama-3.1-8b", "h100-sxm", anchors=[own]).phases["decode"]
    assert decode.time.seconds >= decode.bound_seconds * (1 - 1e-9)
    assert decode.time.low >= decode.bound_seconds * (1 - 1e-9)


def test_one_odd_run_moves_less_than_its_error_says() -> None:
    """Up to the usual error the shift grows with it; a run ten times slower is odd, and most of it is its own."""
    target = subject("a", "m")

    def gain(error: float) -> float:
        return anchored(target, [Anchor(subject=subject("a", "other"), log_ratio=error)])[0] / error

    assert gain(0.1) == pytest.approx(gain(0.15), rel=0.05)
    assert gain(2.3) < 0.75 * gain(0.1)


def test_runs_that_agree_are_believed_however_far_they_are_off() -> None:
    anchors = [Anchor(subject=subject("a", f"m{place}"), log_ratio=1.5) for place in range(6)]
    shift, _ = anchored(subject("a", "m"), anchors)
    assert 0.5 < shift < 1.5
