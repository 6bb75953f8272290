"""The table of `perfmodel predict`: one answer in detail, or one row per answer.

What all rows share stands in a line above the table; what varies is a column. Where the terminal is too narrow, the
slowest-varying columns turn into headings of sections. May import: types, units, rich.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from perfmodel.report.answers import Answer
from perfmodel.report.columns import (
    ASKED,
    LIMIT_TITLES,
    NOTHING,
    PHASE_TITLES,
    RUNTIME,
    Column,
    layout_words,
    limit_text,
    result_columns,
    too_much,
)
from perfmodel.report.cost_words import cost_sentences
from perfmodel.report.formats import (
    format_bytes,
    format_interval,
    format_number,
    format_seconds,
    format_share,
    join_words,
)
from perfmodel.report.standing import standing_sentences
from perfmodel.types import Prediction, Request

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_PHASE_RATES = {"prefill": "prefill_tokens", "decode": "decode_tokens", "forward": "samples",
                "denoise": "denoise_steps"}  # fmt: skip
_WHOLE_RATES = {"requests": "whole request", "images": "whole image"}


def print_answers(console: Console, answers: Sequence[Answer]) -> None:
    """Print predictions for people: what was asked, the table, what it stands on."""
    if len(answers) == 1 and answers[0].prediction:
        _print_one(console, answers[0])
    else:
        _print_rows(console, answers)
    print_footer(console, answers)


def heading_of(request: Request, precision: str) -> str:
    """`llama-3.1-8b on h100-sxm, bf16, batch 1, 2048 tokens in, 128 out, runtime graphs`."""
    lengths = [f"{request.input_tokens} tokens in"] if request.input_tokens else []
    lengths += [f"{request.image_size} pixels"] if request.image_size else []
    lengths += [f"{request.output_tokens} out"] if request.output_tokens else []
    lengths += [f"{request.steps} steps"] if request.steps else []
    lengths += [layout_words(str(request.layout))] if request.layout.devices > 1 else []
    parts = [precision, f"batch {request.batch}", *lengths, f"runtime {request.runtime}"]
    return f"{request.model} on {request.hardware}, {', '.join(parts)}"


# ------------------------------------------------------------------------------------------------ one answer


def _print_one(console: Console, answer: Answer) -> None:
    prediction = answer.prediction
    assert prediction is not None
    console.print(heading_of(answer.request, answer.precision), style="bold")
    console.print()
    level = f"{100 * answer.request.level:g} % interval"
    table = make_table(("", "left"), ("time", "right"), (level, "right"), ("bound", "left"), ("throughput", "right"))
    # what runs before the prefill has no rate of its own: prompts are counted until their first token
    earlier = prediction.generates and prediction.first_token_seconds > prediction.phases["prefill"].time.seconds
    for name, phase in prediction.phases.items():
        rate = "" if earlier and name == "prefill" else _PHASE_RATES.get(name, "")
        table.add_row(
            PHASE_TITLES[name],
            format_seconds(phase.time.seconds),
            f"{format_interval(phase.time.low, phase.time.high, phase.time.seconds)} "
            f"{format_seconds(phase.time.seconds).split()[1]}",
            phase.time.bound,
            _rate_text(prediction, rate),
        )
    if earlier:
        first = _rate_text(prediction, "prefill_tokens")
        table.add_row("first token", format_seconds(prediction.first_token_seconds), "", "", first)
    for rate, title in _WHOLE_RATES.items():
        if rate in prediction.throughput:
            table.add_row(title, format_seconds(prediction.seconds), "", "", _rate_text(prediction, rate))
    console.print(table)
    console.print()
    console.print(_memory_sentence(answer), style=None if prediction.fits else "red")
    for name, limit in answer.limits.items():
        console.print(f"{LIMIT_TITLES[name]} that fits: {limit_text(limit)}")
    if answer.economics and answer.hardware:
        for sentence in cost_sentences(answer.economics, answer.hardware, answer.request.layout.devices):
            console.print(sentence)


def _rate_text(prediction: Prediction, rate: str) -> str:
    """`31.2 tokens/s`; nothing for a phase without a rate of its own."""
    return f"{format_number(prediction.throughput[rate])} {rate.rpartition('_')[2]}/s" if rate else ""


def _memory_sentence(answer: Answer) -> str:
    prediction = answer.prediction
    assert prediction is not None
    need = prediction.memory_bytes
    parts = [f"{name} {format_bytes(need[name])}" for name in ("weights", "cache", "activations", "overhead")]
    each = "Memory of each device" if answer.request.layout.devices > 1 else "Memory"
    text = f"{each}: {format_bytes(need['total'])} of {format_bytes(need['capacity'])}"
    return f"{text}, {'fits' if prediction.fits else too_much(answer)} ({', '.join(parts)})"


# ------------------------------------------------------------------------------------------------ many answers


def _print_rows(console: Console, answers: Sequence[Answer]) -> None:
    asked = (*ASKED, RUNTIME) if _runtime_varies(answers) else ASKED
    varying = [column for column in asked if len({column.cell(answer) for answer in answers}) > 1]
    common = [column for column in asked if column not in varying]
    cells = [(column, column.cell(answers[0])) for column in common]
    words = [column.heading(cell) for column, cell in cells if cell != NOTHING]
    words += [] if RUNTIME in asked else [_runtimes(answers)]
    console.print(_join_heading(common, words), style="bold")
    console.print()
    reasons = list(dict.fromkeys(answer.error for answer in answers if answer.error))
    results = result_columns(answers, reasons, compact=False)
    if _width(varying + results, answers) > console.width:
        results = result_columns(answers, reasons, compact=True)
    sections: list[Column] = []
    while len(varying) > 1 and _width(varying + results, answers) > console.width:
        sections.append(varying.pop(0))
    _print_sections(console, sections, varying + results, answers)
    for number, reason in enumerate(reasons, 1):
        console.print(f"\n[{number}] {reason}")


def _print_sections(
    console: Console, sections: Sequence[Column], columns: Sequence[Column], answers: Sequence[Answer]
) -> None:
    widths = [_cell_width(column, answers) for column in columns]
    if not sections:
        console.print(_table(columns, widths, answers, header=True))
        return
    console.print(_table(columns, widths, [], header=True))
    for titles, members in groupby(answers, key=lambda answer: [column.cell(answer) for column in sections]):
        words = [column.heading(title) for column, title in zip(sections, titles, strict=True)]
        console.print(f"\n{_join_heading(sections, words)}", style="bold")
        console.print(_table(columns, widths, list(members), header=False))


def _runtime_varies(answers: Sequence[Answer]) -> bool:
    """Whether several runtimes were asked for; else the model or the chip alone says which one it is."""
    requests = [answer.request for answer in answers]
    pairs = {(request.hardware, request.runtime) for request in requests}
    return len(pairs) > len({request.hardware for request in requests}) and len(
        {(request.model, request.runtime) for request in requests}
    ) > len({request.model for request in requests})


def _runtimes(answers: Sequence[Answer]) -> str:
    """`runtime graphs (compiled on xeon-8480)`."""
    requests = [answer.request for answer in answers]
    by_chip = {request.hardware: request.runtime for request in requests}
    by_model = {request.model: request.runtime for request in requests}
    follows_chip = all(by_chip[request.hardware] == request.runtime for request in requests)
    preposition, runtimes = ("on", by_chip) if follows_chip else ("of", by_model)
    usual, *others = sorted(dict.fromkeys(runtimes.values()), key=list(runtimes.values()).count, reverse=True)
    exceptions = [
        f"{runtime} {preposition} {join_words([place for place, used in runtimes.items() if used == runtime])}"
        for runtime in others
    ]
    return f"runtime {usual}" + (f" ({'; '.join(exceptions)})" if exceptions else "")


def _join_heading(columns: Sequence[Column], words: list[str]) -> str:
    """`llama-3.1-8b on h100-sxm, bf16, batch 1`: model and chip read as one phrase; what has no words is left out."""
    words = [word for word in words if word]
    if [column.title for column in columns[:2]] == ["model", "chip"]:
        words = [" ".join(words[:2]), *words[2:]]
    return ", ".join(words).removeprefix("on ")


# ------------------------------------------------------------------------------------------------ drawing


def make_table(*columns: tuple[str, Literal["left", "right"]], gap: int = 2) -> Table:
    """A table without lines, for the given (title, justification), with `gap` blanks between columns."""
    from perfmodel.report.folding_table import FoldingTable

    table = FoldingTable(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for place, (title, justify) in enumerate(columns):
        table.add_column(title, justify=justify, overflow="fold", no_wrap=place == 0)
    return table


def _table(columns: Sequence[Column], widths: Sequence[int], answers: Sequence[Answer], *, header: bool) -> Table:
    table = make_table(*((column.title, column.justify) for column in columns), gap=1)
    table.show_header = header
    for drawn, width, gap in zip(table.columns, widths, _gaps(columns), strict=True):
        drawn.min_width = width + gap
    for answer in answers:
        style = "dim" if answer.prediction is None or not answer.prediction.fits else None
        table.add_row(*(column.cell(answer) for column in columns), style=style)
    return table


def _gaps(columns: Sequence[Column]) -> list[int]:
    """Blanks inside each column beside the one between all: two between columns, one between a time and its bound."""
    following = [column.justify for column in columns[1:]]
    inner = [int(a.justify == b == "left") for a, b in zip(columns, following, strict=False)]
    return [
        gap if column.justify == "left" else int(place > 0)
        for place, (column, gap) in enumerate(zip(columns, [*inner, 0], strict=True))
    ]


def _cell_width(column: Column, answers: Sequence[Answer]) -> int:
    return max(len(column.title), *(len(column.cell(answer)) for answer in answers))


def _width(columns: Sequence[Column], answers: Sequence[Answer]) -> int:
    return sum(_cell_width(column, answers) + gap + 1 for column, gap in zip(columns, _gaps(columns), strict=True)) - 1


def print_footer(console: Console, answers: Sequence[Answer]) -> None:
    """Print what the answers stand on, what they leave out, and their notes."""
    predictions = [answer.prediction for answer in answers if answer.prediction]
    console.print()
    for sentence in standing_sentences(predictions):
        console.print(sentence, style="dim")
    for kind, share in _unmodelled(predictions):
        console.print(f"Without a formula, only its memory traffic counted: {kind}, up to {format_share(share)}")
    for note in notes_of(answers):
        console.print(f"Note: {note}")


def _unmodelled(predictions: Sequence[Prediction]) -> list[tuple[str, float]]:
    shares: dict[str, float] = {}
    for prediction in predictions:
        for kind, share in prediction.unmodelled:
            shares[kind] = max(share, shares.get(kind, 0.0))
    return sorted(shares.items(), key=lambda item: -item[1])


def notes_of(answers: Sequence[Answer]) -> list[str]:
    """The notes of all predictions, each once; those of some models only name them."""
    models: dict[str, dict[str, None]] = {}
    for answer in answers:
        for note in answer.notes:
            models.setdefault(note, {})[answer.request.model] = None
    everybody = {answer.request.model for answer in answers}
    subjects = (*everybody, *(answer.request.hardware for answer in answers))
    return [
        note if len(names) == len(everybody) or note.startswith(subjects) else f"{_some(list(names))}: {note}"
        for note, names in models.items()
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"])
