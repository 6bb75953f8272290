"""Conditions of benchmarks: the time between two events around an eager call."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.fitted import fit_scope
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import EVENT_FLOOR_SECONDS, row_seconds, time_rows
from perfmodel.calibration.shapes import op_arguments, x
from perfmodel.coefficients import Coefficient
from perfmodel.kernels import Device
from tests.builders import gpu

FLOOR, HIDDEN = 27e-6, 0.62 * 27e-6


def rows(*elements: int, work: float = 1.0) -> OpRows:
    """One-tensor pointwise ops in fp32."""
    columns = {"n": np.array(elements, dtype=float)}
    arguments = op_arguments("pointwise", [x("n", "fp32")], [x("n", "fp32")], columns, {"function": "relu"})
    return OpRows(
        source="test", file="test.csv", hardware="test-gpu", engine="test", version="", kernel="", runtime="eager",
        kind="pointwise", precision="fp32", flags=arguments.flags, sizes=arguments.sizes,
        seconds=np.ones(len(elements)), rows=np.arange(1, len(elements) + 1), conditions={"event_floor": work},
    )  # fmt: skip


def predicted(measured: OpRows) -> np.ndarray:
    return row_seconds(measured, Device(gpu(), "eager", {}))


def test_short_kernels_take_the_floor_and_long_ones_hide_a_part_of_it() -> None:
    bare = predicted(replace(rows(1000, 10**9), conditions={}))
    assert predicted(rows(1000, 10**9)) == pytest.approx([FLOOR, FLOOR - HIDDEN + bare[1]])


def test_calls_that_keep_the_host_busier_take_longer_by_as_much() -> None:
    difference = predicted(rows(1000, 10**9, work=1.8)) - predicted(rows(1000, 10**9))
    assert difference == pytest.approx(0.8 * FLOOR)


def test_what_a_hidden_kernel_is_bound_by_is_the_host() -> None:
    timed = time_rows(rows(1000, 10**9), Device(gpu(), "eager", {}))
    assert timed.regime[0] != timed.regime[1]


def test_the_floor_of_one_host_says_nothing_of_another() -> None:
    """Three slow hosts: each is learned, and a chip left out still stands on the prior."""
    slow = {EVENT_FLOOR_SECONDS.name: Coefficient(EVENT_FLOOR_SECONDS.name, 45e-6, 0.0, "truth", "")}
    chips = {name: gpu(id=name) for name in "abc"}
    measured = [
        replace(plain, hardware=name, seconds=row_seconds(plain, Device(chip, "eager", slow)))
        for plain in [rows(*range(1000, 200_000, 1000))]
        for name, chip in chips.items()
    ]
    fitted = fit_scope("streaming", measured, chips, [EVENT_FLOOR_SECONDS])
    assert np.exp(fitted.shift(chips["a"], "test", "")) * FLOOR == pytest.approx(45e-6, rel=0.03)
    assert np.exp(fitted.pooled) == pytest.approx(1, rel=1e-3)
    assert np.exp(fitted.shift(gpu(id="d"), "test", "")) == pytest.approx(1, rel=1e-3)
