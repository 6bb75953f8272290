"""A graph timed as a whole, in groups, is the sum of its ops timed one by one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import attention, convolution, cpu, experts, gpu, linear, op, recurrent, streaming, times, tpu, w, x, y
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perfmodel.costs import cost_graph, cost_op
from perfmodel.errors import GraphError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.kernels import RUNTIMES, Device
from perfmodel.program import Group, compile_graph
from perfmodel.types import Graph, Hardware

VALUES = {"batch": 3, "tokens": 17, "context": 100}
PARTS = ("compute_seconds", "memory_seconds", "overhead_seconds", "host_seconds", "bound_seconds")
# several of each, alike and not, so that groups have many rows, and rows of numbers beside rows of symbols
MAKERS: list[Callable[[], Graph]] = [
    lambda: linear(64, 128),
    lambda: linear(256, 128),
    lambda: linear(64, 128, "fp8"),
    lambda: op("linear", [x("x", "batch tokens 32"), w("w", "16 32", "int8")], [y("y", "batch tokens 16")]),
    lambda: op("linear", [x("x", "5 32"), w("w", "16 32")], [y("y", "5 16")]),
    lambda: op("matmul", [x("a", "batch 4 tokens 8"), x("b", "batch 4 8 context")], [y("c", "batch 4 tokens context")]),
    lambda: op("matmul", [x("a", "7 8"), x("b", "8 9")], [y("c", "7 9")]),
    lambda: attention(),
    lambda: attention(8, 8, 64, causal=False),
    lambda: attention(window=16),
    lambda: attention(window=64),
    lambda: experts(),
    lambda: experts(8, 2, 128, 64),
    lambda: convolution(),
    lambda: convolution(16, 16, 7, 1, 16),
    lambda: recurrent(32, 2),
    lambda: recurrent(16, 1, "gru"),
    lambda: streaming("pointwise", 64, function="gelu"),
    lambda: streaming("pointwise", 32, function="rope"),
    lambda: streaming("normalization", 64, function="rms"),
    lambda: streaming("softmax", 16),
    lambda: streaming("aten.mystery", 16),
    lambda: op("copy", [x("x", "77")], [y("y", "77", "fp32")], {"function": "cast"}),
]
chosen = st.lists(st.tuples(st.sampled_from(MAKERS), st.integers(1, 40)), min_size=1, max_size=12)
# a CPU's caches keep what one op leaves to the next, which is no sum; without them it is
chips = st.sampled_from(
    [gpu(), cpu(fallbacks={"fp8": "bf16"}, native=(), l2_bytes=0), tpu(fallbacks={"fp8": "bf16"}, native=())]
)
runtimes = st.sampled_from(RUNTIMES)


def renamed(own: Graph, prefix: str, repeat: int) -> Graph:
    """A graph of one op with names of its own."""
    names = {name: prefix + name for name in own.tensors}
    tensors = {names[name]: replace(tensor, name=names[name]) for name, tensor in own.tensors.items()}
    only = own.ops[0]
    inputs, outputs = (tuple(names[name] for name in part) for part in (only.inputs, only.outputs))
    ops = (replace(only, name=prefix, inputs=inputs, outputs=outputs, repeat=repeat),)
    return replace(own, ops=ops, tensors=tensors)


def together(parts: list[Graph]) -> Graph:
    tensors = {name: tensor for own in parts for name, tensor in own.tensors.items()}
    ops = tuple(only for own in parts for only in own.ops)
    return Graph(name="together", ops=ops, tensors=tensors, symbols=("batch", "tokens", "context"))


def compiled(of: Graph, hardware: Hardware, runtime: str) -> tuple[Group, ...]:
    return compile_graph(of, Device(hardware, runtime, {})).groups


def built(drawn: list[tuple[Callable[[], Graph], int]]) -> list[Graph]:
    return [renamed(make(), f"o{place}.", repeat) for place, (make, repeat) in enumerate(drawn)]


@given(chosen, chips, runtimes)
def test_a_graph_takes_the_sum_of_its_ops(drawn: Any, hardware: Hardware, runtime: str) -> None:
    parts = built(drawn)
    scopes = [{group.scope for group in compiled(own, hardware, runtime)} for own in (*parts, together(parts))]
    # a network in a framework is timed by another form than a step over a cache, of which it may be a part here
    assume(set().union(*scopes[:-1]) == scopes[-1])
    whole = times(together(parts), hardware, runtime, **VALUES)
    alone = [times(own, hardware, runtime, **VALUES) for own in parts]
    for name in PARTS:
        assert getattr(whole, name)[0] == pytest.approx(sum(getattr(own, name)[0] for own in alone), rel=1e-9)


@settings(max_examples=25)
@given(chosen, chips, runtimes, st.integers(2, 5))
def test_arrays_give_what_one_by_one_gives(drawn: Any, hardware: Hardware, runtime: str, count: int) -> None:
    of = together(built(drawn))
    columns = {name: np.arange(value, value + count, dtype=float) for name, value in VALUES.items()}
    sweep = times(of, hardware, runtime, **columns)
    for place in range(count):
        alone = times(of, hardware, runtime, **{name: value + place for name, value in VALUES.items()})
        for name in (*PARTS, "seconds"):
            column = np.broadcast_to(getattr(sweep, name), count)
            assert column[place] == pytest.approx(getattr(alone, name)[0], rel=1e-9)


@given(chosen)
def test_costs_of_groups_are_those_of_the_ops(drawn: Any) -> None:
    of = together(built(drawn))
    program = compile_graph(of, Device(gpu(), "graphs", {}))
    timed = times(of, gpu(), **VALUES)
    seen = []
    for group, cost in zip(program.groups, timed.costs, strict=True):
        for row, index in enumerate(group.indices):
            seen.append(index)
            wanted = cost_op(of.ops[index], of.tensors, VALUES)
            for name in ("bytes", "matrix_flops", "vector_flops", "launches"):
                column = np.asarray(getattr(cost, name), dtype=float) + np.zeros((len(group.indices), 1))
                assert column[row, 0] == pytest.approx(getattr(wanted, name), rel=1e-9)
    assert sorted(seen) == list(range(len(of.ops)))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "bert-base"])
def test_a_model_is_the_sum_of_its_ops(name: str) -> None:
    for of in load_model(name).phases.values():
        whole = times(of, gpu(), "eager", **VALUES)
        alone = [replace(of, ops=(only,)) for only in of.ops]
        total = sum(times(own, gpu(), "eager", **VALUES).device_seconds[0] for own in alone)
        assert whole.device_seconds[0] == pytest.approx(total, rel=1e-9)
        bound = cost_graph(of, VALUES).bytes / gpu().memory_bandwidth_bytes_per_second
        assert whole.bound_seconds[0] >= bound * (1 - 1e-9)


def test_a_host_sets_the_pace_of_small_kernels_under_eager_only() -> None:
    small = renamed(streaming("pointwise", 16), "a", 1000)
    eager, graphs = (times(small, gpu(), runtime, batch=1) for runtime in ("eager", "graphs"))
    assert eager.seconds[0] > 1.2 * eager.device_seconds[0]
    assert graphs.seconds[0] == graphs.device_seconds[0]
    assert times(small, cpu(), "eager", batch=1).host_seconds[0] == 0
    large = times(small, gpu(), "eager", batch=10**7)
    assert large.seconds[0] == pytest.approx(large.device_seconds[0], rel=1e-3)


def test_an_emulated_dtype_computes_in_its_fallback_without_a_kernel_that_quantises() -> None:
    inputs = [x("x", "batch 4096"), w("w", "4096 4096", "fp8")]
    layer = op("linear", inputs, [y("y", "batch 4096")], {"compute": "fp8", "quantize_input": True})
    old = gpu(native=("bf16", "fp32"), fallbacks={"fp8": "bf16"})
    program = compile_graph(layer, Device(old, "graphs", {}))
    assert program.emulated == (("fp8", "bf16"),)
    emulated = times(layer, old, batch=64)
    assert emulated.costs[0].launches == 1
    assert ("matrix", "bf16") in emulated.costs[0].flops
    weight_only = op("linear", inputs, [y("y", "batch 4096")], {"compute": "bf16"})
    assert emulated.seconds[0] == pytest.approx(times(weight_only, old, batch=64).seconds[0])
    assert compile_graph(layer, Device(gpu(), "graphs", {})).emulated == ()


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(GraphError, match="test needs a value for context, tokens"):
        times(attention(), gpu(), batch=1)
    with pytest.raises(UnsupportedError, match="test-gpu cannot compute in fp64"):
        times(linear(dtype="fp64"), gpu(), batch=1)
