"""Expert blocks: few tokens read few experts, many read all of them once."""

from dataclasses import replace

import numpy as np
import pytest
from builders import experts, gpu, linear, op, seconds, times, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.kernels.experts import padded_rows


@given(st.integers(1, 4096), st.integers(1, 7))
def test_more_experts_for_each_token_are_never_faster(batch: int, per_token: int) -> None:
    few, more = (seconds(experts(64, k), gpu(), batch=batch) for k in (per_token, per_token + 1))
    assert more >= few * (1 - 1e-9)


def test_one_token_reads_its_own_experts_only() -> None:
    timed = times(experts(128, 8, 4096, 1536), gpu(), batch=1)
    assert timed.bound_seconds[0] == pytest.approx(8 * 3 * 4096 * 1536 * 2 / 3e12, rel=0.01)


def test_a_batch_costs_less_than_its_tokens_one_by_one() -> None:
    one, many = (seconds(experts(), gpu(), batch=batch) for batch in (1, 256))
    assert many < 20 * one


def test_a_dense_layer_of_the_same_work_is_faster() -> None:
    """8 of 64 experts against the two products of one MLP that is 8 experts wide."""
    routed = seconds(experts(64, 8, 2048, 768), gpu(), batch=8192)
    dense = seconds(linear(2 * 8 * 768, 2048), gpu(), batch=8192) + seconds(linear(2048, 8 * 768), gpu(), batch=8192)
    assert dense < routed < 4 * dense


def test_rows_are_padded_to_tiles() -> None:
    """One row fills no tile: 64 experts with a row each take as long as with 4 rows each, if compute decides."""
    slow = gpu(peaks={("matrix", "bf16"): 1e12}, memory_bandwidth_bytes_per_second=1e15)
    few, more = (seconds(experts(64, 64), slow, batch=batch) for batch in (1, 4))
    assert few < more < 1.2 * few
    rows, share = padded_rows(np.array([64.0, 6400.0]), np.array([64.0, 64.0]), 32.0)
    assert rows == pytest.approx([64 * 32, 6400 + 64 * 16], rel=0.02)
    assert share[0] > 0.99
    assert share[1] < 0.2


def test_a_narrow_shard_pays_the_pipeline_fill() -> None:
    """An eighth of the width is more than an eighth of the compute time."""
    slow = gpu(peaks={("matrix", "bf16"): 1e12}, memory_bandwidth_bytes_per_second=1e15)
    whole, shard = (seconds(experts(8, 2, 2048, width), slow, batch=4096) for width in (1024, 128))
    assert 1.5 * whole / 8 < shard < whole


def test_weights_unpacked_in_registers_miss_the_peak_of_a_new_chip() -> None:
    """With 16-bit activations 4-bit weights gain nothing from the peak of newer instructions."""
    new = gpu(peaks={("matrix", "bf16"): 2e15}, memory_bandwidth_bytes_per_second=1e14)
    plain = experts(8, 8, 4096, 2048)
    packed = replace(plain, tensors={
        name: replace(tensor, dtype="int4_g128") if tensor.kind == "weight" else tensor
        for name, tensor in plain.tensors.items()
    })  # fmt: skip
    assert seconds(packed, new, batch=16384) > 3 * seconds(plain, new, batch=16384)
    old = gpu(peaks={("matrix", "bf16"): 2e14}, memory_bandwidth_bytes_per_second=1e14)
    assert seconds(packed, old, batch=16384) == pytest.approx(seconds(plain, old, batch=16384), rel=0.05)


@pytest.mark.parametrize(("compute", "weight"), [("fp8", "fp8"), ("fp4", "nvfp4"), ("int8", "int8")])
def test_narrow_dtypes_are_faster(compute: str, weight: str) -> None:
    chip = gpu(
        peaks={("matrix", "bf16"): 1e15, ("matrix", "fp8"): 2e15, ("matrix", "int8"): 2e15, ("matrix", "fp4"): 4e15},
        native=("bf16", "fp8", "int8", "fp4"),
    )
    weights = [w("up", "8 4096 4096", weight), w("down", "8 4096 2048", weight)]
    attributes = {"experts_per_token": 2, "gated": True, "compute": compute, "quantize_input": True}
    narrow = op("experts", [x("x", "batch 4096"), *weights], [y("y", "batch 4096")], attributes)
    for batch in (1, 8192):
        assert seconds(narrow, chip, batch=batch) < seconds(experts(8, 2, 4096, 2048), chip, batch=batch)
