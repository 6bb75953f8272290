"""What mixes tokens in a layer: attention over keys and values, latent attention, the gated delta rule.

Each function takes normalised activations [B, S, D], adds its ops to the block and gives activations [B, S, D] back.
Kernels are those serving engines start: one matrix for queries, keys and values, one rotation, one attention.

May import: sizes, builder, state_space, transformer_block, transformer_settings.
"""

from __future__ import annotations

from typing import Any

from perfmodel.graphs.state_space import add_causal_convolution, add_selective_scan, add_state_space
from perfmodel.graphs.transformer_block import Block, Phase
from perfmodel.graphs.transformer_settings import (
    Attention,
    DeltaRule,
    Indexer,
    LatentAttention,
    Mixer,
    Norm,
    SelectiveScan,
    StateSpace,
)
from perfmodel.sizes import Dim

_RMS = Norm("rms")
_IMAGE = "image_positions"


def add_mixer(block: Block, x: str, mixer: Mixer, hidden: int, phase: Phase, norm: Norm) -> str:
    """The layer's token mixer; `norm` is the kind of norm that queries and keys get where they get one."""
    if isinstance(mixer, Attention):
        add = add_cross_attention if mixer.source else add_attention
        mixed = add(block, x, mixer, hidden, phase, norm)
        return block.scale("attention.scale", mixed) if mixer.scaled else mixed
    if isinstance(mixer, LatentAttention):
        return add_latent_attention(block, x, mixer, hidden, phase)
    if isinstance(mixer, DeltaRule):
        return add_delta_rule(block, x, mixer, hidden, phase)
    if isinstance(mixer, SelectiveScan):
        return add_selective_scan(block, x, mixer, hidden, phase)
    if isinstance(mixer, StateSpace):
        return add_state_space(block, x, mixer, hidden, phase)
    attended = add_attention(block, x, mixer.attention, hidden, phase, norm)
    scanned = add_state_space(block, x, mixer.state_space, hidden, phase)
    return block.pointwise("join_mixers", "add", (attended, scanned))


def add_attention(block: Block, x: str, attention: Attention, hidden: int, phase: Phase, norm: Norm) -> str:
    """Multi-head, grouped-query or multi-query attention, with a cache if the phase has one."""
    batch, tokens = phase.batch, phase.tokens
    heads, kv_heads, size = attention.heads, attention.kv_heads, attention.head_size
    channels = (heads * (2 if attention.gated else 1) + 2 * kv_heads) * size
    projected = block.linear("attention.qkv", x, channels, bias=attention.qkv_bias)
    shapes: dict[str, tuple[Dim, ...]] = {
        "query": (batch, heads, tokens, size),
        "key": (batch, kv_heads, tokens, size),
        "value": (batch, kv_heads, tokens, size),
    }
    if attention.gated:
        shapes["gate"] = (batch, tokens, heads * size)
    query, key, value, *gate = block.view("attention.split", projected, **shapes)
    query, key = _normalise(block, query, key, attention, norm)
    if attention.rotary:
        query, key = _rotate(block, query, key)
    if phase.cached:
        key, value = block.append("attention.append", phase.context, key=key, value=value)
    sinks = [block.weight("attention.sinks", (heads,))] if attention.sinks else []
    shape = (batch, heads, tokens, size)
    if attention.piece:
        shape = (batch * tokens // attention.piece, heads, attention.piece, size)
        query, key, value = (block.view(f"attention.cut_{part}", x, out=shape)[0]
                             for part, x in (("query", query), ("key", key), ("value", value)))  # fmt: skip
    out = _attend(block, (query, key, value, *sinks), shape, phase, attention.window)
    (merged,) = block.view("attention.merge", out, out=(batch, tokens, heads * size))
    if gate:
        merged = block.pointwise("attention.gate", "sigmoid_mul", (merged, *gate))
    return block.linear("attention.output", merged, hidden, bias=attention.output_bias)


def add_cross_attention(block: Block, x: str, attention: Attention, hidden: int, phase: Phase, norm: Norm) -> str:
    """Attention to an image: a prompt makes its keys and values and keeps them, a step of one token reads them."""
    batch, tokens, length = phase.batch, phase.tokens, attention.source
    heads, kv_heads, size = attention.heads, attention.kv_heads, attention.head_size
    keys: tuple[Dim, ...] = (batch, kv_heads, length, size)
    (query,) = block.view("attention.query_heads", block.linear("attention.query", x, heads * size),
                          out=(batch, heads, tokens, size))  # fmt: skip
    query = block.norm("attention.query_norm", query, norm)
    if tokens == 1:
        cached = tuple(
            block.tensor(f"attention.append.{part}_cache", keys, "cache", block.precision.cache)
            for part in ("key", "value")
        )
    else:
        if _IMAGE not in block.builder.tensors:
            block.builder.tensor(_IMAGE, (batch, length, hidden), block.precision.activation, "input")
        projected = block.linear("attention.key_value", _IMAGE, 2 * kv_heads * size)
        key, value = block.view("attention.split", projected, key=keys, value=keys)
        cached = block.append("attention.append", length, key=block.norm("attention.key_norm", key, norm), value=value)
    out = block.tensor("attention.core.out", (batch, heads, tokens, size))
    block.op("attention.core", "attention", (query, *cached), (out,), {"causal": False})
    (merged,) = block.view("attention.merge", out, out=(batch, tokens, heads * size))
    return block.linear("attention.output", merged, hidden)


def _normalise(block: Block, query: str, key: str, attention: Attention, norm: Norm) -> tuple[str, str]:
    if not attention.query_key_norm:
        return query, key
    function = norm.function if attention.query_key_norm != "bare" else "rms"
    kind = Norm(function, weight=attention.query_key_norm != "bare", bias=norm.bias and norm.function == "layer")
    full = attention.query_key_norm == "full"
    size = attention.head_size
    return (
        block.norm("attention.query_norm", query, kind, attention.heads * size if full else 0),
        block.norm("attention.key_norm", key, kind, attention.kv_heads * size if full else 0),
    )


def _rotate(block: Block, query: str, key: str) -> tuple[str, str]:
    """Rotary positions: one kernel for queries and keys."""
    rotated = (
        block.tensor("attention.rope.query", block.shape(query)),
        block.tensor("attention.rope.key", block.shape(key)),
    )
    block.op("attention.rope", "pointwise", (query, key), rotated, {"function": "rope"})
    return rotated


def _attend(
    block: Block, inputs: tuple[str, ...], shape: tuple[Dim, ...], phase: Phase, window: int, **more: Any
) -> str:
    out = block.tensor("attention.core.out", shape)
    attributes: dict[str, Any] = {"causal": phase.causal} | ({"window": window} if window else {}) | more
    block.op("attention.core", "attention", inputs, (out,), attributes)
    return out


# ------------------------------------------------------------------------------------------ latent attention


def add_latent_attention(block: Block, x: str, latent: LatentAttention, hidden: int, phase: Phase) -> str:
    """Multi-head latent attention (DeepSeek-V2 report, section 2.1).

    Prefill expands keys and values of all heads from the cached latents; decode, and sparse attention in both phases,
    take the expansion into query and output instead ("absorbed") and attend in the latent space with one kv head.
    """
    query, cache, query_latent = _latent_projections(block, x, latent, phase)
    # the expansion of the latent, apart for keys and values because the absorbed form multiplies them one by one
    storage = block.storages.get("attention.kv_b")
    weights = tuple(
        block.weight(f"attention.kv_b.{part}.weight", (latent.heads, size, latent.latent_size),
                     storage.weight if storage else "")
        for part, size in (("key", latent.plain_size), ("value", latent.value_size))
    )  # fmt: skip
    window = 0
    if latent.indexer:
        window = latent.indexer.count
        if not latent.indexer.shared:
            add_indexer(block, x, query_latent, latent.indexer, phase)
    absorbed = phase.absorbed or latent.indexer is not None
    attend = _attend_absorbed if absorbed else _attend_expanded
    merged = attend(block, query, cache, weights, latent, phase, window)
    return block.linear("attention.output", merged, hidden, bias=latent.bias)


def _latent_projections(
    block: Block, x: str, latent: LatentAttention, phase: Phase
) -> tuple[tuple[str, str], str, str]:
    """The query's plain and rotary part, the cache of latent and rotary key, and the query's own latent (or x)."""
    batch, tokens, heads = phase.batch, phase.tokens, latent.heads
    cached = latent.latent_size + latent.rotary_size
    both = block.linear("attention.qkv_a" if latent.query_rank else "attention.kv_a", x, latent.query_rank + cached,
                        bias=latent.bias)  # fmt: skip
    shapes: dict[str, tuple[Dim, ...]] = {"query": (batch, tokens, latent.query_rank)} if latent.query_rank else {}
    shapes["latent"] = (batch, 1, tokens, latent.latent_size)
    shapes["rotary"] = (batch, 1, tokens, latent.rotary_size)
    *query_a, latent_kv, key_rotary = block.view("attention.split_a", both, **shapes)
    query_latent = block.norm("attention.query_norm", query_a[0], _RMS) if query_a else x
    latent_kv = block.norm("attention.latent_norm", latent_kv, _RMS)
    query = block.linear("attention.query_b" if query_a else "attention.query", query_latent,
                         heads * (latent.plain_size + latent.rotary_size))  # fmt: skip
    plain, rotary = block.view(
        "attention.split_b",
        query,
        plain=(batch, heads, tokens, latent.plain_size),
        rotary=(batch, heads, tokens, latent.rotary_size),
    )
    rotary, key_rotary = _rotate(block, rotary, key_rotary)
    new = block.copy("attention.join_latent", "concat", (latent_kv, key_rotary), (batch, 1, tokens, cached))
    (cache,) = block.append("attention.append", phase.context, latent=new)
    return (plain, rotary), cache, query_latent


def _attend_expanded(
    block: Block,
    query: tuple[str, str],
    cache: str,
    weights: tuple[str, ...],
    latent: LatentAttention,
    phase: Phase,
    window: int,
) -> str:
    """Keys and values of all heads made from the latents of the whole context, then ordinary attention."""
    batch, tokens, context, heads = phase.batch, phase.tokens, phase.context, latent.heads
    size = latent.plain_size + latent.rotary_size
    latents, rotary = (
        block.tensor(f"attention.read_latent.{part}", shape)
        for part, shape in (
            ("latent", (1, batch * context, latent.latent_size)),
            ("rotary", (batch, 1, context, latent.rotary_size)),
        )
    )
    block.op("attention.read_latent", "gather", (cache,), (latents, rotary), {"function": "read_cache"})
    attributes = {"transpose_b": True}
    storage = block.storages.get("attention.kv_b")
    if storage and storage.compute:
        attributes["compute"] = storage.compute  # type: ignore[assignment]
    expanded: list[str] = []
    for part, weight, channels in zip(("key", "value"), weights, (latent.plain_size, latent.value_size), strict=True):
        out = block.tensor(f"attention.expand_{part}.out", (heads, batch * context, channels))
        block.op(f"attention.expand_{part}", "matmul", (latents, weight), (out,), attributes)
        expanded.extend(block.view(f"attention.{part}_heads", out, out=(batch, heads, context, channels)))
    whole_query = block.copy("attention.join_query", "concat", query, (batch, heads, tokens, size))
    key = block.copy("attention.join_key", "concat", (expanded[0], rotary), (batch, heads, context, size))
    shape = (batch, heads, tokens, latent.value_size)
    out = _attend(block, (whole_query, key, expanded[1]), shape, phase, window)
    return block.view("attention.merge", out, out=(batch, tokens, heads * latent.value_size))[0]


def _attend_absorbed(
    block: Block,
    query: tuple[str, str],
    cache: str,
    weights: tuple[str, ...],
    latent: LatentAttention,
    phase: Phase,
    window: int,
) -> str:
    """Queries taken into the latent space, attention with one kv head there, the output taken back to the heads."""
    batch, tokens, heads, inner = phase.batch, phase.tokens, latent.heads, latent.latent_size
    plain, rotary = query
    (rows,) = block.view("attention.query_rows", plain, out=(heads, batch * tokens, latent.plain_size))
    absorbed = block.tensor("attention.absorb_key.out", (heads, batch * tokens, inner))
    block.op("attention.absorb_key", "matmul", (rows, weights[0]), (absorbed,))
    (absorbed,) = block.view("attention.absorbed_heads", absorbed, out=(batch, heads, tokens, inner))
    size = inner + latent.rotary_size
    whole_query = block.copy("attention.join_query", "concat", (absorbed, rotary), (batch, heads, tokens, size))
    out = _attend(block, (whole_query, cache), (batch, heads, tokens, inner), phase, window, value_size=inner)
    (rows,) = block.view("attention.output_rows", out, out=(heads, batch * tokens, inner))
    values = block.tensor("attention.absorb_value.out", (heads, batch * tokens, latent.value_size))
    block.op("attention.absorb_value", "matmul", (rows, weights[1]), (values,), {"transpose_b": True})
    return block.view("attention.merge", values, out=(batch, tokens, heads * latent.value_size))[0]


def add_indexer(block: Block, x: str, query_latent: str, indexer: Indexer, phase: Phase) -> None:
    """Scores of all cached keys by small heads, and the best of them for each query (DeepSeek-V3.2 report, section 2).

    The scores of the heads are rectified, weighted by a projection of x and summed inside the scoring kernel.
    """
    batch, tokens, context = phase.batch, phase.tokens, phase.context
    heads, size = indexer.heads, indexer.head_size
    query = block.linear("indexer.query", query_latent, heads * size)
    (query,) = block.view("indexer.query_heads", query, out=(batch, heads * tokens, size))
    key = block.linear("indexer.key", x, size)
    key = block.norm("indexer.key_norm", key, Norm("layer", bias=True))
    weights = block.linear("indexer.weights", x, heads, keep=True)
    (key,) = block.view("indexer.key_head", key, out=(batch, 1, tokens, size))
    (cache,) = block.append("indexer.append", context, key=key)
    scores = block.tensor("indexer.scores.out", (batch, 1, tokens, context))
    block.op("indexer.scores", "index_scores", (query, cache, weights), (scores,), {"causal": phase.causal})
    picked = block.tensor("indexer.topk.out", (batch, 1, tokens, indexer.count), dtype="int32")
    block.op("indexer.topk", "topk", (scores,), (picked,), {"count": indexer.count, "function": "topk"})


# --------------------------------------------------------------------------------------------- the delta rule


def add_delta_rule(block: Block, x: str, rule: DeltaRule, hidden: int, phase: Phase) -> str:
    """Gated DeltaNet (arXiv 2412.06464): projections, a short convolution over tokens, and a state per value head.

    The recurrence itself is one op, `gated_delta_rule`, with the state it reads and writes.
    """
    batch, tokens = phase.batch, phase.tokens
    keys, values = rule.key_heads * rule.key_size, rule.value_heads * rule.value_size
    mixed = 2 * keys + values
    projected = block.linear("delta.qkvz", x, mixed + values)
    qkv, gate = block.view("delta.split", projected, qkv=(batch, mixed, tokens), gate=(batch, tokens, values))
    rates = block.linear("delta.rates", x, 2 * rule.value_heads)
    activated = add_causal_convolution(block, "delta", qkv, rule.kernel, bias=False)
    decay = [block.weight(f"delta.{name}", (rule.value_heads,)) for name in ("rate_bias", "log_decay")]
    state = block.tensor("delta.state", (batch, rule.value_heads, rule.key_size, rule.value_size), "cache", "fp32")
    out = block.tensor("delta.rule.out", (batch, tokens, rule.value_heads, rule.value_size))
    block.op("delta.rule", "gated_delta_rule", (activated, rates, *decay, state), (out, state))
    normed = block.norm("delta.norm", out, _RMS)
    (merged,) = block.view("delta.merge", normed, out=(batch, tokens, values))
    gated = block.pointwise("delta.gate", "silu_mul", (merged, gate))
    return block.linear("delta.output", gated, hidden)
