"""The command that starts an engine as it was predicted: layout, precision, scheduler, memory.

    vLLM           vllm serve MODEL …                         docs.vllm.ai, engine arguments
    SGLang         python -m sglang.launch_server …           docs.sglang.io, server arguments
    TensorRT-LLM   trtllm-serve MODEL …                       nvidia.github.io/TensorRT-LLM, trtllm-serve
    llama.cpp      llama-server --model FILE.gguf …           tools/server/README.md

Flags are those documented in 2025 and 2026. What no flag can say (a checkpoint that must be quantised first, replicas
behind a router, other nodes of a pipeline) is said in notes. May import: layouts, precisions, types, serving engines.
To add an engine: a function that returns a `Launch`, and a line in `ENGINES`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perfmodel.layouts import Layout
from perfmodel.precisions import find_format, own_scheme
from perfmodel.serving.engines import EnginePolicy
from perfmodel.types import Model

DTYPES: Mapping[str, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_REPOSITORY = re.compile(r"huggingface\.co/([\w.-]+/[\w.-]+)")
_CONTEXT_STEP = 1024  # what longest contexts are rounded up to
_HANDED_OVER = 2048  # tokens that llama.cpp's scheduler takes at a time, its default


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start one replica.

    Args:
        command: for a shell; "" where the engine has no server that is started like this. notes: what it does not say.
    """

    command: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """What a command is written from; "" for what the checkpoint says itself."""

    weights: str
    policy: EnginePolicy
    layout: Layout
    dtype: str
    quantize: str
    cache: str
    context: int


def launch_of(
    model: Model,
    policy: EnginePolicy,
    layout: Layout,
    *,
    source: str,
    precision: str | None = None,
    context_tokens: float,
    replicas: int = 1,
) -> Launch:
    """The command of one replica.

    Args:
        source: what the model was asked for by, where its file names no repository. precision: None for the model's.
        context_tokens: of the longest request that is to be served.

    >>> from perfmodel import load_model
    >>> from perfmodel.serving.engines import load_engine
    >>> llama = load_model("llama-3.1-8b")
    >>> own = launch_of(llama, load_engine("llama-cpp"), Layout(), source="llama-3.1-8b", context_tokens=1200)
    >>> own.command.split()[:4]
    ['llama-server', '--model', 'Llama-3.1-8B.gguf', '--n-gpu-layers']
    """
    write = ENGINES.get(policy.id)
    if write is None:
        return Launch(command="", notes=(f"{policy.name} has no server with a command line of its own here",))
    wanted, stored = precision or model.precision, model.precision
    scheme = own_scheme(wanted)
    context = -(-int(context_tokens) // _CONTEXT_STEP) * _CONTEXT_STEP
    asked = _Server(
        weights=repository(model) or source,
        policy=policy,
        layout=layout,
        dtype=DTYPES.get(wanted, "") if wanted != stored else DTYPES.get(stored, ""),
        quantize=wanted if wanted != stored and wanted not in DTYPES else "",
        cache=scheme.cache if find_format(scheme.cache).bits < 16 else "",
        context=min(context, model.max_context) if model.max_context else context,
    )
    arguments, notes = write(asked)
    if replicas > 1:
        devices = f"{layout.devices} devices" if layout.devices > 1 else "a device"
        notes.append(f"{replicas} of these, each on {devices} of its own, behind a router that deals requests out")
    return Launch(command=shlex.join(arguments), notes=tuple(notes))


def repository(model: Model) -> str:
    """The model's repository on Hugging Face, as its source tells it; "" if it does not.

    >>> from perfmodel import load_model
    >>> repository(load_model("llama-3.1-70b"))
    'meta-llama/Llama-3.1-70B'
    """
    found = _REPOSITORY.search(model.source)
    return found[1] if found else ""


def _vllm(own: _Server) -> tuple[list[str], list[str]]:
    layout, policy = own.layout, own.policy
    notes = _checkpoint_notes(own, on_the_fly=("fp8",))
    if layout.pipeline > 1:
        notes.append(f"a stage lies on each of {layout.pipeline} nodes: join them to a Ray cluster first")
    return [
        "vllm", "serve", own.weights,
        *_degree("--tensor-parallel-size", layout.tensor),
        *_degree("--pipeline-parallel-size", layout.pipeline),
        *_degree("--data-parallel-size", layout.attention_data),
        *(["--enable-expert-parallel"] if layout.expert > 1 else []),
        *_named("--dtype", own.dtype),
        *_named("--quantization", "fp8" if own.quantize == "fp8" else ""),
        *_named("--kv-cache-dtype", "fp8" if own.cache.startswith("fp8") else ""),
        "--max-model-len", str(own.context),
        "--max-num-seqs", str(policy.max_sequences),
        "--max-num-batched-tokens", str(policy.chunk_tokens),
        "--gpu-memory-utilization", f"{policy.memory_utilisation:g}",
    ], notes  # fmt: skip


def _sglang(own: _Server) -> tuple[list[str], list[str]]:
    layout, policy = own.layout, own.policy
    notes = _checkpoint_notes(own, on_the_fly=("fp8",))
    nodes: list[str] = []
    if layout.pipeline > 1:
        nodes = ["--nnodes", str(layout.pipeline), "--node-rank", "0", "--dist-init-addr", "FIRST_NODE:50000"]
        notes.append(f"the same on each of {layout.pipeline} nodes, with --node-rank 0 to {layout.pipeline - 1}")
    return [
        "python", "-m", "sglang.launch_server", "--model-path", own.weights,
        *_degree("--tp-size", layout.ranks),
        *_degree("--pp-size", layout.pipeline),
        *([*_degree("--dp-size", layout.attention_data), "--enable-dp-attention"] if layout.attention_data > 1 else []),
        *_degree("--ep-size", layout.expert),
        *nodes,
        *_named("--dtype", own.dtype),
        *_named("--quantization", "fp8" if own.quantize == "fp8" else ""),
        *_named("--kv-cache-dtype", "fp8_e4m3" if own.cache.startswith("fp8") else ""),
        "--context-length", str(own.context),
        "--max-running-requests", str(policy.max_sequences),
        "--chunked-prefill-size", str(policy.chunk_tokens or -1),
        "--mem-fraction-static", f"{policy.memory_utilisation:g}",
        *(["--enable-mixed-chunk"] if policy.mixed else []),
    ], notes  # fmt: skip


def _trtllm(own: _Server) -> tuple[list[str], list[str]]:
    layout, policy = own.layout, own.policy
    notes = _checkpoint_notes(own, on_the_fly=())
    extra = []
    if layout.attention_data > 1:
        extra.append("enable_attention_dp: true")
    if own.cache.startswith("fp8"):
        extra.append("kv_cache_config: {dtype: fp8}")
    if extra:
        notes.append(f"options.yaml holds: {'; '.join(extra)}")
    if layout.pipeline > 1:
        notes.append(
            f"over {layout.pipeline} nodes it is started by mpirun or srun with trtllm-llmapi-launch before it"
        )
    return [
        "trtllm-serve", own.weights, "--backend", "pytorch",
        *_degree("--tp_size", layout.ranks),
        *_degree("--pp_size", layout.pipeline),
        *_degree("--ep_size", layout.expert),
        "--max_seq_len", str(own.context),
        "--max_batch_size", str(policy.max_sequences),
        "--max_num_tokens", str(policy.chunk_tokens),
        "--kv_cache_free_gpu_memory_fraction", f"{policy.memory_utilisation:g}",
        *(["--enable_chunked_prefill"] if policy.mixed else []),
        *(["--extra_llm_api_options", "options.yaml"] if extra else []),
    ], notes  # fmt: skip


def _llama_cpp(own: _Server) -> tuple[list[str], list[str]]:
    layout, policy = own.layout, own.policy
    name = own.weights.rpartition("/")[2]
    file = name if name.endswith(".gguf") else f"{name}.gguf"
    precision = own.quantize or own.dtype or "its own precision"
    split = ["--split-mode", "row"] if layout.tensor > 1 else []
    cache = {"fp8": "q8_0", "int8": "q8_0"}.get(own.cache, "")
    return [
        "llama-server", "--model", file, "--n-gpu-layers", "all", *split,
        "--parallel", str(policy.max_sequences),
        "--ctx-size", str(own.context * policy.max_sequences),
        "--batch-size", str(max(_HANDED_OVER, policy.chunk_tokens)),
        "--ubatch-size", str(policy.chunk_tokens),
        *_named("--cache-type-k", cache), *_named("--cache-type-v", cache),
    ], [f"{file} is the model converted to GGUF, in {precision}"]  # fmt: skip


def _checkpoint_notes(own: _Server, *, on_the_fly: tuple[str, ...]) -> list[str]:
    """What an engine does not quantise as it loads has to be quantised before."""
    if not own.quantize or own.quantize in on_the_fly:
        return []
    return [f"{own.weights} stands for a checkpoint that is quantised to {own.quantize}: name yours in its place"]


def _degree(flag: str, degree: int) -> list[str]:
    return [flag, str(degree)] if degree > 1 else []


def _named(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []


ENGINES: Mapping[str, Callable[[_Server], tuple[list[str], list[str]]]] = {
    "vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "llama-cpp": _llama_cpp,
}  # fmt: skip
