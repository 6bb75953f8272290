"""A model as a YAML file and back, without loss: every tensor and every op written out, for people to read and edit.

    name: tiny
    symbols: [batch, tokens]
    tensors:
      x: {shape: [batch, tokens, 512], dtype: bf16, kind: input}
      w: {shape: [512, 512], dtype: bf16, kind: weight}
      y: {shape: [batch, tokens, 512], dtype: bf16}
    ops:
      - {name: projection, kind: linear, inputs: [x, w], outputs: [y]}

A file with `phases: {prefill: {...}, decode: {...}}` holds a graph each; without, its one graph is the phase `forward`.
Optional for the model: source, precision, parameters, max_context, facts, notes. An op may have attributes, repeat and
block; an attribute that is a size is written `{size: 2*tokens}`; a tensor may have kind (else activation) and copies.

May import: errors, whole_files, sizes, precisions, types, yaml_strict. To add a field: a line in a `_KEYS`, in the
reader below and in graph_text.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from perfmodel.errors import GraphError, nearest_names
from perfmodel.graphs.checks import Keys, graph_findings
from perfmodel.graphs.graph_text import dump_graph
from perfmodel.precisions import PRECISIONS, SCHEMES, Scheme
from perfmodel.sizes import Dim, parse_size, product
from perfmodel.types import PHASES, Graph, Model, Op, Tensor, TensorKind
from perfmodel.whole_files import write_whole
from perfmodel.yaml_strict import Document, describe, parse_yaml, read_list, read_text, read_yaml, unknown_key

__all__ = ["dump_graph", "parse_graph", "read_graph_file", "write_graph_file"]

_MODEL_KEYS = ("name", "source", "precision", "parameters", "max_context", "facts", "notes")
_GRAPH_KEYS = ("symbols", "tensors", "ops")
_TENSOR_KEYS = ("shape", "dtype", "kind", "copies")
_OP_KEYS = ("name", "kind", "inputs", "outputs", "attributes", "repeat", "block")
_DEFAULT_PRECISION = "fp32"


def read_graph_file(path: str | Path) -> Model:
    """Read a model from a graph file.

    Raises:
        SpecError: all mistakes of the file at once, with line and key.
    """
    return _read_model(read_yaml(path))


def parse_graph(text: str, path: str | Path = "<text>") -> Model:
    """As `read_graph_file`, of a text at hand; `path` is for messages.

    Raises:
        SpecError: all mistakes at once.
    """
    return _read_model(parse_yaml(text, path))


def write_graph_file(model: Model, path: str | Path) -> None:
    """Write a model so that `read_graph_file` gives it back; the file is replaced only when it is complete.

    Raises:
        GraphError: an attribute or a fact that YAML cannot say. InputError: the file cannot be written.
    """
    write_whole(path, dump_graph(model))


def _read_model(document: Document) -> Model:
    data = document.data
    if data is None:
        document.refuse()
    several = isinstance(data, dict) and "phases" in data
    own_keys = ("phases",) if several else _GRAPH_KEYS
    fields = _section(
        document, data, (), (*_MODEL_KEYS, *own_keys), ("name", *(own_keys if several else _GRAPH_KEYS[1:]))
    )
    name = read_text(document, fields["name"], "name") if "name" in fields else ""
    source = _free_text(document, fields, (), "source", document.path)
    if several:
        phases = _read_phases(document, fields.get("phases"), name, source)
    else:
        phases = {"forward": _read_graph(document, fields, (), name, source, ())}
    precision = fields.get("precision")
    if precision is not None and precision not in PRECISIONS:
        nearest = nearest_names(str(precision), SCHEMES, 1)
        meant = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(SCHEMES)}"
        document.report(f"unknown precision {describe(precision)}; {meant}", "precision")
    model_facts = fields.get("facts", {})
    if not isinstance(model_facts, dict):
        document.report(f"must be a section with keys of its own, not {describe(model_facts)}", "facts")
    parameters = _count(document, fields, (), "parameters", -1, least=0)
    max_context = _count(document, fields, (), "max_context", 0, least=0)
    notes = read_list(document, fields["notes"], "notes") if "notes" in fields else ()
    document.refuse()
    return Model(
        name=name,
        phases=phases,
        parameters=parameters if parameters >= 0 else count_parameters(phases),
        precision=str(precision) if precision is not None else dominant_precision(phases),
        source=source,
        max_context=max_context,
        facts=model_facts,
        notes=notes,
    )


def _read_phases(document: Document, raw: Any, name: str, source: str) -> dict[str, Graph]:
    phases: dict[str, Graph] = {}
    known = ("name", "source", "notes", *_GRAPH_KEYS)
    for phase, value in _section(document, raw, ("phases",), PHASES).items():
        place = ("phases", phase)
        fields = _section(document, value, place, known, _GRAPH_KEYS[1:])
        own_name = read_text(document, fields["name"], *place, "name") if "name" in fields else name
        own_source = _free_text(document, fields, place, "source", source)
        notes = read_list(document, fields["notes"], *place, "notes") if "notes" in fields else ()
        phases[phase] = _read_graph(document, fields, place, own_name, own_source, notes)
    if not phases and isinstance(raw, dict):
        document.report(f"needs at least one of {', '.join(PHASES)}", "phases")
    if "decode" in phases and "prefill" not in phases:
        document.report("a model with the phase decode needs the phase prefill too", "phases")
    _compare_weights(document, phases)
    return phases


def _compare_weights(document: Document, phases: Mapping[str, Graph]) -> None:
    """A weight of the same name is the same weight in every phase."""
    first: dict[str, tuple[str, Tensor]] = {}
    for phase, graph in phases.items():
        for tensor in graph.tensors.values():
            other, known = first.setdefault(tensor.name, (phase, tensor))
            if "weight" in (tensor.kind, known.kind) and tensor != known:
                message = f"'{tensor.name}' is another tensor in the phase {other}; a weight is the same in all phases"
                document.report(message, "phases", phase, "tensors", tensor.name)


def _read_graph(
    document: Document, fields: Mapping[str, Any], place: Keys, name: str, source: str, notes: tuple[str, ...]
) -> Graph:
    """The graph as far as it can be read; everything wrong with it is reported."""
    raw_tensors, raw_ops = fields.get("tensors", {}), fields.get("ops", [])
    readable = fields.keys() >= {"tensors", "ops"} and isinstance(raw_tensors, dict) and isinstance(raw_ops, list)
    if not isinstance(raw_tensors, dict):
        document.report(f"must be a section with a key for each tensor, not {describe(raw_tensors)}", *place, "tensors")
        raw_tensors = {}
    if not isinstance(raw_ops, list):
        document.report(f"must be a list of ops (lines with '- '), not {describe(raw_ops)}", *place, "ops")
        raw_ops = []
    symbols = read_list(document, fields["symbols"], *place, "symbols") if "symbols" in fields else ()
    known = len(document.problems)
    graph = Graph(
        name=name,
        ops=tuple(_read_op(document, raw, (*place, "ops", index)) for index, raw in enumerate(raw_ops)),
        tensors={key: _read_tensor(document, key, raw, (*place, "tensors", key)) for key, raw in raw_tensors.items()},
        symbols=symbols,
        source=source,
        notes=notes,
    )
    unread = {problem.key for problem in document.problems[known:]}
    for finding in graph_findings(graph) if readable else ():
        keys = (*place, *finding.keys)
        if ".".join(map(str, keys)) not in unread:
            document.report(finding.message, *keys)
    return graph


def _read_tensor(document: Document, name: str, raw: Any, place: Keys) -> Tensor:
    fields = _section(document, raw, place, _TENSOR_KEYS, ("shape", "dtype"))
    shape = fields.get("shape", [])
    if not isinstance(shape, list):
        document.report(f"must be a list of sizes like [batch, tokens, 512], not {describe(shape)}", *place, "shape")
        shape = []
    return Tensor(
        name=name,
        shape=tuple(_read_dim(document, dim, (*place, "shape", index)) for index, dim in enumerate(shape)),
        dtype=read_text(document, fields["dtype"], *place, "dtype") if "dtype" in fields else "fp32",
        kind=cast(TensorKind, read_text(document, fields.get("kind", "activation"), *place, "kind")),
        copies=_count(document, fields, place, "copies", 1),
    )


def _read_op(document: Document, raw: Any, place: Keys) -> Op:
    fields = _section(document, raw, place, _OP_KEYS, ("name", "kind", "inputs", "outputs"))
    name, kind = (read_text(document, fields[key], *place, key) if key in fields else "" for key in ("name", "kind"))
    inputs, outputs = (
        read_list(document, fields[key], *place, key) if key in fields else () for key in ("inputs", "outputs")
    )
    attributes = fields.get("attributes", {})
    if not isinstance(attributes, dict):
        document.report(f"must be a section with keys of its own, not {describe(attributes)}", *place, "attributes")
        attributes = {}
    return Op(
        name=name or f"ops.{place[-1]}",
        kind=kind,
        inputs=inputs,
        outputs=outputs,
        attributes={
            key: _read_attribute(document, value, (*place, "attributes", key)) for key, value in attributes.items()
        },
        repeat=_count(document, fields, place, "repeat", 1),
        block=_free_text(document, fields, place, "block", ""),
    )


def _read_attribute(document: Document, raw: Any, place: Keys) -> Any:
    if isinstance(raw, dict) and raw.keys() == {"size"}:
        return _read_dim(document, raw["size"], (*place, "size"))
    return raw


def _read_dim(document: Document, raw: Any, place: Keys) -> Dim:
    """A size; 1 and a report where it is none."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if not isinstance(raw, str):
        document.report(f"{describe(raw)} is no size; write a whole number or e.g. 2*tokens", *place)
        return 1
    try:
        return parse_size(raw)
    except GraphError as error:
        document.report(str(error), *place)
        return 1


def _section(
    document: Document, raw: Any, place: Keys, known: tuple[str, ...], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A mapping with some of the known keys; keys that are unknown, missing or empty are reported."""
    if not isinstance(raw, dict):
        document.report(f"must be a section with keys ({', '.join(known)}), not {describe(raw)}", *place)
        return {}
    for key, value in raw.items():
        if key not in known:
            document.report(unknown_key(key, known), *place, key)
        elif value is None:
            document.report("is empty; give it a value or leave it out", *place, key)
    for key in required:
        if key not in raw:
            document.report("is missing", *place, key)
    return {key: value for key, value in raw.items() if key in known and value is not None}


def _free_text(document: Document, fields: Mapping[str, Any], place: Keys, key: str, default: str) -> str:
    """Text that may be empty."""
    value = fields.get(key, default)
    return value if isinstance(value, str) else read_text(document, value, *place, key)


def _count(
    document: Document, fields: Mapping[str, Any], place: Keys, key: str, default: int, *, least: int | None = None
) -> int:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        document.report(f"must be a whole number, not {describe(value)}", *place, key)
        return 1
    if least is not None and key in fields and value < least:
        document.report(f"must be at least {least}, is {value}", *place, key)
    return value


def count_parameters(phases: Mapping[str, Graph]) -> int:
    """Elements of all distinct weights: the sum of elements times copies, each name once."""
    return sum(int(str(product(tensor.shape))) * tensor.copies for tensor in _weights(phases).values())


def dominant_precision(phases: Mapping[str, Graph]) -> str:
    """The precision whose weight format (and compute dtype, if several share the format) most parameters have."""
    sizes: dict[tuple[str, str], int] = {}
    for graph in phases.values():
        for op in graph.ops:
            for name in op.inputs:
                tensor = graph.tensors[name]
                if tensor.kind == "weight":
                    compute = str(op.attributes.get("compute", graph.tensors[op.inputs[0]].dtype))
                    key = (tensor.dtype, compute)
                    sizes[key] = sizes.get(key, 0) + int(str(product(tensor.shape))) * tensor.copies
    weight, compute = max(sizes, key=lambda key: sizes[key]) if sizes else ("", "")

    def likeness(scheme: Scheme) -> tuple[bool, bool]:
        return (scheme.weight == weight, scheme.compute == compute)

    best = max(SCHEMES.values(), key=likeness)
    return best.name if any(likeness(best)) else _DEFAULT_PRECISION


def _weights(phases: Mapping[str, Graph]) -> dict[str, Tensor]:
    tensors = (tensor for graph in phases.values() for tensor in graph.tensors.values())
    return {tensor.name: tensor for tensor in tensors if tensor.kind == "weight"}
