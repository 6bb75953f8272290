"""Weights as files keep them: cut where the format changes, never smaller or larger than the graph's."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import ModelError
from perfmodel.graphs.stored_weights import StoredTensor, StoredWeight
from perfmodel.precisions import storage_bytes


def weight(*parts: tuple[tuple[int, ...], str]) -> StoredWeight:
    return StoredWeight(tuple(StoredTensor(f"part{place}", *part) for place, part in enumerate(parts)))


def test_neighbours_in_one_format_are_one_piece() -> None:
    same = weight(((64, 256), "q4_k"), ((32, 256), "q4_k"))
    assert same.pieces("qkv.weight", (96, 256)) == (((96, 256), "weight", "q4_k"),)
    mixed = weight(((64, 256), "q4_k"), ((32, 256), "q4_k"), ((32, 256), "q6_k"))
    assert mixed.pieces("qkv.weight", (128, 256)) == (
        ((96, 256), "weight", "q4_k"), ((32, 256), "weight", "q6_k"),
    )  # fmt: skip


def test_experts_and_biases_are_cut_along_their_outputs() -> None:
    experts = weight(((8, 64, 256), "q4_k"), ((8, 64, 256), "q6_k"))
    assert [shape for shape, *_ in experts.pieces("gate_up.weight", (8, 128, 256))] == [(8, 64, 256)] * 2
    biases = weight(((8, 64), "fp32"), ((8, 64), "fp16"))
    assert [shape for shape, *_ in biases.pieces("gate_up.bias", (8, 128))] == [(8, 64)] * 2


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"holds part0 \[64, 256\], but its sizes ask for up\.weight \[65, 256\]"):
        weight(((64, 256), "q4_k")).pieces("up.weight", (65, 256))
    with pytest.raises(ModelError, match="contradicts itself"):  # as many elements, but no whole rows of 256
        weight(((3, 128), "fp32"), ((1, 128), "fp16")).pieces("up.weight", (2, 256))


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(("fp32", "fp16", "q8_0", "q4_k", "q6_k"))), min_size=1))
def test_pieces_take_the_bytes_of_the_tensors(parts: list[tuple[int, str]]) -> None:
    stored = weight(*(((rows, 512), dtype) for rows, dtype in parts))
    pieces = stored.pieces("w.weight", (sum(rows for rows, _ in parts), 512))
    assert sum(storage_bytes(shape, dtype) for shape, _, dtype in pieces) == sum(own.bytes for own in stored.tensors)  # type: ignore[misc]
    assert all(one[2] != other[2] for one, other in pairwise(pieces))
