"""What all reports of load tests share: JSON documents, runs as their tools tell them, and what the user adds.

    report.json ──documents──▶ one tool's reader ──▶ Run ... ──with Told──▶ ServingRows of each deployment

No report names the chip, and hardly any the engine's release or the layout: that is `Told`. May import: errors,
layouts, types, serving_rows, measurements and model_names.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np

from perfmodel.calibration.measurements import Array, Imported
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources.model_names import FindModel
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.outside_files import MAX_REPORT_BYTES, open_file, parse_json, read_bytes
from perfmodel.types import Hardware

Document: TypeAlias = Mapping[str, Any]

NAN = float("nan")
FIGURES = ("ttft_seconds", "tpot_seconds", "e2e_seconds", "output_throughput")
_JSON_STARTS = (b"{", b"[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the user tells of a load test beside its report; "" and None for nothing.

    Args:
        hardware, model, precision: of the catalogs. engine: as "vllm" or "vllm@0.8.5".
        cache_precision: storage format of the KV cache. layout: devices of the server.
        speculative: draft tokens were guessed and checked.
    """

    hardware: str = ""
    model: str = ""
    precision: str = ""
    engine: str = ""
    cache_precision: str = ""
    layout: Layout | None = None
    speculative: bool = False

    def __bool__(self) -> bool:
        return any(getattr(self, own.name) for own in fields(self))


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as a report tells it; NaN and "" for what it does not.

    Args: as in `ServingRows`; tensor: devices that share every layer, 0 if unknown.
    """

    harness: str
    model: str = ""
    engine: str = ""
    version: str = ""
    tensor: int = 0
    speculative: bool = False
    date: str = ""
    input_tokens: float = NAN
    output_tokens: float = NAN
    concurrency: float = NAN
    rate: float = NAN
    requests: float = 0.0
    ttft_seconds: float = NAN
    tpot_seconds: float = NAN
    e2e_seconds: float = NAN
    output_throughput: float = NAN
    percentiles: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)


def holds_json(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like a JSON object or list; none that cannot be read does."""
    try:
        with open_file(path) as file:
            start = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return False
    return start.startswith(_JSON_STARTS)


def read_documents(path: str | os.PathLike[str]) -> list[Document]:
    """The objects of a JSON file: one, a list of them, or one a line.

    Raises:
        InputError: no JSON, a file that is cut, or anything but objects in it; with line and column.
    """
    name = os.fspath(path)
    try:
        content = read_bytes(path, MAX_REPORT_BYTES)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}).") from None
    try:
        found = parse_json(content)
    except ValueError as error:
        lines = [line for line in content.splitlines() if line.strip()]
        try:
            found = [parse_json(line) for line in lines] if len(lines) > 1 else None
        except ValueError:
            found = None
        if found is None or not all(isinstance(one, dict) for one in found):
            raise InputError(f"{name} is no sound JSON, or is cut ({error}).") from None
    documents = found if isinstance(found, list) else [found]
    if not documents or not all(isinstance(one, dict) for one in documents):
        raise InputError(f"{name} holds no JSON object, so no report of a load test.")
    return documents


# -------------------------------------------------------------------------------------------- values of a report


def number(value: Any) -> float:
    """A number of a report, also written as a text ("inf"); NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return NAN
    try:
        return float(value)
    except (ValueError, OverflowError):
        return NAN


def text(value: Any) -> str:
    """A text of a report, "" for anything else."""
    return value.strip() if isinstance(value, str) else ""


def inside(document: Any, *keys: str) -> Any:
    """What stands under keys, one below the other; None if nothing does.

    >>> inside({"a": {"b": 1}}, "a", "b"), inside({"a": 1}, "a", "b")
    (1, None)
    """
    for key in keys:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def iso_date(value: Any) -> str:
    """The day of a Unix time, of "20250530-203806" or of an ISO time; "" if it is none.

    >>> iso_date("20250530-203806"), iso_date("2025-10-17T20:22:08"), iso_date(1748637486)
    ('2025-05-30', '2025-10-17', '2025-05-30')
    """
    if isinstance(value, str):
        day = re.match(r"(20\d\d)-?(\d\d)-?(\d\d)", value)
        return "-".join(day.groups()) if day else ""
    seconds = number(value)
    if not 0 < seconds < 1e11:  # also NaN
        return ""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


# ------------------------------------------------------------------------------------------ runs -> ServingRows


def group_runs(
    path: str, source: str, runs: Sequence[Run], told: Told, chip: Hardware | None, find_model: FindModel
) -> Imported:
    """Runs of a report, in groups of one deployment each.

    Args:
        chip: the one that was told. find_model: (name, precision) -> (model, precision) or None.

    Raises:
        InputError: what neither the report nor `told` says, all of it.
    """
    engine, _, version = told.engine.partition("@")
    runs = [
        replace(
            run,
            model=told.model or run.model,
            engine=engine or run.engine,
            version=version or run.version,
            speculative=told.speculative or run.speculative,
        )
        for run in runs
    ]
    deployed = {run.model: find_model(run.model, told.precision) for run in runs if run.model}
    if missing := _missing(runs, chip, deployed):
        raise InputError(
            f"{path} is a report of {source}, which does not tell all that is needed. Add {'; '.join(missing)}."
        )
    assert chip is not None
    skipped: dict[str, int] = {}
    groups: dict[tuple[Any, ...], list[tuple[int, Run]]] = {}
    for row, run in enumerate(runs, start=1):
        if reason := _reason_to_skip(run):
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        layout = told.layout or Layout(tensor=run.tensor or 1)
        key = (run.harness, run.model, run.engine, run.version, run.speculative, layout)
        groups.setdefault(key, []).append((row, run))
    serving = []
    for key, own in groups.items():
        model, precision = deployed[key[1]] or ("", "")
        serving.append(_rows(path, source, own, chip.id, model, precision, key[-1], told.cache_precision))
    return Imported(serving=tuple(serving), skipped=skipped, rows=len(runs))


def _missing(runs: Iterable[Run], chip: Hardware | None, deployed: Mapping[str, tuple[str, str] | None]) -> list[str]:
    """The options that have to be added, with what they are for."""
    missing = [] if chip else ["--hardware, a chip of `perfmodel hardware list`"]
    if any(not run.model for run in runs):
        missing.append("--model, a name of `perfmodel models list` or a config.json")
    missing += [
        f"--model, since '{name}' is none of `perfmodel models list`" for name, own in deployed.items() if own is None
    ]
    if any(not run.engine for run in runs):
        missing.append("--engine, e.g. vllm@0.8.5")
    return missing


def _reason_to_skip(run: Run) -> str:
    """Why a run is of no use; "" if it is."""
    figures = {name: getattr(run, name) for name in FIGURES}
    if all(math.isnan(value) for value in figures.values()):
        return "no TTFT, TPOT, latency or throughput"
    for name, value in figures.items():
        if not math.isnan(value) and not 0 < value < math.inf:
            return f"{name} is no positive number"
    for name in ("input_tokens", "output_tokens"):
        if not 0 < getattr(run, name) < math.inf:
            return f"{name} is missing or no positive number"
    if math.isnan(run.concurrency) and math.isnan(run.rate):
        return "neither a concurrency nor a rate"
    return "" if not (run.concurrency < 1 or run.rate <= 0) else "a concurrency or a rate that is not positive"


def _rows(
    path: str,
    source: str,
    members: Sequence[tuple[int, Run]],
    hardware: str,
    model: str,
    precision: str,
    layout: Layout,
    cache_precision: str,
) -> ServingRows:
    runs = [run for _, run in members]
    first = runs[0]

    def column(values: Iterable[float]) -> Array:
        return np.array(list(values), dtype=float)

    def columns(tables: Sequence[Mapping[str, float]]) -> dict[str, Array]:
        names = dict.fromkeys(name for table in tables for name, value in table.items() if math.isfinite(value))
        return {name: column(table.get(name, NAN) for table in tables) for name in names}

    return ServingRows(
        source=source,
        file=path,
        harness=first.harness,
        hardware=hardware,
        engine=first.engine,
        version=first.version,
        subject=first.model,
        model=model,
        precision=precision,
        cache_precision=cache_precision,
        layout=layout,
        speculative=first.speculative,
        rows=np.array([row for row, _ in members]),
        input_tokens=column(run.input_tokens for run in runs),
        output_tokens=column(run.output_tokens for run in runs),
        concurrency=column(run.concurrency for run in runs),
        rate=column(run.rate for run in runs),
        requests=column(run.requests for run in runs),
        ttft_seconds=column(run.ttft_seconds for run in runs),
        tpot_seconds=column(run.tpot_seconds for run in runs),
        e2e_seconds=column(run.e2e_seconds for run in runs),
        output_throughput=column(run.output_throughput for run in runs),
        dates=np.array([run.date for run in runs]),
        percentiles=columns([run.percentiles for run in runs]),
        facts=columns([run.facts for run in runs]),
    )
