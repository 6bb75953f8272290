"""What holds for a model from whatever source: one table of sources, the same checks for each.

To add a front-end: a function that makes a source in a folder and an entry in `CASES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from graphs.front_ends import assert_predicted
from perfmodel.graphs import load_model
from perfmodel.graphs.graph_file import write_graph_file
from tests.graphs import onnx_examples

Source = Callable[[Path], str]
MLP = "mlp (float[N, 64] x) => (float[N, 8] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }"


def catalog(folder: Path) -> str:
    return "llama-3.2-1b"


def config(folder: Path) -> str:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 1000, **sizes}))
    return str(folder)


def graph(folder: Path) -> str:
    write_graph_file(load_model(config(folder)), folder / "graph.yaml")
    return str(folder / "graph.yaml")


def torch_factory(folder: Path) -> str:
    return f"torch:{Path(__file__).with_name('example_modules.py')}:mixed"


def onnx_file(folder: Path) -> str:
    return str(onnx_examples.write(folder, MLP, weights={"w": [64, 32], "v": [32, 8]}))


def timm_model(folder: Path) -> str:
    if find_spec("timm") is None:
        pytest.skip("timm is not here")
    return "timm:resnet18"


CASES: dict[str, Source] = {
    "catalog": catalog,
    "config": config,
    "graph": graph,
    "torch": torch_factory,
    "onnx": onnx_file,
    "timm": timm_model,
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_can_be_predicted(name: str, tmp_path: Path) -> None:
    assert_predicted(CASES[name](tmp_path))
