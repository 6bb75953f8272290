"""`perfmodel measure`: real torch runs on this machine, into a file that fits and validations read.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from perfmodel.cli.options import json_option, read_counts, split_list

INTERRUPTED = 130
_MOST_THREADS = 4096


@click.command("measure")
@click.argument("model", required=False)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--suite",
    type=click.Choice(["quick", "full"]),
    default="quick",
    help="Which programs, and how long each.",
    show_default=True,
)
@click.option("--dtype", default="fp32,bf16", metavar="D[,D]", help="fp32 bf16 fp16 int8.", show_default=True)
@click.option("--threads", metavar="N[,N]", help="Cores that work. [default: all]")
@click.option("--programs", "pattern", default="", metavar="REGEX", help="Only programs whose group and name match.")
@click.option("--out", metavar="FILE", help="Where the points go, line by line. [default: runs-DEVICE-SUITE.jsonl]")
@click.option("--force", is_flag=True, help="Measure although other programs disturb, and mark such points.")
@json_option
def measure_command(
    model: str | None,
    device: str,
    suite: str,
    dtype: str,
    threads: str | None,
    pattern: str,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Time torch on this machine: a suite of small programs, or MODEL as a whole.

    Every point is on disk as soon as it is measured; the same command goes on where it was stopped.
    """
    from perfmodel.measuring.conditions import available_cores
    from perfmodel.measuring.run_files import open_runs
    from perfmodel.measuring.suite_runner import (
        PROTOCOLS,
        check_device,
        check_threads,
        check_torch,
        measure_suite,
        new_header,
        suite_tasks,
    )

    counts = read_counts(threads, _MOST_THREADS) if threads else (available_cores(),)
    check_torch()
    check_device(device)
    check_threads(counts)
    header = new_header(device, suite)
    tasks = suite_tasks(suite, split_list(dtype), counts, header["machine"]["llc_bytes"], pattern)
    path = out or f"runs-{device}-{suite}.jsonl"
    with _resumable(path), open_runs(path, header) as runs, _progress_bar() as progress:
        measured = measure_suite(tasks, runs, PROTOCOLS[suite], device=device, force=force, progress=progress)
    _tell(path, measured, len(tasks), as_json)


def _tell(path: str, measured: int, total: int, as_json: bool) -> None:
    if as_json:
        from perfmodel.report.documents import dump_json

        click.echo(dump_json({"file": path, "measured": measured, "points": total}))
        return
    before = f", {total - measured} were there already" if measured < total else ""
    click.echo(f"Measured {measured} of {total} points{before}: {path}")


@contextmanager
def _resumable(path: str) -> Iterator[None]:
    """Ctrl-C ends with how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\nStopped. What was measured is in {path}; the same command goes on from there, removing the file starts "
            "anew.",
            err=True,
        )
        raise


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A function that shows how many points are done, on stderr; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total, label: None
        return
    columns: tuple[Any, ...] = (
        BarColumn(30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    # a thread that redraws the bar would take a core from what is timed
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, description=label[:50], refresh=True)

        yield show
