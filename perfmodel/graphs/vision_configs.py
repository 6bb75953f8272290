"""Vision encoders of configs that stand alone, and of the `vision_config` of multimodal ones, by their model_type.

To add one: a reader, a line in `ENCODERS`, and a case in tests/graphs/test_multimodal.py.

May import: config_fields, decoder_configs, decoder_dialects, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from perfmodel.graphs.config_fields import MAX_LAYERS, Fields
from perfmodel.graphs.decoder_configs import ACTIVATIONS
from perfmodel.graphs.decoder_dialects import LAYER_NORM
from perfmodel.graphs.transformer_settings import Attention, FeedForward, Layer, Norm, Structure, VisionEncoder

_LAYER = Structure(norm=LAYER_NORM)
# pixels of a side where neither the config nor the user says: a multiple of all patches, merged patches and windows
DEFAULT_IMAGE = 448
MAX_SIDE = 1 << 16  # pixels: beyond it a size is a mistake
_LARGEST_RATIO = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reader has at hand: the outer fields, those of `vision_config`, the language model's width."""

    outer: Fields
    vision: Fields
    hidden: int
    model_type: str = ""
    notes: list[str] = field(default_factory=list)


def read_vision_encoder(fields: Fields, model_type: str) -> VisionEncoder:
    """An encoder whose config stands alone; mistakes are left in the fields."""
    return ENCODERS[model_type](Parts(fields, fields, 0, model_type), 0)


# ------------------------------------------------------------------------------------------------------ the encoders


def _vit(
    parts: Parts,
    side: int,
    *,
    width: tuple[str, ...] = ("hidden_size", "vt_hidden_size"),
    bias: bool = True,
    gated: bool = False,
    rotary: bool = False,
    structure: Structure = _LAYER,
    mlp_bias: bool = True,
    function: str = "gelu",
) -> VisionEncoder:
    """What all of them have in common, without positions, extra tokens or further norms."""
    vision = parts.vision
    hidden = vision.size(*width, purpose="width of the residual stream")
    count = vision.size("num_hidden_layers", "depth", "vt_num_hidden_layers", purpose="number of layers",
                        high=MAX_LAYERS)  # fmt: skip
    heads = vision.size("num_attention_heads", "num_heads", "vt_num_attention_heads", purpose="number of heads")
    if hidden % heads:
        vision.wrong(f"the width ({hidden}) must be a multiple of the number of heads ({heads})")
    ratio = vision.get("mlp_ratio")
    sensible = isinstance(ratio, int | float) and 0 < ratio <= _LARGEST_RATIO
    default = {"default": int(ratio * hidden)} if sensible else {}
    size = vision.size("intermediate_size", "vt_intermediate_size", purpose="width of the feed-forward", **default)
    activation = vision.choice("hidden_act", known=ACTIVATIONS, default=function)
    attention = Attention(heads=heads, kv_heads=heads, head_size=max(hidden // heads, 1), qkv_bias=bias,
                          output_bias=bias, rotary=rotary)  # fmt: skip
    channels = FeedForward(size=size, gated=gated, function=activation, bias=mlp_bias)
    image = (side, side) if side else _pair(vision, "image_size", DEFAULT_IMAGE)
    return VisionEncoder(
        hidden=hidden,
        layers=(Layer(attention, channels),) * count,
        structure=structure,
        image=image,
        patch=_pair(vision, "patch_size", 0),
        position_rows=0,
        channels=vision.size("num_channels", "in_channels", "in_chans", default=3),
        extra_tokens=0,
    )


def _pair(fields: Fields, name: str, default: int) -> tuple[int, int]:
    value = fields.get(name)
    if isinstance(value, list) and len(value) == 2 and all(type(one) is int and 0 < one <= MAX_SIDE for one in value):
        return value[0], value[1]
    given = {"default": default} if default else {}
    only = fields.size(name, purpose="pixels of a side", high=MAX_SIDE, **given)
    return only, only


def _table_rows(parts: Parts, encoder: VisionEncoder, extra: int) -> int:
    """Rows of the position table: of the size that the encoder was trained with."""
    image = _pair(parts.vision, "image_size", DEFAULT_IMAGE)
    return (image[0] // encoder.patch[0]) * (image[1] // encoder.patch[1]) + extra


def _clip(parts: Parts, side: int) -> VisionEncoder:
    parts.vision.get("projection_dim", "vocab_size")  # of the text encoder it was trained with
    plain = _vit(parts, side)
    rows = _table_rows(parts, plain, 1)
    return replace(plain, patch_bias=False, extra_tokens=1, position_rows=rows, first_norm=True, final_norm="first")


def _siglip(parts: Parts, side: int) -> VisionEncoder:
    parts.vision.get("projection_dim", "num_image_tokens", "projector_hidden_act", "vocab_size")
    plain = _vit(parts, side, function="gelu_tanh")
    pooling = parts.model_type == "siglip_vision_model" and parts.vision.flag("vision_use_head", default=True)
    return replace(plain, position_rows=_table_rows(parts, plain, 0), pooling=pooling)


def _pixtral(parts: Parts, side: int) -> VisionEncoder:
    parts.vision.get("head_dim", "vocab_size")
    plain = _vit(parts, side, bias=False, gated=True, rotary=True, structure=Structure(), mlp_bias=False)
    return replace(plain, patch_bias=False, first_norm=True, final_norm="")


def _internvl(parts: Parts, side: int) -> VisionEncoder:
    vision = parts.vision
    norm = vision.choice("norm_type", known={"layer_norm": "layer", "rms_norm": "rms"}, default="layer")
    structure = Structure(norm=Norm(norm, bias=norm == "layer"), scaled=True)
    vision.get("layer_scale_init_value", "initializer_factor", "use_flash_attn", "drop_path_rate", "norm_type")
    plain = _vit(parts, side, structure=structure)
    layer = plain.layers[0]
    assert isinstance(layer.mixer, Attention)
    mixer = replace(
        layer.mixer,
        qkv_bias=vision.flag("attention_bias", "qkv_bias"),
        query_key_norm="full" if vision.flag("use_qk_norm", "qk_normalization") else "",
    )
    mean = vision.flag("use_mean_pooling", default=True)
    return replace(
        plain,
        layers=(replace(layer, mixer=mixer),) * len(plain.layers),
        extra_tokens=1,
        position_rows=_table_rows(parts, plain, 1)
        if vision.flag("use_absolute_position_embeddings", default=True)
        else 0,
        final_norm="" if mean else "all",
        unused=plain.hidden if vision.flag("use_mask_token") else 0,
    )


def _llama4(parts: Parts, side: int) -> VisionEncoder:
    plain = _vit(parts, side, rotary=True)
    rows = _table_rows(parts, plain, 1)
    return replace(plain, flat=True, patch_bias=False, extra_tokens=1, position_rows=rows, first_norm=True)


def _kimi(parts: Parts, side: int) -> VisionEncoder:
    vision = parts.vision
    rows = (vision.size(f"init_pos_emb_{name}", f"pos_emb_{name}", default=64) for name in ("height", "width"))
    height, width = rows
    # times are added without a table; the connector's fields are read there
    vision.get("init_pos_emb_time", "pos_emb_time", "pos_emb_type", "video_attn_type", "mm_hidden_size",
               "text_hidden_size", "mm_projector_type", "merge_type", "projector_hidden_act", "projector_ln_eps",
               "merge_kernel_size")  # fmt: skip
    plain = _vit(parts, side, rotary=True, function="gelu_tanh")
    return replace(plain, position_rows=height * width)


def _dinov2(parts: Parts, side: int) -> VisionEncoder:
    vision = parts.vision
    vision.get("layerscale_value", "drop_path_rate", "apply_layernorm", "reshape_hidden_states", "out_features",
               "out_indices", "stage_names")  # fmt: skip
    gated = vision.flag("use_swiglu_ffn")
    plain = _vit(parts, side, structure=Structure(norm=LAYER_NORM, scaled=True), gated=gated)
    layer = plain.layers[0]
    assert isinstance(layer.mixer, Attention)
    assert isinstance(layer.channels, FeedForward)
    channels = layer.channels
    if gated:  # two thirds of the width, up to a multiple of 8, and SiLU whatever the config says
        channels = replace(channels, size=-(-(channels.size * 2 // 3) // 8) * 8, function="silu")
    mixer = replace(layer.mixer, qkv_bias=vision.flag("qkv_bias", default=True))
    unused = plain.hidden if vision.flag("use_mask_token", default=True) else 0
    return replace(plain, layers=(Layer(mixer, channels),) * len(plain.layers), extra_tokens=1, unused=unused,
                   position_rows=_table_rows(parts, plain, 1))  # fmt: skip


def _qwen2(parts: Parts, side: int) -> VisionEncoder:
    plain = _vit(parts, side, width=("embed_dim",), rotary=True, function="silu")
    parts.vision.get("hidden_size", "spatial_patch_size")  # the width of the language model; patch_size once more
    return replace(_frames(parts, plain), patch_bias=False, final_norm="")


def _frames(parts: Parts, encoder: VisionEncoder) -> VisionEncoder:
    """Patches over two frames: a still image is repeated."""
    parts.vision.get("out_hidden_size", "tokens_per_second")
    return replace(encoder, frames=parts.vision.size("temporal_patch_size", default=2), flat=True)


def _qwen25(parts: Parts, side: int) -> VisionEncoder:
    vision = parts.vision
    plain = _vit(parts, side, gated=True, rotary=True, structure=Structure(), function="silu")
    vision.get("spatial_patch_size")
    window = max(vision.size("window_size", default=112) // plain.patch[0], 1)
    whole = vision.indices("fullatt_block_indexes")
    rows = max(plain.grid[0], 1)
    cut = next((size for size in range(min(window, rows), rows + 1) if rows % size == 0), rows)
    if cut != min(window, rows):
        parts.notes.append(f"windows of {window} patches do not divide the image; counted as windows of {cut}")
    layers = tuple(
        layer if index in whole or not isinstance(layer.mixer, Attention)
        else replace(layer, mixer=replace(layer.mixer, piece=cut * cut))
        for index, layer in enumerate(plain.layers)
    )  # fmt: skip
    return replace(_frames(parts, plain), layers=layers, patch_bias=False, final_norm="")


def _qwen3(parts: Parts, side: int) -> VisionEncoder:
    plain = _vit(parts, side, rotary=True, function="gelu_tanh")
    rows = parts.vision.size("num_position_embeddings", default=2304)
    return replace(_frames(parts, plain), position_rows=rows, final_norm="")


ENCODERS: Mapping[str, Callable[[Parts, int], VisionEncoder]] = {
    "clip_vision_model": _clip,
    "siglip_vision_model": _siglip,
    "dinov2": _dinov2,
    "idefics3": _siglip,
    "idefics3_vision": _siglip,
    "smolvlm_vision": _siglip,
    "pixtral": _pixtral,
    "internvl_vision": _internvl,
    "llama4_vision_model": _llama4,
    "kimi_k25": _kimi,
    "kimi_k25_vision": _kimi,
    "qwen2_vl": _qwen2,
    "qwen2_vl_vision": _qwen2,
    "qwen2_5_vl": _qwen25,
    "qwen2_5_vl_vision": _qwen25,
    "qwen3_vl": _qwen3,
    "qwen3_vl_vision": _qwen3,
    "qwen3_vl_moe": _qwen3,
    "qwen3_vl_moe_vision": _qwen3,
    "qwen3_5": _qwen3,
    "qwen3_5_vision": _qwen3,
    "qwen3_5_moe": _qwen3,
    "qwen3_5_moe_vision": _qwen3,
}
