"""How much device memory a model needs: weights, KV cache, activations, the runtime's own.

    total = weights + cache(batch, context) + peak of live activations + runtime overhead

An activation lives from the op that writes it to the last op that reads it; the peak is the largest sum over the ops.
All parts are polynomials in the graph's symbols, found once and evaluated for ints or arrays.

May import: errors, sizes, precisions, types, arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from perfmodel.arithmetic import Number, maximum
from perfmodel.errors import GraphError
from perfmodel.precisions import storage_bytes
from perfmodel.sizes import Dim, Size, evaluate
from perfmodel.types import Graph, Hardware, Model, Tensor

GIB = 2.0**30
# context, kernels' workspaces, captured graphs: what torch-based runtimes hold beside the model; ±50 %
RUNTIME_BYTES = {
    "gpu": {"eager": 0.7 * GIB, "compiled": 0.9 * GIB, "graphs": 1.5 * GIB},
    "cpu": {"eager": 0.3 * GIB, "compiled": 0.5 * GIB, "graphs": 0.5 * GIB},
    "tpu": {"eager": 0.3 * GIB, "compiled": 0.3 * GIB, "graphs": 0.3 * GIB},
    "accelerator": {"eager": 0.7 * GIB, "compiled": 0.7 * GIB, "graphs": 1.0 * GIB},
}
MAX_COUNT = 1 << 40


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Memory of a model as functions of the graph's symbols.

    Args:
        weight_bytes: all distinct weights. cache: polynomial terms of the cache. activations: candidates for the peak.
        overhead_bytes: the runtime's own.
    """

    weight_bytes: float
    cache: tuple[Dim, ...]
    activations: tuple[Dim, ...]
    overhead_bytes: float

    def evaluate(self, values: Mapping[str, Number]) -> dict[str, Number]:
        """Bytes by part, and their total, for ints or arrays."""
        # a device's share of some tokens need not be a whole number of them
        values = {name: float(value) if isinstance(value, int) else value for name, value in values.items()}
        cache = sum(evaluate(term, values) for term in self.cache)
        activations: Number = 0
        for term in self.activations:
            activations = maximum(activations, evaluate(term, values))
        return {
            "weights": self.weight_bytes,
            "cache": cache,
            "activations": activations,
            "overhead": self.overhead_bytes,
            "total": self.weight_bytes + cache + activations + self.overhead_bytes,
        }


def memory_need(model: Model, hardware: Hardware, runtime: str) -> MemoryNeed:
    """The memory of a model's phases together: weights and cache are shared by them."""
    weights: dict[str, Tensor] = {}
    caches: dict[str, Tensor] = {}
    peaks: set[Dim] = set()
    for graph in model.phases.values():
        weights |= {name: tensor for name, tensor in graph.tensors.items() if tensor.kind == "weight"}
        caches |= {name: tensor for name, tensor in graph.tensors.items() if tensor.kind == "cache"}
        peaks |= set(live_bytes(graph))
    return MemoryNeed(
        weight_bytes=float(sum(_fixed_bytes(tensor) for tensor in weights.values())),
        cache=tuple(_bytes(tensor) for tensor in caches.values()),
        activations=_undominated(peaks),
        overhead_bytes=RUNTIME_BYTES[hardware.kind][runtime],
    )


def live_bytes(graph: Graph) -> tuple[Dim, ...]:
    """Bytes of live activations while each op runs: its inputs, its outputs, and what later ops still need."""
    home = _storage(graph)
    last_use = {home.get(name, name): index for index, op in enumerate(graph.ops) for name in (*op.outputs, *op.inputs)}
    live: Dim = 0
    held: set[str] = set()
    steps = []
    for index, op in enumerate(graph.ops):
        used = {home.get(name, name) for name in (*op.inputs, *op.outputs)}
        for name in used - held:
            if _is_activation(graph.tensors.get(name)):
                held.add(name)
                live = live + _bytes(graph.tensors[name])
        steps.append(live)
        for name in used & held:
            if last_use[name] == index:
                held.remove(name)
                live = live - _bytes(graph.tensors[name])
    return tuple(steps)


def _storage(graph: Graph) -> dict[str, str]:
    """View -> the tensor whose memory it lies in."""
    home: dict[str, str] = {}
    for op in graph.ops:
        if op.kind == "view":
            home |= dict.fromkeys(op.outputs, home.get(op.inputs[0], op.inputs[0]))
    return home


def _is_activation(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.kind in ("activation", "input")


def _bytes(tensor: Tensor) -> Dim:
    stored = storage_bytes(tensor.shape, tensor.dtype)
    whole: Dim = stored if isinstance(stored, Size) else -int(-stored // 1)
    return whole * tensor.copies


def _fixed_bytes(tensor: Tensor) -> int:
    stored = _bytes(tensor)
    if isinstance(stored, Size):
        raise GraphError(f"weight '{tensor.name}' has a shape that depends on {', '.join(sorted(stored.symbols))}")
    return stored


def _undominated(candidates: set[Dim]) -> tuple[Dim, ...]:
    """Drop polynomials that can never be the largest: every coefficient at most that of another one."""
    terms: dict[Dim, dict[Any, Fraction]] = {
        dim: dict(dim.terms) if isinstance(dim, Size) else {(): Fraction(dim)} for dim in candidates
    }

    def dominated(dim: Dim) -> bool:
        return any(
            other != dim
            and all(value <= terms[other].get(monomial, 0) for monomial, value in terms[dim].items())
            and all(value >= 0 for value in terms[other].values())
            for other in candidates
        )

    return tuple(dim for dim in candidates if not dominated(dim))


def largest_count(fits: Callable[[int], bool]) -> int:
    """The largest count >= 0 for which a monotone `fits` holds; `MAX_COUNT` if it never fails.

    >>> largest_count(lambda count: count * 3 <= 100)
    33
    """
    if not fits(1):
        return 0
    low, high = 1, 2
    while high < MAX_COUNT and fits(high):
        low, high = high, high * 2
    if high >= MAX_COUNT:
        return MAX_COUNT
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
