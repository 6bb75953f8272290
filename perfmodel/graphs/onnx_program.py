"""An ONNX file -> `Program`: nodes, constants and inputs as plain values, checked; weights are never loaded.

Values are read only of small constants that lie in the file itself (shapes, axes, scalars), so a model whose external
weights file is elsewhere is read like any other. Local functions are inlined.

May import: errors. onnx is imported when a function is called.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from perfmodel.errors import ModelError
from perfmodel.outside_files import MAX_MODEL_BYTES, read_bytes

Shape: TypeAlias = tuple[int, ...]
DeclaredShape: TypeAlias = tuple[int | str, ...]  # a name, or "", for a dimension without number

# element types of ONNX (TensorProto.DataType) -> storage formats; 8-bit activations have no scales of their own
FORMATS = {
    1: "fp32", 2: "uint8", 3: "uint8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "fp16",
    11: "fp64", 12: "int32", 13: "int64", 14: "complex64", 15: "complex64", 16: "bf16", 17: "fp8", 18: "fp8",
    19: "fp8", 20: "fp8", 21: "int4", 22: "int4", 23: "mxfp4", 24: "uint8", 25: "int2_g128", 26: "int2_g128",
}  # fmt: skip
_BITS = {4: (21, 22, 23), 2: (25, 26), 8: (2, 3, 9, 17, 18, 19, 20, 24), 16: (4, 5, 10, 16), 32: (1, 6, 12),
         64: (7, 11, 13, 14), 128: (15,)}  # fmt: skip
BITS = {element: bits for bits, elements in _BITS.items() for element in elements}
FLOATING = (1, 10, 11, 16, 17, 18, 19, 20, 23)
STANDARD_DOMAINS = ("", "ai.onnx")
# ops of onnxruntime that differ from those of the operator set in nothing that costs
_MICROSOFT = "com.microsoft"
_WITH_ACTIVATION = {
    "FusedConv": "Conv", "FusedGemm": "Gemm", "QuantizeLinear": "QuantizeLinear",
    "DequantizeLinear": "DequantizeLinear",
}  # fmt: skip
_READ_ELEMENTS = 1 << 20  # whole numbers of constants up to this size are read
_READ_FLOATS = 16
_MAX_RANK = 64
MAX_NODES = 200_000  # once functions are written out; exports of the largest models have some ten thousand
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. `outputs` and `inputs` may hold "" for those left out.

    Args:
        op: "Conv", or with its domain "com.microsoft.FusedMatMul".
        is_module: `name` is that of the module it was exported from, which may have other nodes as well.
        attributes: plain values; tensors as `Constant`, subgraphs as they stand in the file.
        proto: the node in the file; None for one that a rewrite made.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    is_module: bool = False
    proto: Any = None

    def input(self, index: int) -> str:
        """The name of an input; "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """An initializer; `data` is a numpy array for small ones, None for weights."""

    name: str
    shape: Shape
    element: int
    data: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the file says of a tensor: an input, or one between nodes. `shape` is None if it has none."""

    name: str
    shape: DeclaredShape | None
    element: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The main graph of a file.

    Args:
        declared: shapes that the file states of tensors between nodes.
        opsets: versions by domain. producer: who wrote the file.
    """

    source: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    inputs: tuple[Declared, ...]
    outputs: tuple[str, ...]
    declared: Mapping[str, Declared]
    opsets: Mapping[str, int]
    producer: str = ""


def import_onnx() -> Any:
    """The onnx library.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ModelError(
            "reading .onnx files needs the onnx package: pip install 'perfmodel[onnx]' (or pip install onnx)"
        ) from None
    return onnx


def read_program(path: Path) -> Program:
    """Read a file.

    Raises:
        ModelError: not an ONNX model, or one that contradicts itself: all mistakes, one on each line.
    """
    model = _parse(import_onnx(), path)
    try:
        return _read(path, model)
    except ModelError as error:
        raise error if str(path) in str(error) else ModelError(f"{path}: {error}") from None
    except Exception as error:  # fields that are not what they should be, such as names that are no text
        raise ModelError(
            f"{path}: the file is damaged ({type(error).__name__}: {error}); export or download it again"
        ) from None


def _read(path: Path, model: Any) -> Program:
    problems = [*_missing_parts(model)] or [*_constant_problems(model.graph), *_graph_problems(model)]
    if problems:
        shown = problems[:_SHOWN] + ([f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])
        raise ModelError("\n".join(f"{path}: {problem}" for problem in shown))
    if model.functions:
        model = _inlined(model, path)
    opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
    constants = {tensor.name: read_constant(tensor) for tensor in model.graph.initializer}
    return Program(
        source=str(path),
        nodes=read_nodes(model.graph, opsets),
        constants=constants,
        inputs=tuple(_declared(value) for value in model.graph.input if value.name not in constants),
        outputs=tuple(value.name for value in model.graph.output),
        declared={value.name: _declared(value) for value in (*model.graph.value_info, *model.graph.output)},
        opsets=opsets,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
    )


def read_nodes(graph: Any, opsets: Mapping[str, int]) -> tuple[Node, ...]:
    """The nodes of a graph or subgraph."""
    return tuple(_read_node(node, index, opsets) for index, node in enumerate(graph.node))


def _parse(onnx: Any, path: Path) -> Any:
    try:
        content = read_bytes(path, MAX_MODEL_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot read it: {error.strerror or error}") from None
    if not content:
        raise ModelError(f"{path}: the file is empty; export or download the model again")
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception:  # protobuf's own errors differ between its versions
        raise ModelError(
            f"{path}: not an ONNX model, or cut off: its {len(content)} bytes cannot be read as one; export or "
            "download it again"
        ) from None
    return model


def _missing_parts(model: Any) -> Iterator[str]:
    if not model.ir_version or not model.opset_import:
        yield "not an ONNX model: it does not say its IR version and operator set"
    elif not model.graph.node:
        yield "the model has no nodes; was the export interrupted?"
    elif not model.graph.output:
        yield "the model has no outputs, so nothing in it has to be computed"


def _constant_problems(graph: Any) -> Iterator[str]:
    for tensor in graph.initializer:
        if tensor.data_type not in BITS:
            kind = "text" if tensor.data_type == 8 else f"of the unknown element type {tensor.data_type}"
            yield f"initializer '{tensor.name}' is {kind}, which has no storage format"
        elif any(size < 0 for size in tensor.dims) or len(tensor.dims) > _MAX_RANK:
            yield f"initializer '{tensor.name}' has an impossible shape {list(tensor.dims)[:8]}"
        elif tensor.raw_data and len(tensor.raw_data) * 8 < prod(tensor.dims) * BITS[tensor.data_type] - 7:
            wanted = -(-prod(tensor.dims) * BITS[tensor.data_type] // 8)
            yield f"initializer '{tensor.name}' needs {wanted} bytes and has {len(tensor.raw_data)}: it is cut off"
    if graph.sparse_initializer:
        yield f"sparse initializers (first: '{graph.sparse_initializer[0].values.name}') are not understood"


def _graph_problems(model: Any) -> Iterator[str]:
    """Names that are made twice, or used and never made; the nodes must stand in execution order."""
    graph = model.graph
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    later = {name for node in graph.node for name in node.output}
    for index, node in enumerate(graph.node):
        label = f"node '{node.name or index}' ({node.op_type})"
        for name in node.input:
            if name and name not in made:
                why = "which a later node makes: nodes must stand in execution order" if name in later else (
                    "which nothing in the file makes"
                )  # fmt: skip
                yield f"{label} reads '{name}', {why}"
        for name in node.output:
            if name and name in made:
                yield f"{label} writes '{name}', which is there already"
        made.update(name for name in node.output if name)
    for value in graph.output:
        if value.name not in made:
            yield f"the output '{value.name}' is made by no node"


def _inlined(model: Any, path: Path) -> Any:
    from onnx.inliner import inline_local_functions

    _check_functions(model, path)
    try:
        return inline_local_functions(model)
    except Exception as error:  # of the C++ library
        raise ModelError(f"{path}: its functions cannot be inlined: {error}") from None


def _check_functions(model: Any, path: Path) -> None:
    """
    Raises:
        ModelError: functions that call each other in a circle, or that few lines of make very many nodes.
    """
    called = {
        (own.domain, own.name): Counter((node.domain, node.op_type) for node in own.node) for own in model.functions
    }
    nodes: dict[tuple[str, str], int] = {}
    while len(nodes) < len(called):
        ready = [
            name
            for name, inner in called.items()
            if name not in nodes and all(own in nodes for own in inner.keys() & called)
        ]
        if not ready:
            circle = ", ".join(name[1] for name in called if name not in nodes)
            raise ModelError(f"{path}: its functions call each other in a circle: {circle[:200]}")
        for name in ready:
            nodes[name] = sum(times * nodes.get(own, 1) for own, times in called[name].items())
    total = sum(nodes.get((node.domain, node.op_type), 1) for node in model.graph.node)
    if total > MAX_NODES:
        raise ModelError(f"{path}: its functions stand for {total:,} nodes, more than {MAX_NODES:,}")


def _domain(domain: str) -> str:
    return "" if domain in STANDARD_DOMAINS else domain


def _read_node(node: Any, index: int, opsets: Mapping[str, int]) -> Node:
    domain = _domain(node.domain)
    if domain == _MICROSOFT and node.op_type in _WITH_ACTIVATION:
        node, domain = _standard(node), ""
    module = _module(node)
    return Node(
        name=module or node.name.strip("/").replace("/", ".") or f"{node.op_type}_{index}",
        op=f"{domain}.{node.op_type}" if domain else node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={attribute.name: _attribute(attribute) for attribute in node.attribute},
        version=opsets.get(domain, 1),
        is_module=bool(module),
        proto=node,
    )


def _standard(node: Any) -> Any:
    """The node as the operator set's own; an activation fused into it costs nothing."""
    renamed = type(node)()
    renamed.CopyFrom(node)
    del renamed.attribute[:]
    renamed.attribute.extend(entry for entry in node.attribute if not entry.name.startswith("activation"))
    renamed.op_type, renamed.domain = _WITH_ACTIVATION[node.op_type], ""
    return renamed


def _module(node: Any) -> str:
    """The module that torch's exporter wrote the node for, as far as it says so."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "")
    try:
        modules = [str(name) for name in ast.literal_eval(scopes)][:-1] if scopes else []
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ""
    return modules[-1] if modules else ""


def _attribute(attribute: Any) -> Any:
    """A plain value."""
    readers: dict[int, Callable[[], Any]] = {
        1: lambda: attribute.f,
        2: lambda: attribute.i,
        3: lambda: attribute.s.decode("utf-8", "replace"),
        4: lambda: read_constant(attribute.t),
        5: lambda: attribute.g,
        6: lambda: list(attribute.floats),
        7: lambda: list(attribute.ints),
        8: lambda: [text.decode("utf-8", "replace") for text in attribute.strings],
    }
    return readers[attribute.type]() if attribute.type in readers else None


def read_constant(tensor: Any) -> Constant:
    """Shape and dtype of a tensor in the file, and its values if it is small."""
    shape = tuple(tensor.dims)
    few = prod(shape) <= (_READ_FLOATS if tensor.data_type in FLOATING else _READ_ELEMENTS)
    data = _values(tensor) if few and tensor.data_location != 1 and tensor.data_type in BITS else None
    return Constant(name=tensor.name, shape=shape, element=tensor.data_type, data=data)


def _values(tensor: Any) -> Any:
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # too little data, in one of several ways
        raise ModelError(f"tensor '{tensor.name}' cannot be read: {error}") from None


def _declared(value: Any) -> Declared:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.dim_value > 0 else dim.dim_param for dim in tensor.shape.dim)
    return Declared(name=value.name, shape=shape if tensor.HasField("shape") else None, element=tensor.elem_type)
