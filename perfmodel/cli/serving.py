"""`perfmodel predict --engine` and `perfmodel engines`: servers with many users.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.options import json_option, read_counts, specs_option, split_list
from perfmodel.errors import InputError, PerfmodelError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.engines import EnginePolicy
    from perfmodel.serving.simulation_settings import Objective

_UNUSED = {
    "batch": ("1", "--batch is of static batches: a server's users are --concurrency or --rate"),
    "runtime": (None, "--runtime is the engine's own under --engine"),
    "image_size": (None, "--image-size has no meaning for a server of language models"),
    "steps": (None, "--steps has no meaning for a server of language models"),
    "threads": (None, "--threads is not known of servers"),
    "anchors": (None, "--anchors of servers: give the file to `perfmodel validate --anchor-runs`"),
}
LARGEST_RATE, LARGEST_COUNT = 1e6, 1 << 20


def print_served(options: Mapping[str, Any], served: Mapping[str, Any], *, as_json: bool, as_csv: bool) -> None:
    """Predict every combination and print it.

    Raises:
        InputError: all mistakes at once. UnsupportedError: no combination can be answered.
    """
    from perfmodel.cli.grid import read_grid
    from perfmodel.report.serving_document import served_csv, served_document
    from perfmodel.report.serving_table import print_served_answers
    from perfmodel.serving.prediction import UNSTATED

    mistakes = [text for name, (usual, text) in _UNUSED.items() if options.get(name) != usual]
    objective = _read_objective(served, mistakes)
    loads = [dict[str, float]()] if objective else _read_loads(served, mistakes)
    grid = read_grid(dict(options))
    engines = _read_engines(served, grid.specs, mistakes)
    drafts, replicas = _counts(served, "draft_tokens", 0, mistakes), _counts(served, "replicas", 1, mistakes)
    if len(replicas) > 1:
        mistakes.append("--replicas: give one number")
    if mistakes:
        raise InputError(mistakes[0] if len(mistakes) == 1 else "\n".join(f"- {text}" for text in mistakes))
    version = served["engine_version"]
    answers = [
        _answer(grid, cell, engine, load, objective, drafts=count, replicas=replicas[0], version=version or UNSTATED)
        for cell in grid.combinations()
        for engine, load, count in product(engines, loads, drafts)
    ]
    if as_json:
        from perfmodel.report.documents import dump_json

        click.echo(dump_json([served_document(each) for each in answers]))
    elif as_csv:
        click.echo(served_csv(answers), nl=False)
    else:
        from perfmodel.report.console import open_console

        print_served_answers(open_console(), answers)
    if not any(each.prediction for each in answers):
        raise UnsupportedError(
            "no combination can be answered:\n" + "\n".join(dict.fromkeys(each.error for each in answers))
        )


def _answer(
    grid: Grid,
    cell: Any,
    engine: EnginePolicy,
    load: Mapping[str, float],
    objective: Objective | None,
    **served: Any,
) -> ServedAnswer:
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.largest_load import LargestLoad, predict_largest_load
    from perfmodel.serving.prediction import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, predict_serving

    sizes = {
        "input_tokens": cell.input_tokens or DEFAULT_INPUT_TOKENS,
        "output_tokens": cell.output_tokens or DEFAULT_OUTPUT_TOKENS,
    }
    asked: dict[str, Any] = {
        "model": cell.model.name,
        "hardware": cell.hardware.id,
        "engine": engine.id,
        "precision": cell.precision or cell.model.precision,
        "layout": cell.layout,
        "replicas": served["replicas"],
        "draft_tokens": served["drafts"],
        **sizes,
        **load,
    }
    wanted: dict[str, Any] = {
        "engine": engine, "precision": cell.precision, "layout": cell.layout, "cache_precision": grid.cache_precision,
        "level": grid.level, "specs": grid.specs, **served, **sizes,
    }  # fmt: skip
    largest: LargestLoad | None = None
    try:
        if objective:
            largest, found = predict_largest_load(cell.model, cell.hardware, objective, **wanted)
            asked["concurrency"] = float(largest.users)
        else:
            found = predict_serving(cell.model, cell.hardware, **(wanted | dict(load)))
    except PerfmodelError as error:
        return ServedAnswer(asked=asked, prediction=None, error=str(error))
    return ServedAnswer(asked=asked, prediction=found, largest=largest)


def _read_objective(served: Mapping[str, Any], mistakes: list[str]) -> Objective | None:
    """The limits whose largest load is asked for; none where a load is given."""
    from perfmodel.serving.simulation_settings import Objective
    from perfmodel.units import parse_quantity

    limits: dict[str, float] = {}
    for name in ("slo_ttft", "slo_tpot"):
        if served[name] is None:
            continue
        option = f"--{name.replace('_', '-')}"
        try:
            limits[name] = parse_quantity(served[name], "seconds")
        except PerfmodelError as error:
            mistakes.append(f"{option}: {error}")
            continue
        if not 0 < limits[name] < float("inf"):
            mistakes.append(f"{option}: '{served[name]}' is no time above 0, like '50 ms'")
    given = [name for name in ("concurrency", "rate") if served[name] is not None]
    if any(served[name] is not None for name in ("slo_ttft", "slo_tpot")):
        mistakes += [f"--{name} is a load, and --slo-ttft and --slo-tpot ask for the largest one" for name in given]
        return Objective(ttft_seconds=limits.get("slo_ttft"), tpot_seconds=limits.get("slo_tpot"))
    return None


def _read_loads(served: Mapping[str, Any], mistakes: list[str]) -> list[dict[str, float]]:
    """Every concurrency or rate, as the keyword it is given by."""
    users, rates = served["concurrency"], served["rate"]
    if (users is None) == (rates is None):
        mistakes.append(
            "a server needs either --concurrency (requests in flight) or --rate (requests per second), "
            "or limits whose largest load is asked for (--slo-ttft, --slo-tpot)"
        )
        return []
    try:
        if users is not None:
            return [{"concurrency": float(count)} for count in read_counts(users, LARGEST_COUNT)]
        return [{"rate": value} for value in _rates(rates)]
    except InputError as error:
        mistakes.append(f"--{'rate' if users is None else 'concurrency'}: {error}")
        return []


def _rates(text: str) -> Iterator[float]:
    for item in split_list(text):
        try:
            value = float(item)
        except ValueError:
            value = float("nan")
        if not 0 < value <= LARGEST_RATE:
            raise InputError(f"'{item}' is no number of requests per second above 0, like 2.5")
        yield value


def _read_engines(served: Mapping[str, Any], specs: str | None, mistakes: list[str]) -> list[EnginePolicy]:
    from perfmodel.serving.engines import load_engine

    try:
        return [load_engine(name, specs=specs) for name in split_list(served["engine"] or "vllm")]
    except PerfmodelError as error:
        mistakes.append(f"--engine: {error}")
        return []


def _counts(served: Mapping[str, Any], name: str, least: int, mistakes: list[str]) -> list[int]:
    """Whole numbers of an option, or the least where it was not given."""
    text = served[name]
    if text is None:
        return [least]
    found = []
    for item in split_list(text):
        if item.isdecimal() and least <= int(item) <= LARGEST_COUNT:
            found.append(int(item))
        else:
            mistakes.append(f"--{name.replace('_', '-')}: '{item}' is not a whole number of at least {least}")
    return list(dict.fromkeys(found))


@click.group("engines")
def engines_command() -> None:
    """Serving engines that perfmodel knows."""


@engines_command.command("list")
@specs_option
@json_option
def list_command(specs: str | None, as_json: bool) -> None:
    """All engines: how they batch, and what was fitted for them."""
    from perfmodel.report.console import open_console
    from perfmodel.report.serving_table import engine_documents, print_engines

    if as_json:
        from perfmodel.report.documents import dump_json

        click.echo(dump_json(engine_documents(specs)))
        return
    print_engines(open_console(), engine_documents(specs))
