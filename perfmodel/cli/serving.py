"""`perfmodel predict --engine` and `perfmodel engines`: servers with many users.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.options import json_option, read_counts, specs_option, split_list
from perfmodel.errors import InputError, PerfmodelError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.engines import EnginePolicy
    from perfmodel.serving.server_anchors import ServerAnchor

_UNUSED = {
    "batch": ("1", "--batch is of static batches: a server's users are --concurrency or --rate"),
    "runtime": (None, "--runtime is the engine's own under --engine"),
    "image_size": (None, "--image-size has no meaning for a server of language models"),
    "steps": (None, "--steps has no meaning for a server of language models"),
    "threads": (None, "--threads is not known of servers"),
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

    mistakes = [text for name, (usual, text) in _UNUSED.items() if options.get(name) != usual]
    loads = _read_loads(served, mistakes)
    grid = read_grid({**options, "anchors": None})  # those of servers are of another kind
    engines = _read_engines(served, grid.specs, mistakes)
    drafts, replicas = (_count(served, name, least, mistakes) for name, least in (("draft_tokens", 0), ("replicas", 1)))
    if mistakes:
        raise InputError(mistakes[0] if len(mistakes) == 1 else "\n".join(f"- {text}" for text in mistakes))
    version = served["engine_version"]
    anchors = _read_anchors(options, served, grid, engines) if options["anchors"] else ()
    answers = [
        _answer(grid, cell, engine, load, drafts, replicas, version, anchors)
        for cell in grid.combinations()
        for engine, load in product(engines, loads)
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
    load: Mapping[str, Any],
    drafts: int,
    replicas: int,
    version: Any,
    anchors: Sequence[ServerAnchor],
) -> ServedAnswer:
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.prediction import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, UNSTATED, predict_serving

    sizes = {
        "input_tokens": cell.input_tokens or DEFAULT_INPUT_TOKENS,
        "output_tokens": cell.output_tokens or DEFAULT_OUTPUT_TOKENS,
    }
    asked = {
        "model": cell.model.name,
        "hardware": cell.hardware.id,
        "engine": engine.id,
        "precision": cell.precision or cell.model.precision,
        "layout": cell.layout,
        "replicas": replicas,
        **sizes,
        **load,
    }
    try:
        found = predict_serving(
            cell.model, cell.hardware, engine=engine, precision=cell.precision, layout=cell.layout, drafts=drafts,
            cache_precision=grid.cache_precision, replicas=replicas, version=version or UNSTATED, level=grid.level,
            anchors=anchors, specs=grid.specs, **sizes, **load,
        )  # fmt: skip
    except PerfmodelError as error:
        return ServedAnswer(asked=asked, prediction=None, error=str(error))
    return ServedAnswer(asked=asked, prediction=found)


def _read_anchors(
    options: Mapping[str, Any], served: Mapping[str, Any], grid: Grid, engines: Sequence[EnginePolicy]
) -> tuple[ServerAnchor, ...]:
    """The runs of --anchors; of a report, which names no chip, taken to be of the one deployment that is asked for.

    Raises:
        InputError: it cannot be read, or holds no load test; a report beside lists of several deployments.
    """
    from perfmodel.calibration.server_anchor_files import read_server_anchors
    from perfmodel.calibration.sources.load_tests import NOTHING_TOLD, Told, holds_json

    path, told = options["anchors"], NOTHING_TOLD
    if holds_json(path):
        lists = {name: getattr(grid, name) for name in ("model", "hardware", "precision", "layout")}
        several = [name for name, values in [*lists.items(), ("engine", engines)] if len(values) > 1]
        if several:
            raise InputError(
                f"--anchors: {path} does not say what it was measured on, and there is more than one "
                f"{', '.join(several)} here: ask for one deployment at a time"
            )
        version = served["engine_version"]
        told = Told(
            hardware=grid.hardware[0].id,
            model=options["model"],
            precision=grid.precision[0] or "",
            engine=f"{engines[0].id}@{version}" if version else engines[0].id,
            cache_precision=grid.cache_precision or "",
            layout=grid.layout[0],
            speculative=served["draft_tokens"] not in (None, "0"),
        )
    try:
        return read_server_anchors(path, specs=grid.specs, told=told)
    except PerfmodelError as error:
        raise InputError(f"--anchors: {error}") from None


def _read_loads(served: Mapping[str, Any], mistakes: list[str]) -> list[dict[str, float]]:
    """Every concurrency or rate, as the keyword it is given by."""
    users, rates = served["concurrency"], served["rate"]
    if (users is None) == (rates is None):
        mistakes.append("a server needs either --concurrency (requests in flight) or --rate (requests per second)")
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


def _count(served: Mapping[str, Any], name: str, least: int, mistakes: list[str]) -> int:
    text = served[name]
    if text is None:
        return least
    if not text.isdecimal() or not least <= int(text) <= LARGEST_COUNT:
        mistakes.append(f"--{name.replace('_', '-')}: '{text}' is not one whole number of at least {least}")
        return least
    return int(text)


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
