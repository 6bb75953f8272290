"""Pairs and active experts of one device, against drawing them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs.experts import cost_experts
from perfmodel.costs.routing import distinct_experts, expert_load


def drawn_load(experts: int, per_token: int, tokens: int, exponent: float, ranks: int) -> tuple[float, float]:
    """Pairs and active experts of the device with the most pairs, mean of 60 draws of the benchmark's procedure."""
    random, tail, pairs = np.random.default_rng(3), 1 - exponent, tokens * per_token
    low, high = (1.0, 0.8 * tokens) if pairs > experts else (0.01, 2.0)
    found = []
    for _ in range(60):
        drawn = (low**tail + (high**tail - low**tail) * random.random(experts)) ** (1 / tail)
        load = np.minimum(np.round(drawn / drawn.sum() * pairs), tokens).reshape(ranks, -1)
        for step in range(max(int(pairs - load.sum()), 0)):  # what rounding and the cap took off, to the emptiest
            rank = load[step % ranks]
            rank[rank.argmin()] += 1
        mine = load[load.sum(axis=1).argmax()]
        found.append((mine.sum(), (mine > 0).sum()))
    pairs_mean, active_mean = np.mean(found, axis=0)
    return float(pairs_mean), float(active_mean)


@pytest.mark.parametrize("exponent", [1.01, 1.2])
@pytest.mark.parametrize(
    ("experts", "per_token", "tokens", "ranks"),
    [(256, 8, 16, 1), (256, 8, 64, 1), (128, 8, 1024, 1), (256, 8, 256, 8), (128, 8, 4096, 8), (384, 8, 512, 32)],
)
def test_a_power_law_is_like_drawing_it(experts: int, per_token: int, tokens: int, ranks: int, exponent: float) -> None:
    expected = drawn_load(experts, per_token, tokens, exponent, ranks)
    found = expert_load(experts / ranks, per_token / ranks, tokens, exponent, ranks)
    assert np.asarray(found) == pytest.approx(expected, rel=0.15)


def test_the_busiest_device_has_more_than_its_share() -> None:
    pairs = [float(expert_load(256 / ranks, 8 / ranks, 1024, 1.2, ranks)[0]) * ranks for ranks in (1, 2, 8, 64)]
    assert pairs == sorted(pairs)
    assert pairs[0] == pytest.approx(8 * 1024)
    assert pairs[-1] > 3 * pairs[0]


@given(
    st.sampled_from([8, 60, 128, 512]), st.integers(1, 8), st.integers(1, 10**5), st.sampled_from([1, 2, 4]),
    st.sampled_from([0.0, 0.6, 1.0, 1.2, 2.0]),
)  # fmt: skip
def test_the_load_is_bounded(experts: int, per_token: int, tokens: int, ranks: int, exponent: float) -> None:
    mine = experts / ranks
    pairs, active = expert_load(mine, per_token / ranks, tokens, exponent, ranks)
    assert per_token * tokens / ranks * (1 - 1e-9) <= pairs <= per_token * tokens + 1e-9
    assert 1 <= active <= min(mine, pairs) * (1 + 1e-9)


def test_balanced_tokens_take_a_new_expert_each() -> None:
    pairs, active = expert_load(64.0, 8.0, np.array([1.0, 4.0, 100.0]), 0.0)
    assert pairs.tolist() == [8, 32, 800]
    assert active.tolist() == [8, 32, 64]
    assert distinct_experts(64, 8, 4) < 32


def test_an_unknown_exponent_is_random_routing() -> None:
    pairs, active = expert_load(256.0, 8.0, 64.0, np.array([np.nan, 1.2]), 1.0)
    assert (pairs[0], active[0]) == (512, pytest.approx(distinct_experts(256, 8, 64)))
    assert active[1] < active[0]


def test_a_skewed_load_reads_fewer_weights() -> None:
    sizes = {"t": 64.0, "d": 256.0, "u": 256.0, "f": 128.0, "e": 256.0, "k": 8.0, "parameters": 5e8}
    uniform, skewed = (
        cost_experts(**sizes, weight_bytes=1e9, activation="bf16", compute="bf16", power_law=exponent)
        for exponent in (None, 1.2)
    )
    assert skewed.weight_bytes < 0.95 * uniform.weight_bytes
    assert skewed.matrix_flops == uniform.matrix_flops
