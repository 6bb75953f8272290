"""`perfmodel tradeoff`: accuracy against latency, from a table of accuracies that the user brings.

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
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.planning.tradeoff import Budget, Tradeoff


_MMLU_FILE = """
mmlu.csv:
  model,accuracy
  llama-3.2-1b,49.3
  llama-3.1-8b,69.4
"""


@click.command(
    "tradeoff",
    epilog=examples(
        'perfmodel tradeoff results-imagenet.csv --hardware l4 --precision fp16 --budget-latency "5 ms"',
        "perfmodel tradeoff results-imagenet.csv --hardware l4,t4 --plot front.png",
        'perfmodel tradeoff mmlu.csv --hardware h100-sxm,l40s --input-tokens 2048 --budget-cost "0.5 USD"',
        file=_MMLU_FILE,
    ),
)
@click.argument("table", metavar="FILE")
@request_options
@click.option("--latency", metavar="WHICH", help="e2e, ttft or tpot. [default: tpot for language models, else e2e]")
@click.option("--budget-latency", metavar="TIME", help='The longest latency allowed, e.g. "5 ms".')
@click.option("--budget-memory", metavar="BYTES", help='The most memory of a device allowed, e.g. "16 GiB".')
@click.option(
    "--budget-cost", metavar="USD", help="The most a million output tokens (or samples) may cost, at the chip's price."
)
@click.option("--model-column", metavar="NAME", help="The column of models. [default: model, name, ...]")
@click.option("--accuracy-column", metavar="NAME", help="The column of accuracies. [default: top1, accuracy, ...]")
@click.option("--size-column", metavar="NAME", help="The column of image sizes. [default: img_size, ...]")
@click.option("--lower-is-better", is_flag=True, help="The column is an error or a perplexity.")
@click.option("--all", "every", is_flag=True, help="Show the models off the front of a long table, too.")
@click.option("--plot", metavar="FILE", help="Draw accuracy over latency: .png, .svg or .pdf.")
@html_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per setting and model.")
def tradeoff_command(
    table: str, every: bool, lower_is_better: bool, plot: str | None, html: str | None, as_json: bool, as_csv: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Find the models that are worth their time: accuracy against predicted latency, under a budget.

    FILE is a CSV or Parquet table of your own with a column of models and one of accuracies; timm's results files work
    as they are. Models are names of the catalog, of timm, or paths.
    """
    from perfmodel.cli.grid import read_grid
    from perfmodel.cli.progress import progress_bar
    from perfmodel.planning.accuracy_tables import read_accuracies
    from perfmodel.planning.tradeoff import tradeoff_of_settings
    from perfmodel.report.tradeoff_words import left_out_lines

    budget, mistakes = _read_own(options, plot, as_json=as_json, as_csv=as_csv)
    mistakes += html_mistakes(html)
    read = None
    try:
        read = read_accuracies(
            table, **{f"{what}_column": options[f"{what}_column"] for what in ("model", "accuracy", "size")}
        )
    except PerfmodelError as error:
        mistakes.append(("file", error))
    grid = read_grid({**options, "model": None}, mistakes)
    assert read is not None
    assert budget is not None
    settings = _settings(grid, options["image_size"])
    with progress_bar() as show:
        answer = tradeoff_of_settings(read, settings, options["latency"], budget, lower_is_better, show)
    if plot:
        from perfmodel.report.plots import save_figure
        from perfmodel.report.tradeoff_plot import draw_tradeoff

        save_figure(plot, draw_tradeoff(answer))
    notes = _notes(answer, grid)
    told = [*left_out_lines(answer.left_out, answer.table.path), *(f"Note: {note}" for note in notes)]
    _print(answer, told, notes, every=every, as_json=as_json, as_csv=as_csv)
    if plot and not (as_json or as_csv):
        click.echo(f"Plot: {plot}")
    if html:
        from perfmodel.report.html_studies import tradeoff_report

        save_html(html, tradeoff_report(answer, told, notes, grid.hardware, every=every), quiet=as_json or as_csv)


def _read_own(
    options: dict[str, Any], plot: str | None, *, as_json: bool, as_csv: bool
) -> tuple[Budget | None, Mistakes]:
    """The budget, and what is wrong with this command's own options, as (option, mistake)."""
    from perfmodel.errors import UnknownNameError
    from perfmodel.planning.tradeoff import LATENCIES, Budget
    from perfmodel.units import parse_quantity

    mistakes: Mistakes = []
    limits = {}
    for option, field, dimension in (
        ("budget_latency", "seconds", "seconds"), ("budget_memory", "memory_bytes", "bytes"),
        ("budget_cost", "cost_usd", "usd"),
    ):  # fmt: skip
        if options[option] is None:
            continue
        try:
            limits[field] = parse_quantity(options[option], dimension)
            Budget(**{field: limits[field]})
        except PerfmodelError as error:
            mistakes.append((option, error))
    latency = options["latency"]
    if latency is not None and latency not in LATENCIES:
        mistakes.append(("latency", UnknownNameError("latency", latency, LATENCIES, f"Known: {', '.join(LATENCIES)}")))
    mistakes += output_mistakes(plot, as_json=as_json, as_csv=as_csv)
    return (None if mistakes else Budget(**limits)), mistakes


def _settings(grid: Grid, image_size: str | None) -> list[dict[str, Any]]:
    """The combinations as arguments of `predict`, but for the model."""
    shared = {
        "cache_precision": grid.cache_precision, "channels_last": grid.channels_last, "threads": grid.threads,
        "level": grid.level, "strict": grid.strict, "specs": grid.specs, "anchors": grid.anchors,
        "image_size": int((image_size or "0").replace("_", "")),
    }  # fmt: skip
    asked = ("hardware", "precision", "batch", "input_tokens", "output_tokens", "steps", "layout", "runtime")
    return [shared | {name: getattr(cell, name) for name in asked} for cell in grid.combinations()]


def _notes(answer: Tradeoff, grid: Grid) -> list[str]:
    from perfmodel.report.answers import Answer
    from perfmodel.report.prediction_table import notes_of

    predictions = [point.prediction for front in answer.fronts for point in front.points]
    answers = [Answer(request=each.request, prediction=each, notes=each.provenance["notes"]) for each in predictions]
    return list(dict.fromkeys([*answer.table.notes, *grid.left_out, *notes_of(answers)]))


def _print(
    answer: Tradeoff, told: Sequence[str], notes: Sequence[str], *, every: bool, as_json: bool, as_csv: bool
) -> None:
    if as_json:
        from perfmodel.report.tradeoff_document import tradeoff_document

        echo_json(tradeoff_document(answer, notes))
        return
    if as_csv:
        from perfmodel.report.tradeoff_table import tradeoff_csv

        click.echo(tradeoff_csv(answer), nl=False)
        for line in told:
            click.echo(line, err=True)
        return
    from perfmodel.report.console import open_console
    from perfmodel.report.tradeoff_table import print_whole_tradeoff

    print_whole_tradeoff(open_console(), answer, told, every=every)
