"""Serving engines as tables and JSON: their profiles, and what was fitted for them.

May import: serving, rich.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from perfmodel.report.catalog_tables import print_facts
from perfmodel.report.formats import format_number, format_share
from perfmodel.report.prediction_table import make_table
from perfmodel.serving.engine_coefficients import PARAMETERS, Parameter, class_parameters
from perfmodel.serving.engine_files import load_engine_coefficients, load_engine_files
from perfmodel.serving.engines import EnginePolicy

if TYPE_CHECKING:
    from rich.console import Console

_MEMORY = {
    "share": "of the device, for weights, a full step and the cache",
    "static": "of the device, for weights and the cache",
    "free": "of what weights and a full step leave free, for the cache",
}
_RESOURCES = ("compute", "memory", "work", "network")  # of the multipliers of kernel classes


def engine_document(engine: EnginePolicy, specs: str | None = None) -> dict[str, Any]:
    """An engine's profile, and what its coefficients stand on."""
    fitted = load_engine_coefficients(engine.id, specs=specs)
    profile = {field.name: _plain(getattr(engine, field.name)) for field in fields(EnginePolicy)}
    return profile | {"level": fitted.level, "fitted": fitted.provenance}


def engine_details(engine: EnginePolicy, specs: str | None = None) -> dict[str, Any]:
    """As `engine_document`, with every coefficient beside its prior, and the errors of the fits by level."""
    fitted = load_engine_coefficients(engine.id, specs=specs)
    known = {parameter.name: parameter for parameter in PARAMETERS}
    names = [*known, *sorted(name for name in fitted.values if name not in known)]
    files = [file for file in load_engine_files(specs=specs).values() if engine.id in file.engines]
    return engine_document(engine, specs) | {
        "coefficients": [_coefficient(name, known.get(name) or _multiplier(name), fitted.values) for name in names],
        "fits": [{"fitted": file.fitted, "provenance": file.provenance, "errors": dict(file.errors)} for file in files],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _multiplier(name: str) -> Parameter | None:
    """The prior of "<resource>.<class of kernels>"."""
    resource, _, kernel_class = name.partition(".")
    if resource not in _RESOURCES or not kernel_class:
        return None
    return next((own for own in class_parameters(kernel_class) if own.name == name), None)


def _coefficient(name: str, prior: Parameter | None, fitted: Mapping[str, float]) -> dict[str, Any]:
    """A coefficient; `moved` is how many standard deviations of its prior the fit lies from it, in logarithms."""
    value = fitted.get(name)
    moved = math.log(value / prior.value) / prior.log_sd if value and prior else None
    return {
        "name": name,
        "value": value if value is not None else prior.value if prior else None,
        "fitted": value is not None,
        "prior": prior.value if prior else None,
        "log_sd": prior.log_sd if prior else None,
        "moved": moved,
        "meaning": prior.meaning if prior else "",
    }


def print_engines(console: Console, engines: Sequence[Mapping[str, Any]]) -> None:
    """A row for each engine (`engine_document`)."""
    table = make_table(
        ("engine", "left"), ("name", "left"), ("tokens a step", "right"), ("steps", "left"), ("sequences", "right"),
        ("memory", "right"), ("fitted", "left"),
    )  # fmt: skip
    for engine in engines:
        table.add_row(
            engine["id"],
            engine["name"],
            str(engine["chunk_tokens"] or "whole prompts"),
            "mixed" if engine["mixed"] else "prompts apart",
            str(engine["max_sequences"]),
            format_share(engine["memory_utilisation"]),
            "yes" if engine["fitted"] else "no: priors",
        )
    console.print(table)


def print_engine(console: Console, engine: Mapping[str, Any]) -> None:
    """All that is known of one engine (`engine_details`)."""
    console.print(f"{engine['id']}: {engine['name']}", style="bold")
    captured = engine["capture_sizes"]
    print_facts(
        console,
        {
            "version": engine["version"],
            "step": f"at most {engine['chunk_tokens']} tokens" if engine["chunk_tokens"] else "prompts are never cut",
            "prompts": "share steps with running sequences" if engine["mixed"] else "have steps of their own",
            "sequences": f"at most {engine['max_sequences']} run at once",
            "memory": f"{format_share(engine['memory_utilisation'])} {_MEMORY[engine['memory_rule']]}",
            "cache": f"blocks of {engine['block_tokens']} tokens" + ", common prefixes kept" * engine["prefix_cache"],
            "runtime": engine["runtime"],
            "captured": f"{len(captured)} batch sizes, up to {captured[-1]}" if captured else "",
            "kernels": engine["kernels"] or "a mean over the engines measured",
            "source": engine["source"],
        },
    )
    table = make_table(
        ("coefficient", "left"), ("value", "right"), ("prior", "right"), ("moved", "right"), ("meaning", "left")
    )
    for own in engine["coefficients"]:
        value = format_number(own["value"]) if own["fitted"] else "prior"
        prior = "" if own["prior"] is None else format_number(own["prior"])
        moved = "" if own["moved"] is None else f"{own['moved']:+.1f} sd"
        table.add_row(own["name"], value, prior, moved, own["meaning"])
    console.print(table)
    for fit in engine["fits"]:
        console.print(f"\nFitted {fit['fitted']} on {fit['provenance']}.")
        _print_errors(console, fit["errors"])
    if not engine["fits"]:
        console.print("\nNo server of this engine was fitted: priors alone.")
    for note in engine["notes"]:
        console.print(f"Note: {note}")


def _print_errors(console: Console, errors: Mapping[str, Any]) -> None:
    """Errors of runs that were left out, by what a prediction stood on; other entries of a file are its writers'."""
    rows = [
        (level, metric, own)
        for level, metrics in errors.items()
        if isinstance(metrics, Mapping)
        for metric, own in metrics.items()
        if isinstance(own, Mapping) and {"rows", "median", "mape", "p90"} <= own.keys()
    ]
    if not rows:
        return
    table = make_table(
        ("level", "left"), ("metric", "left"), ("runs left out", "right"), ("median", "right"), ("mean", "right"),
        ("P90", "right"),
    )  # fmt: skip
    for level, metric, own in rows:
        table.add_row(
            level, metric.upper(), str(own["rows"]), *(format_share(own[name]) for name in ("median", "mape", "p90"))
        )
    console.print(table)
