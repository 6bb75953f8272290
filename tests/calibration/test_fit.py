"""Known coefficients are recovered; few rows leave the prior alone; a device left out stands on the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import gpu

from perfmodel.calibration.fit import fit_rows
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import row_seconds, time_rows
from perfmodel.coefficients import Coefficient, declared_priors
from perfmodel.kernels import Device
from perfmodel.types import Hardware

PRIORS = {prior.name: prior for prior in declared_priors()}
FITTED = tuple(PRIORS[name] for name in ("gemm.launch_seconds", "gemm.compute_efficiency", "gemm.memory_efficiency"))


def linear_rows(chip: Hardware, count: int, seed: int = 0) -> OpRows:
    random = np.random.default_rng(seed)
    m, n, k = (np.exp2(random.uniform(low, high, count)).round() for low, high in ((0, 14), (9, 14), (9, 14)))
    return OpRows(
        source="test", file="test.csv", hardware=chip.id, engine="test", version="", kernel="", runtime="graphs",
        kind="linear", precision="bf16",
        flags={"activation": "bf16", "output": "bf16", "compute": "bf16", "quantize_input": False, "grouped": False},
        sizes={"m": m, "n": n, "k": k, "weight_bytes": 2 * n * k},
        seconds=np.ones(count), rows=np.arange(1, count + 1),
    )  # fmt: skip


def measured(rows: OpRows, chip: Hardware, truth: dict[str, float], noise: float = 0.03, seed: int = 1) -> OpRows:
    overrides = {name: Coefficient(name, value, 0.0, "truth", "") for name, value in truth.items()}
    seconds = row_seconds(rows, Device(chip, "graphs", overrides))
    return replace(rows, seconds=seconds * np.exp(np.random.default_rng(seed).normal(0, noise, len(rows))))


def test_known_coefficients_are_recovered_to_five_percent() -> None:
    chip = gpu()
    truth = {"gemm.launch_seconds": 3.5e-6, "gemm.compute_efficiency": 0.74, "gemm.memory_efficiency": 0.86}
    fitted = fit_rows([measured(linear_rows(chip, 2000), chip, truth)], {chip.id: chip}, FITTED)
    found = fitted.coefficients(chip.id)
    for name, value in truth.items():
        assert found[name].value == pytest.approx(value, rel=0.05), name
        assert found[name].level == "device"
        assert found[name].log_sd < PRIORS[name].log_sd


def test_too_few_rows_stay_near_the_prior() -> None:
    chip = gpu()
    truth = {"gemm.launch_seconds": 9e-6, "gemm.compute_efficiency": 0.4}
    few = fit_rows([measured(linear_rows(chip, 2), chip, truth)], {chip.id: chip}, FITTED)
    many = fit_rows([measured(linear_rows(chip, 2000), chip, truth)], {chip.id: chip}, FITTED)
    assert np.abs(few.pull).max() < np.abs(many.pull).max()
    assert (few.spread > many.spread).all()


def test_odd_rows_do_not_pull() -> None:
    chip = gpu()
    rows = measured(linear_rows(chip, 500), chip, {})
    odd = rows.seconds.copy()
    odd[::20] *= 8
    clean = fit_rows([rows], {chip.id: chip}, FITTED)
    robust = fit_rows([replace(rows, seconds=odd)], {chip.id: chip}, FITTED)
    np.testing.assert_allclose(np.exp(robust.value), np.exp(clean.value), rtol=0.06)


def test_a_device_left_out_has_the_shared_value_and_a_wider_spread() -> None:
    chips = {name: replace(gpu(), id=name) for name in ("a", "b", "c")}
    efficiency = {"a": 0.70, "b": 0.80, "c": 0.90}
    groups = [
        measured(linear_rows(chip, 800, seed), chip, {"gemm.compute_efficiency": efficiency[name]})
        for seed, (name, chip) in enumerate(chips.items())
    ]
    fitted = fit_rows(groups, chips, FITTED)
    own = [fitted.coefficients(name)["gemm.compute_efficiency"].value for name in "abc"]
    assert own == sorted(own)
    unseen = fitted.coefficients("d")["gemm.compute_efficiency"]
    assert own[0] < unseen.value < own[2]
    assert unseen.level == "family"
    assert unseen.log_sd > fitted.coefficients("a")["gemm.compute_efficiency"].log_sd


def test_rows_are_never_below_their_physical_bound_and_conditions_count() -> None:
    chip = gpu()
    rows = linear_rows(chip, 300)
    plain = time_rows(rows, chip)
    assert (plain.seconds >= plain.bound_seconds * (1 - 1e-9)).all()
    floor = time_rows(replace(rows, conditions={"event_floor": 1.0}), chip)
    np.testing.assert_allclose(floor.seconds - plain.seconds, 25e-6, rtol=1e-6)
    more = time_rows(replace(rows, conditions={"extra_bytes": 1e9}), chip)
    assert (more.seconds > plain.seconds).all()
    cached = time_rows(replace(rows, conditions={"resident_bytes": 1.0}), chip)
    assert (cached.seconds <= plain.seconds * (1 + 1e-9)).all()


def test_an_odd_kernel_does_not_pull_the_others() -> None:
    """A fallback at a tenth of the rate says little about a chip that does not need it."""
    chips = {name: replace(gpu(), id=name, family=name) for name in ("a", "b")}
    plain = [measured(linear_rows(chip, 400, seed), chip, {}, seed=seed) for seed, chip in enumerate(chips.values())]
    odd = replace(measured(linear_rows(chips["a"], 400), chips["a"], {"gemm.compute_efficiency": 0.08}), kernel="odd")
    unseen = replace(gpu(), id="c", family="c")
    clean, mixed = (
        fit_rows(groups, chips, FITTED).coefficients(unseen, "graphs")["gemm.compute_efficiency"].value
        for groups in (plain, [*plain, odd])
    )
    assert mixed > 0.93 * clean
