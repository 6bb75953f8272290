"""Fitting programs measured on one CPU: known coefficients, robustness, intervals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")

from perfmodel.calibration.framework_rows import stack, stack_seconds
from perfmodel.calibration.local_fit import fit_runs, log_ratios, with_intervals
from perfmodel.calibration.run_rows import RunRow, program_rows
from perfmodel.catalog import load_hardware
from perfmodel.coefficients import Coefficient
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES
from perfmodel.kernels import Device
from perfmodel.kernels.cpu_network import EXCESS, LAST_CACHE, SLOWDOWN, START
from perfmodel.measuring.programs import suite_programs

pytestmark = pytest.mark.torch
SCOPE = "framework.cpu.eager"
CHIP = load_hardware("ryzen-9-7950x")
LLC = 64 << 20
WANTED = r"^(block|deep)|single linear (64|128|256)|single convolution 1x\d+x(14|28)x"
TRUTH = {
    SLOWDOWN["linear"].name: 3.0, SLOWDOWN["convolution_3x3"].name: 1.5, START["light"].name: 9e-6,
    EXCESS["linear"].name: 0.8, LAST_CACHE.name: 0.6, SLOWDOWN["pointwise_convolution"].name: 2.5,
}  # fmt: skip


@cache
def rows() -> tuple[RunRow, ...]:
    """Programs with the times that TRUTH gives them."""
    points = [
        {"program": own.name, "group": own.group, "dtype": "fp32", "threads": 16, "runtime": "eager", "seconds": 1.0}
        for own in suite_programs("quick", "fp32", LLC, WANTED)
    ]
    read = program_rows(points, CHIP, "quick", LLC)
    overrides = {f"{SCOPE}:{name}": Coefficient(name, value, 0.0, "fit", "") for name, value in TRUTH.items()}
    seconds = stack_seconds(stack([own.row for own in read], SCOPE), Device(CHIP, "eager", overrides))[0]
    return tuple(timed(own, float(value)) for own, value in zip(read, seconds, strict=True))


def timed(own: RunRow, seconds: float) -> RunRow:
    return replace(own, row=replace(own.row, fact=replace(own.row.fact, value_seconds=seconds)))


def test_known_coefficients_are_recovered() -> None:
    fitted = fit_runs(SCOPE, rows(), CHIP)
    assert np.median(np.abs(np.expm1(log_ratios(rows(), fitted, CHIP)))) < 0.01
    found = dict(zip(fitted.names, fitted.priors * np.exp(fitted.pooled), strict=True))
    for name in (SLOWDOWN["linear"].name, SLOWDOWN["convolution_3x3"].name, SLOWDOWN["pointwise_convolution"].name):
        assert found[name] == pytest.approx(TRUTH[name], rel=0.1)


def test_programs_left_out_are_predicted() -> None:
    kept, left = [own for place, own in enumerate(rows()) if place % 4], list(rows()[::4])
    assert np.median(np.abs(np.expm1(log_ratios(left, fit_runs(SCOPE, kept, CHIP), CHIP)))) < 0.05


def test_a_run_far_off_does_not_pull() -> None:
    odd = [timed(own, own.row.fact.value_seconds * (50.0 if place == 3 else 1.0)) for place, own in enumerate(rows())]
    plain, pulled = (fit_runs(SCOPE, own, CHIP) for own in (rows(), odd))
    others = [own for place, own in enumerate(rows()) if place != 3]
    errors = [np.median(np.abs(log_ratios(others, fitted, CHIP))) for fitted in (plain, pulled)]
    assert errors[1] < errors[0] + 0.02


def test_what_no_run_tells_stays_at_its_prior() -> None:
    fitted = fit_runs(SCOPE, rows(), CHIP)
    place = fitted.names.index(START["resize"].name)
    assert fitted.pooled[place] == pytest.approx(0, abs=1e-6)
    assert fitted.stays[place]
    assert not fitted.stays[fitted.names.index(SLOWDOWN["linear"].name)]


def test_intervals_widen_with_the_noise_and_for_other_chips() -> None:
    random = np.random.default_rng(1)
    noisy = [timed(own, own.row.fact.value_seconds * float(np.exp(random.normal(0, 0.2)))) for own in rows()]
    widths = []
    for own in (rows(), noisy):
        fitted = with_intervals(fit_runs(SCOPE, own, CHIP), own, CHIP)
        device, other = (fitted.widths[level, "any"].by_regime[0] for level in ("device", "datasheet"))
        assert np.all(np.diff(device) >= 0)
        assert np.all(other > device)
        widths.append(device[SHARES.index(0.8)])
    assert widths[1] > 2 * widths[0]


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(InputError, match="3 runs are too few"):
        fit_runs(SCOPE, rows()[:3], CHIP)
