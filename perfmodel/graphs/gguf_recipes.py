"""What llama.cpp's quantiser makes of a model: the format of every tensor by the recipe's name, without a file.

A catalog model says it in its config:

    quantization_config: {quant_method: gguf, file_type: q4_k_m}

Known are the recipes of one format, and Q4_K_M, which stores values and down projections of half the layers in 6 bits
(`use_more_bits` of llama.cpp, src/llama-quant.cpp). Norms stay in fp32.

May import: errors, precisions, gguf_names, gguf_types, stored_weights. To add a recipe: a line in `_RECIPES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.config_fields import MAX_LAYERS
from perfmodel.graphs.gguf_names import stored_parts
from perfmodel.graphs.stored_weights import StoredTensor, StoredWeights
from perfmodel.precisions import FILE_PREFIX

METHOD = "gguf"
# recipe -> (format of most matrices, of those that get more bits, of the logits)
_RECIPES = {
    "q4_0": ("q4_0", "q4_0", "q6_k"), "q8_0": ("q8_0", "q8_0", "q8_0"), "q6_k": ("q6_k", "q6_k", "q6_k"),
    "q4_k_s": ("q4_k", "q4_k", "q6_k"), "q4_k_m": ("q4_k", "q6_k", "q6_k"),
}  # fmt: skip
_KINDS = ("llama", "mistral", "qwen3")  # gated decoders without biases
_LARGE_LAYERS = 80  # of the 70B models: eight queries share a value, which gets 5 bits where others get 4

_SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
)  # fmt: skip


def recipe_of(config: Mapping[str, Any]) -> str:
    """The recipe that a config asks for, "" for none."""
    quantization = config.get("quantization_config")
    if not isinstance(quantization, Mapping) or quantization.get("quant_method") != METHOD:
        return ""
    return str(quantization.get("file_type", "")).lower()


def recipe_weights(config: Mapping[str, Any], recipe: str) -> StoredWeights:
    """How the quantiser stores a decoder.

    Raises:
        ModelError: a recipe or an architecture that is not known here.
    """
    if recipe not in _RECIPES:
        raise ModelError(f"file_type '{recipe}' of quant_method gguf is not known; known: {', '.join(_RECIPES)}")
    if config.get("model_type") not in _KINDS:
        raise ModelError(
            f"quant_method gguf is known of {', '.join(_KINDS)} only, not of {config.get('model_type')}; give a .gguf"
        )
    counts = _counts(config)
    tensors = _tensors(counts, recipe, bool(config.get("tie_word_embeddings")), config["model_type"] == "qwen3")
    outside, layers = stored_parts(tensors, counts["num_hidden_layers"])
    return StoredWeights(FILE_PREFIX + recipe, outside, layers)


def _counts(config: Mapping[str, Any]) -> dict[str, int]:
    """
    Raises:
        ModelError: sizes of the config that are missing, or no counts.
    """
    counts: dict[str, Any] = {key: config.get(key) for key in _SIZES}
    counts["head_dim"] = config.get("head_dim") or 0
    wrong = [
        f"{key} must be a whole number from {least} to {most}, is {str(value)[:40]!r}"
        for key, value in counts.items()
        for least, most in [(int(key != "head_dim"), MAX_LAYERS if key == "num_hidden_layers" else 10**9)]
        if type(value) is not int or not least <= value <= most
    ]
    if wrong:
        raise ModelError("; ".join(wrong))
    return counts


def _tensors(counts: Mapping[str, int], recipe: str, tied: bool, normed: bool) -> Iterator[StoredTensor]:
    most, more, logits = _RECIPES[recipe]
    hidden, width, layers, heads, kv_heads, vocabulary = (counts[key] for key in _SIZES)
    head_size = counts["head_dim"] or hidden // heads
    yield StoredTensor("token_embd.weight", (vocabulary, hidden), most)
    yield StoredTensor("output_norm.weight", (hidden,), "fp32")
    if not tied:
        yield StoredTensor("output.weight", (vocabulary, hidden), logits)
    for layer in range(layers):
        wide = more if _more_bits(layer, layers) else most
        values = "q5_k" if layers == _LARGE_LAYERS and wide == "q4_k" else wide
        matrices = {
            "attn_q": (heads * head_size, hidden, most),
            "attn_k": (kv_heads * head_size, hidden, most),
            "attn_v": (kv_heads * head_size, hidden, values),
            "attn_output": (hidden, heads * head_size, most),
            "ffn_gate": (width, hidden, most),
            "ffn_up": (width, hidden, most),
            "ffn_down": (hidden, width, wide),
        }
        for name, (rows, columns, dtype) in matrices.items():
            yield StoredTensor(f"blk.{layer}.{name}.weight", (rows, columns), dtype)
        norms = {"attn_norm": hidden, "ffn_norm": hidden}
        if normed:
            norms |= {"attn_q_norm": head_size, "attn_k_norm": head_size}
        for name, size in norms.items():
            yield StoredTensor(f"blk.{layer}.{name}.weight", (size,), "fp32")


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between.

    >>> sum(_more_bits(layer, 32) for layer in range(32))
    16
    """
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
