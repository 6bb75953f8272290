"""Random chips, graphs, models, layouts and sizes for the laws; what is drawn could exist.

chips()  graphs()  decoders()  layouts()  sizes()   -> strategies
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from builders import (
    attention,
    cache,
    convolution,
    experts,
    op,
    recurrent,
    selective_scan,
    state_space_scan,
    streaming,
    w,
    x,
    y,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from perfmodel.coefficient_files import scopes_for
from perfmodel.errors import UnsupportedError
from perfmodel.graphs.huggingface import load_config
from perfmodel.kernels import Device, fitted_device, resolve_runtime
from perfmodel.layouts import Layout
from perfmodel.predict import predict
from perfmodel.program import PhaseTimes, compile_graph, time_program
from perfmodel.types import Graph, Hardware, Model, Op, Prediction, Tensor

GIGA, TERA = 1e9, 1e12
ROUNDING = 1e-9  # relative, of sums of floats
SYMBOLS = ("batch", "tokens", "context")

# --------------------------------------------------------------------------------------------------- chips

# kind -> (vendor, family); families that were fitted and such that nobody measured
MAKERS = {
    "gpu": [("NVIDIA", "hopper"), ("NVIDIA", "ada"), ("NVIDIA", "blackwell"), ("NVIDIA", "next"), ("AMD", "cdna3"),
            ("Apple", "m3"), ("Intel", "xe"), ("Nobody", "first")],
    "cpu": [("Intel", "sapphire-rapids"), ("AMD", "zen5"), ("Nobody", "first")],
    "tpu": [("Google", "tpu")],
    "accelerator": [("Nobody", "first")],
}  # fmt: skip
FALLBACKS = {"fp64": "fp32", "fp4": "fp8", "int4": "int8", "fp8": "bf16", "int8": "bf16", "bf16": "fp32",
             "fp16": "fp32", "tf32": "fp32"}  # fmt: skip


@st.composite
def chips(draw: st.DrawFn, kinds: Sequence[str] = tuple(MAKERS)) -> Hardware:
    """A chip whose figures lie between those of a single-board computer and of what is some years ahead."""
    kind = draw(st.sampled_from(kinds))
    vendor, family = draw(st.sampled_from(MAKERS[kind]))
    wide = draw(st.floats(0.5 * TERA, 5000 * TERA))  # the 16-bit rate of the matrix unit
    peaks = {("vector", "fp32"): wide / draw(st.floats(1, 40)), ("matrix", "bf16"): wide, ("matrix", "fp16"): wide}
    native = ["fp32", "bf16", "fp16"]
    for dtype, factor in (("tf32", 0.5), ("fp8", 2.0), ("int8", 2.0), ("fp4", 4.0)):
        if draw(st.booleans()):
            peaks["matrix", dtype] = factor * wide
            native.append(dtype)
    node, linked = draw(st.sampled_from([1, 2, 8])), draw(st.booleans())
    return Hardware(
        id="any-chip", name="Any chip", vendor=vendor, kind=kind, family=family, peaks=peaks, native=tuple(native),
        fallbacks=FALLBACKS,
        memory_bytes=draw(st.floats(4 * GIGA, 400 * GIGA)),
        memory_bandwidth_bytes_per_second=draw(st.floats(0.02 * TERA, 20 * TERA)),
        l2_bytes=draw(st.sampled_from([0.0, 1e6, 50e6, 256e6])),
        cores=1 if kind == "tpu" else draw(st.integers(1, 300)),
        clock_hertz=draw(st.floats(0.8 * GIGA, 4 * GIGA)),
        power_watts=draw(st.sampled_from([0.0, 70.0, 350.0, 1200.0])),
        process_nm=draw(st.sampled_from([0.0, 3.0, 4.0, 7.0, 12.0])),
        link_name="AnyLink" if linked else "",
        link_bytes_per_second=draw(st.floats(20 * GIGA, 2000 * GIGA)) if linked else 0.0,
        domain_size=node, devices_per_node=node,
        pcie_bytes_per_second=draw(st.floats(8 * GIGA, 128 * GIGA)),
        inter_node_bytes_per_second=draw(st.floats(3 * GIGA, 100 * GIGA)),
        price_usd_per_hour=draw(st.sampled_from([0.0, 2.5])),
    )  # fmt: skip


# -------------------------------------------------------------------------------------------- graphs of ops

widths = st.integers(1, 6000)
dtypes = st.sampled_from(["bf16", "fp16", "fp32", "fp8", "int8"])
rows = st.sampled_from(["batch", "batch tokens", "batch 3"])
functions = st.sampled_from(["gelu", "silu", "add", "rope", "tanh", "cast"])


def _linear(n: int, k: int, lead: str, compute: str, weight: str, bias: bool) -> Graph:
    weights = [w("w", f"{n} {k}", weight), *([w("b", f"{n}")] if bias else [])]
    attributes = {"compute": compute, "quantize_input": compute in ("fp8", "int8")}
    return op("linear", [x("x", f"{lead} {k}"), *weights], [y("y", f"{lead} {n}")], attributes)


def _lookup(kind: str, width: int) -> Graph:
    index = x("i", "batch tokens", "int64")
    if kind == "embedding":
        return op(kind, [index, w("table", f"50000 {width}")], [y("y", f"batch tokens {width}")])
    source, index = x("x", f"batch context {width}"), x("i", "tokens", "int64")
    if kind == "gather":
        return op(kind, [source, index], [y("y", f"batch tokens {width}")])
    values = x("v", f"batch tokens {width}")
    return op(kind, [source, index, values], [y("y", f"batch context {width}")])


def _collective(operation: str, devices: int, width: int, per_node: int) -> Graph:
    attributes = {"operation": operation, "devices": devices, "devices_per_node": min(per_node, devices)}
    before, after = "batch", "batch"
    if operation == "all_gather":
        after = f"{devices}*batch"
    if operation == "reduce_scatter":
        before = f"{devices}*batch"
    return op("collective", [x("x", f"{before} {width}")], [y("y", f"{after} {width}")], attributes)


def _image(kind: str, channels: int, side: int) -> Graph:
    other, more = (side * 2, {"function": "bilinear"}) if kind == "resize" else (side, {"function": "max"})
    return op(kind, [x("x", f"batch {channels} {side} {side}")], [y("y", f"batch {channels} {other} {other}")], more)


def _index_scores(heads: int, causal: bool) -> Graph:
    inputs = [x("q", f"batch {heads}*tokens 128"), cache("k", "batch 1 context 128"), x("w", f"batch tokens {heads}")]
    return op("index_scores", inputs, [y("s", "batch 1 tokens context")], {"causal": causal})


def _delta_rule(heads: int, size: int) -> Graph:
    state = cache("state", f"batch {heads} {size} {size}")
    return op("gated_delta_rule", [x("qkv", f"batch {3 * heads * size} tokens"), state],
              [y("o", f"batch tokens {heads} {size}"), state])  # fmt: skip


def _causal_convolution(channels: int) -> Graph:
    past = cache("past", f"batch {channels} 3")
    inputs = [x("x", f"batch {channels} tokens"), w("w", f"{channels} 1 4"), past]
    return op("causal_convolution", inputs, [y("o", f"batch tokens {channels}"), past])


def _append(width: int) -> Graph:
    return op("cache_append", [y("new", f"batch 2 tokens {width}")], [cache("c", f"batch 2 context {width}")])


def _matmul(m: int, n: int, k: int) -> Graph:
    return op("matmul", [x("a", f"batch {m} {k}"), x("b", f"batch {k} {n}")], [y("c", f"batch {m} {n}")])


def _many(kind: str) -> Callable[[int], Graph]:
    return lambda width: op(kind, [x("x", f"batch tokens {width}")], [y("y", f"batch tokens {width}")])


_small = st.integers(1, 64)
OPS: dict[str, st.SearchStrategy[Graph]] = {
    "linear": st.builds(
        _linear, widths, widths, rows, st.sampled_from(["bf16", "fp16", "fp8", "int8", "fp32"]),
        st.sampled_from(["bf16", "fp8", "int8", "int4_g128", "nvfp4", "fp32"]), st.booleans(),
    ),
    "matmul": st.builds(_matmul, st.integers(1, 999), st.integers(1, 999), st.integers(1, 999)),
    "convolution": st.builds(
        lambda groups, channels, out, side, kernel: convolution(groups * channels, groups * out, side, kernel, groups),
        st.integers(1, 32), _small, _small, st.integers(1, 112), st.sampled_from([1, 3, 7]),
    ),
    "attention": st.builds(
        lambda kv, group, size, causal, window: attention(kv * group, kv, size, causal=causal, window=window),
        st.integers(1, 16), st.integers(1, 8), st.sampled_from([64, 80, 128]), st.booleans(),
        st.sampled_from([0, 0, 512]),
    ),
    "index_scores": st.builds(_index_scores, _small, st.booleans()),
    "gated_delta_rule": st.builds(_delta_rule, _small, st.sampled_from([64, 128])),
    "experts": st.builds(
        lambda k, more, hidden, width: experts(k + more, k, hidden, width),
        st.integers(1, 8), st.integers(0, 120), st.integers(32, 4096), st.integers(32, 2048),
    ),
    "selective_scan": st.builds(selective_scan, widths, st.sampled_from([16, 64])),
    "state_space_scan": st.builds(state_space_scan, _small, st.sampled_from([16, 128])),
    "causal_convolution": st.builds(_causal_convolution, widths),
    "recurrent": st.builds(recurrent, st.integers(1, 1500), st.integers(1, 3), st.sampled_from(["lstm", "gru"])),
    "collective": st.builds(
        _collective, st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"]),
        st.sampled_from([2, 4, 8, 16]), widths, st.sampled_from([1, 2, 8]),
    ),
    "pointwise": st.builds(lambda width, function: streaming("pointwise", width, function=function), widths, functions),
    "normalization": st.builds(
        lambda width, function: streaming("normalization", width, function=function), widths,
        st.sampled_from(["rms", "layer", "batch"]),
    ),
    "reduce": st.builds(
        lambda width: op("reduce", [x("x", f"batch {width}")], [y("y", "batch")], {"function": "mean"}), widths
    ),
    "topk": st.builds(
        lambda width: op("topk", [x("x", f"batch {width}")], [y("v", "batch 8"), y("i", "batch 8", "int64")],
                         {"count": 8, "function": "topk"}), st.integers(8, 6000),
    ),
    "view": st.builds(lambda width: op("view", [x("x", f"batch {width}")], [y("y", f"{width} batch")]), widths),
    **{kind: st.builds(_lookup, st.just(kind), widths) for kind in ("embedding", "gather", "scatter")},
    **{kind: st.builds(_image, st.just(kind), _small, _small) for kind in ("pool", "resize")},
    **{kind: st.builds(_many(kind), widths) for kind in ("softmax", "dropout", "copy", "scan", "aten.mystery")},
    "cache_append": st.builds(_append, widths),
}  # fmt: skip
UNMODELLED = ("aten.mystery",)


def joined(parts: Sequence[tuple[Graph, int]], name: str = "random") -> Graph:
    """One graph of graphs of one op, the ops of each `repeat` times in a block of their own."""
    tensors: dict[str, Tensor] = {}
    ops: list[Op] = []
    for place, (own, repeat) in enumerate(parts):
        names = {old: f"{place}.{old}" for old in own.tensors}
        tensors |= {names[old]: replace(tensor, name=names[old]) for old, tensor in own.tensors.items()}
        for each in own.ops:
            inputs, outputs = (tuple(names[old] for old in part) for part in (each.inputs, each.outputs))
            ops.append(replace(each, name=f"{place}.{each.name}", inputs=inputs, outputs=outputs, repeat=repeat))
    return Graph(name=name, ops=tuple(ops), tensors=tensors, symbols=SYMBOLS)


def graphs(kinds: Sequence[str] = tuple(OPS), most: int = 6) -> st.SearchStrategy[Graph]:
    """Some ops of the kinds, each repeated, over batch, tokens and context."""
    one = st.sampled_from(sorted(kinds)).flatmap(lambda kind: OPS[kind])
    return st.lists(st.tuples(one, st.integers(1, 60)), min_size=1, max_size=most).map(joined)


sizes = st.builds(
    lambda batch, tokens, more: {"batch": batch, "tokens": tokens, "context": tokens + more},
    st.integers(1, 600), st.integers(1, 5000), st.integers(0, 50_000),
)  # fmt: skip
runtimes = st.sampled_from(["eager", "compiled", "graphs"])


# ------------------------------------------------------------------------------------------------ decoders


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """The config.json of a decoder: dense, a mixture of experts, grouped heads, windows, latent attention."""
    kind = draw(st.sampled_from(["llama", "qwen2", "mistral", "gemma2", "mixtral", "qwen3_moe", "deepseek_v3"]))
    kv_heads = draw(st.sampled_from([1, 2, 4, 8]))
    heads = kv_heads * draw(st.sampled_from([1, 2, 4]))
    found: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": draw(st.integers(64, 4000)) * 32,
        "hidden_size": draw(st.integers(1, 64)) * 64,
        "intermediate_size": draw(st.integers(1, 128)) * 64,
        "num_hidden_layers": draw(st.integers(1, 48)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": draw(st.sampled_from([64, 128])),
        "tie_word_embeddings": draw(st.booleans()),
        "max_position_embeddings": 1 << 20,
    }
    if kind in ("mistral", "gemma2"):
        found["sliding_window"] = draw(st.sampled_from([128, 1024, 4096]))
    if kind in ("mixtral", "qwen3_moe", "deepseek_v3"):
        per_token = draw(st.sampled_from([1, 2, 4]))
        names = {"mixtral": "num_local_experts", "qwen3_moe": "num_experts", "deepseek_v3": "n_routed_experts"}
        found |= {names[kind]: draw(st.sampled_from([4, 8, 32])), "num_experts_per_tok": per_token}
    if kind == "qwen3_moe":
        found |= {"moe_intermediate_size": draw(st.integers(1, 32)) * 64, "norm_topk_prob": True,
                  "decoder_sparse_step": 1, "mlp_only_layers": []}  # fmt: skip
    if kind == "deepseek_v3":
        found.pop("head_dim")
        found |= {
            "num_key_value_heads": heads, "q_lora_rank": draw(st.sampled_from([0, 256])), "kv_lora_rank": 512,
            "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "moe_intermediate_size": draw(st.integers(1, 32)) * 64, "n_shared_experts": draw(st.integers(0, 2)),
            "first_k_dense_replace": draw(st.integers(0, 2)), "moe_layer_freq": 1, "n_group": 1, "topk_group": 1,
        }  # fmt: skip
    return found


def loaded(config: dict[str, Any]) -> Model:
    return load_config(config, name="random-decoder", source="random")


def decoders() -> st.SearchStrategy[Model]:
    return configs().map(loaded)


layouts = st.builds(
    lambda tensor, pipeline, data, share, sequence: Layout(
        tensor=tensor, pipeline=pipeline, attention_data=data,
        expert={0: 1, 1: max(tensor * data // 2, 1), 2: tensor * data}[share], sequence=sequence,
    ),
    st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 1, 2, 3]), st.sampled_from([1, 1, 2, 4]),
    st.sampled_from([0, 0, 1, 2]), st.booleans(),
)  # fmt: skip
precisions = st.sampled_from([None, "fp32", "tf32", "fp16", "fp8", "int8", "w8a16", "w4a16", "nvfp4", "mxfp4"])
caches = st.sampled_from([None, None, "fp8", "int8"])
workloads = st.fixed_dictionaries(
    {"batch": st.integers(1, 300), "input_tokens": st.integers(1, 5000), "output_tokens": st.integers(1, 1500)}
)


# ------------------------------------------------------------------------------------------------- answers


def examples(count: int) -> settings:
    """That many examples in the suite, and as many times more as the profile asks for more than the suite's 50.

    What fails is told as it was drawn: to look for a smaller model that fails too takes minutes.
    """
    times = settings().max_examples / 50  # `settings()` is the profile that is loaded
    return settings(
        max_examples=max(round(count * times), 1),
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def device_of(chip: Hardware, runtime: str) -> Device:
    """The chip with what was fitted of its family, in a runtime that it has."""
    return fitted_device(chip, resolve_runtime(chip, runtime)[0], scopes_for(chip))


def timed(of: Graph, chip: Hardware, runtime: str, values: dict[str, Any]) -> PhaseTimes:
    return time_program(compile_graph(of, device_of(chip, runtime)), values)


def answered(model: Model, chip: Hardware, work: dict[str, int], **more: Any) -> Prediction | None:
    """A prediction; None where the model cannot be spread like that."""
    try:
        return predict(model, chip, **work, **more)
    except UnsupportedError:
        return None
