"""2:4 structured sparsity: of every four weights in a row two are zero, and matrix units that know it skip them.

Weights are stored as the two that are left, and two bits for the place of each: 9/16 of bf16's bytes, 5/8 of 8-bit
ones. May import: errors, types, precisions.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.errors import UnsupportedError
from perfmodel.precisions import SPARSE_FORMATS
from perfmodel.types import Graph, Op


def sparsify_2_4(graph: Graph) -> Graph:
    """The graph with the weights of its linear layers in 2:4 sparsity (not the logits' and routers').

    Raises:
        UnsupportedError: no linear layer multiplies in a dtype that sparse matrix units take.
    """
    chosen = [op for op in graph.ops if _can_be_sparse(op, graph)]
    if not chosen:
        raise UnsupportedError(
            "2:4 sparsity: sparse matrix units multiply linear layers whose weights are in the dtype they compute in, "
            f"one of {', '.join(SPARSE_FORMATS)}; give such a precision, e.g. --precision bf16"
        )
    names = {op.name for op in chosen}
    weights = {op.inputs[1] for op in chosen}
    tensors = {
        name: replace(tensor, dtype=SPARSE_FORMATS[tensor.dtype]) if name in weights else tensor
        for name, tensor in graph.tensors.items()
    }
    ops = tuple(
        replace(op, attributes={**op.attributes, "sparse_2_4": True}) if op.name in names else op for op in graph.ops
    )
    return replace(graph, ops=ops, tensors=tensors)


def _can_be_sparse(op: Op, graph: Graph) -> bool:
    if op.kind != "linear" or any(op.attributes.get(key) for key in ("keep", "stacked", "experts")):
        return False
    weight, source = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]]
    shared = sum(op.inputs[1] in other.inputs for other in graph.ops) > 1
    compute = op.attributes.get("compute", source.dtype)
    return weight.kind == "weight" and not shared and weight.dtype in SPARSE_FORMATS and compute == weight.dtype
