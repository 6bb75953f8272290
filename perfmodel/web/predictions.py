"""Answers to predict, explain and scale, as `--json` has them.

May import: reading, bodies; cli and everything below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.cli.answering import answer, explanation
from perfmodel.cli.grid import Grid
from perfmodel.errors import UnknownNameError, UnsupportedError
from perfmodel.report.answers import Answer, nothing_answered
from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.documents import answer_document, explanation_document
from perfmodel.report.plots import roofline_points, roofs_of
from perfmodel.report.prediction_table import notes_of
from perfmodel.types import Hardware
from perfmodel.web.bodies import ExplainBody, PredictBody, ScaleBody
from perfmodel.web.costs import read_costs
from perfmodel.web.reading import Reader, read_grid
from perfmodel.web.refusals import Mistake, Mistakes
from perfmodel.web.uploads import Uploads


def predict(body: PredictBody, uploads: Uploads) -> list[dict[str, Any]]:
    """One answer for each combination; one that a chip refuses has `error`."""
    reader = Reader()
    costs = read_costs(body, reader)
    grid = costs.of_grid(read_grid(body, uploads, reader=reader))
    found = [
        answer(grid, cell, max_batch=body.max_batch, max_context=body.max_context, costs=costs)
        for cell in grid.combinations()
    ]
    return [answer_document(each) for each in _distinct(found)]


def explain(body: ExplainBody, uploads: Uploads) -> dict[str, Any]:
    """Where the time goes, op by op, with the roofline.

    Raises:
        UnsupportedError: the chip refuses.
    """
    grid = read_grid(body, uploads)
    cell = grid.single()
    explained = answer(grid, cell, with_ops=True)
    if explained.prediction is None:
        raise UnsupportedError(explained.error)
    why = explanation(grid, cell, explained, symbolic=body.symbolic)
    return explanation_document(explained, why) | {"roofline": _roofline(explained, cell.hardware)}


def scale(body: ScaleBody, uploads: Uploads) -> dict[str, Any]:
    """How time grows with the size of the model.

    Raises:
        Mistakes: a single model, a phase that none has. UnsupportedError: no combination can be answered.
    """
    from perfmodel.planning.families import asked_families
    from perfmodel.planning.scaling import size_lines
    from perfmodel.report.scaling_document import scale_document

    grid = read_grid(body, uploads, models=_members(body))
    phases = _phases(body.phase or (), grid)
    answers = _distinct([answer(grid, cell) for cell in grid.combinations()])
    answered = [each for each in answers if each.prediction]
    lines = size_lines([each.prediction for each in answered if each.prediction], phases, asked_families(body.model))
    if not lines:
        raise nothing_answered(answers)
    return scale_document(lines, [each for each in answers if not each.prediction], notes_of(answered))


def _distinct(answers: Sequence[Answer]) -> list[Answer]:
    """Each request once: a runtime or length may not apply to a model."""
    return list({each.request: each for each in answers}.values())


def _members(body: ScaleBody) -> tuple[str, ...]:
    """The models, families expanded."""
    from perfmodel.planning.families import FAMILIES, expand_families

    mistakes = []
    for place, name in enumerate(body.model):
        if any(":" in member for member in FAMILIES.get(name.lower(), ())):
            told = f"the models of {name} are built with timm, which is not done for requests from the network"
            mistakes.append(Mistake(f"model[{place}]", told))
    members = expand_families(body.model)
    if len(members) < 2:
        told = f"'{members[0]}' is one model: give a family (llama, vit, ...) or a list of at least two"
        mistakes.append(Mistake("model", told))
    if mistakes:
        raise Mistakes(mistakes)
    return members


def _phases(asked: Sequence[str], grid: Grid) -> tuple[str, ...]:
    """The phases that were asked for.

    Raises:
        Mistakes: there is no such phase, or no model has it.
    """
    known = list(dict.fromkeys(name for model in grid.model for name in model.phases))
    mistakes = []
    for place, phase in enumerate(asked):
        if phase not in PHASE_TITLES:
            told = str(UnknownNameError("phase", phase, PHASE_TITLES, f"Known: {', '.join(PHASE_TITLES)}"))
            mistakes.append(Mistake(f"phase[{place}]", told))
        elif phase not in known:
            told = f"none of these models has a phase {phase}; they have {', '.join(known)}"
            mistakes.append(Mistake(f"phase[{place}]", told))
    if mistakes:
        raise Mistakes(mistakes)
    return tuple(dict.fromkeys(asked))


def _roofline(explained: Answer, chip: Hardware) -> dict[str, Any]:
    return {
        "memory_bytes_per_second": chip.memory_bandwidth_bytes_per_second,
        "roofs": [{"name": name, "flops_per_second": peak} for name, peak in roofs_of(explained, chip).items()],
        "points": [
            {
                "op": point.name, "phase": point.phase, "bound": point.bound, "share": point.share,
                "flops_per_byte": point.intensity, "flops_per_second": point.flops_per_second,
            }
            for point in roofline_points(explained)
        ],
    }  # fmt: skip
