"""`perfmodel predict` and `perfmodel explain`.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.cost_options import COST_OPTIONS, cost_options, read_costs
from perfmodel.cli.html_reports import check_html, html_mistakes, html_option, save_html
from perfmodel.cli.mistakes import BOTH_FORMS, refuse_plot
from perfmodel.cli.options import echo_json, json_option, request_options, side_options
from perfmodel.cli.serving_options import SERVING_OPTIONS, asks_server, serving_options
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.report.answers import Answer


@click.command(
    "predict",
    epilog=examples(
        "perfmodel predict llama-3.1-8b --hardware h100-sxm,l4 --precision bf16,w4a16 --input-tokens 2048",
        "perfmodel predict ./config.json --hardware rtx-4090 --precision w4a16 --max-batch --max-context",
        "perfmodel predict llama-3.1-8b --hardware l40s --engine vllm --concurrency 1,8,32",
        'perfmodel predict llama-3.1-8b --hardware l40s,h100-sxm --engine vllm --slo-ttft "2 s" --slo-tpot "50 ms"',
    ),
)
@click.argument("model", metavar="MODEL[,MODEL]")
@request_options
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per combination.")
@html_option
@click.option("--max-batch", is_flag=True, help="Also tell the largest batch that fits at these lengths.")
@click.option("--max-context", is_flag=True, help="Also tell the longest prompt and answer that fit for this batch.")
@serving_options
@cost_options
def predict_command(
    as_json: bool, as_csv: bool, html: str | None, max_batch: bool, max_context: bool, **options: Any
) -> None:
    """Predict latency, throughput and memory of every combination of the given lists.

    With --engine, and --concurrency or --rate, predict a server with many users: TTFT, TPOT, throughput. With
    --slo-ttft or --slo-tpot instead, find the most users that keep them.

    MODEL is a catalog name (`perfmodel models list`), a Hugging Face config.json or its folder, the folder of a
    diffusers pipeline, a .gguf, .safetensors or .onnx file, a graph or model .yaml, timm:NAME, or
    torch:file.py:factory, where the function returns a module and its example inputs.
    """
    from perfmodel.cli.answering import answer
    from perfmodel.cli.grid import read_grid

    if as_json and as_csv:
        raise InputError(BOTH_FORMS)
    served = {name: options.pop(name) for name in SERVING_OPTIONS}
    mistakes = html_mistakes(html)
    costs = read_costs({name: options.pop(name) for name in COST_OPTIONS}, options["specs"], mistakes)
    if asks_server(served):
        from perfmodel.cli.serving import print_served

        limits = {"max_batch": max_batch, "max_context": max_context}
        print_served(options | limits, served, costs, mistakes, as_json=as_json, as_csv=as_csv, html=html)
        return
    grid = costs.of_grid(read_grid(options, mistakes))
    answers = [
        answer(grid, cell, max_batch=max_batch, max_context=max_context, costs=costs) for cell in grid.combinations()
    ]
    answers = list({each.request: each for each in answers}.values())  # a runtime or length may not apply to a model
    _print(answers, as_json=as_json, as_csv=as_csv)
    if html:
        from perfmodel.report.html_predictions import predict_report

        save_html(html, predict_report(answers, grid.hardware), quiet=as_json or as_csv)
    if not any(each.prediction for each in answers):
        from perfmodel.report.answers import nothing_answered

        raise nothing_answered(answers)


def _print(answers: Sequence[Answer], *, as_json: bool, as_csv: bool) -> None:
    from perfmodel.report.prediction_table import notes_of, print_answers

    if as_json:  # with the notes inside
        from perfmodel.report.documents import answer_document

        echo_json([answer_document(each) for each in answers])
        return
    if as_csv:
        from perfmodel.report.documents import csv_text

        click.echo(csv_text(answers), nl=False)
        for note in notes_of(answers):
            click.echo(f"Note: {note}", err=True)
        return
    from perfmodel.report.console import open_console

    print_answers(open_console(), answers)


@click.command(
    "explain",
    epilog=examples(
        "perfmodel explain llama-3.1-8b --hardware l4 --plot roofline.png",
        "perfmodel explain timm:efficientnet_b4 --compare timm:resnet50 --hardware rtx-3090",
        "perfmodel explain llama-3.1-8b --compare --precision fp16,int8 --hardware a100-sxm-80gb",
        'perfmodel explain --compare "llama-3.1-8b --precision fp8" "llama-3.1-70b --tp 4" --hardware h100-sxm',
        'perfmodel explain --compare "llama-3.1-8b --concurrency 8" "llama-3.1-8b --concurrency 64" \\',
        "    --hardware h100-sxm --engine vllm",
    ),
)
@click.argument("models", metavar="MODEL|REQUEST [...]", nargs=-1, required=True)
@click.option("--compare", is_flag=True, help="Two requests side by side, and the terms that differ.")
@side_options
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print the terms of --compare as CSV.")
@click.option(
    "--sort", type=click.Choice(["graph", "time"]), default="graph", help="Order of the ops.", show_default=True
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=40,
    help="Rows per phase at most, the slowest ops; 0 for all.",
    show_default=True,
)
@click.option("--symbolic", is_flag=True, help="Also print closed forms of FLOPs, bytes and parameters.")
@html_option
@click.option(
    "--plot",
    metavar="FILE",
    help="Draw the roofline of all ops, both bars of --compare, or of servers the steps from A to B: .png, .svg, .pdf.",
)
@serving_options
def explain_command(
    models: tuple[str, ...], compare: bool, as_csv: bool, symbolic: bool, as_json: bool, top: int, plot: str | None,
    html: str | None, **options: Any,
) -> None:  # fmt: skip
    """Tell where the time of one combination goes, op by op, and why; with --engine, what TTFT and TPOT of a server are
    made of.

    MODEL is what `perfmodel predict` takes.

    With --compare, tell why one of two requests takes longer than the other: two models, one model and a list of two
    chips, precisions, batches, loads, ..., or any two requests in quotes, each with options of its own. Options outside
    of the quotes hold for both.
    """
    from perfmodel.cli.grid import read_grid
    from perfmodel.cli.sides import are_requests

    _check_outputs(compare=compare, as_json=as_json, as_csv=as_csv, symbolic=symbolic)
    refuse_plot(plot)
    by_time = options.pop("sort") == "time"
    served = {name: options.pop(name) for name in SERVING_OPTIONS}
    check_html(html)
    if are_requests(models) or asks_server(served):
        _explain_requests(models, options, served, compare=compare, symbolic=symbolic, as_json=as_json, as_csv=as_csv,
                          top=top, plot=plot, html=html)  # fmt: skip
        return
    _need_hardware(options)
    grid = read_grid(options | {"model": ",".join(models)})
    if compare:
        from perfmodel.cli.comparing import print_compared

        print_compared(grid, as_json=as_json, as_csv=as_csv, top=top, plot=plot, html=html)
    else:
        _explain(grid, as_json=as_json, by_time=by_time, symbolic=symbolic, top=top, plot=plot, html=html)


def _explain_requests(
    models: Sequence[str],
    options: dict[str, Any],
    served: dict[str, Any],
    *,
    compare: bool,
    symbolic: bool,
    **output: Any,
) -> None:
    """Requests in quotes, and servers."""
    from perfmodel.cli.comparing import print_compared_sides
    from perfmodel.cli.explaining_latencies import Output, compare_servers, compare_sides, explain_server
    from perfmodel.cli.sides import are_requests, read_sides

    if symbolic:
        raise InputError("--symbolic is of the ops of a model: leave it out for a server")
    if are_requests(models):
        if not compare:
            raise InputError("requests in quotes are for --compare; write the options of one request without quotes")
        sides = read_sides(models, options, served)
        if any(side.is_server for side in sides):
            compare_sides(sides, Output(**output))
        else:
            print_compared_sides(sides, **output)
        return
    _need_hardware(options)
    asked = options | {"model": ",".join(models)}
    (compare_servers if compare else explain_server)(asked, served, Output(**output))


def _need_hardware(options: dict[str, Any]) -> None:
    if options["hardware"] is None:
        raise click.MissingParameter(param_hint="'--hardware'", param_type="option")


def _check_outputs(*, compare: bool, as_json: bool, as_csv: bool, symbolic: bool) -> None:
    if as_json and as_csv:
        raise InputError(BOTH_FORMS)
    if as_csv and not compare:
        raise InputError("--csv is for the terms of --compare; the ops of one combination are in --json")
    if symbolic and compare:
        raise InputError("--symbolic is for one combination: leave out --compare, or --symbolic")


def _explain(
    grid: Grid, *, as_json: bool, by_time: bool, symbolic: bool, top: int, plot: str | None, html: str | None
) -> None:
    from perfmodel.cli.answering import answer, explanation

    cell = grid.single()
    explained = answer(grid, cell, with_ops=True)
    if explained.prediction is None:
        raise UnsupportedError(explained.error)
    why = explanation(grid, cell, explained, symbolic=symbolic)
    if plot:
        from perfmodel.report.plots import draw_roofline, save_figure

        save_figure(plot, draw_roofline(explained, cell.hardware))
    if as_json:
        from perfmodel.report.documents import explanation_document

        echo_json(explanation_document(explained, why))
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.op_table import print_explanation

        print_explanation(open_console(), explained, why, by_time=by_time, top=top)
        if plot:
            click.echo(f"Roofline: {plot}")
    if html:
        from perfmodel.report.html_predictions import explain_report

        save_html(html, explain_report(explained, why, cell.hardware, by_time=by_time, top=top), quiet=as_json)
