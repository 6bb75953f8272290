"""Autocast: which ops compute in what (against torch's own lists), casts and their bytes, and what stays as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.costs import cost_graph
from perfmodel.graphs.aten import TABLE, Call
from perfmodel.graphs.autocast import WEIGHT_CAST, autocast
from perfmodel.graphs.checks import check_graph
from perfmodel.types import Graph, Op, Tensor
from tests.builders import chain, graph, op, tensor, w, x, y


def fp32(kind, *shapes, weights=0, **attributes):
    """A graph of one op in fp32 whose last inputs are weights."""
    inputs = [
        (w if place >= len(shapes) - weights else x)(f"in{place}", shape, "fp32") for place, shape in enumerate(shapes)
    ]
    return op(kind, inputs, [y("out", shapes[0], "fp32")], attributes)


def computed_in(low: Graph, name: str) -> tuple[set[str], str]:
    """The dtypes that an op reads, and the one that it writes."""
    found = next(op for op in low.ops if op.name == name)
    return {low.tensors[read].dtype for read in found.inputs}, low.tensors[found.outputs[0]].dtype


def over(shape: str, weights: dict[str, str], *ops: Op) -> Graph:
    """A graph in fp32 from the input "x" over activations of one shape."""
    names = dict.fromkeys(name for own in ops for name in own.outputs)
    own = [w(name, size, "fp32") for name, size in weights.items()]
    return graph([x("x", shape, "fp32"), *own, *(y(name, shape, "fp32") for name in names)], *ops)


def casts(low: Graph) -> list[str]:
    return [op.attributes["function"] for op in low.ops if op.kind == "copy"]


# ------------------------------------------------------------------------------------- what computes in what


def listed_by_torch(macro: str) -> list[str]:
    torch = pytest.importorskip("torch")
    header = Path(torch.__file__).parent / "include" / "ATen" / "autocast_mode.h"
    if not header.is_file():
        pytest.skip("this torch has no headers")
    listed = re.search(rf"define {macro}\(_\)(.*?)\n\n", header.read_text(), re.DOTALL)
    assert listed is not None
    return sorted(set(re.findall(r"_\((\w+)", listed.group(1))) & TABLE.keys())


def meaning(name: str) -> tuple[str, dict[str, object]]:
    """(kind, attributes) of an aten op over square matrices, as a trace has them."""
    torch = pytest.importorskip("torch")
    matrix = torch.empty(1, 4, 8, 8, device="meta") if "upsample" in name or "conv" in name else torch.empty(8, 8)
    if name in ("baddbmm", "bmm"):
        matrix = torch.empty(2, 8, 8)
    named = dict.fromkeys(("input", "weight", "query", "key", "value", "self"), matrix)
    call = Call(name, f"aten.{name}.default", named | {"dim": -1}, [matrix] * 3, [matrix], lambda tensor: False)
    found = TABLE[name](call)
    return found.kind, found.attributes


@pytest.mark.torch
@pytest.mark.parametrize(
    ("macro", "expected", "least"),
    [
        ("AT_FORALL_LOWER_PRECISION_FP", "fp16", 12),
        ("AT_FORALL_FP32", "fp32", 30),
        ("AT_FORALL_FP32_SET_OPT_DTYPE", "fp32", 6),
    ],
)
def test_torchs_own_lists_decide(macro, expected, least):
    names = listed_by_torch(macro)
    assert len(names) >= least
    wrong = {}
    for name in names:
        kind, attributes = meaning(name)
        inputs = [x("wide", "8 8", "fp32"), x("low", "8 8", "fp16")]
        low = autocast(op(kind, inputs, [y("out", "8 8", "fp32")], dict(attributes)), "fp16")
        if computed_in(low, kind) != ({expected}, expected):
            wrong[name] = computed_in(low, kind)
    assert not wrong


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("pointwise", {"function": "add"}), ("pointwise", {"function": "gelu"}), ("copy", {"function": "concat"}),
        ("reduce", {"function": "mean"}), ("pool", {"function": "avg", "kernel": [2, 2]}),
        ("gather", {"function": "index"}),
    ],
)  # fmt: skip
def test_everything_else_computes_in_the_widest_dtype_it_reads(dtype, kind, attributes):
    assert computed_in(autocast(fp32(kind, "4 8", "4 8", **attributes), dtype), kind) == ({"fp32"}, "fp32")
    low = op(kind, [x("a", "4 8", dtype), x("b", "4 8", dtype)], [y("out", "4 8", "fp32")], attributes)
    assert computed_in(autocast(low, dtype), kind) == ({dtype}, dtype)
    mixed = op(kind, [x("a", "4 8", dtype), x("b", "4 8", "fp32")], [y("out", "4 8", "fp32")], attributes)
    assert computed_in(autocast(mixed, dtype), kind) == ({dtype, "fp32"}, "fp32")


@pytest.mark.parametrize("function", ["batch", "instance"])
@pytest.mark.parametrize("given_dtype", ["fp16", "fp32"])
@pytest.mark.parametrize("wide_norms", [True, False])
def test_norms_with_statistics_give_what_they_are_given(function, given_dtype, wide_norms):
    inputs = [x("x", "2 4 8 8", given_dtype), w("scale", "4", "fp32")]
    norm = op("normalization", inputs, [y("out", "2 4 8 8", "fp32")], {"function": function})
    low = autocast(norm, "fp16", wide_norms=wide_norms)
    assert [own.kind for own in low.ops] == ["normalization"]
    assert low.tensors["out"].dtype == given_dtype


@pytest.mark.parametrize("function", ["layer", "group", "rms"])
def test_fast_norms_stay_low(function):
    norm = op("normalization", [x("x", "4 8", "fp16")], [y("out", "4 8", "fp32")], {"function": function})
    assert autocast(norm, "fp16").tensors["out"].dtype == "fp32"
    assert autocast(norm, "fp16", wide_norms=False).tensors["out"].dtype == "fp16"


def test_integers_are_left_alone():
    rows = op(
        "embedding", [x("ids", "batch 16", "int64"), w("table", "100 8", "fp32")], [y("out", "batch 16 8", "fp32")]
    )
    assert autocast(rows, "bf16") == rows
    heads = [x(name, "2 4 8 16", "fp32") for name in ("query", "key", "value")]
    masked = op("attention", [*heads, x("mask", "8 8", "bool")], [y("out", "2 4 8 16", "fp32")])
    assert computed_in(autocast(masked, "bf16"), "attention") == ({"bf16", "bool"}, "bf16")


# --------------------------------------------------------------------------------------------- casts as ops


def two_layers() -> Graph:
    """A layer whose weight is read twice, and a softmax."""
    steps = chain(
        ("first", "linear", "x weight", "a"), ("second", "linear", "a weight", "b"), ("last", "softmax", "b", "c")
    )
    return over("batch 64", {"weight": "64 64"}, *steps)


def test_a_weight_is_cast_once_an_activation_wherever_it_is_read():
    low = autocast(two_layers(), "fp16")
    check_graph(low)
    assert casts(low) == ["cast", WEIGHT_CAST, "cast"]  # x, the weight; then b for the softmax
    assert computed_in(low, "second") == ({"fp16"}, "fp16")
    assert computed_in(low, "last") == ({"fp32"}, "fp32")


def test_a_cast_reads_the_wide_and_writes_the_low_bytes():
    wide, low = two_layers(), autocast(two_layers(), "fp16")
    at = {"batch": 8}
    activation, weight = 8 * 64, 64 * 64
    cast = Graph(
        name="casts", ops=tuple(own for own in low.ops if own.kind == "copy"), tensors=low.tensors, symbols=("batch",)
    )
    cost = cost_graph(cast, at)
    assert cost.read_bytes + cost.weight_bytes == 4 * activation + 4 * weight + 2 * activation
    assert cost.write_bytes == 2 * activation + 2 * weight + 4 * activation
    assert cost.launches == 3
    # what the ops themselves move: x, weight, a, weight, a, b in two bytes; the softmax in four as before
    rest = cost_graph(low, at).bytes - cost.bytes
    assert rest == cost_graph(wide, at).bytes - 2 * (4 * activation + 2 * weight)


def test_flops_of_contractions_do_not_change_but_their_precision_does():
    wide, low = (cost_graph(own, {"batch": 8}) for own in (two_layers(), autocast(two_layers(), "fp16")))
    assert low.matrix_flops == wide.matrix_flops == 2 * 2 * 8 * 64 * 64
    assert {dtype for unit, dtype in low.flops if unit == "matrix"} == {"fp16"}


def test_an_op_that_was_told_to_compute_in_fp32_does_not_any_more():
    low = autocast(fp32("linear", "8 8", "8 8", weights=1, compute="fp32"), "fp16")
    assert "compute" not in low.ops[-1].attributes
    assert cost_graph(low).flops[("matrix", "fp16")] == 2 * 8 * 8 * 8


def test_views_show_what_they_look_at():
    steps = chain(
        ("layer", "linear", "x weight", "a"),
        ("turn", "view", "a", "b", {"function": "reshape"}),
        ("act", "pointwise", "b", "c", {"function": "relu"}),
    )
    low = autocast(over("8 8", {"weight": "8 8"}, *steps), "bf16")
    assert [low.tensors[name].dtype for name in "abc"] == ["bf16", "bf16", "bf16"]
    assert [own.kind for own in low.ops] == ["copy", "copy", "linear", "view", "pointwise"]


def test_folded_blocks_keep_their_repetitions():
    block = {"repeat": 12, "block": "layers.*"}
    first = Op(name="first", kind="linear", inputs=("x", "own"), outputs=("a",), **block)
    second = Op(name="second", kind="linear", inputs=("a", "shared"), outputs=("b",), **block)
    wide = over("4 8", {"own": "8 8", "shared": "8 8"}, first, second)
    of_block = {"own": replace(wide.tensors["own"], copies=12)}
    low = autocast(replace(wide, tensors={**wide.tensors, **of_block}), "fp16")
    repeats = {own.name: (own.repeat, own.block) for own in low.ops}
    assert repeats == {
        "first.cast0": (12, "layers.*"), "first.weight_cast1": (12, "layers.*"), "first": (12, "layers.*"),
        "second.weight_cast1": (1, ""), "second": (12, "layers.*"),
    }  # fmt: skip
    assert low.tensors["own"].copies == 12


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_a_graph_in_the_low_precision_needs_no_casts(dtype):
    inputs = [x("x", "4 8", dtype), w("weight", "8 8", dtype)]
    layer = op("linear", inputs, [y("out", "4 8", dtype)])
    assert autocast(layer, dtype) == layer


# ------------------------------------------------------------------------------------------- random graphs

STEPS = st.sampled_from([
    ("linear", {}), ("matmul", {}), ("softmax", {"axis_size": 8}), ("pointwise", {"function": "add"}),
    ("pointwise", {"function": "pow"}), ("pointwise", {"function": "prelu"}), ("reduce", {"function": "sum"}),
    ("normalization", {"function": "batch"}), ("normalization", {"function": "layer"}), ("normalization", {}),
    ("view", {"function": "reshape"}), ("copy", {"function": "fill"}), ("resize", {"function": "bilinear"}),
    ("aten.unheard_of.default", {}),
])  # fmt: skip


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    tensors: list[Tensor] = [
        x("x", "8 8", "fp32"),
        x("ids", "8 8", "int64"),
        w("w0", "8 8", "fp32"),
        w("w1", "8 8", "bf16"),
    ]
    ops: list[Op] = []
    for place in range(draw(st.integers(1, 8))):
        kind, attributes = draw(STEPS)
        made = draw(st.sampled_from(["fp32", "fp32", "bf16", "int64"]))
        fewest, most = {"view": (1, 1), "copy": (0, 2)}.get(kind, (1, 3))
        names = [own.name for own in tensors]
        read = tuple(draw(st.lists(st.sampled_from(names), min_size=fewest, max_size=most)))
        tensors.append(tensor(f"t{place}", "8 8", "activation", made))
        ops.append(Op(name=f"op{place}", kind=kind, inputs=read, outputs=(f"t{place}",), attributes=attributes,
                      repeat=draw(st.sampled_from([1, 4]))))  # fmt: skip
    used = {name for own in ops for name in (*own.inputs, *own.outputs)}
    return graph([own for own in tensors if own.name in used], *ops)


@given(random_graphs(), st.sampled_from(["fp16", "bf16"]), st.booleans())
def test_any_graph_stays_a_graph(wide, dtype, wide_norms):
    low = autocast(wide, dtype, wide_norms=wide_norms)
    check_graph(low)
    kept = {own.name: own for own in low.ops}
    for own in wide.ops:  # the same ops, each as often; what is added are casts of one tensor each
        assert (kept[own.name].kind, kept[own.name].outputs, kept[own.name].repeat) == (
            own.kind,
            own.outputs,
            own.repeat,
        )
    added = [own for own in low.ops if own.name not in {known.name for known in wide.ops}]
    assert all(own.kind == "copy" and len(own.inputs) == len(own.outputs) == 1 for own in added)
    for own in added:
        source, target = (low.tensors[name] for name in (own.inputs[0], own.outputs[0]))
        assert source.dtype != target.dtype
        assert prod(source.shape) == prod(target.shape)
    assert all(low.tensors[name].dtype == found.dtype for name, found in wide.tensors.items() if found.dtype == "int64")
