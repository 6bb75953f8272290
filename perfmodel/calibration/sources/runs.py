"""Files that `perfmodel measure` writes: whole models and collectives, timed on a person's own machine.

    {"schema": "perfmodel-runs/1", "machine": {"id": "0123456789ab", ...}, "versions": {"torch": "2.13.0"}, ...}
    {"model": "resnet50", "phase": "forward", "dtype": "fp32", "threads": 2, "runtime": "eager", "seconds": 0.08, ...}
    {"operation": "all_reduce", "bytes": 1024, "devices": 2, ...}                              (see run_collectives)

The chip is the profile whose alias is the machine's id, with the cores that worked; with a CUDA device it is the GPU by
its name. `amp-bf16` keeps weights in fp32 and casts under autocast. A model's name becomes the one that predictions
give it, so that its runs anchor them. Programs of a suite are counted and left out: calibrations read those.

May import: errors, catalog, threads, graphs, precisions, measuring (nothing of it that needs torch).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.measurements import MEASURED_PHASES, Array, Imported, Measurement
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import Check, FindDevice, known_checks, sift, size_checks, time_checks
from perfmodel.calibration.sources.run_collectives import DISTURBED, is_collective, read_collectives
from perfmodel.catalog import MACHINE_ALIAS
from perfmodel.errors import InputError, PerfmodelError, SpecError
from perfmodel.graphs import load_model
from perfmodel.kernels import RUNTIMES
from perfmodel.measuring.run_files import Point, Runs, read_runs
from perfmodel.precisions import AUTOCASTS, PRECISIONS, find_scheme
from perfmodel.threads import with_threads
from perfmodel.types import Hardware

NAME = "runs"
PROGRAMS = "programs of the suite: `perfmodel calibrate` fits them"
_TIMM, _TORCH = "timm:", "torch:"
_COUNTS = {"batch": 1, "threads": 1}  # name -> the least it can be
_SIZES = ("input_tokens", "output_tokens", "image_size")
_TEXTS = ("model", "phase", "dtype", "runtime", "date")


def read_run_file(path: str | os.PathLike[str], find: FindDevice) -> Imported:
    """The whole models and collectives in a file of runs.

    Raises:
        InputError: it cannot be read or is damaged, or no profile is of the machine it was measured on.
    """
    try:
        runs = read_runs(path)
    except SpecError as error:
        raise InputError(str(error)) from None
    name = os.fspath(path)
    if not runs.points:
        raise InputError(f"{name} has no points below its first line.")
    between = _where(runs.points, is_collective)
    imported = Imported()
    if (rows := np.flatnonzero(between)).size:
        points = [runs.points[row] for row in rows]
        imported += read_collectives(name, runs.header, points, rows + 1, lambda: _chip(name, runs, find), NAME)
    if (rows := np.flatnonzero(~between)).size:
        imported += _read_models(name, runs, [runs.points[row] for row in rows], rows + 1, find)
    return imported


def _read_models(name: str, runs: Runs, points: Sequence[Point], rows: Array, find: FindDevice) -> Imported:
    count = len(points)
    table = _columns(name, points, rows)
    usable, skipped = sift(count, _checks(points, table))
    if not usable.any():
        return Imported(skipped=skipped, rows=count)
    chip = _chip(name, runs, find)
    threads = table.numbers("threads")
    chips = _chips_of_threads(chip, runs, np.unique(threads[usable]))
    for most in sorted({int(value) for value in threads[usable]} - chips.keys()):
        refused = usable & (threads == most)
        skipped[f"{most} threads, but {chip.id} has {chip.cores} cores"] = int(refused.sum())
        usable &= ~refused
    return Imported(
        measurements=tuple(_measurements(table, runs, chips, np.flatnonzero(usable))), skipped=skipped, rows=count
    )


def _columns(path: str, points: Sequence[Point], rows: Array) -> Columns:
    """The points as a table; sizes that a model does not have are 0."""
    missing = {**dict.fromkeys(_TEXTS, ""), **dict.fromkeys(_SIZES, "0"), "seconds": "", "repeats": "0"}
    missing |= dict.fromkeys(_COUNTS, "")
    raw = {name: [str(point.get(name, value)) for point in points] for name, value in missing.items()}
    return Columns(path, raw, rows)


def _checks(points: Sequence[Point], table: Columns) -> list[Check]:
    precisions = f"unknown dtype {{}} (known: {', '.join((*PRECISIONS, *AUTOCASTS))})"
    return [
        (_where(points, lambda point: "program" in point), PROGRAMS),
        (_where(points, lambda point: not point.get("model")), "neither a model nor a program"),
        (_where(points, lambda point: bool(point.get("contaminated"))), DISTURBED),
        *time_checks(table.numbers("seconds")),
        *known_checks(table.texts("phase"), MEASURED_PHASES.__contains__, "unknown phase {}"),
        *known_checks(table.texts("dtype"), (*PRECISIONS, *AUTOCASTS).__contains__, precisions),
        *known_checks(table.texts("runtime"), RUNTIMES.__contains__, "unknown runtime {}"),
        *(
            check
            for name, least in _COUNTS.items()
            for check in size_checks({name: table.numbers(name)}, at_least=least)
        ),
        *size_checks({name: table.numbers(name) for name in (*_SIZES, "repeats")}, at_least=0),
    ]


def _where(points: Sequence[Point], fails: Any) -> Array:
    return np.array([fails(point) for point in points], dtype=bool)


def _chip(path: str, runs: Runs, find: FindDevice) -> Hardware:
    """Raises:
    InputError: no profile is of that machine or GPU.
    """
    machine = runs.header.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    if runs.header.get("device") == "cuda":
        gpu = str(machine.get("gpu", ""))
        chip = find(gpu) if gpu else None
        if chip is None:
            raise InputError(
                f"{path} was measured on a GPU that no profile has for an alias: '{gpu}'. Write a profile with it "
                "(hardware_specs/README.md) and give its folder with --specs."
            )
        return chip
    identifier = str(machine.get("id", ""))
    if not identifier:
        raise InputError(f"{path}: its first line has no id of the machine; measure anew with `perfmodel measure`.")
    chip = find(f"{MACHINE_ALIAS}{identifier}")
    if chip is None:
        raise InputError(
            f"{path} was measured on a machine that no profile is of: {machine.get('cpu') or 'unknown CPU'}, "
            f"{machine.get('cores', '?')} cores, machine {identifier}. `perfmodel hardware detect --save` or "
            "`perfmodel calibrate` on that machine makes one; of another machine, copy the profile here and give its "
            "folder with --specs."
        )
    return chip


def _chips_of_threads(chip: Hardware, runs: Runs, threads: Array) -> dict[int, str]:
    """Threads -> id of the chip with so many cores at work; without more threads than it has cores."""
    counts = [int(count) for count in threads]
    if runs.header.get("device") == "cuda":  # the cores of the host, not of the chip
        return dict.fromkeys(counts, chip.id)
    return {count: with_threads(chip, count)[0].id for count in counts if count <= chip.cores}


def _measurements(table: Columns, runs: Runs, chips: Mapping[int, str], rows: Array) -> Iterator[Measurement]:
    texts = {name: table.texts(name) for name in _TEXTS}
    counts = {name: table.numbers(name) for name in (*_COUNTS, *_SIZES, "repeats")}
    seconds = table.numbers("seconds")
    versions = runs.header.get("versions")
    version = str(versions.get("torch", "")) if isinstance(versions, dict) else ""
    for row in rows:
        own = {name: column.values[column.codes[row]] for name, column in texts.items()}
        sizes = {name: int(column[row]) for name, column in counts.items()}
        source = _sources().get(own["model"], own["model"])
        cast = find_scheme(own["dtype"]).compute if own["dtype"] in AUTOCASTS else ""
        yield Measurement(
            source=NAME,
            file=table.path,
            row=int(table.rows[row]),
            hardware=chips[sizes.pop("threads")],
            runtime=own["runtime"],
            engine="torch",
            version=version.partition("+")[0],  # which build it is (+cpu, +cu130) is no other release
            subject=_name(source),
            model=source,
            phase=own["phase"],
            precision=cast or own["dtype"],
            options={"autocast": cast} if cast else {},
            value_seconds=float(seconds[row]),
            date=own["date"],
            **sizes,  # type: ignore[arg-type]
        )


@lru_cache(1)
def _sources() -> Mapping[str, str]:
    """The short names of the models that calibrations are checked against -> what `load_model` takes."""
    from perfmodel.measuring.validation_models import VALIDATION_MODELS  # rarely needed

    return {model.name: model.source for model in VALIDATION_MODELS}


@lru_cache(256)
def _name(source: str) -> str:
    """The name that predictions give a model; a traced one's without tracing it."""
    if source.startswith(_TIMM):
        return source.removeprefix(_TIMM)
    if source.startswith(_TORCH):
        file, _, factory = source.removeprefix(_TORCH).rpartition(":")
        return f"{Path(file).stem}:{factory}"
    try:
        return load_model(source).name
    except PerfmodelError:  # a file that is not here; predictions tell of it
        return source
