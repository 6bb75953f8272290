"""Models by the names that tables of results use: the catalog's, timm's, or a source that `load_model` takes.

May import: errors, graphs, types.
"""

from __future__ import annotations

from functools import lru_cache

from perfmodel.errors import InputError, ModelError, UnknownNameError
from perfmodel.graphs import list_models, load_model
from perfmodel.graphs.model_spec import model_aliases
from perfmodel.types import Model

_TIMM, _HUB = "timm:", "timm/"
_NO_TIMM = "Models of timm need it and torch: pip install 'perfmodel[timm]'"


def load_named(name: str, *, image_size: int = 0, specs: str | None = None) -> Model:
    """A model that a table names: in the catalog, else in timm, else as `load_model` reads it.

    Args:
        name: `llama-3.1-8b`, `meta-llama/Llama-3.1-8B`, `resnet50.a1_in1k`, `timm/resnet50.a1_in1k`, `timm:resnet50`,
            a path. image_size: pixels of an image's side, 0 for the size that the model was made for.

    Raises:
        InputError: the name is one of code to run, which a table may not bring along.
        PerfmodelError: as `load_model`.
    """
    if name.startswith("torch:"):
        raise InputError("names code to run, which a table may not bring; predict it with `perfmodel predict`")
    try:
        return load_model(_source(name, specs), specs=specs, image_size=image_size)
    except UnknownNameError as error:
        if error.name != name:  # of weights, which timm itself tells best
            raise
        known = [*list_models(specs=specs), *_timm_names()]
        raise UnknownNameError("model", name, known, "" if _timm_names() else _NO_TIMM) from None


def _source(name: str, specs: str | None) -> str:
    if ":" in name or name.lower() in list_models(specs=specs) or name in model_aliases(specs=specs):
        return name
    bare = name.removeprefix(_HUB)
    return _TIMM + bare if bare != name or _is_timm(bare) else name


def _is_timm(name: str) -> bool:
    """Whether timm is installed and has a model of that name, whatever its weights."""
    return name.partition(".")[0] in _timm_names()


@lru_cache(1)
def _timm_names() -> frozenset[str]:
    """All models of timm; none where it is not installed."""
    from perfmodel.graphs.timm_models import import_timm

    try:
        return frozenset(import_timm().list_models())
    except ModelError:
        return frozenset()
