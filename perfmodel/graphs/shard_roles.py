"""What each op and tensor of a decoder means to a parallel layout, by the names that the decoder's builder gives them.

    SPLITS     tensor -> which of its dimensions devices share, and what is counted out among them
    PARTIAL    ops that sum over a shared dimension: every device has a part of the sum, a collective adds them up
    STREAM     ops on the residual stream, which sequence parallelism spreads over tokens
    WHOLE      all other ops: they follow their inputs, or every device does all of them

Linear layers are not listed dimension by dimension: their weights follow from their input and output. An op whose name
stands nowhere here cannot be spread over devices. To add a mixer: its lines here and its counts in shard_counts.py.

May import: nothing of perfmodel.
"""

from __future__ import annotations

from collections.abc import Mapping

# what is counted out among the devices that share a layer
HEADS, KV_HEADS, DELTA, SCAN, MIXED = "heads", "kv_heads", "delta", "scan", "mixed"
WIDTH, SHARED_WIDTH, VOCABULARY = "width", "shared_width", "vocabulary"

SPLITS: Mapping[str, tuple[int, str]] = {
    # attention
    "attention.split.query": (1, HEADS), "attention.split.key": (1, KV_HEADS), "attention.split.value": (1, KV_HEADS),
    "attention.split.gate": (2, HEADS), "attention.query_heads.out": (1, HEADS), "attention.sinks": (0, HEADS),
    "attention.append.key_cache": (1, KV_HEADS), "attention.append.value_cache": (1, KV_HEADS),
    "attention.cut_query.out": (1, HEADS), "attention.cut_key.out": (1, KV_HEADS),
    "attention.cut_value.out": (1, KV_HEADS), "attention.core.out": (1, HEADS), "attention.merge.out": (2, HEADS),
    # latent attention: heads are shared, the latent and its cache are not
    "attention.split_b.plain": (1, HEADS), "attention.split_b.rotary": (1, HEADS),
    "attention.kv_b.key.weight": (0, HEADS), "attention.kv_b.value.weight": (0, HEADS),
    "attention.expand_key.out": (0, HEADS), "attention.expand_value.out": (0, HEADS),
    "attention.key_heads.out": (1, HEADS), "attention.value_heads.out": (1, HEADS),
    "attention.join_query.out": (1, HEADS), "attention.join_key.out": (1, HEADS),
    "attention.query_rows.out": (0, HEADS), "attention.absorb_key.out": (0, HEADS),
    "attention.absorbed_heads.out": (1, HEADS), "attention.output_rows.out": (0, HEADS),
    "attention.absorb_value.out": (0, HEADS),
    # the delta rule
    "delta.split.qkv": (1, DELTA), "delta.split.gate": (2, DELTA), "delta.rates.out": (2, DELTA),
    "delta.convolution.weight": (0, DELTA), "delta.convolution.state": (1, DELTA), "delta.rate_bias": (0, DELTA),
    "delta.log_decay": (0, DELTA), "delta.state": (1, DELTA), "delta.rule.out": (2, DELTA),
    "delta.merge.out": (2, DELTA),
    # Mamba and Mamba-2
    "mamba.split.main": (1, MIXED), "mamba.split.gate": (2, SCAN), "mamba.split.step": (2, SCAN),
    "mamba.convolution.weight": (0, MIXED), "mamba.convolution.bias": (0, MIXED), "mamba.convolution.state": (1, MIXED),
    "mamba.rows.out": (2, SCAN), "mamba.step.out": (2, SCAN), "mamba.step_bias": (0, SCAN),
    "mamba.log_rates": (0, SCAN), "mamba.skip": (0, SCAN), "mamba.state": (1, SCAN), "mamba.scan.out": (2, SCAN),
    # feed-forwards
    "mlp.gate_up.out": (2, WIDTH), "mlp.up.out": (2, WIDTH), "mlp.activation.out": (2, WIDTH),
    "moe.shared.gate_up.out": (2, SHARED_WIDTH), "moe.shared.up.out": (2, SHARED_WIDTH),
    "moe.shared.activation.out": (2, SHARED_WIDTH),
    # outside of layers
    "embedding.weight": (0, VOCABULARY), "head.out": (2, VOCABULARY),
}  # fmt: skip

PARTIAL = frozenset(
    ("embedding", "attention.output", "delta.output", "mamba.selection", "mamba.output", "mlp.down")
)  # and the last op of a mixture of experts

STREAM = frozenset(
    ("add_positions", "embedding_norm", "embedding_projection", "input_norm", "attention_norm", "mlp_norm",
     "mlp_output_norm", "final_norm", "attention_add", "mlp_add", "add_branches", "join_mixers", "attention_scale",
     "mlp_scale", "attention.scale", "mlp.scale")
)  # fmt: skip

_FOLLOWING = frozenset(
    ("positions", "last_token", "head_projection",
     "attention.qkv", "attention.query", "attention.key_value", "attention.query_norm", "attention.key_norm",
     "attention.rope", "attention.gate", "attention.qkv_a", "attention.kv_a", "attention.split_a",
     "attention.latent_norm", "attention.query_b", "attention.join_latent", "attention.read_latent",
     "indexer.query", "indexer.query_heads", "indexer.key", "indexer.key_norm", "indexer.weights", "indexer.key_head",
     "indexer.append", "indexer.scores", "indexer.topk",
     "delta.qkvz", "delta.norm", "delta.gate",
     "mamba.input", "mamba.split_selection", "mamba.input_norm", "mamba.output_norm", "mamba.step_norm", "mamba.gate",
     "mamba.norm",
     "moe.router", "moe.topk", "moe.latent_in", "moe.experts", "moe.latent_out", "moe.shared.down", "moe.shared_gate",
     "moe.shared_scale", "moe.combine")
)  # fmt: skip
_OF_SPLITS = frozenset(tensor.rpartition(".")[0] for tensor in SPLITS)
KNOWN = PARTIAL | STREAM | _FOLLOWING | _OF_SPLITS

EXPERTS = "moe.experts"
# the last of these that a mixture has makes its output; until there all devices have parts of a sum
MIXTURE_ENDS = ("moe.combine", "moe.latent_out", EXPERTS)
MIXTURE = "moe."
IMAGE_PHASE = "encode_image"  # of a multimodal model: a vision tower, small beside the language model
