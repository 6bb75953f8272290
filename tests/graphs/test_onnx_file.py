"""ONNX files against the torch modules they were exported from, and files that are none."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import perfmodel
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError, PerfmodelError
from perfmodel.graphs import load_model
from perfmodel.graphs.onnx_file import read_onnx_file
from perfmodel.graphs.torch_module import trace_module
from perfmodel.types import Model
from tests.graphs.onnx_examples import HEAD, export, export_dynamo, kinds, ops, read, write

SIZES = {"batch": 8, "tokens": 128}
ADD = "add (float[N, 8] x) => (float[N, 8] y) { y = Add(x, x) }"


def randomised(module: nn.Module) -> nn.Module:
    """Exporters keep equal weights once."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.eval()


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
            nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.Hardswish(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 1), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(64), nn.Linear(64, 192), nn.Linear(64, 64)
        self.tanh, self.erf = nn.GELU(approximate="tanh"), nn.GELU()

    def forward(self, x: Any) -> Any:
        batch, tokens, _ = x.shape
        query, key, value = self.qkv(self.norm(x)).view(batch, tokens, 3, 4, 16).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.erf(self.tanh(self.out(y.transpose(1, 2).reshape(batch, tokens, 64))))


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, vocab_size=1000
        )
        self.model = BertModel(config)

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return tuple(self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=False))


def flops(model: Model) -> float:
    return float(cost_graph(model.phases["forward"], SIZES).matrix_flops)


def assert_same(found: Model, truth: Model, *, parameters: int | None = None, latency: float = 0.03) -> None:
    assert found.parameters == (truth.parameters if parameters is None else parameters)
    assert flops(found) == flops(truth)
    assert found.precision == truth.precision == "fp32"
    for chip in ("h100-sxm", "xeon-8480"):
        for precision in ("fp32", "fp16"):
            mine, own = (
                perfmodel.predict(model, chip, precision=precision, batch=8, input_tokens=128).phases["forward"].time
                for model in (found, truth)
            )
            assert mine.seconds == pytest.approx(own.seconds, rel=latency), (chip, precision)


def test_mlp(tmp_path: Path) -> None:
    module, x = randomised(nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 1))), torch.zeros(4, 64)
    truth = trace_module(module, x, name="mlp", source="a test")
    path = export(module, (x,), tmp_path / "mlp.onnx", {"x": {0: "rows"}})
    assert_same(load_model(str(path)), truth)
    assert flops(truth) == 2 * 8 * (64 * 256 + 256)
    assert kinds(load_model(str(path))) == ["linear", "gelu", "linear"]


def quantize_file(path: Path) -> Path:
    """The model with int8 weights (a scale per output channel) and activations, as quantisers write it: Q and DQ nodes
    around every Gemm."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    scalars = {"scale": np.float32(0.1), "zero": np.int8(0)}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in scalars.items())
    nodes = []
    for node in graph.node:
        if node.op_type == "Gemm":
            x, w = node.input[0], node.input[1]
            kept = [one for one in graph.initializer if one.name != w]
            del graph.initializer[:]
            channels = weights[w].shape[0]  # transB = 1
            graph.initializer.extend([
                *kept,
                numpy_helper.from_array(np.clip(np.round(weights[w] * 100), -127, 127).astype(np.int8), f"{w}_q"),
                numpy_helper.from_array(np.full(channels, 0.01, dtype=np.float32), f"{w}_s"),
            ])  # fmt: skip
            nodes += [
                helper.make_node("QuantizeLinear", [x, "scale", "zero"], [f"{node.name}_q"]),
                helper.make_node("DequantizeLinear", [f"{node.name}_q", "scale", "zero"], [f"{node.name}_x"]),
                helper.make_node("DequantizeLinear", [f"{w}_q", f"{w}_s"], [f"{w}_d"], axis=0),
            ]
            node.input[0], node.input[1] = f"{node.name}_x", f"{w}_d"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    target = path.with_name("quantized.onnx")
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return target


def test_a_quantised_file_is_the_module_in_int8(tmp_path: Path) -> None:
    module, x = randomised(nn.Sequential(nn.Linear(512, 1024), nn.GELU(), nn.Linear(1024, 256))), torch.zeros(2, 512)
    path = export(module, (x,), tmp_path / "mlp.onnx", {"x": {0: "batch"}})
    found, truth = load_model(str(quantize_file(path))), trace_module(module, x, name="mlp", source="a test")
    assert found.parameters == truth.parameters
    assert flops(found) == flops(truth)
    assert found.precision == "int8"
    for chip in ("h100-sxm", "rtx-4090", "xeon-8480"):
        for batch in (1, 8, 64):  # larger ones differ by what the file says: it keeps activations in fp32, not in bf16
            mine, own = (
                perfmodel.predict(model, chip, precision="int8", batch=batch).phases["forward"].time.seconds
                for model in (found, truth)
            )
            assert mine == pytest.approx(own, rel=0.03), (chip, batch)


@pytest.mark.parametrize("folded", [True, False])
def test_cnn(tmp_path: Path, folded: bool) -> None:
    module, x = randomised(Cnn()), torch.zeros(2, 3, 64, 64)
    more = {} if folded else {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    path = export(module, (x,), tmp_path / "cnn.onnx", {"x": {0: "batch"}}, **more)
    if folded:  # the norm's weights are in the convolution, which has a bias then
        fused = torch.ao.nn.intrinsic.modules.fused.torch.nn.utils.fuse_conv_bn_eval(*module.layers[:2])
        module.layers = nn.Sequential(fused, *module.layers[2:])
    truth = trace_module(module, x, name="cnn", source="a test")
    found = load_model(str(path))
    assert_same(found, truth)
    assert found.facts["buffer_elements"] == (0 if folded else 64)
    assert ("normalization" in [op.kind for op in ops(found)]) is not folded


DYNAMO = pytest.param(True, marks=pytest.mark.slow)  # the newer exporter takes seconds


@pytest.mark.parametrize("dynamo", [False, DYNAMO])
def test_attention(tmp_path: Path, dynamo: bool) -> None:
    module, x = randomised(Attention()), torch.zeros(2, 16, 64)
    path = tmp_path / "attention.onnx"
    if dynamo:
        export_dynamo(module, (x,), path, {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}})
    else:
        export(module, (x,), path, {"x": {0: "batch", 1: "tokens"}})
    truth = trace_module(module, x, name="a", source="a test", dynamic={"x": {0: "batch", 1: "tokens"}})
    found = load_model(str(path))
    assert_same(found, truth)
    assert kinds(found) == kinds(truth)
    assert next(op for op in ops(found) if op.kind == "attention").attributes["causal"]


@pytest.mark.parametrize("dynamo", [False, DYNAMO])
def test_bert(tmp_path: Path, dynamo: bool) -> None:
    module, ids = randomised(Bert()), torch.zeros(2, 16, dtype=torch.long)
    path = tmp_path / "bert.onnx"
    if dynamo:
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
        export_dynamo(module, (ids,), path, {"input_ids": axes})
    else:
        export(module, (ids,), path, {"input_ids": {0: "batch", 1: "sequence"}})
    (tmp_path / "bert.onnx.data").unlink(missing_ok=True)  # weights are not read
    found = load_model(str(path))
    assert_same(found, trace_module(module, ids, name="bert", source="a test"))
    assert found.phases["forward"].symbols == ("batch", "tokens")
    assert {op.repeat for op in ops(found) if op.kind == "attention"} == {3}


def test_a_mask_is_read_by_the_attention(tmp_path: Path) -> None:
    module, ids = randomised(Bert()), torch.zeros(2, 16, dtype=torch.long)
    names = {"input_ids": {0: "batch", 1: "s"}, "attention_mask": {0: "batch", 1: "s"}}
    found = load_model(str(export(module, (ids, torch.ones_like(ids)), tmp_path / "bert.onnx", names)))
    truth = trace_module(module, ids, name="bert", source="a test")
    assert (found.parameters, flops(found)) == (truth.parameters, flops(truth))
    attention = next(op for op in ops(found) if op.kind == "attention")
    assert attention.attributes["masked"]
    assert found.phases["forward"].tensors[attention.inputs[3]].shape[1] == 1


def test_content_tells_a_file_without_suffix(tmp_path: Path) -> None:
    path = write(tmp_path, ADD, "weights")
    assert load_model(str(path)).phases["forward"].symbols == ("batch",)


def test_unknown_ops_are_kept_and_loud(tmp_path: Path) -> None:
    model = read(tmp_path, "g (float[N, 8] x) => (float[N, 8] y) { a = my.domain.Twist(x) y = Relu(a) }")
    assert [op.kind for op in ops(model)] == ["my.domain.Twist", "pointwise"]
    assert any("my.domain.Twist" in note for note in model.notes)
    assert dict(perfmodel.predict(model, "h100-sxm").unmodelled).keys() == {"my.domain.Twist"}
    with pytest.raises(PerfmodelError, match=r"my\.domain\.Twist"):
        perfmodel.predict(model, "h100-sxm", strict=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"not a protobuf at all", "not an ONNX model"), (b"\x08\x07", "operator set"),
     (onnx.parser.parse_model(HEAD.format(opset=18) + ADD).SerializeToString()[:-1], "not an ONNX model, or cut off")],
)  # fmt: skip
def test_files_that_are_none(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"(?s)bad\.onnx.*({said})"):
        load_model(str(path))


def test_missing_file() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx: cannot read it"):
        load_model("nowhere.onnx")


def test_all_contradictions_at_once(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        HEAD.format(opset=18) + "g (float[2] x) => (float[2] y) { a = Relu(x) y = Add(a, x) }"
    )
    model.graph.node[1].input[0] = "b"
    model.graph.initializer.add(name="w", data_type=1, dims=[4], raw_data=b"1234")
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        read_onnx_file(path)
    assert "reads 'b', which nothing in the file makes" in str(caught.value)
    assert "'w' needs 16 bytes and has 4" in str(caught.value)


def test_a_length_that_no_memory_holds(tmp_path: Path) -> None:
    text = f"g (float[N] x) => (float[M] y) {{ n = Constant<value_ints = [{2**50}, {2**50}]>() y = Expand(x, n) }}"
    with pytest.raises(ModelError, match=r"2\*\*53|does not fit"):
        read(tmp_path, text)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, x = randomised(Attention()), torch.zeros(2, 16, 64)
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    return export(module, (x,), path, {"x": {0: "batch", 1: "tokens"}})


@given(
    how=st.sampled_from(["random", "cut", "changed"]),
    noise=st.binary(min_size=1, max_size=200),
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_refused_or_read(
    tmp_path: Path, small: Path, how: str, noise: bytes, places: list[float]
) -> None:
    content = bytearray(small.read_bytes())
    if how == "random":
        content = bytearray(noise)
    elif how == "cut":
        del content[int(places[0] * len(content)) :]
    for place in places if how == "changed" else ():  # the graph comes first, the weights behind it
        content[int(place * 6000)] = noise[0]
    path = tmp_path / "damaged.onnx"
    path.write_bytes(bytes(content))
    with suppress(PerfmodelError):
        perfmodel.predict(load_model(str(path)), "h100-sxm")


def test_on_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from perfmodel.cli import main

    path = str(write(tmp_path, "g (float[N, 64] x) => (float[N, 8] y) { y = MatMul(x, w) }", weights={"w": [64, 8]}))
    shown = CliRunner().invoke(main, ["models", "show", path, "--json"])
    assert (shown.exit_code, json.loads(shown.output)["parameters"]) == (0, 512)
    predicted = CliRunner().invoke(
        main, ["predict", path, "--hardware", "h100-sxm,xeon-8480", "--batch", "4", "--json"]
    )
    assert predicted.exit_code == 0
    assert [answer["hardware"] for answer in json.loads(predicted.output)] == ["h100-sxm", "xeon-8480"]


def test_without_the_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(tmp_path, ADD))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"pip install 'perfmodel\[onnx\]'"):
        load_model(path)
