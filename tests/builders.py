"""Small graphs and chips made by hand, for tests of every room.

op("linear", [x("x", "batch tokens 64"), w("w", "32 64")], [y("y", "batch tokens 32")])   -> a graph of one op
gpu(cores=4), cpu(), tpu()                                                                 -> a chip
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.kernels import Device
from perfmodel.program import PhaseTimes, Program, compile_graph, time_program
from perfmodel.sizes import parse_size, symbols_of
from perfmodel.types import Graph, Hardware, Op, Tensor
from perfmodel.uncertainty import phase_half_width

GIGA, TERA = 1e9, 1e12


def tensor(name: str, shape: str, kind: str, dtype: str = "bf16", copies: int = 1) -> Tensor:
    """A tensor whose shape is written as "batch tokens 64"."""
    dims = tuple(parse_size(dim) for dim in shape.split())
    return Tensor(name=name, shape=dims, dtype=dtype, kind=kind, copies=copies)  # type: ignore[arg-type]


def x(name: str, shape: str, dtype: str = "bf16") -> Tensor:
    """An input of the graph."""
    return tensor(name, shape, "input", dtype)


def w(name: str, shape: str, dtype: str = "bf16", copies: int = 1) -> Tensor:
    """A weight."""
    return tensor(name, shape, "weight", dtype, copies)


def y(name: str, shape: str, dtype: str = "bf16") -> Tensor:
    """An activation."""
    return tensor(name, shape, "activation", dtype)


def cache(name: str, shape: str, dtype: str = "bf16") -> Tensor:
    """A KV cache."""
    return tensor(name, shape, "cache", dtype)


def graph(tensors: Sequence[Tensor], *ops: Op, name: str = "test") -> Graph:
    """A graph over tensors, with the symbols their shapes use."""
    used = frozenset().union(*(symbols_of(dim) for own in tensors for dim in own.shape))
    symbols = tuple(symbol for symbol in ("batch", "tokens", "context") if symbol in used)
    return Graph(name=name, ops=ops, tensors={own.name: own for own in tensors}, symbols=symbols)


def op(
    kind: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    attributes: dict[str, Any] | None = None,
    **more: Any,
) -> Graph:
    """A graph of one op, called like its kind."""
    names = tuple(own.name for own in inputs), tuple(own.name for own in outputs)
    only = Op(name=kind, kind=kind, inputs=names[0], outputs=names[1], attributes=attributes or {}, **more)
    return graph([*inputs, *outputs], only)


def chain(*steps: tuple[str, str, str, str] | tuple[str, str, str, str, dict[str, Any]]) -> tuple[Op, ...]:
    """Ops from (name, kind, "inputs", "outputs"[, attributes])."""
    return tuple(
        Op(name=name, kind=kind, inputs=tuple(read.split()), outputs=tuple(written.split()), attributes=dict(*more))
        for name, kind, read, written, *more in steps
    )


def linear(n: int = 4096, k: int = 4096, dtype: str = "bf16", weight: str = "") -> Graph:
    """A linear layer of `batch` rows."""
    inputs = [x("x", f"batch {k}", dtype), w("w", f"{n} {k}", weight or dtype)]
    return op("linear", inputs, [y("y", f"batch {n}", dtype)], {"compute": dtype})


def attention(heads: int = 32, kv_heads: int = 8, head_size: int = 128, **attributes: Any) -> Graph:
    """Attention of `tokens` queries to a cache of `context` keys."""
    inputs = [
        x("query", f"batch {heads} tokens {head_size}"),
        cache("key", f"batch {kv_heads} context {head_size}"),
        cache("value", f"batch {kv_heads} context {head_size}"),
    ]
    return op("attention", inputs, [y("out", f"batch {heads} tokens {head_size}")], {"causal": True, **attributes})


def experts(count: int = 64, per_token: int = 8, hidden: int = 2048, width: int = 768) -> Graph:
    """A block of gated experts over `batch` rows."""
    weights = [w("up", f"{count} {2 * width} {hidden}"), w("down", f"{count} {hidden} {width}")]
    attributes = {"experts_per_token": per_token, "gated": True, "function": "silu"}
    return op("experts", [x("x", f"batch {hidden}"), *weights], [y("y", f"batch {hidden}")], attributes)


def convolution(channels: int = 64, out: int = 128, side: int = 28, kernel: int = 3, groups: int = 1) -> Graph:
    """A convolution that keeps the side length."""
    weight = w("w", f"{out} {channels // groups} {kernel} {kernel}")
    outputs = [y("y", f"batch {out} {side} {side}")]
    return op("convolution", [x("x", f"batch {channels} {side} {side}"), weight], outputs, {"groups": groups})


def recurrent(hidden: int = 256, layers: int = 1, cell: str = "lstm") -> Graph:
    """A recurrent layer that is as wide inside as outside."""
    gates = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}[cell]
    weights = [w(f"w{layer}", f"{gates * hidden} {2 * hidden}") for layer in range(layers)]
    attributes = {"cell": cell, "hidden": hidden, "layers": layers}
    shape = f"batch tokens {hidden}"
    return op("recurrent", [x("x", shape), *weights], [y("y", shape)], attributes)


def selective_scan(channels: int = 4096, states: int = 16) -> Graph:
    """A Mamba scan without gate."""
    state = cache("state", f"batch {channels} {states}")
    rows = f"batch tokens {channels}"
    inputs = [x("x", f"batch {channels} tokens"), x("steps", rows), w("rates", f"{channels} {states}"), state]
    return op("selective_scan", inputs, [y("out", rows), state])


def state_space_scan(heads: int = 64, chunk: int = 256) -> Graph:
    """A Mamba-2 scan of heads of 64 channels and 128 states, in one group."""
    state = cache("state", f"batch {heads} 64 128")
    inputs = [x("mixed", f"batch {heads * 64 + 256} tokens"), x("steps", f"batch tokens {heads}"), state]
    return op("state_space_scan", inputs, [y("out", f"batch tokens {heads * 64}"), state], {"chunk": chunk})


def streaming(kind: str = "pointwise", width: int = 4096, **attributes: Any) -> Graph:
    """An op that reads and writes `batch` rows."""
    return op(kind, [x("x", f"batch {width}")], [y("y", f"batch {width}")], attributes)


# ------------------------------------------------------------------------------------------------- chips

_GPU = Hardware(
    id="test-gpu",
    name="Test GPU",
    vendor="NVIDIA",
    kind="gpu",
    family="hopper",
    peaks={
        ("matrix", "bf16"): 1000 * TERA, ("matrix", "fp16"): 1000 * TERA, ("matrix", "tf32"): 500 * TERA,
        ("matrix", "fp8"): 2000 * TERA, ("matrix", "int8"): 2000 * TERA, ("vector", "fp32"): 60 * TERA,
    },
    native=("bf16", "fp16", "tf32", "fp8", "int8", "fp32"),
    fallbacks={"fp4": "bf16"},
    memory_bytes=80 * GIGA,
    memory_bandwidth_bytes_per_second=3 * TERA,
    l2_bytes=50e6,
    cores=128,
    core_kind="SM",
    clock_hertz=1.8 * GIGA,
    power_watts=700.0,
    process_nm=4.0,
    price_usd_per_hour=2.0,
)  # fmt: skip


def gpu(**changes: Any) -> Hardware:
    """A large GPU with round figures."""
    return replace(_GPU, **changes)


def cpu(**changes: Any) -> Hardware:
    """A server CPU with round figures."""
    peaks = {("matrix", "bf16"): 50 * TERA, ("vector", "fp32"): 6 * TERA}
    own = {"id": "test-cpu", "vendor": "Intel", "kind": "cpu", "family": "test", "peaks": peaks, "cores": 48}
    own |= {"memory_bandwidth_bytes_per_second": 0.3 * TERA, "l2_bytes": 100e6, "process_nm": 7.0}
    return replace(_GPU, **(own | changes))


def tpu(**changes: Any) -> Hardware:
    """A TPU with round figures."""
    peaks = {("matrix", "bf16"): 200 * TERA, ("matrix", "int8"): 400 * TERA}
    own = {"id": "test-tpu", "vendor": "Google", "kind": "tpu", "family": "test", "peaks": peaks, "cores": 1}
    own |= {"memory_bandwidth_bytes_per_second": 0.8 * TERA, "memory_bytes": 16 * GIGA, "process_nm": 0.0}
    return replace(_GPU, **(own | changes))


def times(of: Graph, hardware: Hardware, runtime: str = "graphs", **values: Any) -> PhaseTimes:
    """The times of a graph on a chip, for numbers or arrays."""
    return time_program(compile_graph(of, Device(hardware, runtime, {})), values)


def half_widths(of: Graph, hardware: Hardware, runtime: str = "graphs", **values: Any) -> Any:
    """Half-widths of the 80 % interval of a graph's time, in log."""
    program = compile_graph(of, Device(hardware, runtime, {}))
    return phase_half_width(program, time_program(program, values), 0.8)


def sensitivities(of: PhaseTimes, program: Program) -> dict[str, float]:
    """∂ device seconds / ∂ log(coefficient) at the first configuration, by the coefficient's name."""
    found: dict[str, float] = {}
    for group, kernel in zip(program.groups, of.kernels, strict=True):
        for coefficient, part in kernel.sensitivities:
            rows = (
                part if part.ndim == 2 and part.shape[0] == len(group.kinds) else part + np.zeros((len(group.kinds), 1))
            )
            found[coefficient.name] = found.get(coefficient.name, 0.0) + float(group.repeats @ rows[:, 0])
    return found


def seconds(of: Graph, hardware: Hardware, runtime: str = "graphs", **values: Any) -> float:
    """Device time of a graph for one configuration."""
    return float(times(of, hardware, runtime, **values).device_seconds[0])
