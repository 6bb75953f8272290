"""Files of recorded requests: CSV with a header, or one JSON object a line.

A file holds lengths of prompts and answers, and mostly arrival times. Known by their columns:

    arrival, input_tokens, output_tokens                      seconds from any start
    arrived_at, num_prefill_tokens, num_decode_tokens         Vidur's form of the Azure (Splitwise) and arXiv traces
    TIMESTAMP, ContextTokens, GeneratedTokens                 the Azure LLM traces as published
    Timestamp, Request tokens, Response tokens                BurstGPT, seconds
    timestamp, input_length, output_length                    Mooncake, milliseconds

Names are compared without case, blanks, dashes and underscores. Times are made relative to the first one; they must
ascend. Without a column of times the trace has lengths only. May import: errors, workload.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from perfmodel.errors import InputError, Problem, SpecError
from perfmodel.outside_files import MAX_TRACE_BYTES, check_size, lines_of, open_file, parse_json
from perfmodel.serving.workload import (
    MAX_REQUESTS,
    MAX_TOKENS,
    Array,
    Arrival,
    Counts,
    Workload,
    check_workload,
    make_workload,
    resampled_lengths,
)

# folded names: (column, seconds of its unit)
ARRIVAL_COLUMNS = (
    ("arrivalseconds", 1.0), ("arrival", 1.0), ("arrivaltime", 1.0), ("arrivedat", 1.0), ("timestamp", 1.0),
    ("arrivalms", 1e-3),
)  # fmt: skip
INPUT_COLUMNS = (
    "inputtokens", "prompttokens", "numprefilltokens", "contexttokens", "requesttokens", "inputlength", "promptlen",
    "promptlength", "prompt",
)  # fmt: skip
OUTPUT_COLUMNS = (
    "outputtokens", "completiontokens", "numdecodetokens", "generatedtokens", "responsetokens", "outputlength",
    "outputlen", "output",
)  # fmt: skip
MILLISECOND_COLUMNS = ("timestamp", "inputlength", "outputlength")  # together: Mooncake's
MOST_PROBLEMS = 20  # shown of one file


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Recorded requests.

    Args:
        arrival_seconds: from the first one on, ascending; None where the file has no times.
    """

    path: str
    input_tokens: Counts
    output_tokens: Counts
    arrival_seconds: Array | None = None


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace.

    Raises:
        InputError: the file cannot be read, or has no columns of lengths.
        SpecError: cells that are no times or lengths, with line and column.
    """
    try:
        with open_file(path) as raw:
            check_size(raw, MAX_TRACE_BYTES)
            columns, lines = _read_rows(str(path), TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text: a trace is CSV, or one JSON object a line") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; a trace has a request a line") from None
    return _trace(str(path), columns, lines)


# ------------------------------------------------------------------------------------------------------- reading


def _read_rows(path: str, file: TextIO) -> tuple[dict[str, list[Any]], list[int]]:
    """(cells by column as the file names it, line of each row)."""
    start = file.read(1)
    file.seek(0)
    rows = _json_rows(path, file) if start == "{" else _csv_rows(path, file)
    names, chosen = next(rows)
    cells: list[list[Any]] = [[] for _ in chosen]
    lines: list[int] = []
    for line, row in rows:
        if len(lines) == MAX_REQUESTS:
            raise InputError(f"{path}:{line}: more than {MAX_REQUESTS:,} requests; cut the trace, or sample it")
        lines.append(line)
        for column, cell in zip(cells, row, strict=True):
            column.append(cell)
    if not lines:
        raise InputError(f"{path} has no requests")
    return dict(zip(names, cells, strict=True)), lines


def _csv_rows(path: str, file: TextIO) -> Iterator[Any]:
    reader = csv.reader(lines_of(file))
    try:
        header = next(reader, None)
        if not header:
            raise InputError(f"{path} is empty: a trace begins with a line of column names")
        names = [name.strip() for name in header]
        used = _used_columns(path, names)
        places = [names.index(name) for name in used]
        yield used, places
        for row in reader:
            if row:
                yield reader.line_num, [row[place] if place < len(row) else "" for place in places]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}") from None


def _json_rows(path: str, file: TextIO) -> Iterator[Any]:
    used: list[str] = []
    for line, text in enumerate(lines_of(file), 1):
        if not text.strip():
            continue
        try:
            row = parse_json(text)
        except ValueError as error:
            raise InputError(f"{path}:{line}: is no JSON object, and a trace has one a line: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{line}: must be a JSON object, not {type(row).__name__}")
        if not used:
            used = _used_columns(path, list(row))
            yield used, used
        yield line, [row.get(name, "") for name in used]


def _used_columns(path: str, names: Sequence[str]) -> list[str]:
    """Of the file's columns those of prompt, answer and, where there is one, arrival, in this order."""
    by_folded = {_folded(name): name for name in reversed(names)}
    kinds: tuple[Iterable[str], ...] = (INPUT_COLUMNS, OUTPUT_COLUMNS, [name for name, _ in ARRIVAL_COLUMNS])
    found = [next((by_folded[name] for name in kind if name in by_folded), "") for kind in kinds]
    missing = [word for word, name in zip(("prompt", "answer"), found[:2], strict=True) if not name]
    if missing:
        raise InputError(
            f"{path}:1: no column with tokens of the {' or the '.join(missing)}; columns: {', '.join(names)[:200]}. "
            "Name them arrival, input_tokens and output_tokens"
        )
    return [name for name in found if name]


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


# ------------------------------------------------------------------------------------------------------ checking


def _trace(path: str, columns: dict[str, list[Any]], lines: list[int]) -> Trace:
    names = list(columns)
    problems: list[Problem] = []
    lengths = [_counts(columns[name], name, lines, problems) for name in names[:2]]
    arrivals = _arrivals(columns[names[2]], names, lines, problems) if len(names) > 2 else None
    if problems:
        problems.sort(key=lambda problem: problem.line)
        more = len(problems) - MOST_PROBLEMS
        if more > 0:
            problems[MOST_PROBLEMS:] = [Problem(message=f"and {more:,} more like these", line=problems[-1].line)]
        raise SpecError(path, problems)
    return Trace(path=path, input_tokens=lengths[0], output_tokens=lengths[1], arrival_seconds=arrivals)


def _counts(cells: list[Any], name: str, lines: list[int], problems: list[Problem]) -> Counts:
    values = _numbers(cells)
    wrong = ~((values >= 1) & (values <= MAX_TOKENS) & (values == np.floor(values)))
    for place in np.flatnonzero(wrong):
        message = f"must be a whole number of tokens from 1 to {MAX_TOKENS:,}, not '{str(cells[place])[:40]}'"
        problems.append(Problem(message=message, key=name, line=lines[place]))
    return np.where(wrong, 1, values).astype(np.int32)


def _arrivals(cells: list[Any], names: list[str], lines: list[int], problems: list[Problem]) -> Array:
    name, folded = names[2], [_folded(each) for each in names]
    scale = dict(ARRIVAL_COLUMNS)[folded[2]]
    if {*folded} == {*MILLISECOND_COLUMNS}:
        scale = 1e-3
    values = _numbers(cells)
    if np.isnan(values).all():
        values, scale = _dates(cells), 1.0
    wrong = ~np.isfinite(values)
    values = np.where(wrong, np.nan, values)
    for place in np.flatnonzero(wrong):
        message = f"must be a time in seconds or a date, not '{str(cells[place])[:40]}'"
        problems.append(Problem(message=message, key=name, line=lines[place]))
    problems += [
        Problem(message=f"must not be negative, {cells[place]}", key=name, line=lines[place])
        for place in np.flatnonzero(values < 0)
    ]
    for place in np.flatnonzero(np.diff(values) < 0) + 1:
        message = f"{cells[place]} comes before the request above it, {cells[place - 1]}; sort the trace by time"
        problems.append(Problem(message=message, key=name, line=lines[place]))
    return np.asarray((values - values[0]) * scale)


def _numbers(cells: list[Any]) -> Array:
    """As floats; NaN where a cell holds no number."""
    try:
        return np.array(cells, dtype=float)
    except (ValueError, TypeError, OverflowError):
        return np.array([_number(cell) for cell in cells])


def _number(cell: Any) -> float:
    try:
        return float(cell) if not isinstance(cell, bool) else math.nan
    except (ValueError, TypeError, OverflowError):
        return math.nan


def _dates(cells: list[Any]) -> Array:
    """Seconds of ISO dates; NaN where a cell holds none."""
    values = []
    for cell in cells:
        try:
            values.append(datetime.fromisoformat(str(cell).strip()).timestamp())
        except (ValueError, OverflowError):
            values.append(math.nan)
    return np.array(values)


# ------------------------------------------------------------------------------------------------------ workload


def trace_workload(
    trace: Trace, *, requests: int = 0, arrival: Arrival | None = None, rate: float = 0.0, seed: int = 0
) -> Workload:
    """Requests of a trace.

    Args:
        requests: the first so many; 0 for all. With arrivals of a process, more than the trace has are drawn from it.
        arrival: the process that requests arrive by, in place of the trace's own times.
        rate: requests per second that the trace's own times are stretched or squeezed to; 0 leaves them.

    Raises:
        InputError: the trace has no times and no process is given, or too few requests.
    """
    held = len(trace.input_tokens)
    name = Path(trace.path).name
    if arrival is not None:
        prompts, answers = trace.input_tokens[: requests or held], trace.output_tokens[: requests or held]
        if requests > held:
            random = np.random.default_rng([seed, 4])
            prompts, answers = resampled_lengths(requests, trace.input_tokens, trace.output_tokens, random)
        return make_workload(arrival, prompts, answers, seed=seed, notes=(f"lengths of {name}",))
    if trace.arrival_seconds is None:
        raise InputError(f"{trace.path} has no arrival times: say how its requests arrive (a rate, or users)")
    if requests > held:
        raise InputError(f"{trace.path} has {held:,} requests, not {requests:,}: with a rate they are drawn from it")
    times = trace.arrival_seconds[: requests or held]
    span = float(times[-1])
    if rate and span > 0:
        times = times * ((len(times) - 1) / span / rate)
    workload = Workload(
        arrival_seconds=times,
        input_tokens=trace.input_tokens[: requests or held],
        output_tokens=trace.output_tokens[: requests or held],
        name=f"{name}, {f'at {rate:g} requests/s' if rate else 'its own times'}",
    )
    check_workload(workload)
    return workload
