"""`perfmodel validate` and `perfmodel fit`: predictions against measured files, and coefficients from them.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import check_html, html_option, save_html
from perfmodel.cli.mistakes import refuse_plot
from perfmodel.cli.options import echo_json, json_option, read_level, specs_option, split_list
from perfmodel.cli.progress import progress_line
from perfmodel.cli.told import read_told, told_options
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.calibration.measurements import Imported
    from perfmodel.calibration.validation import Validation
    from perfmodel.report.html_page import Report

LEAVE_OUT = click.Choice(["hardware", "family", "model", "deployment"])
_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True)
_SOURCE = click.option(
    "--source",
    metavar="NAME",
    help="neusight, timm, aiconfigurator, vidur, serving, published, table, runs, vllm-bench, guidellm, genai-perf or "
    "llmperf; recognised by what is in the file.",
)


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands."""
    for option in (json_option, specs_option, _SOURCE, _FILES):
        command = option(command)
    return command


_MY_RUNS_FILE = """
my-runs.csv:
  hardware,precision,runtime,model,batch,input_tokens,milliseconds
  l4,fp16,eager,bert-base,8,128,7.9
"""


@click.command(
    "validate",
    epilog=examples(
        "perfmodel validate my-runs.csv",
        "perfmodel validate result.json --hardware h100-sxm --engine vllm@0.8.5 --tp 4 --precision fp8",
        "perfmodel validate runs.csv --leave-out deployment --by engine --html errors.html",
        file=_MY_RUNS_FILE,
    ),
)
@file_options
@click.option("--by", metavar="KEY[,KEY]", help="Metrics by hardware, op, precision, engine, kernel, regime, ...")
@click.option(
    "--leave-out",
    type=LEAVE_OUT,
    help="Fit the files without each of these in turn, and predict it from the others. Families are those of chips; of "
    "image models in eager or compiled torch, those of models. Deployments are those of servers.",
)
@click.option(
    "--anchor-runs",
    type=click.IntRange(0, 100),
    default=0,
    metavar="N",
    help="Of each server's deployment, N runs are given as anchors, and the others predicted.",
)
@click.option(
    "--level", default="0.8", metavar="SHARE", help="Share of rows the interval should hold.", show_default=True
)
@click.option(
    "--worst", type=click.IntRange(min=0), default=5, help="How many of the worst rows to show.", show_default=True
)
@click.option("--rows", "rows_file", metavar="FILE", help="Write every row with its prediction and interval as CSV.")
@click.option("--plot", metavar="FILE", help="Draw predicted against measured into a .png, .svg or .pdf file.")
@html_option
@told_options
def validate_command(
    files: tuple[str, ...],
    source: str | None,
    specs: str | None,
    as_json: bool,
    by: str | None,
    leave_out: str | None,
    anchor_runs: int,
    level: str,
    worst: int,
    rows_file: str | None,
    plot: str | None,
    html: str | None,
    **told: Any,
) -> None:
    """Compare predictions with measured files: errors, rank, coverage of the intervals, worst rows.

    FILES are what `perfmodel measure` wrote of whole models, tables of NeuSight, timm, aiconfigurator or vidur, or your
    own CSV: one row a fact, with the columns hardware, precision, seconds (or milliseconds, microseconds), op or model,
    and sizes. Load tests of servers: tables, and reports of vllm bench serve, GuideLLM, genai-perf, aiperf or llmperf;
    what a report does not tell is told by --hardware, --engine, --tp and the like.
    """
    from perfmodel.calibration.scoring import check_keys
    from perfmodel.calibration.validation import validate
    from perfmodel.report.validation_table import print_validation, rows_csv, validation_document
    from perfmodel.whole_files import check_writable, write_whole

    keys = split_list(by) if by else ()
    check_keys(keys)
    refuse_plot(plot)
    check_html(html)
    if rows_file:
        check_writable(rows_file)
    with progress_line() as progress:
        found = validate(
            files,
            source=source,
            leave_out=leave_out,
            level=read_level(level),
            specs=specs,
            progress=progress,
            told=read_told(told),
            anchor_runs=anchor_runs,
        )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if rows_file:
        write_whole(rows_file, rows_csv(found))
    if plot:
        _save_plot(plot, found)
    if as_json:
        echo_json(validation_document(found, keys, worst))
    else:
        from perfmodel.report.console import open_console

        print_validation(open_console(), found, keys, worst)
        for what, path in (("Rows", rows_file), ("Plot", plot)):
            if path:
                click.echo(f"{what}: {path}")
    if html:
        from perfmodel.report.html_measured import validation_report

        save_html(html, validation_report(found, keys, worst), quiet=as_json)


def _save_plot(path: str, found: Validation) -> None:
    from perfmodel.report.plots import save_figure
    from perfmodel.report.validation_plot import draw_validation

    save_figure(path, draw_validation(found))


@click.command(
    "fit",
    epilog=examples(
        "perfmodel fit ops.csv --out my-specs/calibration/coefficients/mine.json",
        'perfmodel fit runs.csv --about "our servers, May" --out my-specs/calibration/coefficients/serving-mine.json',
        "perfmodel predict llama-3.1-8b --hardware h100-sxm --specs my-specs",
    ),
)
@file_options
@click.option(
    "--leave-out",
    type=LEAVE_OUT,
    default="hardware",
    help="What is left out in turn to tell the error on what was not fitted. Of servers: models and deployments.",
    show_default=True,
)
@click.option("--out", metavar="FILE", help="Write the coefficients into this .json file.")
@click.option("--about", metavar="TEXT", help="Of runs of servers: where they come from, kept in the file.")
@html_option
@told_options
def fit_command(
    files: tuple[str, ...],
    source: str | None,
    specs: str | None,
    as_json: bool,
    leave_out: str,
    out: str | None,
    about: str | None,
    html: str | None,
    **told: Any,
) -> None:
    """Fit coefficients to measured files, and tell how far they can be trusted: those of kernels, or of engines where
    the files hold load tests of servers.

    A file in calibration/coefficients/ of a folder given with --specs (or named in PERFMODEL_DATA) is used by all
    predictions; one of engines has a name that begins with serving.
    """
    from perfmodel.calibration.serving_runs import closed_loops
    from perfmodel.calibration.sources import read_measurements
    from perfmodel.whole_files import check_writable

    if out and not out.endswith(".json"):
        raise InputError(f"--out: '{out}' must end in .json")
    check_html(html)
    if out:
        check_writable(out)
    imported = read_measurements(files, source, specs=specs, told=read_told(told))
    if closed_loops(imported.serving):
        report = _fit_engines(imported, specs=specs, as_json=as_json, out=out, about=about)
    elif about:
        raise InputError("--about is of runs of servers, and the files hold none")
    else:
        report = _fit_kernels(imported, specs=specs, as_json=as_json, leave_out=leave_out, out=out)
    if out and not as_json:
        click.echo(f"Coefficients: {out}")
    if html:
        save_html(html, report(), quiet=as_json)


def _fit_kernels(
    imported: Imported, *, specs: str | None, as_json: bool, leave_out: str, out: str | None
) -> Callable[[], Report]:
    """Fit, write, print; what makes a report of it."""
    from perfmodel.calibration.fitting import fit_imported
    from perfmodel.coefficient_files import write_coefficients
    from perfmodel.report.fit_report import fit_document, print_fit

    with progress_line() as progress:
        outcome = fit_imported(imported, leave_out=leave_out, specs=specs, progress=progress)
    if out:
        write_coefficients(out, outcome.file)
    _show(outcome, fit_document, print_fit, as_json)

    def report() -> Report:
        from perfmodel.report.html_measured import fit_report

        return fit_report(outcome)

    return report


def _fit_engines(
    imported: Imported, *, specs: str | None, as_json: bool, out: str | None, about: str | None
) -> Callable[[], Report]:
    """As `_fit_kernels`; errors are told at the levels of predictions, each with its own split."""
    from perfmodel.calibration.serving_fitting import fit_server_files
    from perfmodel.coefficient_files import SERVING
    from perfmodel.report.serving_fit_report import print_serving_fit, serving_fit_document
    from perfmodel.serving.engine_files import write_engine_file

    name = PurePath(out).name if out else ""
    if name and not fnmatch(name, SERVING):
        raise InputError(f"--out: coefficients of engines are only found in files named {SERVING}, not in '{name}'")
    with progress_line() as progress:
        outcome = fit_server_files(imported, about=about or "", specs=specs, progress=progress)
    if out:
        write_engine_file(out, outcome.file)
    _show(outcome, serving_fit_document, print_serving_fit, as_json)

    def report() -> Report:
        from perfmodel.report.html_measured import serving_fit_report

        return serving_fit_report(outcome)

    return report


def _show(outcome: Any, document: Callable[[Any], Any], show: Callable[[Any, Any], None], as_json: bool) -> None:
    if as_json:
        echo_json(document(outcome))
        return
    from perfmodel.report.console import open_console

    show(open_console(), outcome)
