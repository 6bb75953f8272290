"""How many experts a batch touches, and what follows for the bytes."""

import math

import numpy as np
import pytest
from builders import experts, op, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.costs.routing import distinct_experts
from perfmodel.errors import GraphError

choices = st.integers(1, 512).flatmap(lambda e: st.tuples(st.just(e), st.integers(1, e)))


@given(choices, st.integers(1, 10**6))
def test_distinct_experts_is_monotone_and_bounded(chosen: tuple[int, int], tokens: int) -> None:
    e, k = chosen
    touched = distinct_experts(e, k, tokens)
    assert k * (1 - 1e-9) <= touched <= min(e, tokens * k) * (1 + 1e-9)
    assert touched <= distinct_experts(e, k, tokens + 1) * (1 + 1e-12)
    assert distinct_experts(e, k, 1) == pytest.approx(k)
    if k < e:
        assert touched <= distinct_experts(e, k + 1, tokens) * (1 + 1e-12)


@pytest.mark.parametrize(("e", "k", "tokens"), [(8, 2, 3), (64, 8, 10), (128, 8, 64), (256, 8, 16)])
def test_distinct_experts_equals_drawing_them(e: int, k: int, tokens: int) -> None:
    """Each token draws k of E without putting back; the mean of 2000 draws has a small standard error."""
    random = np.random.default_rng(7)
    order = np.argsort(random.random((2000, tokens, e)), axis=2)[:, :, :k].reshape(2000, -1)
    touched = np.array([len(set(row)) for row in order.tolist()])
    error = touched.std() / math.sqrt(len(touched))
    assert abs(touched.mean() - distinct_experts(e, k, tokens)) < 4 * error + 1e-9


@given(st.integers(1, 5000))
def test_a_token_pays_for_its_experts_only(tokens: int) -> None:
    sparse, dense = (cost_graph(experts(64, k, 256, 128), {"batch": tokens}) for k in (4, 64))
    assert dense.matrix_flops == 16 * sparse.matrix_flops == 16 * tokens * 4 * 2 * 3 * 256 * 128
    assert sparse.weight_bytes <= dense.weight_bytes == 64 * 3 * 256 * 128 * 2


def test_an_expert_chosen_by_all_is_a_plain_gated_mlp() -> None:
    cost = cost_graph(experts(1, 1, 256, 128), {"batch": 10})
    assert cost.weight_bytes == 3 * 256 * 128 * 2
    assert cost.matrix_flops == 2 * 10 * 3 * 256 * 128


@pytest.mark.parametrize(
    ("up", "down", "attributes", "message"),
    [
        ("8 64 32", "8 32 33", {}, "widths of the two weights differ"),
        ("8 64 32", "9 32 32", {}, "expert counts of the two weights differ: 8 and 9"),
        ("8 64 31", "8 31 32", {}, "hidden sizes of input and first weight differ: 32 and 31"),
        ("64 32", "8 32 32", {}, "'up' must have 3 dimensions"),
        ("8 64 32", "8 32 32", {"experts_per_token": 9}, "experts_per_token must be between 1 and 8, is 9"),
        ("8 64 32", "8 32 32", {"experts_per_token": 0}, "experts_per_token must be between 1 and 8, is 0"),
        ("8 64 32", "8 32 32", {"gated": False}, "widths of the two weights differ"),
    ],
)
def test_what_does_not_fit(up: str, down: str, attributes: dict[str, object], message: str) -> None:
    inputs = [x("x", "batch 32"), w("up", up), w("down", down)]
    block = op("experts", inputs, [y("y", "batch 32")], {"experts_per_token": 2, "gated": True} | attributes)
    with pytest.raises(GraphError, match=f"op 'experts' .*{message}"):
        cost_graph(block, {"batch": 1})


def test_gate_and_up_may_lie_in_pieces_of_different_formats() -> None:
    gate, up, down = w("gate", "8 64 256", "q4_k"), w("up", "8 64 256", "q6_k"), w("down", "8 256 64")
    attributes = {"experts_per_token": 2, "gated": True}
    stacked = op("experts", [x("x", "5 256"), gate, up, down], [y("y", "5 256")], attributes | {"stacked": 2})
    whole = op("experts", [x("x", "5 256"), w("first", "8 128 256"), down], [y("y", "5 256")], attributes)
    assert cost_graph(stacked).matrix_flops == cost_graph(whole).matrix_flops
    share = distinct_experts(8, 2, 5) / 8
    assert cost_graph(stacked).weight_bytes == pytest.approx(share * 8 * (64 * 144 + 64 * 210 + 2 * 256 * 64))


@given(st.sampled_from([1, 2, 4, 8, 64]), st.integers(1, 5000), st.floats(1, 2))
def test_devices_with_whole_experts_share_pairs_and_weights(devices: int, tokens: int, skew: float) -> None:
    """All tokens come to each device, which has its part of the experts; the busiest computes more than its part."""
    all_of_them = cost_graph(experts(64, 8, 256, 128), {"batch": tokens})
    inputs = [x("x", "batch 256"), w("up", f"{64 // devices} 256 256"), w("down", f"{64 // devices} 256 128")]
    attributes = {"experts_per_token": 8, "gated": True, "experts": 64, "load_skew": skew}
    own = cost_graph(op("experts", inputs, [y("y", "batch 256")], attributes), {"batch": tokens})
    assert own.weight_bytes * devices == pytest.approx(all_of_them.weight_bytes)
    assert own.matrix_flops * devices == pytest.approx(skew * all_of_them.matrix_flops)


def test_fewer_experts_than_the_weights_have_are_refused() -> None:
    inputs = [x("x", "batch 32"), w("up", "8 64 32"), w("down", "8 32 32")]
    block = op("experts", inputs, [y("y", "batch 32")], {"experts_per_token": 2, "gated": True, "experts": 4})
    with pytest.raises(GraphError, match="experts must be at least the 8 of the weights, is 4"):
        cost_graph(block, {"batch": 1})


def test_who_goes_to_which_expert_is_no_weight() -> None:
    choice = [y("weights", "batch 2"), y("chosen", "batch 2", "int32")]
    inputs = [x("x", "batch 32"), w("up", "8 64 32"), w("down", "8 32 32"), *choice]
    attributes = {"experts_per_token": 2, "gated": True}
    alone, routed = (op("experts", own, [y("y", "batch 32")], attributes) for own in (inputs[:3], inputs))
    assert cost_graph(alone, {"batch": 9}).weight_bytes == cost_graph(routed, {"batch": 9}).weight_bytes
