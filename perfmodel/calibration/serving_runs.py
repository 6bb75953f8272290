"""Server runs of files as the columns that fits and scores work on.

    ServingRows of each deployment ──deploy──▶ Deployment ──▶ ServingSet: Runs, measured latencies, labels

Only closed loops of one replica are scored by the closed form; runs at an arrival rate are for the simulator. May
import: serving_rows, serving_features, serving.deployments and below.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perfmodel.calibration.serving_features import Runs, gather_runs, settle
from perfmodel.calibration.serving_fit import unknowns_of
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.catalog import Specs, load_hardware
from perfmodel.catalog_entries import model_entry
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.effects import model_family, slopes_of
from perfmodel.serving.engine_time import Host
from perfmodel.serving.engines import load_engine
from perfmodel.serving.steady_state import Loop
from perfmodel.serving.step_table import Array
from perfmodel.types import Model

LABELS = (
    "model",
    "family",
    "hardware",
    "chip_family",
    "engine",
    "version",
    "precision",
    "speculative",
    "layout",
    "lengths",
)
# a load generator's mean lengths over its nominal ones: it draws from 0.8 to 1 of the longest
DRAWN_LENGTHS, DRAWN_SHARE = {"silicon_e2e": (1024.0, 8192.0)}, 0.9
NO_ESTIMATE = 0.02  # of memory: with less room for a cache than that, a run that took place shows the estimate is wrong
UNLIMITED = 1e9
STATIC = "static batch"  # harness of runs that are no load tests


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSet:
    """Runs that can be scored.

    Args:
        groups: the rows of each deployment, as read; group, place: where each row came from.
        runs: their features, at the batches of the priors. tpot, ttft: measured seconds, NaN where there are none.
        labels: by `LABELS`, one per row. slopes: for random effects, (rows, 3).
    """

    groups: tuple[ServingRows, ...]
    group: np.ndarray[tuple[int], np.dtype[np.intp]]
    place: np.ndarray[tuple[int], np.dtype[np.intp]]
    deployments: tuple[Deployment, ...]
    runs: Runs
    tpot: Array
    ttft: Array
    labels: Mapping[str, tuple[str, ...]]
    slopes: Array

    def __len__(self) -> int:
        return len(self.tpot)


def closed_loops(groups: Sequence[ServingRows]) -> list[ServingRows]:
    """The runs of load tests among those read."""
    return [own for own in groups if own.harness != STATIC]


def gather_serving(
    groups: Sequence[ServingRows], *, specs: Specs = None, progress: Callable[[str], None] | None = None
) -> tuple[ServingSet | None, dict[str, int]]:
    """The runs of files, and why the others cannot be used: reason -> rows."""
    skipped: dict[str, int] = {}
    kept: list[tuple[ServingRows, Deployment]] = []
    for own in groups:
        usable = np.isfinite(own.concurrency) & (np.isfinite(own.tpot_seconds) | np.isfinite(own.ttft_seconds))
        usable &= np.isfinite(own.input_tokens) & np.isfinite(own.output_tokens)
        if not usable.all():
            reason = "no closed loop with TTFT or TPOT: the closed form does not speak of it"
            skipped[reason] = skipped.get(reason, 0) + int((~usable).sum())
        if not usable.any():
            continue
        if progress:
            progress(f"{own.subject} on {own.hardware} under {own.engine}")
        try:
            deployment = deployment_of(own, specs)
        except PerfmodelError as error:
            skipped[str(error)] = skipped.get(str(error), 0) + int(usable.sum())
            continue
        kept.append((own.take(np.flatnonzero(usable)), deployment))
    return (_set_of(kept) if kept else None), skipped


def deployment_of(rows: ServingRows, specs: Specs = None) -> Deployment:
    """The deployment that runs were made on."""
    model = model_entry(rows.model, one_folder(specs))
    return deploy(
        model,
        rows.hardware,
        engine=rows.engine,
        precision=rows.precision or None,
        cache_precision=rows.cache_precision or usual_cache(rows),
        layout=possible_layout(rows.layout, model),
        specs=one_folder(specs),
    )


def possible_layout(layout: Layout, model: Model) -> Layout:
    """The layout without expert parallelism where the model has no experts: tables fill in that degree for all."""
    return layout if "experts" in model.facts else replace(layout, expert=1, expert_tensor=0)


def one_folder(specs: Specs) -> str | None:
    """
    Raises:
        InputError: several folders; deployments are kept for one.
    """
    folders = [specs] if isinstance(specs, str | os.PathLike) else list(specs or ())
    if len(folders) > 1:
        raise InputError("server runs are predicted with one folder of specs only: give one, or put them into one")
    return os.fspath(folders[0]) if folders else None


def usual_cache(rows: ServingRows) -> str | None:
    """Storage of the KV cache where a file does not tell: recipes of TensorRT-LLM, and those of all engines on chips
    with 4-bit units, keep it in 8 bits where weights have 8 bits or fewer."""
    narrow = rows.precision not in ("bf16", "fp16", "w4a16", "mxfp4", "")
    wide_chip = "fp4" not in load_hardware(rows.hardware).native
    return "fp8" if narrow and (load_engine(rows.engine).id == "trtllm" or not wide_chip) else None


def drawn_lengths(rows: ServingRows) -> tuple[Array, Array]:
    """Mean input and output tokens of the requests, where a load generator draws them below the nominal ones."""
    nominal = DRAWN_LENGTHS.get(rows.harness, ())
    drawn = np.isin(rows.input_tokens, nominal) & np.isin(rows.output_tokens, nominal)
    share = np.where(drawn, DRAWN_SHARE, 1.0)
    return rows.input_tokens * share, rows.output_tokens * share


def _set_of(kept: Sequence[tuple[ServingRows, Deployment]]) -> ServingSet:
    sizes = [len(own) for own, _ in kept]
    group = np.repeat(np.arange(len(kept)), sizes)
    starts = np.cumsum([0, *sizes])
    members = [np.arange(first, first + size) for first, size in zip(starts, sizes, strict=False)]

    def column(values: Callable[[ServingRows, Deployment], Any]) -> Array:
        return np.concatenate([np.zeros(len(own)) + values(own, deployment) for own, deployment in kept])

    lengths = [drawn_lengths(own) for own, _ in kept]
    inputs = np.concatenate([pair[0] for pair in lengths])
    outputs = np.concatenate([pair[1] for pair in lengths])
    users = column(lambda own, _: own.sequences)
    room = np.concatenate([_room(deployment, i + o / 2) for (_, deployment), (i, o) in zip(kept, lengths, strict=True)])
    loop = Loop(
        users=users,
        running=np.minimum(users, room),
        input_tokens=inputs,
        output_tokens=outputs,
        chunk_tokens=column(lambda _, deployment: float(deployment.engine.chunk_tokens or 1 << 20)),
        mixed=column(lambda _, deployment: deployment.engine.mixed) > 0,
        attention_data=column(lambda own, _: own.layout.attention_data),
        drafts=column(lambda own, _: drafts_of(own)),
    )
    host = Host(
        layers=column(lambda _, deployment: deployment.host.layers),
        experts=column(lambda _, deployment: deployment.host.experts),
        sparse=column(lambda _, deployment: deployment.host.sparse),
    )
    engines = [deployment.engine.id for own, deployment in kept for _ in range(len(own))]
    runs = gather_runs([deployment.work for _, deployment in kept], members, loop, host, engines)
    unknowns = unknowns_of(runs.classes, runs.engines)
    runs = settle(runs, unknowns.coefficients(np.zeros(len(unknowns.names)), runs.engine))
    return ServingSet(
        groups=tuple(own for own, _ in kept),
        group=group,
        place=np.concatenate([np.arange(size) for size in sizes]),
        deployments=tuple(deployment for _, deployment in kept),
        runs=runs,
        tpot=column(lambda own, _: own.tpot_seconds),
        ttft=column(lambda own, _: own.ttft_seconds),
        labels=_labels(kept),
        slopes=slopes_of(column(lambda own, _: own.concurrency), inputs, outputs),
    )


def drafts_of(rows: ServingRows) -> int:
    """Tokens drafted in a step; servers under attention data parallelism draft one, others three."""
    return (1 if rows.layout.attention_data > 1 else 3) if rows.speculative else 0


def _room(deployment: Deployment, context: Array) -> Array:
    """Sequences that run at once on a rank; no limit where the estimate says that nothing fits, since it ran."""
    if deployment.capacity.parts["cache"] < NO_ESTIMATE * deployment.hardware.memory_bytes:
        return np.full(len(context), UNLIMITED)
    return np.asarray(np.maximum(deployment.capacity.sequences(context), 1.0), dtype=float)


def _labels(kept: Sequence[tuple[ServingRows, Deployment]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {name: [] for name in LABELS}
    for own, deployment in kept:
        shared = {
            "model": own.subject,
            "family": model_family(own.subject),
            "hardware": own.hardware,
            "chip_family": load_hardware(own.hardware).family,
            "engine": deployment.engine.id,
            "version": own.version,
            "precision": deployment.precision,
            "speculative": str(int(own.speculative)),
            "layout": str(own.layout),
        }
        for i, o in zip(own.input_tokens, own.output_tokens, strict=True):
            for name, text in (shared | {"lengths": f"{i:g}x{o:g}"}).items():
                found[name].append(text)
    return {name: tuple(column) for name, column in found.items()}
