"""Names for the tensors of a traced module, and the ops over them: what a torch run becomes in a Graph.

A tensor is recognised by its storage. A view costs nothing and keeps the name of what it looks at; a tied weight is
one tensor; writing in place gives the storage a new name. Only `.shape`, `.dtype`, `.stride()` and the storage's
identity of a tensor are looked at, never a value; so the tensors of `strided` are recorded just as well.

May import: types, aten. Importing this file does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from perfmodel.graphs.aten import Meaning, Operand, Shape
from perfmodel.types import Op, Tensor, TensorKind

# torch dtype -> storage format. torch's int8 has no scales of its own, unlike the format of that name.
_DTYPES = {
    "float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "bool": "bool", "uint8": "uint8",
    "int8": "uint8", "int16": "int16", "uint16": "int16", "int32": "int32", "uint32": "int32", "int64": "int64",
    "uint64": "int64", "complex32": "fp32", "complex64": "complex64", "complex128": "complex64",
}  # fmt: skip
_names_of_dtypes: dict[Any, str] = {}


class Value(NamedTuple):
    """What a storage holds now: its name in the graph and its shape when it was written."""

    name: str
    shape: Shape


class Constant(NamedTuple):
    """A parameter or buffer, and where it begins in its storage."""

    name: str
    offset: int
    shape: Shape
    kind: TensorKind


@dataclass
class Recorder:
    """Collects the ops of one run in execution order.

    Args:
        constants: storage key -> parameters and buffers in it; constants found on the way are added.
        path: path of the module that runs now ("" is the traced one).
        is_layer: it is one of torch's own layers, whose first op carries the layer's name alone.
    """

    constants: dict[int, list[Constant]]
    path: str = ""
    is_layer: bool = False
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    _values: dict[int, Value] = field(default_factory=dict)
    _allocated: dict[int, Shape] = field(default_factory=dict)
    _views: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _parts: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _reserved: set[str] = field(default_factory=set)
    _kept: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reserved.update(part.name for parts in self.constants.values() for part in parts)

    def is_weight(self, tensor: Any) -> bool:
        """A parameter, a floating constant, or a view of one: nothing of this run wrote it."""
        key = storage_key(tensor)
        if key in self._values or key in self._allocated:
            return False
        constants = self.constants.get(key)
        return constants[0].kind == "weight" if constants else _is_floating(tensor)

    def add_input(self, name: str, tensor: Any) -> None:
        """Declare an input of the module."""
        shape = tuple(tensor.shape)
        self._write(tensor, Value(self._add_tensor(name, shape, tensor.dtype, "input"), shape))

    def reserve(self, names: Iterable[str]) -> None:
        """Names of constants to come: ops that are called like them get others."""
        self._reserved.update(names)

    def add_constant(self, name: str, tensor: Any, kind: TensorKind) -> None:
        """Declare a constant that nothing of this run writes."""
        self._keep(tensor)
        self.constants[storage_key(tensor)] = [Constant(name, tensor.storage_offset(), tuple(tensor.shape), kind)]

    def add_copy(self, copy: Any, original: Any) -> None:
        """`copy` has a storage of its own but stands for `original`."""
        self._keep(copy)
        key, source = storage_key(copy), storage_key(original)
        if source in self._values:
            self._values.setdefault(key, self._values[source])
        if source in self._allocated:
            self._allocated.setdefault(key, self._allocated[source])

    def add_allocation(self, tensor: Any) -> None:
        """Memory to which nothing was written yet."""
        self._keep(tensor)
        self._allocated[storage_key(tensor)] = tuple(tensor.shape)

    def add_op(self, meaning: Meaning) -> None:
        """Add what a call means."""
        is_main = self.is_layer and meaning.kind != "copy"
        name = self._unique(self.path if is_main else self.join_path(_label(meaning)))
        self.is_layer = self.is_layer and not is_main
        inputs = [
            self._operand(operand, name, rows_fold=meaning.kind == "linear" and index == 0)
            for index, operand in enumerate(meaning.inputs)
            if operand.tensor.numel()
        ]
        outputs, written = [], []
        for index, (tensor, shape) in enumerate(meaning.outputs):
            if not tensor.numel():
                continue
            shape = shape or tuple(tensor.shape)
            output = self._add_tensor(f"{name}.out{index + 1 if index else ''}", shape, tensor.dtype, "activation")
            outputs.append(output)
            written.append((tensor, Value(output, shape)))
        known = tuple(name for name in inputs if name)
        attributes = meaning.attributes
        self.ops.append(Op(name=name, kind=meaning.kind, inputs=known, outputs=tuple(outputs), attributes=attributes))
        for tensor, value in written:
            self._write(tensor, value)

    def _write(self, tensor: Any, value: Value) -> None:
        """The tensor's storage holds this from now on. If only a part was written, a view joins it with the rest."""
        self._keep(tensor)
        key = storage_key(tensor)
        before = self._before(key)
        if before is None or prod(value.shape) >= prod(before.shape):
            self._values[key] = value
            return
        parts = (before.name, value.name) if before.name else (value.name,)
        self._values[key] = Value(self._add_view(value.name, parts, before.shape, tensor.dtype, "join"), before.shape)

    def _before(self, key: int) -> Value | None:
        if key in self._values:
            return self._values[key]
        if key in self._allocated:
            return Value("", self._allocated[key])
        if key in self.constants:
            constant = self.constants[key][0]
            return Value(constant.name if constant.name in self.tensors else "", constant.shape)
        return None

    def _operand(self, operand: Operand, consumer: str, *, rows_fold: bool = False) -> str:
        """The name an op calls a tensor by; a view is put between where the op needs another shape.

        Args:
            rows_fold: only the last dimension has to fit.
        """
        tensor, shape = operand
        read, strides = tuple(tensor.shape), tensor.stride()
        if 0 in strides:  # an expanded tensor is read once
            read = tuple(size if stride else 1 for size, stride in zip(read, strides, strict=True))
        key = storage_key(tensor)
        value = self._values.get(key)
        if value is None:
            value = self._constant(key, tensor, read, shape)
        if value is None:
            return ""
        if shape is None:
            fits = read == value.shape or prod(read) >= prod(value.shape)
        elif rows_fold:
            fits = shape[-1:] == value.shape[-1:] and prod(shape) == prod(value.shape)
        else:
            fits = shape == value.shape
        if fits:
            return value.name
        memo = (value.name, tensor.storage_offset(), shape or read, self.path)
        if memo not in self._views:
            change = prod(memo[2]) - prod(value.shape)
            function = "slice" if change < 0 else "expand" if change else "reshape"
            self._views[memo] = self._add_view(consumer, (value.name,), memo[2], tensor.dtype, function)
        return self._views[memo]

    def _constant(self, key: int, tensor: Any, read: Shape, shape: Shape | None) -> Value | None:
        """The parameter, buffer or other constant that a tensor shows, or the part of it that it shows."""
        if key not in self.constants:
            if tensor.numel() == 1:  # a number
                return None
            kind: TensorKind = "weight" if _is_floating(tensor) and key not in self._allocated else "input"
            name = self._unique(self.join_path("constant"))
            self.constants[key] = [Constant(name, tensor.storage_offset(), read, kind)]
            self._keep(tensor)
        offset, elements = tensor.storage_offset(), prod(read)
        owner = next((part for part in reversed(self.constants[key]) if part.offset <= offset), self.constants[key][0])
        self.used.add(owner.name)
        name, own_shape = owner.name, owner.shape
        if elements < prod(owner.shape):
            part = (owner.name, offset, elements)
            name, own_shape = self._parts.setdefault(part, f"{owner.name}.part{len(self._parts)}"), read
        if name not in self.tensors:
            chosen = shape if shape and prod(shape) == prod(own_shape) else own_shape
            self.tensors[name] = Tensor(name=name, shape=chosen, dtype=self._format(tensor.dtype), kind=owner.kind)
        return Value(name, self.tensors[name].shape)  # type: ignore[arg-type]

    def _add_view(self, consumer: str, inputs: tuple[str, ...], shape: Shape, dtype: Any, function: str) -> str:
        name = self._unique(f"{consumer.removesuffix('.out')}.view")
        output = self._add_tensor(f"{name}.out", shape, dtype, "activation")
        self.ops.append(Op(name=name, kind="view", inputs=inputs, outputs=(output,), attributes={"function": function}))
        return output

    def _add_tensor(self, name: str, shape: Shape, dtype: Any, kind: TensorKind) -> str:
        if name in self._reserved:
            name = self._unique(f"{name}_value")  # an op called like a parameter
        self.tensors[name] = Tensor(name=name, shape=shape, dtype=self._format(dtype), kind=kind)
        return name

    def _format(self, dtype: Any) -> str:
        found = _names_of_dtypes.get(dtype)
        if found is None:
            torch_name = str(dtype).removeprefix("torch.")
            found = "fp8" if torch_name.startswith("float8") else _DTYPES.get(torch_name, "")
            found = getattr(dtype, "storage_format", found)  # of a tensor that is not torch's
            if not found:
                self.notes[f"dtype {torch_name} has no storage format; it is counted as one byte per element"] = None
                return "uint8"
            _names_of_dtypes[dtype] = found
        return found

    def join_path(self, name: str) -> str:
        """A name under the path of the module that runs now."""
        return f"{self.path}.{name}" if self.path else name

    def _unique(self, name: str) -> str:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def _keep(self, tensor: Any) -> None:
        self._kept.append(tensor.untyped_storage())  # the key of a storage that is freed would be used again


def storage_key(tensor: Any) -> int:
    """Identity of the memory a tensor looks at."""
    return int(tensor.untyped_storage()._cdata)


def collect_constants(named: Sequence[tuple[str, Any, TensorKind]]) -> dict[int, list[Constant]]:
    """Parameters and buffers by storage; of tied ones the first name counts."""
    constants: dict[int, list[Constant]] = {}
    for name, tensor, kind in named:
        parts = constants.setdefault(storage_key(tensor), [])
        if all(part.offset != tensor.storage_offset() for part in parts):
            parts.append(Constant(name, tensor.storage_offset(), tuple(tensor.shape), kind))
    return {key: sorted(parts, key=lambda part: part.offset) for key, parts in constants.items()}


def _label(meaning: Meaning) -> str:
    kind = meaning.kind.split(".")[-2].strip("_") if "." in meaning.kind else meaning.kind  # "aten._fft_r2c.default"
    return str(meaning.attributes.get("function", kind))


def _is_floating(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating_point or tensor.dtype.is_complex)
