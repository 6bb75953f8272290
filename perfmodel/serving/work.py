"""What a step of a server is made of: kernel times of one rank by class and resource, tabulated over a step's sizes.

    token work     everything that only sees how many tokens a step has; weights are read once for all of them
    decode work    what a sequence does with its own cache, and its logits, for B sequences with T keys each
    prefill work   the same for a chunk of a prompt of p tokens, the last of which sees k keys

The ops of a model's prefill and decode graphs that are the same in both are token work; those that touch a cache or
anything as long as the context, and those that only one of the graphs has, are work of the sequences. A class is a
scope of the kernels' coefficients ("gemm.fp8.block", "experts.bf16", "attention.decode"): an engine's coefficients
scale the parts of each (`engine_time`).

May import: predict's parts (program, kernels, coefficient_files) and below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from perfmodel.errors import ModelError
from perfmodel.graphs.expansion import without_unused_tensors
from perfmodel.kernels import Device
from perfmodel.power import dynamic_joules
from perfmodel.program import compile_graph, time_program
from perfmodel.serving.step_table import piece_of
from perfmodel.sizes import evaluate, symbols_of
from perfmodel.types import Graph, Model, Op

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
COMPUTE, MEMORY, NETWORK, OVERHEAD = range(4)  # the parts of a class's time
RESOURCES = 4
TOKENS = np.unique(np.round(np.geomspace(1, 65536, 65))).astype(float)
SEQUENCES = np.unique(np.round(np.geomspace(1, 4096, 25))).astype(float)
CONTEXTS = np.unique(np.round(np.geomspace(16, 1 << 20, 25))).astype(float)
# six tokens in a step, as either graph has them; a device may have a part of one (sequence parallelism)
SIX_SEQUENCES, SIX_TOKENS = {"batch": 6.0, "context": 1.0}, {"batch": 2.0, "tokens": 3.0, "context": 3.0}
CHUNKS = np.unique(np.round(np.geomspace(16, 65536, 19))).astype(float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Kernel seconds by class at the knots of one kind of work.

    Args:
        classes: scopes of kernels. parts: seconds (classes, RESOURCES, knots). bound: the physical bound (knots,).
        launches: kernels of each class in a step (classes,). joules: energy of the work itself (knots,), as
            `power.dynamic_joules`.
    """

    classes: tuple[str, ...]
    parts: Array
    bound: Array
    launches: Array
    joules: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """The work of a deployment's steps; knots of decode and prefill are (first size, second size), row by row.

    Args:
        token: over `TOKENS`. decode: over `SEQUENCES` x `CONTEXTS`. prefill: over `CHUNKS` x `CONTEXTS`.
    """

    token: Work
    decode: Work
    prefill: Work


def step_work(model: Model, device: Device) -> StepWork:
    """Tabulate a decoder on a device.

    Args:
        model: of one rank (`graphs.shard`).

    Raises:
        ModelError: a model without prefill and decode over a cache.
    """
    token, decode, prefill = split_step(model)
    b, t = _grid(SEQUENCES, CONTEXTS)
    p, k = _grid(CHUNKS, CONTEXTS)
    return StepWork(
        token=work_of(token, device, {"batch": TOKENS, "context": np.ones_like(TOKENS)}),
        decode=work_of(decode, device, {"batch": b, "context": t}),
        prefill=work_of(prefill, device, {"batch": np.ones_like(p), "tokens": p, "context": np.maximum(p, k)}),
    )


def with_vector_kernels(work: StepWork, unhindered: StepWork, batch: int) -> StepWork:
    """The work of an engine that has matrix-vector kernels for steps of few tokens, which no tile limits.

    Args:
        unhindered: the same work where computing costs nothing. batch: up to how many tokens.
    """

    def pick(own: Work, other: Work, few: Any) -> Work:
        chosen = np.array([name.startswith("gemm") for name in own.classes])[:, None, None] & few
        return replace(own, parts=np.where(chosen, other.parts, own.parts), bound=np.where(few, other.bound, own.bound))

    sequences, _ = _grid(SEQUENCES, CONTEXTS)
    return replace(
        work,
        token=pick(work.token, unhindered.token, batch >= TOKENS),
        decode=pick(work.decode, unhindered.decode, sequences <= batch),
    )


def split_step(model: Model) -> tuple[Graph, Graph, Graph]:
    """The graphs of token work, of decode work and of prefill work of a decoder."""
    if not {"prefill", "decode"} <= model.phases.keys():
        raise ModelError(f"{model.name} does not generate tokens over a cache: a server cannot batch it")
    decode, prefill = model.phases["decode"], model.phases["prefill"]
    in_decode, in_prefill = _token_ops(decode, SIX_SEQUENCES), _token_ops(prefill, SIX_TOKENS)
    shared = {name for name, elements in in_decode.items() if in_prefill.get(name) == elements}
    return (
        _part(decode, (op for op in decode.ops if op.name in shared)),
        _part(decode, (op for op in decode.ops if op.name not in shared)),
        _part(prefill, (op for op in prefill.ops if op.name not in shared)),
    )


def _token_ops(graph: Graph, sizes: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """Ops that neither touch a cache nor see the context nor come after the last block (the logits), with the elements
    of their tensors: ops of that name that handle other tensors in the other graph are different work."""
    last = max((index for index, op in enumerate(graph.ops) if op.block), default=len(graph.ops))
    return {
        op.name: tuple(
            prod(evaluate(dim, sizes) for dim in graph.tensors[name].shape)
            for name in (*op.inputs, *op.outputs)
            if name in graph.tensors
        )
        for op in graph.ops[: last + 1]
        if not _sees_context(op, graph)
    }


def _sees_context(op: Op, graph: Graph) -> bool:
    tensors = [graph.tensors[name] for name in (*op.inputs, *op.outputs) if name in graph.tensors]
    return any(
        tensor.kind == "cache" or any("context" in symbols_of(dim) for dim in tensor.shape) for tensor in tensors
    )


def _part(graph: Graph, ops: Iterable[Op]) -> Graph:
    return without_unused_tensors(replace(graph, ops=tuple(ops)))


def work_of(graph: Graph, device: Device, sizes: Mapping[str, Array]) -> Work:
    """Kernel times of a graph at the knots, added up by class."""
    program = compile_graph(graph, device)
    times = time_program(program, {name: sizes[name] for name in graph.symbols})
    knots = len(next(iter(sizes.values())))
    classes = tuple(dict.fromkeys(group.scope for group in program.groups))
    parts = np.zeros((len(classes), RESOURCES, knots))
    launches, joules = np.zeros(len(classes)), np.zeros(knots)
    for group, kernel, cost in zip(program.groups, times.kernels, times.costs, strict=True):
        place = classes.index(group.scope)
        resources = (kernel.compute_seconds, kernel.memory_seconds, kernel.network_seconds, kernel.overhead_seconds)
        for resource, seconds in enumerate(resources):
            parts[place, resource] += group.repeats @ _rows(seconds, len(group.kinds), knots)
        launches[place] += float(group.repeats @ _rows(cost.launches, len(group.kinds), 1)[:, 0])
        joules += group.repeats @ _rows(dynamic_joules(cost, device.hardware), len(group.kinds), knots)
    bound = times.bound_seconds + np.zeros(knots)
    return Work(classes=classes, parts=parts, bound=bound, launches=launches, joules=joules)


def _rows(values: Any, ops: int, knots: int) -> Array:
    return np.broadcast_to(np.atleast_2d(np.asarray(values, dtype=float))[:, :knots], (ops, knots))


def _grid(rows: Sequence[float] | Array, columns: Sequence[float] | Array) -> tuple[Array, Array]:
    first, second = np.meshgrid(rows, columns, indexing="ij")
    return first.ravel(), second.ravel()


def work_at(work: Work, knots: tuple[Array, ...], *sizes: Any) -> tuple[Array, Array]:
    """Parts (classes, RESOURCES, n) and bound (n,) between the knots, linear in each of one or two sizes."""
    shape = tuple(len(own) for own in knots)
    values = np.concatenate([work.parts.reshape(-1, *shape), work.bound.reshape(1, *shape)])
    found = interpolate_last(knots[0], values, sizes[0]) if len(knots) == 1 else bilinear_last(knots, values, *sizes)
    return found[:-1].reshape(len(work.classes), RESOURCES, -1), found[-1]


def joules_at(work: Work, knots: tuple[Array, ...], *sizes: Any) -> Array:
    """Energy of the work itself, as `work_at` (n,)."""
    values = work.joules.reshape(tuple(len(own) for own in knots))
    return interpolate_last(knots[0], values, sizes[0]) if len(knots) == 1 else bilinear_last(knots, values, *sizes)


def interpolate_last(knots: Array, values: Array, x: Any) -> Array:
    """`step_table.interpolate` along the last axis."""
    place, share = piece_of(knots, np.asarray(x, dtype=float))
    return np.asarray(values[..., place] * (1 - share) + values[..., place + 1] * share)


def bilinear_last(knots: tuple[Array, ...], values: Array, x: Any, y: Any) -> Array:
    """`step_table.bilinear` along the last two axes."""
    i, u = piece_of(knots[0], np.asarray(x, dtype=float))
    j, v = piece_of(knots[1], np.asarray(y, dtype=float))
    low = values[..., i, j] * (1 - v) + values[..., i, j + 1] * v
    high = values[..., i + 1, j] * (1 - v) + values[..., i + 1, j + 1] * v
    return np.asarray(low * (1 - u) + high * u)
