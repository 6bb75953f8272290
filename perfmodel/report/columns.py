"""The columns of a prediction table: what was asked, what was found, and the text of each cell.

May import: types, units. To add a column: a `Column` in `ASKED`, or in `result_columns` with its cell function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from perfmodel.layouts import ONE_DEVICE
from perfmodel.report.answers import Answer
from perfmodel.report.formats import format_bytes, format_interval, format_number, format_seconds
from perfmodel.types import Request

NOTHING = "–"
PHASE_TITLES = {
    "encode_text": "encode text", "denoise": "denoise step", "decode_image": "decode image",
    "encode": "encode", "encode_image": "encode image",
    "forward": "forward", "prefill": "prefill", "decode": "decode step",
}  # fmt: skip
THROUGHPUT_TITLES = {"decode_tokens": "tokens/s", "samples": "samples/s", "images": "images/s"}
LIMIT_TITLES = {"max_batch": "max batch", "max_context": "max context"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title and the cell of an answer.

    Args:
        heading: how the value reads in a heading ("batch 8"); for columns that say what was asked.
    """

    title: str
    cell: Callable[[Answer], str]
    justify: Literal["left", "right"] = "right"
    heading: Callable[[str], str] = str


# in the order of the grid: the first ones vary slowest
ASKED = (
    Column("model", lambda answer: answer.request.model, "left"),
    Column("chip", lambda answer: answer.request.hardware, "left", lambda text: f"on {text}"),
    Column("precision", lambda answer: answer.precision, "left"),
    Column("batch", lambda answer: str(answer.request.batch), heading=lambda text: f"batch {text}"),
    Column("in", lambda answer: _tokens(answer.request.input_tokens), heading=lambda text: f"{text} tokens in"),
    Column("out", lambda answer: _tokens(answer.request.output_tokens), heading=lambda text: f"{text} out"),
    Column("steps", lambda answer: _tokens(answer.request.steps), heading=lambda text: f"{text} steps"),
    Column("layout", lambda answer: str(answer.request.layout), "left", heading=lambda text: layout_words(text)),
)
RUNTIME = Column("runtime", lambda answer: answer.request.runtime, "left", lambda text: f"runtime {text}")


def result_columns(answers: Sequence[Answer], reasons: list[str], *, compact: bool) -> list[Column]:
    """What was found. Compact: what is too much takes the place of what is needed."""
    predictions = [answer.prediction for answer in answers if answer.prediction]
    phases = {name for prediction in predictions for name in prediction.phases} or {"forward"}
    rates = {name for prediction in predictions for name in prediction.throughput}
    limits = {name for answer in answers for name in answer.limits}
    columns = []
    for name, title in PHASE_TITLES.items():
        if name in phases:
            columns.append(Column(title, lambda answer, name=name: _time_cell(answer, name, reasons)))  # type: ignore[misc]
            columns.append(Column("bound", lambda answer, name=name: _bound_cell(answer, name), "left"))  # type: ignore[misc]
    if "images" in rates:
        columns.append(Column("total", _total_cell))
    for name, title in THROUGHPUT_TITLES.items():
        if name in rates:
            columns.append(Column(title, lambda answer, name=name: _rate_cell(answer, name)))  # type: ignore[misc]
    columns.append(Column("memory", _compact_memory_cell if compact else _memory_cell))
    if not compact and not all(prediction.fits for prediction in predictions):
        columns.append(Column("fits", _fits_cell, "left"))
    for name, title in LIMIT_TITLES.items():
        if name in limits:
            columns.append(Column(title, lambda answer, name=name: _limit_cell(answer, name)))  # type: ignore[misc]
    return columns


def _time_cell(answer: Answer, name: str, reasons: list[str]) -> str:
    if answer.error:
        return f"refused [{reasons.index(answer.error) + 1}]"
    assert answer.prediction is not None
    phase = answer.prediction.phases.get(name)
    if phase is None:
        return NOTHING
    time = phase.time
    return f"{format_seconds(time.seconds)} ({format_interval(time.low, time.high, time.seconds)})"


def _bound_cell(answer: Answer, name: str) -> str:
    phase = answer.prediction.phases.get(name) if answer.prediction else None
    return phase.time.bound if phase else ""


def _total_cell(answer: Answer) -> str:
    pipeline = answer.prediction is not None and "images" in answer.prediction.throughput
    return format_seconds(answer.prediction.seconds) if pipeline and answer.prediction else NOTHING


def _rate_cell(answer: Answer, name: str) -> str:
    rates = answer.prediction.throughput if answer.prediction else {}
    return format_number(rates[name]) if name in rates else NOTHING


def _memory_cell(answer: Answer) -> str:
    return format_bytes(answer.prediction.memory_bytes["total"]) if answer.prediction else NOTHING


def _compact_memory_cell(answer: Answer) -> str:
    fits = answer.prediction is None or answer.prediction.fits
    return _memory_cell(answer) if fits else too_much(answer)


def _fits_cell(answer: Answer) -> str:
    if answer.prediction is None:
        return NOTHING
    return "yes" if answer.prediction.fits else f"no: {too_much(answer)}"


def _limit_cell(answer: Answer, name: str) -> str:
    return limit_text(answer.limits[name]) if name in answer.limits else NOTHING


def layout_words(layout: str) -> str:
    """A layout in a heading; one device goes without saying.

    >>> layout_words("tp4-ep4"), layout_words(str(ONE_DEVICE))
    ('tp4-ep4', '')
    """
    return "" if layout == str(ONE_DEVICE) else layout


def setting_words(request: Request) -> tuple[str, ...]:
    """What was asked apart from model and chip, for a heading; "" for what was not."""
    return (
        request.precision,
        f"batch {request.batch}",
        *length_words(request),
        f"runtime {request.runtime}",
        layout_words(str(request.layout)),
        f"{100 * request.level:g} % intervals",
    )


def length_words(request: Request) -> tuple[str, str]:
    """Tokens in and out, for a heading; "" where there are none."""
    return (
        f"{request.input_tokens} tokens in" if request.input_tokens else "",
        f"{request.output_tokens} out" if request.output_tokens else "",
    )


def limit_text(limit: int | None) -> str:
    """How far memory goes, in words where it is no number."""
    return "no limit" if limit is None else "none" if limit == 0 else str(limit)


def too_much(answer: Answer) -> str:
    """By how much an answer does not fit."""
    assert answer.prediction is not None
    need = answer.prediction.memory_bytes
    return f"{format_bytes(need['total'] - need['capacity'])} too much"


def _tokens(count: int) -> str:
    return str(count) if count else NOTHING
