"""Published static batches as the columns that their fit and scores work on.

    ServingRows of static batches ──deploy──▶ StaticSet: parts of steps, one measured figure a row, labels

A row has one figure, the first in `FIGURES` that is there; rates are turned into seconds where that is only another way
to write them, and throughputs of whole batches stay rates. May import: serving_rows, serving and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.errors import PerfmodelError
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import fit_name
from perfmodel.serving.engine_time import Host
from perfmodel.serving.static_batch import (
    Batch,
    StaticParts,
    StepParts,
    Traits,
    decode_seconds,
    e2e_seconds,
    output_throughput,
    prefill_seconds,
    static_parts,
)
from perfmodel.serving.static_deployments import deploy_static, traits_of
from perfmodel.serving.step_table import Array

HARNESS = "static batch"
FIGURES = ("ttft_seconds", "tpot_seconds", "e2e_seconds", "output_throughput")
TTFT, TPOT, E2E, THROUGHPUT = range(len(FIGURES))
METRICS = ("ttft", "tpot", "e2e", "throughput")  # names of scores
LABELS = ("hardware", "family", "engine", "fit", "version", "model", "precision", "layout")
EARLY = "the answers ended before they were complete: the steps that were measured would have taken longer"
EARLY_SHARE = 0.8
FASTER = "a figure of this batch is below its physical bound: it was not computed as a whole"
TOO_LARGE = "the batch's caches do not fit into memory by the estimate: an engine would run it in turns"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSet:
    """Rows that can be scored.

    Args:
        groups: the rows of each deployment, as read; group, place: where each row came from.
        parts, batch, traits, host: columns over the rows. measured: seconds, or tokens per second.
        figure: index into `FIGURES`. labels: by `LABELS`, one per row.
    """

    groups: tuple[ServingRows, ...]
    deployments: tuple[Deployment, ...]
    group: np.ndarray[Any, np.dtype[np.intp]]
    place: np.ndarray[Any, np.dtype[np.intp]]
    parts: StaticParts
    batch: Batch
    traits: Traits
    host: Host
    measured: Array
    figure: np.ndarray[Any, np.dtype[np.intp]]
    labels: Mapping[str, np.ndarray[Any, Any]]

    def __len__(self) -> int:
        return len(self.measured)


def static_batches(groups: Sequence[ServingRows]) -> list[ServingRows]:
    """The static batches among server runs."""
    return [own for own in groups if own.harness == HARNESS]


def gather_static(
    groups: Sequence[ServingRows], *, specs: str | None = None, progress: Callable[[str], None] | None = None
) -> tuple[StaticSet | None, dict[str, int]]:
    """The rows of files, and why the others cannot be used: reason -> rows."""
    skipped: dict[str, int] = {}
    kept: list[tuple[ServingRows, Deployment]] = []
    for own in static_batches(groups):
        if progress:
            progress(f"{own.subject} on {own.hardware} under {own.engine}")
        try:
            deployment = deployment_of(own, specs)
        except PerfmodelError as error:
            skipped[str(error)] = skipped.get(str(error), 0) + len(own)
            continue
        usable = np.ones(len(own), dtype=bool)
        for reason, rows in (
            (EARLY, ended_early(own)),
            (TOO_LARGE, ~batch_fits(own, deployment)),
            (FASTER, below_bound(own, deployment)),
        ):
            if (rows & usable).any():
                skipped[reason] = skipped.get(reason, 0) + int((rows & usable).sum())
            usable &= ~rows
        if usable.any():
            kept.append((own.take(np.flatnonzero(usable)), deployment))
    return (_set_of(kept) if kept else None), skipped


def deployment_of(rows: ServingRows, specs: str | None = None) -> Deployment:
    """The deployment that rows were measured on, with all layers on each device: `static_batch` deals them out."""
    return deploy_static(
        rows.model,
        rows.hardware,
        engine=rows.engine,
        precision=rows.precision or None,
        layout=rows.layout,
        specs=specs,
    )


def batch_fits(rows: ServingRows, deployment: Deployment) -> Any:
    """Whether memory holds the caches of each batch; single sequences, which ran, are taken at their word."""
    stages = rows.layout.pipeline
    capacity = deployment.capacity
    usable = capacity.parts["memory"] - capacity.parts["unused"]
    cache = usable * stages - capacity.parts["weights"] - capacity.parts["activations"]
    each = np.asarray(capacity.sequence_bytes(rows.input_tokens + rows.output_tokens), dtype=float)
    return (rows.concurrency <= 1) | (rows.concurrency * each <= cache)


def ended_early(rows: ServingRows) -> Any:
    """End-to-end times below what the steps of the same batch, measured as well, add up to for all its tokens."""
    step: dict[tuple[float, ...], float] = {}
    keys = list(zip(rows.input_tokens, rows.output_tokens, rows.concurrency, strict=True))
    for key, seconds in zip(keys, rows.tpot_seconds, strict=True):
        if np.isfinite(seconds):
            step[key] = float(seconds)
    least = np.array([EARLY_SHARE * (key[1] - 1) * step.get(key, 0.0) for key in keys])
    return np.nan_to_num(rows.e2e_seconds, nan=np.inf) < least


def below_bound(rows: ServingRows, deployment: Deployment) -> Any:
    """Batches one of whose latencies is shorter than the device could be, and all their other figures.

    Engines that preempt sequences, for which there is no memory, report the time of those that ran.
    """
    batch = batch_of(rows, deployment)
    parts = static_parts(deployment.work, batch)
    prompts = parts.prefill.bound * batch.chunks / batch.stages
    with np.errstate(invalid="ignore"):
        short = (rows.ttft_seconds < prompts) | (rows.tpot_seconds < parts.decode.bound)
    keys = list(zip(rows.input_tokens, rows.output_tokens, rows.concurrency, strict=True))
    wrong = {key for key, own in zip(keys, short, strict=True) if own}
    return np.array([key in wrong for key in keys])


def _set_of(kept: Sequence[tuple[ServingRows, Deployment]]) -> StaticSet:
    sizes = [len(own) for own, _ in kept]
    classes = tuple(
        dict.fromkeys(
            name
            for _, deployment in kept
            for work in (deployment.work.token, deployment.work.decode, deployment.work.prefill)
            for name in work.classes
        )
    )

    def column(values: Callable[[ServingRows, Deployment], object]) -> Array:
        return np.concatenate([np.zeros(len(own)) + values(own, deployment) for own, deployment in kept])  # type: ignore[operator]

    batches = [batch_of(own, deployment) for own, deployment in kept]
    parts = [static_parts(one.work, batch, classes) for (_, one), batch in zip(kept, batches, strict=True)]
    figures = np.concatenate([np.stack([getattr(own, name) for name in FIGURES]) for own, _ in kept], axis=1)
    figure = np.isfinite(figures).argmax(axis=0)
    return StaticSet(
        groups=tuple(own for own, _ in kept),
        deployments=tuple(deployment for _, deployment in kept),
        group=np.repeat(np.arange(len(kept)), sizes),
        place=np.concatenate([np.arange(size) for size in sizes]),
        parts=StaticParts(
            classes=classes,
            prefill=_joined([own.prefill for own in parts]),
            decode=_joined([own.decode for own in parts]),
        ),
        batch=Batch(
            **{
                name: np.concatenate(
                    [np.broadcast_to(getattr(b, name), n) for b, n in zip(batches, sizes, strict=True)]
                )
                for name in Batch.__dataclass_fields__
            }
        ),
        traits=Traits(
            group=column(lambda _, deployment: traits_of(deployment).group),
            hbm=column(lambda _, deployment: traits_of(deployment).hbm),
            bandwidth=column(lambda _, deployment: traits_of(deployment).bandwidth),
            unpack=column(lambda _, deployment: traits_of(deployment).unpack),
        ),
        host=Host(
            layers=column(lambda _, deployment: deployment.host.layers),
            experts=column(lambda _, deployment: deployment.host.experts),
            sparse=column(lambda _, deployment: deployment.host.sparse),
        ),
        measured=figures[figure, np.arange(len(figure))],
        figure=figure,
        labels=_labels(kept, sizes),
    )


def batch_of(rows: ServingRows, deployment: Deployment) -> Batch:
    """The batches of rows, with what the engine does with prompts."""
    return Batch(
        sequences=rows.concurrency,
        input_tokens=rows.input_tokens,
        output_tokens=rows.output_tokens,
        chunk_tokens=float(deployment.engine.chunk_tokens or np.inf),
        stages=float(rows.layout.pipeline),
    )


def _joined(parts: Sequence[StepParts]) -> StepParts:
    return StepParts(
        parts=np.concatenate([own.parts for own in parts], axis=2), bound=np.concatenate([own.bound for own in parts])
    )


def _labels(kept: Sequence[tuple[ServingRows, Deployment]], sizes: Sequence[int]) -> dict[str, np.ndarray[Any, Any]]:
    found = [
        {
            "hardware": own.hardware, "family": deployment.hardware.family, "engine": own.engine,
            "version": own.version, "model": own.model, "precision": own.precision, "layout": str(own.layout),
            "fit": fit_name(own.engine, deployment.hardware),
        }
        for own, deployment in kept
    ]  # fmt: skip
    return {name: np.repeat([own[name] for own in found], sizes) for name in LABELS}


def take_static(data: StaticSet, rows: Any) -> StaticSet:
    """Some rows."""
    picked: dict[str, Any] = {
        name: type(own)(**{key: getattr(own, key)[..., rows] for key in own.__dataclass_fields__})
        for name, own in (("batch", data.batch), ("traits", data.traits), ("host", data.host))
    }
    parts = StaticParts(
        classes=data.parts.classes,
        prefill=StepParts(parts=data.parts.prefill.parts[..., rows], bound=data.parts.prefill.bound[rows]),
        decode=StepParts(parts=data.parts.decode.parts[..., rows], bound=data.parts.decode.bound[rows]),
    )
    columns: dict[str, Any] = {name: getattr(data, name)[rows] for name in ("group", "place", "measured", "figure")}
    labels = {name: own[rows] for name, own in data.labels.items()}
    return replace(data, parts=parts, labels=labels, **picked, **columns)


def predict_static(data: StaticSet, c: EngineCoefficients) -> Array:
    """The figure of each row, of engines with those coefficients (numbers, or one a row)."""
    prefill = prefill_seconds(data.parts, data.batch, data.host, c)
    decode = decode_seconds(data.parts, data.batch, data.traits, data.host, c)
    choices = (prefill, decode, e2e_seconds(prefill, decode, data.batch))
    return np.asarray(np.choose(data.figure, (*choices, output_throughput(prefill, decode, data.batch))))
