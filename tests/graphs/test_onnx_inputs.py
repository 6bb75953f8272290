"""Which dimensions of inputs become symbols, and what is said of those that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.costs import cost_graph
from perfmodel.errors import InputError, ModelError
from perfmodel.graphs import load_model
from tests.graphs.onnx_examples import read, write

CNN = "=> (float[N, 8, h, w] y) { y = Conv<pads = [1, 1, 1, 1]>(x, k) }"


def shape(text: str, tmp_path: Path, name: str = "x") -> list[str]:
    model = read(tmp_path, text)
    return [str(dim) for dim in model.phases["forward"].tensors[name].shape]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("float[batch_size, 8]", ["batch", "8"]),
        ("float[N, seq_len, 8]", ["batch", "tokens", "8"]),
        ("float[?, 8]", ["batch", "8"]),
        ("int64[any, other]", ["batch", "tokens"]),
        ("float[sequence_length, batch, 8]", ["tokens", "batch", "8"]),
        ("float[4, 8]", ["batch", "8"]),
        ("int64[4, 32]", ["batch", "tokens"]),
    ],
)
def test_names_and_places(tmp_path: Path, declared: str, expected: list[str]) -> None:
    assert shape(f"g ({declared} x) => ({declared} y) {{ y = Add(x, x) }}", tmp_path) == expected


def test_a_size_that_the_graph_fixes_stays_and_a_note_says_why(tmp_path: Path) -> None:
    text = (
        "g (float[4, 8] x) => (float[32] y) { n = Constant<value_ints = [4, 2, 4]>() r = Reshape(x, n) "
        "m = Constant<value_ints = [32]>() a = Neg(r) y = Reshape(a, m) }"
    )
    model = read(tmp_path, text)
    assert model.phases["forward"].symbols == ()
    assert any("batch is fixed at 4" in note for note in model.notes)


def test_images_get_their_size_from_the_request(tmp_path: Path) -> None:
    path = str(write(tmp_path, f"g (float[N, 3, h, w] x) {CNN}", weights={"k": [8, 3, 3, 3]}))
    with pytest.raises(ModelError) as caught:
        load_model(path)
    for text in ("'x', dimension 2 ('h')", "'x', dimension 3 ('w')", "--image-size"):
        assert text in str(caught.value)
    small, large = (load_model(path, image_size=size) for size in (32, 64))
    assert large.facts["image_size"] == (64, 64)
    costs = [cost_graph(model.phases["forward"], {"batch": 1}).matrix_flops for model in (small, large)]
    assert costs == [2 * 32**2 * 9 * 3 * 8, 2 * 64**2 * 9 * 3 * 8]


def test_channels_last_images(tmp_path: Path) -> None:
    model = read(tmp_path, "g (float[N, h, w, 3] x) => (float[N, h, w, 3] y) { y = Relu(x) }", image_size=16)
    assert [str(dim) for dim in model.phases["forward"].tensors["x"].shape] == ["batch", "16", "16", "3"]


def test_a_size_for_a_model_that_takes_none(tmp_path: Path) -> None:
    path = str(write(tmp_path, "g (float[N, 8] x) => (float[N, 8] y) { y = Relu(x) }"))
    with pytest.raises(InputError, match="image size"):
        load_model(path, image_size=224)


def test_all_open_dimensions_at_once(tmp_path: Path) -> None:
    text = "g (float[N, frames, 8] x, float[N, points] p) => (float[N, frames, 8] y) { y = Relu(x) }"
    with pytest.raises(ModelError) as caught:
        read(tmp_path, text)
    assert "'x', dimension 1 ('frames')" in str(caught.value)
    assert "'p', dimension 1 ('points')" in str(caught.value)
    assert "--image-size" not in str(caught.value)


def test_a_cache_of_earlier_tokens_is_empty(tmp_path: Path) -> None:
    text = (
        "g (float[batch, 4, past_length, 16] past, float[batch, 4, seq, 16] new) => (float[batch, 4, all, 16] y) "
        "{ c = Concat<axis = 2>(past, new) y = Relu(c) }"
    )
    model = read(tmp_path, text)
    assert any("past_length is taken as 0" in note for note in model.notes)
    assert [str(dim) for dim in model.phases["forward"].tensors["Relu_1.out"].shape] == ["batch", "4", "tokens", "16"]


def test_inputs_that_are_no_tensors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'x' is no tensor of numbers"):
        read(tmp_path, "g (string[N] x, float[N] a) => (float[N] y) { y = Relu(a) }")
