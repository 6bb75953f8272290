"""Small configs as Hugging Face writes them, one of each kind of decoder, and the models they make."""

from __future__ import annotations

from typing import Any

from perfmodel.graphs.huggingface import load_config
from perfmodel.types import Model

LLAMA = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
}  # fmt: skip
BERT = {
    "model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 512,
}  # fmt: skip
MIXTURE = {
    "model_type": "qwen3_moe", "vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 6, "head_dim": 32,
    "num_attention_heads": 8, "num_key_value_heads": 2, "moe_intermediate_size": 64, "num_experts": 16,
    "num_experts_per_tok": 4, "intermediate_size": 512,
}  # fmt: skip
LATENT = {
    "model_type": "deepseek_v3", "vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 4,
    "intermediate_size": 512, "moe_intermediate_size": 64, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "n_shared_experts": 1, "first_k_dense_replace": 1, "num_attention_heads": 4, "kv_lora_rank": 64,
    "q_lora_rank": 96, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
}  # fmt: skip


def load(config: dict[str, Any], **more: Any) -> Model:
    return load_config(config, name="test", source="test.json", **more)
