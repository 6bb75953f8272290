"""Arrays of a timed phase -> the values people read: a phase's time with its interval, and a row per op.

May import: uncertainty, program and below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.costs import find_kind, is_modelled, variety_of
from perfmodel.kernels.quantize import LAUNCH_SECONDS, QUANTIZE_PREFIX
from perfmodel.kernels.roofline import Array, KernelTime
from perfmodel.program import Group, PhaseTimes, Program
from perfmodel.types import OpCost, OpPrediction, OpTime, PhasePrediction
from perfmodel.uncertainty import op_half_widths, phase_half_width


def phase_predictions(
    names: Sequence[str], program: Program, times: PhaseTimes, share: float, *, with_ops: bool = False
) -> list[PhasePrediction]:
    """The predictions of phases at their first configuration.

    Args:
        names: of the phase of a program, or of its joined phases.
        share: of unseen cases that the interval is meant to hold. with_ops: a row per op, of a single phase.
    """
    half_widths = phase_half_width(program, times, share)
    fields = (
        times.seconds, times.bound_seconds, times.compute_seconds, times.memory_seconds, times.network_seconds,
        times.host_seconds, half_widths,
    )  # fmt: skip
    cost, ops = (_phase_cost(program, times), _op_rows(program, times, share)) if with_ops else (OpCost(), ())
    bandwidth = program.device.hardware.memory_bandwidth_bytes_per_second
    found = []
    for name, own in zip(names, np.array(fields)[..., 0].reshape(len(fields), -1).T.tolist(), strict=True):
        seconds, bound, compute, memory, network, host, half_width = own
        spread = math.exp(half_width)
        time = OpTime(
            seconds=seconds,
            low=max(seconds / spread, min(bound, seconds)),
            high=seconds * spread,
            compute_seconds=compute,
            memory_seconds=memory,
            network_seconds=network,
            overhead_seconds=seconds - compute - memory - network,
        )
        found.append(
            PhasePrediction(
                name=name,
                time=time,
                cost=cost,
                bound_seconds=bound,
                host_seconds=host,
                bandwidth_bytes_per_second=bandwidth,
                ops=ops,
            )
        )
    return found


def phase_prediction(
    name: str, program: Program, times: PhaseTimes, share: float, *, with_ops: bool
) -> PhasePrediction:
    """As `phase_predictions`, of one phase."""
    return phase_predictions((name,), program, times, share, with_ops=with_ops)[0]


def unmodelled_shares(program: Program, times: PhaseTimes) -> tuple[tuple[str, float], ...]:
    """(op kind, share of the device time) of ops without a formula, at the first configuration; of joined phases the
    largest."""
    shares: dict[str, Any] = {}
    for group, rows in zip(program.groups, program.rows, strict=True):
        for position, kind in enumerate(group.kinds if group.rate is None else ()):
            if find_kind(kind):
                continue
            seconds = group.repeats[..., position] * times.op_seconds[rows.start + position, 0]
            shares[kind] = shares.get(kind, 0.0) + seconds / times.device_seconds[..., 0]
    return tuple(sorted((kind, float(np.max(share))) for kind, share in shares.items()))


def _op_rows(program: Program, times: PhaseTimes, share: float) -> tuple[OpPrediction, ...]:
    """One row per op, in the order of the graph."""
    total = float(times.device_seconds[0])
    rows: dict[int, OpPrediction] = {}
    bounds = times.bounds[:, 0].tolist()
    for group, place, kernel, cost in zip(program.groups, program.rows, times.kernels, times.costs, strict=True):
        half_widths = op_half_widths(kernel, group.scope, program.device, share)
        for position, (index, bound) in enumerate(zip(group.indices, bounds[place], strict=True)):
            spread = float(np.exp(_cell(half_widths, position)))
            rows[index] = _op_row(program, group, kernel, cost, bound, position, total, spread)
    return tuple(rows[index] for index in sorted(rows))


def _op_row(
    program: Program,
    group: Group,
    kernel: KernelTime,
    cost: OpCost,
    bound_seconds: float,
    position: int,
    total: float,
    spread: float,
) -> OpPrediction:
    op = program.graph.ops[group.indices[position]]
    compute, memory, network, overhead = (
        _cell(part, position) * op.repeat
        for part in (kernel.compute_seconds, kernel.memory_seconds, kernel.network_seconds, kernel.overhead_seconds)
    )
    time = _time(compute, memory, network, overhead, bound_seconds * op.repeat, spread)
    return OpPrediction(
        name=op.name,
        kind=op.kind,
        block=op.block,
        repeat=op.repeat,
        cost=_at(cost, position) * op.repeat,
        time=time,
        share=time.seconds / total if total else 0.0,
        bound_seconds=bound_seconds * op.repeat,
        compute=group.rate.dtype if group.rate else "",
        emulated=bool(group.rate and group.rate.emulated),
        modelled=is_modelled(op),
        variety=variety_of(op, program.graph.tensors),
        quantizing=_quantizing(kernel, position, spread) * op.repeat,
        peak_flops_per_second=group.rate.flops_per_second if group.rate else 0.0,
    )


def _time(compute: float, memory: float, network: float, overhead: float, bound: float, spread: float) -> OpTime:
    seconds = compute + memory + network + overhead
    return OpTime(
        seconds=seconds,
        low=max(seconds / spread, min(bound, seconds)),
        high=seconds * spread,
        compute_seconds=compute,
        memory_seconds=memory,
        network_seconds=network,
        overhead_seconds=overhead,
    )


def _quantizing(kernel: KernelTime, position: int, spread: float) -> OpTime:
    """What the kernels take that quantise an op's input: all that their coefficients scale, which is all of it.

    A fitted coefficient is named with its scope in front: `gemm.fp8:quantize.launch_seconds`.
    """
    named = ((coefficient.name.rpartition(":")[2], seconds) for coefficient, seconds in kernel.sensitivities)
    parts = {name: _cell(seconds, position) for name, seconds in named if name.startswith(QUANTIZE_PREFIX)}
    launches = parts.pop(LAUNCH_SECONDS.name, 0.0)
    return _time(0.0, sum(parts.values()), 0.0, launches, 0.0, spread)


def _first(values: Any, count: int) -> Array:
    """The values of a group's ops at the first configuration."""
    return np.broadcast_to(np.atleast_2d(np.asarray(values, dtype=float))[:, 0], (count,))


def _cell(values: Any, position: int) -> float:
    """The value of one op of a group, at the first configuration."""
    array = np.asarray(values, dtype=float)
    return float(array) if array.ndim == 0 else float(array[min(position, array.shape[0] - 1), 0])


def _at(cost: OpCost, position: int) -> OpCost:
    """The cost of one op of a group."""
    return OpCost(
        flops={key: _cell(value, position) for key, value in cost.flops.items()},
        read_bytes=_cell(cost.read_bytes, position),
        write_bytes=_cell(cost.write_bytes, position),
        weight_bytes=_cell(cost.weight_bytes, position),
        cache_bytes=_cell(cost.cache_bytes, position),
        link_bytes=_cell(cost.link_bytes, position),
        launches=_cell(cost.launches, position),
    )


def _phase_cost(program: Program, times: PhaseTimes) -> OpCost:
    total = OpCost()
    for group, cost in zip(program.groups, times.costs, strict=True):
        total = total + _reduced(cost, group.repeats)
    return total


def _reduced(cost: OpCost, repeats: Array) -> OpCost:
    def total(value: Any) -> float:
        return float(repeats @ _first(value, len(repeats)))

    return OpCost(
        flops={key: total(value) for key, value in cost.flops.items()},
        read_bytes=total(cost.read_bytes),
        write_bytes=total(cost.write_bytes),
        weight_bytes=total(cost.weight_bytes),
        cache_bytes=total(cost.cache_bytes),
        link_bytes=total(cost.link_bytes),
        launches=total(cost.launches),
    )
