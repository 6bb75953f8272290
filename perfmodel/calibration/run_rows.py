"""Measured runs of this machine as rows of a network's form: programs of the suite, and whole models.

    points ──(build, trace, compile)──▶ ModelRow each, by what it is: single, interleaved, block, deep, model

A program is traced by the tracer that models go through, so that what its ops leave in the caches for one another is
part of the fit. What a GPU ran as a captured graph, too, is a second row, without the time of a host.
May import: framework_rows, measurements, model_times, measuring, graphs and below; torch through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.calibration.framework_rows import ModelRow, row_of
from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.model_times import model_program
from perfmodel.errors import PerfmodelError
from perfmodel.graphs.rewrite import in_scheme
from perfmodel.graphs.torch_module import trace_module
from perfmodel.kernels import Device
from perfmodel.measuring.programs import TimedProgram, suite_programs, torch_dtype
from perfmodel.measuring.validation_models import VALIDATION_MODELS
from perfmodel.precisions import find_scheme, own_scheme
from perfmodel.program import compile_graph
from perfmodel.types import Graph, Hardware

Progress = Callable[[str], None]
Point = Mapping[str, Any]
SOURCE, MODEL = "runs", "model"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A measured run and what its time is made of.

    Args:
        group: single, interleaved, block or deep for programs; model. name: for tables, with phase and sizes.
        replayed: the run was the replay of a captured graph, the device alone.
    """

    group: str
    name: str
    row: ModelRow
    replayed: bool = False


def model_name(point: Point) -> str:
    """A whole model's run in words.

    >>> model_name({"model": "gpt2-small", "phase": "decode", "batch": 1, "input_tokens": 128, "output_tokens": 64})
    'gpt2-small decode, 128 + 64 tokens'
    """
    tokens = " + ".join(str(point[key]) for key in ("input_tokens", "output_tokens") if point.get(key))
    parts = [f"batch {point['batch']}" if point.get("batch", 1) > 1 else "", f"{tokens} tokens" if tokens else ""]
    phase = "" if point["phase"] == "forward" else f" {point['phase']}"
    return ", ".join([f"{point['model']}{phase}", *(part for part in parts if part)])


def program_rows(
    points: Sequence[Point],
    chip: Hardware,
    suite: str,
    llc_bytes: int,
    progress: Progress | None = None,
    *,
    start: Device | None = None,
    disturbed: bool = False,
) -> list[RunRow]:
    """Points of the suite's programs as rows of a chip; programs of other suites are left out.

    Args:
        chip: with the threads that ran. llc_bytes: as at the measurement: it sets how many weights programs go through.
        start: the chip with the coefficients that a fit starts from, by which a GPU's form is chosen; all points are of
            its dtype.
        disturbed: take runs that other programs disturbed, too.
    """
    found: list[RunRow] = []
    device = "cuda" if chip.kind == "gpu" else "cpu"
    programs: dict[str, dict[str, TimedProgram]] = {}
    for done, point in enumerate(points):
        if point.get("contaminated") and not disturbed:
            continue
        dtype = point["dtype"]
        if dtype not in programs:
            programs[dtype] = {
                program.name: program for program in suite_programs(suite, dtype, llc_bytes, device=device)
            }
        program = programs[dtype].get(point["program"])
        if program is None:
            continue
        if progress and done % 100 == 0:
            progress(f"traced {done} of {len(points)} programs")
        graph = _program_graph(program, dtype)
        fact = _fact(point, chip, subject=program.name)
        row = row_of(fact, compile_graph(graph, start or Device(chip, point["runtime"], {})), {})
        found += _with_replay(RunRow(point["group"], program.name, row), point)
    return found


def _with_replay(own: RunRow, point: Point) -> list[RunRow]:
    """The row, and that of the device alone where its time was measured, too."""
    seconds = point.get("device_seconds")
    if not seconds:
        return [own]
    row = replace(own.row, launches=0.0, fact=replace(own.row.fact, value_seconds=seconds))
    return [own, replace(own, row=row, replayed=True)]


def _program_graph(program: TimedProgram, dtype: str) -> Graph:
    from perfmodel.measuring.program_parts import without_content

    with without_content():
        module, inputs = program.make(torch_dtype(dtype))
    model = trace_module(module, inputs, name=program.name, source=program.name, symbolic=False)
    graph = model.phases["forward"]
    other = "int8" if program.quantized else "tf32" if dtype == "tf32" else ""
    return in_scheme(graph, own_scheme(model.precision), find_scheme(other)) if other else graph


def model_rows(
    points: Iterable[Point], chip: Hardware, *, start: Device | None = None, disturbed: bool = False
) -> tuple[list[RunRow], dict[str, str]]:
    """Points of whole models as rows, and name -> why one cannot be predicted; arguments as `program_rows`."""
    found, reasons = [], {}
    for point in points:
        if point.get("contaminated") and not disturbed:
            continue
        try:
            fact = model_fact(point, chip)
            row = row_of(fact, *model_program(fact, start or Device(chip, fact.runtime, {})))
        except PerfmodelError as error:
            reasons[model_name(point)] = str(error)
            continue
        found += _with_replay(RunRow(MODEL, model_name(point), row), point)
    return found, reasons


def model_fact(point: Point, chip: Hardware) -> Measurement:
    """A whole model's point as a measurement of a chip."""
    sources: dict[str, str] = {model.name: model.source for model in VALIDATION_MODELS}
    name = str(point["model"])
    return _fact(point, chip, subject=name, model=sources.get(name, name))


def _fact(point: Point, chip: Hardware, *, subject: str, model: str = "") -> Measurement:
    return Measurement(
        source=SOURCE,
        file="",
        row=0,
        hardware=chip.id,
        runtime=point["runtime"],
        engine="torch",
        version="",
        subject=subject,
        model=model,
        phase=point.get("phase", "forward"),
        precision=point["dtype"],
        batch=point.get("batch", 1),
        input_tokens=point.get("input_tokens", 0),
        output_tokens=point.get("output_tokens", 0),
        image_size=point.get("image_size", 0),
        value_seconds=point["seconds"],
        repeats=point.get("repeats", 0),
        date=str(point.get("date", ""))[:10],
    )
