"""`perfmodel plan`: what to run for a load within limits.

May import: click, errors, and everything below inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perfmodel.cli.cost_options import cost_options, read_costs
from perfmodel.cli.html_reports import html_mistakes, html_option, save_html
from perfmodel.cli.mistakes import Mistakes, refuse_all
from perfmodel.cli.options import (
    echo_json,
    json_option,
    read_count,
    read_counts,
    read_limit,
    read_number,
    read_rate,
    specs_option,
    split_list,
    split_models,
)
from perfmodel.cli.progress import progress_line
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, PerfmodelError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.economics import Site
    from perfmodel.planning.candidates import Candidate
    from perfmodel.planning.demand import Demand

Value = TypeVar("Value")
LARGEST = 1 << 24


@click.command(
    "plan",
    epilog=examples(
        'perfmodel plan llama-3.1-8b --concurrency 500 --input-tokens 1000 --output-tokens 200 --ttft "2 s" \\',
        '    --tpot "50 ms" --hardware l40s,h100-sxm --order cost',
        'perfmodel plan llama-3.1-70b --rate 10 --input-tokens 2000 --output-tokens 300 --ttft "2 s" \\',
        '    --tpot "50 ms" --hardware nvidia-datacenter --engine vllm,trtllm --precision bf16,fp8',
        'perfmodel plan llama-3.1-8b --trace trace.csv --e2e "15 s" --percentile 99 --hardware h100-sxm',
    ),
)
@click.argument("models", metavar="MODEL[,MODEL]")
@click.option("--rate", metavar="R", help="Requests per second that arrive, at random.")
@click.option("--concurrency", metavar="N", help="Or: users who each have one request in flight.")
@click.option("--input-tokens", metavar="N", help="Mean length of prompts; needed without --trace.")
@click.option("--output-tokens", metavar="N", help="Mean length of answers; needed without --trace.")
@click.option("--length-spread", metavar="X", help="Standard deviation of both over their means.  [default: 0.2]")
@click.option("--trace", metavar="FILE", help="Or: recorded requests, with their lengths and, without --rate or "
              "--concurrency, their times.")  # fmt: skip
@click.option("--ttft", metavar="S", help="Longest time to first token, e.g. '500 ms' (no unit: seconds).")
@click.option("--tpot", metavar="S", help="Longest time per further token, e.g. '50 ms'.")
@click.option("--itl", metavar="S", help="Longest time between two tokens, e.g. '80 ms'.")
@click.option("--e2e", metavar="S", help="Longest time of a whole answer, e.g. '15 s'.")
@click.option(
    "--percentile", metavar="P", default="95", show_default=True, help="Of requests that keep each limit; or 'mean'."
)
@click.option(
    "--hardware", metavar="H[,H]", required=True, help="Chips, all-datacenter, or those of a vendor: nvidia-datacenter."
)
@click.option("--engine", metavar="E[,E]", default="vllm", show_default=True, help="vllm, sglang, trtllm, ...")
@click.option("--precision", metavar="P[,P]", help="bf16, fp8, w4a16, ... [default: the model's own]")
@click.option(
    "--tp", metavar="N[,N]", default="1,2,4,8", show_default=True, help="Devices of a replica to choose from."
)
@click.option("--max-gpus", metavar="N", help="Of a plan, all replicas together.")
@click.option("--order", type=click.Choice(("gpus", "cost", "energy")), default="gpus", show_default=True,
              help="What the best plan has least of.")  # fmt: skip
@cost_options
@click.option("--rejected", is_flag=True, help="Show every candidate that was left out, and why.")
@html_option
@json_option
@specs_option
def plan_command(as_json: bool, rejected: bool, html: str | None, **options: Any) -> None:
    """The fewest devices that serve a load within limits: chip, engine, precision, layout, replicas, cost."""
    # numpy's BLAS starts a thread per core as it is imported, and nothing here multiplies large matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from perfmodel.planning.capacity import plan_candidates, usable_cores

    specs = options["specs"]
    demand, candidates, most, site = _read(options, html)
    with progress_line() as told:
        answer = plan_candidates(
            candidates, demand, max_gpus=most, order=options["order"], site=site, jobs=usable_cores(), specs=specs,
            told=lambda text, _: told(text),
        )  # fmt: skip
    if as_json:
        from perfmodel.report.plan_document import plan_document

        echo_json(plan_document(answer, specs))
    else:
        from perfmodel.report.console import open_console
        from perfmodel.report.plan_table import print_plans

        print_plans(open_console(), answer, specs=specs, rejected=rejected)
    if html:
        from perfmodel.report.html_serving import plan_report

        save_html(html, plan_report(answer, specs, rejected=rejected), quiet=as_json)
    if not answer.feasible:
        raise UnsupportedError("no candidate serves this load within the limits")


def _read(options: Mapping[str, Any], html: str | None) -> tuple[Demand, tuple[Candidate, ...], int, Site]:
    """(load and limits, candidates, most devices, where they stand).

    Raises:
        InputError: all mistakes at once, each with its option.
    """
    from perfmodel.catalog_entries import model_entry
    from perfmodel.planning.candidates import candidates_of, chips_of
    from perfmodel.planning.demand import SPREAD, Demand, traced_demand
    from perfmodel.precisions import scheme_name
    from perfmodel.serving.engines import load_engine
    from perfmodel.serving.trace_files import read_trace

    mistakes = [f"--{option}: {error}" for option, error in html_mistakes(html)]
    specs = options["specs"]

    def read(option: str, parse: Callable[[str], Value], missing: Value, unread: Value) -> Value:
        """The value of an option; `unread` stands in for one with a mistake, so that the rest can be checked."""
        text = options[option]
        if text is None:
            return missing
        try:
            return parse(text)
        except PerfmodelError as error:
            mistakes.append(f"{'MODEL' if option == 'models' else '--' + option.replace('_', '-')}: {error}")
            return unread

    def each(option: str, parse: Callable[[str], Value]) -> list[Value]:
        """The values of a list, without those with mistakes."""
        nothing: tuple[str, ...] = ()
        found: list[Value] = []
        for name in read(option, split_models if option == "models" else split_list, nothing, nothing):
            try:
                found.append(parse(name))
            except PerfmodelError as error:
                mistakes.append(f"{'MODEL' if option == 'models' else '--' + option}: {error}")
        return found

    wanted: dict[str, Any] = {
        "rate": read("rate", read_rate, 0.0, 1.0),
        "concurrency": read("concurrency", lambda text: float(_count(text)), 0.0, 1.0),
        **{f"{metric}_seconds": read(metric, _limit, 0.0, 1.0) for metric in ("ttft", "tpot", "itl")},
        "e2e_seconds": read("e2e", _limit, 0.0, 1e6),
        "percentile": read("percentile", _percentile, 95.0, 95.0),
    }
    prompts, answers = (read(option, _count, 2, 2) for option in ("input_tokens", "output_tokens"))
    spread = read("length_spread", _spread, SPREAD, SPREAD)
    trace = read("trace", read_trace, None, None)
    models = each("models", lambda name: (name, model_entry(name, specs)))
    wrong: Mistakes = []
    costs = read_costs(options, specs, wrong)
    mistakes += [f"--{option}: {error}" for option, error in wrong]
    listed = [chip for found in each("hardware", lambda name: chips_of(name, specs)) for chip in found]
    chips = {chip.id: costs.priced(chip) for chip in listed}
    engines = each("engine", lambda name: load_engine(name, specs=specs))
    precisions: list[str | None] = [*each("precision", scheme_name)] or [None]
    one: tuple[int, ...] = (1,)
    degrees = read("tp", lambda text: read_counts(text, LARGEST), one, one)
    most = read("max_gpus", _count, 0, 0)
    demand = None
    mistakes += _length_mistakes(options)
    try:
        if options["trace"] and trace is not None:
            demand = traced_demand(trace, **wanted)
        elif not options["trace"]:
            demand = Demand(**wanted, input_tokens=prompts, output_tokens=answers, spread=spread)
    except InputError as error:
        mistakes += str(error).split("; ")
    candidates = tuple(candidates_of(models, list(chips.values()), engines, precisions, degrees))
    if not candidates and not mistakes:
        mistakes.append(f"--tp: no candidate: no layout of {options['tp']} devices lies within a node of these chips")
    refuse_all(mistakes)
    assert demand is not None  # else there was a mistake
    return demand, candidates, most, costs.site


def _length_mistakes(options: Mapping[str, Any]) -> list[str]:
    """Lengths that are missing, or given twice."""
    given = [name for name in ("input_tokens", "output_tokens", "length_spread") if options[name] is not None]
    if options["trace"] is not None:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        return [f"--trace has lengths of its own: leave out {words}"] if given else []
    missing = [name for name in ("input_tokens", "output_tokens") if name not in given]
    return [f"--{name.replace('_', '-')} is missing (or give a --trace)" for name in missing]


def _count(text: str) -> int:
    return read_count(text, LARGEST)


def _spread(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"'{text}' is no number; 0.5 is a standard deviation of half the mean") from None


def _limit(text: str) -> float:
    seconds = read_limit(text)
    if not 0 < seconds < float("inf"):
        raise InputError(f"a limit must be a time above 0, not {seconds:g} s")
    return seconds


def _percentile(text: str) -> float:
    if text == "mean":
        return 0.0
    value = read_number(text)
    if 0 < value < 1:
        raise InputError(f"'{text}' is a percentile below 1: write {100 * value:g} for {100 * value:g} % of requests")
    if not 1 <= value < 100:
        raise InputError(f"'{text}' does not lie between 1 and 100; write 95, or mean")
    return value
