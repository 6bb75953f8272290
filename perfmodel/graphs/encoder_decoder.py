"""Encoder-decoder models (T5, BART, Whisper and their kin) as graphs: `encode`, `prefill` and `decode`.

    encode   the encoder over the source: `tokens` input tokens, or a fixed window of audio
    prefill  the decoder's own prompt: one start token, or (audio) the input tokens; keys and values of the encoder's
             output are made for every layer and kept
    decode   one token that sees the answer so far and the source, both through caches

Symbols: `batch`; `tokens` of the source in encode and prefill; `source` and `answer` (tokens of the answer so far,
start token included) in decode. With audio the source is a number, and prefill and decode have `tokens` and `context`
as those of a decoder. With logits of all tokens, as in training or scoring, there is one phase `forward`, in which
encoder and decoder run over `tokens` tokens each.

Position biases of T5 are looked up once per stack (UMT5: in each layer) and added to the scores inside attention. The
final bias of BART's logits, zeros that nobody trains, is not counted.

May import: sizes, types, builder, decoder, encoder_decoder_configs, transformer_*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.decoder import BATCH, DECODE, PREFILL, TOKENS, Logits, count_parameters
from perfmodel.graphs.encoder_decoder_configs import EncoderDecoder, Stack
from perfmodel.graphs.transformer_block import Block, Phase, Precision, Stream
from perfmodel.graphs.transformer_layers import add_channels
from perfmodel.graphs.transformer_settings import Channels, Mixture
from perfmodel.sizes import Dim, size
from perfmodel.types import Graph, Model

SOURCE, ANSWER = size("source"), size("answer")
_START = Phase(BATCH, 1, 1, causal=False, cached=True)
_ANSWER = Phase(BATCH, 1, ANSWER, causal=False, cached=True)
_ENCODE = Phase(BATCH, TOKENS, TOKENS, causal=False, cached=False)
_SCORE = Phase(BATCH, TOKENS, TOKENS, causal=True, cached=False)
# a task prompt: start of transcript, language, task, no timestamps (arXiv 2212.04356, section 2.3)
AUDIO_PROMPT_TOKENS = 4


@dataclass(frozen=True, slots=True)
class _Source:
    """What the decoder attends to beside itself.

    Args:
        length: its positions. encoded: the encoder's output, from which keys and values are made; "" if the caches
            hold them already.
    """

    length: Dim
    encoded: str = ""


def encoder_decoder_model(
    settings: EncoderDecoder, precision: Precision, *, name: str, source: str, notes: Sequence[str], logits: Logits
) -> Model:
    """The model of an encoder-decoder.

    Args:
        logits: "all" for one phase over encoder and decoder, as in training.
    """
    build = _forward_phase if logits == "all" else _generating_phases
    phases = build(settings, precision, name, source)
    parameters = count_parameters(*phases.values())
    facts: dict[str, Any] = {
        "layers": len(settings.encoder.layers) + len(settings.decoder.layers),
        "hidden_size": settings.hidden,
        "heads": settings.decoder.heads,
        "head_size": settings.decoder.head_size,
        "vocabulary": settings.vocabulary,
        "tied_embeddings": settings.tied,
        "active_parameters": parameters - _idle_elements(phases),
    }
    if settings.audio:
        facts["default_input_tokens"] = AUDIO_PROMPT_TOKENS
    return Model(
        name=name,
        phases=phases,
        parameters=parameters,
        precision=precision.activation,
        source=source,
        max_context=settings.max_context,
        facts=facts,
        notes=(_note(settings, logits), *notes),
    )


def _note(settings: EncoderDecoder, logits: Logits) -> str:
    if settings.audio:
        length = settings.encoder.position_rows
        return f"encode runs over a whole window of audio ({length} positions); input tokens are the decoder's prompt"
    if logits == "all":
        return "encoder and decoder both run over `tokens` tokens"
    return "input tokens are the encoder's; the decoder starts from one token"


def _idle_elements(phases: Mapping[str, Graph]) -> int:
    """Weights of experts that a token is not sent to."""
    found = {}
    for graph in phases.values():
        for tensor in graph.tensors.values():
            if tensor.kind == "weight" and ".moe.experts." in tensor.name:
                per_expert = int(str(tensor.shape[1])) * int(str(tensor.shape[2])) * tensor.copies
                found[tensor.name] = per_expert * (int(str(tensor.shape[0])) - 1)
    return sum(found.values())


# ------------------------------------------------------------------------------------------------------ the phases


def _generating_phases(settings: EncoderDecoder, precision: Precision, name: str, source: str) -> dict[str, Graph]:
    audio = bool(settings.audio)
    length: Dim = settings.encoder.position_rows if audio else TOKENS
    prefill = Block(GraphBuilder(f"{name} prefill", source), precision)
    encoded = prefill.tensor("encoded", (BATCH, length, settings.hidden), "input")
    _decode(prefill, settings, PREFILL if audio else _START, _Source(length, encoded), "last")
    decode = Block(GraphBuilder(f"{name} decode", source), precision)
    _decode(decode, settings, DECODE if audio else _ANSWER, _Source(length if audio else SOURCE), "last")
    return {
        "encode": encode_graph(settings, precision, name=f"{name} encode", source=source),
        "prefill": prefill.builder.graph(("batch", "tokens", "context") if audio else ("batch", "tokens")),
        "decode": decode.builder.graph(("batch", "context") if audio else ("batch", "source", "answer")),
    }


def encode_graph(settings: EncoderDecoder, precision: Precision, *, name: str, source: str) -> Graph:
    """The encoder alone; symbols `batch` and, without audio, `tokens`."""
    outside = Block(GraphBuilder(name, source), precision)
    _encode(outside, settings)
    return outside.builder.graph(("batch",) if settings.audio else ("batch", "tokens"))


def _forward_phase(settings: EncoderDecoder, precision: Precision, name: str, source: str) -> dict[str, Graph]:
    outside = Block(GraphBuilder(f"{name} forward", source), precision)
    encoded = _encode(outside, settings)
    _decode(outside, settings, _SCORE, _Source(outside.shape(encoded)[1], encoded), "all")
    return {"forward": outside.builder.graph(("batch", "tokens"))}


def _encode(outside: Block, settings: EncoderDecoder) -> str:
    """The whole encoder; its output."""
    if settings.audio:
        x = _hear(outside, settings)
        length = settings.encoder.position_rows
        phase = Phase(BATCH, length, length, causal=False, cached=False)
    else:
        x, phase = _embed(outside, settings, "encoder", _ENCODE), _ENCODE
    x = _positions(outside, settings, "encoder", settings.encoder, x, phase)
    return _layers(outside, settings, "encoder", settings.encoder, x, phase, None)


def _decode(outside: Block, settings: EncoderDecoder, phase: Phase, source: _Source, logits: Logits) -> None:
    """The whole decoder, up to the logits."""
    x = _embed(outside, settings, "decoder", phase)
    x = _positions(outside, settings, "decoder", settings.decoder, x, phase)
    x = _layers(outside, settings, "decoder", settings.decoder, x, phase, source)
    if logits == "last" and phase.tokens != 1:
        last = outside.tensor("last_token.out", (BATCH, 1, settings.hidden))
        outside.op("last_token", "gather", (x,), (last,), {"function": "last_token"})
        x = last
    if not settings.tied:
        outside.linear("head", x, settings.vocabulary, keep=True)
        return
    out = outside.tensor("head.out", (*outside.shape(x)[:-1], settings.vocabulary))
    outside.op("head", "linear", (x, "embedding.weight"), (out,), {"keep": True})


# ------------------------------------------------------------------------------------------------ before the layers


def _hear(outside: Block, settings: EncoderDecoder) -> str:
    """The spectrogram through two convolutions along time, each with a GELU."""
    audio, hidden = settings.audio, settings.hidden
    assert audio is not None
    x = outside.tensor("spectrogram", (BATCH, audio.bins, audio.frames), "input")
    for name, stride in (("convolution_1", 1), ("convolution_2", 2)):
        weights = (outside.weight(f"{name}.weight", (hidden, int(str(outside.shape(x)[1])), 3)),
                   outside.weight(f"{name}.bias", (hidden,)))  # fmt: skip
        out = outside.tensor(f"{name}.out", (BATCH, hidden, int(str(outside.shape(x)[2])) // stride))
        outside.op(name, "convolution", (x, *weights), (out,),
                   {"stride": [stride], "padding": [1], "dilation": [1], "groups": 1})  # fmt: skip
        x = outside.pointwise(f"{name}_activation", "gelu", (out,))
    return outside.copy("transpose", "transpose", (x,), (BATCH, settings.encoder.position_rows, hidden))


def _embed(outside: Block, settings: EncoderDecoder, name: str, phase: Phase) -> str:
    """Token embeddings; encoder and decoder share the table."""
    ids = outside.tensor(f"{name}_ids", (BATCH, phase.tokens), "input", "int64")
    if "embedding.weight" not in outside.builder.tensors:
        outside.weight("embedding.weight", (settings.vocabulary, settings.hidden))
    x = outside.tensor(f"{name}_embedding.out", (BATCH, phase.tokens, settings.hidden))
    outside.op(f"{name}_embedding", "embedding", (ids, "embedding.weight"), (x,))
    return x


def _positions(outside: Block, settings: EncoderDecoder, name: str, stack: Stack, x: str, phase: Phase) -> str:
    """Absolute positions, looked up or computed before, and the norm some models have after them."""
    if not settings.buckets:
        shape = (1, phase.tokens)
        if stack.position_rows:
            ids = outside.tensor(f"{name}_position_ids", shape, "input", "int64")
            rows = outside.embedding(f"{name}_positions", ids, stack.position_rows, settings.hidden)
        else:
            rows = outside.tensor(f"{name}_angles", (*shape, settings.hidden), "input")
        x = outside.pointwise(f"{name}_add_positions", "add", (x, rows))
    return outside.norm(f"{name}_embedding_norm", x, settings.norm) if settings.embedding_norm else x


# ------------------------------------------------------------------------------------------------------- the layers


def _layers(
    outside: Block,
    settings: EncoderDecoder,
    name: str,
    stack: Stack,
    x: str,
    phase: Phase,
    source: _Source | None,
) -> str:
    """All layers of a stack and its last norm; like layers are one repeated block."""
    kinds: dict[Channels, int] = {}
    for channels in stack.layers:
        kinds[channels] = kinds.get(channels, 0) + 1
    bias = ""
    if settings.buckets and not settings.bucket_tables:
        bias = _bias_table(outside, settings, f"{name}_", stack, phase)
    # as in every repeated block, the first norm is counted with an addition
    stream = Stream(x, "" if settings.norm_after else x)
    for channels, count in kinds.items():
        word = ("moe_" if isinstance(channels, Mixture) else "dense_") if len(kinds) > 1 else ""
        block = Block(outside.builder, outside.precision, f"{name}_{word}layer", count)
        own = _bias_table(block, settings, "", stack, phase) if settings.buckets and not bias else bias
        stream = _layer(block, settings, stack, channels, stream, phase, source, own)
    if settings.final_norm:
        return outside.add_and_norm(f"{name}_final_norm", stream, settings.norm)[0]
    return stream.residual


def _layer(
    block: Block,
    settings: EncoderDecoder,
    stack: Stack,
    channels: Channels,
    stream: Stream,
    phase: Phase,
    source: _Source | None,
    bias: str,
) -> Stream:
    """Self-attention, attention to the source, feed-forward, each with its norm before or after."""

    def branch(name: str, x: str) -> str:
        if name == "input_norm":
            return _self_attention(block, x, bias, settings, stack, phase)
        if name == "cross_norm":
            assert source is not None
            return _cross_attention(block, x, source, settings, stack, phase)
        return add_channels(block, x, channels, settings.hidden)

    names = ("input_norm", "cross_norm", "mlp_norm") if source else ("input_norm", "mlp_norm")
    for name in names:
        if settings.norm_after:
            out = branch(name, stream.residual)
            stream = Stream(block.norm_of_sum(name, Stream(stream.residual, out), settings.norm))
        else:
            x, residual = block.add_and_norm(name, stream, settings.norm)
            stream = Stream(residual, branch(name, x))
    return stream


def _bias_table(block: Block, settings: EncoderDecoder, prefix: str, stack: Stack, phase: Phase) -> str:
    """Position biases [S, T, H] of every head, by the bucket of a distance."""
    buckets = block.tensor(f"{prefix}distance_buckets", (phase.tokens, phase.context), "input", "int64")
    return block.embedding(f"{prefix}position_bias", buckets, settings.buckets, stack.heads)


def _self_attention(block: Block, x: str, bias: str, settings: EncoderDecoder, stack: Stack, phase: Phase) -> str:
    heads = (BATCH, stack.heads, phase.tokens, stack.head_size)
    projected = _project(block, "attention.qkv", x, settings, stack, ("query", "key", "value"))
    query, key, value = block.view("attention.split", projected, query=heads, key=heads, value=heads)
    if phase.cached:
        key, value = block.append("attention.append", phase.context, key=key, value=value)
    out = block.tensor("attention.core.out", heads)
    attributes: dict[str, Any] = {"causal": phase.causal} | ({"masked": True} if bias else {})
    block.op("attention.core", "attention", (query, key, value, *([bias] if bias else [])), (out,), attributes)
    return _output(block, "attention", out, settings, stack, phase)


def _cross_attention(
    block: Block, x: str, source: _Source, settings: EncoderDecoder, stack: Stack, phase: Phase
) -> str:
    queries = (BATCH, stack.heads, phase.tokens, stack.head_size)
    keys = (BATCH, stack.heads, source.length, stack.head_size)
    query = _project(block, "cross_attention.query", x, settings, stack, ("query",))
    (query,) = block.view("cross_attention.query_heads", query, out=queries)
    if source.encoded:
        projected = _project(block, "cross_attention.key_value", source.encoded, settings, stack, ("key", "value"))
        key_value = block.view("cross_attention.split", projected, key=keys, value=keys)
        if phase.cached:
            key, value = key_value
            key_value = block.append("cross_attention.append", source.length, key=key, value=value)
    else:
        key_value = tuple(
            block.tensor(f"cross_attention.append.{part}_cache", keys, "cache", block.precision.cache)
            for part in ("key", "value")
        )
    out = block.tensor("cross_attention.core.out", queries)
    block.op("cross_attention.core", "attention", (query, *key_value), (out,), {"causal": False})
    return _output(block, "cross_attention", out, settings, stack, phase)


def _project(block: Block, name: str, x: str, settings: EncoderDecoder, stack: Stack, parts: tuple[str, ...]) -> str:
    """Queries, keys or values of all heads by one matrix; the bias leaves out keys where they have none."""
    inner = stack.heads * stack.head_size
    shape = block.shape(x)
    weights = [block.weight(f"{name}.weight", (len(parts) * inner, shape[-1]))]
    if settings.bias:
        biased = [part for part in parts if part != "key" or settings.key_bias]
        weights.append(block.weight(f"{name}.bias", (len(biased) * inner,)))
    out = block.tensor(f"{name}.out", (*shape[:-1], len(parts) * inner))
    block.op(name, "linear", (x, *weights), (out,))
    return out


def _output(block: Block, name: str, out: str, settings: EncoderDecoder, stack: Stack, phase: Phase) -> str:
    (merged,) = block.view(f"{name}.merge", out, out=(BATCH, phase.tokens, stack.heads * stack.head_size))
    return block.linear(f"{name}.output", merged, settings.hidden, bias=settings.bias)
