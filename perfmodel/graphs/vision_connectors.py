"""The vision towers of multimodal configs: what leads from an encoder to the language model, by the model_type outside.

To add a multimodal model_type: a line in `CONNECTORS`, and a case in tests/graphs/test_multimodal.py.

May import: config_fields, decoder_configs, decoder_dialects, transformer_settings, vision_configs, vision_tower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.decoder_configs import ACTIVATIONS
from perfmodel.graphs.decoder_dialects import LAYER_NORM
from perfmodel.graphs.transformer_settings import Norm, VisionEncoder
from perfmodel.graphs.vision_configs import ENCODERS, MAX_SIDE, Parts
from perfmodel.graphs.vision_tower import Activate, Drop, Merge, Normalize, Pool, Project, Stage, merged_side

_RMS = Norm("rms")
_TILES = "a large image is cut into tiles of this size, each of which costs as much: one tile per sequence is counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTower:
    """A vision encoder and its connector.

    Args:
        connector: from the encoder's tokens to the language model's. taps: connectors alike, of earlier layers' tokens
            (deepstack). tap_stages: theirs.
        unused: elements of weights beside the encoder that no step reads.
    """

    encoder: VisionEncoder
    connector: tuple[Stage, ...]
    taps: int = 0
    tap_stages: tuple[Stage, ...] = ()
    unused: int = 0
    notes: tuple[str, ...] = ()


def read_vision_tower(parts: Parts, side: int) -> VisionTower:
    """The vision tower; mistakes are left in the fields.

    Args:
        side: pixels of an image's side; 0 for the config's.
    """
    if side > MAX_SIDE:
        parts.vision.wrong(f"an image of {side} pixels is larger than {MAX_SIDE}")
        side = 0
    encoder = ENCODERS[parts.model_type](parts, side)
    tower = CONNECTORS[str(parts.outer.get("model_type"))](parts, encoder)
    cut = merged_side(tower.connector)
    if any(  # a convolution leaves out the pixels that do not fill a patch
        rows % cut or not rows or (encoder.flat and pixels % patch)
        for rows, pixels, patch in zip(encoder.grid, encoder.image, encoder.patch, strict=True)
    ):
        height, width = encoder.image
        parts.vision.wrong(
            f"an image of {height} x {width} pixels cannot be cut into patches of {encoder.patch[0]} pixels, "
            f"{cut} x {cut} of which become a token"
        )
    return replace(tower, notes=(*tower.notes, *parts.notes))


# ---------------------------------------------------------------------------------------------------- the connectors

Connect: TypeAlias = Callable[[Parts, VisionEncoder], VisionTower]


def _two_layers(parts: Parts, *, bias: bool = True) -> tuple[Stage, ...]:
    function = parts.outer.choice("projector_hidden_act", known=ACTIVATIONS, default="gelu")
    return Project(parts.hidden, bias), Activate(function), Project(parts.hidden, bias)


def _llava(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    parts.outer.get("vision_feature_layer")  # all layers run, whichever's output is taken
    default = parts.outer.get("vision_feature_select_strategy") in (None, "default")
    drop = (Drop(encoder.extra_tokens),) if default and encoder.extra_tokens else ()
    bias = parts.outer.flag("multimodal_projector_bias", default=True)
    return VisionTower(encoder=encoder, connector=(*drop, *_two_layers(parts, bias=bias)))


def _llava_tiles(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    parts.outer.get("image_grid_pinpoints", "use_image_newline_parameter", "vision_aspect_ratio")
    return replace(_llava(parts, encoder), unused=parts.hidden, notes=(_TILES,))


def _gemma3(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    tokens = parts.outer.size("mm_tokens_per_image", default=256)
    rows = round(tokens**0.5)
    if rows * rows != tokens or encoder.grid[0] % rows:
        parts.outer.wrong(f"mm_tokens_per_image ({tokens}) must be a square that divides the grid {encoder.grid}")
    pool = Pool(max(encoder.grid[0] // rows, 1))
    return VisionTower(encoder=encoder, connector=(pool, Normalize(_RMS), Project(parts.hidden, bias=False)))


def _paligemma(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    parts.outer.get("projection_dim", "num_image_tokens")
    return VisionTower(encoder=encoder, connector=(Project(parts.hidden),))


def _mistral3(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    parts.outer.get("vision_feature_layer")
    factor = parts.outer.size("spatial_merge_size", default=2)
    bias = parts.outer.flag("multimodal_projector_bias")
    merge: tuple[Stage, ...] = (Normalize(_RMS), Merge(factor), Project(encoder.hidden, bias=False))
    return VisionTower(encoder=encoder, connector=(*merge, *_two_layers(parts, bias=bias)))


def _internvl_connector(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    factor = _inverse(parts.outer, "downsample_ratio", 2)
    stages = (Drop(encoder.extra_tokens), Merge(factor), Normalize(LAYER_NORM), *_two_layers(parts))
    return VisionTower(encoder=encoder, connector=stages, notes=(_TILES,))


def _inverse(fields: Fields, name: str, default: int) -> int:
    """The whole number that a ratio like 0.5 is one over."""
    ratio = fields.get(name)
    if ratio is None:
        return default
    if not isinstance(ratio, int | float) or not 0 < ratio <= 1 or abs(round(1 / ratio) * ratio - 1) > 1e-6:
        fields.wrong(f"{name} must be one over a whole number, is {ratio!r}")
        return default
    return round(1 / ratio)


def _idefics3(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    stages = (Merge(parts.outer.size("scale_factor", default=2)), Project(parts.hidden, bias=False))
    return VisionTower(encoder=encoder, connector=stages, notes=(_TILES,))


def _llama4_connector(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    vision = parts.vision
    first = vision.size("projector_input_dim", purpose="width of the adapter")
    second = vision.size("projector_output_dim", purpose="width of the adapter's output")
    vision.get("vision_output_dim", "projector_dropout", "multi_modal_projector_bias", "vision_feature_layer",
               "vision_feature_select_strategy")  # fmt: skip
    merge = (Drop(encoder.extra_tokens), Merge(_inverse(vision, "pixel_shuffle_ratio", 2)))
    adapter = (Project(first, bias=False), Activate("gelu"), Project(second, bias=False), Activate("gelu"))
    stages: tuple[Stage, ...] = (*merge, *adapter, Project(parts.hidden, bias=False))
    return VisionTower(encoder=encoder, connector=stages, notes=(_TILES,))


def _kimi_connector(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    stages = (Normalize(LAYER_NORM), Merge(2), Project(4 * encoder.hidden), Activate("gelu"), Project(parts.hidden))
    return VisionTower(encoder=encoder, connector=stages)


def _qwen_connector(parts: Parts, encoder: VisionEncoder) -> VisionTower:
    factor = parts.vision.size("spatial_merge_size", default=2)
    inner = encoder.hidden * factor**2
    merge = Merge(factor, free=True)  # patches come in the order in which they merge
    after: tuple[Stage, ...] = (Project(inner), Activate("gelu"), Project(parts.hidden))
    norm = Normalize(encoder.structure.norm)
    taps = parts.vision.indices("deepstack_visual_indexes")
    notes = ("features that join the language model's first layers (deepstack) are made; adding them is not counted",)
    return VisionTower(
        encoder=encoder, connector=(norm, merge, *after), taps=len(taps), tap_stages=(merge, norm, *after),
        notes=notes if taps else (),
    )  # fmt: skip


CONNECTORS: Mapping[str, Connect] = {
    "llava": _llava,
    "llava_next": _llava_tiles,
    "llava_onevision": _llava_tiles,
    "gemma3": _gemma3,
    "paligemma": _paligemma,
    "mistral3": _mistral3,
    "internvl": _internvl_connector,
    "idefics3": _idefics3,
    "smolvlm": _idefics3,
    "llama4": _llama4_connector,
    "kimi_k25": _kimi_connector,
    "qwen2_vl": _qwen_connector,
    "qwen2_5_vl": _qwen_connector,
    "qwen3_vl": _qwen_connector,
    "qwen3_vl_moe": _qwen_connector,
    "qwen3_5": _qwen_connector,
    "qwen3_5_moe": _qwen_connector,
}
