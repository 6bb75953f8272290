"""Models, chips and layouts by name, each the same object whenever it is asked for.

What is prepared of them is kept by identity (`identity_cache`). A process reads an entry of the catalog once: looking
for changed files would cost more than a prediction. May import: catalog, graphs, layouts, types.
"""

from __future__ import annotations

import os
from functools import lru_cache

from perfmodel.catalog import is_path, load_hardware, search_state
from perfmodel.graphs import load_model
from perfmodel.graphs.overrides import split_overrides
from perfmodel.layouts import ONE_DEVICE, Layout
from perfmodel.types import Hardware, Model

_ENTRIES = 256


def model_entry(model: str | Model, specs: str | None = None, image_size: int = 0) -> Model:
    """A model by name; a model as it is. Files are read again each time.

    Raises:
        PerfmodelError: as `graphs.load_model`.
    """
    if isinstance(model, Model):
        return model
    name, _ = split_overrides(model)
    if ":" in name or os.path.exists(name):
        return load_model(model, specs=specs, image_size=image_size)
    return _catalog_model(model, specs, search_state(), image_size)


def hardware_entry(hardware: str | Hardware, specs: str | None = None) -> Hardware:
    """A chip by name; a chip as it is.

    Raises:
        PerfmodelError: as `catalog.load_hardware`.
    """
    if isinstance(hardware, Hardware):
        return hardware
    if is_path(hardware):
        return load_hardware(hardware, specs=specs)
    return _catalog_hardware(hardware, specs, search_state())


@lru_cache(_ENTRIES)
def layout_entry(layout: Layout | None) -> Layout:
    """The same object for equal layouts; one device for None."""
    return layout or ONE_DEVICE


@lru_cache(_ENTRIES)
def _catalog_model(name: str, specs: str | None, _folders: str, image_size: int) -> Model:
    return load_model(name, specs=specs, image_size=image_size)


@lru_cache(_ENTRIES)
def _catalog_hardware(name: str, specs: str | None, _folders: str) -> Hardware:
    return load_hardware(name, specs=specs)
