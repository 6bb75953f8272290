"""`perfmodel engines list|show`.

May import: everything below, inside the functions.
"""

from __future__ import annotations

import click

from perfmodel.cli.options import echo_json, json_option, specs_option
from perfmodel.cli.usage import examples


@click.group("engines")
def engines_command() -> None:
    """The serving engines that are known: how they batch, and what was fitted for them."""


@engines_command.command(
    "list",
    epilog=examples(
        "perfmodel engines list",
    ),
)
@specs_option
@json_option
def list_command(specs: str | None, as_json: bool) -> None:
    """List engines: how they batch, and whether servers of them were fitted."""
    from perfmodel.report.engine_table import engine_document, print_engines
    from perfmodel.serving.engines import list_engines

    documents = [engine_document(engine, specs) for engine in list_engines(specs=specs)]
    if as_json:
        echo_json(documents)
        return
    from perfmodel.report.console import open_console

    print_engines(open_console(), documents)


@engines_command.command(
    "show",
    epilog=examples(
        "perfmodel engines show vllm",
        "perfmodel engines show my-engine.yaml",
    ),
)
@click.argument("name", metavar="ID")
@specs_option
@json_option
def show_command(name: str, specs: str | None, as_json: bool) -> None:
    """Show an engine's profile with its source, and what was fitted: coefficients beside their priors, and errors.

    ID is an id or alias of the list, or a path to a YAML file.
    """
    from perfmodel.report.engine_table import engine_details, print_engine
    from perfmodel.serving.engines import load_engine

    document = engine_details(load_engine(name, specs=specs), specs)
    if as_json:
        echo_json(document)
        return
    from perfmodel.report.console import open_console

    print_engine(open_console(), document)
