"""`perfmodel predict --engine`: servers with many users.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import save_html
from perfmodel.cli.mistakes import Mistakes
from perfmodel.cli.options import echo_json, read_counts, read_limit, read_rate, split_list
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.cli.cost_options import Costs
    from perfmodel.cli.grid import Combination, Grid
    from perfmodel.economics import Site
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.engines import EnginePolicy
    from perfmodel.serving.server_anchors import ServerAnchor
    from perfmodel.serving.simulation_settings import Objective

_UNUSED = {  # option of static batches -> (its default, why a server has none)
    "batch": ("1", "is of static batches: a server's users are --concurrency or --rate"),
    "runtime": (None, "is the engine's own under --engine"),
    "image_size": (None, "has no meaning for a server of language models"),
    "steps": (None, "has no meaning for a server of language models"),
    "channels_last": (False, "has no meaning for a server of language models"),
    "threads": (None, "is not known of servers"),
    "max_batch": (False, "is of static batches: a server's answer tells how many requests run at once"),
    "max_context": (False, "is of static batches: a server's answer tells how many requests run at once"),
}
LARGEST_COUNT = 1 << 20
MOST = {"draft_tokens": 64, "replicas": LARGEST_COUNT}


def print_served(
    options: Mapping[str, Any],
    served: Mapping[str, Any],
    costs: Costs,
    mistakes: Mistakes,
    *,
    as_json: bool,
    as_csv: bool,
    html: str | None,
) -> None:
    """Predict every combination and print it.

    Args:
        mistakes: found so far, to be told with those found here.

    Raises:
        InputError: all mistakes at once. UnsupportedError: no combination can be answered.
    """
    from perfmodel.report.answers import nothing_answered
    from perfmodel.report.serving_document import served_csv, served_document, served_notes
    from perfmodel.report.serving_table import print_served_answers

    answers = served_answers(options, served, costs, mistakes)
    if as_json:
        echo_json([served_document(each) for each in answers])
    elif as_csv:
        click.echo(served_csv(answers), nl=False)
        for note in served_notes(answers):
            click.echo(f"Note: {note}", err=True)
    else:
        from perfmodel.report.console import open_console

        print_served_answers(open_console(), answers)
    if html:
        from perfmodel.report.html_serving import served_report

        save_html(html, served_report(answers), quiet=as_json or as_csv)
    if not any(each.prediction for each in answers):
        raise nothing_answered(answers)


def served_answers(
    options: Mapping[str, Any],
    served: Mapping[str, Any],
    costs: Costs | None = None,
    mistakes: Mistakes | None = None,
    *,
    with_parts: bool = False,
) -> list[ServedAnswer]:
    """The answer to every combination.

    Args:
        options: of `request_options`, `max_batch` and `max_context`. served: of `SERVING_OPTIONS`.
        costs: own prices and the site, else the usual. mistakes: found so far, to be told with those found here.
        with_parts: tell what latencies are made of; of a given load.

    Raises:
        InputError: all mistakes at once.
    """
    from perfmodel.cli.grid import read_grid
    from perfmodel.economics import USUAL_SITE
    from perfmodel.serving.known_effects import UNSTATED

    mistakes = list(mistakes or ())
    mistakes += [(name, InputError(text)) for name, (usual, text) in _UNUSED.items() if options[name] != usual]
    objective = _read_objective(served, mistakes)
    if objective and with_parts:
        told = "asks for the largest load of `perfmodel predict`; a load is explained: give --concurrency or --rate"
        mistakes += [(name, InputError(told)) for name in ("slo_ttft", "slo_tpot") if served[name] is not None]
    loads = [dict[str, float]()] if objective else _read_loads(served, mistakes)
    engines = _read_engines(served["engine"] or "vllm", options["specs"], mistakes)
    drafts, replicas = _counts(served, "draft_tokens", 0, mistakes), _counts(served, "replicas", 1, mistakes)
    if len(replicas) > 1:
        mistakes.append(("replicas", InputError("give one number")))
    grid = read_grid({**options, "anchors": None}, mistakes)  # those of servers are of another kind
    if costs:
        grid = costs.of_grid(grid)
    anchors = _read_anchors(options, served, grid, engines) if options["anchors"] else ()
    wanted = {
        "replicas": replicas[0], "version": served["engine_version"] or UNSTATED, "anchors": anchors,
        **({"with_parts": True} if with_parts else {}),
    }  # fmt: skip
    return [
        _answer(grid, cell, engine, load, objective, costs.site if costs else USUAL_SITE, drafts=count, **wanted)
        for cell in grid.combinations()
        for engine, load, count in product(engines, loads, drafts)
    ]


def _answer(
    grid: Grid,
    cell: Combination,
    engine: EnginePolicy,
    load: Mapping[str, float],
    objective: Objective | None,
    site: Site,
    **served: Any,
) -> ServedAnswer:
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.serving.largest_load import LargestLoad, predict_largest_load
    from perfmodel.serving.prediction import predict_serving, serving_economics
    from perfmodel.serving.servers import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS

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
        "level": grid.level, "strict": grid.strict, "specs": grid.specs, **served, **sizes,
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
    return ServedAnswer(asked=asked, prediction=found, largest=largest, economics=serving_economics(found, site))


def _read_anchors(
    options: Mapping[str, Any], served: Mapping[str, str | None], grid: Grid, engines: Sequence[EnginePolicy]
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


def _read_objective(served: Mapping[str, str | None], mistakes: Mistakes) -> Objective | None:
    """The limits whose largest load is asked for; none where a load is given."""
    from perfmodel.serving.simulation_settings import Objective

    asked = {name: text for name in ("slo_ttft", "slo_tpot") if (text := served[name]) is not None}
    if not asked:
        return None
    limits: dict[str, float] = {}
    for name, text in asked.items():
        try:
            limits[name] = read_limit(text)
        except PerfmodelError as error:
            mistakes.append((name, error))
            continue
        if not 0 < limits[name] < float("inf"):
            mistakes.append((name, InputError(f"'{text}' is no time above 0, like '50 ms'")))
    for name in ("concurrency", "rate"):
        if served[name] is not None:
            mistakes.append((name, InputError("is a load, and --slo-ttft and --slo-tpot ask for the largest one")))
    return Objective(ttft_seconds=limits.get("slo_ttft"), tpot_seconds=limits.get("slo_tpot"))


def _read_loads(served: Mapping[str, str | None], mistakes: Mistakes) -> list[dict[str, float]]:
    """Every concurrency or rate, as the keyword it is given by."""
    given = {name: served[name] for name in ("concurrency", "rate") if served[name] is not None}
    if len(given) != 1:
        others = "--rate (requests per second), or limits whose largest load is asked for (--slo-ttft, --slo-tpot)"
        what = "give only one of --concurrency and --rate" if given else f"give it, or {others}"
        mistakes.append(("concurrency", InputError(f"requests in flight: {what}")))
    found: list[dict[str, float]] = []
    for name, text in given.items():
        try:
            values = (
                read_counts(text or "", LARGEST_COUNT)
                if name == "concurrency"
                else map(read_rate, split_list(text or ""))
            )
            found += [{name: float(value)} for value in dict.fromkeys(values)]
        except InputError as error:
            mistakes.append((name, error))
    return found


def _read_engines(names: str, specs: str | None, mistakes: Mistakes) -> list[EnginePolicy]:
    from perfmodel.serving.engines import load_engine

    found: list[EnginePolicy] = []
    try:
        listed = split_list(names)
    except InputError as error:
        mistakes.append(("engine", error))
        return found
    for name in listed:
        try:
            engine = load_engine(name, specs=specs)
        except PerfmodelError as error:
            mistakes.append(("engine", error))
            continue
        if engine not in found:
            found.append(engine)
    return found


def _counts(served: Mapping[str, str | None], name: str, least: int, mistakes: Mistakes) -> list[int]:
    """Whole numbers of an option, or the least where it was not given."""
    text, most = served[name], MOST[name]
    if text is None:
        return [least]
    found = []
    for item in text.split(","):
        item = item.strip()
        if item.isascii() and item.isdecimal() and len(item) < 10 and least <= int(item) <= most:
            found.append(int(item))
        else:
            mistakes.append(
                (name, InputError(f"'{item}' is not a whole number of at least {least} and at most {most}"))
            )
    return list(dict.fromkeys(found))
