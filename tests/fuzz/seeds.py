"""Sound files that cases are made of: what is shipped, what other tests write, and small ones made here."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.calibration.files import COMMON, gemm_row, linear_row, table_row
from tests.calibration.sources.test_aiconfigurator import attention_row, collective_row, mla_row, moe_row
from tests.calibration.sources.test_neusight import label, traced
from tests.calibration.sources.test_published import figure
from tests.calibration.sources.test_reports import AIPERF, GUIDELLM, LLMPERF, SGLANG, VLLM
from tests.calibration.sources.test_serving import run as serving_run
from tests.calibration.sources.test_timm import row as timm_row
from tests.calibration.sources.test_vidur import mlp
from tests.graphs import diffusion_configs, gguf_writer, safetensors_writer
from tests.sweeping.specs import SERVING

ROOT = Path(__file__).resolve().parents[2]
Row = Mapping[str, Any]


def shipped(pattern: str, most: int = 40) -> tuple[bytes, ...]:
    """Files of the repository, evenly chosen."""
    found = sorted(path for path in ROOT.glob(pattern) if path.is_file())
    return tuple(path.read_bytes() for path in found[:: -(-len(found) // most) or 1])


@cache
def specs(pattern: str) -> tuple[tuple[bytes, ...], tuple[Any, ...]]:
    """YAML files as text and as data."""
    texts = shipped(pattern)
    return texts, tuple(yaml.safe_load(text) for text in texts)


@cache
def parsed(texts: tuple[bytes, ...]) -> tuple[Any, ...]:
    """YAML texts as data."""
    return tuple(yaml.safe_load(text) for text in texts)


@cache
def coefficients(pattern: str) -> tuple[Any, ...]:
    """Files of coefficients, each with two of its scopes, which are alike."""
    trees = [json.loads(text) for text in shipped(pattern)]
    return tuple(
        tree | {"scopes": dict(list(tree["scopes"].items())[:2])} if "scopes" in tree else tree for tree in trees
    )


@cache
def configs() -> tuple[dict[str, Any], ...]:
    """The configs of all models of the catalog, with fewer layers each where that is one number."""
    return tuple(data["config"] for data in specs("model_specs/*.yaml")[1] + _all_specs() if "config" in data)


def _all_specs() -> tuple[Any, ...]:
    return tuple(yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("model_specs/*.yaml"))[::2])


@cache
def pipelines() -> tuple[dict[str, dict[str, Any]], ...]:
    """Files of diffusers folders: {name: content}."""
    found = []
    for pipeline in (diffusion_configs.SMALL_SD, diffusion_configs.SMALL_FLUX_PIPELINE):
        index = {"_class_name": pipeline["_class_name"], "_diffusers_version": "0.30.0"}
        files: dict[str, dict[str, Any]] = {}
        for part, config in pipeline.items():
            if isinstance(config, dict):
                name = config.get("_class_name") or config["architectures"][0]
                index[part] = ["diffusers", name]
                files[f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json"] = config
        found.append({"model_index.json": index, **files})
    return tuple(found)


SMALL = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 2048,
         "tie_word_embeddings": False}  # fmt: skip


@cache
def gguf_files() -> tuple[bytes, ...]:
    types = (gguf_writer.all_in(gguf_writer.Q8_0), gguf_writer.q4_k_m(2), gguf_writer.all_in(gguf_writer.F16))
    metadata = gguf_writer.metadata_of("llama", SMALL)
    return tuple(gguf_writer.gguf_bytes(metadata, gguf_writer.llama_tensors(SMALL, own)) for own in types)


GGUF_METADATA = gguf_writer.metadata_of("llama", SMALL)


def gguf_of(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> bytes:
    """A file whose metadata and tensors need not agree; what cannot be written at all is left out."""
    sound = {}
    for key, value in metadata.items():
        try:
            gguf_writer.value(value)
            sound[key.encode("utf-8", "replace").decode()] = value
        except (struct.error, OverflowError, TypeError, IndexError, UnicodeEncodeError, AttributeError, KeyError):
            continue
    return gguf_writer.gguf_bytes(sound, gguf_writer.llama_tensors(config, gguf_writer.all_in(gguf_writer.F16)))


@cache
def safetensors_headers() -> tuple[Any, ...]:
    shapes = safetensors_writer.llama_shapes(SMALL)
    content = safetensors_writer.safetensors_bytes(shapes)
    return (json.loads(content[8:]),)


@cache
def tables() -> tuple[tuple[Row, ...], ...]:
    """A few rows of every kind of table that is imported."""
    prediction = [line.split(",") for line in (ROOT / "docs/examples/predictions.csv").read_text().splitlines()]
    runs = [line.split(",") for line in (ROOT / "docs/examples/my-runs.csv").read_text().splitlines()]
    return (
        (gemm_row(), gemm_row(m=64, gemm_dtype="fp8")),
        (attention_row(), attention_row(batch_size=1)),
        (mla_row(), mla_row(isl=64, step=0)),
        (moe_row(), moe_row(num_tokens=1)),
        (collective_row(), collective_row(op_name="all_reduce")),
        (COMMON | {"allreduce_dtype": "half", "num_gpus": 8, "message_size": 1024},),
        (linear_row(), linear_row(OPName="bmm"), linear_row(OPName="softmax"), linear_row(OPName="conv2d")),
        (label(), label(seqlen=128, batch=1)),
        (traced(), traced(op_name="softmax", fw_ops="[['VEC', ()]]")),
        (timm_row(), timm_row(model="vit_base_patch16_224")),
        (mlp(), mlp(num_tokens=128)),
        (serving_run(), serving_run(concurrency=4)),
        (figure(), figure(batch=4)),
        (table_row(), table_row(m=16), table_row(precision="fp8")),
        tuple(dict(zip(prediction[0], row, strict=True)) for row in prediction[1:5]),
        tuple(dict(zip(runs[0], row, strict=True)) for row in runs[1:]),
    )


ACCURACIES: tuple[Row, ...] = tuple(
    {"model": name, "top1": share, "img_size": 224}
    for name, share in (("resnet18", 70.1), ("resnet50", 79.2), ("vit_base_patch16_224", 83), ("my_own_net", 82))
)
RESULTS: tuple[Row, ...] = tuple(
    {"hardware": chip, "tp": tp, "ttft_s": 0.1 * tp, "cost": 2.5, "fits": True, "note": None if tp > 1 else "x"}
    for chip in ("l4", "h100-sxm")
    for tp in (1, 2, 4)
)
REPORTS: tuple[dict[str, Any], ...] = (VLLM, SGLANG, LLMPERF, AIPERF, GUIDELLM)
TRACES = (
    b"arrival,input_tokens,output_tokens\n0,128,32\n0.5,256,16\n1.25,64,8\n",
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.99,396,109\n",
    b"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n",
    b'{"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1]}\n'
    b'{"timestamp": 27, "input_length": 7319, "output_length": 490, "hash_ids": [0]}\n',
)
PRICES: tuple[bytes, ...] = (
    b"date: 2026-05\nsource: an offer\nprices:\n  h100-sxm: {usd_per_hour: 2.5}\n  l4: {usd_per_hour: 0.7}\n",
    b"date: 2026-05-01\nsource: bought\npue: 1.3\nusd_per_kwh: 0.2\nprices:\n"
    b"  a100-sxm-80gb: {purchase_usd: 15000, years: 4}\n",
)
PRICE_TABLES: tuple[bytes, ...] = (
    b"hardware,usd_per_hour,date,source\nh100-sxm,2.5,2026-05,an offer\nl4,0.7,2026-05,an offer\n",
)
SWEEPS: tuple[dict[str, Any], ...] = (
    SERVING,
    {"kind": "predict", "grid": {"model": ["resnet-50", "llama-3.1-8b"], "hardware": ["l4"], "batch": [1, 8]}},
)
GRAPH = b"""\
name: mlp
precision: bf16
symbols: [batch]
tensors:
  x: {shape: [batch, 256], dtype: bf16, kind: input}
  w1: {shape: [1024, 256], dtype: bf16, kind: weight}
  h: {shape: ["batch", "2*512"], dtype: bf16}
  a: {shape: [batch, 1024], dtype: bf16}
  w2: {shape: [256, 1024], dtype: bf16, kind: weight}
  y: {shape: [batch, 256], dtype: bf16}
ops:
  - {name: up, kind: linear, inputs: [x, w1], outputs: [h]}
  - {name: act, kind: elementwise, inputs: [h], outputs: [a], attributes: {function: gelu}}
  - {name: down, kind: linear, inputs: [a, w2], outputs: [y], repeat: 3}
"""


@cache
def graphs() -> tuple[bytes, ...]:
    """Graph files: one by hand, and small models of the catalog as they are written."""
    from perfmodel.graphs.graph_text import dump_graph
    from perfmodel.graphs.huggingface import load_config

    encoder = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
               "intermediate_size": 128, "vocab_size": 100, "max_position_embeddings": 64}  # fmt: skip
    models = [load_config(config, name="small", source="small.json") for config in (SMALL, encoder)]
    return (GRAPH, *(dump_graph(model).encode() for model in models))


ONNX_TEXTS = (
    "g (float[n, 8] x, float[8, 16] w, float[16] b) => (float[n, 16] y) { t = MatMul(x, w) u = Add(t, b) y = Relu(u) }",
    """g (float[n, 3, 32, 32] x, float[8, 3, 3, 3] w) => (float[n, 8] y) {
        c = Conv<kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]>(x, w) r = Relu(c)
        p = GlobalAveragePool(r) y = Flatten(p) }""",
    """g (float[b, s, 64] x, float[64, 64] w) => (float[b, s, 64] y) {
        q = MatMul(x, w) k = MatMul(x, w) kt = Transpose<perm=[0, 2, 1]>(k) a = MatMul(q, kt)
        m = Softmax<axis=-1>(a) o = MatMul(m, q) y = Add(o, x) }""",
    """g (float[n, 4, 6] x) => (float[n, r] y)
        <int64[2] shape = {0, -1}, int64[1] one = {1}, int64[1] start = {0}, int64[1] end = {3}> {
        s = Slice(x, start, end, one) z = Reshape(s, shape) t = Shape(z) c = ConstantOfShape(t) y = Add(z, c) }""",
    """g (int64[n, s] ids, float[100, 32] table) => (float[n, s, 32] y)
        <int64[1] k = {2}, int64[1] axis = {1}> {
        e = Gather(table, ids) u = Unsqueeze(e, axis) q = Squeeze(u, axis) y = Identity(q) }""",
)


@cache
def onnx_files() -> tuple[bytes, ...]:
    """Small models of onnx's text syntax, one with weights in a file that is not there."""
    import onnx.parser

    from tests.graphs.onnx_examples import HEAD

    found = [onnx.parser.parse_model(HEAD.format(opset=18) + text) for text in ONNX_TEXTS]
    outside = onnx.parser.parse_model(HEAD.format(opset=18) + ONNX_TEXTS[0].replace(", float[8, 16] w", ""))
    tensor = outside.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "w", onnx.TensorProto.FLOAT, onnx.TensorProto.EXTERNAL
    tensor.dims.extend((8, 16))
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return tuple(model.SerializeToString() for model in (*found, outside))


TORCH_FILES = ("missing.py:make", "file.py", "file.py:", ":make", "", "file.py:make:layers=2", "a/b.py:f", "\0.py:f")
TIMM_NAMES = ("resnet50", "vit_base_patch16_224", "convnext_tiny", "resnet50.a1_in1k", "efficientnet_b0", "")
BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("predict", {"model": ["resnet-50"], "hardware": ["l4"], "precision": ["fp16"], "batch": [1, 2], "tp": [1]}),
    ("predict", {"model": ["llama-3.1-8b:layers=2"], "hardware": ["h100-sxm"], "input_tokens": [128],
                 "output_tokens": [8], "level": 0.9, "max_batch": True}),
    ("explain", {"model": "bert-base", "hardware": "t4", "batch": 8, "symbolic": True, "runtime": "eager"}),
    ("scale", {"model": ["resnet-18", "resnet-50"], "hardware": ["l4"], "phase": ["forward"]}),
    ("serving", {"model": "llama-3.1-8b", "hardware": "h100-sxm", "engine": "vllm", "concurrency": 8.0, "points": 4,
                 "input_tokens": 128, "output_tokens": 32, "over": "concurrency", "slo_ttft": 1.0}),
    ("plan", {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm"], "rate": 2.0, "input_tokens": 128,
              "output_tokens": 32, "ttft": 1.0, "tpot": 0.05, "tp": [1]}),
    ("simulate", {"model": "llama-3.1-8b", "hardware": "h100-sxm", "rate": 2.0, "requests": 20, "input_tokens": 64,
                  "output_tokens": 8, "seed": 1}),
    ("models/config", {"config": SMALL, "name": "mine"}),
)  # fmt: skip
COMMANDS: tuple[str, ...] = (
    "predict resnet-50 --hardware l4 --precision fp16,fp32 --batch 1,2 --json",
    "predict llama-3.1-8b:layers=2 --hardware h100-sxm --input-tokens 128 --output-tokens 8 --tp 1,2 --csv",
    "predict llama-3.1-8b --hardware h100-sxm --engine vllm --concurrency 4 --input-tokens 128 --output-tokens 16",
    "explain bert-base --hardware t4 --batch 8 --runtime eager --symbolic",
    "scale resnet-18,resnet-50 --hardware l4 --phase forward",
    "compress resnet-50 --hardware l4",
    "tradeoff --hardware l4 accuracies.csv",
    'results results.csv --where "tp in (1, 2) and ttft_s < 2" --sort ttft_s:max --top 3 --json',
    "results results.csv --pareto ttft_s:min,cost:min --csv",
    "simulate llama-3.1-8b --hardware h100-sxm --rate 2 --requests 20 --input-tokens 64 --output-tokens 8 --seed 1",
    "simulate llama-3.1-8b --hardware h100-sxm --trace trace.csv",
    "plan llama-3.1-8b --hardware h100-sxm --rate 2 --input-tokens 128 --output-tokens 32 --ttft 1 --tpot 0.05 --tp 1",
    "sweep sweep.yaml --out out.csv",
    "validate table.csv --level 0.9 --by hardware --json",
    "hardware list --kind gpu --json",
    "hardware show l4 --json",
    "hardware check chip.yaml",
    "models list --json",
    "models show resnet-50",
    "engines show vllm",
    "--version",
)
