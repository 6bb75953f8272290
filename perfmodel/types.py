"""The frozen values that flow through the building: data, `+`, `* n`, nothing else. All figures are SI.

A `Number` is an int or float, a numpy array (a sweep) or a sympy expression (a closed form): every cost formula
works on all three. May import: errors, layouts, notebooks, sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from perfmodel.errors import GraphError
from perfmodel.layouts import ONE_DEVICE, Layout
from perfmodel.notebooks import notebook_html
from perfmodel.sizes import Dim, bind, symbols_of

Number: TypeAlias = Any
TensorKind: TypeAlias = Literal["input", "weight", "activation", "cache"]
Unit: TypeAlias = Literal["matrix", "vector"]
Bound: TypeAlias = Literal["compute", "memory", "network", "overhead"]


# ---------------------------------------------------------------------------------------------- the model


# what a model's graphs may be called, those of a kind of model in the order in which they run
PHASES = ("encode_text", "denoise", "decode_image", "encode", "encode_image", "forward", "prefill", "decode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a graph.

    Args:
        shape: dimensions, ints or sizes; weights of linear layers are (..., out, in) as torch stores them.
        dtype: a storage format of `perfmodel.precisions` (bf16, fp8, int4_g128, ...).
        kind: input, weight (read once per step), activation, or cache (kept between steps).
        copies: how many distinct tensors this one stands for: the layer count for a weight of a repeated block, 1
            for a weight that all repetitions share.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    kind: TensorKind
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation. `kind` names a formula of the costs room; an op of an unknown kind is reported, not dropped.

    Args:
        inputs, outputs: names of tensors of the graph.
        attributes: what shapes do not say (causal, window, stride, compute dtype, ...): plain YAML values.
        repeat: how often the op runs, because its block is repeated.
        block: name of the repeated block it belongs to ("" outside of blocks), for tables and closed forms.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 1
    block: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Ops in execution order over named tensors. Immutable: rewrites make new graphs.

    Args:
        symbols: names that sizes may contain; empty once bound.
        source: where it came from (a file, a catalog name), for messages.
        notes: what the front-end did not understand or assumed; shown with every prediction.
    """

    name: str
    ops: tuple[Op, ...]
    tensors: Mapping[str, Tensor]
    symbols: tuple[str, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()

    def bind(self, **values: int) -> Graph:
        """The same graph with some symbols replaced by numbers.

        Raises:
            GraphError: a name that is no symbol of this graph.
        """
        unknown = sorted(values.keys() - set(self.symbols))
        if unknown:
            raise GraphError(
                f"{self.name} has no symbol {', '.join(unknown)}; it has {', '.join(self.symbols) or 'none'}"
            )
        tensors = {
            name: replace(tensor, shape=tuple(bind(dim, values) for dim in tensor.shape))
            for name, tensor in self.tensors.items()
        }
        ops = tuple(replace(op, attributes=_bind_attributes(op.attributes, values)) for op in self.ops)
        left = tuple(symbol for symbol in self.symbols if symbol not in values)
        return replace(self, ops=ops, tensors=tensors, symbols=left)

    @property
    def free_symbols(self) -> frozenset[str]:
        """Names that the tensors' shapes really use."""
        return frozenset().union(*(symbols_of(dim) for tensor in self.tensors.values() for dim in tensor.shape))


def _bind_attributes(attributes: Mapping[str, Any], values: Mapping[str, int]) -> Mapping[str, Any]:
    return {
        key: bind(value, values) if not isinstance(value, str | bool) else value for key, value in attributes.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model and its phases: {"prefill", "decode"} over a KV cache, with "encode" or "encode_image" once before them;
    {"encode_text", "denoise", "decode_image"} of an image pipeline (the first only where it takes text); {"forward"}.

    Args:
        phases: graph of each phase, in the order they run; symbols are `batch`, `tokens` (queries of this step) and
            `context` (keys).
        parameters: distinct weight elements.
        precision: the precision the model's own files state ("bf16" for most).
        max_context: longest context the model was trained for; 0 if it does not say.
        facts: further facts for tables (layers, hidden size, experts, active parameters).
    """

    name: str
    phases: Mapping[str, Graph]
    parameters: int
    precision: str
    source: str
    max_context: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ costs


@dataclass(frozen=True, kw_only=True)
class OpCost:
    """What an op has to do, apart from any chip. A zero, `+` and `* n` make it a monoid.

    Args:
        flops: FLOPs by (unit, compute dtype); unit "matrix" is contractions (a multiply-add is 2), "vector" the rest.
        read_bytes, write_bytes: activations in and out, each tensor once.
        weight_bytes: weights read, in their storage format with scales and zero points.
        cache_bytes: KV cache or state read and written.
        link_bytes: bytes sent over the fabric per device.
        launches: kernels an eager runtime starts.
    """

    flops: Mapping[tuple[Unit, str], Number] = field(default_factory=dict)
    read_bytes: Number = 0
    write_bytes: Number = 0
    weight_bytes: Number = 0
    cache_bytes: Number = 0
    link_bytes: Number = 0
    launches: Number = 0

    @property
    def bytes(self) -> Number:
        """Memory traffic with every tensor read or written once per op (the naive bound)."""
        return self._kept("bytes", lambda: self.read_bytes + self.write_bytes + self.weight_bytes + self.cache_bytes)

    @property
    def fused_bytes(self) -> Number:
        """Memory traffic if every activation stayed on chip: weights and cache only (the fused bound)."""
        return self.weight_bytes + self.cache_bytes

    @property
    def matrix_flops(self) -> Number:
        """FLOPs of contractions, over all compute dtypes: what model papers call the FLOPs of a layer."""
        return self._kept("matrix_flops", lambda: self._flops("matrix"))

    @property
    def vector_flops(self) -> Number:
        """FLOPs of everything else."""
        return self._kept("vector_flops", lambda: self._flops("vector"))

    def _flops(self, unit: Unit) -> Number:
        own = [value for (of, _), value in self.flops.items() if of == unit]
        return own[0] if len(own) == 1 else sum(own)

    def _kept(self, name: str, make: Callable[[], Number]) -> Number:
        """A sum that is made once: of arrays it takes long. (functools.cached_property takes a lock, and longer.)"""
        kept = self.__dict__
        if name not in kept:
            kept[name] = make()
        return kept[name]

    def __add__(self, other: OpCost) -> OpCost:
        flops = dict(self.flops)
        for key, value in other.flops.items():
            flops[key] = flops[key] + value if key in flops else value
        return OpCost(
            flops=flops,
            read_bytes=self.read_bytes + other.read_bytes,
            write_bytes=self.write_bytes + other.write_bytes,
            weight_bytes=self.weight_bytes + other.weight_bytes,
            cache_bytes=self.cache_bytes + other.cache_bytes,
            link_bytes=self.link_bytes + other.link_bytes,
            launches=self.launches + other.launches,
        )

    def __mul__(self, count: Number) -> OpCost:
        return OpCost(
            flops={key: value * count for key, value in self.flops.items()},
            read_bytes=self.read_bytes * count,
            write_bytes=self.write_bytes * count,
            weight_bytes=self.weight_bytes * count,
            cache_bytes=self.cache_bytes * count,
            link_bytes=self.link_bytes * count,
            launches=self.launches * count,
        )

    __rmul__ = __mul__


# --------------------------------------------------------------------------------------------- hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A datasheet figure: it cannot exist without its source.

    Args:
        value: in SI units of `dimension`.
        confidence: "high", "medium" or "low".
    """

    value: float
    dimension: str
    source: str
    confidence: str = "medium"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A chip as its datasheet states it: never a fitted factor. One device: a GPU, a TPU chip, a CPU socket.

    Args:
        kind: "gpu", "tpu", "cpu" or "accelerator".
        family: architecture family (hopper, ada, cdna3, zen4, ...): the level between a device and the prior.
        peaks: dense peak rates in FLOP/s by (unit, dtype): ("matrix", "bf16"), ("vector", "fp32"). A matrix rate
            accumulates in fp32 (int32); dtypes "fp16_fp16acc" and "fp8_fp16acc" are the fp16-accumulate rates.
        native: compute dtypes the chip executes itself.
        fallbacks: compute dtype -> the dtype it is emulated through; a dtype in neither is refused.
        memory_bytes: capacity a program can allocate from.
        l2_bytes: last on-chip cache in front of memory (L2; MALL or LLC where the chip has one behind L2).
        cores: SM, CU, core, TensorCore count. clock_hertz: boost clock.
        tensor_clock_hertz: the clock at which the matrix peak holds.
        power_watts: board power limit (TDP). process_nm: lithography node in nanometres.
        price_usd_per_hour: of renting a device; where it is owned, of writing it off: electricity comes on top.
        link_*: one direction, per device. domain_size: devices in one fast domain.
        sparsity_factor: matrix rate with structured sparsity over the dense rate.
        figures: dotted key ("peaks.matrix.bf16") -> the figure with its source.
        anything unknown is 0 (or "").
    """

    id: str
    name: str
    vendor: str
    kind: str
    family: str
    peaks: Mapping[tuple[Unit, str], float]
    memory_bytes: float
    memory_bandwidth_bytes_per_second: float
    native: tuple[str, ...] = ()
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    memory_type: str = ""
    l2_bytes: float = 0.0
    l2_bandwidth_bytes_per_second: float = 0.0
    shared_memory_bytes: float = 0.0
    cores: int = 0
    core_kind: str = ""
    clock_hertz: float = 0.0
    base_clock_hertz: float = 0.0
    tensor_clock_hertz: float = 0.0
    power_watts: float = 0.0
    process_nm: float = 0.0
    link_name: str = ""
    link_bytes_per_second: float = 0.0
    domain_size: int = 1
    devices_per_node: int = 1
    inter_node_bytes_per_second: float = 0.0
    pcie_bytes_per_second: float = 0.0
    sparsity_factor: float = 1.0
    price_usd_per_hour: float = 0.0
    price_date: str = ""
    owned: bool = False
    list_price_usd: float = 0.0
    launch_date: str = ""
    aliases: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """A network or launch path: named constants in SI units, each with its source."""

    id: str
    name: str
    kind: str
    constants: Mapping[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    path: str = ""


# ------------------------------------------------------------------------------------------ predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTime:
    """A time with its interval and what it is spent on; the parts add up to `seconds`. A zero, `+` and `* n`.

    Adding intervals end to end takes the errors as fully correlated, the wide choice; `predict` knows better for whole
    phases and works from the coefficients' spreads.
    """

    seconds: float = 0.0
    low: float = 0.0
    high: float = 0.0
    compute_seconds: float = 0.0
    memory_seconds: float = 0.0
    network_seconds: float = 0.0
    overhead_seconds: float = 0.0

    @property
    def bound(self) -> Bound:
        """What most of the time is spent on."""
        parts: dict[Bound, float] = {
            "compute": self.compute_seconds,
            "memory": self.memory_seconds,
            "network": self.network_seconds,
            "overhead": self.overhead_seconds,
        }
        return max(parts, key=lambda part: parts[part])

    def __add__(self, other: OpTime) -> OpTime:
        return OpTime(
            seconds=self.seconds + other.seconds,
            low=self.low + other.low,
            high=self.high + other.high,
            compute_seconds=self.compute_seconds + other.compute_seconds,
            memory_seconds=self.memory_seconds + other.memory_seconds,
            network_seconds=self.network_seconds + other.network_seconds,
            overhead_seconds=self.overhead_seconds + other.overhead_seconds,
        )

    def __mul__(self, count: float) -> OpTime:
        return OpTime(
            seconds=self.seconds * count,
            low=self.low * count,
            high=self.high * count,
            compute_seconds=self.compute_seconds * count,
            memory_seconds=self.memory_seconds * count,
            network_seconds=self.network_seconds * count,
            overhead_seconds=self.overhead_seconds * count,
        )

    __rmul__ = __mul__


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, with every default filled in.

    Args:
        precision: a precision name; the model's own when none was asked for.
        input_tokens, output_tokens: 0 where the model has no such size. steps: of denoising, 0 where there are none.
        batch: of all attention groups together.
        level: the share of unseen cases the interval is meant to hold.
        layout: how the model is spread over devices.
    """

    model: str
    hardware: str
    precision: str
    batch: int
    input_tokens: int
    output_tokens: int
    runtime: str
    level: float = 0.8
    image_size: int = 0
    steps: int = 0
    layout: Layout = ONE_DEVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class OpPrediction:
    """One row of `explain`: an op, all its repeats together.

    Args:
        cost: of all repeats. time: of all repeats.
        share: of the phase's kernel time.
        bound_seconds: the physical bound max(FLOPs/peak, bytes/bandwidth) of all repeats.
        compute: dtype the op computes in ("" if it does not contract). emulated: it is not the one asked for.
        modelled: False if the op has no formula and only its bytes were counted.
        variety: what the kind leaves open: the kernel of a convolution, the function of a pointwise op.
        quantizing: the part of `time` that kernels in front take which rewrite the op's input in 8 or 4 bits.
        peak_flops_per_second: of the chip in `compute`; 0 if the op does not contract.
    """

    name: str
    kind: str
    block: str
    repeat: int
    cost: OpCost
    time: OpTime
    share: float
    bound_seconds: float
    compute: str = ""
    emulated: bool = False
    modelled: bool = True
    variety: str = ""
    quantizing: OpTime = field(default_factory=OpTime)
    peak_flops_per_second: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePrediction:
    """A phase's time: `prefill` (whole prompt), `decode` (one step at the mean context), `forward`; `encode` or
    `encode_image`, once before the prefill; or an image pipeline's `encode_text`, `denoise` (one step), `decode_image`.

    Args:
        cost: FLOPs and bytes of the phase (by `explain` only). bound_seconds: sum of the ops' physical bounds.
        host_seconds: time the host needs to launch the kernels (eager and compiled runtimes); it overlaps the device.
        bandwidth_bytes_per_second: of the chip's memory, by its datasheet.
        ops: filled by `explain`, empty from `predict`.
    """

    name: str
    time: OpTime
    cost: OpCost
    bound_seconds: float
    host_seconds: float = 0.0
    bandwidth_bytes_per_second: float = 0.0
    ops: tuple[OpPrediction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one request.

    Args:
        memory_bytes: of the fullest device, by part: weights, cache, activations, overhead, total; capacity is the
            device's.
        fits: total <= capacity.
        throughput: per second, by name (requests, prefill_tokens, decode_tokens, samples, tokens, images,
            denoise_steps), of all devices of the layout.
        cost_usd: of the whole request on all its devices at the chip's hourly price. energy_joules, with its low and
            high: of those chips (`power`), which power_level says what it stands on. 0 if unknown.
        unmodelled: (op kind, share of the time) of ops without a formula.
        parameters: distinct weight elements of the model.
        provenance: level, coefficients, hardware sources, notes.
    """

    request: Request
    phases: Mapping[str, PhasePrediction]
    memory_bytes: Mapping[str, float]
    fits: bool
    throughput: Mapping[str, float]
    seconds: float
    cost_usd: float = 0.0
    energy_joules: float = 0.0
    energy_low_joules: float = 0.0
    energy_high_joules: float = 0.0
    power_level: str = ""
    unmodelled: tuple[tuple[str, float], ...] = ()
    parameters: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def generates(self) -> bool:
        """Whether there are prefill and decode phases."""
        return "decode" in self.phases

    @property
    def first_token_seconds(self) -> float:
        """Time to the first token: the prefill and what runs before it, each once."""
        return sum(phase.time.seconds for name, phase in self.phases.items() if name != "decode")

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)
