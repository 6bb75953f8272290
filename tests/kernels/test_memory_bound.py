"""Streaming ops: bandwidth, several kernels under eager, families of efficiency."""

from inspect import signature

import pytest
from builders import cpu, gpu, seconds, streaming, times
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import find_kind, known_kinds
from perfmodel.kernels import scope_of
from perfmodel.kernels.memory_bound import EFFICIENCIES, family


@given(st.integers(1, 10**6))
def test_large_ops_run_at_the_achievable_bandwidth(batch: int) -> None:
    timed = times(streaming(), gpu(), batch=batch)
    share = timed.bound_seconds[0] / (timed.device_seconds[0] - timed.overhead_seconds[0])
    assert 0.6 < share <= 0.86 + 1e-9


def test_eager_starts_several_kernels_and_others_one() -> None:
    rope = streaming("pointwise", 64, function="rope")
    eager, one = (times(rope, gpu(), "eager", batch=1), times(streaming("pointwise", 64), gpu(), "eager", batch=1))
    assert eager.overhead_seconds[0] == pytest.approx(10 * one.overhead_seconds[0])
    for runtime in ("compiled", "graphs"):
        alone, plain = (times(own, gpu(), runtime, batch=1) for own in (rope, streaming("pointwise", 64)))
        assert alone.overhead_seconds[0] == pytest.approx(plain.overhead_seconds[0])


def test_every_kind_has_a_family() -> None:
    """A kind that nobody put into a family counts as a lookup, the slowest: that must be meant."""
    costs = {kind: find_kind(kind).cost for kind in known_kinds() if kind != "collective"}
    vector_kinds = {kind for kind, cost in costs.items() if "compute" not in signature(cost).parameters}
    streaming_kinds = {kind for kind in vector_kinds if scope_of(kind, {}, None) == "streaming"}
    slow = {kind for kind in streaming_kinds if family(kind) == "gather"}
    assert slow == {"gather", "scatter", "embedding", "resize", "topk"}
    assert family("aten.mystery") == "gather"
    assert {family(kind) for kind in streaming_kinds} <= set(EFFICIENCIES)


def test_a_slow_vector_unit_is_felt() -> None:
    gelu = streaming("pointwise", 4096, function="gelu_tanh")
    fast, slow = (seconds(gelu, cpu(peaks={("vector", "fp32"): rate}), batch=4096) for rate in (1e13, 1e10))
    assert slow > 3 * fast


def test_error_correction_beside_the_data_takes_its_share_of_gddr() -> None:
    stacked, beside, on_die = (
        seconds(streaming(), gpu(memory_type=kind), batch=10**6) for kind in ("HBM3", "GDDR6", "GDDR7")
    )
    assert beside / stacked == pytest.approx(1 / 0.9, rel=0.01)
    assert on_die == stacked


def test_general_powers_are_slow_where_the_vector_unit_is() -> None:
    power, relu = streaming("pointwise", 4096, function="general_pow"), streaming("pointwise", 4096, function="relu")
    strong, weak = (gpu(peaks={("vector", "fp32"): rate}) for rate in (100e12, 10e12))
    assert seconds(power, strong, batch=4096) < 1.2 * seconds(relu, strong, batch=4096)
    assert seconds(power, weak, batch=4096) > 1.5 * seconds(relu, weak, batch=4096)


def test_a_view_takes_no_time() -> None:
    timed = times(streaming("view"), gpu(), "eager", batch=4096)
    assert timed.device_seconds[0] == pytest.approx(0, abs=1e-20)
