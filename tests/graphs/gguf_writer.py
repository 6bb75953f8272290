"""GGUF files for tests, written by struct as docs/gguf.md of ggml says: header only, or with zeros for weights.

gguf_bytes({"general.architecture": "llama", ...}, [("token_embd.weight", (1000, 64), 12), ...])

Tensors are (name, shape (out, in), ggml type). Lists of tensors of a few architectures are made from a config.json,
with the names that llama.cpp gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = tuple[str, tuple[int, ...], int]
Types: TypeAlias = Callable[[str], int]

F32, F16, Q4_0, Q8_0, Q4_K, Q5_K, Q6_K, BF16, MXFP4 = 0, 1, 2, 8, 12, 13, 14, 30, 39
# (weights, bytes) of a block: gguf-py/gguf/constants.py, GGML_QUANT_SIZES
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34), Q4_K: (256, 144), Q5_K: (256, 176),
          Q6_K: (256, 210), BF16: (1, 2), MXFP4: (32, 17)}  # fmt: skip
ALIGNMENT = 32


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(content: Any) -> bytes:
    """A typed metadata value."""
    if isinstance(content, bool):
        return struct.pack("<I?", 7, content)
    if isinstance(content, int):
        return struct.pack("<II", 4, content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    if isinstance(content, str):
        return struct.pack("<I", 8) + text(content)
    kind, pack = (8, text) if isinstance(content[0], str) else (4, struct.Struct("<I").pack)
    return struct.pack("<IIQ", 9, kind, len(content)) + b"".join(pack(item) for item in content)


def tensor_bytes(tensor: Tensor) -> int:
    elements = 1
    for dim in tensor[1]:
        elements *= dim
    weights, block_bytes = BLOCKS[tensor[2]]
    return elements // weights * block_bytes


def data_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor_bytes(tensor) for tensor in tensors)


def gguf_bytes(
    metadata: Mapping[str, Any], tensors: Sequence[Tensor], *, version: int = 3, data: bool = False
) -> bytes:
    """A file. `data`: with zeros behind the header, padded as the format wants."""
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(metadata))]
    parts += [text(key) + value(content) for key, content in metadata.items()]
    offset = 0
    for name, shape, kind in tensors:
        inside_out = tuple(reversed(shape))
        parts.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *inside_out, kind, offset))
        offset += -(-tensor_bytes((name, shape, kind)) // ALIGNMENT) * ALIGNMENT
    header = b"".join(parts)
    return header + bytes(-len(header) % ALIGNMENT + offset) if data else header


def metadata_of(architecture: str, config: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The metadata llama.cpp's converter writes for the sizes of a config.json."""
    keys = {
        "hidden_size": "embedding_length", "num_hidden_layers": "block_count",
        "num_attention_heads": "attention.head_count", "intermediate_size": "feed_forward_length",
        "num_key_value_heads": "attention.head_count_kv",
        "max_position_embeddings": "context_length", "num_experts": "expert_count",
        "num_local_experts": "expert_count", "n_routed_experts": "expert_count",
        "num_experts_per_tok": "expert_used_count", "moe_intermediate_size": "expert_feed_forward_length",
        "n_shared_experts": "expert_shared_count", "first_k_dense_replace": "leading_dense_block_count",
        "sliding_window": "attention.sliding_window", "q_lora_rank": "attention.q_lora_rank",
        "kv_lora_rank": "attention.kv_lora_rank", "qk_rope_head_dim": "rope.dimension_count",
        "v_head_dim": "attention.value_length",
    }  # fmt: skip
    found = {keys[name]: content for name, content in config.items() if name in keys and content is not None}
    if "head_dim" in config:
        found |= {"attention.key_length": config["head_dim"], "attention.value_length": config["head_dim"]}
    if "qk_nope_head_dim" in config:
        found["attention.key_length"] = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    own = {f"{architecture}.{key}": content for key, content in (found | more).items()}
    return {"general.architecture": architecture, **own, "tokenizer.ggml.tokens": ["<s>", "a", "b"]}


def q4_k_m(layers: int) -> Types:
    """llama-quantize's recipe Q4_K_M: half of the value and down projections, and the output, in Q6_K."""

    def more_bits(layer: int) -> bool:
        return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2

    def of(name: str) -> int:
        if name.endswith(("norm.weight", ".bias", "gate_inp.weight", "sinks.weight")):
            return F32
        layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
        sensitive = name.startswith("blk.") and name.split(".")[2] in ("attn_v", "ffn_down", "ffn_down_exps")
        return Q6_K if name == "output.weight" or (sensitive and more_bits(layer)) else Q4_K

    return of


def all_in(kind: int) -> Types:
    """Matrices in one type, everything else in F32."""
    return lambda name: F32 if name.endswith(("norm.weight", ".bias", "gate_inp.weight", "sinks.weight")) else kind


def llama_tensors(
    config: Mapping[str, Any], types: Types, *, layer: Sequence[tuple[str, tuple[int, ...]]] = ()
) -> list[Tensor]:
    """Tensors of a llama-like decoder; `layer`: what each layer holds instead of norms, attention and feed-forward."""
    hidden = config["hidden_size"]
    size = config.get("head_dim") or hidden // config["num_attention_heads"]
    outside = [("token_embd.weight", (config["vocab_size"], hidden)), ("output_norm.weight", (hidden,))]
    if not config.get("tie_word_embeddings"):
        outside.append(("output.weight", (config["vocab_size"], hidden)))
    inside = layer or [*attention_shapes(config, size), *feed_forward_shapes(config)]
    names = outside + [
        (f"blk.{index}.{name}", shape) for index in range(config["num_hidden_layers"]) for name, shape in inside
    ]
    return [(name, shape, types(name)) for name, shape in names]


def attention_shapes(config: Mapping[str, Any], size: int) -> list[tuple[str, tuple[int, ...]]]:
    hidden, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    return [
        ("attn_norm.weight", (hidden,)),
        ("ffn_norm.weight", (hidden,)),
        ("attn_q.weight", (heads * size, hidden)),
        ("attn_k.weight", (kv_heads * size, hidden)),
        ("attn_v.weight", (kv_heads * size, hidden)),
        ("attn_output.weight", (hidden, heads * size)),
    ]


def query_key_norm_shapes(size: int) -> list[tuple[str, tuple[int, ...]]]:
    return [("attn_q_norm.weight", (size,)), ("attn_k_norm.weight", (size,))]


def feed_forward_shapes(config: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    hidden, width = config["hidden_size"], config["intermediate_size"]
    return [
        ("ffn_gate.weight", (width, hidden)),
        ("ffn_up.weight", (width, hidden)),
        ("ffn_down.weight", (hidden, width)),
    ]


def experts_shapes(hidden: int, experts: int, width: int) -> list[tuple[str, tuple[int, ...]]]:
    return [
        ("ffn_gate_inp.weight", (experts, hidden)),
        ("ffn_gate_exps.weight", (experts, width, hidden)),
        ("ffn_up_exps.weight", (experts, width, hidden)),
        ("ffn_down_exps.weight", (experts, hidden, width)),
    ]
