"""Fused graphs do the same work with less traffic."""

from typing import Any

import pytest
from builders import cache, chain, cpu, gpu, graph, seconds, tpu, w, x, y
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.graphs import list_models, load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.fusion import MAX_MEMBERS, fuse
from perfmodel.types import Graph, Op, Tensor

ROWS = "batch 64"
VALUES = {"batch": 3}
GELU, ADD, RMS = {"function": "gelu"}, {"function": "add"}, {"function": "rms"}


def rows(*ops: tuple[Any, ...], **others: Tensor) -> Graph:
    """Ops over tensors of the same shape; x0, x1, ... are inputs."""
    names = dict.fromkeys(name for _, _, read, written, *_ in ops for name in (*read.split(), *written.split()))
    tensors = [others.get(name) or (x(name, ROWS) if name[0] == "x" else y(name, ROWS)) for name in names]
    return graph(tensors, *chain(*ops))


def kinds(of: Graph) -> list[str]:
    return [op.kind for op in of.ops]


def test_a_chain_becomes_one_op_and_its_intermediates_vanish() -> None:
    plain = rows(("a", "pointwise", "x0", "p", GELU), ("b", "pointwise", "p x1", "q", ADD), ("c", "copy", "q", "r"))
    fused = fuse(plain)
    assert len(fused.ops) == 1
    only = fused.ops[0]
    assert (only.name, only.kind, only.inputs, only.outputs) == ("a+b+c", "pointwise", ("x0", "x1"), ("r",))
    assert only.attributes == {"function": "fused", "functions": ["gelu", "add", "copy"]}
    assert set(fused.tensors) == {"x0", "x1", "r"}
    before, after = cost_graph(plain, VALUES), cost_graph(fused, VALUES)
    assert after.bytes == 3 * 64 * 2 * 3
    assert after.vector_flops == before.vector_flops
    assert after.launches == 1


def test_an_intermediate_that_others_read_stays_an_output() -> None:
    """The sum of a residual stream goes through the norm and on to the next block."""
    plain = rows(
        ("add", "pointwise", "x0 x1", "sum", ADD),
        ("norm", "normalization", "sum", "n", RMS),
        ("layer", "linear", "n w", "z"),
        ("next", "pointwise", "z sum", "out", ADD),
        w=w("w", "64 64"),
    )
    fused = fuse(plain)
    check_graph(fused)
    assert kinds(fused) == ["normalization", "linear", "pointwise"]
    assert fused.ops[0].outputs == ("n", "sum")
    assert cost_graph(plain, VALUES).bytes - cost_graph(fused, VALUES).bytes == 3 * 64 * 2  # the sum is read once less


def test_a_kernel_holds_one_normalization_or_softmax() -> None:
    plain = rows(
        ("a", "pointwise", "x0", "p", GELU),
        ("b", "normalization", "p", "q", RMS),
        ("c", "pointwise", "q", "r", GELU),
        ("d", "softmax", "r", "s"),
        ("e", "copy", "s", "t", {"function": "cast"}),
    )
    assert [(op.kind, op.attributes["functions"]) for op in fuse(plain).ops] == [
        ("normalization", ["gelu", "rms", "gelu"]),
        ("softmax", ["softmax", "cast"]),
    ]


def test_nothing_joins_after_a_reduction() -> None:
    sums = {name: y(name, "batch") for name in ("s", "t")}
    plain = rows(
        ("a", "pointwise", "x0", "p", GELU),
        ("b", "reduce", "p", "s", {"function": "sum"}),
        ("c", "pointwise", "s", "t", GELU),
        **sums,
    )
    fused = fuse(plain)
    assert kinds(fused) == ["reduce", "pointwise"]
    assert cost_graph(fused, VALUES).vector_flops == cost_graph(plain, VALUES).vector_flops


@pytest.mark.parametrize(
    "middle",
    [
        ("m", "linear", "p w", "q"),
        ("m", "gather", "p i", "q"),
        ("m", "aten.mystery", "p", "q"),
    ],
)
def test_what_is_not_elementwise_stays_apart(middle: tuple[Any, ...]) -> None:
    plain = rows(
        ("a", "pointwise", "x0", "p", GELU),
        middle,
        ("b", "pointwise", "q", "r", GELU),
        w=w("w", "64 64"),
        i=x("i", "64", "int64"),
    )
    assert kinds(fuse(plain)) == kinds(plain)


@pytest.mark.parametrize(
    "middle",
    [
        ("m", "copy", "p", "q", {"function": "concat"}),
        ("m", "copy", "p", "q", {"function": "pad"}),
        ("m", "normalization", "p", "q", {"function": "batch"}),
    ],
)
def test_what_says_only_where_an_element_goes_is_fused(middle: tuple[Any, ...]) -> None:
    """Batch norm has its statistics already: it is a product and a sum."""
    plain = rows(("a", "pointwise", "x0", "p", GELU), middle, ("b", "pointwise", "q", "r", GELU))
    assert kinds(fuse(plain)) == ["pointwise"]


def test_blocks_are_not_mixed() -> None:
    inner = {"block": "layer", "repeat": 4}
    ops = [
        Op(name="a", kind="pointwise", inputs=("x0",), outputs=("p",)),
        Op(name="b", kind="pointwise", inputs=("p",), outputs=("q",), **inner),  # type: ignore[arg-type]
        Op(name="c", kind="pointwise", inputs=("q",), outputs=("r",), **inner),  # type: ignore[arg-type]
        Op(name="d", kind="pointwise", inputs=("r",), outputs=("s",)),
    ]
    fused = fuse(graph([x("x0", ROWS), *(y(name, ROWS) for name in "pqrs")], *ops))
    assert [(op.name, op.repeat, op.block) for op in fused.ops] == [("a", 1, ""), ("b+c", 4, "layer"), ("d", 1, "")]


def test_an_op_between_two_others_is_not_overtaken() -> None:
    """Fusing a with c would need what b makes of a before a is there."""
    plain = rows(
        ("a", "pointwise", "x0", "p", GELU),
        ("b", "linear", "p w", "q"),
        ("c", "pointwise", "p q", "r", ADD),
        w=w("w", "64 64"),
    )
    assert kinds(fuse(plain)) == ["pointwise", "linear", "pointwise"]


def test_branches_that_meet_become_one_kernel() -> None:
    """Rotary positions written out: x·cos + y·sin."""
    plain = rows(
        ("a", "pointwise", "x0 x1", "p", {"function": "mul"}),
        ("b", "pointwise", "x2 x3", "q", {"function": "mul"}),
        ("c", "pointwise", "p q", "r", ADD),
    )
    fused = fuse(plain)
    assert [op.inputs for op in fused.ops] == [("x0", "x1", "x2", "x3")]


def test_a_view_is_looked_through_and_stays_for_others() -> None:
    views = {"v": y("v", "batch 8 8"), "n": y("n", "batch 8 8"), "r": y("r", "batch 8 8")}
    through = rows(("a", "pointwise", "x0", "p", GELU), ("v", "view", "p", "v"), ("n", "softmax", "v", "n"), **views)
    assert [(op.kind, op.outputs) for op in fuse(through).ops] == [("softmax", ("n",))]
    shared = rows(
        ("a", "pointwise", "x0", "p", GELU),
        ("v", "view", "p", "v"),
        ("n", "softmax", "v", "n"),
        ("m", "matmul", "n v", "r"),
        **views,
    )
    fused = fuse(shared)
    check_graph(fused)
    assert [(op.kind, op.outputs) for op in fused.ops] == [
        ("softmax", ("n", "p")),
        ("view", ("v",)),
        ("matmul", ("r",)),
    ]


def test_an_op_alone_is_one_kernel() -> None:
    rope = rows(("rope", "pointwise", "x0", "p", {"function": "rope"}))
    assert cost_graph(rope, VALUES).launches == 10
    assert cost_graph(fuse(rope), VALUES).launches == 1


def test_a_cache_is_not_an_intermediate() -> None:
    plain = rows(("a", "copy", "x0", "c"), ("b", "pointwise", "c", "q", GELU), c=cache("c", ROWS))
    assert kinds(fuse(plain)) == kinds(plain)


def test_a_kernel_does_not_grow_without_bound() -> None:
    count = 4 * MAX_MEMBERS
    ops = [(f"o{place}", "pointwise", f"t{place - 1}" if place else "x0", f"t{place}", GELU) for place in range(count)]
    fused = fuse(rows(*ops))
    assert [len(op.attributes["functions"]) for op in fused.ops] == [MAX_MEMBERS] * 4


# ------------------------------------------------------------------------------------- any graph at all

KINDS = ("pointwise", "pointwise", "normalization", "softmax", "reduce", "copy", "view", "matmul", "aten.mystery")


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Ops over tensors of one shape, each reading from anything before it."""
    names, ops = ["x0", "x1"], []
    for place in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(KINDS))
        count = 1 if kind in ("view", "softmax", "reduce", "normalization") else draw(st.integers(1, 3))
        read = draw(st.lists(st.sampled_from(names), min_size=count, max_size=count))
        attributes = {"function": {"normalization": "layer", "copy": "cast", "pointwise": "gelu"}.get(kind, kind)}
        if kind == "matmul":
            read = [read[0], read[0]]
        ops.append((f"o{place}", kind, " ".join(read), f"t{place}", attributes))
        names.append(f"t{place}")
    square = {name: (x if name[0] == "x" else y)(name, "batch 16 16") for name in names}
    made = rows(*ops, **square)
    repeats = [draw(st.sampled_from([1, 1, 1, 2])) for _ in ops]
    changed = tuple(
        Op(name=op.name, kind=op.kind, inputs=op.inputs, outputs=op.outputs, attributes=op.attributes, repeat=repeat)
        for op, repeat in zip(made.ops, repeats, strict=True)
    )
    return Graph(name="random", ops=changed, tensors=made.tensors, symbols=("batch",))


@settings(max_examples=200)
@given(random_graphs())
def test_fusing_keeps_the_work_and_never_adds_traffic(plain: Graph) -> None:
    fused = fuse(plain)
    check_graph(fused)
    before, after = cost_graph(plain, VALUES), cost_graph(fused, VALUES)
    assert after.matrix_flops == before.matrix_flops
    assert after.vector_flops == before.vector_flops
    assert after.read_bytes <= before.read_bytes
    assert after.write_bytes <= before.write_bytes
    assert after.launches <= before.launches
    read = {name for op in plain.ops for name in op.inputs}
    results = {name for op in plain.ops for name in op.outputs if name not in read}
    assert results <= {name for op in fused.ops for name in op.outputs}
    again = cost_graph(fuse(fused), VALUES)
    assert again.bytes <= after.bytes


@pytest.mark.parametrize(
    "name", [name for name in list_models() if "8b" in name or "bert" in name or "deepseek" in name]
)
def test_models_of_the_catalog(name: str) -> None:
    sizes = {"batch": 2, "tokens": 16, "context": 64}
    for plain in load_model(name).phases.values():
        fused = fuse(plain)
        check_graph(fused)
        before, after = cost_graph(plain, sizes), cost_graph(fused, sizes)
        assert (after.matrix_flops, after.weight_bytes) == (before.matrix_flops, before.weight_bytes)
        assert after.bytes <= before.bytes


@pytest.mark.parametrize("hardware", [gpu(), cpu(), tpu()], ids=lambda own: own.kind)
@settings(max_examples=25)
@given(random_graphs())
def test_a_fused_graph_is_never_slower_by_more_than_a_slow_kind(hardware: Any, plain: Graph) -> None:
    """Pointwise work that joins a normalization takes on its lower share of the bandwidth, no more."""
    fused, apart = (seconds(own, hardware, "compiled", batch=4096) for own in (fuse(plain), plain))
    assert fused <= apart * 0.84 / 0.5
