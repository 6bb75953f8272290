"""Configs of diffusers components for tests: the real ones by name, and small ones that are quick to trace.

Written down here a second time, apart from model_specs/: what the public files state.
"""

from __future__ import annotations

from typing import Any

SD15_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": 4, "out_channels": 4, "act_fn": "silu",
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2, "cross_attention_dim": 768, "attention_head_dim": 8,
}  # fmt: skip
SDXL_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel", "sample_size": 128, "in_channels": 4, "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280], "layers_per_block": 2, "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20], "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
SMALL_UNET = SD15_UNET | {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 64], "layers_per_block": [1, 2], "cross_attention_dim": 48, "attention_head_dim": 4,
    "sample_size": 16,
}  # fmt: skip
SMALL_XL_UNET = SMALL_UNET | {
    "transformer_layers_per_block": [1, 3], "use_linear_projection": True, "attention_head_dim": [2, 4],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 80,
}  # fmt: skip
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "sample_size": 512,
    "block_out_channels": [128, 256, 512, 512],
}  # fmt: skip
VAE_16 = VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "sample_size": 1024}
SMALL_VAE = VAE | {
    "block_out_channels": [32, 64], "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "layers_per_block": 1, "sample_size": 32,
}  # fmt: skip
SD3: dict[str, Any] = {
    "_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16,
    "num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64, "joint_attention_dim": 4096,
    "caption_projection_dim": 1536, "pooled_projection_dim": 2048, "pos_embed_max_size": 192,
}  # fmt: skip
SMALL_SD3 = SD3 | {
    "sample_size": 16, "num_layers": 3, "num_attention_heads": 2, "attention_head_dim": 32, "joint_attention_dim": 48,
    "caption_projection_dim": 64, "pooled_projection_dim": 24,
}  # fmt: skip
SMALL_SD35 = SMALL_SD3 | {"qk_norm": "rms_norm", "dual_attention_layers": [0]}
FLUX: dict[str, Any] = {
    "_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 64, "num_layers": 19,
    "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128, "joint_attention_dim": 4096,
    "pooled_projection_dim": 768, "guidance_embeds": True, "axes_dims_rope": [16, 56, 56],
}  # fmt: skip
SMALL_FLUX = FLUX | {
    "num_layers": 2, "num_single_layers": 2, "num_attention_heads": 2, "attention_head_dim": 32,
    "joint_attention_dim": 48, "pooled_projection_dim": 24, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip
DIT: dict[str, Any] = {
    "_class_name": "Transformer2DModel", "norm_type": "ada_norm_zero", "sample_size": 32, "patch_size": 2,
    "in_channels": 4, "out_channels": 8, "num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72,
    "attention_bias": True, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
    "norm_elementwise_affine": False,
}  # fmt: skip
SMALL_DIT = DIT | {
    "_class_name": "DiTTransformer2DModel", "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16,
    "sample_size": 16,
}  # fmt: skip
PIXART = DIT | {
    "norm_type": "ada_norm_single", "sample_size": 128, "cross_attention_dim": 1152, "caption_channels": 4096,
}  # fmt: skip
SMALL_PIXART = PIXART | {
    "_class_name": "PixArtTransformer2DModel", "num_layers": 2, "num_attention_heads": 3, "attention_head_dim": 16,
    "cross_attention_dim": 48, "caption_channels": 40, "sample_size": 16, "use_additional_conditions": True,
}  # fmt: skip
CLIP: dict[str, Any] = {
    "model_type": "clip_text_model", "architectures": ["CLIPTextModel"], "hidden_size": 768, "intermediate_size": 3072,
    "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "quick_gelu", "max_position_embeddings": 77,
    "vocab_size": 49408, "projection_dim": 768, "torch_dtype": "float16",
}  # fmt: skip
SMALL_CLIP = CLIP | {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
}  # fmt: skip
T5_XXL: dict[str, Any] = {
    "model_type": "t5", "architectures": ["T5EncoderModel"], "d_model": 4096, "d_ff": 10240, "d_kv": 64,
    "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32,
    "vocab_size": 32128, "tie_word_embeddings": False,
}  # fmt: skip
SMALL_T5 = T5_XXL | {
    "d_model": 48, "d_ff": 96, "d_kv": 12, "num_layers": 2, "num_heads": 4, "vocab_size": 100,
}  # fmt: skip
SMALL_SD: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline", "unet": SMALL_UNET, "vae": SMALL_VAE, "text_encoder": SMALL_CLIP,
    "scheduler": {"_class_name": "PNDMScheduler"},
}  # fmt: skip
SMALL_FLUX_PIPELINE: dict[str, Any] = {
    "_class_name": "FluxPipeline", "transformer": SMALL_FLUX, "text_encoder": SMALL_CLIP, "text_encoder_2": SMALL_T5,
    "vae": SMALL_VAE | {"latent_channels": 16},
    "scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler"},
}  # fmt: skip
