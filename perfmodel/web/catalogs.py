"""What there is to choose from: models, chips, networks, engines. May import: cli, report and everything below."""

from __future__ import annotations

from typing import Any

from perfmodel.catalog import fabric_to_dict, hardware_to_dict, list_fabrics, list_hardware, load_fabric, load_hardware
from perfmodel.cli.models import details, summary
from perfmodel.errors import PerfmodelError, UnknownNameError
from perfmodel.graphs import list_models, load_model, model_spec
from perfmodel.report.engine_table import engine_details, engine_document
from perfmodel.serving.engines import list_engines, load_engine
from perfmodel.types import Model
from perfmodel.web.uploads import PREFIX, Uploads

_LISTED = (
    "id", "name", "vendor", "kind", "family", "year", "memory_bytes", "memory_bandwidth_bytes_per_second", "peaks",
    "power_watts", "price_usd_per_hour", "price_date", "devices_per_node", "local",
)  # fmt: skip


def models() -> list[dict[str, Any]]:
    """The models of the catalog, as `models list --json` has them, with their titles and aliases."""
    found = []
    for name in list_models():
        spec = model_spec(name)
        model = load_model(name)
        found.append(
            summary(model, spec)
            | {"title": spec.get("name", name), "aliases": list(spec.get("aliases", ())), "phases": list(model.phases)}
        )
    return found


def model(name: str, uploads: Uploads) -> dict[str, Any]:
    """Everything about a model, as `models show --json` has it."""
    if name.startswith(PREFIX):
        return details(uploads.load(name), {})
    return details(load_model(name), model_spec(name))


def uploaded(reference: str, uploads: Uploads) -> dict[str, Any]:
    """What the list would say of a model that has just been uploaded, what it was and what was not understood.

    Raises:
        PerfmodelError: it cannot be read.
    """
    found: Model = uploads.load(reference)
    return {"id": reference} | summary(found, {}) | {
        "source": found.source, "phases": list(found.phases), "notes": list(found.notes),
    }  # fmt: skip


def hardware() -> list[dict[str, Any]]:
    """Chips and networks, in the order of `hardware list`, with the figures that people choose by."""
    chips = [{name: own[name] for name in _LISTED if name in own} for own in map(hardware_to_dict, list_hardware())]
    fabrics = [{"id": own.id, "name": own.name, "kind": "fabric"} for own in list_fabrics()]
    return [*chips, *fabrics]


def chip(name: str) -> dict[str, Any]:
    """Every figure of a chip or a network with its source, as `hardware show --json` has it; not where its file lies.

    Raises:
        UnknownNameError: with the nearest names.
    """
    try:
        found = hardware_to_dict(load_hardware(name))
    except UnknownNameError as error:
        try:
            found = fabric_to_dict(load_fabric(name))
        except PerfmodelError:
            raise error from None
    return {key: value for key, value in found.items() if key != "path"}


def engines() -> list[dict[str, Any]]:
    """The engines, as `engines list --json` has them."""
    return [engine_document(own) for own in list_engines()]


def engine(name: str) -> dict[str, Any]:
    """An engine with its coefficients and errors, as `engines show --json` has it."""
    return engine_details(load_engine(name))
