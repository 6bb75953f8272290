"""Image models by their name in timm: `timm:resnet50`, `timm:repvgg_a0+reparameterized`, at any image size.

    name ──timm.create_model on meta──▶ module ──torch_module.trace_module──▶ Model with phase `forward`, symbol `batch`

No weight is allocated, initialised or downloaded. timm asks for torchvision, which few of its models use to compute;
where it is not installed, stand-ins answer for its names while timm is imported.

May import: errors, types, torch_module. torch and timm are imported when a function is called.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from perfmodel.errors import InputError, ModelError, UnknownNameError
from perfmodel.graphs.torch_module import trace_module
from perfmodel.graphs.torch_trace import describe
from perfmodel.types import Model

PREFIX = "timm:"
REPARAMETERIZED = "+reparameterized"  # branches that only training needs are merged, as for deployment
_EXAMPLE_BATCH = 2
_STOOD_IN = "torchvision"


def load_timm(source: str, image_size: int = 0) -> Model:
    """An image model of timm.

    Args:
        source: "timm:NAME", with "+reparameterized" behind it for the form that is deployed.
        image_size: pixels of the image's side; 0 for the size that the model was made for.

    Raises:
        UnknownNameError: timm has no such model. InputError: an image size that the model does not take.
        ModelError: its forward pass cannot be traced; timm or torch is not installed.
    """
    name = source.removeprefix(PREFIX).removesuffix(REPARAMETERIZED)
    timm = _import_timm()
    import torch

    bare = name.split(".")[0]  # tags of pretrained weights do not change the architecture
    if not timm.is_model(bare):
        raise UnknownNameError("timm model", bare, timm.list_models(), "timm.list_models() names them all")
    module, side = _build(timm, name, image_size)
    channels = module.default_cfg.get("input_size", (3, 0, 0))[0] if hasattr(module, "default_cfg") else 3
    if source.endswith(REPARAMETERIZED):
        with _quiet(), torch.device("meta"):
            module = timm.utils.reparameterize_model(module)
    image = torch.empty(_EXAMPLE_BATCH, channels, side, side, device="meta")
    model = trace_module(module, image, name=source.removeprefix(PREFIX), source=f"{PREFIX}{name}", quick=True)
    return replace(model, facts={**model.facts, "image_size": [side, side], "model_type": "timm"})


def _build(timm: Any, name: str, image_size: int) -> tuple[Any, int]:
    """(the module on meta, the side of its images)."""
    import torch

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    wanted = image_size or (config.input_size[-1] if config else 0)
    entrypoint = timm.models.model_entrypoint(name.split(".")[0])
    attempts: list[dict[str, Any]] = [{"img_size": wanted}, {}] if image_size else [{}]
    reason = ""
    for options in attempts:
        try:
            with _quiet(), torch.device("meta"), _no_initialisation():
                module = entrypoint(pretrained=False, **options).eval()
        except TypeError as error:  # most convolutional models take images of any size and no such argument
            if "img_size" not in options or "img_size" not in str(error):
                raise ModelError(f"{PREFIX}{name}: building it fails: {describe(error)}") from None
            continue
        except Exception as error:
            reason = describe(error)
            if options:
                continue
            raise ModelError(f"{PREFIX}{name}: building it fails: {reason}") from None
        return module, wanted or module.default_cfg["input_size"][-1]
    raise InputError(f"{PREFIX}{name} does not take images of {image_size} pixels: {reason}")


@contextmanager
def _no_initialisation() -> Iterator[None]:
    """Writing values into weights on meta does nothing and would take most of the time of building a model."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class SkipWrites(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
            name = function._schema.name
            if name.endswith("_") and not name.endswith("__") and args and getattr(args[0], "is_meta", False):
                return args[0]
            return function(*args, **(kwargs or {}))

    with SkipWrites():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# ------------------------------------------------------------------------------------- importing timm


def _import_timm() -> Any:
    if find_spec("timm") is None or find_spec("torch") is None:
        raise ModelError(
            "models of timm need the packages timm and torch: pip install torch, then pip install --no-deps timm"
        )
    with _quiet(), _torchvision_stood_in():
        import timm
        import timm.utils
    return timm


@contextmanager
def _torchvision_stood_in() -> Iterator[None]:
    """Let `import torchvision` succeed while timm is imported, where it is not installed."""
    if "timm" in sys.modules or find_spec(_STOOD_IN) is not None:
        yield
        return
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == _STOOD_IN]:
            del sys.modules[name]  # others must see that it is not installed


class _Finder:
    """Finds a stand-in for every module of torchvision."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] == _STOOD_IN else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


class _AnyName(type):
    """A class that has every attribute."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _StandIn(ModuleType):
    """A module that has every class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _AnyName(name, (), {})
        setattr(self, name, made)
        return made
