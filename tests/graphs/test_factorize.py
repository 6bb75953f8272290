"""Low rank: FLOPs and weights of two factors, exactly."""

import pytest
from builders import op, w, x, y
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.factorize import factorize

DIMS = st.integers(1, 300)


def linear(n: int, k: int):  # type: ignore[no-untyped-def]
    tensors = [x("x", f"batch {k}"), w("w", f"{n} {k}"), w("b", f"{n}"), y("y", f"batch {n}")]
    return op("linear", tensors[:3], tensors[3:])


@given(m=DIMS, n=DIMS, k=DIMS, share=st.floats(0.001, 1.0))
def test_flops_and_weights_are_r_times_n_plus_k(m: int, n: int, k: int, share: float) -> None:
    rank = max(int(share * min(n, k) + 0.5), 1)
    split = factorize(linear(n, k), share)
    check_graph(split)
    cost = cost_graph(split.bind(batch=m))
    assert cost.matrix_flops == 2 * m * rank * (n + k)
    assert cost.weight_bytes == 2 * (rank * (n + k) + n)
    assert cost.launches == 2
    whole = cost_graph(linear(n, k).bind(batch=m))
    assert (cost.matrix_flops < whole.matrix_flops) == (rank < n * k / (n + k))


def test_the_logits_and_tied_weights_stay_whole() -> None:
    split = factorize(load_model("gpt2-small").phases["decode"], 0.5)
    names = [each.name for each in split.ops if each.kind == "linear"]
    assert "head" in names
    assert {"layer.mlp.up.first", "layer.mlp.up.second"} <= set(names)
    assert "layer.mlp.up.weight" not in split.tensors


def test_what_has_no_linear_layers_is_refused() -> None:
    tensors = [x("x", "batch 8"), y("y", "batch 8")]
    with pytest.raises(UnsupportedError, match="no linear layers"):
        factorize(op("pointwise", tensors[:1], tensors[1:], {"function": "relu"}), 0.5)
    with pytest.raises(InputError, match="rank: 2"):
        factorize(linear(4, 4), 2.0)
