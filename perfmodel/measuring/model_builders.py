"""Whole models in memory, with random weights, and the calls that are their phases.

    timm:NAME                  a call on images
    config.json, catalog name  an encoder's call on tokens or images; a decoder's prefill, and steps with a KV cache
    torch:file.py:factory      a call on the factory's example inputs

Weights are built in the dtype asked for and filled from a small pool: drawing them would take longer than timing them.
May import: errors, graphs, program_parts, suite_runner; torch, timm and transformers inside functions.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.errors import ModelError

_MOST_STEPS = 16  # decode steps of a sample; more would blur the context they stand for
_CUTTABLE = {"DynamicLayer"}
_DRAWS = {
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a model is called with; 0 where a model has no such size.

    Args:
        input_tokens, output_tokens: of each sequence; a decode step is at the mean context, input + output/2.
        image_size: pixels of an image's side.
    """

    batch: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    image_size: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """A call to be timed, how many steps of the model one call runs, and what puts things back before each call."""

    call: Callable[[], object]
    steps: int = 1
    before: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and as what a model is built.

    Args:
        device: cpu or cuda. dtype: of its weights, a torch dtype. compiled: through torch.compile.
        prepare: what is done to the module before it is called (quantisation).
    """

    device: str
    dtype: Any
    compiled: bool
    prepare: Callable[[Any], Any] = lambda module: module

    def placed(self, module: Any) -> Any:
        """The module ready to be called."""
        import torch

        module = self.prepare(module.eval().to(self.dtype)).to(self.device)
        return torch.compile(module) if self.compiled else module

    def tensor(self, tensor: Any) -> Any:
        """An input on the device; floating ones in the dtype."""
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)


def build_timm(source: str, sizes: Sizes, placement: Placement) -> dict[str, Phase]:
    """The forward pass of an image model of timm on images of 3 channels or as many as it takes."""
    import torch

    from perfmodel.graphs.timm_models import import_timm

    timm = import_timm()
    name = source.removeprefix("timm:").removesuffix("+reparameterized")
    config = timm.get_pretrained_cfg(name)
    channels, _, side = tuple(config.input_size) if config else (3, 224, 224)
    with _building(placement.dtype):
        try:
            module = timm.create_model(name, pretrained=False, img_size=sizes.image_size or side)
        except TypeError:  # convolutional models take no image size
            module = timm.create_model(name, pretrained=False)
        if source.endswith("+reparameterized"):
            module = timm.utils.reparameterize_model(module.eval(), inplace=True)
    module = placement.placed(module)
    side = sizes.image_size or side
    image = placement.tensor(torch.rand(sizes.batch, channels, side, side))
    return {"forward": Phase(lambda: module(image))}


def build_factory(source: str, placement: Placement) -> dict[str, Phase]:
    """The forward pass of a factory's module on its example inputs."""
    import torch

    from perfmodel.graphs.torch_module import run_factory

    made, example = run_factory(source.removeprefix("torch:"))
    module = placement.placed(made)

    def on_device(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return placement.tensor(value)
        if isinstance(value, Mapping):
            return {name: on_device(inner) for name, inner in value.items()}
        return type(value)(map(on_device, value)) if isinstance(value, list | tuple) else value

    inputs = on_device(example)
    if isinstance(inputs, Mapping):
        return {"forward": Phase(lambda: module(**inputs))}
    arguments = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    return {"forward": Phase(lambda: module(*arguments))}


def build_transformer(source: str, decodes: bool, sizes: Sizes, placement: Placement) -> dict[str, Phase]:
    """The phases of a Hugging Face model: forward, or prefill and decode.

    Raises:
        ModelError: transformers is not installed, or cannot build the model.
    """
    import torch

    try:
        from transformers import AutoModel, AutoModelForCausalLM
    except ImportError:
        raise ModelError(f"{source}: timing it needs transformers: pip install transformers") from None
    with _quiet():
        config = _config(source)
    if sizes.image_size and hasattr(config, "image_size"):
        config.image_size = sizes.image_size
    maker: Any = AutoModelForCausalLM if decodes else AutoModel
    with _building(placement.dtype), _quiet():
        try:
            module = maker.from_config(config, dtype=placement.dtype)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{source}: transformers cannot build it: {error}") from None
    takes_images = module.main_input_name == "pixel_values"
    arguments = inspect.signature(module.forward).parameters
    module = placement.placed(module)
    if takes_images:
        side = sizes.image_size or getattr(config, "image_size", 224)
        channels = getattr(config, "num_channels", 3)
        image = placement.tensor(torch.rand(sizes.batch, channels, side, side))
        return {"forward": Phase(lambda: module(pixel_values=image))}
    vocabulary = int(config.get_text_config().vocab_size)

    def tokens(count: int) -> Any:
        return torch.randint(0, vocabulary, (sizes.batch, count), device=placement.device)

    ids = tokens(sizes.input_tokens)
    if not decodes:
        return {"forward": Phase(lambda: module(input_ids=ids))}
    last = {"logits_to_keep": 1} if "logits_to_keep" in arguments else {}
    phases = {"prefill": Phase(lambda: module(input_ids=ids, use_cache=True, **last))}
    if sizes.output_tokens:
        cache_name = "cache" if "cache" in arguments else "past_key_values"
        phases["decode"] = _decode(module, tokens, cache_name, sizes)
    return phases


def _decode(module: Any, tokens: Callable[[int], Any], cache_name: str, sizes: Sizes) -> Phase:
    """Steps around the mean context; before each sample the cache is what it was."""
    import torch

    steps = min(sizes.output_tokens, _MOST_STEPS)
    start = max(1, sizes.input_tokens + sizes.output_tokens // 2 - steps // 2)
    token = tokens(1)
    with torch.inference_mode():
        filled = getattr(module(input_ids=tokens(start), use_cache=True), cache_name)
        cuttable = _is_cuttable(filled)
    cache = filled if cuttable else copy.deepcopy(filled)

    def run() -> None:
        for _ in range(steps):
            module(input_ids=token, use_cache=True, **{cache_name: cache})

    def restart() -> None:
        nonlocal cache
        if not cuttable:
            cache = copy.deepcopy(filled)
        elif added := cache.get_seq_length() - start:
            cache.crop(-added)

    return Phase(run, steps, restart)


def _is_cuttable(cache: Any) -> bool:
    """Whether new tokens can be taken off again: not where a window is full, nor off the state of a scan."""
    kinds = {type(layer).__name__ for layer in getattr(cache, "layers", ())}
    return bool(kinds) and kinds <= _CUTTABLE


def _config(source: str) -> Any:
    """The transformers config of a config.json, its folder, a model spec, or a catalog name."""
    from transformers import AutoConfig

    from perfmodel.graphs import model_spec
    from perfmodel.graphs.huggingface import read_json_object
    from perfmodel.graphs.model_spec import read_model_spec

    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        fields = dict(read_model_spec(path)["config"])
    elif path.suffix == ".json" or path.is_dir():
        fields = read_json_object(path / "config.json" if path.is_dir() else path)
    else:
        fields = dict(model_spec(source)["config"])
    fields.pop("quantization_config", None)
    model_type = str(fields.pop("model_type"))
    try:
        return AutoConfig.for_model(model_type, **fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{source}: transformers cannot read its config: {error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers warns of token ids and names that no random weights care for."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


@contextmanager
def _building(dtype: Any) -> Iterator[None]:
    """Modules are built in a dtype, and their weights filled by `random_tensor` whatever they would be drawn from."""
    import torch
    from torch.overrides import TorchFunctionMode

    from perfmodel.measuring.program_parts import random_tensor

    class Filling(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if function.__name__ not in _DRAWS:
                return function(*args, **(kwargs or {}))
            weight = args[0] if args else (kwargs or {})["tensor"]
            fan_in = weight[0].numel() if weight.dim() > 1 else weight.numel()
            with torch.no_grad():
                weight.copy_(random_tensor(weight.shape, weight.dtype, max(1, fan_in)))
            return weight

    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with Filling():
            yield
    finally:
        torch.set_default_dtype(usual)
