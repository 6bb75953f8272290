"""What must hold for every family of kernels on every chip, whatever its coefficients are."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import (
    attention,
    cache,
    convolution,
    cpu,
    experts,
    gpu,
    half_widths,
    linear,
    op,
    recurrent,
    seconds,
    selective_scan,
    sensitivities,
    state_space_scan,
    streaming,
    times,
    tpu,
    x,
    y,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.coefficients import Coefficient
from perfmodel.costs import cost_graph
from perfmodel.kernels import RUNTIMES, Device
from perfmodel.program import compile_graph, time_program
from perfmodel.types import Graph, Hardware

dim = st.integers(1, 20_000)
FAMILIES: dict[str, st.SearchStrategy[Graph]] = {
    "linear": st.builds(linear, dim, dim),
    "matmul": st.builds(
        lambda m, n, k: op("matmul", [x("a", f"batch {m} {k}"), x("b", f"batch {k} {n}")], [y("c", f"batch {m} {n}")]),
        st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 2000),
    ),
    "convolution": st.builds(
        lambda groups, channels, out, side, kernel: convolution(groups * channels, groups * out, side, kernel, groups),
        st.integers(1, 32), st.integers(1, 64), st.integers(1, 64), st.integers(1, 128), st.sampled_from([1, 3, 7]),
    ),
    "attention": st.builds(
        lambda kv_heads, group, size, causal, window: attention(
            kv_heads * group, kv_heads, size, causal=causal, window=window
        ),
        st.integers(1, 16), st.integers(1, 16), st.sampled_from([64, 80, 128, 256]), st.booleans(),
        st.sampled_from([0, 0, 512]),
    ),
    "index_scores": st.builds(
        lambda heads, causal: op(
            "index_scores",
            [x("q", f"batch {heads}*tokens 128"), cache("k", "batch 1 context 128"), x("w", f"batch tokens {heads}")],
            [y("s", "batch 1 tokens context")],
            {"causal": causal},
        ),
        st.integers(1, 64), st.booleans(),
    ),
    "gated_delta_rule": st.builds(
        lambda heads, size: op(
            "gated_delta_rule",
            [x("qkv", f"batch {3 * heads * size} tokens"), cache("state", f"batch {heads} {size} {size}")],
            [y("o", f"batch tokens {heads} {size}"), cache("state", f"batch {heads} {size} {size}")],
        ),
        st.integers(1, 64), st.sampled_from([64, 128]),
    ),
    "experts": st.builds(
        lambda per_token, more, hidden, width: experts(per_token + more, per_token, hidden, width),
        st.integers(1, 16), st.integers(0, 240), st.integers(64, 4096), st.integers(64, 4096),
    ),
    "selective_scan": st.builds(selective_scan, dim, st.sampled_from([16, 64])),
    "state_space_scan": st.builds(state_space_scan, st.integers(1, 128), st.sampled_from([16, 128, 256])),
    "recurrent": st.builds(recurrent, st.integers(1, 2048), st.integers(1, 4), st.sampled_from(["lstm", "gru"])),
    "pointwise": st.builds(lambda width: streaming("pointwise", width, function="gelu"), dim),
    "normalization": st.builds(lambda width: streaming("normalization", width, function="rms"), dim),
    "softmax": st.builds(lambda width: streaming("softmax", width), dim),
    "copy": st.builds(lambda width: streaming("copy", width), dim),
    "unmodelled": st.builds(lambda width: streaming("aten.mystery", width), dim),
}  # fmt: skip
chips = st.builds(
    lambda make, matrix, vector, bandwidth, cores, power, node, vendor, l2: make(
        peaks={("matrix", "bf16"): matrix, ("vector", "fp32"): vector},
        memory_bandwidth_bytes_per_second=bandwidth,
        cores=cores,
        power_watts=power,
        process_nm=node,
        vendor=vendor,
        l2_bytes=l2,
    ),
    st.sampled_from([gpu, cpu, tpu, lambda **figures: gpu(kind="accelerator", **figures)]),
    st.floats(1e11, 1e16),
    st.floats(1e10, 1e14),
    st.floats(1e10, 2e13),
    st.integers(0, 20_000),
    st.sampled_from([0.0, 70.0, 700.0]),
    st.sampled_from([0.0, 4.0, 7.0, 12.0, 28.0]),
    st.sampled_from(["NVIDIA", "AMD", "Intel", "Nobody"]),
    st.sampled_from([0.0, 4e6, 1e8]),
)
values = st.builds(
    lambda batch, tokens, more: {"batch": batch, "tokens": tokens, "context": tokens + more},
    st.integers(1, 4096),
    st.integers(1, 8192),
    st.integers(0, 100_000),
)
runtimes = st.sampled_from(RUNTIMES)
each_family = pytest.mark.parametrize("family", FAMILIES)
EXACT = 1 - 1e-9  # room for rounding


@each_family
@given(data=st.data(), hardware=chips, runtime=runtimes, sizes=values)
def test_never_below_the_physical_bound(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, sizes: dict[str, int]
) -> None:
    graph = data.draw(FAMILIES[family])
    cost, timed = cost_graph(graph, sizes), times(graph, hardware, runtime, **sizes)
    by_memory = cost.bytes / hardware.memory_bandwidth_bytes_per_second
    by_compute = cost.matrix_flops / hardware.peaks["matrix", "bf16"]
    whole = max(by_memory, by_compute)
    if hardware.kind == "cpu" and hardware.l2_bytes:  # a part of the bytes comes from caches
        assert by_compute <= timed.bound_seconds[0] <= whole * (1 + 1e-9)
    else:
        assert timed.bound_seconds[0] == pytest.approx(whole, rel=1e-9)
    assert timed.device_seconds[0] >= timed.bound_seconds[0] * EXACT
    assert timed.seconds[0] >= timed.device_seconds[0] * EXACT
    assert 0 < half_widths(graph, hardware, runtime, **sizes)[0] < 3


@each_family
@given(data=st.data(), hardware=chips, runtime=runtimes, sizes=values, factor=st.floats(1, 50))
def test_a_better_chip_is_never_slower(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, sizes: dict[str, int], factor: float
) -> None:
    graph = data.draw(FAMILIES[family])
    plain = seconds(graph, hardware, runtime, **sizes)
    bandwidth = hardware.memory_bandwidth_bytes_per_second * factor
    peaks = {key: peak * factor for key, peak in hardware.peaks.items()}
    for better in ({"memory_bandwidth_bytes_per_second": bandwidth}, {"peaks": peaks}, {"l2_bytes": 1e12}):
        assert seconds(graph, replace(hardware, **better), runtime, **sizes) <= plain / EXACT


@each_family
@given(data=st.data(), hardware=chips, runtime=runtimes, sizes=values, more=st.integers(1, 300))
def test_more_work_is_never_faster(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, sizes: dict[str, int], more: int
) -> None:
    graph = data.draw(FAMILIES[family])
    plain = seconds(graph, hardware, runtime, **sizes)
    for name in {"batch", "context"} & {*graph.symbols}:
        # half of the diagonal is dropped: where a window fills up, that shows by less than a percent
        room = 0.99 if family == "attention" else EXACT
        assert seconds(graph, hardware, runtime, **(sizes | {name: sizes[name] + more})) >= plain * room


@each_family
@settings(max_examples=15)
@given(data=st.data(), hardware=chips, runtime=runtimes, rows=st.lists(values, min_size=1, max_size=4))
def test_arrays_give_what_one_by_one_gives(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, rows: list[dict[str, int]]
) -> None:
    graph = data.draw(FAMILIES[family])
    columns = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    together = times(graph, hardware, runtime, **columns)
    widths = half_widths(graph, hardware, runtime, **columns)
    for place, row in enumerate(rows):
        alone = times(graph, hardware, runtime, **row)
        for part in ("seconds", "device_seconds", "compute_seconds", "memory_seconds", "bound_seconds"):
            column = np.broadcast_to(getattr(together, part), len(rows))
            assert column[place] == pytest.approx(getattr(alone, part)[0], rel=1e-9)
        width = half_widths(graph, hardware, runtime, **row)[0]
        assert np.broadcast_to(widths, len(rows))[place] == pytest.approx(width, rel=1e-9)


@each_family
@given(data=st.data(), hardware=chips, runtime=runtimes, sizes=values)
def test_parts_add_up(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, sizes: dict[str, int]
) -> None:
    timed = times(data.draw(FAMILIES[family]), hardware, runtime, **sizes)
    parts = (timed.compute_seconds[0], timed.memory_seconds[0], timed.overhead_seconds[0])
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(timed.device_seconds[0], rel=1e-12)
    assert timed.overhead_seconds[0] > 0  # a kernel has to be started


@each_family
@settings(max_examples=20)
@given(data=st.data(), hardware=chips, runtime=runtimes, sizes=values)
def test_sensitivities_are_derivatives(
    family: str, data: st.DataObject, hardware: Hardware, runtime: str, sizes: dict[str, int]
) -> None:
    """A coefficient moved by a little moves the time by what its sensitivity says, or by less (never by more)."""
    graph = data.draw(FAMILIES[family])
    device = Device(hardware, runtime, {})
    program = compile_graph(graph, device)
    timed = time_program(program, sizes)
    found, plain = sensitivities(timed, program), timed.device_seconds[0]
    for coefficient in device.used_coefficients:
        if coefficient.name not in found:
            continue
        changes = []
        for step in (1e-4, -1e-4):  # where the fastest tile changes, the time has a kink
            moved = {coefficient.name: replace(coefficient, value=coefficient.value * (1 + step))}
            after = time_program(compile_graph(graph, Device(hardware, runtime, moved)), sizes).device_seconds[0]
            changes.append(abs(after - plain) / abs(step))
        sensitivity = found[coefficient.name]
        assert min(changes) <= abs(sensitivity) * 1.01 + plain * 1e-3
        assert sensitivity <= plain / EXACT


def with_coefficients(change: Callable[[Coefficient], float], graph: Graph, **sizes: Any) -> float:
    device = Device(gpu(), "graphs", {})
    time_program(compile_graph(graph, device), sizes)
    moved = {own.name: replace(own, value=change(own)) for own in device.used_coefficients}
    return float(time_program(compile_graph(graph, Device(gpu(), "graphs", moved)), sizes).device_seconds[0])


def test_a_perfect_gemm_on_a_perfect_chip_is_close_to_the_roofline() -> None:
    def ideal(own: Coefficient) -> float:
        if "overlap" in own.name:
            return own.value
        return 1.0 if "efficiency" in own.name else 1e-12

    perfect = with_coefficients(ideal, linear(16384, 16384), batch=16384)
    assert perfect == pytest.approx(2 * 16384**3 / 1000e12, rel=0.05)
