"""What the last cache holds: all of what is smaller, nothing of what is much larger."""

import numpy as np
import pytest
from builders import gpu, op, times, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.kernels.device import Device
from perfmodel.kernels.memory_bound import EFFICIENCIES
from perfmodel.kernels.residency import CACHE_SHARE, reread_bytes, resident_share
from perfmodel.types import Graph

HEADS, TOKENS = 32, 2048


def masked(mask: str) -> Graph:
    """Scores of all heads plus a mask."""
    scores = f"batch {HEADS} {TOKENS} {TOKENS}"
    return op("pointwise", [x("scores", scores, "fp32"), x("mask", mask, "fp32")], [y("out", scores, "fp32")],
              {"function": "add"})  # fmt: skip


def memory_seconds(mask: str, l2_bytes: float) -> float:
    return float(times(masked(mask), gpu(l2_bytes=l2_bytes), batch=1).memory_seconds[0])


@given(st.floats(1e3, 1e12), st.floats(1, 10))
def test_more_in_between_never_leaves_more_in_the_cache(touched: float, factor: float) -> None:
    device = Device(gpu(), "eager", {})
    near, far = (float(resident_share(np.array(size), device)) for size in (touched, touched * factor))
    assert 0 <= far <= near <= 1


def test_half_of_it_is_left_at_the_usable_size() -> None:
    device = Device(gpu(), "eager", {})
    usable = device[CACHE_SHARE].value * device.hardware.l2_bytes
    assert float(resident_share(np.array(usable), device)) == 0.5


def test_a_mask_of_pairs_is_read_again_for_every_head() -> None:
    """16.8 MB of mask between 33.6 MB of scores: three passes instead of two, but for a cache of gigabytes."""
    again = (HEADS - 1) * TOKENS * TOKENS * 4
    per_second = gpu().memory_bandwidth_bytes_per_second * Device(gpu(), "graphs", {})[EFFICIENCIES["pointwise"]].value
    small, large = (memory_seconds(f"batch 1 {TOKENS} {TOKENS}", l2_bytes) for l2_bytes in (4e6, 4e9))
    assert small - large == pytest.approx(again / per_second, rel=0.02)


def test_a_mask_of_keys_stays_in_the_cache() -> None:
    assert memory_seconds(f"batch 1 1 {TOKENS}", 4e6) == pytest.approx(memory_seconds(f"batch 1 1 {TOKENS}", 4e9))


def test_nothing_is_read_again_without_a_broadcast() -> None:
    device = Device(gpu(l2_bytes=1.0), "eager", {})
    assert reread_bytes({}, device) == 0.0
    assert memory_seconds(f"batch {HEADS} {TOKENS} {TOKENS}", 1.0) == pytest.approx(
        memory_seconds(f"batch {HEADS} {TOKENS} {TOKENS}", 1e12)
    )
