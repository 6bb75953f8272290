"""An ONNX file -> Model with one phase, "forward".

The file's graph is walked at several sizes (onnx_trace), the sizes become symbols (symbolic), and repeated blocks are
folded (folding), as for a torch module. Weights are not read, and need not be there.

May import: errors, checks, folding, graph_file, onnx_inputs, onnx_program, onnx_trace, symbolic, types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from perfmodel.errors import GraphError, ModelError, some_names
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.folding import fold_repeats
from perfmodel.graphs.graph_file import dominant_precision
from perfmodel.graphs.onnx_inputs import choose_sizes
from perfmodel.graphs.onnx_program import FLOATING, Program, read_program
from perfmodel.graphs.onnx_trace import trace_program
from perfmodel.graphs.symbolic import trace_symbolic
from perfmodel.outside_files import open_file
from perfmodel.types import Graph, Model

_BUFFERS = {"BatchNormalization": (3, 4)}  # running statistics, which torch does not count as parameters


def is_onnx_file(path: Path) -> bool:
    """Whether a file is one by its suffix or, where that says nothing, by how it begins: an IR version of one byte,
    then the producer's name, a domain or the version of the operator set."""
    if path.suffix.lower() == ".onnx":
        return True
    try:
        with open_file(path) as file:
            start = file.read(3)
    except OSError:
        return False
    return len(start) == 3 and start[0] == 0x08 and 3 <= start[1] < 0x20 and start[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)


def read_onnx_file(path: str | Path, *, image_size: int = 0) -> Model:
    """Read a model.

    Args:
        image_size: pixels of an image's side, where the file leaves it open.

    Raises:
        ModelError: onnx is not installed; the file cannot be read, contradicts itself, leaves sizes open or depends on
            values.
    """
    program = read_program(Path(path))
    sizes = choose_sizes(program, image_size)
    name = Path(path).stem
    weights: dict[str, int] = {}
    runners: dict[str, Any] = {}

    def run(values: Mapping[str, int]) -> Graph:
        traced = trace_program(program, sizes.at(values), sizes.named(values), name, runners)
        weights.update(traced.weights)
        return traced.graph

    try:
        graph = fold_repeats(trace_symbolic(run, sizes.ranges))
        if not graph.ops:
            raise ModelError(f"{path}: nothing in the model is computed from its inputs")
        check_graph(graph)
    except GraphError as error:  # sizes beyond all sense
        raise ModelError(f"{path}: {error}") from None
    notes = (*graph.notes, *sizes.notes, *_unused(program))
    graph = replace(graph, notes=notes)
    buffers = {
        constant for node in program.nodes for place in _BUFFERS.get(node.op, ()) if (constant := node.input(place))
    }
    facts: dict[str, Any] = {
        "buffer_elements": sum(elements for constant, elements in weights.items() if constant in buffers),
        "example_sizes": {symbol: sizes.ranges[symbol].example for symbol in graph.symbols},
        **({"image_size": sizes.image_size} if sizes.image_size else {}),
        **({"producer": program.producer} if program.producer else {}),
    }
    return Model(
        name=name,
        phases={"forward": graph},
        parameters=sum(elements for constant, elements in weights.items() if constant not in buffers),
        precision=dominant_precision({"forward": graph}),
        source=str(path),
        facts=facts,
        notes=notes,
    )


def _unused(program: Program) -> Iterator[str]:
    read = {name for node in program.nodes for name in node.inputs} | {*program.outputs}
    unused = [
        constant
        for constant in program.constants.values()
        if constant.element in FLOATING and constant.name not in read and prod(constant.shape) > 1
    ]
    if unused:
        elements = sum(prod(constant.shape) for constant in unused)
        named = some_names([each.name for each in unused], 1)
        yield f"{elements} parameters take no part in the forward pass ({named})"
