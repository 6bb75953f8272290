"""Softmax and layer norm: arithmetic per element, a cost per row, and rows read twice."""

import numpy as np
import pytest
from builders import gpu, op, seconds, streaming, times, w, x, y

from perfmodel.coefficients import Coefficient
from perfmodel.kernels import Device, time_group
from perfmodel.kernels.row_reductions import row_work
from perfmodel.types import OpCost

NONE = OpCost(read_bytes=np.zeros((1, 1)))


def sizes(rows: float, columns: float) -> dict[str, np.ndarray]:
    return {"elements": np.array([[rows * columns]]), "columns": np.array([[columns]])}


def normalization(rows: int, columns: int, function: str = "layer", dtype: str = "fp32"):  # type: ignore[no-untyped-def]
    weight = [w("scale", str(columns), dtype), w("shift", str(columns), dtype)]
    tensors = [x("x", f"{rows} {columns}", dtype), *weight]
    return op("normalization", tensors, [y("y", f"{rows} {columns}", dtype)], {"function": function})


def test_short_rows_cost_more_than_long_ones_of_the_same_bytes() -> None:
    """A row's reduction takes its cycles however short the row is."""
    short, long = (seconds(normalization(2**24 // columns, columns), gpu()) for columns in (64, 1024))
    assert short > 1.5 * long


def test_rows_are_read_again_from_memory_when_the_cache_does_not_hold_those_in_flight() -> None:
    """128 cores x 16 rows x 64 KiB are 134 MB, above the 50 MB of the cache: three passes instead of two."""
    slow_memory = {"memory_bandwidth_bytes_per_second": 0.3e12}
    inside = times(normalization(2**14, 2**11), gpu(**slow_memory))
    outside = times(normalization(2**11, 2**14), gpu(**slow_memory))
    assert outside.memory_seconds[0] / inside.memory_seconds[0] == pytest.approx(1.5, rel=0.03)
    large_cache = times(normalization(2**11, 2**14), gpu(l2_bytes=1e9, **slow_memory))
    assert large_cache.memory_seconds[0] == pytest.approx(inside.memory_seconds[0], rel=0.03)


def test_batch_norm_reduces_nothing_when_a_model_runs() -> None:
    own, plain = normalization(2**18, 64, "batch"), streaming("pointwise", 64, function="add")
    assert times(own, gpu()).memory_seconds[0] > 0
    assert seconds(own, gpu()) < seconds(normalization(2**18, 64, "layer"), gpu())
    assert seconds(plain, gpu(), batch=2**18) > 0


def test_a_softmax_over_more_columns_than_a_warp_holds_costs_more_per_element() -> None:
    inside, outside = (
        row_work(("softmax",), sizes(2**20 / n, n), NONE, Device(gpu(), "eager", {})) for n in (1024, 1025)
    )
    assert outside.seconds[0, 0] > 1.5 * inside.seconds[0, 0]


def test_only_row_reductions_have_row_work() -> None:
    work = row_work(("pointwise", "softmax", "copy", "normalization"), sizes(8, 512), NONE, Device(gpu(), "eager", {}))
    assert work is not None
    assert work.ops.tolist() == [1, 3]
    assert (work.spread(work.seconds, 4)[[0, 2]] == 0).all()
    assert (work.seconds > 0).all()
    assert row_work(("pointwise", "copy"), sizes(8, 512), NONE, Device(gpu(), "eager", {})) is None


@pytest.mark.parametrize("kind", ["softmax", "normalization"])
@pytest.mark.parametrize("columns", [128.0, 1024.0, 8192.0])
def test_sensitivities_are_derivatives(kind: str, columns: float) -> None:
    rows = 3e4
    moved = np.array([[rows * columns * 4]])
    cost = OpCost(flops={("vector", "fp32"): moved}, read_bytes=moved, write_bytes=moved, launches=np.ones((1, 1)))
    chip = gpu(l2_bytes=20e6)

    def timed(overrides: dict[str, Coefficient]):  # type: ignore[no-untyped-def]
        return time_group((kind,), sizes(rows, columns), {}, cost, Device(chip, "eager", overrides), None)

    base = timed({})
    for coefficient, part in base.sensitivities:
        if coefficient.name == "memory_bound.form":  # no factor of the time itself
            continue
        moved_up = Coefficient(coefficient.name, coefficient.value * 1.0001, 0.0, "test", "")
        found = (timed({coefficient.name: moved_up}).seconds - base.seconds) / np.log(1.0001)
        np.testing.assert_allclose(np.abs(found), np.abs(part + 0 * found), rtol=2e-3, atol=1e-12)
