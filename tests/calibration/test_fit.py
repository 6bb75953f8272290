"""Known coefficients are recovered; few rows leave the prior alone; a device left out stands on the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import gpu

from calibration.fitted import fit_scope
from perfmodel.calibration.fit import Parameter, fit, observed_rows, thin
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import row_seconds, time_rows
from perfmodel.coefficients import Coefficient, declared_priors
from perfmodel.kernels import Device, fitted_device
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
    fitted = fit_scope("gemm.bf16", [measured(linear_rows(chip, 2000), chip, truth)], {chip.id: chip}, FITTED)
    found = fitted.coefficients(chip, "graphs", PRIORS, "test", "")
    for name, value in truth.items():
        coefficient = found[f"gemm.bf16:{name}"]
        assert coefficient.value == pytest.approx(value, rel=0.05), name
        assert coefficient.level == "device"
    assert not fitted.stays.any()


def test_too_few_rows_stay_near_the_prior_and_say_so() -> None:
    chip = gpu()
    truth = {"gemm.launch_seconds": 9e-6, "gemm.compute_efficiency": 0.4}
    few = fit_scope("gemm.bf16", [measured(linear_rows(chip, 2), chip, truth)], {chip.id: chip}, FITTED)
    many = fit_scope("gemm.bf16", [measured(linear_rows(chip, 2000), chip, truth)], {chip.id: chip}, FITTED)
    assert np.abs(few.pull).max() < np.abs(many.pull).max()
    assert (few.log_sd > many.log_sd).all()
    assert few.stays.any()
    assert not many.stays.any()


def test_odd_rows_do_not_pull() -> None:
    chip = gpu()
    rows = measured(linear_rows(chip, 500), chip, {})
    odd = rows.seconds.copy()
    odd[::20] *= 8
    clean = fit_scope("gemm.bf16", [rows], {chip.id: chip}, FITTED)
    robust = fit_scope("gemm.bf16", [replace(rows, seconds=odd)], {chip.id: chip}, FITTED)
    np.testing.assert_allclose(np.exp(robust.shift(chip)), np.exp(clean.shift(chip)), rtol=0.06)


def chips_of(families: dict[str, str]) -> dict[str, Hardware]:
    return {name: replace(gpu(), id=name, family=family) for name, family in families.items()}


def test_a_chip_stands_on_what_is_known_of_it() -> None:
    chips = chips_of({"a": "x", "b": "x", "c": "y", "relative": "y", "stranger": "z"})
    efficiency = {"a": 0.70, "b": 0.74, "c": 0.90}
    groups = [
        measured(linear_rows(chips[name], 800, seed), chips[name], {"gemm.compute_efficiency": value})
        for seed, (name, value) in enumerate(efficiency.items())
    ]
    fitted = fit_scope("gemm.bf16", groups, chips, FITTED)

    def found(name: str) -> Coefficient:
        return fitted.coefficients(chips[name], "graphs", PRIORS)["gemm.bf16:gemm.compute_efficiency"]

    for name, value in efficiency.items():
        assert found(name).value == pytest.approx(value, rel=0.05)
    # a relative leans to its family, a stranger to the middle of all
    assert found("a").value < found("stranger").value < found("relative").value < found("c").value
    assert [found(name).level for name in ("c", "relative", "stranger")] == ["device", "family", "datasheet"]
    assert found("c").log_sd < found("relative").log_sd < found("stranger").log_sd


def test_a_kernel_is_known_on_a_chip_where_it_was_never_measured() -> None:
    chips = chips_of({"a": "x", "b": "y"})
    slow, fast = {"gemm.memory_efficiency": 0.5}, {"gemm.memory_efficiency": 0.9}
    groups = [
        measured(replace(linear_rows(chips["a"], 600), kernel="slow"), chips["a"], slow),
        measured(replace(linear_rows(chips["a"], 600, 1), kernel="fast"), chips["a"], fast),
    ]
    fitted = fit_scope("gemm.bf16", groups, chips, FITTED)
    place = fitted.names.index("gemm.memory_efficiency")
    shifts = [fitted.shift(chips["b"], "test", kernel)[place] for kernel in ("slow", "unknown", "fast")]
    assert shifts == sorted(shifts)
    assert shifts[2] - shifts[0] > 0.2


def test_chips_of_another_vendor_or_kind_keep_their_priors() -> None:
    chip = gpu()
    fitted = fit_scope("gemm.bf16", [measured(linear_rows(chip, 300), chip, {})], {chip.id: chip}, FITTED)
    other = replace(chip, id="other", vendor="AMD")
    assert fitted.coefficients(other, "graphs", PRIORS) == {}
    assert fitted.widths_for(other) is None


def test_scopes_are_fitted_together_and_come_apart() -> None:
    chip = gpu()
    rows = measured(linear_rows(chip, 600), chip, {"gemm.memory_efficiency": 0.6})
    parameters = [Parameter(prior=PRIORS["gemm.memory_efficiency"], scope="gemm.bf16"),
                  Parameter(prior=PRIORS["pointwise.memory_efficiency"], scope="streaming")]  # fmt: skip
    found = fit([observed_rows(rows)], {chip.id: chip}, parameters)
    assert found.keys() == {"gemm.bf16", "streaming"}
    device = fitted_device(chip, "graphs", found)
    assert device.in_scope("gemm.bf16")[PRIORS["gemm.memory_efficiency"]].value == pytest.approx(0.6, rel=0.05)
    assert found["streaming"].pooled[0] == pytest.approx(0.0, abs=1e-9)  # no row speaks of it
    assert found["streaming"].stays.all()


def test_thinning_is_repeatable_and_bounded() -> None:
    rows = linear_rows(gpu(), 5000)
    once, twice = thin(rows, 100), thin(rows, 100)
    assert len(once) == 100
    np.testing.assert_array_equal(once.rows, twice.rows)
    assert thin(once, 200) is once


def test_rows_are_never_below_their_physical_bound_and_conditions_count() -> None:
    chip = gpu()
    rows = linear_rows(chip, 300)
    device = Device(chip, "graphs", {})
    plain = time_rows(rows, device)
    assert (plain.seconds >= plain.bound_seconds * (1 - 1e-9)).all()
    assert plain.scope == "gemm.bf16"
    floor = time_rows(replace(rows, conditions={"event_floor": 1.0}), device)
    assert (floor.seconds - plain.seconds > 5e-6).all()
    more = time_rows(replace(rows, conditions={"extra_bytes": 1e9}), device)
    assert (more.seconds > plain.seconds).all()
    cached = time_rows(replace(rows, conditions={"resident_bytes": 1.0}), device)
    assert (cached.seconds <= plain.seconds * (1 + 1e-9)).all()


def test_an_odd_kernel_does_not_pull_the_others() -> None:
    """A fallback at a tenth of the rate says little about a chip that does not need it."""
    chips = {name: replace(gpu(), id=name, family=name) for name in ("a", "b")}
    plain = [measured(linear_rows(chip, 400, seed), chip, {}, seed=seed) for seed, chip in enumerate(chips.values())]
    odd = replace(measured(linear_rows(chips["a"], 400), chips["a"], {"gemm.compute_efficiency": 0.08}), kernel="odd")
    unseen = replace(gpu(), id="c", family="c")
    clean, mixed = (
        fit_scope("gemm.bf16", groups, chips, FITTED)
        .coefficients(unseen, "graphs", PRIORS)["gemm.bf16:gemm.compute_efficiency"]
        .value
        for groups in (plain, [*plain, odd])
    )
    assert mixed > 0.93 * clean
