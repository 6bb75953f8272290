"""`perfmodel simulate`: a server under load, request by request.

May import: click, errors, and everything below inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import check_html, html_option, save_html
from perfmodel.cli.mistakes import refuse_plot
from perfmodel.cli.options import echo_json, json_option, specs_option
from perfmodel.cli.simulation_options import (
    DIMENSIONS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    option_names,
    simulation_options,
)
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.serving.deployments import Deployment
    from perfmodel.serving.simulation_result import SimulationResult
    from perfmodel.serving.simulation_run import Watch
    from perfmodel.serving.workload import Arrival, Workload


@click.command(
    "simulate",
    epilog=examples(
        "perfmodel simulate llama-3.1-8b --hardware h100-sxm --rate 12 --input-tokens 2000 --output-tokens 300",
        'perfmodel simulate llama-3.1-70b --hardware h100-sxm --tp 4 --trace trace.csv --slo-ttft "500 ms"',
    ),
)
@click.argument("model", metavar="MODEL")
@simulation_options
@click.option("--plot", metavar="FILE", help="Draw the run over time and its latencies: .png, .svg or .pdf.")
@html_option
@json_option
@specs_option
def simulate_command(as_json: bool, plot: str | None, html: str | None, **options: Any) -> None:
    """Simulate a server under load: percentiles of TTFT and TPOT, throughput, goodput, and whether it keeps up.

    MODEL is what `perfmodel predict` takes, and generates tokens.
    """
    # numpy's BLAS starts a thread per core as it is imported, and nothing here multiplies large matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from perfmodel.report.simulation_document import simulation_document
    from perfmodel.serving.standing import simulated_widths

    refuse_plot(plot)
    check_html(html)
    quantities = _read_quantities(options)
    workload = read_workload(options, quantities)
    _refuse_lists(options)
    deployed = read_deployment(options)
    result = run_simulation(deployed, workload, options, quantities)
    subject = subject_of(deployed, options)
    widths = simulated_widths(deployed.engine.id, specs=options["specs"])
    if plot:
        from perfmodel.report.plots import save_figure
        from perfmodel.report.simulation_plot import draw_simulation

        save_figure(plot, draw_simulation(result, subject))
    if as_json:
        echo_json(simulation_document(result, subject, widths))
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.simulation_table import print_simulation

        print_simulation(open_console(), result, subject, widths)
        if plot or html:
            click.echo()
        if plot:
            click.echo(f"Plot: {plot}")
    if html:
        from perfmodel.report.html_serving import simulation_report

        save_html(html, simulation_report(result, subject, widths, deployed.hardware), quiet=as_json)


def _refuse_lists(options: Mapping[str, Any]) -> None:
    for name in ("hardware", "precision", "engine"):
        if "," in (options[name] or ""):
            raise InputError(f"--{name}: simulate follows one server at a time; plan and predict take lists")


def _read_quantities(options: Mapping[str, Any]) -> dict[str, float | None]:
    """The options that may carry a unit.

    Raises:
        InputError: all that cannot be read.
    """
    from perfmodel.units import parse_quantity

    found: dict[str, float | None] = {}
    problems = []
    for name, dimension in DIMENSIONS.items():
        try:
            found[name] = None if options[name] is None else parse_quantity(options[name], dimension)
        except PerfmodelError as error:
            problems.append(f"{option_names([name])}: {error}")
    if problems:
        raise InputError("\n".join(problems))
    return found


def read_workload(options: Mapping[str, Any], quantities: Mapping[str, float | None]) -> Workload:
    """The requests.

    Args:
        options: all of `simulation_options`, by name. quantities: those of them that may carry a unit, in SI.

    Raises:
        InputError: options that do not go together, or a process or trace that makes no sense.
    """
    from perfmodel.serving.workload import CLOSED, Arrival, drawn_lengths, make_workload

    _check_load(options)
    process = options["arrival"] or (CLOSED if options["concurrency"] else "poisson")
    arrival = Arrival(
        process=process,
        rate=options["rate"] or 0.0,
        users=options["concurrency"] or 0,
        think_seconds=quantities["think_time"] or 0.0,
        burstiness=options["burstiness"],
        on_seconds=quantities["on_time"] or 0.0,
        off_seconds=quantities["off_time"] or 0.0,
    )
    if options["trace"]:
        return _trace_workload(options, arrival)
    lengths = drawn_lengths(
        options["requests"] or REQUESTS,
        options["input_tokens"] or INPUT_TOKENS,
        options["output_tokens"] or OUTPUT_TOKENS,
        spread=options["length_spread"] or 0.0,
        seed=options["seed"],
    )
    return make_workload(arrival, *lengths, seed=options["seed"])


def _check_load(options: Mapping[str, Any]) -> None:
    given = {name for name in options if options[name] is not None}
    problems = []
    if not given & {"trace", "rate", "concurrency"}:
        problems.append("say how requests arrive: --rate R, --concurrency N or --trace FILE")
    if {"rate", "concurrency"} <= given:
        problems.append("--rate and --concurrency exclude each other: users of a closed loop wait for their answers")
    if "concurrency" in given and options["arrival"] not in (None, "closed"):
        problems.append("--concurrency is for --arrival closed")
    if options["arrival"] == "closed" and "concurrency" not in given:
        problems.append("--arrival closed needs --concurrency N, the number of users")
    lengths = sorted(given & {"input_tokens", "output_tokens", "length_spread"})
    if "trace" in given and lengths:
        problems.append(f"--trace has lengths of its own: leave out {option_names(lengths)}")
    if problems:
        raise InputError("\n".join(problems))


def _trace_workload(options: Mapping[str, Any], arrival: Arrival) -> Workload:
    from perfmodel.serving.trace_files import read_trace, trace_workload

    trace = read_trace(options["trace"])
    requests, seed = options["requests"] or 0, options["seed"]
    asked = options["arrival"] or options["concurrency"]
    if asked or (trace.arrival_seconds is None and options["rate"]):
        return trace_workload(trace, requests=requests, arrival=arrival, seed=seed)
    return trace_workload(trace, requests=requests, rate=options["rate"] or 0.0, seed=seed)


def read_deployment(options: Mapping[str, Any]) -> Deployment:
    """The model on its chips, under the engine as the options change it."""
    from dataclasses import replace

    from perfmodel.layouts import Layout
    from perfmodel.precisions import scheme_name
    from perfmodel.serving.deployments import deploy
    from perfmodel.serving.engines import load_engine

    changes = {name: options[name] for name in ("max_sequences", "chunk_tokens") if options[name] is not None}
    return deploy(
        options["model"],
        options["hardware"],
        engine=replace(load_engine(options["engine"], specs=options["specs"]), **changes),
        precision=scheme_name(options["precision"]) if options["precision"] else None,
        cache_precision=options["cache_precision"],
        layout=Layout(
            tensor=options["tp"], pipeline=options["pp"], expert=options["ep"], attention_data=options["attention_dp"]
        ),
        specs=options["specs"],
    )


def run_simulation(
    deployed: Deployment,
    workload: Workload,
    options: Mapping[str, Any],
    quantities: Mapping[str, float | None],
    watch: Watch | None = None,
) -> SimulationResult:
    """Simulate what was asked; arguments as `read_workload`.

    Args:
        watch: as `serving.simulator.simulate`.

    Raises:
        InputError: options that do not go together.
    """
    from perfmodel.serving.deployment_simulation import simulate_deployment
    from perfmodel.serving.simulation_settings import Objective, SharedPrefix

    groups, tokens, pools = options["prefix_groups"], options["prefix_tokens"], options["prefill_replicas"]
    if (groups is None) != (tokens is None):
        raise InputError("--prefix-groups and --prefix-tokens go together")
    if (pools is None) != (quantities["link"] is None):
        raise InputError("--prefill-replicas and --link go together: caches move from those replicas to the others")
    objective = Objective(ttft_seconds=quantities["slo_ttft"], tpot_seconds=quantities["slo_tpot"])
    return simulate_deployment(
        deployed,
        workload,
        replicas=options["replicas"],
        router=options["router"],
        seed=options["seed"],
        cache_tokens=options["cache_tokens"] or 0,
        drafts=options["draft_tokens"],
        accepted=options["accepted"] or 0.0,
        prefix=SharedPrefix(groups=groups, tokens=tokens) if groups else None,
        prompt_replicas=pools or 0,
        link_bytes_per_second=quantities["link"] or 0.0,
        objective=objective,
        watch=watch,
    )


def subject_of(deployed: Deployment, options: Mapping[str, Any]) -> dict[str, Any]:
    """What was simulated, for documents and titles."""
    return {
        "model": deployed.subject,
        "hardware": deployed.hardware.id,
        "engine": deployed.engine.id,
        "precision": deployed.precision,
        "layout": str(deployed.layout),
        "replicas": {"decode": options["replicas"], "prompts": options["prefill_replicas"] or 0},
        "router": options["router"],
        "seed": options["seed"],
    }
