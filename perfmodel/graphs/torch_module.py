"""Any torch.nn.Module -> Model with one phase, "forward": `trace_module` for Python, `load_factory` for the CLI.

The module runs on the meta device at several sizes (torch_trace), the sizes become symbols (symbolic), and repeated
blocks are folded (folding). No weight is allocated or changed. Code of a factory file is the user's own and runs only
because its path was given.

May import: errors, types, and the files named above. torch is imported when a function is called.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from perfmodel.errors import ModelError, nearest_names, shortened
from perfmodel.graphs.folding import fold_repeats
from perfmodel.graphs.symbolic import SymbolRange, trace_at_prime, trace_symbolic
from perfmodel.graphs.torch_trace import MetaModule, describe, to_meta, trace
from perfmodel.outside_files import MAX_SPEC_BYTES, read_bytes
from perfmodel.types import Graph, Model

Dynamic: TypeAlias = Mapping[str, Mapping[int, str]]
_USAGE = "it must return (module, example_inputs), the inputs being a tensor, a tuple, or a dict of keyword arguments"
_PRECISIONS = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


@dataclass(frozen=True, slots=True)
class Example:
    """Example inputs of a module: what to call it with, and its tensors by name ("input_ids", "images.0")."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tensors: Mapping[str, Any]


def trace_module(
    module: Any,
    example_inputs: Any,
    *,
    name: str,
    source: str,
    example_kwargs: Mapping[str, Any] | None = None,
    symbolic: bool = True,
    dynamic: Dynamic | None = None,
    quick: bool = False,
) -> Model:
    """Turn a module into a model by running it on the meta device.

    Args:
        module: any torch.nn.Module, on any device; it is run in eval mode and left as it was.
        example_inputs: a tensor, a tuple of arguments, or a dict of keyword arguments; only shapes and dtypes matter.
        example_kwargs: further keyword arguments.
        symbolic: make sizes symbols: the first dimension of the inputs `batch`, the second of 2-d token ids and masks
            `tokens`. Otherwise the sizes of the example are kept.
        dynamic: for inputs by name, which dimensions have which symbol, e.g. {"x": {0: "batch", 2: "frames"}}.
        quick: a single trace; for modules with no other symbol than a batch, which all sizes are proportional to.

    Raises:
        ModelError: the module cannot be run with these inputs, or what it computes depends on values.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{source}: expected a torch.nn.Module, got {type(module).__name__}")
    example = _read_example(module, example_inputs, example_kwargs or {}, source)
    places, ranges = _symbols(example, dynamic or {}, source) if symbolic else ({}, {})
    used: set[str] = set()

    def run(sizes: Mapping[str, int]) -> Graph:
        args, kwargs, tensors = _resized(example, places, sizes)
        graph, found = trace(meta, args, kwargs, tensors, name, source)
        used.update(found)
        return graph

    with _evaluation_mode(module):
        meta = to_meta(module)
        one = quick and ranges.keys() == {"batch"}
        graph = fold_repeats(trace_at_prime(run, "batch", ranges["batch"]) if one else trace_symbolic(run, ranges))
    if not graph.ops:
        raise ModelError(f"{source}: the forward pass runs no torch op on its inputs")
    notes = (*graph.notes, *_unused_parameters(meta, used))
    parameters = list(module.parameters())
    return Model(
        name=name,
        phases={"forward": replace(graph, notes=notes)},
        parameters=sum(parameter.numel() for parameter in parameters),
        precision=_precision([*parameters, *example.tensors.values()]),
        source=source,
        facts={
            "buffer_elements": sum(buffer.numel() for buffer in module.buffers()),
            "example_sizes": {symbol: ranges[symbol].example for symbol in graph.symbols},
        },
        notes=notes,
    )


def load_factory(spec: str) -> Model:
    """The model that a function in a Python file returns: `file.py:factory`.

    The factory takes no arguments and returns (module, example_inputs) or (module, example_inputs, dynamic). It is
    called with the meta device as default, so that a large model takes no memory, and again on the CPU if that fails.

    Raises:
        ModelError: no such file or function, code that raises, or something else returned.
    """
    path, factory_name = _split_spec(spec)
    with _importable_folder(path):
        factory = _find_factory(_run_file(path), factory_name, path)
        made, notes = _build(factory, factory_name, path)
        _check_made(made, factory_name, path)
        dynamic = made[2] if len(made) == 3 else None
        model = trace_module(made[0], made[1], name=f"{path.stem}:{factory_name}", source=spec, dynamic=dynamic)
    graph = model.phases["forward"]
    return replace(model, notes=model.notes + notes, phases={"forward": replace(graph, notes=graph.notes + notes)})


def run_factory(spec: str) -> tuple[Any, Any]:
    """(module, example inputs) of a factory `file.py:factory`, in memory as the factory makes them.

    Raises:
        ModelError: as `load_factory`.
    """
    path, factory_name = _split_spec(spec)
    with _importable_folder(path):
        factory = _find_factory(_run_file(path), factory_name, path)
        made = _called(factory, factory_name, path)
        _check_made(made, factory_name, path)
    return made[0], made[1]


# ------------------------------------------------------------------------------------- the factory file


def _split_spec(spec: str) -> tuple[Path, str]:
    file, _, factory_name = spec.rpartition(":")
    if not file or not factory_name:
        raise ModelError(f"'{shortened(spec)}': name a file and a function in it, like torch:model.py:make_model")
    if "\0" in file:
        raise ModelError(f"'{shortened(spec)}': no file has a NUL in its name")
    return Path(file), factory_name


def _check_made(made: Any, name: str, path: Path) -> None:
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        shape = f"a tuple of {len(made)}" if isinstance(made, tuple) else type(made).__name__
        raise ModelError(f"{path}: {name} returned {shape}; {_USAGE}")


@contextmanager
def _importable_folder(path: Path) -> Iterator[None]:
    """The file may import its neighbours."""
    folder = os.path.realpath(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _run_file(path: Path) -> ModuleType:
    """Execute a Python file as a module of its own; nothing is written beside it."""
    try:
        code = compile(read_bytes(path, MAX_SPEC_BYTES), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot read it: {error.strerror or error}") from None
    except SyntaxError as error:
        raise ModelError(f"{path}:{error.lineno}: syntax error: {error.msg}") from None
    except (RecursionError, MemoryError):  # of the parser
        raise ModelError(f"{path}: not Python source: it is nested too deep") from None
    except ValueError as error:  # null bytes
        raise ModelError(f"{path}: not Python source: {error}") from None
    module = ModuleType(f"perfmodel_factory_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickling look there
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path}: running the file raised {describe(error, str(path))}") from None
    return module


def _find_factory(module: ModuleType, name: str, path: Path) -> Any:
    factory = getattr(module, name, None)
    if callable(factory):
        return factory
    if factory is not None:
        raise ModelError(f"{path}: '{name}' is no function but {type(factory).__name__}")
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
    known = nearest_names(name, functions) or sorted(functions)
    hint = f"it has {', '.join(known)}" if known else "it defines no functions"
    raise ModelError(f"{path}: there is no function '{name}'; {hint}")


def _build(factory: Any, name: str, path: Path) -> tuple[Any, tuple[str, ...]]:
    import torch

    try:
        with torch.device("meta"):
            return factory(), ()
    except (Exception, SystemExit) as on_meta:
        made = _called(factory, name, path)
        reason = describe(on_meta, str(path))
        return made, (f"the model was built in memory, because {name}() fails on the meta device: {reason}",)


def _called(factory: Any, name: str, path: Path) -> Any:
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path}: {name}() raised {describe(error, str(path))}") from None


# ------------------------------------------------------------------------------------ inputs and sizes


def _read_example(module: Any, inputs: Any, kwargs: Mapping[str, Any], source: str) -> Example:
    import torch

    args: tuple[Any, ...] = ()
    if isinstance(inputs, torch.Tensor):
        args = (inputs,)
    elif isinstance(inputs, Mapping):
        kwargs = {**inputs, **kwargs}
    elif isinstance(inputs, tuple | list):
        args = tuple(inputs)
    else:
        kind = type(inputs).__name__
        raise ModelError(
            f"{source}: example inputs must be a tensor, a tuple, or a dict of keyword arguments, not {kind}"
        )
    try:
        bound = _bind(module, args, kwargs)
    except TypeError as error:
        raise ModelError(f"{source}: the example inputs do not fit {type(module).__name__}.forward: {error}") from None
    tensors: dict[str, Any] = {}
    for name, value in bound.items():
        _collect(name, value, tensors)
    return Example(args, kwargs, tensors)


def _bind(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of forward by name; TypeError if they do not fit."""
    try:
        signature = inspect.signature(module.forward)
    except ValueError:  # compiled code says nothing about its arguments
        return {f"input_{place}": value for place, value in enumerate(args)} | dict(kwargs)
    bound = signature.bind(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        is_rest = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        named |= value if is_rest else {name: value}
    return named


def _collect(name: str, value: Any, found: dict[str, Any]) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        found[name] = value
    elif isinstance(value, Mapping | list | tuple):
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in entries:
            _collect(f"{name}.{key}", inner, found)


def _symbols(
    example: Example, dynamic: Dynamic, source: str
) -> tuple[dict[str, dict[int, str]], dict[str, SymbolRange]]:
    """Which dimensions of which inputs are symbols, and their sizes in the example."""
    declared = _declared(example, dynamic, source)
    defaults = {name: tensor for name, tensor in example.tensors.items() if name not in declared and tensor.dim()}
    sizes: dict[str, int] = {}
    for name, axes in declared.items():
        for axis, symbol in axes.items():
            size = example.tensors[name].shape[axis]
            if sizes.setdefault(symbol, size) != size:
                raise ModelError(
                    f"{source}: the example has {symbol}={sizes[symbol]} and, in '{name}', {symbol}={size}"
                )
    places = dict(declared)
    token_inputs = {name: tensor for name, tensor in defaults.items() if _holds_tokens(name, tensor)}
    for symbol, axis, tensors in (("batch", 0, defaults), ("tokens", 1, token_inputs)):
        for name, tensor in tensors.items():
            if tensor.shape[axis] == sizes.setdefault(symbol, tensor.shape[axis]):
                places[name] = {**places.get(name, {}), axis: symbol}
    ordered = sorted(sizes, key=lambda symbol: symbol != "batch")
    return places, {symbol: SymbolRange(sizes[symbol], symbol == "tokens") for symbol in ordered if sizes[symbol]}


def _declared(example: Example, dynamic: Any, source: str) -> dict[str, dict[int, str]]:
    """The user's own choice of symbols, checked."""
    wanted = 'dynamic must look like {"x": {0: "batch", 2: "frames"}}'
    if not isinstance(dynamic, Mapping):
        raise ModelError(f"{source}: {wanted}, is {type(dynamic).__name__}")
    declared: dict[str, dict[int, str]] = {}
    for name, axes in dynamic.items():
        if name not in example.tensors:
            raise ModelError(f"{source}: dynamic names '{name}', but the inputs are {', '.join(example.tensors)}")
        declared[name] = {}
        rank = example.tensors[name].dim()
        for axis, symbol in axes.items() if isinstance(axes, Mapping) else [(None, None)]:
            if not isinstance(axis, int) or not isinstance(symbol, str) or not symbol.isidentifier():
                raise ModelError(f"{source}: {wanted}; for '{name}' it is {axes!r}")
            if not -rank <= axis < rank:
                raise ModelError(f"{source}: dynamic names dimension {axis} of '{name}', which has {rank}")
            declared[name][axis % rank] = symbol
    return declared


def _holds_tokens(name: str, tensor: Any) -> bool:
    """2-d integers are token ids, positions or segments; masks over them are often bool or float."""
    is_integer = str(tensor.dtype) in ("torch.int64", "torch.int32", "torch.bool")
    return tensor.dim() == 2 and (is_integer or "mask" in name)


def _resized(
    example: Example, places: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int]
) -> tuple[Sequence[Any], Mapping[str, Any], dict[str, Any]]:
    """The example inputs as meta tensors of other sizes, and these by name."""
    import torch

    tensors: dict[str, Any] = {}
    stand_ins: dict[int, Any] = {}
    for name, tensor in example.tensors.items():
        axes = places.get(name, {})
        shape = [sizes[axes[axis]] if axis in axes else size for axis, size in enumerate(tensor.shape)]
        channels_last = tensor.dim() == 4 and not tensor.is_contiguous() and tensor.stride(1) == 1
        layout = torch.channels_last if channels_last else torch.contiguous_format
        tensors[name] = torch.empty(shape, dtype=tensor.dtype, device="meta", memory_format=layout)
        stand_ins[id(tensor)] = tensors[name]

    def replaced(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return stand_ins[id(value)]
        if isinstance(value, Mapping):
            return {key: replaced(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(replaced(inner) for inner in value)
        return value

    return replaced(example.args), replaced(dict(example.kwargs)), tensors


# ------------------------------------------------------------------------------------- about the module


@contextmanager
def _evaluation_mode(module: Any) -> Iterator[None]:
    training = [child for child in module.modules() if child.training]
    with suppress(NotImplementedError):  # exported programs have no modes
        module.eval()
    try:
        yield
    finally:
        for child in training:
            child.training = True


def _unused_parameters(meta: MetaModule, used: set[str]) -> tuple[str, ...]:
    unused = [
        part
        for parts in meta.constants.values()
        for part in parts
        if part.name in meta.parameters and part.name not in used
    ]
    if not unused:
        return ()
    elements = sum(prod(part.shape) for part in unused)
    return (f"{elements} parameters take no part in the forward pass (first: {unused[0].name})",)


def _precision(tensors: Sequence[Any]) -> str:
    """The floating dtype that most elements have; parameters come first, inputs decide if there are none."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.is_floating_point():
            counts[_PRECISIONS.get(str(tensor.dtype), "fp32")] += tensor.numel()
    return counts.most_common(1)[0][0] if counts else "fp32"
