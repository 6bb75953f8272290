"""Shapes of everything in an ONNX program at given input sizes, by one walk through its nodes.

onnx's own shape inference gives the outputs of each node from the shapes of its inputs; where an output depends on
values (the target of a Reshape), these are computed along the way, as far as they follow from sizes and small
constants. Conditions that are known that way are followed.

May import: errors, onnx_program, onnx_contrib_shapes. onnx and numpy are imported when a function is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import Any, TypeAlias

from perfmodel.errors import ModelError
from perfmodel.graphs.onnx_contrib_shapes import contrib_shapes
from perfmodel.graphs.onnx_program import FLOATING, Constant, Node, Program, import_onnx, read_constant, read_nodes

Shape: TypeAlias = tuple[int, ...]
_COMPUTED_ELEMENTS = 1 << 20  # values up to this size are computed, masks of a few hundred tokens among them
_COMPUTED_TOTAL = 1 << 24  # of one walk
_INFERRED_FROM = 1 << 10  # values up to this size are told to the shape inference
_LOOPS = ("Loop", "Scan", "SequenceMap")
_DATA_DEPENDENT = ("NonZero", "Compress", "Unique", "NonMaxSuppression", "StringSplit")
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
_LARGEST = 2**53


class Level(IntEnum):
    """What a value follows from: constants alone, also the sizes of the inputs, or what is in them."""

    CONSTANT = 0
    SIZE = 1
    DATA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor at given sizes.

    Args:
        data: its values as a numpy array, None where they are not known.
        is_weight: a floating constant of more than one element, or made of such alone.
    """

    shape: Shape
    element: int
    data: Any = None
    level: Level = Level.DATA
    is_weight: bool = False

    @property
    def is_number(self) -> bool:
        """Sizes, axes and scalars, which the host computes; no kernel runs for them."""
        return self.level < Level.DATA and not self.is_weight and len(self.shape) <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """A program at given sizes: the nodes that run, in order, and all values by name."""

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    notes: tuple[str, ...] = ()


def shape_program(
    program: Program, shapes: Mapping[str, Shape], named: Mapping[str, int], runners: dict[str, Any]
) -> Shaped:
    """Find all shapes.

    Args:
        shapes: of the inputs. named: sizes of the dimensions that the file names.
        runners: kept between calls for the same program, empty at first: what computes the values of a node.

    Raises:
        ModelError: the program does not run at these sizes, or a shape depends on values.
    """
    walk = _Walk(program, named, runners)
    for declared in program.inputs:
        walk.values[declared.name] = Value(shape=shapes[declared.name], element=declared.element)
    for constant in program.constants.values():
        walk.values[constant.name] = constant_value(constant)
    walk.run(program.nodes)
    return Shaped(nodes=tuple(walk.nodes), values=walk.values, notes=tuple(walk.notes))


def constant_value(constant: Constant) -> Value:
    """The value of a constant."""
    weight = constant.element in FLOATING and prod(constant.shape) > 1
    return Value(
        shape=constant.shape, element=constant.element, data=constant.data, level=Level.CONSTANT, is_weight=weight
    )


@dataclass
class _Walk:
    program: Program
    named: Mapping[str, int]
    runners: dict[str, Any]
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    computed: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def run(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            try:
                self._run(node)
            except ModelError:
                raise
            except Exception as error:  # a file may hold anything: missing attributes, inputs that do not fit
                raise self.wrong(node, f"it is not as its op is defined ({type(error).__name__}: {error})") from None

    def _run(self, node: Node) -> None:
        if node.op in _LOOPS:
            raise self.wrong(
                node, "how often it runs depends on values; unroll the loop when exporting, or export its body"
            )
        if node.op == "If":
            self._follow(node)
            return
        for name in node.inputs:
            if name and name not in self.values:
                raise self.wrong(node, f"it reads '{name}', which nothing before it makes")
        outputs = self._outputs(node)
        self.values.update({name: value for name, value in zip(node.outputs, outputs, strict=True) if name})
        self.nodes.append(node)

    def wrong(self, node: Node, why: str) -> ModelError:
        return ModelError(f"{self.program.source}: node '{node.name}' ({node.op}): {why}")

    def _follow(self, node: Node) -> None:
        """Run the branch of an If whose condition is known."""
        condition = self.values.get(node.input(0))
        if condition is None or condition.data is None or condition.data.size != 1:
            raise self.wrong(
                node,
                "which branch runs depends on values; export the branch that is meant (a fixed argument instead of a "
                "condition on a tensor)",
            )
        branch = node.attributes["then_branch" if condition.data.reshape(-1)[0] else "else_branch"]
        for tensor in branch.initializer:
            self.values[tensor.name] = constant_value(read_constant(tensor))
        self.run(read_nodes(branch, self.program.opsets))
        for name, result in zip(node.outputs, branch.output, strict=False):
            if result.name not in self.values:
                raise self.wrong(node, f"its branch does not make '{result.name}'")
            self.values[name] = self.values[result.name]
            self.nodes.append(Node(name=node.name, op="Identity", inputs=(result.name,), outputs=(name,)))

    def _outputs(self, node: Node) -> list[Value]:
        """The values that a node makes; one for each output, those left out included."""
        if node.op == "Constant":
            return [_stated(node)]
        inputs = [self.values[name] if name else None for name in node.inputs]
        if node.op in ("Shape", "Size") and inputs and inputs[0]:
            return [_size_value(node, inputs[0])]
        level, weight = _level(node, inputs)
        types = contrib_shapes(node.op, node.attributes, inputs, len(node.outputs)) or self._inferred(node, inputs)
        data = self._computed(node, inputs, types) if level < Level.DATA and not weight else None
        if data is not None:
            types = [(tuple(array.shape), element) for array, (_, element) in zip(data, types, strict=False)]
        values = []
        for place, name in enumerate(node.outputs):
            shape, element = types[place] if place < len(types) else (None, 0)
            if shape is None or any(size is None for size in shape):
                shape, element = self._stated_shape(node, name, element, inputs)
            if not element:
                raise self.wrong(node, f"the element type of its output '{name}' is not known")
            if prod(shape) > _LARGEST:
                raise self.wrong(node, f"its output '{name}' of shape {list(shape)} has more than 2**53 elements")
            known = data[place] if data is not None and place < len(data) else None
            values.append(Value(shape=shape, element=element, data=known, level=level, is_weight=weight))
        return values

    def _inferred(self, node: Node, inputs: Sequence[Value | None]) -> list[tuple[Any, int]]:
        """(shape, element type) of each output by onnx's shape inference; None where it does not know."""
        onnx = import_onnx()
        domain, _, op = node.op.rpartition(".")
        if not onnx.defs.has(op, domain):
            return []
        types, data = {}, {}
        for name, value in zip(node.inputs, inputs, strict=True):
            if value is not None:
                types[name] = onnx.helper.make_tensor_type_proto(value.element, value.shape)
                if value.data is not None and value.data.size <= _INFERRED_FROM:
                    data[name] = onnx.numpy_helper.from_array(value.data, name)
        opsets = [onnx.helper.make_opsetid(name, version) for name, version in self.program.opsets.items()]
        try:
            schema = onnx.defs.get_schema(op, node.version, domain)
            found = onnx.shape_inference.infer_node_outputs(schema, node.proto, types, data, opset_imports=opsets)
        except Exception as error:  # of the C++ library, of several types
            shapes = ", ".join(str(list(value.shape)) if value else "-" for value in inputs)
            reason = str(error).strip().split("\n")[0]
            raise self.wrong(node, f"it does not fit inputs of the shapes {shapes}: {reason}") from None
        return [_tensor_type(found.get(name)) for name in node.outputs]

    def _computed(
        self, node: Node, inputs: Sequence[Value | None], types: Sequence[tuple[Any, int]]
    ) -> list[Any] | None:
        """The outputs' values, if the inputs' are known and all of it is small."""
        if any(value is not None and value.data is None for value in inputs) or "." in node.op or not node.proto:
            return None
        if node.op in _RANDOM or not types or _many(inputs) or self.computed > _COMPUTED_TOTAL:
            return None
        if any(shape is not None and None not in shape and prod(shape) > _COMPUTED_ELEMENTS for shape, _ in types):
            return None
        if _unknown(types) and node.op not in _DATA_DEPENDENT:
            return None
        return self._evaluate(
            node, {name: value.data for name, value in zip(node.inputs, inputs, strict=True) if value}
        )

    def _evaluate(self, node: Node, feeds: Mapping[str, Any]) -> list[Any] | None:
        """Run one node in onnx's reference implementation; None if it cannot."""
        import numpy as np

        key = next(name for name in node.outputs if name)
        try:
            if key not in self.runners:
                self.runners[key] = _runner(node, self.program.opsets)
            with np.errstate(all="ignore"):
                results = self.runners[key].run(None, feeds)
        except Exception:  # an op or a type that the reference does not have: the values stay unknown
            return None
        arrays = [np.asarray(result) for result in results]
        self.computed += sum(array.size for array in arrays)
        return arrays

    def _stated_shape(self, node: Node, name: str, element: int, inputs: Sequence[Value | None]) -> tuple[Shape, int]:
        """The shape that the file states; for ops that nobody knows otherwise that of the first input."""
        declared = self.program.declared.get(name)
        dims = declared.shape if declared and declared.shape is not None else None
        bound = tuple(self.named.get(dim, 0) if isinstance(dim, str) else dim for dim in dims or ())
        if declared and dims is not None and all(bound):
            return bound, element or declared.element
        if node.op in _DATA_DEPENDENT:
            raise self.wrong(
                node,
                "how many elements it returns depends on values; export the part of the model before it, or one with a "
                "fixed number of results",
            )
        if "." in node.op or not import_onnx().defs.has(node.op):
            first = next((value for value in inputs if value is not None), None)
            self.notes[f"the shape that {node.op} makes is not known; it is taken as that of its first input"] = None
            return (first.shape if first else ()), element or (first.element if first else 1)
        raise self.wrong(node, f"the shape of its output '{name}' depends on values, so it cannot be known beforehand")


def _stated(node: Node) -> Value:
    """The value of a Constant node, in one of the forms it can have."""
    import numpy as np

    given = node.attributes
    if isinstance(given.get("value"), Constant):
        return constant_value(given["value"])
    key = next((key for key in ("value_int", "value_ints", "value_float", "value_floats") if key in given), "")
    if not key:
        raise ModelError(f"node '{node.name}' (Constant) has no value that is a tensor of numbers")
    data = np.asarray(given[key], dtype=np.int64 if "int" in key else np.float32)
    shape = tuple(data.shape)
    return constant_value(Constant(name=node.name, shape=shape, element=7 if "int" in key else 1, data=data))


def _size_value(node: Node, value: Value) -> Value:
    """Shape (between `start` and `end`) and Size."""
    import numpy as np

    level = min(value.level, Level.SIZE)
    if node.op == "Size":
        return Value(shape=(), element=7, data=np.asarray(prod(value.shape), dtype=np.int64), level=level)
    sizes = value.shape[slice(node.attributes.get("start", 0), node.attributes.get("end"))]
    return Value(shape=(len(sizes),), element=7, data=np.asarray(sizes, dtype=np.int64), level=level)


def _level(node: Node, inputs: Sequence[Value | None]) -> tuple[Level, bool]:
    """(what the outputs follow from, whether they are weights). Sizes that meet a weight (a lookup of positions) make
    something that is computed in each run."""
    present = [value for value in inputs if value is not None]
    level = max((value.level for value in present), default=Level.CONSTANT)
    weight = any(value.is_weight for value in present)
    if node.op in _RANDOM or (weight and level == Level.SIZE):
        return Level.DATA, False
    if node.op == "DequantizeLinear" and level == Level.CONSTANT:
        return level, True
    return level, weight and level == Level.CONSTANT


def _many(inputs: Sequence[Value | None]) -> bool:
    return sum(prod(value.shape) for value in inputs if value is not None) > _COMPUTED_ELEMENTS


def _unknown(types: Sequence[tuple[Any, int]]) -> bool:
    return any(shape is None or None in shape for shape, _ in types)


def _tensor_type(proto: Any) -> tuple[Any, int]:
    """(shape with None for unknown sizes, element type) of an inferred type."""
    if proto is None or not proto.HasField("tensor_type"):
        return None, 0
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return None, tensor.elem_type
    dims = (dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in tensor.shape.dim)
    return tuple(dims), tensor.elem_type


def _runner(node: Node, opsets: Mapping[str, int]) -> Any:
    from onnx.reference import ReferenceEvaluator

    onnx = import_onnx()
    ends = [[onnx.ValueInfoProto(name=name) for name in names if name] for names in (node.inputs, node.outputs)]
    return ReferenceEvaluator(onnx.helper.make_graph([node.proto], "node", *ends), opsets=dict(opsets))
