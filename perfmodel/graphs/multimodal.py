"""Multimodal models: a vision tower in front of a language model, as a phase of its own.

    encode_image   one image per sequence through the tower; its tokens are part of the prefill's input tokens

Prefill and decode are those of the language model alone. The tower's names begin with `vision.`; its weights keep the
activation dtype in quantised precisions, as published checkpoints leave them.

May import: types, builder, config_fields, decoder, mllama, vision_*, transformer_*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.decoder import count_parameters
from perfmodel.graphs.mllama import MODEL_TYPE, TiledTower, read_tiled_tower, tiled_tower_graph
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.graphs.transformer_layers import group_layers
from perfmodel.graphs.vision_configs import ENCODERS, Parts
from perfmodel.graphs.vision_connectors import CONNECTORS, VisionTower, read_vision_tower
from perfmodel.graphs.vision_tower import add_connector, add_vision_encoder, finish_vision_encoder, tokens_after
from perfmodel.types import Graph, Model

PREFIX = "vision"
VISION_PART = "vision_config"
# Configs of multimodal models leave out what equals the defaults of transformers' classes: those that published ones
# do leave out, by the model_type of the part.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
              "num_attention_heads": 32},
    "mistral": {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 8},
    "gemma3_text": {"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    "gemma": {"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
              "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256},
    "clip_vision_model": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                          "num_attention_heads": 12, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu"},
    "siglip_vision_model": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                            "num_attention_heads": 12, "image_size": 224, "patch_size": 16},
}  # fmt: skip


def with_defaults(config: Mapping[str, Any], part: str) -> tuple[dict[str, Any], list[str]]:
    """A part's config with what it leaves out, and a note that names it."""
    defaults = DEFAULTS.get(str(config.get("model_type", "")), {})
    missing = {name: value for name, value in defaults.items() if config.get(name) is None}
    if not missing:
        return dict(config), []
    stated = ", ".join(f"{name} = {value}" for name, value in missing.items())
    return {**config, **missing}, [f"{part} leaves out what transformers has a default for: {stated}"]


def has_vision_tower(config: Mapping[str, Any]) -> bool:
    """Whether a config has a vision tower that is understood."""
    vision, outer = config.get(VISION_PART), str(config.get("model_type"))
    if not isinstance(vision, Mapping):
        return False
    return outer == MODEL_TYPE or (outer in CONNECTORS and str(vision.get("model_type") or outer) in ENCODERS)


def read_tower(config: Mapping[str, Any], hidden: int, image_size: int, source: str) -> VisionTower | TiledTower:
    """The vision tower of a multimodal config.

    Args:
        hidden: the language model's width. image_size: pixels of an image's side; 0 for the config's.

    Raises:
        ModelError: fields that are missing or make no sense, all of them named.
    """
    part, notes = with_defaults(config[VISION_PART], VISION_PART)
    model_type = str(part.get("model_type") or config["model_type"])
    outer = Fields(config, f"{source} (model_type '{config['model_type']}')")
    vision = Fields(part, f"{source}, {VISION_PART} (model_type '{model_type}')")
    tiled = config["model_type"] == MODEL_TYPE
    if tiled and image_size:
        vision.wrong("images are cut into tiles of a fixed size; leave the image size out")
    tower = (
        read_tiled_tower(vision) if tiled else read_vision_tower(Parts(outer, vision, hidden, model_type), image_size)
    )
    vision.check()
    outer.check()
    unread = vision.unread()
    if unread:
        notes.append(f"not understood in {VISION_PART}: {', '.join(unread)}; it may change the computation")
    return replace(tower, notes=(*notes, *tower.notes))


def with_vision_tower(model: Model, tower: VisionTower | TiledTower, precision: Precision) -> Model:
    """A language model with the phase `encode_image` in front."""
    name = f"{model.name} encode_image"
    if isinstance(tower, TiledTower):
        hidden = int(model.facts["hidden_size"])
        graph = _prefixed(tiled_tower_graph(tower, hidden, precision, name, model.source))
        size = f"{tower.tiles} tiles of {tower.side} x {tower.side} pixels"
        note = f"one image of {size} per sequence: {tower.positions} positions beside the input tokens"
        return _with_phase(model, graph, {"image_size": [tower.side, tower.side]}, (note, *tower.notes))
    graph = _tower_graph(tower, precision, name, model.source)
    height, width = tower.encoder.image
    tokens = tokens_after(tower.encoder.tokens, tower.connector)
    note = f"one image of {height} x {width} pixels per sequence; it is {tokens} of the input tokens"
    facts = {"image_size": [height, width], "image_tokens": tokens}
    return _with_phase(model, graph, facts, (note, *tower.notes))


def _with_phase(model: Model, graph: Graph, facts: Mapping[str, Any], notes: Sequence[str]) -> Model:
    phases = {"encode_image": graph, **model.phases}
    parameters = count_parameters(*phases.values())
    active = model.facts["active_parameters"] + parameters - model.parameters
    own_facts = {**model.facts, **facts, "active_parameters": active}
    return replace(model, phases=phases, parameters=parameters, facts=own_facts, notes=(*notes, *model.notes))


def _tower_graph(tower: VisionTower, precision: Precision, name: str, source: str) -> Graph:
    block = Block(GraphBuilder(name, source), precision)
    stream = add_vision_encoder(block, tower.encoder, group_layers(tower.encoder.layers, None))
    x = finish_vision_encoder(block, tower.encoder, stream)
    add_connector(block, "connector", x, tower.connector)
    if tower.taps:
        add_connector(Block(block.builder, precision, "taps", tower.taps), "connector", x, tower.tap_stages)
    if tower.unused:
        block.weight("connector.unused", (tower.unused,))
    return _prefixed(block.builder.graph(("batch",)))


def _prefixed(graph: Graph) -> Graph:
    """The graph with all its names under the prefix, so that they are none of the language model's, and kept as it is
    when the model is quantised."""
    tensors = {f"{PREFIX}.{name}": replace(tensor, name=f"{PREFIX}.{name}") for name, tensor in graph.tensors.items()}
    ops = tuple(
        replace(
            op,
            name=f"{PREFIX}.{op.name}",
            inputs=tuple(f"{PREFIX}.{name}" for name in op.inputs),
            outputs=tuple(f"{PREFIX}.{name}" for name in op.outputs),
            block=f"{PREFIX}.{op.block}" if op.block else "",
            attributes={**op.attributes, "keep": True},
        )
        for op in graph.ops
    )
    return replace(graph, ops=ops, tensors=tensors)
