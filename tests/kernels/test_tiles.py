"""Tiles: which a chip and a format can use."""

import numpy as np
import pytest
from builders import cpu, gpu, linear, op, seconds, tpu, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.kernels import Device, contraction_rate
from perfmodel.kernels.tiles import TileModel, tile_model
from perfmodel.types import Graph, Hardware


def tiles_of(hardware: Hardware, dtype: str = "bf16", **flags: object) -> TileModel:
    return tile_model(Device(hardware, "graphs", {}), contraction_rate(hardware, dtype), flags)


def efficiency(tiles: TileModel) -> np.ndarray:
    return np.asarray(2 * tiles.rows * tiles.columns / tiles.work_flops).ravel()


def test_small_tiles_lose_more_on_faster_cores() -> None:
    slow, fast = (efficiency(tiles_of(gpu(cores=cores))) for cores in (512, 64))
    assert (slow >= fast * (1 - 1e-9)).all()
    assert fast.min() < 0.7 * slow.min()
    assert slow.max() == pytest.approx(1.0, abs=0.001)  # 256×128 reaches the peak everywhere
    assert fast.max() == pytest.approx(1.0, abs=0.001)


@given(st.floats(1e13, 1e16), st.floats(1.01, 100))
def test_a_higher_peak_never_makes_a_tile_slower(peak: float, factor: float) -> None:
    slow, fast = (gpu(peaks={("matrix", "bf16"): own}) for own in (peak, peak * factor))
    per_k = [tiles_of(own).work_flops / own.peaks["matrix", "bf16"] for own in (slow, fast)]
    assert (per_k[1] <= per_k[0] * (1 + 1e-9)).all()


def test_a_narrow_format_needs_the_same_tiles_at_twice_the_rate() -> None:
    """Half the bytes per operand at twice the FLOPs: the shared memory is asked for the same; the fill is in bytes."""
    wide, narrow = tiles_of(gpu(), "bf16"), tiles_of(gpu(), "fp8")
    np.testing.assert_allclose(efficiency(wide), efficiency(narrow))
    assert narrow.fill_scale == 2 * wide.fill_scale


def test_products_scaled_in_blocks_are_added_in_order() -> None:
    """Few outputs with a long sum: one scale per tensor can split it, scales per block cannot."""
    assert tiles_of(gpu(), "fp8", weight="fp8", quantize_input=True).splits.size > 1
    assert tiles_of(gpu(), "fp8", weight="fp8_block", quantize_input=True).splits.size == 1
    assert tiles_of(gpu(), "bf16", weight="int4_g128").splits.size > 1  # unpacked to bf16, added up in any order

    def layer(weight: str) -> Graph:
        attributes = {"compute": "fp8", "quantize_input": True}
        return op("linear", [x("x", "batch 65536"), w("w", "128 65536", weight)], [y("y", "batch 128")], attributes)

    per_tensor, blocks = (seconds(layer(weight), gpu(), batch=64) for weight in ("fp8", "fp8_block"))
    assert blocks > 1.5 * per_tensor


def test_other_kinds_have_other_tiles() -> None:
    assert tiles_of(cpu()).rows.size == tiles_of(tpu()).rows.size == 1
    assert tiles_of(gpu(), "fp32") is not tiles_of(gpu())
    assert tiles_of(gpu()) is tiles_of(gpu())  # made once


def test_a_chip_of_unknown_cores_is_timed_like_a_common_one() -> None:
    unknown, known = (seconds(linear(4096, 4096), gpu(cores=cores), batch=4096) for cores in (0, 128))
    assert unknown == pytest.approx(known, rel=0.3)
