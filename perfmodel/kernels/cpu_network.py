"""Times of whole networks on a CPU: one form, coefficients by class of op, memory by how far back a byte was touched.

    t = ((κ_c·Tc)^p + ((1 + e_c)·Tm)^p)^(1/p) + w_c·Tw + φ_fresh·Tf + n·s_c,   κ_c = (1 + k_c^8)^(1/8)

    Tc   FLOPs/peak of contractions (depthwise and grouped convolutions run on the vector unit in fp32);
         of all else max(FLOPs, 2·words of 4 bytes written)/fp32 vector peak
    Tm   (1 + f)·(bytes of memory + φ_last·bytes of the last cache + φ_inner·bytes of inner caches)/bandwidth
    Tw   bytes of weights that a kernel copies into a layout of its own, at every call that multiplies more than a row
    Tf   bytes of outputs of FRESH_BYTES and more: the allocator returns them to the system, and each use faults again
    n    kernels, each with the start s_c that its class takes on the host; views take theirs in eager code, and every
         step of a recurrent layer, which reads its recurrent weights again

The bytes are split by reuse distance (reuse.py). e_c is at least 0 and κ_c at least 1, so that no time is below the
bytes that come from memory over its bandwidth, or below FLOPs/peak. All coefficients are fitted to programs and whole
models: ops by themselves run up to twice as fast as inside a network.

Evidence: unseen whole models on the machine where programs were measured, and timm's table of one CPU with model
families left out, where this form lowers the error from 12.0/15.2 to 10.4/13.5 % (median/MAPE) against one without
reuse, starts by class and work per element. Not kept, for they lowered no error left out: terms for shallow products
and few channels, padding of rows to vectors, copies of images into a kernel's layout, pollution by the op before.

May import: coefficients, device, framework_classes, roofline, reuse, types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.coefficients import Coefficient, Prior, prior
from perfmodel.kernels.device import Device, Rate
from perfmodel.kernels.framework_classes import COMPUTING, STREAMING, OpClass
from perfmodel.kernels.roofline import Array, KernelTime, Sensitivities
from perfmodel.reuse import held_shares
from perfmodel.types import Hardware, Op, OpCost

_SOURCE = "torch programs on an AMD EPYC (Zen 5), 2 cores"
SHARPNESS, WORD_BYTES = 8, 4
FRESH_BYTES = 32 << 20  # glibc maps and unmaps blocks that large (M_MMAP_THRESHOLD_MAX)
_TINY = 1e-15
VIEW, RECURRENT, MEAN_POOL = "view", "recurrent", "mean_pool"
# heavy functions by what a vector unit takes for them
TANH = {"tanh", "gelu_tanh", "gelu_tanh_mul", "general_pow", "sin", "cos", "log", "mish"}
EXPONENTIAL = {"silu", "silu_mul", "sigmoid", "exp", "softplus", "elu", "celu", "selu", "log_sigmoid"}
CHEAP = {"hardswish", "pow"}
CLASSES = (*STREAMING, "exponential", "tanh", MEAN_POOL, *COMPUTING, RECURRENT, VIEW)
_IN_FP32 = ("depthwise_3x3", "depthwise_5x5", "depthwise_large", "grouped")
# contractions whose kernels copy weights into a layout of their own at every call, unless it is one row against them
PACKING = ("linear", "convolution_3x3", "convolution", "pointwise_convolution", "grouped")
# k_c and s_c before any measurement; 2 and 4 µs where none is named
_SLOWDOWN = {
    "light": 9.0, "heavy": 18.0, "exponential": 23.0, "tanh": 29.0, "batch_norm": 12.0, "row_norm": 7.0,
    "softmax": 29.0, "pool": 1000.0, MEAN_POOL: 10.0, "reduce": 15.0, "copy": 15.0, "cast": 10.0, "weight_cast": 10.0,
    "gather": 15.0, "resize": 40.0, "depthwise_3x3": 10.0, "depthwise_5x5": 10.0, "depthwise_large": 10.0,
    "grouped": 10.0, "matmul": 4.0, "plain_attention": 4.0, RECURRENT: 3.5,
}  # fmt: skip
_SLOWDOWN_SD = 0.8
_ASSUMED = "assumed: three quarters of the bandwidth, within a factor of 2.7 of what is lost"
_STARTS = {
    "convolution_3x3": 10e-6, "convolution": 10e-6, "pointwise_convolution": 10e-6, "grouped": 10e-6, "stem": 10e-6,
    "depthwise_3x3": 10e-6, "depthwise_5x5": 10e-6, "depthwise_large": 10e-6, RECURRENT: 10e-6, VIEW: 2e-6,
}  # fmt: skip


def _slowdown(name: str) -> Prior:
    return prior(
        f"cpu.{name}.slowdown", _SLOWDOWN.get(name, 2.0), _SLOWDOWN_SD, source=_SOURCE,
        meaning="time over that of the FLOPs at the peak",
    )  # fmt: skip


def _excess(name: str) -> Prior:
    return prior(
        f"cpu.{name}.excess",
        2.0 if name == RECURRENT else 0.3,
        1.0,
        meaning="time over that of moving the bytes once, beyond 1",
        source=_SOURCE if name == RECURRENT else _ASSUMED,
    )


def _start(name: str) -> Prior:
    return prior(
        f"cpu.{name}.start_seconds", _STARTS.get(name, 4e-6), 0.8, meaning="start of one kernel, on the host",
        source=_SOURCE,
    )  # fmt: skip


SLOWDOWN = {name: _slowdown(name) for name in CLASSES if name != VIEW}
EXCESS = {name: _excess(name) for name in CLASSES if name != VIEW}
START = {name: _start(name) for name in CLASSES}
OVERLAP = prior("cpu.overlap", 3.0, 1.0, meaning="p - 1 of the norm over compute and memory time", source=_SOURCE)
MEMORY = prior(
    "cpu.memory.excess", 0.3, 1.0, meaning="time of a byte from memory over that at the bandwidth, beyond 1",
    source=_ASSUMED,
)  # fmt: skip
LAST_CACHE = prior(
    "cpu.last_cache", 0.45, 0.3, meaning="time of a byte from the last cache over one from memory", source=_SOURCE
)
INNER_CACHE = prior(
    "cpu.inner_cache", 0.15, 0.3, meaning="time of a byte from inner caches over one from memory", source=_SOURCE
)
PACKED = {
    name: prior(
        f"cpu.{name}.packing", 2.0, 1.0, meaning="copying weights into a kernel's layout, over moving them once",
        source=_SOURCE,
    )
    for name in PACKING
}  # fmt: skip
FRESH = prior(
    "cpu.fresh_memory", 20.0, 0.7, meaning="page faults of a byte that the system hands out anew, over its time at the"
    " bandwidth", source=_SOURCE,
)  # fmt: skip
FITTED = (
    *PACKED.values(),
    *EXCESS.values(),
    *SLOWDOWN.values(),
    *START.values(),
    OVERLAP,
    MEMORY,
    LAST_CACHE,
    INNER_CACHE,
    FRESH,
)


@dataclass(frozen=True, slots=True)
class CpuParts:
    """What the times of a group of ops are made of, without coefficients.

    Args:
        classes: places in `CLASSES`, (ops,). All else (ops, configurations).
        compute_seconds: at the peak. memory_seconds, last_seconds, inner_seconds: bytes from memory, the last cache and
            inner ones over the memory bandwidth. fresh_seconds, packed_seconds: likewise, of large outputs, and of
            weights that are packed. kernels: how many start.
    """

    classes: np.ndarray[Any, np.dtype[np.int64]]
    compute_seconds: Array
    memory_seconds: Array
    last_seconds: Array
    inner_seconds: Array
    fresh_seconds: Array
    packed_seconds: Array
    kernels: Array


def cpu_class(op: Op, own: OpClass) -> str:
    """The class of an op among `CLASSES`.

    Args:
        own: its class as a kernel of a framework.
    """
    if op.kind in (VIEW, RECURRENT):
        return op.kind
    if op.kind == "pool" and op.attributes.get("function") != "max":
        return MEAN_POOL
    if own.compute or own.memory != "heavy":
        return own.compute or own.memory
    functions = {str(name) for name in op.attributes.get("functions", (op.attributes.get("function", ""),))}
    if functions & TANH:
        return "tanh"
    return "exponential" if functions & EXPONENTIAL else "light" if functions <= CHEAP else "heavy"


def cache_sizes(hardware: Hardware) -> tuple[float, ...]:
    """Bytes that stay on chip: in inner caches, and in all together, for outer caches mostly hold what inner ones
    dropped (AMD; Intel since Skylake-SP); () if the profile names no cache."""
    inner = hardware.figures.get("caches.l2")
    if inner and "caches.llc" in hardware.figures:
        return inner.value, inner.value + hardware.l2_bytes
    return (hardware.l2_bytes,) if hardware.l2_bytes else ()


def cpu_parts(
    classes: Sequence[OpClass], ops: Sequence[Op], sizes: Mapping[str, Any], cost: OpCost, device: Device,
    rate: Rate | None, cached: Sequence[Array],
) -> CpuParts:  # fmt: skip
    """The parts of a group of ops.

    Args:
        classes, ops: one per row. sizes, cost: theirs, arrays (ops, configurations).
        rate: peak of the dtype they compute in; None for ops that do not contract.
        cached: shares of their bytes that each of `cache_sizes` holds, (ops, configurations).
    """
    names = [cpu_class(op, own) for op, own in zip(ops, classes, strict=True)]
    zero = np.zeros((len(ops), 1))
    bandwidth = device.hardware.memory_bandwidth_bytes_per_second
    moved = np.asarray(cost.bytes, dtype=float) / bandwidth + zero
    written = np.asarray(cost.write_bytes, dtype=float)
    last = cached[-1] if cached else 0.0
    inner = cached[0] if len(cached) > 1 else 0.0
    vector = device.vector_flops_per_second
    if rate is None:
        flops = np.maximum(np.asarray(cost.vector_flops, dtype=float), 2 * written / WORD_BYTES)
        compute = flops / vector + zero
    else:
        peaks = [min(vector, rate.flops_per_second) if name in _IN_FP32 else rate.flops_per_second for name in names]
        compute = np.asarray(cost.matrix_flops, dtype=float) / np.array(peaks)[:, None] + zero
    rows = _rows_per_weight(ops[0].kind, sizes)
    packs = np.array([[float(name in PACKING)] for name in names]) * (rows > 1)
    kernels = np.asarray(cost.launches, dtype=float) + zero
    inner_moved, last_moved, far_moved = moved * inner, moved * last, moved * (1 - inner - last)
    if ops[0].kind == RECURRENT:
        kernels = np.asarray(sizes["t"] * sizes["l"] * sizes["r"], dtype=float) + zero
        again, shares = _read_again(sizes, cost, cache_sizes(device.hardware))
        far_moved = far_moved + again / bandwidth * (1 - sum(shares))
        last_moved = last_moved + again / bandwidth * (shares[-1] if shares else 0.0)
        inner_moved = inner_moved + again / bandwidth * (shares[0] if len(shares) > 1 else 0.0)
    eager = device.runtime == "eager"
    views = np.array([[float(name == VIEW)] for name in names]) * (1.0 if eager else 0.0)
    return CpuParts(
        classes=np.array([CLASSES.index(name) for name in names]),
        compute_seconds=compute,
        memory_seconds=far_moved,
        last_seconds=last_moved,
        inner_seconds=inner_moved,
        fresh_seconds=np.where(written >= FRESH_BYTES, written / bandwidth, 0.0) + zero,
        packed_seconds=packs * np.asarray(cost.weight_bytes, dtype=float) / bandwidth + zero,
        kernels=np.maximum(kernels if eager else np.minimum(kernels, 1), views),
    )


def _rows_per_weight(kind: str, sizes: Mapping[str, Any]) -> Any:
    """Rows that a weight is multiplied by: of a product, or the mean of an expert; any number above 1 for others."""
    if kind == "linear":
        return np.asarray(sizes["m"], dtype=float)
    return np.asarray(sizes["t"] * sizes["k"] / sizes["e"], dtype=float) if kind == "experts" else 2.0


def _read_again(sizes: Mapping[str, Any], cost: OpCost, caches: Sequence[float]) -> tuple[Array, list[Array]]:
    """(bytes of recurrent weights that steps after the first read again, shares of them that each cache holds).

    Of a layer's weights H/(D + H) are recurrent; nothing but they lies between two steps.
    """
    h, layers = sizes["h"], sizes["l"] * sizes["r"]
    rows = sizes["r"] * (sizes["d"] + h + (sizes["l"] - 1) * (sizes["r"] * h + h))  # of all weights, each Q·H long
    each = np.asarray(cost.weight_bytes, dtype=float) * h / rows
    return each * layers * np.maximum(np.asarray(sizes["t"], dtype=float) - 1, 0), held_shares(each, caches)


def time_cpu(parts: CpuParts, device: Device) -> KernelTime:
    """The times of a group of ops from their parts."""
    places = dict.fromkeys(parts.classes.tolist())
    names = {place: CLASSES[place] for place in places}

    def of_class(table: Mapping[str, Prior]) -> Array:
        values = np.zeros(len(CLASSES))
        for place, name in names.items():
            values[place] = device[table[name]].value if name in table else 0.0
        return np.asarray(values[parts.classes][:, None])

    excess, start, ratio = of_class(EXCESS), of_class(START), of_class(SLOWDOWN) ** SHARPNESS
    last, inner, overlap, far = (device[own] for own in (LAST_CACHE, INNER_CACHE, OVERLAP, MEMORY))
    from_caches = last.value * parts.last_seconds + inner.value * parts.inner_seconds
    moved = (1 + far.value) * (parts.memory_seconds + from_caches)
    compute, memory = (1 + ratio) ** (1 / SHARPNESS) * parts.compute_seconds, (1 + excess) * moved
    p = 1 + overlap.value
    larger = np.maximum(np.maximum(compute, memory), _TINY)
    compute_power, memory_power = (compute / larger) ** p, (memory / larger) ** p
    total = np.maximum(compute_power + memory_power, _TINY)
    scale = larger * total ** (1 / p - 1)
    compute_part, memory_part = compute_power * scale, memory_power * scale
    fresh = device[FRESH]
    faults = fresh.value * parts.fresh_seconds
    packing = of_class(PACKED) * parts.packed_seconds
    starts = start * parts.kernels

    def derive() -> Sensitivities:
        logs = sum(power * np.log(np.maximum(power, _TINY)) for power in (compute_power, memory_power))
        bend = larger * total ** (1 / p) / p**2 * (logs / total - np.log(total)) * overlap.value
        bend = np.where(total > _TINY, bend, 0.0)  # ∂t/∂log(p - 1)
        from_memory = memory_part * (1 + far.value) / np.maximum(moved, _TINY)
        found: list[tuple[Coefficient, Array]] = [
            (overlap, bend),
            (far, memory_part * far.value / (1 + far.value)),
            (last, from_memory * last.value * parts.last_seconds),
            (inner, from_memory * inner.value * parts.inner_seconds),
            (fresh, faults),
        ]
        for place, name in names.items():
            own = (parts.classes == place)[:, None]
            found.append((device[START[name]], starts * own))
            if name in PACKED:
                found.append((device[PACKED[name]], packing * own))
            if name != VIEW:
                found.append((device[SLOWDOWN[name]], compute_part * own * ratio / (1 + ratio)))
                found.append((device[EXCESS[name]], memory_part * own * excess / (1 + excess)))
        return tuple(found)

    return KernelTime(compute_part, memory_part + faults + packing, starts, derive)
