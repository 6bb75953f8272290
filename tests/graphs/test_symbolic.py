"""Polynomials through several traces, with functions in place of a torch module."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import ModelError
from perfmodel.graphs.symbolic import SymbolRange, trace_at_prime, trace_symbolic
from perfmodel.sizes import parse_size
from perfmodel.types import Graph, Op, Tensor


def graph_of(shape, attributes=None, kind="activation", ops=1):
    tensors = {
        "x": Tensor(name="x", shape=(8,), dtype="fp32", kind="input"),
        **{f"y{i}": Tensor(name=f"y{i}", shape=tuple(shape), dtype="fp32", kind=kind) for i in range(ops)},
    }
    made = tuple(
        Op(name=f"op{i}", kind="pointwise", inputs=("x",), outputs=(f"y{i}",), attributes=attributes or {})
        for i in range(ops)
    )
    return Graph(name="g", ops=made, tensors=tensors)


BOTH = {"batch": SymbolRange(1), "tokens": SymbolRange(128, shrinks=True)}


def test_dimensions_become_polynomials():
    graph = trace_symbolic(lambda s: graph_of([s["batch"], s["batch"] * s["tokens"], s["tokens"] + 1, 7]), BOTH)
    assert graph.tensors["y0"].shape == tuple(map(parse_size, ("batch", "batch*tokens", "tokens + 1", "7")))
    assert graph.symbols == ("batch", "tokens")
    assert graph.notes == ()


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.integers(1, 9), st.integers(1, 40))
def test_any_bilinear_size_is_found(coefficients, batch, tokens):
    def dim(sizes):
        a, b, c, d = coefficients
        return 1 + a + b * sizes["batch"] + c * sizes["tokens"] + d * sizes["batch"] * sizes["tokens"]

    graph = trace_symbolic(lambda sizes: graph_of([dim(sizes)]), BOTH)
    point = {"batch": batch, "tokens": tokens}
    assert graph.bind(**point).tensors["y0"].shape == (dim(point),)


def test_a_square_is_found_with_more_traces():
    graph = trace_symbolic(lambda s: graph_of([s["batch"] * s["tokens"] ** 2 + 1]), BOTH)
    assert graph.tensors["y0"].shape == (parse_size("batch*tokens**2 + 1"),)


def test_a_stride_divides_exactly():
    graph = trace_symbolic(lambda s: graph_of([s["frames"] // 4]), {"frames": SymbolRange(100)})
    assert graph.tensors["y0"].shape == (parse_size("frames//4"),)


def test_counts_in_attributes_follow():
    graph = trace_symbolic(lambda s: graph_of([1], {"axis_size": s["tokens"], "causal": True}), BOTH)
    assert graph.ops[0].attributes == {"axis_size": parse_size("tokens"), "causal": True}


@pytest.mark.parametrize(
    ("dim", "reason"),
    [
        (lambda s: min(s["tokens"], 64), "dimension 1 of 'y0' is no polynomial in batch, tokens"),
        (lambda s: 2 ** (s["tokens"] // 16), "no polynomial"),
        (lambda s: -(-s["tokens"] // 48), "no polynomial"),
    ],
)
def test_what_is_no_polynomial_keeps_its_size(dim, reason):
    graph = trace_symbolic(lambda s: graph_of([s["batch"], dim(s)]), BOTH)
    assert graph.symbols == ("batch",)
    assert graph.tensors["y0"].shape == (parse_size("batch"), dim({"tokens": 128}))
    assert len(graph.notes) == 1
    assert graph.notes[0].startswith("tokens is fixed at 128: ")
    assert reason in graph.notes[0]


def test_other_ops_at_other_sizes_fix_the_symbol_that_causes_them():
    graph = trace_symbolic(lambda s: graph_of([s["tokens"]], ops=s["batch"]), {**BOTH, "batch": SymbolRange(8)})
    assert graph.symbols == ("tokens",)
    assert len(graph.ops) == 8
    assert graph.notes == ("batch is fixed at 8: the number of ops goes from 8 to 16 when batch is 16 instead of 8",)


def test_flags_that_change_fix_the_symbol():
    graph = trace_symbolic(lambda s: graph_of([1], {"causal": s["batch"] > 2}), {"batch": SymbolRange(1)})
    assert graph.symbols == ()
    assert "first at 'op0'" in graph.notes[0]
    assert graph.ops[0].attributes == {"causal": False}


def test_a_size_the_model_cannot_run_with_fixes_the_symbol():
    def trace(sizes):
        if sizes["tokens"] != 128:
            raise ModelError("only 128 positions")
        return graph_of([sizes["batch"], sizes["tokens"]])

    graph = trace_symbolic(trace, BOTH)
    assert graph.tensors["y0"].shape == (parse_size("batch"), 128)
    assert graph.notes == ("tokens is fixed at 128: at batch=2, tokens=64, only 128 positions",)


def test_a_model_that_never_runs_says_so():
    def trace(_):
        raise ModelError("broken")

    with pytest.raises(ModelError, match=r"^broken$"):
        trace_symbolic(trace, BOTH)


def test_a_buffer_as_long_as_the_request_is_read_like_an_input():
    graph = trace_symbolic(lambda s: graph_of([s["tokens"], 64], kind="weight"), BOTH)
    assert graph.tensors["y0"].kind == "input"


def test_each_size_is_traced_once():
    seen = []

    def trace(sizes):
        seen.append(tuple(sizes.items()))
        return graph_of([sizes["batch"] * sizes["tokens"]])

    trace_symbolic(trace, BOTH)
    assert len(seen) == len(set(seen))
    assert len(seen) == 5


@given(st.integers(1, 5000), st.booleans(), st.integers(2, 4))
def test_nodes_are_distinct_and_never_one(example, shrinks, count):
    nodes = SymbolRange(example, shrinks).nodes(count)
    assert len(set(nodes)) == count
    assert min(nodes) > 1
    assert example == 1 or nodes[0] == example


# ----------------------------------------------------------------------------------- one trace at a prime


def at_prime(trace, example=2):
    """The graph from one trace at a prime, and the sizes that were traced."""
    traced = []

    def recorded(sizes):
        traced.append(sizes["batch"])
        return trace(sizes)

    return trace_at_prime(recorded, "batch", SymbolRange(example)), traced


def test_multiples_of_the_prime_grow_with_the_symbol():
    graph, traced = at_prime(
        lambda s: graph_of([s["batch"], 49 * s["batch"], 64, s["batch"] ** 2], {"axis_size": 8 * s["batch"], "k": 3})
    )
    assert len(traced) == 1
    assert graph.symbols == ("batch",)
    assert graph.tensors["y0"].shape == tuple(map(parse_size, ("batch", "49*batch", "64", "batch**2")))
    assert graph.ops[0].attributes == {"axis_size": parse_size("8*batch"), "k": 3}
    assert graph.tensors["x"].shape == (8,)


def test_flags_and_other_attributes_are_kept():
    attributes = {"causal": True, "function": "add", "kernel": [3, 3], "axis_size": 7}
    graph, _ = at_prime(lambda s: graph_of([s["batch"]], attributes))
    assert graph.ops[0].attributes == attributes


@given(st.integers(0, 99_999), st.integers(1, 4096), st.integers(1, 64))
def test_one_trace_says_what_several_say(constant, factor, batch):
    def trace(sizes):
        return graph_of([constant, factor * sizes["batch"]], {"axis_size": factor})

    one, _ = at_prime(trace)
    assert one == trace_symbolic(trace, {"batch": SymbolRange(2)})
    assert one.bind(batch=batch).tensors["y0"].shape == (constant, factor * batch)


@pytest.mark.parametrize(
    "dim",
    [
        lambda batch: batch + 1,
        lambda batch: 3 * batch - 1,
        lambda batch: batch * (batch + 1),
        lambda batch: 2 * batch + 7,
    ],
)
def test_a_size_that_is_no_multiple_takes_several_traces(dim):
    def trace(sizes):
        return graph_of([sizes["batch"], dim(sizes["batch"])])

    graph, traced = at_prime(trace)
    assert len(traced) > 2
    assert graph == trace_symbolic(trace, {"batch": SymbolRange(2)})
    assert graph.bind(batch=5).tensors["y0"].shape == (5, dim(5))


def test_an_attribute_that_is_no_multiple_takes_several_traces():
    graph, _ = at_prime(lambda s: graph_of([s["batch"]], {"axis_size": s["batch"] + 1}))
    assert graph.ops[0].attributes == {"axis_size": parse_size("batch + 1")}


def test_a_model_that_does_not_run_at_the_prime_takes_several_traces():
    def trace(sizes):
        if sizes["batch"] > 1000:
            raise ModelError("too many")
        return graph_of([sizes["batch"]])

    assert at_prime(trace)[0].tensors["y0"].shape == (parse_size("batch"),)


def test_large_weights_are_numbers_parts_that_grow_are_inputs():
    def trace(sizes):
        graph = graph_of([sizes["batch"]])
        table = Tensor(name="table", shape=(250_000, 64), dtype="fp32", kind="weight")
        rows = Tensor(name="rows", shape=(sizes["batch"], 64), dtype="fp32", kind="weight")
        return replace(graph, tensors={**graph.tensors, "table": table, "rows": rows})

    graph, traced = at_prime(trace)
    assert len(traced) == 1
    assert (graph.tensors["table"].shape, graph.tensors["table"].kind) == ((250_000, 64), "weight")
    assert (graph.tensors["rows"].shape, graph.tensors["rows"].kind) == ((parse_size("batch"), 64), "input")
