"""Image models by their name in timm: `timm:resnet50`, `timm:repvgg_a0+reparameterized`, at any image size.

    name ──timm.create_model on meta──▶ module ──torch_module.trace_module──▶ Model with phase `forward`, symbol `batch`

No weight is allocated, initialised or downloaded. timm asks for torchvision, which few of its models use to compute;
where it is not installed, stand-ins answer for its names while timm is imported.

May import: collector, errors, types, overrides, torch_module, torch_rules, torch_trace. torch and timm are imported
when a function is called.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from perfmodel.collector import collector_paused
from perfmodel.errors import InputError, ModelError, UnknownNameError
from perfmodel.graphs.overrides import changed_name, plain_values
from perfmodel.graphs.torch_module import trace_module
from perfmodel.graphs.torch_rules import KEEPS_VALUES
from perfmodel.graphs.torch_trace import describe
from perfmodel.types import Model

PREFIX = "timm:"
REPARAMETERIZED = "+reparameterized"  # branches that only training needs are merged, as for deployment
_EXAMPLE_BATCH = 2
_USUAL_INPUT = (3, 224, 224)
_STOOD_IN = "torchvision"


def load_timm(source: str, image_size: int = 0, changes: Mapping[str, str] | None = None) -> Model:
    """An image model of timm.

    Args:
        source: "timm:NAME", with "+reparameterized" behind it for the form that is deployed.
        image_size: pixels of the image's side; 0 for the size that the model was made for.
        changes: arguments of the model's own class, in text: {"layers": "3-4-9-3"}, {"depth": "16"}.

    Raises:
        UnknownNameError: timm has no such model, or no such weights of it. InputError: an image size or argument that
            the model does not take. ModelError: its forward pass cannot be traced; timm or torch is not installed.
    """
    name = source.removeprefix(PREFIX).removesuffix(REPARAMETERIZED)
    if image_size < 0:
        raise InputError(f"{source}: the image size must be a positive number of pixels, is {image_size}")
    timm = import_timm()
    import torch

    made_for = _input_size(timm, name)
    side = image_size or made_for[-1]
    with collector_paused():
        module = _build(timm, name, image_size, plain_values(changes or {}))
        if source.endswith(REPARAMETERIZED):
            with _quiet(), _on_meta():
                module = timm.utils.reparameterize_model(module, inplace=True)
        image = torch.empty(_EXAMPLE_BATCH, made_for[0], side, side, device="meta")
        try:
            model = trace_module(
                module, image, name=changed_name(source.removeprefix(PREFIX), changes or {}), source=source, quick=True
            )
        except ModelError as error:
            if side == made_for[-1]:
                raise
            refusal = f"{source} does not take images of {side} pixels (it was made for {made_for[-1]})"
            raise InputError(f"{refusal}: {str(error).removeprefix(source + ': ')}") from None
    return replace(model, facts={**model.facts, "image_size": (side, side), "model_type": "timm"})


def _input_size(timm: Any, name: str) -> tuple[int, ...]:
    """(channels, height, width) that the model was made for, after a check of its name."""
    bare, _, tag = name.partition(".")
    if not timm.is_model(bare):
        raise UnknownNameError("timm model", bare, timm.list_models(), "timm.list_models() names them all")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        known = timm.list_models(f"{bare}.*", pretrained=True)
        hint = f"{bare} alone is the model with its usual weights' classes and image size"
        raise UnknownNameError(f"weights '{tag}' of the timm model", name, known, hint) from None
    return tuple(config.input_size) if config else _USUAL_INPUT


def _build(timm: Any, name: str, image_size: int, changes: Mapping[str, Any]) -> Any:
    """The module on meta. Most convolutional models take images of any size, and no argument that says which."""
    options: list[dict[str, Any]] = [{"img_size": image_size}, {}] if image_size else [{}]
    while True:
        wanted = options.pop(0)
        try:
            with _quiet(), _on_meta():
                return timm.create_model(name, pretrained=False, **wanted, **changes).eval()
        except Exception as error:  # whatever the model's own code raises
            if not options and changes:
                told = ", ".join(f"{key}={value}" for key, value in changes.items())
                raise InputError(f"{PREFIX}{name} cannot be built with {told}: {describe(error)}") from None
            if not options:
                raise ModelError(f"{PREFIX}{name}: building it fails: {describe(error)}") from None


def _on_meta() -> Any:
    """A context in which modules are built on the meta device. Nothing is written into their weights, which would mean
    nothing there and take most of the time."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._device import _device_constructors

    constructors = _device_constructors()

    class OnMeta(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs, name = kwargs or {}, function.__name__
            if function in constructors:
                if kwargs.get("device") is None:
                    kwargs["device"] = "meta"
            elif name[-1] == "_" != name[-2] and name not in KEEPS_VALUES:  # in place, or of torch.nn.init
                written = args[0] if args else kwargs.get("tensor")
                if getattr(written, "is_meta", False):
                    return written
            return function(*args, **kwargs)

    return OnMeta()


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


def import_timm() -> Any:
    """The package timm, also where torchvision is not installed.

    Raises:
        ModelError: timm or torch is not installed.
    """
    try:
        with _quiet(), _torchvision_stood_in():
            import timm
            import timm.utils
    except ImportError as error:
        install = "pip install 'perfmodel[timm]'"
        raise ModelError(f"models of timm need the packages timm and torch ({error}); {install}") from None
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
