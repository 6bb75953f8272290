"""Matrix multiplications: tiles, waves, long sweeps, narrow dtypes."""

from dataclasses import replace

import numpy as np
import pytest
from builders import convolution, cpu, gpu, linear, op, seconds, times, tpu, w, x, y
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kernels import RUNTIMES
from perfmodel.types import Graph, Hardware

dim = st.integers(1, 16384)


def matmul(g: int, m: int, n: int, k: int) -> Graph:
    return op("matmul", [x("a", f"{g} {m} {k}"), x("b", f"{g} {k} {n}")], [y("c", f"{g} {m} {n}")])


@pytest.mark.parametrize("hardware", [gpu(), cpu(), tpu()], ids=lambda own: own.kind)
@given(st.integers(1, 64), dim, dim, dim, st.integers(1, 2000))
def test_larger_in_any_dimension_is_never_faster(hardware: Hardware, g: int, m: int, n: int, k: int, more: int) -> None:
    plain = seconds(matmul(g, m, n, k), hardware)
    for larger in ((g + more, m, n, k), (g, m + more, n, k), (g, m, n + more, k), (g, m, n, k + more)):
        assert seconds(matmul(*larger), hardware) >= plain * (1 - 1e-9)


@given(dim, dim, dim)
def test_two_halves_are_never_faster_than_the_whole(m: int, n: int, k: int) -> None:
    assert seconds(matmul(2, m, n, k), gpu()) <= 2 * seconds(matmul(1, m, n, k), gpu()) * (1 + 1e-9)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_large_square_product_runs_near_the_peak_and_a_small_one_does_not(runtime: str) -> None:
    """8192³ in bf16 on an H100-like chip: 65 to 85 % of the dense peak are what libraries reach."""
    large, small = (2 * side**3 / seconds(matmul(1, side, side, side), gpu(), runtime) for side in (8192, 256))
    assert 0.65 < large / 1000e12 < 0.85
    assert small / 1000e12 < 0.05


def test_decode_streams_weights_at_the_achievable_bandwidth() -> None:
    timed = times(linear(28672, 8192), gpu(), batch=1)
    assert timed.memory_seconds[0] > 0.9 * timed.device_seconds[0]
    assert 0.7 < timed.bound_seconds[0] / timed.device_seconds[0] < 0.85


@given(st.integers(1, 16), st.integers(4096, 16384), st.integers(4096, 16384))
def test_fewer_bits_are_never_slower_where_memory_decides(m: int, n: int, k: int) -> None:
    wide, narrow = (seconds(linear(n, k, weight=weight), gpu(), batch=m) for weight in ("bf16", "int4_g128"))
    assert narrow <= wide * (1 + 1e-9)


@given(st.integers(512, 8192))
def test_unpacking_weights_in_registers_costs_a_new_chip_its_peak(m: int) -> None:
    """Where compute decides, 4-bit weights are slower on a chip whose peak is that of newer instructions."""
    plain, packed = (linear(8192, 8192, weight=weight) for weight in ("bf16", "int4_g128"))
    old = gpu(peaks={("matrix", "bf16"): 300e12}, memory_bandwidth_bytes_per_second=2e12)
    assert seconds(packed, gpu(), batch=m) > 1.2 * seconds(plain, gpu(), batch=m)
    assert seconds(packed, old, batch=m) <= seconds(plain, old, batch=m) * (1 + 1e-9)


@given(dim, dim)
def test_a_split_of_the_summed_dimension_helps_few_tiles(m: int, n: int) -> None:
    """A long sum over few outputs is not left to one core: doubling it costs less than twice the time."""
    short, long = (seconds(matmul(1, min(m, 64), min(n, 64), k), gpu()) for k in (8192, 65536))
    assert long < 8 * short


@settings(max_examples=5)
@given(st.integers(0, 2**32), st.lists(st.tuples(dim, dim), min_size=1, max_size=3))
def test_a_long_sweep_gives_what_one_by_one_gives(seed: int, layers: list[tuple[int, int]]) -> None:
    """Long sweeps take other ways through the code (chunks, each distinct batch once); the numbers are the same."""
    random = np.random.default_rng(seed)
    batches = random.integers(1, 3000, 2500).astype(float)
    ops, tensors = [], {}
    for place, (n, k) in enumerate(layers):
        own = op("linear", [x(f"x{place}", f"batch {k}"), w(f"w{place}", f"{n} {k}")], [y(f"y{place}", f"batch {n}")])
        ops.append(replace(own.ops[0], name=f"linear{place}"))
        tensors |= own.tensors
    several = Graph(name="several", ops=tuple(ops), tensors=tensors, symbols=("batch",))
    sweep = times(several, gpu(), batch=batches)
    assert sweep.device_seconds.shape == batches.shape
    for place in random.integers(0, len(batches), 4):
        alone = times(several, gpu(), batch=int(batches[place]))
        assert sweep.device_seconds[place] == pytest.approx(alone.device_seconds[0], rel=1e-9)


def test_a_long_sweep_over_lengths_of_a_convolution() -> None:
    batches = np.arange(1, 3001, dtype=float)
    sweep = times(convolution(), gpu(), batch=batches).device_seconds
    for place in (0, 1023, 1024, 2047, 2999):
        assert sweep[place] == pytest.approx(seconds(convolution(), gpu(), batch=place + 1), rel=1e-9)


def test_fp8_is_faster_than_bf16_but_not_twice() -> None:
    bf16, fp8 = (seconds(linear(8192, 8192, dtype), gpu(), batch=8192) for dtype in ("bf16", "fp8"))
    assert bf16 / 2 < fp8 < bf16


def test_eager_launches_cost_more_than_replayed_ones() -> None:
    eager, compiled, graphs = (seconds(linear(64, 64), gpu(), runtime, batch=1) for runtime in RUNTIMES)
    assert eager > compiled > graphs


def fp32_share(hardware: Hardware, unit: str = "vector") -> float:
    """The share of the fp32 peak that a large product reaches."""
    shape = linear(8192, 8192, dtype="fp32")
    rate = hardware.peaks[unit, "fp32"]  # type: ignore[index]
    return float(2 * 8192**3 / rate / seconds(shape, hardware, batch=8192))


def test_fp32_loses_where_multiplications_take_all_issue_slots() -> None:
    """64 lanes an SM leave slots for loads and addresses, 128 do not, nor do the 64 of Pascal."""
    free, full = (gpu(peaks={("vector", "fp32"): 2 * 128 * 1.8e9 * lanes}, power_watts=0.0) for lanes in (64, 128))
    assert 0.85 < fp32_share(free) < 0.95
    assert 0.65 < fp32_share(full) / fp32_share(free) < 0.85
    assert fp32_share(replace(free, family="pascal")) == pytest.approx(fp32_share(full), rel=0.03)


def test_fp32_on_matrix_units_reaches_much_of_its_peak() -> None:
    """MI100: 46.1 TFLOP/s on matrix units, of which rocBLAS kernels reach 0.66 to 0.75."""
    amd = gpu(vendor="AMD", peaks={("matrix", "fp32"): 46.1e12, ("vector", "fp32"): 23.1e12}, cores=120,
              clock_hertz=1.5e9, power_watts=300.0, process_nm=7.0)  # fmt: skip
    assert 0.6 < fp32_share(amd, "matrix") < 0.8
