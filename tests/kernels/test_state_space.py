"""State-space scans: their state is what a step moves, exponentials and chunks are what a prompt takes."""

import pytest
from builders import gpu, seconds, selective_scan, state_space_scan, times


@pytest.mark.parametrize("graph", [selective_scan(), state_space_scan()], ids=["mamba", "mamba2"])
def test_a_longer_prompt_takes_longer_and_in_proportion(graph: object) -> None:
    short, long = (seconds(graph, gpu(), batch=1, tokens=tokens) for tokens in (8192, 16384))  # type: ignore[arg-type]
    assert 1.8 * short < long < 2.05 * short


def test_a_step_moves_its_state() -> None:
    """64 heads x 64 channels x 128 states, read and written, for each of 256 sequences."""
    timed = times(state_space_scan(), gpu(memory_bandwidth_bytes_per_second=1e12), batch=256, tokens=1)
    state = 2 * 256 * 64 * 64 * 128 * 2
    assert timed.memory_seconds[0] > state / 1e12
    assert timed.memory_seconds[0] > 0.8 * timed.device_seconds[0]


def test_a_selective_scan_waits_for_the_vector_unit() -> None:
    slow, fast = (
        times(selective_scan(), gpu(peaks={("matrix", "bf16"): 1e15, ("vector", "fp32"): rate}), batch=1, tokens=4096)
        for rate in (1e13, 1e14)
    )
    assert slow.compute_seconds[0] > 5 * fast.compute_seconds[0]


def test_smaller_chunks_pass_more_states_through_memory() -> None:
    small, large = (
        times(state_space_scan(chunk=chunk), gpu(memory_bandwidth_bytes_per_second=1e11), batch=1, tokens=8192)
        for chunk in (64, 512)
    )
    assert small.memory_seconds[0] > large.memory_seconds[0]
