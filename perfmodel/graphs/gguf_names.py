"""Names of weights: those of the graph, and the tensors that a GGUF file keeps behind them.

Several tensors lie one below the other in the graph's weight. Names in a file are those of llama.cpp
(gguf-py/gguf/constants.py); `blk.N.` stands before those of a layer.

May import: stored_weights. To add a weight: a line in `_IN_LAYERS` or `_OUTSIDE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from perfmodel.graphs.stored_weights import StoredPart, StoredTensor, StoredWeight

Alternatives: TypeAlias = tuple[tuple[str, ...], ...]

# the first alternative that the file has counts
_IN_LAYERS: Mapping[str, Alternatives] = {
    "input_norm": (("attn_norm",),),
    "attention_norm": (("post_attention_norm",),),
    "mlp_norm": (("ffn_norm",), ("attn_norm_2",), ("post_ffw_norm",), ("post_attention_norm",)),
    "mlp_output_norm": (("post_ffw_norm",),),
    "attention.qkv": (("attn_q", "attn_k", "attn_v"), ("attn_qkv",)),
    "attention.output": (("attn_output",),),
    "attention.query_norm": (("attn_q_norm",), ("attn_q_a_norm",)),
    "attention.key_norm": (("attn_k_norm",),),
    "attention.latent_norm": (("attn_kv_a_norm",),),
    "attention.qkv_a": (("attn_q_a", "attn_kv_a_mqa"),),
    "attention.kv_a": (("attn_kv_a_mqa",),),
    "attention.query": (("attn_q",),),
    "attention.query_b": (("attn_q_b",),),
    "attention.kv_b.key": (("attn_k_b",), ("attn_kv_b",)),
    "attention.kv_b.value": (("attn_v_b",), ("attn_kv_b",)),
    "mlp.gate_up": (("ffn_gate", "ffn_up"), ("ffn_up",)),
    "mlp.up": (("ffn_up",),),
    "mlp.down": (("ffn_down",),),
    "moe.router": (("ffn_gate_inp",),),
    "moe.experts.gate_up": (("ffn_gate_exps", "ffn_up_exps"), ("ffn_gate_up_exps",)),
    "moe.experts.up": (("ffn_up_exps",),),
    "moe.experts.down": (("ffn_down_exps",),),
    "moe.shared.gate_up": (("ffn_gate_shexp", "ffn_up_shexp"),),
    "moe.shared.up": (("ffn_up_shexp",),),
    "moe.shared.down": (("ffn_down_shexp",),),
    "moe.shared_gate": (("ffn_gate_inp_shexp",),),
}
_OUTSIDE: Mapping[str, Alternatives] = {
    "embedding": (("token_embd",),),
    "positions": (("position_embd",),),
    "embedding_norm": (("token_embd_norm",),),
    "final_norm": (("output_norm",),),
    "head": (("output",),),
}
_SHARED = ("attn_kv_b",)  # holds the expansions of keys and of values
_WHOLE = {"attention.sinks": "attn_sinks.weight"}  # names without .weight in the graph
_LAYER = re.compile(r"blk\.(\d{1,6})\.(.+)")


def layer_of(name: str) -> tuple[int, str] | None:
    """The layer a tensor belongs to and its name there; None outside of layers."""
    found = _LAYER.fullmatch(name)
    return (int(found[1]), found[2]) if found else None


def stored_parts(tensors: Iterable[StoredTensor], layers: int) -> tuple[StoredPart, tuple[StoredPart, ...]]:
    """What a file holds outside of layers, and in each of them; layers from `layers` on count as outside."""
    inside: list[dict[str, StoredTensor]] = [{} for _ in range(layers)]
    outside: dict[str, StoredTensor] = {}
    for tensor in tensors:
        place = layer_of(tensor.name)
        if place and place[0] < layers:
            index, name = place
            inside[index][name] = StoredTensor(name, tensor.shape, tensor.dtype)
        else:
            outside[tensor.name] = tensor
    return _part(outside, _OUTSIDE), tuple(_part(own, _IN_LAYERS) for own in inside)


def _part(tensors: Mapping[str, StoredTensor], table: Mapping[str, Alternatives]) -> StoredPart:
    return StoredPart(tuple(_weights(tensors, table)), tuple(sorted(tensors.values(), key=lambda own: own.name)))


def _weights(
    tensors: Mapping[str, StoredTensor], table: Mapping[str, Alternatives]
) -> Iterator[tuple[str, StoredWeight]]:
    for weight, alternatives in table.items():
        for ending in ("weight", "bias"):
            for names in alternatives:
                full = [f"{name}.{ending}" for name in names]
                if all(name in tensors for name in full):
                    yield f"{weight}.{ending}", StoredWeight(tuple(tensors[name] for name in full), names == _SHARED)
                    break
    for weight, name in _WHOLE.items():
        if name in tensors:
            yield weight, StoredWeight((tensors[name],))
