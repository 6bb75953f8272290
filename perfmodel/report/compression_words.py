"""What compressions bring, in sentences made from the numbers. May import: planning and below."""

from __future__ import annotations

from perfmodel.planning.compression import LEAST_CHANGE, TWO_TO_FOUR_BASIS, Compression
from perfmodel.report.formats import format_number

ACCURACY = "Accuracy is not predicted: what a compression costs of it must be measured on the task."


def compression_sentences(result: Compression) -> tuple[str, ...]:
    """The fastest for each phase, what hurts, what makes it fit, what nothing comes of."""
    told = [_fastest(result, phase) for phase in result.original.phases]
    return (*filter(None, (*told, _fitting(result), _hurting(result), _useless(result))), *_basis(result), ACCURACY)


def _fastest(result: Compression, phase: str) -> str:
    having = [each for each in result.answered if phase in each.speedups]
    if not having:
        return ""
    best = max(having, key=lambda each: each.speedups[phase])
    if best.speedups[phase] <= 1 + LEAST_CHANGE:
        return f"Nothing here makes {phase} faster."
    return f"The most for {phase} brings {best.change.name}: {format_number(best.speedups[phase])} times as fast."


def _fitting(result: Compression) -> str:
    if result.original.fits:
        return ""
    names = [each.change.name for each in result.answered if each.prediction and each.prediction.fits]
    chip = result.original.request.hardware
    return f"The original does not fit on {chip}; {', '.join(names)} would." if names else (
        f"The original does not fit on {chip}, and none of these makes it fit."
    )  # fmt: skip


def _hurting(result: Compression) -> str:
    slower = [
        f"{each.change.name} in {phase} ({format_number(1 / gain)} times the time)"
        for each in result.answered
        for phase, gain in each.speedups.items()
        if gain < 1 - LEAST_CHANGE
    ]
    return f"Slower than the original: {', '.join(slower)}." if slower else ""


def _useless(result: Compression) -> str:
    names = [
        each.change.name
        for each in result.answered
        if all(abs(gain - 1) <= LEAST_CHANGE for gain in each.speedups.values())
    ]
    return f"No faster, no slower: {', '.join(names)}." if names else ""


def _basis(result: Compression) -> tuple[str, ...]:
    return (f"{TWO_TO_FOUR_BASIS}.",) if any(each.change.kind == "2:4" for each in result.answered) else ()
