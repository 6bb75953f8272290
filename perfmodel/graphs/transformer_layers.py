"""Whole layers: feed-forwards and mixtures of experts, the residual stream, and layers of one kind as one block.

May import: sizes, builder, quantization_config, stored_weights, transformer_block, transformer_mixers,
transformer_settings.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.quantization_config import Quantization, Storage
from perfmodel.graphs.stored_weights import StoredPart
from perfmodel.graphs.transformer_block import Block, Phase, Precision, Stream, compute_attributes, stack_attributes
from perfmodel.graphs.transformer_mixers import add_mixer
from perfmodel.graphs.transformer_settings import (
    Attention,
    Channels,
    DeltaRule,
    FeedForward,
    LatentAttention,
    Layer,
    Mixer,
    Mixture,
    SelectiveScan,
    SideBySide,
    StateSpace,
    Structure,
)

# Names that checkpoints give to the modules behind an op, as far as lists of unquantised modules speak of them.
MODULES: Mapping[str, tuple[str, ...]] = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.qkv_proj"),
    "attention.qkv_a": ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.fused_qkv_a_proj"),
    "attention.kv_a": ("self_attn.kv_a_proj_with_mqa",),
    "attention.query": ("self_attn.q_proj",),
    "attention.query_b": ("self_attn.q_b_proj",),
    "attention.kv_b": ("self_attn.kv_b_proj",),
    "attention.output": ("self_attn.o_proj",),
    "indexer.query": ("self_attn.indexer.wq_b",),
    "indexer.key": ("self_attn.indexer.wk",),
    "delta.qkvz": ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv", "linear_attn.in_proj_z"),
    "delta.rates": ("linear_attn.in_proj_ba", "linear_attn.in_proj_a", "linear_attn.in_proj_b"),
    "delta.output": ("linear_attn.out_proj",),
    "mamba.input": ("mamba.in_proj", "mixer.in_proj"),
    "mamba.output": ("mamba.out_proj", "mixer.out_proj"),
    "mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj", "feed_forward.gate_proj"),
    "mlp.up": ("mlp.up_proj", "mlp.fc1", "mlp.c_fc"),
    "mlp.down": ("mlp.down_proj", "mlp.fc2", "mlp.c_proj", "feed_forward.down_proj"),
    "moe.experts": ("mlp.experts.0.gate_proj", "mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w1",
                    "feed_forward.experts.gate_up_proj"),
    "moe.shared.gate_up": ("mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj",
                           "feed_forward.shared_expert.gate_proj"),
    "moe.shared.up": ("mlp.shared_experts.up_proj",),
    "moe.shared.down": ("mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj",
                        "feed_forward.shared_expert.down_proj"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerKind:
    """Layers that are alike: one repeated block.

    Args:
        name: "layer", or what sets it apart ("dense_layer", "sliding_layer"). places: their numbers.
        storages: quantised weights by op name. stored: how a weight file keeps the weights.
    """

    name: str
    places: tuple[int, ...]
    layer: Layer
    storages: Mapping[str, Storage]
    stored: StoredPart

    @property
    def repeat(self) -> int:
        """How many there are."""
        return len(self.places)


def group_layers(
    layers: Sequence[Layer], quantization: Quantization | None, stored: Sequence[StoredPart] = ()
) -> tuple[LayerKind, ...]:
    """Layers of the same kind together, in the order in which the kinds first appear.

    Args:
        stored: how a weight file keeps each layer, if there is one.
    """
    storages = _storages_of_layers(len(layers), quantization)
    found: dict[tuple[Layer, tuple[tuple[str, Storage], ...], StoredPart], list[int]] = {}
    for place, alike in enumerate(zip(layers, storages, stored or [StoredPart()] * len(layers), strict=True)):
        found.setdefault(alike, []).append(place)
    mixers = {_mixer_word(layer.mixer) for layer, *_ in found}
    channels = {_channels_word(layer.channels) for layer, *_ in found}
    kinds, taken = [], dict[str, int]()
    for (layer, quantized, part), places in found.items():
        words = [_mixer_word(layer.mixer)] if len(mixers) > 1 else []
        words += [_channels_word(layer.channels)] if len(channels) > 1 else []
        name = "_".join([*filter(None, words), "layer"])
        taken[name] = taken.get(name, 0) + 1
        unique = name if taken[name] == 1 else f"{name}_{taken[name]}"
        kinds.append(LayerKind(unique, tuple(places), layer, dict(quantized), part))
    return tuple(kinds)


def _storages_of_layers(count: int, quantization: Quantization | None) -> list[tuple[tuple[str, Storage], ...]]:
    if quantization is None:
        return [()] * count
    found: dict[Hashable, tuple[tuple[str, Storage], ...]] = {}
    answers = quantization.by_layer(count)
    for index, answer in enumerate(answers):
        if answer not in found:
            found[answer] = _storages(index, quantization)
    return [found[answer] for answer in answers]


def _storages(index: int, quantization: Quantization) -> tuple[tuple[str, Storage], ...]:
    found = []
    for op, modules in MODULES.items():
        names = tuple(f"model.layers.{index}.{module}" for module in modules)
        storage = quantization.storage_of(names, experts=op == "moe.experts")
        if storage:
            found.append((op, storage))
    return tuple(found)


def _mixer_word(mixer: Mixer | None) -> str:
    if mixer is None:
        return ""
    if isinstance(mixer, DeltaRule):
        return "linear"
    if isinstance(mixer, SelectiveScan | StateSpace):
        return "mamba"
    if isinstance(mixer, SideBySide):
        return "hybrid"
    if isinstance(mixer, LatentAttention):
        return "full" if mixer.indexer is None else "shared" if mixer.indexer.shared else "sparse"
    if mixer.source:
        return "cross"
    return ("chunked" if mixer.chunked else "sliding") if mixer.window else "full"


def _channels_word(channels: Channels | None) -> str:
    return "" if channels is None else "moe" if isinstance(channels, Mixture) else "dense"


# ------------------------------------------------------------------------------------------------ feed-forwards


def add_channels(block: Block, x: str, channels: Channels, hidden: int) -> str:
    """The layer's feed-forward or mixture of experts."""
    if isinstance(channels, FeedForward):
        fed = add_feed_forward(block, "mlp", x, channels, hidden)
        return block.scale("mlp.scale", fed) if channels.scaled else fed
    return add_mixture(block, x, channels, hidden)


def add_feed_forward(block: Block, name: str, x: str, channels: FeedForward, hidden: int) -> str:
    """Two linear layers around an activation function; gate and up as one matrix."""
    first, rows = ("gate_up", 2 * channels.size) if channels.gated else ("up", channels.size)
    widened = block.linear(f"{name}.{first}", x, rows, bias=channels.bias)
    activated = block.activate(f"{name}.activation", widened, channels.function, gated=channels.gated)
    return block.linear(f"{name}.down", activated, hidden, bias=channels.bias)


def add_mixture(block: Block, x: str, mixture: Mixture, hidden: int) -> str:
    """Router, its choice, the experts, and the shared expert if there is one."""
    shape = block.shape(x)
    router = block.linear("moe.router", x, mixture.experts, bias=mixture.router_bias, keep=True)
    chosen = tuple(
        block.tensor(f"moe.topk.{name}", (*shape[:-1], mixture.per_token), dtype=dtype)
        for name, dtype in (("weights", ""), ("experts", "int32"))
    )
    block.op("moe.topk", "topk", (router,), chosen, {"count": mixture.per_token, "function": "topk"})
    hidden_out, narrow = hidden, x
    if mixture.latent_size:
        hidden, narrow = mixture.latent_size, block.linear("moe.latent_in", x, mixture.latent_size)
    storage = block.storages.get("moe.experts")
    attributes: dict[str, Any] = {
        "experts_per_token": mixture.per_token,
        "gated": mixture.gated,
        "function": mixture.function,
    }
    out = block.tensor("moe.experts.out", block.shape(narrow))
    first, others = _expert_weights(block, mixture, hidden, storage.weight if storage else "")
    attributes |= stack_attributes(first) | compute_attributes(storage)
    block.op("moe.experts", "experts", (narrow, *first, *others, *chosen), (out,), attributes)
    if mixture.latent_size:
        hidden, out = hidden_out, block.linear("moe.latent_out", out, hidden_out)
    if not mixture.shared_size:
        return out
    shared = FeedForward(size=mixture.shared_size, gated=mixture.gated, function=mixture.function)
    always = add_feed_forward(block, "moe.shared", x, shared, hidden)
    if mixture.shared_gate:
        gate = block.linear("moe.shared_gate", x, 1, keep=True)
        always = block.pointwise("moe.shared_scale", "sigmoid_mul", (always, gate))
    return block.pointwise("moe.combine", "add", (out, always))


def _expert_weights(block: Block, mixture: Mixture, hidden: int, dtype: str) -> tuple[list[str], list[str]]:
    """The pieces of the first weight, and all others."""
    rows = mixture.size * (2 if mixture.gated else 1)
    first = "gate_up" if mixture.gated else "up"
    pieces = block.stack(f"moe.experts.{first}.weight", (mixture.experts, rows, hidden), dtype)
    others = [block.weight("moe.experts.down.weight", (mixture.experts, hidden, mixture.size), dtype)]
    if mixture.bias:
        others += block.stack(f"moe.experts.{first}.bias", (mixture.experts, rows))
        others.append(block.weight("moe.experts.down.bias", (mixture.experts, hidden)))
    return pieces, others


# ---------------------------------------------------------------------------------------------------- layers


def add_layers(
    builder: GraphBuilder,
    precision: Precision,
    kinds: Sequence[LayerKind],
    structure: Structure,
    start: str,
    phase: Phase,
) -> Stream:
    """All layers, starting from the activations `start`; the stream they leave behind."""
    # One form for all repetitions: every layer's first norm adds the branch the layer before left pending. The very
    # first layer has nothing to add; it is counted as if it had.
    pending = start if structure.placement in ("before", "around") else ""
    stream = Stream(start, pending)
    for kind in kinds:
        block = Block(builder, precision, kind.name, kind.repeat, kind.storages, dict(kind.stored.weights))
        stream = add_layer(block, stream, kind.layer, structure, phase)
    return stream


def add_layer(block: Block, stream: Stream, layer: Layer, structure: Structure, phase: Phase) -> Stream:
    """One layer: its branches and how they join the residual stream."""
    hidden = block.shape(stream.residual)[-1]
    assert isinstance(hidden, int)
    norm = structure.norm

    def mix(x: str) -> str:
        assert layer.mixer is not None
        return scale("attention", add_mixer(block, x, layer.mixer, hidden, phase, norm))

    def feed(x: str) -> str:
        assert layer.channels is not None
        return scale("mlp", add_channels(block, x, layer.channels, hidden))

    def scale(name: str, x: str) -> str:
        if not structure.scaled:
            return x
        return block.pointwise(f"{name}_scale", "mul", (x, block.weight(f"{name}_scale.weight", (hidden,))))

    if structure.placement == "after":
        residual = block.norm_of_sum("attention_norm", Stream(stream.residual, mix(stream.residual)), norm)
        return Stream(block.norm_of_sum("mlp_norm", Stream(residual, feed(residual)), norm))
    if structure.placement == "output":
        normed = block.norm("attention_norm", mix(stream.residual), norm)
        residual = block.pointwise("attention_add", "add", (stream.residual, normed))
        normed = block.norm("mlp_norm", feed(residual), norm)
        return Stream(block.pointwise("mlp_add", "add", (residual, normed)))
    x, residual = block.add_and_norm("input_norm", stream, norm)
    if layer.mixer is None or layer.channels is None:
        return Stream(residual, mix(x) if layer.channels is None else feed(x))
    mixed = mix(x)
    if structure.parallel:
        x = block.norm("mlp_norm", residual, norm) if structure.parallel == 2 else x
        return Stream(residual, block.pointwise("add_branches", "add", (mixed, feed(x))))
    around = structure.placement == "around"
    if around:
        mixed = block.norm("attention_norm", mixed, norm)
    x, residual = block.add_and_norm("mlp_norm", Stream(residual, mixed), norm)
    fed = feed(x)
    return Stream(residual, block.norm("mlp_output_norm", fed, norm) if around else fed)


def attention_of(layers: Sequence[Layer]) -> Attention | None:
    """The first ordinary attention among the layers."""
    mixers = (layer.mixer.attention if isinstance(layer.mixer, SideBySide) else layer.mixer for layer in layers)
    return next((mixer for mixer in mixers if isinstance(mixer, Attention)), None)
