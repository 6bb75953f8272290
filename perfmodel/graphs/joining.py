"""Several graphs as one: each under a prefix, one after the other; and a graph that runs several times.

May import: types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.types import Graph, Op, Tensor


def joined(name: str, parts: Mapping[str, Graph], *, source: str, symbols: tuple[str, ...]) -> Graph:
    """The parts in order, every name under its part's prefix.

    >>> from perfmodel.types import Tensor
    >>> part = Graph(name="p", ops=(Op(name="a", kind="view", inputs=("x",), outputs=("y",)),),
    ...              tensors={n: Tensor(name=n, shape=(2,), dtype="fp16", kind="input") for n in ("x", "y")})
    >>> [op.name for op in joined("both", {"left": part, "right": part}, source="", symbols=()).ops]
    ['left.a', 'right.a']
    """
    ops: list[Op] = []
    tensors: dict[str, Tensor] = {}
    for prefix, part in parts.items():
        ops += [_prefixed(op, prefix) for op in part.ops]
        tensors |= {f"{prefix}.{key}": replace(tensor, name=f"{prefix}.{key}") for key, tensor in part.tensors.items()}
    notes = tuple(dict.fromkeys(note for part in parts.values() for note in part.notes))
    return Graph(name=name, ops=tuple(ops), tensors=tensors, symbols=symbols, source=source, notes=notes)


def _prefixed(op: Op, prefix: str) -> Op:
    return replace(
        op,
        name=f"{prefix}.{op.name}",
        inputs=tuple(f"{prefix}.{name}" for name in op.inputs),
        outputs=tuple(f"{prefix}.{name}" for name in op.outputs),
        block=f"{prefix}.{op.block}" if op.block else prefix,
    )


def repeated(graph: Graph, times: int) -> Graph:
    """The graph run `times` times with the same weights."""
    return replace(graph, ops=tuple(replace(op, repeat=op.repeat * times) for op in graph.ops))
