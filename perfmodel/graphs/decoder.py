"""A decoder-only language model as two graphs: prefill and decode over a KV cache.

Symbols: `batch`, `tokens` (query tokens of this step), `context` (tokens in the cache after it, >= tokens). Prefill
runs `tokens` at the end of `context`, causally; decode runs one token that sees all of `context`.

May import: sizes, types, builder, quantization_config, stored_weights, transformer_*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.quantization_config import Quantization
from perfmodel.graphs.stored_weights import StoredPart, StoredWeights, with_unread
from perfmodel.graphs.transformer_block import Block, Phase, Precision, Stream
from perfmodel.graphs.transformer_layers import LayerKind, add_layers, attention_of, group_layers
from perfmodel.graphs.transformer_settings import Attention, Decoder, LatentAttention, Mixture
from perfmodel.sizes import product, size
from perfmodel.types import Graph, Model, Tensor

Logits = Literal["last", "all"]
CACHE_BYTES = 2  # per element, for the fact `kv_bytes_per_token`

BATCH, TOKENS, CONTEXT = size("batch"), size("tokens"), size("context")
PREFILL = Phase(BATCH, TOKENS, CONTEXT, causal=True, cached=True)
DECODE = Phase(BATCH, 1, CONTEXT, causal=False, cached=True, absorbed=True)


def decoder_model(
    decoder: Decoder,
    precision: Precision,
    quantization: Quantization | None,
    *,
    name: str,
    source: str,
    notes: Sequence[str],
    logits: Logits = "last",
    stored: StoredWeights | None = None,
) -> Model:
    """The model of a decoder.

    Args:
        logits: of the last position of a prompt only, or of all its positions.
        stored: how a weight file keeps the weights, which counts before `quantization`.

    Raises:
        ModelError: the weight file holds other sizes than the settings, or lacks a matrix.
    """
    kinds = group_layers(decoder.layers, quantization, stored.layers if stored else ())
    outside = stored.outside if stored else StoredPart()
    phases = {
        phase_name: _graph(decoder, precision, kinds, outside, phase, f"{name} {phase_name}", source, logits)
        for phase_name, phase in (("prefill", PREFILL), ("decode", DECODE))
    }
    prefill = phases["prefill"]
    parameters = count_parameters(prefill)
    if stored:
        parts = {"": (outside, 1)} | {kind.name: (kind.stored, kind.repeat) for kind in kinds}
        phases = {phase_name: with_unread(graph, parts)[0] for phase_name, graph in phases.items()}
        notes = (*notes, *with_unread(prefill, parts)[1])
    return Model(
        name=name,
        phases=phases,
        parameters=parameters,
        precision=stored.precision if stored else quantization.precision if quantization else precision.activation,
        source=source,
        max_context=decoder.max_context,
        facts=_facts(decoder, parameters, prefill) | layer_order(kinds),
        notes=tuple(notes),
    )


def count_parameters(*graphs: Graph) -> int:
    """Distinct weight elements of graphs, all copies; a weight that several of them name is one."""
    tensors = {name: tensor for graph in graphs for name, tensor in graph.tensors.items() if tensor.kind == "weight"}
    return sum(_elements(tensor) for tensor in tensors.values())


def _elements(tensor: Tensor) -> int:
    """Elements of all copies of a weight, 0 for other tensors."""
    if tensor.kind != "weight":
        return 0
    elements = product(tensor.shape) * tensor.copies
    assert isinstance(elements, int)
    return elements


def _graph(
    decoder: Decoder,
    precision: Precision,
    kinds: Sequence[LayerKind],
    stored: StoredPart,
    phase: Phase,
    name: str,
    source: str,
    logits: Logits,
) -> Graph:
    builder = GraphBuilder(name, source)
    outside = Block(builder, precision, stored=dict(stored.weights))
    start = _embed(outside, decoder, phase)
    stream = add_layers(builder, precision, kinds, decoder.structure, start, phase)
    _logits(outside, decoder, stream, phase, logits)
    symbols = ("batch", "context") if phase.tokens == 1 else ("batch", "tokens", "context")
    return builder.graph(symbols)


def _embed(block: Block, decoder: Decoder, phase: Phase) -> str:
    """Token ids to the first layer's input."""
    ids = block.tensor("token_ids", (phase.batch, phase.tokens), "input", "int64")
    x = block.embedding(
        "embedding", ids, decoder.vocabulary + decoder.extra_rows, decoder.embedding_size or decoder.hidden
    )
    if decoder.embedding_size:
        x = block.linear("embedding_projection", x, decoder.hidden)
    if decoder.position_rows:
        positions = block.tensor("position_ids", (phase.batch, phase.tokens), "input", "int64")
        rows = block.embedding("positions", positions, decoder.position_rows, decoder.hidden)
        x = block.pointwise("add_positions", "add", (x, rows))
    if decoder.embedding_norm:
        x = block.norm("embedding_norm", x, decoder.structure.norm)
    return x


def _logits(block: Block, decoder: Decoder, stream: Stream, phase: Phase, logits: Logits) -> None:
    """The final norm and the logits, of the last position or of all."""
    x = stream.residual
    if decoder.final_norm:
        x, _ = block.add_and_norm("final_norm", stream, decoder.structure.norm)
    if logits == "last" and phase.tokens != 1:
        last = block.tensor("last_token.out", (phase.batch, 1, decoder.hidden))
        block.op("last_token", "gather", (x,), (last,), {"function": "last_token"})
        x = last
    if decoder.embedding_size:
        x = block.linear("head_projection", x, decoder.embedding_size)
    if not decoder.tied:
        block.linear("head", x, decoder.vocabulary, bias=decoder.head_bias, keep=True)
        return
    weights = ["embedding.weight"]
    if decoder.head_bias:
        weights.append(block.weight("head.bias", (decoder.vocabulary,)))
    out = block.tensor("head.out", (*block.shape(x)[:-1], decoder.vocabulary))
    block.op("head", "linear", (x, *weights), (out,), {"keep": True})


def layer_order(kinds: Sequence[LayerKind]) -> dict[str, Any]:
    """The fact `layer_order`: the block of each layer, first to last; nothing where all layers are alike."""
    names = {place: kind.name for kind in kinds for place in kind.places}
    return {"layer_order": [names[place] for place in sorted(names)]} if len(kinds) > 1 else {}


def _facts(decoder: Decoder, parameters: int, graph: Graph) -> dict[str, Any]:
    """What tables show of a model."""
    facts: dict[str, Any] = {
        "layers": len(decoder.layers),
        "hidden_size": decoder.hidden,
        "vocabulary": decoder.vocabulary,
        "tied_embeddings": decoder.tied,
    }
    facts |= _attention_facts(decoder)
    mixtures = [layer.channels for layer in decoder.layers if isinstance(layer.channels, Mixture)]
    facts["active_parameters"] = parameters
    if mixtures:
        experts, per_token = mixtures[0].experts, mixtures[0].per_token
        all_experts = sum(_elements(tensor) for tensor in graph.tensors.values() if ".moe.experts." in tensor.name)
        facts |= {"experts": experts, "experts_per_token": per_token}
        facts["active_parameters"] = parameters - all_experts // experts * (experts - per_token)
    channels = sum(
        tensor.copies * int(str(tensor.shape[1] * tensor.shape[3]))  # [batch, heads, context, channels]
        for tensor in graph.tensors.values()
        if tensor.kind == "cache" and CONTEXT in tensor.shape
    )
    return facts | {"kv_bytes_per_token": channels * CACHE_BYTES}


def _attention_facts(decoder: Decoder) -> dict[str, Any]:
    attention = attention_of(decoder.layers)
    if attention:
        facts = {"heads": attention.heads, "kv_heads": attention.kv_heads, "head_size": attention.head_size}
        windows = {layer.mixer.window for layer in decoder.layers if isinstance(layer.mixer, Attention)} - {0}
        return facts | ({"window": max(windows)} if windows else {})
    latent = next((layer.mixer for layer in decoder.layers if isinstance(layer.mixer, LatentAttention)), None)
    if latent is None:
        return {}
    return {"heads": latent.heads, "kv_heads": 1, "head_size": latent.plain_size + latent.rotary_size,
            "latent_size": latent.latent_size}  # fmt: skip
