"""Attention as a runtime without a fused kernel runs it, kernel by kernel: Graph -> Graph.

    copy q, k, v into batched layout ─▶ q·kᵀ ─▶ scale ─▶ mask ─▶ softmax (─▶ dropout) ─▶ ·v ─▶ merge the heads

All of the S×T scores are computed and every step writes them to memory: a causal mask hides work, it does not save any.
Which kernels scale and mask differs by model family; `STYLES` has those of Hugging Face transformers 4.3x ("eager"
attention; op by op as torch.fx traces of BERT, GPT-2 and OPT list them). The fused op is left as it is where the family
has no such form: absorbed latent attention and attention sinks.

Letters: B batch, H query heads, K kv heads, S query tokens, T key tokens, C and V channels of a key and a value head.

May import: errors, types, sizes, expansion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perfmodel.graphs.expansion import Place, expand
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Op


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionStyle:
    """The kernels of a model family's unfused attention.

    Args:
        scaled: what is multiplied by 1/sqrt(C): the scores [B,H,S,T], or the query before it is laid out anew.
        mask: "add" an additive mask, "where" a boolean one chooses between scores and a constant, "" none.
        mask_rows: the mask has a row per query (causal); otherwise one row for all of them (padding only).
        clamps: a maximum with the lowest number follows the mask.
        wide_softmax: the softmax gives fp32, which a further kernel casts back.
    """

    scaled: Literal["scores", "query"] = "scores"
    mask: Literal["add", "where", ""] = "add"
    mask_rows: bool = True
    clamps: bool = False
    wide_softmax: bool = False


LLAMA = AttentionStyle(wide_softmax=True)
STYLES: Mapping[str, AttentionStyle] = {
    "bert": AttentionStyle(mask_rows=False),
    "gpt2": AttentionStyle(mask="where"),
    "opt": AttentionStyle(scaled="query", clamps=True),
    "vit": AttentionStyle(mask=""),
    "llama": LLAMA,
}


def unfuse_attention(graph: Graph, style: AttentionStyle, *, dropout: bool = False) -> Graph:
    """The graph with every fused `attention` op replaced by the kernels of an eager runtime.

    Caches are concatenated with the new keys and values, as eager caches are: the whole cache is read and written.

    Args:
        dropout: attention probabilities are dropped at random (training).
    """
    by_writer = {name: op for op in graph.ops for name in op.outputs if op.kind == "view"}
    joined: dict[str, str] = {}  # cache -> the activation that holds old and new entries
    unmerged: set[str] = set()  # outputs of attention whose heads are still apart

    def rule(op: Op, place: Place) -> bool:
        if op.kind == "cache_append":
            return _concatenate(op, place, joined)
        if op.kind == "attention" and _is_plain(op):
            inputs = tuple(joined.get(name, name) for name in op.inputs[:3])
            _attend(op, place, style, inputs, permuted=set(inputs) & by_writer.keys(), dropout=dropout)
            unmerged.add(op.outputs[0])
            return True
        if op.kind == "view" and op.inputs[0] in unmerged:
            place.apply("", "copy", "merge_heads", op.inputs, out=op.outputs[0])
            return True
        return False

    return expand(graph, rule)


def _is_plain(op: Op) -> bool:
    """Whether query, key and value are all there is: no sinks, no values inside the keys."""
    return len(op.inputs) == 3 and not op.attributes.get("value_size", 0)


def _concatenate(op: Op, place: Place, joined: dict[str, str]) -> bool:
    for part, (new, cache) in enumerate(zip(op.inputs, op.outputs, strict=True)):
        old = place.tensor_of(cache)
        joined[cache] = place.apply(
            f"concat_{part}" if part else "", "copy", "concat", (cache, new), shape=old.shape, dtype=place.dtype(new)
        )
    return True


def _attend(
    op: Op, place: Place, style: AttentionStyle, inputs: tuple[str, ...], *, permuted: set[str], dropout: bool
) -> None:
    query, key, value = inputs
    batch, heads, tokens, _ = place.shape(query)
    scores_shape = (batch, heads, tokens, place.shape(key)[2])
    if style.scaled == "query":  # before its heads are laid out, so that it still has to be copied
        query = place.apply("scale", "pointwise", "mul", (query,))
        permuted = permuted | {query}
    laid_out = [
        _lay_out(place, part, tensor, heads, must=tensor in permuted)
        for part, tensor in (("query", query), ("key", key), ("value", value))
    ]
    own = {name: value for name, value in op.attributes.items() if name == "compute"}
    scores = place.apply("scores", "matmul", "", laid_out[:2], shape=scores_shape, transpose_b=True, **own)
    if style.scaled == "scores":
        scores = place.apply("scale", "pointwise", "div", (scores,))
    scores = _mask(place, style, scores)
    probabilities = _softmax(place, style, scores)
    if dropout:
        probabilities = drop(place, "dropout", probabilities)
    place.apply("", "matmul", "", (probabilities, laid_out[2]), out=op.outputs[0], **own)


def _lay_out(place: Place, part: str, tensor: str, heads: Dim, *, must: bool) -> str:
    """The tensor in the layout [B, H, T, C] of a batched product: permuted views are copied, shared heads repeated."""
    batch, own_heads, tokens, channels = place.shape(tensor)
    if own_heads != heads:
        shape = (batch, heads, tokens, channels)
        return place.apply(f"repeat_{part}", "copy", "repeat_heads", (tensor,), shape=shape)
    return place.apply(f"copy_{part}", "copy", "permute", (tensor,)) if must else tensor


def _mask(place: Place, style: AttentionStyle, scores: str) -> str:
    if not style.mask:
        return scores
    batch, _, tokens, keys = place.shape(scores)
    if style.mask == "where":
        mask = place.outside("causal_mask", (1, 1, tokens, keys), "bool")
    else:
        mask = place.outside("attention_mask", (batch, 1, tokens if style.mask_rows else 1, keys), place.dtype(scores))
    scores = place.apply("mask", "pointwise", style.mask, (scores, mask))
    return place.apply("clamp", "pointwise", "maximum", (scores,)) if style.clamps else scores


def _softmax(place: Place, style: AttentionStyle, scores: str) -> str:
    dtype = place.dtype(scores)
    wide = style.wide_softmax and dtype != "fp32"
    probabilities = place.apply("softmax", "softmax", "softmax", (scores,), dtype="fp32" if wide else dtype)
    return place.apply("cast", "copy", "cast", (probabilities,), dtype=dtype) if wide else probabilities


def drop(place: Place, part: str, x: str, out: str = "") -> str:
    """Dropout in training: a random mask of one byte an element is written beside the result."""
    result = out or place.activation(f"{part}.out", place.shape(x), place.dtype(x))
    mask = place.activation(f"{part}.mask", place.shape(x), "bool")
    place.put(part, "dropout", (x,), (result, mask), {"function": "dropout"})
    return result
