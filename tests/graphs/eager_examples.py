"""Small configs of the families whose eager code is known, and their graphs."""

from typing import Any

from perfmodel.graphs.eager import eager_graph, family_of, without_cache
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.rewrite import quantize
from perfmodel.precisions import find_scheme
from perfmodel.types import Graph

B, S, D, H, F, V, L = 3, 32, 64, 4, 128, 256, 2
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": D, "n_head": H, "n_layer": L, "n_positions": S, "vocab_size": V, "n_inner": F,
             "activation_function": "gelu_new"},
    "bert": {"hidden_size": D, "num_attention_heads": H, "num_hidden_layers": L, "max_position_embeddings": S,
             "intermediate_size": F, "vocab_size": V, "hidden_act": "gelu"},
    "opt": {"hidden_size": D, "num_attention_heads": H, "num_hidden_layers": L, "max_position_embeddings": S,
            "ffn_dim": F, "vocab_size": V, "word_embed_proj_dim": D, "do_layer_norm_before": True,
            "activation_function": "relu"},
    "llama": {"hidden_size": D, "num_attention_heads": H, "num_key_value_heads": 2, "num_hidden_layers": L,
              "intermediate_size": F, "vocab_size": V, "max_position_embeddings": S, "tie_word_embeddings": False},
}  # fmt: skip
SIZES = {"batch": B, "tokens": S}


def config_graph(model_type: str, precision: str = "fp32") -> Graph:
    """The graph of a config with the logits of all tokens, as a plain forward pass: kernels still fused."""
    model = load_config({"model_type": model_type} | CONFIGS[model_type], name=model_type, source="t", logits="all")
    own = model.phases.get("forward") or without_cache(model.phases["prefill"])
    return quantize(own, find_scheme(model.precision), find_scheme(precision))


def eager(model_type: str, *, training: bool = False, precision: str = "fp32") -> Graph:
    """The same as its eager code runs it."""
    return eager_graph(config_graph(model_type, precision), family_of(model_type), training=training)
