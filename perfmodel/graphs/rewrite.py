"""Rewrites of a graph: Graph -> Graph. Here: another precision.

May import: errors, sizes, precisions, types, autocast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perfmodel.graphs.autocast import WIDE, autocast
from perfmodel.precisions import AUTOCASTS, Scheme, find_format, find_scheme
from perfmodel.types import Graph, Op, Tensor

_CONTRACTIONS = (
    "linear", "matmul", "attention", "experts", "convolution", "recurrent", "index_scores", "gated_delta_rule",
    "state_space_scan",
)  # fmt: skip
# what a scheme stores in its weight format: convolutions only where whole networks are quantised that way
_QUANTIZED = ("linear", "experts")
_CONVOLUTION_SCHEMES = ("fp8", "int8")
_SIXTEEN_BIT_AND_ABOVE = ("fp64", "fp32", "tf32", "fp16", "bf16")


def in_scheme(graph: Graph, own: Scheme, wanted: Scheme) -> Graph:
    """The graph in another precision, or as a model in fp32 under autocast."""
    if wanted.name not in AUTOCASTS:
        return quantize(graph, own, wanted)
    wide = graph if own.name == WIDE else quantize(graph, own, find_scheme(WIDE))
    return autocast(wide, wanted.compute)


def quantize(graph: Graph, own: Scheme, wanted: Scheme, cache: str = "") -> Graph:
    """The graph in another precision.

    Weights of linear layers and experts go to the scheme's weight format and their multiplications to its compute
    dtype; ops marked `keep` (router, logits head) and everything else go to its activation dtype. Tensors whose dtype
    is not the graph's own activation dtype (indices, a norm deliberately in fp32) stay as they are.

    Args:
        own: the scheme the graph is in. wanted: the scheme it shall be in.
        cache: storage format of the KV cache, if not the scheme's.
    """
    quantized = {op.name for op in graph.ops if _is_quantized(op, graph, wanted)}
    kept_weights = {name for op in graph.ops if op.name not in quantized for name in op.inputs}
    weights = {name for op in graph.ops if op.name in quantized for name in op.inputs} - kept_weights
    tensors = {
        name: _convert(tensor, own, wanted, cache, in_scheme=name in weights) for name, tensor in graph.tensors.items()
    }
    ops = tuple(_recompute(op, wanted, op.name in quantized) for op in graph.ops)
    return replace(graph, ops=ops, tensors=tensors)


def _is_quantized(op: Op, graph: Graph, wanted: Scheme) -> bool:
    if op.attributes.get("keep", False):
        return False
    if op.kind == "matmul":  # of activations, but for the expansion of a latent cache, which is a weight
        return any(name in graph.tensors and graph.tensors[name].kind == "weight" for name in op.inputs)
    return op.kind in _QUANTIZED or (op.kind == "convolution" and wanted.name in _CONVOLUTION_SCHEMES)


def _convert(tensor: Tensor, own: Scheme, wanted: Scheme, cache: str, *, in_scheme: bool) -> Tensor:
    if tensor.kind == "cache":
        return replace(tensor, dtype=cache or wanted.cache)
    if tensor.kind == "weight" and in_scheme and len(tensor.shape) > 1:
        return replace(tensor, dtype=wanted.weight)
    if tensor.dtype == own.activation or (tensor.kind == "weight" and in_scheme):
        return replace(tensor, dtype=wanted.activation)
    if tensor.kind == "weight" and _is_own_weight(tensor, own):
        return replace(tensor, dtype=wanted.activation)
    return tensor


def _is_own_weight(tensor: Tensor, own: Scheme) -> bool:
    """Whether a weight is in the scheme's weight format; in a mixture of formats, in any that has scales."""
    return tensor.dtype == own.weight if own.weight else find_format(tensor.dtype).block_in > 0


def _recompute(op: Op, wanted: Scheme, quantized: bool) -> Op:
    if op.kind not in _CONTRACTIONS:
        return op
    attributes: dict[str, Any] = {
        key: value for key, value in op.attributes.items() if key not in ("compute", "quantize_input")
    }
    whole_graph = wanted.compute in _SIXTEEN_BIT_AND_ABOVE and wanted.compute != wanted.activation  # tf32
    if quantized or whole_graph:
        attributes["compute"] = wanted.compute
        if wanted.quantises_activations and op.kind != "matmul":
            attributes["quantize_input"] = True
    return replace(op, attributes=attributes)


def with_cache_format(graph: Graph, cache: str) -> Graph:
    """The graph with its KV cache stored in another format."""
    tensors: Mapping[str, Tensor] = {
        name: replace(tensor, dtype=cache) if tensor.kind == "cache" else tensor
        for name, tensor in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)
