"""`perfmodel scale`: how time grows with the size of the model.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import html_mistakes, html_option, save_html
from perfmodel.cli.mistakes import Mistakes, output_mistakes
from perfmodel.cli.options import echo_json, json_option, request_options
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.planning.scaling import SizeLine
    from perfmodel.report.answers import Answer


@click.command(
    "scale",
    epilog=examples(
        "perfmodel scale llama --hardware h100-sxm,l4 --phase decode --plot sizes.png",
        "perfmodel scale bert-base,bert-large --hardware a100-sxm-80gb --batch 1,32",
    ),
)
@click.argument("models", metavar="FAMILY|MODEL,MODEL")
@request_options
@click.option("--phase", metavar="PHASE[,PHASE]", help="prefill, decode, forward, ...; all phases by default.")
@click.option("--plot", metavar="FILE", help="Draw time over parameters: .png, .svg or .pdf.")
@html_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per chip, phase and model.")
def scale_command(
    models: str, phase: str | None, plot: str | None, html: str | None, as_json: bool, as_csv: bool, **options: Any
) -> None:
    """Tell whether speed depends on the size of a model, and where it starts to.

    Families: llama, qwen, gemma, gpt-2, gpt3, opt, t5, vit, resnet, efficientnet. Or any list of what
    `perfmodel predict` takes.
    """
    from perfmodel.cli.answering import answer
    from perfmodel.cli.grid import read_grid
    from perfmodel.planning.families import asked_families
    from perfmodel.planning.scaling import size_lines

    names, phases, mistakes = _read_own(models, phase, plot, as_json=as_json, as_csv=as_csv)
    grid = read_grid(options | {"model": names}, [*mistakes, *html_mistakes(html)])
    _check_models(grid, phases)
    answers = list({each.request: each for each in (answer(grid, cell) for cell in grid.combinations())}.values())
    answered = [each for each in answers if each.prediction]
    families = asked_families(name.strip() for name in models.split(","))
    lines = size_lines([each.prediction for each in answered if each.prediction], phases, families)
    if not lines:
        from perfmodel.report.answers import nothing_answered

        raise nothing_answered(answers)
    if plot:
        from perfmodel.report.plots import save_figure
        from perfmodel.report.scaling_plot import draw_scaling

        save_figure(plot, draw_scaling(lines))
    refused = [each for each in answers if not each.prediction]
    notes = _notes(grid, answered)
    _print(lines, answered, refused, notes, as_json=as_json, as_csv=as_csv)
    if plot and not (as_json or as_csv):
        click.echo(f"Plot: {plot}")
    if html:
        from perfmodel.report.html_predictions import scale_report

        save_html(html, scale_report(lines, answers, notes, grid.hardware), quiet=as_json or as_csv)


def _read_own(
    models: str, phase: str | None, plot: str | None, *, as_json: bool, as_csv: bool
) -> tuple[str, tuple[str, ...], Mistakes]:
    """(models, families expanded; phases; what is wrong with this command's own options, as (option, mistake))."""
    from perfmodel.cli.options import split_list
    from perfmodel.errors import UnknownNameError
    from perfmodel.planning.families import expand_families
    from perfmodel.report.columns import PHASE_TITLES

    mistakes: Mistakes = []
    names = models
    try:
        expanded = expand_families(split_list(models))
    except InputError:
        pass  # an empty item: told by whoever reads the list
    else:
        names = ",".join(expanded)
        if len(expanded) < 2:
            told = f"'{models}' is one model: give a family (llama, resnet, ...) or a list of at least two"
            mistakes.append(("model", InputError(told)))
    phases: tuple[str, ...] = ()
    try:
        phases = split_list(phase) if phase is not None else ()
    except InputError as error:
        mistakes.append(("phase", error))
    hint = f"Known: {', '.join(PHASE_TITLES)}"
    mistakes += [("phase", UnknownNameError("phase", x, PHASE_TITLES, hint)) for x in phases if x not in PHASE_TITLES]
    mistakes += output_mistakes(plot, as_json=as_json, as_csv=as_csv)
    return names, phases, mistakes


def _check_models(grid: Grid, asked: Sequence[str]) -> None:
    """
    Raises:
        InputError: no model has a phase that was asked for.
    """
    phases = list(dict.fromkeys(name for model in grid.model for name in model.phases))
    missing = [name for name in asked if name not in phases]
    if missing:
        raise InputError(
            f"--phase: none of these models has a phase {' or '.join(missing)}; they have {', '.join(phases)}"
        )


def _notes(grid: Grid, answered: Sequence[Answer]) -> list[str]:
    from perfmodel.report.prediction_table import notes_of

    sparse = [
        each.name for each in grid.model if each.facts.get("active_parameters", each.parameters) < each.parameters
    ]
    told = f"{', '.join(sparse)}: all parameters count as size, though a token uses only some" if sparse else ""
    return [*notes_of(answered), *([told] if told else [])]


def _print(
    lines: Sequence[SizeLine], answered: Sequence[Answer], refused: Sequence[Answer], notes: Sequence[str], *,
    as_json: bool, as_csv: bool,
) -> None:  # fmt: skip
    if as_json:
        from perfmodel.report.scaling_document import scale_document

        echo_json(scale_document(lines, refused, notes))
        return
    if as_csv:
        from perfmodel.report.scaling_table import lines_csv, refusal_lines

        click.echo(lines_csv(lines), nl=False)
        for note in (*refusal_lines(refused), *(f"Note: {note}" for note in notes)):
            click.echo(note, err=True)
        return
    from perfmodel.report.console import open_console
    from perfmodel.report.scaling_table import print_scale

    print_scale(open_console(), lines, answered, refused, notes)
