"""A graph prepared for one chip: ops grouped by kind so that numpy times a whole phase in a few dozen calls.

Compiling reads shapes, checks them and looks up rates once; evaluating fills in sizes. Sizes may be single numbers or
arrays of one length (a sweep): every array inside is of shape (ops of the group, configurations).

    graph ──compile_graph──▶ Program ──time_program(values)──▶ PhaseTimes

May import: costs, coefficients, kernels and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arithmetic import Number, as_array
from perfmodel.coefficients import Coefficient
from perfmodel.costs import OpArguments, op_arguments
from perfmodel.costs.collective import COLLECTIVE
from perfmodel.costs.registry import CostFunction
from perfmodel.errors import GraphError
from perfmodel.kernels import Device, KernelTime, Rate, bound_seconds, contraction_rate, scope_of, time_group
from perfmodel.kernels.cpu_network import cache_sizes, cpu_parts
from perfmodel.kernels.framework import framework_parts
from perfmodel.kernels.framework_classes import OpClass, class_of
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.networks import NetworkParts, has_own_kernels, is_cpu_scope, network_scope, time_parts
from perfmodel.kernels.roofline import TINY, Array
from perfmodel.precisions import SCHEMES
from perfmodel.reuse import Touches, cached_shares, touches_of
from perfmodel.sizes import Size, compile_sizes
from perfmodel.types import Graph, OpCost

HOST_OVERLAP = 4  # exponent with which host and device time overlap: the slower one sets the pace
_FULL_WIDTH = tuple({scheme.activation for scheme in SCHEMES.values()})


@dataclass(frozen=True, slots=True)
class Group:
    """Ops of one kind with the same flags; everything that only streams memory is one group.

    Args:
        kinds: one per op. indices: positions in the graph's ops.
        repeats: how often each op runs, (ops,); in each of several joined phases, (phases, ops).
        fixed: sizes that are numbers: one where all ops share it, else an (ops, 1) array.
        varying: sizes that hold symbols: for each op the row of the program's evaluated sizes.
        rate: peak of the dtype the ops compute in; None if they do not contract.
        asked: the compute dtype the graph names. scope: which fitted coefficients the ops go by.
        classes: of the ops as kernels of a framework; none where kernels are timed one by one.
    """

    kinds: tuple[str, ...]
    indices: tuple[int, ...]
    repeats: Array
    cost: CostFunction
    fixed: Mapping[str, Array | float]
    varying: Mapping[str, np.ndarray[Any, Any]]
    flags: Mapping[str, Any]
    rate: Rate | None
    asked: str
    scope: str
    classes: tuple[OpClass, ...] = ()


@dataclass(frozen=True)
class Program:
    """A graph compiled for a device.

    Args:
        evaluate: values of the graph's symbols -> all distinct sizes that vary. symbols: what it needs.
        has_host: a host launches the kernels one by one beside the device.
        touches: who touches which tensor after whom, where caches decide (CPUs).
        network: the scope of a framework's kernels; "" where kernels are timed one by one.
    """

    graph: Graph
    device: Device
    groups: tuple[Group, ...]
    evaluate: Callable[[Mapping[str, Number]], list[Number]]
    symbols: frozenset[str]
    has_host: bool
    touches: Touches | None = None
    network: str = ""

    @cached_property
    def rows(self) -> tuple[slice, ...]:
        """Where the ops of each group are among all ops, group after group."""
        ends = np.cumsum([len(group.kinds) for group in self.groups]).tolist()
        return tuple(slice(end - len(group.kinds), end) for end, group in zip(ends, self.groups, strict=True))

    @cached_property
    def repeats(self) -> Array:
        """How often each op runs, group after group."""
        return np.concatenate([group.repeats for group in self.groups], axis=-1)

    @cached_property
    def scope_repeats(self) -> Mapping[str, Array]:
        """By scope of kernels, how often each op runs that is of it, and 0 for others."""
        found: dict[str, Array] = {}
        for group, rows in zip(self.groups, self.rows, strict=True):
            found.setdefault(group.scope, np.zeros(self.repeats.shape))[..., rows] = group.repeats
        return found

    @cached_property
    def has_network(self) -> bool:
        """Whether some ops move data between devices."""
        return any(group.kinds[0] == COLLECTIVE for group in self.groups)

    @property
    def host_coefficient(self) -> Coefficient:
        """Seconds of the host for each launch: of the network's own fit, where one was made on the chip."""
        return self.device.in_scope(self.network)[HOST_SECONDS] if self.network else self.device[HOST_SECONDS]

    @property
    def emulated(self) -> tuple[tuple[str, str], ...]:
        """(dtype asked for, dtype used) of everything the chip cannot compute natively."""
        pairs = {(group.asked, group.rate.dtype) for group in self.groups if group.rate and group.rate.emulated}
        return tuple(sorted(pairs))


@dataclass(frozen=True)
class PhaseTimes:
    """Times of a phase for each configuration, arrays of shape (configurations,); (phases, configurations) of several
    joined phases.

    Args:
        device_seconds: sum of the kernels, split into compute, memory, network and overhead.
        host_seconds: what the host needs to launch them. seconds: both together.
        bound_seconds: sum of max(FLOPs/peak, bytes/bandwidth, traffic/links) over the ops.
        parts: compute, memory, overhead and network seconds of one run of each op, group after group, of shape
            (3 or, where there are collectives, 4; ops, configurations). bounds: of each op, (ops, configurations).
        kernels, costs: per group, for tables and intervals.
    """

    compute_seconds: Array
    memory_seconds: Array
    network_seconds: Array
    overhead_seconds: Array
    host_seconds: Array
    bound_seconds: Array
    parts: Array
    bounds: Array
    kernels: tuple[KernelTime, ...]
    costs: tuple[OpCost, ...]
    host_coefficient: Coefficient

    @cached_property
    def device_seconds(self) -> Array:
        return self.compute_seconds + self.memory_seconds + self.network_seconds + self.overhead_seconds

    @cached_property
    def seconds(self) -> Array:
        return overlap(self.device_seconds, self.host_seconds) if self.host_seconds.any() else self.device_seconds

    @cached_property
    def op_seconds(self) -> Array:
        """Of one run of each op, group after group, (ops, configurations)."""
        return np.asarray(np.add.reduce(self.parts, axis=0))


def compile_graph(graph: Graph, device: Device) -> Program:
    """Group a graph's ops and look up what the chip computes them with.

    Raises:
        GraphError: shapes that contradict each other.
        UnsupportedError: a compute dtype the chip refuses.
    """
    members: dict[Any, list[int]] = {}
    arguments = [op_arguments(op, graph.tensors) for op in graph.ops]
    rates: dict[str, Rate] = {}
    for index, argument in enumerate(arguments):
        asked = argument.flags.get("compute", "")
        if asked and asked not in rates:
            rates[asked] = contraction_rate(device.hardware, asked)
        same = (argument.kind, *sorted(argument.flags.items())) if asked or argument.kind == COLLECTIVE else ()
        members.setdefault((argument.cost, *same), []).append(index)
    rows: dict[Any, int] = {}  # every distinct size that varies -> its row
    has_cache = any(tensor.kind == "cache" for tensor in graph.tensors.values())
    scope = network_scope(
        device.hardware,
        device.runtime,
        [rate.dtype for rate in rates.values()],
        has_cache=has_cache,
        kept=() if rates else sorted({tensor.dtype for tensor in graph.tensors.values()}),
        fitted=device.fitted_scopes,
    )
    groups = tuple(
        _group(graph, [arguments[index] for index in indices], tuple(indices), rates, rows, scope)
        for indices in members.values()
    )
    touches = touches_of(graph, rows) if is_cpu_scope(scope) else None
    symbols = frozenset().union(*(dim.symbols for dim in rows if isinstance(dim, Size)))
    has_host = device.runtime != "graphs" and device.hardware.kind == "gpu"
    return Program(graph, device, groups, compile_sizes(rows), symbols, has_host, touches, scope)


def _group(
    graph: Graph,
    members: list[OpArguments],
    indices: tuple[int, ...],
    rates: Mapping[str, Rate],
    rows: dict[Any, int],
    framework: str,
) -> Group:
    """A group; `framework` is the scope of a framework's kernels, "" for kernels that are timed one by one."""
    framework = "" if has_own_kernels(members[0].kind, framework) else framework
    asked = members[0].flags.get("compute", "")
    rate = rates.get(asked)
    flags = _lowered(members[0].flags, rate)
    columns = {name: [member.sizes[name] for member in members] for name in members[0].sizes}
    varying = {name for name, column in columns.items() if any(isinstance(value, Size) for value in column)}
    return Group(
        kinds=tuple(member.kind for member in members),
        indices=indices,
        repeats=np.array([graph.ops[index].repeat for index in indices], dtype=float),
        cost=members[0].cost,
        fixed={name: _fixed(column) for name, column in columns.items() if name not in varying},
        varying={name: np.array([rows.setdefault(dim, len(rows)) for dim in columns[name]]) for name in varying},
        flags=flags,
        rate=rate,
        asked=asked,
        scope=framework or scope_of(members[0].kind, flags, rate),
        classes=_classes(graph, members, indices) if framework else (),
    )


def _fixed(column: Sequence[float]) -> Array | float:
    return float(column[0]) if len(set(column)) == 1 else as_array(list(column))


def _classes(graph: Graph, members: list[OpArguments], indices: tuple[int, ...]) -> tuple[OpClass, ...]:
    return tuple(
        class_of(graph.ops[index], {**member.sizes, **member.flags})
        for member, index in zip(members, indices, strict=True)
    )


def _lowered(flags: Mapping[str, Any], rate: Rate | None) -> dict[str, Any]:
    """Flags as the chip runs them: an emulated dtype computes in its fallback, without a kernel that quantises."""
    if rate is None or not rate.emulated:
        return dict(flags)
    lowered = dict(flags) | {"compute": rate.dtype}
    if "quantize_input" in flags and rate.dtype in _FULL_WIDTH:
        lowered["quantize_input"] = False
    return lowered


def time_program(program: Program, values: Mapping[str, Number]) -> PhaseTimes:
    """Time a phase.

    Args:
        values: for each of the graph's symbols an int, or arrays of one length.

    Raises:
        GraphError: a symbol without a value.
    """
    if not program.symbols <= values.keys():
        missing = ", ".join(sorted(program.symbols - values.keys()))
        raise GraphError(f"{program.graph.name} needs a value for {missing}")
    hardware, repeats, coefficient = program.device.hardware, program.repeats, program.host_coefficient
    evaluated = as_array(program.evaluate(values))
    kernels, costs = [], []
    parts = np.empty((3 + program.has_network, repeats.shape[-1], evaluated.shape[1]))
    bounds = np.empty(parts.shape[1:])
    launches = np.empty(parts.shape[1:] if program.has_host else 0)
    for (group, sizes, cost, cached), rows in zip(_costed(program, evaluated), program.rows, strict=True):
        kernel = _kernel_times(program, group, sizes, cost, cached)
        kernels.append(kernel)
        costs.append(cost)
        parts[0, rows], parts[1, rows] = kernel.compute_seconds, kernel.memory_seconds
        parts[2, rows] = kernel.overhead_seconds
        if program.has_network:
            parts[3, rows] = kernel.network_seconds
        bounds[rows] = bound_seconds(group.kinds[0], sizes, group.flags, cost, hardware, group.rate, cached)
        if program.has_host:
            launches[rows] = cost.launches
    compute, memory, overhead, *network = repeats @ parts
    none = np.zeros(compute.shape)
    return PhaseTimes(
        compute_seconds=compute,
        memory_seconds=memory,
        network_seconds=network[0] if network else none,
        overhead_seconds=overhead,
        host_seconds=(repeats @ launches) * coefficient.value if program.has_host else none,
        bound_seconds=repeats @ bounds,
        parts=parts,
        bounds=bounds,
        kernels=tuple(kernels),
        costs=tuple(costs),
        host_coefficient=coefficient,
    )


Costed: TypeAlias = tuple[Group, dict[str, Any], OpCost, Sequence[Array]]


def _costed(program: Program, evaluated: Array) -> list[Costed]:
    """Each group with its sizes, its cost, and the shares of its bytes that the chip's caches hold."""
    sizes = [_sizes(group, evaluated) for group in program.groups]
    costs = [group.cost(**own, **group.flags) for group, own in zip(program.groups, sizes, strict=True)]
    caches = cache_sizes(program.device.hardware) if program.touches else ()
    shares: list[Array] = []
    if program.touches and caches:
        moved = np.zeros((len(program.graph.ops), evaluated.shape[1]))
        for group, cost in zip(program.groups, costs, strict=True):
            moved[list(group.indices)] = np.asarray(cost.bytes, dtype=float)
        shares = cached_shares(program.touches, evaluated, moved, caches)
    return [
        (group, own, cost, [share[list(group.indices)] for share in shares])
        for group, own, cost in zip(program.groups, sizes, costs, strict=True)
    ]


def _sizes(group: Group, evaluated: Array) -> dict[str, Any]:
    """The sizes of a group; plain numbers where there is one op and one configuration, for they are much faster."""
    if len(group.kinds) == evaluated.shape[1] == 1 and not group.classes:
        return {**group.fixed, **{name: float(evaluated[rows[0], 0]) for name, rows in group.varying.items()}}
    return {**group.fixed, **{name: evaluated.take(rows, axis=0) for name, rows in group.varying.items()}}


def _kernel_times(
    program: Program, group: Group, sizes: Mapping[str, Any], cost: OpCost, cached: Sequence[Array]
) -> KernelTime:
    device = program.device
    if not group.classes:
        return time_group(group.kinds, sizes, group.flags, cost, device, group.rate, group.scope)
    return time_parts(_parts(program, group, sizes, cost, cached), device.in_scope(group.scope))


def _parts(
    program: Program, group: Group, sizes: Mapping[str, Any], cost: OpCost, cached: Sequence[Array]
) -> NetworkParts:
    ops = [program.graph.ops[index] for index in group.indices]
    if program.touches:
        return cpu_parts(group.classes, ops, sizes, cost, program.device, group.rate, cached)
    return framework_parts(group.classes, ops, sizes, cost, program.device, group.rate)


def program_parts(program: Program, values: Mapping[str, Number]) -> list[tuple[Group, NetworkParts]]:
    """What the times of a network's kernels are made of, group by group, without those that have kernels of their own;
    arguments as `time_program`."""
    return [
        (group, _parts(program, group, sizes, cost, cached))
        for group, sizes, cost, cached in _costed(program, as_array(program.evaluate(values)))
        if group.classes
    ]


def overlap(device_seconds: Array, host_seconds: Array) -> Array:
    """Time of kernels that a host launches beside the device: the slower one sets the pace."""
    larger = np.maximum(device_seconds, host_seconds)
    smaller = np.minimum(device_seconds, host_seconds)
    # views alone take no time
    return larger * (1 + (smaller / np.maximum(larger, TINY)) ** HOST_OVERLAP) ** (1 / HOST_OVERLAP)
