"""Commands that start engines: documented flags, the layout, and what has to be said beside them."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel import Layout, load_model
from perfmodel.serving.engines import load_engine
from perfmodel.serving.launch import ENGINES, Launch, launch_of, repository

# as the engines document them (docs.vllm.ai, docs.sglang.io, trtllm-serve, llama.cpp's tools/server/README.md)
DOCUMENTED = {
    "vllm": {
        "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--enable-expert-parallel",
        "--dtype", "--quantization", "--kv-cache-dtype", "--max-model-len", "--max-num-seqs",
        "--max-num-batched-tokens", "--gpu-memory-utilization",
    },
    "sglang": {
        "--model-path", "--tp-size", "--pp-size", "--dp-size", "--enable-dp-attention", "--ep-size", "--nnodes",
        "--node-rank", "--dist-init-addr", "--dtype", "--quantization", "--kv-cache-dtype", "--context-length",
        "--max-running-requests", "--chunked-prefill-size", "--mem-fraction-static", "--enable-mixed-chunk",
    },
    "trtllm": {
        "--backend", "--tp_size", "--pp_size", "--ep_size", "--max_seq_len", "--max_batch_size", "--max_num_tokens",
        "--kv_cache_free_gpu_memory_fraction", "--enable_chunked_prefill", "--extra_llm_api_options",
    },
    "llama-cpp": {
        "--model", "--n-gpu-layers", "--split-mode", "--parallel", "--ctx-size", "--batch-size", "--ubatch-size",
        "--cache-type-k", "--cache-type-v",
    },
}  # fmt: skip
LAYOUTS = (
    Layout(), Layout(tensor=4), Layout(tensor=8, pipeline=2), Layout(tensor=4, expert=4),
    Layout(attention_data=8, expert=8),
)  # fmt: skip


def started(engine: str, layout: Layout = LAYOUTS[0], **changes: Any) -> Launch:
    asked: dict[str, Any] = {"model": "llama-3.1-70b", "context_tokens": 2300} | changes
    name = asked.pop("model")
    return launch_of(load_model(name), load_engine(engine), layout, source=name, **asked)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("precision", [None, "fp8", "w4a16"])
def test_flags_are_documented(engine: str, layout: Layout, precision: str | None) -> None:
    command = started(engine, layout, precision=precision, model="mixtral-8x7b").command
    flags = {part for part in command.split() if part.startswith("--")}
    assert flags <= DOCUMENTED[engine]


@pytest.mark.parametrize(
    ("engine", "layout", "parts"),
    [
        ("vllm", Layout(tensor=4), "vllm serve meta-llama/Llama-3.1-70B --tensor-parallel-size 4 --dtype bfloat16"),
        ("vllm", Layout(tensor=8, pipeline=2), "--tensor-parallel-size 8 --pipeline-parallel-size 2"),
        ("vllm", Layout(attention_data=8, expert=8), "--data-parallel-size 8 --enable-expert-parallel"),
        ("sglang", Layout(tensor=2, attention_data=4, expert=8), "--tp-size 8 --dp-size 4 --enable-dp-attention"),
        ("sglang", Layout(tensor=8, pipeline=2), "--nnodes 2 --node-rank 0 --dist-init-addr FIRST_NODE:50000"),
        ("trtllm", Layout(tensor=4), "trtllm-serve meta-llama/Llama-3.1-70B --backend pytorch --tp_size 4"),
        ("trtllm", Layout(attention_data=4, expert=4), "--extra_llm_api_options options.yaml"),
        ("llama-cpp", Layout(tensor=2), "llama-server --model Llama-3.1-70B.gguf --n-gpu-layers all --split-mode row"),
        ("llama-cpp", Layout(), "--parallel 4 --ctx-size 12288"),  # four times the longest request, in whole thousands
    ],
)  # fmt: skip
def test_layouts_have_their_flags(engine: str, layout: Layout, parts: str) -> None:
    assert parts in started(engine, layout).command


def test_precision_is_a_flag_or_a_checkpoint() -> None:
    assert "--quantization fp8" in started("vllm", precision="fp8").command
    assert "--dtype" not in started("vllm", precision="fp8").command
    assert started("vllm", precision="fp8").notes == ()
    for engine in ("vllm", "sglang", "trtllm"):
        assert "quantised to w4a16" in started(engine, precision="w4a16").notes[0]
        assert "--quantization" not in started(engine, precision="w4a16").command
    assert "quantised to fp8" in started("trtllm", precision="fp8").notes[0]
    own = started("vllm", model="deepseek-v3")  # a checkpoint in fp8 as it is
    assert "--quantization" not in own.command
    assert own.notes == ()
    assert "in w4a16" in started("llama-cpp", precision="w4a16").notes[0]


def test_scheduler_and_memory_are_those_predicted() -> None:
    policy = load_engine("vllm")
    command = started("vllm").command
    assert f"--max-num-seqs {policy.max_sequences} --max-num-batched-tokens {policy.chunk_tokens}" in command
    assert command.endswith(f"--gpu-memory-utilization {policy.memory_utilisation:g}")
    assert "--max-model-len 3072" in command
    assert "--max-model-len 8192" in started("vllm", model="llama-3-8b", context_tokens=50_000).command


def test_what_no_flag_says() -> None:
    assert "3 of these, each on 4 devices of its own" in started("vllm", Layout(tensor=4), replicas=3).notes[-1]
    assert "Ray" in started("vllm", Layout(tensor=8, pipeline=2)).notes[0]
    other = started("mlc-llm")
    assert other.command == ""
    assert "no server" in other.notes[0]
    assert repository(load_model("gpt3-13b")) == ""
    assert "vllm serve gpt3-13b" in started("vllm", model="gpt3-13b").command
