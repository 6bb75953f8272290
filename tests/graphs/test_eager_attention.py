"""Unfused attention does all of the S x T work and writes every step to memory."""

from dataclasses import replace

import pytest
from builders import cache, chain, graph, x, y

from graphs.eager_examples import SIZES, B, D, H, S, config_graph
from perfmodel.costs import cost_graph, cost_op
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.eager import family_of
from perfmodel.graphs.eager_attention import STYLES, AttentionStyle, unfuse_attention
from perfmodel.types import Graph

C, FLOAT = D // H, 4
SCORES = B * H * S * S  # elements of one score matrix for all heads


def steps(model_type: str, *, dropout: bool = False) -> Graph:
    """The attention of one layer, op by op."""
    whole = unfuse_attention(config_graph(model_type), family_of(model_type).attention, dropout=dropout)
    check_graph(whole)
    return replace(whole, ops=tuple(op for op in whole.ops if ".attention.core" in op.name or "merge" in op.name))


def functions(of: Graph) -> list[str]:
    return [str(op.attributes.get("function", op.kind)) for op in of.ops]


@pytest.mark.parametrize(
    ("model_type", "wanted"),
    [
        ("bert", "permute permute permute matmul div add softmax matmul merge_heads"),
        ("gpt2", "permute permute permute matmul div where softmax matmul merge_heads"),
        ("opt", "mul permute permute permute matmul add maximum softmax matmul merge_heads"),
        ("llama", "repeat_heads repeat_heads matmul div add softmax matmul merge_heads"),
    ],
)
def test_kernels_are_those_that_traces_of_the_models_list(model_type: str, wanted: str) -> None:
    assert functions(steps(model_type)) == wanted.split()


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "opt", "llama"])
def test_both_products_are_computed_in_full(model_type: str) -> None:
    own = steps(model_type)
    assert cost_graph(replace(own, ops=tuple(replace(op, repeat=1) for op in own.ops)), SIZES).matrix_flops == (
        2 * 2 * SCORES * C
    )


def test_every_step_is_written_to_memory() -> None:
    own = steps("gpt2")
    moved = {op.name.rpartition(".")[2]: cost_op(op, own.tensors, SIZES).bytes for op in own.ops}
    assert moved["scale"] == moved["softmax"] == 2 * SCORES * FLOAT
    assert moved["mask"] == 2 * SCORES * FLOAT + S * S  # one byte a cell, shared by batch and heads
    assert moved["copy_query"] == 2 * B * S * D * FLOAT


def test_bert_masks_keys_and_opt_pairs() -> None:
    assert steps("bert").tensors["attention_mask"].shape[2:] == (1, steps("opt").tensors["attention_mask"].shape[3])


def test_dropout_writes_a_mask_of_a_byte_an_element() -> None:
    own = steps("gpt2", dropout=True)
    op = next(op for op in own.ops if op.kind == "dropout")
    assert cost_op(op, own.tensors, SIZES).write_bytes == SCORES * (FLOAT + 1)


def test_sixteen_bit_softmax_is_cast_back_where_the_family_does_so() -> None:
    for model_type, casts in (("llama", 1), ("gpt2", 0)):
        whole = unfuse_attention(config_graph(model_type, "bf16"), family_of(model_type).attention)
        assert sum(op.name.endswith("core.cast") for op in whole.ops) == casts


def decode_step(*more: str) -> Graph:
    tensors = [
        x("q", "batch 4 1 16"), x("k", "batch 2 1 16"), x("v", "batch 2 1 16"),
        cache("kc", "batch 2 context 16"), cache("vc", "batch 2 context 16"), y("out", "batch 4 1 16"),
        x("sinks", "4"),
    ]  # fmt: skip
    return graph(
        tensors,
        *chain(("append", "cache_append", "k v", "kc vc"), ("core", "attention", " ".join(["q kc vc", *more]), "out")),
    )


def test_a_step_concatenates_its_cache() -> None:
    """The whole cache is read and written once, then repeated for the query heads."""
    own = unfuse_attention(decode_step(), STYLES["llama"])
    check_graph(own)
    values = {"batch": 2, "context": 1000}
    costs = {op.name: cost_op(op, own.tensors, values) for op in own.ops}
    cached = 2 * 2 * 1000 * 16 * 2
    assert costs["append"].cache_bytes == cached
    assert costs["append"].write_bytes == cached
    assert costs["core.repeat_key"].bytes == 3 * cached


def test_attention_with_sinks_stays_fused() -> None:
    own = unfuse_attention(decode_step("sinks"), AttentionStyle())
    assert [op.kind for op in own.ops if op.name == "core"] == ["attention"]
