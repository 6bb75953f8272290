"""Low rank: a linear layer's weight [N, K] as the product of two, [N, R]·[R, K].

FLOPs go from 2·M·N·K to 2·M·R·(N + K), and weights from N·K to R·(N + K): fewer only where R < N·K/(N + K), half of
the rank of a square matrix. And there are two kernels instead of one. May import: errors, types, expansion, prune.
"""

from __future__ import annotations

from collections import Counter

from perfmodel.errors import UnsupportedError
from perfmodel.graphs.expansion import Place, expand
from perfmodel.graphs.prune import check_share
from perfmodel.types import Graph, Op


def factorize(graph: Graph, rank: float) -> Graph:
    """The graph with every linear layer (not the logits' and routers', nor a weight used twice) as two of low rank.

    Args:
        rank: share of min(N, K) that each layer keeps as its rank, rounded to the nearest, at least 1.

    Raises:
        InputError: rank is no share.
        UnsupportedError: the graph has no such layer.
    """
    check_share("rank", rank)
    uses = Counter(name for op in graph.ops for name in op.inputs)
    chosen = {op.name for op in graph.ops if _can_split(op, graph, uses)}
    if not chosen:
        raise UnsupportedError("rank: the network has no linear layers with weights of their own to factorize")

    def rule(op: Op, place: Place) -> bool:
        if op.name not in chosen:
            return False
        _split(op, place, rank)
        return True

    return expand(graph, rule)


def _can_split(op: Op, graph: Graph, uses: Counter[str]) -> bool:
    if op.kind != "linear" or any(op.attributes.get(key) for key in ("keep", "stacked", "experts")):
        return False
    weight = graph.tensors[op.inputs[1]]
    return (
        weight.kind == "weight"
        and len(weight.shape) == 2
        and uses[weight.name] == 1
        and all(isinstance(dim, int) for dim in weight.shape)
    )


def _split(op: Op, place: Place, share: float) -> None:
    source, weight, *bias = op.inputs
    whole = place.tensor_of(weight)
    n, k = (int(dim) for dim in whole.shape)  # type: ignore[arg-type]
    rank = max(int(share * min(n, k) + 0.5), 1)
    first = place.builder.tensor(f"{weight}.first", (rank, k), whole.dtype, "weight", whole.copies)
    second = place.builder.tensor(f"{weight}.second", (n, rank), whole.dtype, "weight", whole.copies)
    between = place.activation("between", (*place.shape(source)[:-1], rank), place.dtype(source))
    place.put("first", "linear", (source, first), (between,), op.attributes)
    place.put("second", "linear", (between, second, *bias), op.outputs, op.attributes)
