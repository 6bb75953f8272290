"""One walk through an ONNX program at given input sizes, written down as a Graph with those sizes.

Shapes are found (onnx_shapes), patterns put together (onnx_fusion), what nothing reads is dropped, and each node
becomes ops (onnx_table) that the recorder of the torch front-end names and connects. What follows from constants alone
is a constant, as runtimes compute it once when they load the model.

May import: errors, torch_recorder, types, and the files named above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.onnx_fusion import fuse_nodes
from perfmodel.graphs.onnx_program import FORMATS, Node, Program
from perfmodel.graphs.onnx_quantized import Stored, stored_weights
from perfmodel.graphs.onnx_shapes import Level, Shaped, Value, shape_program
from perfmodel.graphs.onnx_table import VIEWS, step
from perfmodel.graphs.onnx_use import Step, Use
from perfmodel.graphs.strided import DTYPES, StridedTensor, contiguous
from perfmodel.graphs.torch_recorder import Recorder, storage_key
from perfmodel.types import Graph

_NOTHING = (0,)  # the shape of an output that is left out


@dataclass(frozen=True, slots=True)
class Traced:
    """A graph, and the constants of the file that its ops read as weights: name -> elements."""

    graph: Graph
    weights: Mapping[str, int]


def trace_program(
    program: Program,
    shapes: Mapping[str, tuple[int, ...]],
    named: Mapping[str, int],
    name: str,
    runners: dict[str, Any],
) -> Traced:
    """The program at given sizes; arguments as `shape_program`.

    Raises:
        ModelError: it does not run at these sizes, or a shape depends on values.
    """
    shaped = shape_program(program, shapes, named, runners)
    nodes = _live(fuse_nodes(shaped.nodes, shaped.values), shaped.values, program.outputs)
    run = _Run(program, shaped, stored_weights(nodes, shaped.values))
    run.reserve(nodes)
    for declared in program.inputs:
        tensor = contiguous(shapes[declared.name], DTYPES[FORMATS[declared.element]])
        run.tensors[declared.name] = tensor
        if tensor.numel():
            run.recorder.add_input(declared.name, tensor)
    for node in nodes:
        run.add(node)
    recorder = run.recorder
    notes = (*shaped.notes, *recorder.notes)
    graph = Graph(name=name, ops=tuple(recorder.ops), tensors=recorder.tensors, source=program.source, notes=notes)
    used = {root for constant in recorder.used for root in run.roots.get(constant, ())}
    return Traced(graph, {root: prod(run.stored_shape(root)) for root in sorted(used)})


def _live(nodes: Sequence[Node], values: Mapping[str, Value], outputs: Sequence[str]) -> list[Node]:
    """The nodes whose results are read, if only by nodes that compute something; numbers are the host's work."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in needed and not values[name].is_number for name in node.outputs if name):
            kept.append(node)
            needed.update(name for name in node.inputs if name and not values[name].is_number)
    return kept[::-1]


@dataclass
class _Run:
    """The tensors of one walk.

    Args:
        roots: constant of the graph -> constants of the file that it is made of.
    """

    program: Program
    shaped: Shaped
    stored: Mapping[str, Stored]
    recorder: Recorder = field(default_factory=lambda: Recorder({}))
    tensors: dict[str, StridedTensor] = field(default_factory=dict)
    roots: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def reserve(self, nodes: Sequence[Node]) -> None:
        """Constants keep their names; ops that are called like them get others."""
        read = {name for node in nodes for name in node.inputs if name}
        self.recorder.reserve(name for name in read if self.shaped.values[name].level < Level.DATA)

    def stored_shape(self, name: str) -> tuple[int, ...]:
        return self.stored[name].shape if name in self.stored else self.shaped.values[name].shape

    def add(self, node: Node) -> None:
        """Record what a node computes.

        Raises:
            ModelError: its attributes or inputs do not fit what its op is defined as.
        """
        try:
            found = self._constants(node) or step(self._use(node))
            self._record(node, found)
        except ModelError:
            raise
        except Exception as error:  # a file may hold anything: missing attributes, shapes that do not fit
            shapes = ", ".join(str(list(self.shaped.values[name].shape)) if name else "-" for name in node.inputs)
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(
                f"{self.program.source}: node '{node.name}' ({node.op}) over inputs of the shapes {shapes} is not as "
                f"its op is defined ({reason})"
            ) from None

    def _record(self, node: Node, found: Step) -> None:
        self.recorder.path, self.recorder.is_layer = node.name, not node.is_module
        for meaning in found.meanings:
            if any(operand.tensor.numel() for operand in meaning.outputs):
                self.recorder.add_op(meaning)
        for name, tensor in zip(node.outputs, found.outputs, strict=False):
            if name and tensor.shape != self.shaped.values[name].shape:
                raise ValueError(f"it makes {list(tensor.shape)}, not {list(self.shaped.values[name].shape)}")
            self.tensors[name] = tensor

    def _use(self, node: Node) -> Use:
        values = self.shaped.values
        return Use(
            node=node,
            inputs=tuple(self._tensor(name) if name else None for name in node.inputs),
            data=tuple(values[name].data if name else None for name in node.inputs),
            outputs=tuple(self._output(name) for name in node.outputs),
            is_weight=self.recorder.is_weight,
        )

    def _output(self, name: str) -> StridedTensor:
        value = self.shaped.values.get(name)
        return contiguous(value.shape, self._dtype(value)) if value else contiguous(_NOTHING, DTYPES["fp32"])

    def _dtype(self, value: Value) -> Any:
        return DTYPES[FORMATS.get(value.element, "uint8")]

    def _tensor(self, name: str) -> StridedTensor:
        """A tensor by name; constants and numbers come into being when they are first read."""
        if name not in self.tensors:
            self.tensors[name] = self._constant(name, (name,))
        return self.tensors[name]

    def _constant(self, name: str, roots: tuple[str, ...]) -> StridedTensor:
        value, stored = self.shaped.values[name], self.stored.get(name)
        shape = stored.shape if stored else value.shape
        tensor = contiguous(shape, DTYPES[stored.format] if stored else self._dtype(value))
        if prod(shape) > 1 or stored:
            kind: Any = "weight" if stored or value.is_weight else "input"
            self.recorder.add_constant(name, tensor, kind)
            self.roots[name] = roots if kind == "weight" else ()
        return tensor

    def _constants(self, node: Node) -> Step | None:
        """The step of a node over constants alone, unless it is a view: they are computed when the model is loaded.
        What has as many elements as a weight is that weight, cast or scaled."""
        first = next((name for name in node.outputs if name), "")
        if self.shaped.values[first].level > Level.CONSTANT or node.op in (*VIEWS, "DequantizeLinear"):
            return None
        weights = [name for name in node.inputs if name and self.shaped.values[name].is_weight]
        roots = tuple(dict.fromkeys(root for name in weights for root in self._roots(name)))
        outputs = []
        for name in node.outputs:
            value = self.shaped.values.get(name)
            source = next(
                (each for each in weights if value and prod(self.shaped.values[each].shape) == prod(value.shape)), ""
            )
            if value is None:
                outputs.append(self._output(name))
            elif source:
                tensor = contiguous(value.shape, self._dtype(value))
                outputs.append(StridedTensor(tensor.shape, tensor.strides, tensor.dtype, self._tensor(source).storage))
            else:
                outputs.append(self._constant(name, roots or (name,)))
        return Step((), tuple(outputs))

    def _roots(self, name: str) -> tuple[str, ...]:
        key = storage_key(self._tensor(name))
        parts = self.recorder.constants.get(key, [])
        return tuple(root for part in parts for root in self.roots.get(part.name, ()))
