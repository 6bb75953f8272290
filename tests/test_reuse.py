"""Reuse distances by hand, and what caches hold by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.reuse import INNER_SHARPNESS, LAST_SHARPNESS, cached_shares, touches_of
from perfmodel.types import Graph, Op, Tensor

KIB = 1024


def chain(repeat: int = 1) -> Graph:
    """x (1 KiB) -> a -> b in a block -> c reads b and, once more, x."""
    tensors = {name: Tensor(name=name, shape=(256,), dtype="fp32", kind=kind) for name, kind in (
        ("x", "input"), ("w", "weight"), ("a", "activation"), ("b", "activation"), ("c", "activation"))}  # fmt: skip
    ops = (
        Op(name="first", kind="pointwise", inputs=("x",), outputs=("a",)),
        Op(name="inside", kind="pointwise", inputs=("a", "w"), outputs=("b",), repeat=repeat, block="block"),
        Op(name="last", kind="pointwise", inputs=("b", "x"), outputs=("c",)),
    )
    return Graph(name="chain", ops=ops, tensors=tensors)  # type: ignore[arg-type]


def shares(graph: Graph, op_bytes: list[float], caches: tuple[float, ...]) -> list[np.ndarray]:
    rows: dict = {}
    touches = touches_of(graph, rows)
    sizes = np.array([float(size) for size in rows])[:, None]
    return cached_shares(touches, sizes, np.array(op_bytes)[:, None], caches)


def held(distance: float, cache: float, sharpness: int = LAST_SHARPNESS) -> float:
    return 1 / (1 + (distance / cache) ** sharpness)


def test_distances_by_hand() -> None:
    moved = [2.0 * KIB, 3.0 * KIB, 3.0 * KIB]
    cache = 5.0 * KIB
    (found,) = shares(chain(), moved, (cache,))
    # x comes round once a pass (8 KiB); an output goes where the op and the one before worked
    assert found[0, 0] == pytest.approx((held(8 * KIB, cache) + held(2 * KIB, cache)) / 2)
    # a was written by the op before: this op's own 3 KiB lie between
    assert found[1, 0] == pytest.approx((held(3 * KIB, cache) + held(8 * KIB, cache) + held(5 * KIB, cache)) / 3)
    # b likewise; x was read two ops ago
    assert found[2, 0] == pytest.approx((held(3 * KIB, cache) + held(6 * KIB, cache) + held(6 * KIB, cache)) / 3)


def test_turns_of_a_block_lie_between() -> None:
    moved, cache = [2.0 * KIB, 3.0 * KIB, 3.0 * KIB], 5.0 * KIB
    once, often = (shares(chain(repeat), moved, (cache,))[0] for repeat in (1, 10))
    assert often[2, 0] < once[2, 0]  # x was read before all ten turns
    assert often[2, 0] == pytest.approx((held(3 * KIB, cache) + held(33 * KIB, cache) + held(6 * KIB, cache)) / 3)


def test_views_are_what_they_show() -> None:
    tensors = {name: Tensor(name=name, shape=(256,), dtype="fp32", kind="activation") for name in ("x", "a", "v", "c")}
    ops = (
        Op(name="first", kind="pointwise", inputs=("x",), outputs=("a",)),
        Op(name="view", kind="view", inputs=("a",), outputs=("v",)),
        Op(name="last", kind="pointwise", inputs=("v",), outputs=("c",)),
    )
    touches = touches_of(Graph(name="viewed", ops=ops, tensors=tensors), {})
    assert touches.before[touches.ops == 2].tolist() == [0, -1]


@given(st.lists(st.floats(1, 1e9), min_size=3, max_size=3), st.floats(1, 1e9), st.floats(1, 1e9))
def test_shares_are_shares_and_grow_with_the_cache(moved: list[float], inner: float, more: float) -> None:
    two = shares(chain(3), moved, (inner, inner + more))
    assert all(np.all((share >= 0) & (share <= 1)) for share in two)
    assert np.all(sum(two) <= 1 + 1e-9)
    (smaller,), (larger,) = shares(chain(3), moved, (inner,)), shares(chain(3), moved, (inner + more,))
    assert np.all(larger >= smaller)


def test_an_inner_cache_has_a_softer_edge() -> None:
    assert held(2.0, 1.0, INNER_SHARPNESS) > held(2.0, 1.0, LAST_SHARPNESS)


def test_a_graph_of_nothing_but_views_touches_nothing() -> None:
    tensors = {name: Tensor(name=name, shape=(256,), dtype="fp32", kind="activation") for name in ("x", "v")}
    viewed = Graph(name="viewed", ops=(Op(name="v", kind="view", inputs=("x",), outputs=("v",)),), tensors=tensors)
    (found,) = shares(viewed, [0.0], (1e6,))
    assert found.tolist() == [[0.0]]
