"""Torch's calls on their way to the recorder: what each aten op of a trace is run as, and whether it counts.

A dispatch mode sees every aten op; in inference mode torch hands over composite ops (linear, attention, lstm) before it
takes them apart, so they are captured whole. No value is computed, except for small tensors that the module makes on
the CPU (sizes, indices), so that Python control flow over them works.

May import: errors, aten, torch_recorder, torch_rules. Importing this file does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.aten import Call, translate
from perfmodel.graphs.torch_recorder import Recorder, storage_key
from perfmodel.graphs.torch_rules import Rule, learn_rule

_COMPUTED_ELEMENTS = 1 << 16  # values of CPU tensors up to this size are computed
_REMEMBERED = 1 << 16  # shapes; some hundred models have fewer


class StandIns:
    """Meta tensors in place of real ones; tensors that share a storage still do."""

    def __init__(self) -> None:
        self._storages: dict[int, tuple[Any, Any]] = {}

    def __call__(self, tensor: Any) -> Any:
        """A meta tensor with the layout of `tensor`; itself if it is one."""
        import torch

        if tensor.is_meta:
            return tensor
        storage = tensor.untyped_storage()
        known = self._storages.get(storage._cdata)
        if known is None:  # the real storage is kept: its address must not be used again
            known = (torch.UntypedStorage(storage.nbytes(), device="meta"), storage)
            self._storages[storage._cdata] = known
        blank = torch.empty(0, dtype=tensor.dtype, device="meta")
        return blank.set_(known[0], tensor.storage_offset(), tensor.size(), tensor.stride())


class Shapes:
    """Results on meta, remembered by the shapes of the arguments: most layers of a model are equal, and torch's own
    shape functions in Python take longer than all the rest of a trace."""

    def __init__(self) -> None:
        # (shape, stride, dtype) of the result or of each; an empty tuple where it is the first argument
        self._known: dict[Any, tuple[Any, ...] | list[tuple[Any, ...]]] = {}

    def __call__(self, rule: Rule, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run an op on meta tensors, or make its result as it was the last time."""
        import torch

        if rule.like_input and args[0].is_contiguous() and args[0].is_floating_point():
            x = args[0]
            return x if rule.writes else torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
        if not rule.remembered:
            return rule.compute(*args, **kwargs)
        key = (function, _signature(args), _signature(kwargs.items()) if kwargs else ())
        try:
            known = self._known.get(key)
        except TypeError:  # an argument that is no plain value
            return rule.compute(*args, **kwargs)
        if known is None:
            result = rule.compute(*args, **kwargs)
            self._learn(key, result, args, kwargs)
            return result
        if not known:
            return args[0]
        if isinstance(known, list):
            return tuple(
                torch.empty_strided(shape, stride, dtype=dtype, device="meta") for shape, stride, dtype in known
            )
        return torch.empty_strided(known[0], known[1], dtype=known[2], device="meta")

    def _learn(self, key: Any, result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        import torch

        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        if args and result is args[0]:  # in place
            self._known[key] = ()
            return
        results = result if isinstance(result, tuple) else (result,)
        if results and all(isinstance(tensor, torch.Tensor) for tensor in results):
            read = {storage_key(tensor) for tensor in _tensors(args, kwargs)}  # dropout may hand its input on
            if not any(storage_key(tensor) in read for tensor in results):
                forms = [(tuple(tensor.shape), tensor.stride(), tensor.dtype) for tensor in results]
                self._known[key] = forms if isinstance(result, tuple) else forms[0]


def _signature(values: Any) -> Any:
    """What of the arguments decides the shape of a result; 1, 1.0 and True are told apart."""
    import torch

    parts: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            parts.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, list | tuple):
            parts.append(_signature(value))
        else:
            parts.append((type(value), value))
    return tuple(parts)


@lru_cache(maxsize=1)
def mode_class() -> type:
    """The dispatch mode; a function because its base class is torch's."""
    from torch.utils._python_dispatch import TorchDispatchMode

    rules: dict[Any, Rule] = {}
    shapes = Shapes()

    class TraceMode(TorchDispatchMode):  # type: ignore[misc]
        """Runs ops on meta tensors and hands what they mean to the recorder."""

        def __init__(self, recorder: Recorder, stand_ins: StandIns) -> None:
            super().__init__()
            self.recorder = recorder
            self.stand_ins = stand_ins
            self.shapes = shapes

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # the alternative imports all of the compiler

        def __torch_dispatch__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            rule = rules.get(function)
            if rule is None:
                rule = rules[function] = learn_rule(function)
            kwargs = kwargs or {}
            if rule.action == "decompose" or (rule.name == "linear" and _is_permuted(args[0])):
                with self:
                    return function.decompose(*args, **kwargs)
            return run_op(self.recorder, self.stand_ins, self.shapes, rule, function, args, kwargs)

    return TraceMode


def _is_permuted(x: Any) -> bool:
    """Whether a linear layer has to copy its input first, as in mixers: torch's own code shows how."""
    return bool(x.dim() > 2 and not x.is_contiguous())


def run_op(
    recorder: Recorder,
    stand_ins: StandIns,
    shapes: Shapes,
    rule: Rule,
    function: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Compute the result's shape (on small CPU tensors: the result) and record the op if it costs anything."""
    tensors = _tensors(args, kwargs)
    on_meta = [tensor.is_meta for tensor in tensors]
    if not tensors or not all(on_meta):
        if not any(on_meta) and _computable(rule, tensors, args, kwargs, stand_ins):
            return _record(recorder, rule, tensors, args, kwargs, function(*args, **kwargs))
        for tensor in tensors:
            recorder.add_copy(stand_ins(tensor), tensor)
        args, kwargs = _map_tensors((args, kwargs), stand_ins)
        tensors = [stand_ins(tensor) for tensor in tensors]
    if rule.action == "refuse" or (rule.name == "index" and _has_mask(tensors[1:])):
        raise ModelError(_refusal(rule.full_name, recorder.path))
    if rule.action == "answer":
        return _answer(rule, tensors[0], recorder.path, recorder.notes)
    if "device" in rule.arguments:
        args, kwargs = _on_meta(rule, args, kwargs, always=not tensors)
    return _record(recorder, rule, tensors, args, kwargs, shapes(rule, function, args, kwargs))


def _record(
    recorder: Recorder, rule: Rule, tensors: list[Any], args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
) -> Any:
    outputs = _tensors((result,))
    if rule.action == "allocate":
        for output in outputs:
            recorder.add_allocation(output)
    elif rule.action == "record" and outputs and not _is_number(tensors, outputs[0]):
        read = set() if rule.writes else {storage_key(tensor) for tensor in tensors}
        if not all(storage_key(output) in read for output in outputs):
            arguments = dict(zip(rule.arguments, args, strict=False)) | dict(kwargs)
            call = Call(rule.name, rule.full_name, arguments, tensors, outputs, recorder.is_weight)
            recorder.add_op(translate(call))
    return result


def _is_number(tensors: list[Any], output: Any) -> bool:
    """A Python number turned into a tensor, or computed from such on the CPU, costs nothing worth counting."""
    return bool(output.numel() == 1 and (not tensors or not output.is_meta))


def _computable(
    rule: Rule, tensors: list[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], stand_ins: StandIns
) -> bool:
    """Whether the call stays on the CPU and is small enough to be computed with its values."""
    import torch

    device = _device(rule, args, kwargs)
    if device is not None and torch.device(device).type != "cpu":
        return False
    if any(tensor.numel() > _COMPUTED_ELEMENTS for tensor in tensors):
        return False
    if rule.action in ("answer", "refuse") or rule.writes:
        return True
    if not tensors and "device" not in rule.arguments:
        return False
    args, kwargs = _map_tensors((args, kwargs), stand_ins)
    if "device" in rule.arguments:
        args, kwargs = _on_meta(rule, args, kwargs, always=True)
    elements: int = sum(output.numel() for output in _tensors((rule.compute(*args, **kwargs),)))
    return elements <= _COMPUTED_ELEMENTS


def _device(rule: Rule, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if "device" not in rule.arguments:
        return None
    position = rule.arguments.index("device")
    return args[position] if position < len(args) else kwargs.get("device")


def _on_meta(rule: Rule, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, always: bool) -> Any:
    """The arguments with meta in place of the device asked for, which this machine may not have."""
    position = rule.arguments.index("device")
    if position < len(args):
        return (*args[:position], "meta", *args[position + 1 :]), kwargs
    if always or kwargs.get("device") is not None:
        return args, {**kwargs, "device": "meta"}
    return args, kwargs


def _refusal(op: str, path: str) -> str:
    where = f"module '{path}'" if path else "the module"
    return (
        f"{op} in {where}: how many elements it returns depends on values, which a trace of shapes does not have; use "
        "a fixed size there (torch.where or a mask instead of a selection), or trace the part of the model without it"
    )


def _answer(rule: Rule, tensor: Any, path: str, notes: dict[str, None]) -> Any:
    """A plausible value where the module reads one out of a tensor."""
    where = f"in {path}" if path else "in the module"
    if rule.name in ("equal", "allclose", "is_nonzero") or str(tensor.dtype) == "torch.bool":
        notes[f"a condition on values is taken as true {where} ({rule.full_name})"] = None
        return True
    notes[f"a value that is read from a tensor is taken as 1 {where} ({rule.full_name})"] = None
    return 1.0 if tensor.is_floating_point() else 1


def _has_mask(indices: list[Any]) -> bool:
    return any(str(index.dtype) in ("torch.bool", "torch.uint8") for index in indices)


def _tensors(args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> list[Any]:
    """All tensors in arguments, also in lists."""
    import torch

    found: list[Any] = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _map_tensors(values: Any, change: Callable[[Any], Any]) -> Any:
    """Nested arguments with each tensor changed."""
    import torch

    if isinstance(values, torch.Tensor):
        return change(values)
    if isinstance(values, Mapping):
        return {key: _map_tensors(value, change) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_map_tensors(value, change) for value in values)
    return values
