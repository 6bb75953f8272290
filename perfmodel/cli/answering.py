"""From a combination to an answer: the prediction, what memory allows, why it takes what it takes.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perfmodel.errors import UnsupportedError

if TYPE_CHECKING:
    from perfmodel.cli.cost_options import Costs
    from perfmodel.cli.grid import Combination, Grid
    from perfmodel.preparing import Prepared
    from perfmodel.report.answers import Answer, Explanation
    from perfmodel.types import Request


def answer(
    grid: Grid, cell: Combination, *, max_batch: bool = False, max_context: bool = False, with_ops: bool = False,
    costs: Costs | None = None,
) -> Answer:  # fmt: skip
    """The answer to one combination; a chip that refuses is an answer too.

    Args:
        max_batch, max_context: also find how far memory goes. with_ops: with a row per op.
        costs: also tell money and energy.

    Raises:
        PerfmodelError: anything but a refusal of the chip.
    """
    from perfmodel.predict import explain, predict
    from perfmodel.report.answers import Answer

    try:
        prepared = _prepared(grid, cell)
    except UnsupportedError as error:
        return Answer(request=_refused_request(grid, cell), error=str(error), notes=grid.left_out)
    prediction = (explain if with_ops else predict)(
        cell.model,
        cell.hardware,
        precision=cell.precision,
        batch=cell.batch,
        input_tokens=cell.input_tokens,
        output_tokens=cell.output_tokens,
        layout=cell.layout,
        steps=cell.steps,
        runtime=cell.runtime,
        cache_precision=grid.cache_precision,
        channels_last=grid.channels_last,
        threads=grid.threads,
        level=grid.level,
        strict=grid.strict,
        specs=grid.specs,
        anchors=grid.anchors,
    )
    economics = None
    if costs:
        from perfmodel.economics import prediction_economics

        economics = prediction_economics(prediction, cell.hardware, costs.site)
    limits = _limits(prepared, cell, max_batch=max_batch, max_context=max_context)
    return Answer(
        request=prediction.request,
        prediction=prediction,
        emulated=_emulated(prepared),
        notes=(*prediction.provenance["notes"], *_length_notes(cell, prediction.request, limits), *grid.left_out),
        limits=limits,
        economics=economics,
        hardware=cell.hardware,
    )


def _length_notes(cell: Combination, request: Request, limits: Mapping[str, int | None]) -> tuple[str, ...]:
    """What is said of lengths that do not apply to the model, or that it was not made for."""
    model, notes = cell.model, []
    if cell.input_tokens and not request.input_tokens:
        notes.append(f"{model.name} takes no tokens: --input-tokens does not apply")
    if cell.output_tokens and not request.output_tokens:
        notes.append(f"{model.name} generates no tokens: --output-tokens does not apply")
    longest = max(request.input_tokens + request.output_tokens, limits.get("max_context") or 0)
    image_tokens = model.facts.get("image_tokens", 0)
    if request.input_tokens < image_tokens:
        notes.append(f"{request.input_tokens} input tokens cannot hold an image of {image_tokens}")
    if 0 < model.max_context < longest:
        notes.append(f"{model.name} is made for contexts of up to {model.max_context} tokens")
    return tuple(notes)


def _emulated(prepared: Prepared) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({pair for program in prepared.programs.values() for pair in program.emulated}))


def _limits(prepared: Prepared, cell: Combination, *, max_batch: bool, max_context: bool) -> dict[str, int | None]:
    """How far memory goes: None where it sets no limit."""
    from perfmodel.memory import MAX_COUNT
    from perfmodel.predict import max_batch as largest_batch
    from perfmodel.predict import max_context as longest_context

    found: dict[str, int] = {}
    if max_batch:
        found["max_batch"] = largest_batch(prepared, input_tokens=cell.input_tokens, output_tokens=cell.output_tokens)
    if max_context and prepared.has_tokens:
        found["max_context"] = longest_context(prepared, batch=cell.batch, output_tokens=cell.output_tokens)
    return {name: None if limit >= MAX_COUNT else limit for name, limit in found.items()}


def _prepared(grid: Grid, cell: Combination) -> Prepared:
    from perfmodel.preparing import prepare

    return prepare(
        cell.model,
        cell.hardware,
        precision=cell.precision,
        runtime=cell.runtime,
        cache_precision=grid.cache_precision,
        channels_last=grid.channels_last,
        threads=grid.threads,
        layout=cell.layout,
        specs=grid.specs,
    )


def _refused_request(grid: Grid, cell: Combination) -> Request:
    """What was asked of a chip that refuses, with the same defaults as a prediction."""
    from perfmodel.predict import DEFAULT_OUTPUT_TOKENS
    from perfmodel.preparing import default_input_tokens
    from perfmodel.types import Request

    generates = "decode" in cell.model.phases
    has_tokens = any("tokens" in graph.symbols for graph in cell.model.phases.values())
    return Request(
        model=cell.model.name,
        hardware=cell.hardware.id,
        precision=cell.precision or cell.model.precision,
        batch=cell.batch,
        input_tokens=(cell.input_tokens or default_input_tokens(cell.model)) if has_tokens else 0,
        output_tokens=(cell.output_tokens or DEFAULT_OUTPUT_TOKENS) if generates else 0,
        runtime=cell.runtime or ("graphs" if generates else "eager"),
        level=grid.level,
        image_size=max(cell.model.facts.get("image_size", (0,))),
        steps=cell.steps or cell.model.facts.get("steps", 0),
        layout=cell.layout,
    )


def explanation(grid: Grid, cell: Combination, explained: Answer, *, symbolic: bool) -> Explanation:
    """Why each phase takes what it takes.

    Args:
        explained: an answer with a row per op. symbolic: with closed forms.
    """
    from perfmodel.closed_form import bound_changes, phase_form
    from perfmodel.predict import phase_sizes
    from perfmodel.report.answers import Explanation
    from perfmodel.report.words import phase_sentences
    from perfmodel.spreading import own_batch

    assert explained.prediction is not None
    request = explained.request
    prepared = _prepared(grid, cell)
    changes, sentences = {}, {}
    for name, program in prepared.programs.items():
        sizes = phase_sizes(name, own_batch(request.batch, request.layout), request.input_tokens, request.output_tokens)
        grows = "tokens" if "tokens" in program.graph.symbols else "batch"
        changes[name] = bound_changes(program.graph, cell.hardware, sizes, grows)
        sentences[name] = phase_sentences(explained.prediction, name, cell.hardware, changes[name])
    forms = {name: phase_form(program.graph) for name, program in prepared.programs.items()} if symbolic else {}
    return Explanation(sentences=sentences, changes=changes, forms=forms)
