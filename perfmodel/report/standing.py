"""What answers stand on, in words: intervals, levels, engine.

May import: types, provenance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perfmodel.provenance import interval_sentence
from perfmodel.types import Prediction


def standing_sentences(predictions: Sequence[Prediction]) -> Iterator[str]:
    """One sentence on the intervals, one on the levels and the engine, however many answers there are."""
    if not predictions:
        return
    share = f"{100 * predictions[0].request.level:g} %"
    yield f"Intervals ({share}): {'; '.join(_intervals(predictions))}."
    engines = dict.fromkeys(str(prediction.provenance["engine"]) for prediction in predictions)
    yield f"Level: {_levels(predictions)}. Engine: {'; '.join(engines)}."


def _intervals(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Where they come from: each way once, with the chips that it holds for if it does not hold for all."""
    found: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        found.setdefault(prediction.provenance["interval"], []).append(prediction)
    if len(found) == 1:
        yield from found
        return
    anchored = {way: own for way, own in found.items() if "anchors" in own[0].provenance}
    for way, own in anchored.items():
        yield f"{_subjects(own, predictions)}: {way}"
    rest = [one for way, own in found.items() if way not in anchored for one in own]
    measured: dict[str, dict[str, float | None]] = {}
    guessed: dict[str, list[Prediction]] = {}
    widened: dict[str, None] = {}
    for prediction in rest:
        for scope, held in prediction.provenance["coverage"].items():
            if scope in prediction.provenance["widened"]:
                widened[scope] = None
            elif held is None:
                guessed.setdefault(scope, []).append(prediction)
            else:
                measured.setdefault(prediction.provenance["levels"][scope], {})[scope] = held
    yield from dict.fromkeys(
        interval_sentence(coverage, dict.fromkeys(coverage, level)) for level, coverage in measured.items()
    )
    if widened:
        yield interval_sentence(widened, {}, tuple(widened))
    if guessed:
        whom = {scope: _subjects(own, predictions) for scope, own in guessed.items()}
        chips: dict[str, list[str]] = {}
        for scope, subjects in sorted(whom.items()):
            chips.setdefault(subjects, []).append(scope)
        parts = [f"{', '.join(scopes)} on {subjects}" for subjects, scopes in chips.items()]
        yield f"priors, unchecked ({'; '.join(parts)})"


def _levels(predictions: Sequence[Prediction]) -> str:
    found: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        found.setdefault(str(prediction.provenance["level"]), []).append(prediction)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{level} for {_subjects(own, predictions)}" for level, own in found.items())


def _subjects(chosen: Sequence[Prediction], among: Sequence[Prediction]) -> str:
    """Whom a sentence is about: precisions and chips, and models where others on the same chip are not meant."""
    kept = {id(own) for own in chosen}
    shared = set(_pairs(chosen)) & set(_pairs([own for own in among if id(own) not in kept]))
    apart = [own for own in chosen if _pair(own) not in shared]
    models: dict[str, dict[str, None]] = {}
    for own in chosen:
        if _pair(own) in shared:
            models.setdefault(own.request.hardware, {})[own.request.model] = None
    parts = [_chips_and_precisions(apart, among)] if apart else []
    return ", ".join([*parts, *(f"{_few(list(names))} on {chip}" for chip, names in models.items())])


def _pair(own: Prediction) -> tuple[str, str]:
    return own.request.hardware, own.request.precision


def _pairs(predictions: Sequence[Prediction]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(map(_pair, predictions)))


def _few(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def _chips_and_precisions(chosen: Sequence[Prediction], among: Sequence[Prediction]) -> str:
    """Whole precisions, whole chips, and of other chips which precisions: `w4a16, mi300x, l4 (bf16, fp8)`."""
    own, every = _pairs(chosen), _pairs(among)
    chips = [chip for chip in dict.fromkeys(chip for chip, _ in own) if _rest(every, own, 0, chip) == []]
    left = [pair for pair in own if pair[0] not in chips]
    precisions = [name for name in dict.fromkeys(name for _, name in left) if _rest(every, own, 1, name) == []]
    left = [pair for pair in left if pair[1] not in precisions]
    parts = [f"{chip} ({', '.join(name for other, name in left if other == chip)})" for chip in dict(left)]
    return ", ".join([*precisions, *chips, *parts])


def _rest(
    every: Sequence[tuple[str, str]], own: Sequence[tuple[str, str]], place: int, value: str
) -> list[tuple[str, str]]:
    """Pairs with a chip (place 0) or precision (place 1) that are not among the chosen."""
    return [pair for pair in every if pair[place] == value and pair not in own]
