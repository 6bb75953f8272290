"""Kernels that rewrite a GEMM's input: how many run, what a row costs, what the cache answers, bounds."""

from typing import Any

import numpy as np
import pytest
from builders import cpu, gpu, op, seconds, times, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs.matmul import cost_linear
from perfmodel.kernels import Device, contraction_rate, time_group
from perfmodel.kernels.quantize import KERNELS, LAUNCH_SECONDS, ROW_CYCLES, quantize_seconds, quantized_bytes
from perfmodel.types import Graph, Hardware

dim = st.integers(1, 20_000)
scales = st.sampled_from(sorted(KERNELS))
FLAGS = {"activation": "bf16", "compute": "fp8", "quantize_input": True}


def layer(n: int, k: int, scale: str = "static", *, quantize: bool = True) -> Graph:
    attributes = {"compute": "fp8", "quantize_input": quantize, "input_scale": scale}
    return op("linear", [x("x", f"batch {k}"), w("w", f"{n} {k}", "fp8")], [y("y", f"batch {n}")], attributes)


def alone(m: int, k: int, hardware: Hardware, scale: str = "static", **more: float) -> float:
    """Seconds of the kernels in front of the GEMM."""
    sizes = {name: np.array([[float(value)]]) for name, value in {"m": m, "k": k, **more}.items()}
    flags = FLAGS | {"input_scale": scale}
    launch, memory, _ = quantize_seconds(quantized_bytes(sizes, flags), sizes, flags, Device(hardware, "graphs", {}))
    return float((launch + memory)[0, 0])


@given(dim, dim, dim, scales)
def test_never_below_bytes_over_bandwidth(m: int, n: int, k: int, scale: str) -> None:
    for hardware in (gpu(), gpu(l2_bytes=1e9), gpu(memory_bandwidth_bytes_per_second=1e11)):
        timed = times(layer(n, k, scale), hardware, batch=m)
        assert timed.device_seconds[0] >= timed.bound_seconds[0]


@given(dim, dim, dim, scales)
def test_it_adds_to_the_gemm_and_more_rows_add_more(m: int, n: int, k: int, scale: str) -> None:
    plain, quantised = (seconds(layer(n, k, scale, quantize=own), gpu(), batch=m) for own in (False, True))
    assert quantised >= plain + LAUNCH_SECONDS.value
    assert seconds(layer(n, k, scale), gpu(), batch=m + 100) >= quantised * (1 - 1e-9)


@given(dim, dim)
def test_a_scale_found_at_run_time_costs_passes_and_kernels(m: int, k: int) -> None:
    static, row, tensor = (alone(m, k, gpu(), scale) for scale in ("static", "row", "tensor"))
    assert static <= row <= tensor
    assert tensor >= 4 * LAUNCH_SECONDS.value


def test_long_inputs_move_at_a_share_of_the_bandwidth() -> None:
    """16384×16384 bf16 rows read, fp8 rows written: 50 to 80 % of the bandwidth."""
    share = 3 * 16384**2 / gpu().memory_bandwidth_bytes_per_second / alone(16384, 16384, gpu())
    assert 0.5 < share < 0.8


def test_short_rows_cost_cycles_and_not_bytes() -> None:
    """What 16384 rows of 8 elements take beyond the launch is a core's cycles per row, to within a fifth."""
    by_rows = 16384 * ROW_CYCLES.value / (gpu().cores * gpu().clock_hertz)
    assert alone(16384, 8, gpu()) - LAUNCH_SECONDS.value == pytest.approx(by_rows, rel=0.2)


def test_only_a_benchmark_finds_its_rows_in_the_cache() -> None:
    slow = gpu(memory_bandwidth_bytes_per_second=5e11)
    small, large = (1024, 4096), (16384, 16384)
    assert alone(*small, slow, resident_bytes=1e6) < 0.7 * alone(*small, slow)
    assert alone(*large, slow, resident_bytes=1e6) == pytest.approx(alone(*large, slow), rel=0.01)


def test_a_cpu_has_no_thread_blocks() -> None:
    moved = 3 * 4096 * 64 / cpu().memory_bandwidth_bytes_per_second
    assert alone(64, 4096, cpu()) == pytest.approx(moved / 0.7 + 3e-6)


@given(dim, dim, dim, scales)
def test_sensitivities_are_parts_of_the_time(m: int, n: int, k: int, scale: str) -> None:
    sizes: dict[str, Any] = {name: np.array([[float(value)]]) for name, value in (("m", m), ("n", n), ("k", k))}
    sizes["weight_bytes"] = sizes["n"] * sizes["k"]
    flags: dict[str, Any] = {**FLAGS, "output": "bf16", "weight": "fp8", "input_scale": scale}
    device = Device(gpu(), "graphs", {})
    timed = time_group(("linear",), sizes, flags, cost_linear(**sizes, **flags), device, contraction_rate(gpu(), "fp8"))
    parts = {coefficient.name: part for coefficient, part in timed.sensitivities}
    own = sum(float(part[0, 0]) for name, part in parts.items() if name.startswith("quantize."))
    assert own == pytest.approx(alone(m, k, gpu(), scale), rel=1e-9)
