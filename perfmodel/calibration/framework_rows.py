"""Measured whole models in a framework, as what their times are made of: read once, predicted under any coefficients.

    facts ──(trace, rewrite, compile)──▶ ModelRow each ──stack──▶ Stack ──predict(device)──▶ seconds, slopes

Streaming ops of one class add up, whatever coefficients they get; those of about the same size are kept as one, so that
it is still known of which of them launches decide the time.

May import: model_times, measurements, kernels, program, uncertainty and below.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np

from perfmodel.calibration.measurements import Array, Measurement
from perfmodel.calibration.model_times import model_program
from perfmodel.coefficients import Coefficient
from perfmodel.errors import PerfmodelError, UnsupportedError
from perfmodel.kernels import Device
from perfmodel.kernels.framework import Parts
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.networks import NetworkParts, network_scope, time_parts
from perfmodel.kernels.roofline import Array as Column
from perfmodel.program import HOST_OVERLAP, Program, overlap, program_parts, time_program
from perfmodel.types import Hardware
from perfmodel.uncertainty import op_half_widths

Progress = Callable[[str], None]
_SMALLEST_SECONDS = 1e-12
_MODELS_PER_PROCESS = 30  # fewer are traced faster than a process starts


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A measured model without coefficients.

    Args:
        parts: of its ops, (ops, 1). repeats: how often each runs, (ops,). launches: kernels that a host starts.
        other_seconds: of ops that have kernels of their own (recurrent layers), which are not fitted here.
        bound_seconds: the physical bound.
    """

    fact: Measurement
    parts: NetworkParts
    repeats: Column
    launches: float
    other_seconds: float
    bound_seconds: float


@dataclass(frozen=True, slots=True)
class Stack:
    """Rows put together. `place` is the row of each op; the other arguments are as in `ModelRow`."""

    parts: NetworkParts
    repeats: Column
    place: np.ndarray[tuple[int], np.dtype[np.int64]]
    launches: Column
    other_seconds: Column
    seconds: Column
    scope: str


def is_framework_fact(fact: Measurement, chip: Hardware) -> bool:
    """Whether a measured model is timed by the form of a framework's kernels."""
    return (
        bool(fact.model)
        and not (fact.layout or fact.part)
        and fact.phase == "forward"
        and fact.engine == "torch"
        and bool(scope_of_fact(fact, chip))
    )


def scope_of_fact(fact: Measurement, chip: Hardware) -> str:
    """The scope whose coefficients a framework fact is for."""
    return network_scope(chip, fact.runtime, (fact.precision,), has_cache=False)


def split_facts(
    facts: Sequence[Measurement], chips: Mapping[str, Hardware]
) -> tuple[list[Measurement], list[Measurement]]:
    """(facts of a framework's form, all others)."""
    own = [fact for fact in facts if is_framework_fact(fact, chips[fact.hardware])]
    chosen = set(map(id, own))
    return own, [fact for fact in facts if id(fact) not in chosen]


def read_rows(
    facts: Sequence[Measurement], chips: Mapping[str, Hardware], progress: Progress | None = None
) -> tuple[list[ModelRow], dict[str, int]]:
    """The facts as rows, and reason -> facts that cannot be predicted."""
    ordered = sorted(facts, key=_same_graph)
    batches = [list(own) for _, own in groupby(ordered, key=_same_model)]
    rows: list[ModelRow] = []
    skipped: dict[str, int] = {}
    for done, (own, reasons) in enumerate(_in_processes(batches, chips), start=1):
        rows += own
        for reason in reasons:
            skipped[reason] = skipped.get(reason, 0) + 1
        if progress and done % 25 == 0:
            progress(f"traced {done} of {len(batches)} models")
    return rows, skipped


def _same_model(fact: Measurement) -> tuple[str, int]:
    return fact.model, fact.image_size


def _same_graph(fact: Measurement) -> tuple[object, ...]:
    return (*_same_model(fact), fact.runtime, fact.precision, str(sorted(fact.options.items())), fact.hardware)


def _in_processes(
    batches: Sequence[list[Measurement]], chips: Mapping[str, Hardware]
) -> Iterator[tuple[list[ModelRow], list[str]]]:
    """Each batch of facts as rows; in several processes where there are many models and forking is safe."""
    workers = min(os.cpu_count() or 1, len(batches) // _MODELS_PER_PROCESS)
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from (_read_batch(batch, chips) for batch in batches)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_read_batch, batches, [chips] * len(batches), chunksize=4)


def _read_batch(batch: Sequence[Measurement], chips: Mapping[str, Hardware]) -> tuple[list[ModelRow], list[str]]:
    rows, reasons = [], []
    for fact in batch:
        try:
            rows.append(_read_row(fact, chips[fact.hardware]))
        except PerfmodelError as error:
            reasons.append(str(error))
    return rows, reasons


def _read_row(fact: Measurement, chip: Hardware) -> ModelRow:
    return row_of(fact, *model_program(fact, Device(chip, fact.runtime, {})))


def row_of(fact: Measurement, program: Program, sizes: Mapping[str, int]) -> ModelRow:
    """What the time of a program at some sizes is made of.

    Args:
        fact: what was measured of it.

    Raises:
        UnsupportedError: no op of it is timed by the form of a network.
    """
    groups = program_parts(program, sizes)
    if not groups:
        raise UnsupportedError(
            f"all kernels of {fact.subject} are timed one by one, so that no run of it can be fitted"
        )
    streaming = [(group.repeats, parts) for group, parts in groups if group.rate is None]
    contracting = [(group.repeats, parts) for group, parts in groups if group.rate is not None]
    merged = [_merged(repeats, parts) if isinstance(parts, Parts) else (repeats, parts) for repeats, parts in streaming]
    parts = _joined([parts for _, parts in (*contracting, *merged)])
    repeats = np.concatenate([repeats for repeats, _ in (*contracting, *merged)])
    times = time_program(program, sizes)
    other = sum(
        float(group.repeats @ np.broadcast_to(kernel.seconds, (len(group.kinds), 1))[:, 0])
        for group, kernel in zip(program.groups, times.kernels, strict=True)
        if not group.classes
    )
    launches = _launches(program, times.host_seconds[0])
    return ModelRow(fact, parts, repeats, launches, other, float(times.bound_seconds[0]))


def _launches(program: Program, host_seconds: float) -> float:
    return float(host_seconds / program.host_coefficient.value)


def _merged(repeats: Column, parts: Parts) -> tuple[Column, Parts]:
    """One op for each class and size of streaming ops, sizes within a factor of two being alike."""
    size = np.floor(np.log2(np.maximum(parts.memory_seconds[:, 0], _SMALLEST_SECONDS)))
    alike, place = np.unique(np.stack([parts.moving, size.astype(int)]), axis=1, return_inverse=True)
    classes = alike[0]

    def total(values: Array) -> Array:
        return np.bincount(place.ravel(), repeats * values[:, 0], minlength=len(classes))[:, None]

    columns = {
        field.name: total(getattr(parts, field.name))
        for field in fields(parts)
        if field.name not in ("moving", "computing")
    }
    return np.ones(len(classes)), Parts(moving=classes, computing=np.full(len(classes), -1), **columns)


def _joined(parts: Sequence[NetworkParts]) -> NetworkParts:
    form = type(parts[0])
    return form(**{
        field.name: np.concatenate([getattr(own, field.name) for own in parts]) for field in fields(parts[0])
    })  # fmt: skip


def stack(rows: Sequence[ModelRow], scope: str) -> Stack:
    """Rows of one scope, device and kernel series."""
    return Stack(
        parts=_joined([row.parts for row in rows]),
        repeats=np.concatenate([row.repeats for row in rows]),
        place=np.repeat(np.arange(len(rows)), [len(row.repeats) for row in rows]),
        launches=np.array([row.launches for row in rows]),
        other_seconds=np.array([row.other_seconds for row in rows]),
        seconds=np.array([row.fact.value_seconds for row in rows]),
        scope=scope,
    )


def stack_seconds(rows: Stack, device: Device) -> tuple[Column, dict[str, Column]]:
    """(predicted seconds, ∂log t/∂log c by the coefficient's bare name), of each row."""
    kernel = time_parts(rows.parts, device.in_scope(rows.scope))
    on_device = _by_row(rows, kernel.seconds) + rows.other_seconds
    host = rows.launches * device.in_scope(rows.scope)[HOST_SECONDS].value
    seconds = overlap(on_device, host)
    weight = (on_device / seconds) ** HOST_OVERLAP / on_device
    slopes = {_bare(coefficient): _by_row(rows, part) * weight for coefficient, part in kernel.sensitivities}
    return seconds, slopes | {HOST_SECONDS.name: (host / seconds) ** HOST_OVERLAP}


def stack_half_widths(rows: Stack, device: Device, share: float) -> Column:
    """Half-widths in log time of each row, composed of those of its ops as for a prediction (all of one scope)."""
    kernel = time_parts(rows.parts, device.in_scope(rows.scope))
    own = kernel.seconds * op_half_widths(kernel, rows.scope, device, share)
    return np.asarray(_by_row(rows, own) / _by_row(rows, kernel.seconds))


def _by_row(rows: Stack, values: Array) -> Column:
    return np.asarray(np.bincount(rows.place, rows.repeats * values[:, 0], minlength=len(rows.seconds)), dtype=float)


def _bare(coefficient: Coefficient) -> str:
    return coefficient.name.rpartition(":")[2]


def regimes_of(rows: Stack, device: Device) -> tuple[Column, Column, Column]:
    """Seconds of compute, memory and overhead of each row."""
    kernel = time_parts(rows.parts, device.in_scope(rows.scope))
    parts: Iterable[Array] = (kernel.compute_seconds, kernel.memory_seconds, kernel.overhead_seconds)
    compute, memory, overhead = (_by_row(rows, part) for part in parts)
    return compute, memory, overhead
