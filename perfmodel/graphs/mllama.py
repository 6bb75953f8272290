"""Llama 3.2 Vision ("mllama"): an image is no part of the prompt; some layers attend to its positions instead.

The tower sees all tiles of an image as one sequence, first in its ordinary layers, then in layers whose branches are
scaled by a learned number. Prefill makes keys and values of the image for every cross-attention layer and keeps them;
decode reads them. An image is always counted with all the tiles it may have, as transformers pads it.

May import: types, builder, config_fields, decoder*, quantization_config, transformer_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder import BATCH
from perfmodel.graphs.decoder_configs import ACTIVATIONS
from perfmodel.graphs.decoder_dialects import LAYER_NORM
from perfmodel.graphs.transformer_block import Block, Phase, Precision
from perfmodel.graphs.transformer_layers import add_layers, group_layers
from perfmodel.graphs.transformer_settings import Attention, Decoder, FeedForward, Layer, Structure
from perfmodel.types import Graph

MODEL_TYPE, TEXT_TYPE = "mllama", "mllama_text_model"
POSITIONS = "image_positions"  # what the language part has to know of the tower
_PADDED_TO = 8  # tokens of a tile are padded to a multiple of this
_EXTRA_ROWS = 8  # of the embedding, for the image token and its kin
_STRUCTURE = Structure(norm=LAYER_NORM)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledTower:
    """The tower of Llama 3.2 Vision.

    Args:
        layers: ordinary ones. late_layers: those with scaled branches, after the norm. taken: layers whose outputs are
            joined to the last one's. ratios: shapes of tiles that have embeddings of their own.
    """

    hidden: int
    layers: tuple[Layer, ...]
    late_layers: tuple[Layer, ...]
    taken: int
    tiles: int
    ratios: int
    side: int
    patch: int
    channels: int
    notes: tuple[str, ...] = ()

    @property
    def patches(self) -> int:
        """Patches of a tile."""
        return (self.side // self.patch) ** 2

    @property
    def positions(self) -> int:
        """Positions that an image gives the language model: patches and a class token for each tile."""
        return self.tiles * (self.patches + 1)


def read_tiled_tower(vision: Fields) -> TiledTower:
    """The tower's settings; mistakes are left in `fields`."""
    hidden = vision.size("hidden_size", purpose="width of the residual stream")
    heads = vision.size("attention_heads", "num_attention_heads", default=16)
    if hidden % heads:
        vision.wrong(f"hidden_size ({hidden}) must be a multiple of attention_heads ({heads})")
    channels = FeedForward(
        size=vision.size("intermediate_size", purpose="width of the feed-forward"), gated=False, bias=True,
        function=vision.choice("hidden_act", known=ACTIVATIONS, default="gelu"),
    )  # fmt: skip
    attention = Attention(heads=heads, kv_heads=heads, head_size=max(hidden // heads, 1), rotary=False)
    late = Layer(replace(attention, scaled=True), replace(channels, scaled=True))
    ratios = vision.get("supported_aspect_ratios")
    taken = vision.indices("intermediate_layers_indices")
    vision.get("vision_output_dim", "norm_eps", "max_aspect_ratio_id")
    side = vision.size("image_size", default=560)
    patch = vision.size("patch_size", default=14)
    if patch > side:
        vision.wrong(f"patch_size ({patch}) must not be larger than image_size ({side})")
    return TiledTower(
        hidden=hidden,
        layers=(Layer(attention, channels),) * vision.size("num_hidden_layers", default=32, high=MAX_LAYERS),
        late_layers=(late,) * vision.size("num_global_layers", default=8, high=MAX_LAYERS),
        taken=len(taken) or 5,
        tiles=vision.size("max_num_tiles", default=4),
        ratios=len(ratios) if isinstance(ratios, list) and ratios else 8,
        side=side,
        patch=patch,
        channels=vision.size("num_channels", default=3),
    )


def with_cross_attention(decoder: Decoder, fields: Fields) -> Decoder:
    """The language model with attention to an image in the layers that cross_attention_layers names."""
    positions = fields.size(POSITIONS, default=1)
    crossing = fields.indices("cross_attention_layers") or frozenset(range(3, len(decoder.layers), 5))
    layers = tuple(
        _crossing(layer, positions) if index in crossing else layer for index, layer in enumerate(decoder.layers)
    )
    return replace(decoder, layers=layers, extra_rows=_EXTRA_ROWS)


def _crossing(layer: Layer, positions: int) -> Layer:
    assert isinstance(layer.mixer, Attention)
    assert isinstance(layer.channels, FeedForward)
    mixer = replace(layer.mixer, source=positions, scaled=True, rotary=False, query_key_norm="head")
    return Layer(mixer, replace(layer.channels, scaled=True))


def tiled_tower_graph(tower: TiledTower, out: int, precision: Precision, name: str, source: str) -> Graph:
    """All tiles of an image to positions [B, tiles * (patches + 1), out] for the language model."""
    block = Block(GraphBuilder(name, source), precision)
    hidden, tiles, per_tile = tower.hidden, tower.tiles, tower.patches + 1
    padded = -(-per_tile // _PADDED_TO) * _PADDED_TO
    x = _embed_tiles(block, tower)
    x = block.copy("pad", "pad", (block.norm("first_norm", x, LAYER_NORM),), (BATCH, tiles * padded, hidden))
    phase = Phase(BATCH, tiles * padded, tiles * padded, causal=False, cached=False)
    stream = add_layers(block.builder, precision, group_layers(tower.layers, None), _STRUCTURE, x, phase)
    x, _ = block.add_and_norm("middle_norm", stream, LAYER_NORM)
    x = _add_by_shape(block, "late_tiles", x, tower, tiles * hidden)
    late = [replace(kind, name="late_layer") for kind in group_layers(tower.late_layers, None)]
    stream = add_layers(block.builder, precision, late, _STRUCTURE, x, phase)
    x = block.pointwise("last_add", "add", (stream.residual, stream.pending))
    # outputs of the layers taken before are as large as the last one's; one tensor stands for all layers' outputs
    x = block.copy("join_layers", "concat", (x,) * (1 + tower.taken),
                   (BATCH, tower.positions, hidden * (1 + tower.taken)))  # fmt: skip
    block.linear("connector", x, out, bias=True)
    return block.builder.graph(("batch",))


def _embed_tiles(block: Block, tower: TiledTower) -> str:
    """Patches, class tokens and their positions, which depend on how the tiles lie."""
    hidden, tiles, rows = tower.hidden, tower.tiles, tower.side // tower.patch
    pixels = block.tensor("pixels", (BATCH * tiles, tower.channels, tower.side, tower.side), "input")
    weight = block.weight("patches.weight", (hidden, tower.channels, tower.patch, tower.patch))
    x = block.tensor("patches.out", (BATCH * tiles, hidden, rows, rows))
    block.op("patches", "convolution", (pixels, weight), (x,),
             {"stride": [tower.patch] * 2, "padding": [0, 0], "dilation": [1, 1], "groups": 1})  # fmt: skip
    block.tensor("shape_of_tiles", (BATCH,), "input", "int64")
    x = _add_by_shape(block, "early_tiles", x, tower, tiles * hidden)
    extra = block.weight("extra_tokens", (1, hidden))
    x = block.copy("join_tokens", "concat", (extra, x), (BATCH, tower.positions, hidden))
    x = block.pointwise("add_positions", "add", (x, block.weight("positions", (tower.patches + 1, hidden))))
    return _add_by_shape(block, "positions_of_tiles", x, tower, tower.positions * hidden)


def _add_by_shape(block: Block, name: str, x: str, tower: TiledTower, width: int) -> str:
    """A row of a table, by how the tiles lie, scaled by a learned number."""
    rows = block.embedding(name, "shape_of_tiles", tower.ratios + 1, width)
    return block.pointwise(f"{name}_add", "addcmul", (x, rows, block.weight(f"{name}.scale", (1,))))


def language_fields(config: Mapping[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    """What the language part of an mllama config has to know of the tower."""
    if config.get("model_type") != MODEL_TYPE:
        return {}
    return {"model_type": TEXT_TYPE, POSITIONS: read_tiled_tower(Fields(vision, "")).positions}
