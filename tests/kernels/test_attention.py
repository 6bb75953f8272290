"""Fused attention: prompts, decode steps, grouped heads, windows."""

import pytest
from builders import attention, gpu, seconds, times
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 64), st.integers(1, 16384), st.integers(1, 4096))
def test_a_longer_prompt_is_never_faster(batch: int, tokens: int, more: int) -> None:
    short, long = (
        seconds(attention(), gpu(), batch=batch, tokens=length, context=length) for length in (tokens, tokens + more)
    )
    assert long >= short * (1 - 1e-9)


@given(st.integers(1, 64), st.integers(2, 64), st.integers(64, 131072))
def test_several_queries_at_once_are_never_slower_than_one_by_one(batch: int, tokens: int, context: int) -> None:
    one, several = (seconds(attention(), gpu(), batch=batch, tokens=s, context=context) for s in (1, tokens))
    assert several <= tokens * one * (1 + 1e-9)


def test_a_few_queries_to_a_long_context_cost_what_one_does() -> None:
    """Speculative decoding: four queries read the same keys."""
    one, four = (seconds(attention(), gpu(), batch=1, tokens=s, context=32768) for s in (1, 4))
    assert four < 1.1 * one


def test_decode_reads_keys_at_the_achievable_bandwidth() -> None:
    timed = times(attention(), gpu(), batch=64, tokens=1, context=8192)
    assert timed.memory_seconds[0] > 0.9 * timed.device_seconds[0]
    assert 0.7 < timed.bound_seconds[0] / timed.device_seconds[0] < 0.85


def test_a_long_prompt_is_bound_by_compute() -> None:
    timed = times(attention(), gpu(), batch=4, tokens=8192, context=8192)
    assert timed.compute_seconds[0] > 0.9 * timed.device_seconds[0]
    assert 0.35 < timed.bound_seconds[0] / timed.device_seconds[0] < 0.75


@given(st.integers(1, 64), st.integers(1, 65536))
def test_grouped_heads_are_never_slower_in_decode(batch: int, context: int) -> None:
    many, few = (seconds(attention(32, k), gpu(), batch=batch, tokens=1, context=context) for k in (32, 8))
    assert few <= many * (1 + 1e-9)


@given(st.integers(1, 8192), st.integers(0, 8192), st.integers(1, 8192))
def test_a_window_is_never_slower(tokens: int, more: int, window: int) -> None:
    sizes = {"batch": 2, "tokens": tokens, "context": tokens + more}
    windowed, full = (seconds(attention(window=keys), gpu(), **sizes) for keys in (window, 0))
    assert windowed <= full * 1.01  # the dropped half of the diagonal shows where there are only a few keys


def test_short_heads_reach_less_of_the_peak() -> None:
    """The exponentials are as many for a head size of 64 as for 128, at half of the FLOPs."""
    shares = []
    for heads, size in ((64, 64), (32, 128)):
        timed = times(attention(heads, heads, size), gpu(), batch=4, tokens=8192, context=8192)
        shares.append(timed.bound_seconds[0] / timed.device_seconds[0])
    assert shares[0] < 0.9 * shares[1]


@pytest.mark.parametrize("causal", [False, True])
def test_the_time_of_a_sweep_is_linear_in_heads_when_large(causal: bool) -> None:
    sizes = {"batch": 4, "tokens": 8192, "context": 8192}
    one, two = (seconds(attention(heads, heads, causal=causal), gpu(), **sizes) for heads in (32, 64))
    assert two == pytest.approx(2 * one, rel=0.02)


def share_of_peak(heads: int, tokens: int) -> float:
    timed = times(attention(heads, heads), gpu(), batch=1, tokens=tokens, context=tokens)
    return float(timed.bound_seconds[0] / timed.device_seconds[0])


def test_one_head_does_not_fill_the_chip() -> None:
    """64 blocks of rows keep 100 cores waiting for the last one; 64 heads of them do not."""
    assert share_of_peak(1, 4096) < 0.5 * share_of_peak(64, 4096)


def test_the_wait_for_the_last_blocks_does_not_grow_with_heads() -> None:
    few, many = (seconds(attention(heads, heads), gpu(), batch=1, tokens=8192, context=8192) for heads in (8, 16))
    assert many < 1.95 * few


def test_eight_bits_do_not_halve_the_time_of_a_prompt() -> None:
    """The exponentials stay, and matrix units reach less of a higher peak."""
    chip = gpu(peaks={("matrix", "bf16"): 1e15, ("matrix", "fp8"): 2e15, ("vector", "fp32"): 1e14})
    wide, narrow = (
        seconds(attention(compute=dtype), chip, batch=4, tokens=8192, context=8192) for dtype in ("bf16", "fp8")
    )
    assert 0.55 * wide < narrow < wide


def test_starting_blocks_is_hidden_by_reading_keys() -> None:
    """2048 blocks alone take long; with 4096 keys each, the time is that of the keys."""
    graph = attention(32, 32, causal=False)
    short, long = (times(graph, gpu(), batch=64, tokens=1, context=keys) for keys in (1, 4096))
    blocks = short.device_seconds[0] - short.overhead_seconds[0]
    keys = long.device_seconds[0] - long.overhead_seconds[0] - long.memory_seconds[0]
    assert keys < 0.5 * blocks


def test_one_long_context_is_split_over_the_cores() -> None:
    """The same bytes in one sequence or in 64: with one block for all keys it would take some 50 times as long."""
    graph = attention(8, 8, causal=False)
    one, many = (seconds(graph, gpu(), batch=b, tokens=1, context=2**17 // b) for b in (1, 64))
    assert one < 1.5 * many


def test_tf32_is_kept_in_fp32_and_runs_with_a_cache() -> None:
    assert seconds(attention(compute="tf32"), gpu(), batch=1, tokens=1, context=4096) > 0
