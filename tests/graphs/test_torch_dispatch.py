"""The memory of shapes: what it gives back is what torch would have given, and it tells apart what must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from perfmodel.graphs import torch_dispatch  # noqa: E402
from perfmodel.graphs.torch_dispatch import Shapes  # noqa: E402
from perfmodel.graphs.torch_rules import LIKE_INPUT, learn_rule  # noqa: E402

aten = torch.ops.aten


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def form(tensor):
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def twice(function, *args, **kwargs):
    """The result of a first call, and of a second which is remembered."""
    shapes = Shapes()
    rule = learn_rule(function)
    return tuple(shapes(rule, function, args, kwargs) for _ in range(2))


def shapes_after(*calls):
    """The results of several calls that share a memory."""
    shapes = Shapes()
    return [shapes(learn_rule(function), function, args, {}) for function, args in calls]


# -------------------------------------------------------------------------------------- remembered results


def test_a_remembered_result_is_a_new_tensor_of_the_same_form():
    geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    first, second = twice(aten.convolution.default, meta(2, 3, 9, 9), meta(8, 3, 3, 3), None, *geometry)
    assert form(first) == form(second) == ((2, 8, 5, 5), (200, 25, 5, 1), torch.float32)
    assert first.untyped_storage()._cdata != second.untyped_storage()._cdata


def test_torch_is_asked_once():
    calls = []
    shapes, rule = Shapes(), learn_rule(aten.mul.Tensor)

    def counted(*args):
        calls.append(args)
        return aten.mul.Tensor(*args)

    object.__setattr__(rule, "compute", counted)
    for shape in ((4, 8), (4, 8), (4, 9), (4, 8)):
        assert shapes(rule, aten.mul.Tensor, (meta(*shape), 2), {}).shape == shape
    assert len(calls) == 2


def test_several_results_stay_several():
    first, second = twice(aten.topk.default, meta(4, 8), 3)
    assert isinstance(second, tuple)
    assert [form(one) for one in first] == [form(one) for one in second]
    assert second[1].dtype == torch.int64


def test_writing_in_place_gives_the_argument_itself():
    shapes, rule = Shapes(), learn_rule(aten.add_.Tensor)
    for _ in range(2):
        x = meta(4, 8)
        assert shapes(rule, aten.add_.Tensor, (x, meta(8)), {}) is x
    with pytest.raises(RuntimeError):  # of another shape: it is not taken for the one that was remembered
        shapes(rule, aten.add_.Tensor, (meta(4, 8), meta(5, 4, 8)), {})


def test_an_input_that_is_handed_on_is_not_taken_for_a_result():
    x = meta(4, 8)
    for result in twice(aten.dropout.default, x, 0.5, False):
        assert result.untyped_storage()._cdata == x.untyped_storage()._cdata
    shapes, rule = Shapes(), learn_rule(aten.dropout.default)
    training = shapes(rule, aten.dropout.default, (x, 0.5, True), {})
    assert training.untyped_storage()._cdata != x.untyped_storage()._cdata
    assert (
        shapes(rule, aten.dropout.default, (x, 0.5, False), {}).untyped_storage()._cdata == x.untyped_storage()._cdata
    )


def test_strides_and_expansion_count():
    plain, turned = meta(4, 6), meta(6, 4).t()
    expanded = meta(1, 6).expand(4, 6)
    results = shapes_after(*((aten.neg.default, (x,)) for x in (plain, turned, expanded, plain, turned, expanded)))
    expected = [form(aten.neg.default(x)) for x in (plain, turned, expanded)]
    assert [form(result) for result in results] == expected * 2
    assert len(set(expected)) == 2  # an expanded one is written out in full


def test_equal_numbers_of_other_types_count():
    x = meta(4, dtype=torch.int64)
    results = shapes_after(*((aten.mul.Tensor, (x, number)) for number in (1, 1.0, True, 1, 1.0, True)))
    kinds = [result.dtype for result in results]
    assert kinds == [torch.int64, torch.float32, torch.int64] * 2
    flags = meta(4, dtype=torch.bool)
    results = shapes_after(*((aten.mul.Tensor, (flags, number)) for number in (True, 1, 1.0)))
    assert [result.dtype for result in results] == [torch.bool, torch.int64, torch.float32]


def test_numbers_decide_shapes():
    results = shapes_after(*((aten.constant_pad_nd.default, (meta(4), [0, more])) for more in (1, 2, 1)))
    assert [result.shape for result in results] == [(5,), (6,), (5,)]


def test_named_arguments_count():
    shapes, rule = Shapes(), learn_rule(aten.sum.dim_IntList)
    kept = [shapes(rule, aten.sum.dim_IntList, (meta(4, 8), [1]), {"keepdim": keep}) for keep in (True, False, True)]
    assert [tuple(result.shape) for result in kept] == [(4, 1), (4,), (4, 1)]


def test_what_cannot_be_a_key_is_not_remembered():
    class Unhashable:
        __hash__ = None

    rule = learn_rule(aten.neg.default)
    object.__setattr__(rule, "compute", lambda x, _: x.neg())
    assert Shapes()(rule, aten.neg.default, (meta(4), Unhashable()), {}).shape == (4,)


def test_a_full_memory_starts_again(monkeypatch):
    monkeypatch.setattr(torch_dispatch, "_REMEMBERED", 4)
    shapes, rule = Shapes(), learn_rule(aten.neg.default)
    for size in range(20):
        assert shapes(rule, aten.neg.default, (meta(size),), {}).shape == (size,)
        assert len(shapes._known) <= 4


# ------------------------------------------------------------------------------- shapes found without torch

ARGUMENTS = {
    "relu": (), "gelu": (), "silu": (), "sigmoid": (), "hardswish": (), "hardsigmoid": (), "hardtanh": (),
    "leaky_relu": (), "elu": (), "mish": (), "tanh": (),
    "batch_norm": (None, None, "channels", "channels", False, 0.1, 1e-5, False),
    "layer_norm": ("last",), "group_norm": (2,),
}  # fmt: skip


def test_every_op_without_torch_is_compared_with_torch():
    assert ARGUMENTS.keys() == LIKE_INPUT


@given(
    st.sampled_from(sorted(ARGUMENTS)),
    st.tuples(st.integers(1, 3), st.sampled_from([2, 4]), st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)]),
    st.booleans(),
)
def test_what_is_like_the_input_really_is(name, shape, order, in_place):
    inverse = [order.index(axis) for axis in range(4)]
    x = torch.rand([shape[axis] for axis in order]).permute(inverse)  # in memory another axis may be the last
    channels = torch.ones(shape[1])
    special = {"channels": channels, "last": [shape[3]]}
    args = [special.get(value, value) if isinstance(value, str) else value for value in ARGUMENTS[name]]
    packet = getattr(aten, f"{name}_") if in_place and hasattr(aten, f"{name}_") else getattr(aten, name)
    function = packet.input if name == "layer_norm" and "input" in packet.overloads() else packet.default
    real = function(x, *args)
    moved = [value.to("meta") if isinstance(value, torch.Tensor) else value for value in args]
    like = torch.empty_strided(x.shape, x.stride(), device="meta")
    result = Shapes()(learn_rule(function), function, (like, *moved), {})
    assert (result.shape, result.dtype) == (real.shape, real.dtype)
    if x.is_contiguous():
        assert result.is_contiguous() == real.is_contiguous()
    assert (result is like) == (packet.__name__.endswith("_"))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_integers_are_left_to_torch(name):
    function = getattr(aten, name).default
    real = function(torch.ones(4, dtype=torch.int64))
    assert Shapes()(learn_rule(function), function, (meta(4, dtype=torch.int64),), {}).dtype == real.dtype


@pytest.mark.parametrize("leading", [(), (3,), (2, 5)])
def test_linear(leading):
    real = torch.nn.functional.linear(torch.ones(*leading, 8), torch.ones(6, 8))
    result = Shapes()(learn_rule(aten.linear.default), aten.linear.default, (meta(*leading, 8), meta(6, 8)), {})
    assert form(result) == form(real)
    with pytest.raises(RuntimeError, match=r"same reduction dim|cannot be multiplied"):
        Shapes()(learn_rule(aten.linear.default), aten.linear.default, (meta(3, 7), meta(6, 8)), {})
