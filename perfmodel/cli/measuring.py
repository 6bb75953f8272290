"""`perfmodel measure`: real torch runs on this machine, into a file that fits and validations read.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perfmodel.cli.html_reports import check_html, html_option
from perfmodel.cli.measuring_collectives import DEVICES, check_collectives, run_collectives
from perfmodel.cli.options import echo_json, json_option, read_counts, split_list
from perfmodel.cli.progress import progress_bar, resumable
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.measuring.whole_models import Case

_MOST = 1_000_000
# options that only mean something for a whole model, and for a suite
_OF_MODELS = ("batch", "input_tokens", "output_tokens", "image_size")


@click.command(
    "measure",
    epilog=examples(
        "perfmodel measure --suite quick",
        "perfmodel measure bert-base --batch 1,8 --input-tokens 128 --dtype fp32,bf16",
        "perfmodel measure llama-3.2-1b --suggest 5 --dtype bf16",
        "perfmodel measure --collectives 2",
    ),
)
@click.argument("model", required=False)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="What is timed.", show_default=True)
@click.option(
    "--suite",
    type=click.Choice(["quick", "full", "validation", "anchors"]),
    help="Small programs (quick, or full: more of them and longer), or whole models to check a calibration against "
    "(validation) or set its scale (anchors). [default: quick]",
)
@click.option(
    "--dtype",
    "--precision",
    "dtype",
    metavar="D[,D]",
    help="fp32 bf16 fp16 int8; of a GPU tf32 and no int8; of models also amp-bf16 amp-fp16, of collectives fp8. "
    "[default: fp32,bf16; of MODEL and collectives fp32]",
)
@click.option("--threads", metavar="N[,N]", help="Cores that work. [default: all]")
@click.option("--programs", "pattern", metavar="REGEX", help="Only programs whose group and name match.")
@click.option("--batch", metavar="N[,N]", help="Of MODEL: sequences or images computed together. [default: 1]")
@click.option("--input-tokens", metavar="N[,N]", help="Of MODEL: prompt length. [default: 512]")
@click.option("--output-tokens", metavar="N[,N]", help="Of MODEL: answer length. [default: 128]")
@click.option("--image-size", metavar="N[,N]", help="Of MODEL: pixels of an image's side. [default: the model's own]")
@click.option("--runtime", metavar="R[,R]", help="Of whole models: eager or compiled. [default: eager]")
@click.option(
    "--out",
    metavar="FILE",
    help="Where the points go, line by line. [default: runs-DEVICE-SUITE.jsonl, in this folder]",
)
@click.option("--force", is_flag=True, help="Measure although other programs disturb, and mark such points.")
@click.option(
    "--suggest",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Measure nothing: show the N runs that would narrow the interval of MODEL's time on this machine most.",
)
@click.option(
    "--collectives",
    is_flag=False,
    flag_value=DEVICES,
    metavar="[N[,N]]",
    help="Collectives between N processes instead: gloo on the CPU, NCCL on CUDA devices. [default: 2, or all devices]",
)
@click.option("--operations", metavar="O[,O]", help="Of --collectives: all_reduce, all_gather, ... [default: all six]")
@click.option("--sizes", metavar="S[,S]", help="Of --collectives: of the whole buffer. [default: 1KiB,4KiB,...,64MiB]")
@click.option("--hardware", metavar="ID", help="With --suggest: a CPU. [default: local, else what is detected]")
@html_option
@json_option
def measure_command(
    model: str | None,
    device: str,
    suite: str | None,
    dtype: str | None,
    threads: str | None,
    pattern: str | None,
    runtime: str | None,
    out: str | None,
    force: bool,
    suggest: int | None,
    collectives: str | None,
    operations: str | None,
    sizes: str | None,
    hardware: str | None,
    html: str | None,
    as_json: bool,
    **of_model: str | None,
) -> None:
    """Time torch on this machine: a suite of small programs, collectives, or MODEL as a whole with random weights.

    MODEL is a catalog name, a config.json or its folder, timm:NAME, or torch:file.py:factory. Every point is on disk as
    soon as it is measured; the same command goes on where it was stopped.
    """
    if collectives or operations or sizes:
        other = {"MODEL": model, "--suite": suite, "--threads": threads, "--programs": pattern, "--runtime": runtime,
                 "--suggest": suggest, "--hardware": hardware, "--html": html}  # fmt: skip
        other |= {f"--{name.replace('_', '-')}": value for name, value in of_model.items()}
        check_collectives(collectives, [name for name, value in other.items() if value])
        run_collectives(collectives or "", device, operations, sizes, dtype, out, force=force, as_json=as_json)
        return
    if suggest:
        options = {"--precision": dtype, "--threads": threads, "--runtime": runtime}
        check_html(html)
        _suggest(suggest, model, hardware, device, suite, pattern, options, of_model, bool(out or force), as_json, html)
        return
    if html:
        raise InputError("--html goes with --suggest; of what is measured, validate, fit and calibrate make reports")
    if hardware:
        raise InputError("--hardware goes with --suggest; what is measured is this machine: leave it out")
    from perfmodel.measuring.conditions import available_cores
    from perfmodel.measuring.run_files import open_runs
    from perfmodel.measuring.suite_runner import check_device, check_threads, check_torch, new_header

    _check_options(model, suite, pattern, runtime, of_model)
    counts = read_counts(threads, _MOST) if threads else (available_cores(),)
    dtypes = split_list(dtype or ("fp32" if model else "fp32,bf16"))
    check_torch()
    check_device(device, dtypes)
    check_threads(counts)
    what = "models" if model else suite or "quick"
    path = out or f"runs-{device}-{what}.jsonl"
    header = new_header(device, what)
    if model or what in ("validation", "anchors"):
        cases = _cases(model, what, dtypes, counts, split_list(runtime or "eager"), of_model, device)
        total = sum(len(case.phases) for case in cases)
        from perfmodel.measuring.whole_models import measure_models

        with resumable(path), open_runs(path, header) as runs, progress_bar() as progress:
            points = measure_models(cases, runs, device=device, force=force, progress=progress)
    else:
        from perfmodel.measuring.suite_runner import PROTOCOLS, measure_suite, suite_tasks

        tasks = suite_tasks(what, dtypes, counts, header["machine"]["llc_bytes"], pattern or "", device)
        total = len(tasks)
        with resumable(path), open_runs(path, header) as runs, progress_bar() as progress:
            points = measure_suite(tasks, runs, PROTOCOLS[what], device=device, force=force, progress=progress)
    _tell(path, points, total, as_json)


def _suggest(
    count: int, model: str | None, hardware: str | None, device: str, suite: str | None, pattern: str | None,
    options: dict[str, str | None], sizes: dict[str, str | None], writes: bool, as_json: bool,
    html: str | None,
) -> None:  # fmt: skip
    """`--suggest`: what to measure, instead of measuring."""
    from perfmodel.cli.suggesting import check_suggest, find_chip, tell_suggestions
    from perfmodel.measuring.suite_runner import check_torch

    single = [*options.items(), *((f"--{name.replace('_', '-')}", sizes[name]) for name in _OF_MODELS)]
    check_suggest(model, device, suite, single, writes=writes)
    threads = read_counts(options["--threads"], _MOST)[0] if options["--threads"] else 0
    check_torch()
    chip, source, cores = find_chip(hardware, threads)
    precision, runtime = options["--precision"] or "fp32", options["--runtime"] or "eager"
    (case,) = _cases(model, "", (precision,), (cores,), (runtime,), sizes)
    tell_suggestions(case, chip, source, count, suite or "quick", pattern, as_json=as_json, html=html)


def _check_options(
    model: str | None, suite: str | None, pattern: str | None, runtime: str | None, sizes: dict[str, str | None]
) -> None:
    """Raises InputError for options that mean nothing together, all of them named."""
    whole = bool(model) or suite in ("validation", "anchors")
    given = [name for name in _OF_MODELS if sizes[name]]
    wrong = []
    if model and suite:
        wrong.append("give a MODEL or a --suite, not both")
    if whole and pattern:
        wrong.append("--programs chooses among the programs of a suite; leave it out for whole models")
    if given and not model:
        wrong.append(
            f"{', '.join('--' + name.replace('_', '-') for name in given)}: only a MODEL has such sizes; name one"
        )
    if runtime and not whole:
        wrong.append("--runtime: programs of a suite are timed eagerly; leave it out, or name a MODEL")
    if wrong:
        raise InputError("; ".join(wrong))


def _cases(
    model: str | None,
    suite: str,
    precisions: Sequence[str],
    threads: Sequence[int],
    runtimes: Sequence[str],
    sizes: dict[str, str | None],
    device: str = "cpu",
) -> list[Case]:
    """The whole models that are wanted, in all combinations."""
    from itertools import product

    from perfmodel.measuring.model_builders import Sizes
    from perfmodel.measuring.validation_models import validation_cases
    from perfmodel.measuring.whole_models import read_case

    if not model:
        return [
            case
            for runtime in runtimes
            for case in validation_cases(
                precisions, threads, anchors_only=suite == "anchors", runtime=runtime, device=device
            )
        ]
    batches, inputs, outputs, sides = (
        read_counts(value, _MOST) if (value := sizes[name]) else (1 if name == "batch" else 0,) for name in _OF_MODELS
    )
    combined = [
        Sizes(batch=b, input_tokens=i, output_tokens=o, image_size=s)
        for b, i, o, s in product(batches, inputs, outputs, sides)
    ]
    return [
        read_case(model, size, precision=precision, threads=count, runtime=runtime)
        for count in threads
        for precision in precisions
        for runtime in runtimes
        for size in combined
    ]


def _tell(path: str, measured: int, total: int, as_json: bool) -> None:
    if as_json:
        echo_json({"file": path, "measured": measured, "points": total})
        return
    before = f", {total - measured} were there already" if measured < total else ""
    click.echo(f"Measured {measured} of {total} points{before}: {path}")
