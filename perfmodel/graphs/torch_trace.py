"""One run of a torch module on the meta device, written down as a Graph with the sizes of that run.

The weights are seen as meta tensors without touching the module; the run's calls go through torch_dispatch to a
recorder, which is told which module they belong to.

May import: errors, types, torch_dispatch, torch_recorder. Importing this file does not import torch.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from perfmodel.errors import ModelError
from perfmodel.graphs.torch_dispatch import StandIns, mode_class
from perfmodel.graphs.torch_recorder import Constant, Recorder, collect_constants
from perfmodel.types import Graph

Failure: TypeAlias = tuple[Exception, str, Any]  # what was raised, the path of the module that raised it, that module


@dataclass(frozen=True)
class MetaModule:
    """A module whose weights are seen as meta tensors; the module itself is not changed.

    Args:
        state: meta stand-ins for parameters and buffers by name; empty if the module is on meta already.
        constants: parameters and buffers by storage. parameters: names of the former.
        stand_ins: storage key of a real tensor -> the meta storage that stands for it.
        paths: id of each submodule -> its path.
    """

    module: Any
    state: Mapping[str, Any]
    constants: Mapping[int, list[Constant]]
    parameters: frozenset[str]
    stand_ins: StandIns
    paths: Mapping[int, str]


def to_meta(module: Any) -> MetaModule:
    """See a module's weights as meta tensors.

    Raises:
        ModelError: a lazy parameter, whose shape is not known yet.
    """
    from torch.nn.parameter import is_lazy

    named: dict[str, Any] = {}
    parameters: set[str] = set()
    paths: dict[int, str] = {}
    for path, child in module.named_modules():
        paths[id(child)] = path
        prefix = f"{path}." if path else ""
        for tensors in (child._parameters, child._buffers):
            named.update((prefix + name, tensor) for name, tensor in tensors.items() if tensor is not None)
        parameters.update(prefix + name for name in child._parameters)
    lazy = [name for name, tensor in named.items() if is_lazy(tensor)]
    if lazy:
        raise ModelError(f"the parameter '{lazy[0]}' is lazy and has no shape yet; run the module once before tracing")
    stand_ins = StandIns()
    with_meta = {name: stand_ins(tensor if tensor.is_meta else tensor.detach()) for name, tensor in named.items()}
    constants = collect_constants(
        [
            (name, tensor, "weight" if name in parameters or tensor.is_floating_point() else "input")
            for name, tensor in with_meta.items()
        ]
    )
    on_meta = all(tensor.is_meta for tensor in named.values())
    return MetaModule(module, {} if on_meta else with_meta, constants, frozenset(parameters), stand_ins, paths)


def trace(
    meta: MetaModule, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Mapping[str, Any], name: str, source: str
) -> tuple[Graph, frozenset[str]]:
    """Run the module once, or a second time if the first has left something in it: caches that it fills are full in
    all runs but the first. The module is left as it was.

    Args:
        args, kwargs: of the forward pass, all tensors on meta. inputs: those tensors by name.

    Returns:
        The graph, unfolded, and the names of the parameters and buffers it uses.

    Raises:
        ModelError: the forward pass raises, or its shapes depend on values.
    """
    before = _memory(meta.module)
    try:
        recorder = _run(meta, args, kwargs, inputs, source)
        used = frozenset(recorder.used)
        if any(_differ(now, then) for now, then in before):
            recorder = _run(meta, args, kwargs, inputs, source)
    finally:
        for now, then in before:
            if _differ(now, then):
                now.clear()
                now |= then
    graph = Graph(
        name=name, ops=tuple(recorder.ops), tensors=recorder.tensors, source=source, notes=tuple(recorder.notes)
    )
    return graph, used | recorder.used


def _memory(module: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What a forward pass may change: the attributes of all modules and the dicts among them, each with a copy."""
    kept: list[dict[str, Any]] = []
    for child in module.modules():
        attributes = vars(child)
        kept.append(attributes)
        kept += [
            value
            for name, value in attributes.items()
            if type(value) is dict and name not in ("_parameters", "_modules")
        ]
    return [(found, found.copy()) for found in kept]


def _differ(now: dict[str, Any], then: dict[str, Any]) -> bool:
    try:
        return now != then  # values that are identical are not looked at
    except Exception:  # other tensors
        return True


def _run(
    meta: MetaModule, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Mapping[str, Any], source: str
) -> Recorder:
    import torch

    recorder = Recorder(dict(meta.constants))
    for label, tensor in inputs.items():
        recorder.add_input(label, tensor)
    mode = mode_class()(recorder, meta.stand_ins)
    failures: list[Failure] = []
    try:
        with torch.inference_mode(), _quiet_fast_paths(), _module_paths(meta, recorder, failures), mode:
            if meta.state:
                torch.func.functional_call(meta.module, dict(meta.state), tuple(args), dict(kwargs), tie_weights=False)
            else:
                meta.module(*args, **kwargs)
    except ModelError:
        raise
    except Exception as error:
        path, module = next(((path, module) for raised, path, module in failures if raised is error), ("", meta.module))
        where = f"module '{path}' ({type(module).__name__})" if path else type(module).__name__
        raise ModelError(f"{source}: the forward pass fails in {where}: {describe(error)}") from None
    return recorder


def describe(error: BaseException, file: str = "") -> str:
    """What was raised and where in the user's code: in `file` if the trace passes it, else nearest to the error."""
    import torch

    libraries = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or [
        frame for frame in frames if not frame.filename.startswith((*libraries, "<"))
    ]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    text = str(error).split("\n\n")[0].strip()
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


@contextmanager
def _quiet_fast_paths() -> Iterator[None]:
    """torch's fused inference paths would swallow whole layers, and compiled functions would try to compile."""
    import sys

    import torch

    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _module_paths(meta: MetaModule, recorder: Recorder, failures: list[Failure]) -> Iterator[None]:
    """Tell the recorder which module runs, and collect in which one an exception was raised."""
    from torch.nn import Module

    run = Module.__call__

    def run_and_tell(module: Any, *args: Any, **kwargs: Any) -> Any:
        outer, path = recorder.path, meta.paths.get(id(module))
        if path is None:
            path = recorder.join_path(type(module).__name__)
        recorder.path = path
        recorder.is_layer = bool(path) and not module._modules and type(module).__module__.startswith("torch.nn.")
        try:
            return run(module, *args, **kwargs)
        except Exception as error:
            if all(raised is not error for raised, _, _ in failures):
                failures.append((error, path, module))
            raise
        finally:
            recorder.path, recorder.is_layer = outer, False

    Module.__call__ = run_and_tell  # global hooks would do as well, and send each call the slow way through torch
    try:
        yield
    finally:
        Module.__call__ = run
