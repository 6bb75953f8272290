"""Safetensors files for tests: a header, and the data only where asked for."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from typing import Any

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I32": 4, "BOOL": 1}


def safetensors_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...]]], *, data: bool = False) -> bytes:
    """A file of tensors {name: (dtype, shape)}."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return framed(json.dumps(header)) + bytes(end if data else 0)


def framed(header: str) -> bytes:
    content = header.encode()
    return struct.pack("<Q", len(content)) + content


def llama_shapes(config: Mapping[str, Any], dtype: str = "BF16") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names and shapes of a llama-like checkpoint, as transformers saves it."""
    hidden, width = config["hidden_size"], config["intermediate_size"]
    size = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        shapes |= {
            f"{layer}.self_attn.q_proj.weight": (queries, hidden),
            f"{layer}.self_attn.k_proj.weight": (keys, hidden),
            f"{layer}.self_attn.v_proj.weight": (keys, hidden),
            f"{layer}.self_attn.o_proj.weight": (hidden, queries),
            f"{layer}.mlp.gate_proj.weight": (width, hidden),
            f"{layer}.mlp.up_proj.weight": (width, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, width),
            f"{layer}.input_layernorm.weight": (hidden,),
            f"{layer}.post_attention_layernorm.weight": (hidden,),
        }
        if config["model_type"] == "qwen3":
            shapes |= {f"{layer}.self_attn.{part}_norm.weight": (size,) for part in "qk"}
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return {name: (dtype, shape) for name, shape in shapes.items()}
