"""`perfmodel models list|show`.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.options import echo_json, json_option, specs_option
from perfmodel.cli.usage import examples
from perfmodel.errors import PerfmodelError, UnknownNameError

if TYPE_CHECKING:
    from perfmodel.types import Model, Tensor


@click.group("models")
def models_command() -> None:
    """The models of the catalog, with their facts."""


@models_command.command(
    "list",
    epilog=examples(
        "perfmodel models list",
        "perfmodel models list --family llama-3.1",
    ),
)
@click.option("--family", metavar="NAME", help="Only this family, e.g. llama-3.1.")
@specs_option
@json_option
def list_command(family: str | None, specs: str | None, as_json: bool) -> None:
    """List the models of the catalog."""
    from perfmodel.graphs import list_models, load_model, model_spec

    documents = []
    for name in list_models(specs=specs):
        spec = model_spec(name, specs=specs)
        if family in (None, spec.get("family")):
            documents.append(summary(load_model(name, specs=specs), spec))
    if not documents and family:
        families = {str(model_spec(name, specs=specs).get("family")) for name in list_models(specs=specs)}
        raise UnknownNameError("family", family, families, "`perfmodel models list` shows all")
    if as_json:
        echo_json(documents)
        return
    from perfmodel.report.catalog_tables import print_models
    from perfmodel.report.console import open_console

    print_models(open_console(), documents)


@models_command.command(
    "show",
    epilog=examples(
        "perfmodel models show llama-3.1-8b",
        "perfmodel models show ./config.json",
    ),
)
@click.argument("name", metavar="MODEL")
@specs_option
@json_option
def show_command(name: str, specs: str | None, as_json: bool) -> None:
    """Show a model: its facts, its configuration and where it is from, what its weights and cache take.

    MODEL is what `perfmodel predict` takes.
    """
    from perfmodel.graphs import load_model, model_spec

    model = load_model(name, specs=specs)
    try:
        spec = model_spec(name, specs=specs)
    except PerfmodelError:  # not of the catalog
        spec = {}
    document = details(model, spec)
    if as_json:
        echo_json(document)
        return
    from perfmodel.report.catalog_tables import print_model
    from perfmodel.report.console import open_console

    print_model(open_console(), document)


def summary(model: Model, spec: dict[str, Any]) -> dict[str, Any]:
    """What the list says of a model; 0 where it has no such thing."""
    facts = model.facts
    return {
        "name": model.name,
        "family": spec.get("family", ""),
        "task": spec.get("task", ""),
        "parameters": model.parameters,
        "active_parameters": facts.get("active_parameters", model.parameters),
        "layers": facts.get("layers", 0),
        "kv_bytes_per_token": facts.get("kv_bytes_per_token", 0),
        "max_context": model.max_context,
        "precision": model.precision,
    }


def details(model: Model, spec: dict[str, Any]) -> dict[str, Any]:
    """Everything that is known of a model."""
    from perfmodel.precisions import PRECISIONS

    precisions = dict.fromkeys((model.precision, *PRECISIONS))
    return summary(model, spec) | {
        "title": spec.get("name", model.name),
        "aliases": list(spec.get("aliases", ())),
        "source": model.source,
        "confidence": spec.get("confidence", ""),
        "phases": list(model.phases),
        "facts": dict(model.facts),
        "weight_bytes": {precision: weight_bytes(model, precision) for precision in precisions},
        "notes": list(model.notes),
        "config": dict(spec.get("config", {})),
    }


def weight_bytes(model: Model, precision: str) -> float:
    """Bytes of all distinct weights in a precision, scales and zero points included."""
    from perfmodel.graphs.rewrite import quantize
    from perfmodel.precisions import find_scheme, own_scheme, storage_bytes

    own = own_scheme(model.precision)
    wanted = own if precision == model.precision else find_scheme(precision)
    weights: dict[str, Tensor] = {}
    for graph in model.phases.values():
        in_precision = graph if own == wanted else quantize(graph, own, wanted)
        weights |= {name: tensor for name, tensor in in_precision.tensors.items() if tensor.kind == "weight"}
    stored = ((storage_bytes(weight.shape, weight.dtype), weight.copies) for weight in weights.values())
    return float(sum(float(str(count)) * copies for count, copies in stored))
