"""`perfmodel sweep`: grids of requests into one table.

May import: click, errors, and everything below inside the functions.
"""

from __future__ import annotations

import os

import click

from perfmodel.cli.html_reports import check_html, html_option, save_html
from perfmodel.cli.options import echo_json, json_option, specs_option
from perfmodel.cli.progress import progress_bar
from perfmodel.cli.usage import examples

_SWEEP_FILE = """
sweep.yaml:
  kind: serving
  grid:
    model: llama-3.1-8b
    hardware: [l40s, h100-sxm]
    precision: [bf16, fp8]
    input_tokens: {from: 128, to: 8192, steps: 7, scale: log}
    output_tokens: 256
    concurrency: [1, 8, 64]
"""


@click.command(
    "sweep",
    epilog=examples(
        "perfmodel sweep sweep.yaml --out sweep.parquet",
        "perfmodel sweep sweep.yaml --out sweep.parquet --executor dask --address tcp://10.0.0.5:8786",
        file=_SWEEP_FILE,
    ),
)
@click.argument("spec", metavar="SPEC.yaml")
@click.option("--out", required=True, metavar="FILE", help="The table: .parquet or .csv.")
@click.option(
    "--executor", default="local", metavar="NAME", show_default=True,
    help="local (processes of this machine) or dask.",
)  # fmt: skip
@click.option(
    "--address", metavar="URL",
    help="Of a Dask scheduler, e.g. tcp://10.0.0.5:8786. [default: a Dask cluster of processes here]",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes. [default: one for each core]")
@click.option("--restart", is_flag=True, help="Forget the parts that are done, and start anew.")
@html_option
@json_option
@specs_option
def sweep_command(
    spec: str,
    out: str,
    executor: str,
    address: str | None,
    workers: int | None,
    restart: bool,
    html: str | None,
    as_json: bool,
    specs: str | None,
) -> None:
    """Answer every point of a grid into one table: servers in steady state, predictions, plans or simulations.

    A sweep that was stopped, in whatever way, goes on where it was when the same command is run again; the table comes
    out the same. Axes of a grid are named like options; kind is serving (the default), predict, plan or simulate.
    """
    # numpy's BLAS starts a thread per core as it is imported, and nothing here multiplies large matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from perfmodel.sweeping.running import sweep

    check_html(html)
    try:
        with progress_bar() as show:
            result = sweep(
                spec, out=out, executor=executor, address=address, workers=workers or 0, restart=restart, specs=specs,
                show=show,
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo(
            f"\nStopped. What is done is kept in {out}.parts; the same command goes on from there, --restart starts "
            "anew.",
            err=True,
        )
        raise
    if as_json:
        from perfmodel.report.sweep_document import sweep_document

        echo_json(sweep_document(result))
    else:
        again = f", {result.resumed} of {result.parts} parts found done" if result.resumed else ""
        click.echo(f"{result.out}: {result.rows:,} rows of {result.points:,} points in {result.seconds:.1f} s{again}")
    if html:
        from perfmodel.report.html_studies import sweep_report

        save_html(html, sweep_report(result), quiet=as_json)
