"""Reports of predictions of static batches: `predict`, `explain`, `explain --compare`, `scale`.

May import: planning and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from perfmodel.report.answers import Answer, Explanation
from perfmodel.report.columns import ASKED, NOTHING, PHASE_TITLES, too_much
from perfmodel.report.documents import answer_document, explanation_document
from perfmodel.report.formats import format_bytes, format_interval, format_number, format_seconds, join_words
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_sources import prediction_sources
from perfmodel.report.interval_plot import MOST_ROWS, Panel, Row, draw_intervals, draw_memory
from perfmodel.report.prediction_table import heading_of, print_answers
from perfmodel.types import Hardware, OpTime, Prediction

if TYPE_CHECKING:
    from perfmodel.comparison import Comparison
    from perfmodel.planning.scaling import SizeLine

_RATES = {"decode_tokens": "tokens/s", "images": "images/s", "samples": "samples/s"}


def predict_report(answers: Sequence[Answer], chips: Sequence[Hardware]) -> Report:
    """Of `perfmodel predict`."""
    predictions = [each.prediction for each in answers if each.prediction]
    return Report(
        kind="prediction",
        summary=list(_summary(answers)),
        headlines=_headlines(answers[0]) if len(answers) == 1 and predictions else _best(answers),
        pictures=_pictures(answers) if predictions else (),
        tell=lambda console: print_answers(console, answers),
        document=[answer_document(each) for each in answers],
        sources=prediction_sources(predictions, chips),
    )


def explain_report(answer: Answer, why: Explanation, chip: Hardware, *, by_time: bool, top: int) -> Report:
    """Of `perfmodel explain`."""
    from perfmodel.report.op_table import print_explanation
    from perfmodel.report.plots import draw_roofline

    assert answer.prediction is not None
    return Report(
        kind="explanation",
        summary=[sentences[0] for sentences in why.sentences.values() if sentences],
        headlines=_headlines(answer),
        pictures=(
            Picture("Roofline: what the chip allows, and what each op reaches.", draw_roofline(answer, chip)),
            *_pictures([answer]),
        ),
        tell=lambda console: print_explanation(console, answer, why, by_time=by_time, top=top),
        document=explanation_document(answer, why),
        sources=prediction_sources([answer.prediction], [chip]),
    )


def comparison_report(
    answers: tuple[Answer, Answer], comparison: Comparison, chips: Sequence[Hardware], *, top: int
) -> Report:
    """Of `perfmodel explain --compare`."""
    from perfmodel.report.comparison_document import comparison_document
    from perfmodel.report.comparison_plot import draw_comparison
    from perfmodel.report.comparison_table import print_comparison
    from perfmodel.report.comparison_words import whole_sentence

    times = {"A": comparison.a_time, "B": comparison.b_time}
    return Report(
        kind="comparison",
        title=" against ".join(heading_of(each.request, each.precision) for each in answers),
        summary=[whole_sentence(comparison)],
        headlines=[_time_headline(side, time, answers[0].request.level) for side, time in times.items()],
        pictures=[Picture("Where both spend their time.", draw_comparison(answers, comparison))],
        tell=lambda console: print_comparison(console, answers, comparison, top=top),
        document=comparison_document(answers, comparison),
        sources=prediction_sources([each.prediction for each in answers if each.prediction], chips),
    )


def scale_report(
    lines: Sequence[SizeLine], answers: Sequence[Answer], notes: Sequence[str], chips: Sequence[Hardware]
) -> Report:
    """Of `perfmodel scale`.

    Args:
        answers: refused ones among them. notes: of the answers.
    """
    from perfmodel.report.scaling_document import scale_document
    from perfmodel.report.scaling_plot import draw_scaling
    from perfmodel.report.scaling_table import print_scale
    from perfmodel.report.scaling_words import line_sentences

    answered = [each for each in answers if each.prediction]
    refused = [each for each in answers if not each.prediction]
    return Report(
        kind="time over size",
        summary=[line_sentences(line)[0] for line in lines],
        headlines=[
            Headline(
                f"{PHASE_TITLES[line.phase]} on {line.request.hardware}", f"size^{line.exponent:.2f}", "growth of time"
            )
            for line in lines
            if line.exponent is not None
        ][:8],
        pictures=[Picture("Time over parameters; bands are intervals.", draw_scaling(lines))],
        tell=lambda console: print_scale(console, lines, answered, refused, notes),
        document=scale_document(lines, refused, notes),
        sources=prediction_sources([each.prediction for each in answered if each.prediction], chips),
    )


# ------------------------------------------------------------------------------------------------------------ words


def _main_phase(prediction: Prediction) -> tuple[str, OpTime]:
    """The phase that people ask for: a step of an answer, else the longest."""
    name = max(prediction.phases, key=lambda name: (name == "decode", prediction.phases[name].time.seconds))
    return name, prediction.phases[name].time


def _interval_words(time: OpTime, level: float) -> str:
    """`80 % interval 5.9–7.0 ms`."""
    unit = format_seconds(time.seconds).split()[1]
    return f"{100 * level:g} % interval {format_interval(time.low, time.high, time.seconds)} {unit}"


def _summary(answers: Sequence[Answer]) -> Iterator[str]:
    answered = [(each, each.prediction) for each in answers if each.prediction]
    if len(answered) == 1:
        yield _one_sentence(*answered[0])
    elif answered:
        name = _main_phase(answered[0][1])[0]
        timed = [(each, own.phases[name].time) for each, own in answered if own.fits and name in own.phases]
        if timed:
            fastest, slowest = (
                min(timed, key=lambda pair: pair[1].seconds),
                max(timed, key=lambda pair: pair[1].seconds),
            )
            yield (
                f"Of {len(answered)} combinations, {_label(fastest[0], answers)} is the fastest that fits, with "
                f"{format_seconds(fastest[1].seconds)} for the {PHASE_TITLES[name]}; {_label(slowest[0], answers)} is "
                f"the slowest, with {format_seconds(slowest[1].seconds)}."
            )
        else:
            yield f"None of {len(answered)} combinations fits the memory of its chip."
    too_large = [each for each, own in answered if not own.fits]
    if len(answered) > 1 and too_large and len(too_large) < len(answered):
        yield f"{len(too_large)} of them {'does' if len(too_large) == 1 else 'do'} not fit the memory of the chip."
    refused = [each for each in answers if not each.prediction]
    if refused:
        yield f"{len(refused)} {'is' if len(refused) == 1 else 'are'} refused: the results say why."


def _one_sentence(answer: Answer, prediction: Prediction) -> str:
    parts = [
        f"the {PHASE_TITLES[name]} takes {format_seconds(phase.time.seconds)} "
        f"({_interval_words(phase.time, answer.request.level)})"
        for name, phase in prediction.phases.items()
    ]
    need = prediction.memory_bytes
    memory = f"It needs {format_bytes(need['total'])} of {format_bytes(need['capacity'])} and "
    fits = "fits." if prediction.fits else f"does not fit: {too_much(answer)}."
    return f"{answer.request.model} on {answer.request.hardware}: {join_words(parts)}. {memory}{fits}"


def _time_headline(label: str, time: OpTime, level: float) -> Headline:
    return Headline(label, format_seconds(time.seconds), f"{_interval_words(time, level)}, {time.bound} bound")


def _headlines(answer: Answer) -> list[Headline]:
    prediction = answer.prediction
    assert prediction is not None
    found = [
        _time_headline(PHASE_TITLES[name], phase.time, answer.request.level)
        for name, phase in prediction.phases.items()
    ]
    for rate, unit in _RATES.items():
        if rate in prediction.throughput:
            found.append(Headline("throughput", f"{format_number(prediction.throughput[rate])} {unit}"))
            break
    need = prediction.memory_bytes
    fits = "fits" if prediction.fits else too_much(answer)
    found.append(Headline("memory", format_bytes(need["total"]), f"of {format_bytes(need['capacity'])}: {fits}"))
    return found


def _best(answers: Sequence[Answer]) -> list[Headline]:
    """The fastest in each phase."""
    fitting = [each for each in answers if each.prediction and each.prediction.fits]
    found = []
    for name, title in PHASE_TITLES.items():
        timed = [
            (each.prediction.phases[name].time, each)
            for each in fitting
            if each.prediction and name in each.prediction.phases
        ]
        if timed:
            time, each = min(timed, key=lambda pair: pair[0].seconds)
            note = f"{_interval_words(time, each.request.level)}, {_label(each, answers)}"
            found.append(Headline(f"fastest {title}", format_seconds(time.seconds), note))
    return found


def _label(answer: Answer, answers: Sequence[Answer]) -> str:
    """What sets an answer apart from the others."""
    varying = [column for column in ASKED if len({column.cell(each) for each in answers}) > 1]
    runtimes = {each.request.runtime for each in answers}
    words = [column.heading(cell) for column in varying if (cell := column.cell(answer)) != NOTHING]
    words = [word.removeprefix("on ") for word in words if word] + (
        [answer.request.runtime] if len(runtimes) > 1 else []
    )
    return ", ".join(words) or answer.request.hardware


def _pictures(answers: Sequence[Answer]) -> list[Picture]:
    """Times with their intervals, and memory."""
    answered = [(each, each.prediction) for each in answers if each.prediction]
    labels = [_label(each, answers) for each, _ in answered]
    if len(answered) == 1:
        phases = answered[0][1].phases
        rows = [Row(PHASE_TITLES[name], own.time.seconds, own.time.low, own.time.high) for name, own in phases.items()]
        panels = [Panel("time", rows)]
    else:
        panels = []
        for name, title in PHASE_TITLES.items():
            rows = [
                Row(label, own.phases[name].time.seconds, own.phases[name].time.low, own.phases[name].time.high)
                for label, (_, own) in zip(labels, answered, strict=True)
                if name in own.phases
            ]
            panels += [Panel(title, rows)] if rows else []
    level = f"{100 * answers[0].request.level:g} % intervals"
    cut = f" The first {MOST_ROWS} are drawn." if len(answered) > MOST_ROWS else ""
    return [
        Picture(f"Predicted times with their {level}; to the left is faster.{cut}", draw_intervals(panels)),
        Picture(
            f"Memory of a device by part; beyond the mark it does not fit.{cut}",
            draw_memory(labels, [own.memory_bytes for _, own in answered]),
        ),
    ]
