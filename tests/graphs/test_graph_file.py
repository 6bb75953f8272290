"""A model written as YAML is the same model when it is read back, and every mistake in a file is found at once."""

from pathlib import Path
from typing import Any

import pytest
from builders import chain, graph, w, x, y
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel
from perfmodel.errors import GraphError, InputError, SpecError
from perfmodel.graphs import load_model
from perfmodel.graphs.graph_file import dump_graph, parse_graph, read_graph_file, write_graph_file
from perfmodel.precisions import FORMATS, PRECISIONS
from perfmodel.sizes import Dim, size
from perfmodel.types import Graph, Model, Op, Tensor

TINY = """
name: tiny
symbols: [batch, tokens]
tensors:
  x: {shape: [batch, tokens, 512], dtype: bf16, kind: input}
  w: {shape: [256, 512], dtype: bf16, kind: weight, copies: 3}
  y: {shape: [batch, tokens, 256], dtype: bf16}
ops:
  - {name: projection, kind: linear, inputs: [x, w], outputs: [y], repeat: 3, block: layer}
"""

# ------------------------------------------------------------------------------------- random models

SYMBOLS = ("batch", "tokens", "context")
texts = st.text(max_size=12) | st.sampled_from(
    ["yes", "null", "True", "1e9", "0x1f", "12:30", "- a", "a: b", "#1", "~"]
)
names = texts.map(str.strip).filter(bool)
dims = st.one_of(
    st.integers(1, 2**53),
    st.sampled_from([size(name) for name in SYMBOLS]),
    st.builds(lambda a, b, c, d: (size(a) * b + size(c)) // d, *[st.sampled_from(SYMBOLS), st.integers(1, 9)] * 2),
)
plain = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | texts
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2), max_leaves=5
).filter(lambda value: not (isinstance(value, dict) and value.keys() == {"size"}))
attributes = st.dictionaries(names, values | dims, max_size=3)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Ops that read what is there already and write tensors of their own."""
    tensors: dict[str, Tensor] = {}

    def add(kind: str) -> str:
        name = draw(names.filter(lambda name: name not in tensors))
        shape: list[Dim] = draw(st.lists(st.integers(1, 99) if kind == "weight" else dims, max_size=3))
        dtype, copies = draw(st.sampled_from(sorted(FORMATS))), draw(st.integers(1, 99))
        tensors[name] = Tensor(name=name, shape=tuple(shape), dtype=dtype, kind=kind, copies=copies)  # type: ignore[arg-type]
        return name

    for kind in draw(st.lists(st.sampled_from(["input", "weight", "cache"]), max_size=4)):
        add(kind)
    ops = []
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        there = sorted(tensors)
        ops.append(
            Op(
                name=name,
                kind=draw(names),
                inputs=tuple(draw(st.lists(st.sampled_from(there), max_size=3)) if there else ()),
                outputs=tuple(add("activation") for _ in range(draw(st.integers(0, 2)))),
                attributes=draw(attributes),
                repeat=draw(st.integers(1, 99)),
                block=draw(texts),
            )
        )
    notes = tuple(draw(st.lists(names, max_size=2)))
    return Graph(name=draw(names), ops=tuple(ops), tensors=tensors, symbols=SYMBOLS, source=draw(texts), notes=notes)


def compatible(phases: dict[str, Graph]) -> bool:
    """A weight is the same tensor wherever its name stands."""
    seen: dict[str, Tensor] = {}
    pairs = [(seen.setdefault(own.name, own), own) for graph in phases.values() for own in graph.tensors.values()]
    return all(first == own or "weight" not in (first.kind, own.kind) for first, own in pairs)


models = st.builds(
    Model,
    name=names,
    phases=st.one_of(
        st.fixed_dictionaries({"forward": graphs()}),
        st.fixed_dictionaries({"prefill": graphs(), "decode": graphs()}).filter(compatible),
    ),
    parameters=st.integers(0, 2**53),
    precision=st.sampled_from(PRECISIONS),
    source=texts,
    max_context=st.integers(0, 2**31),
    facts=st.dictionaries(names, values, max_size=3),
    notes=st.lists(names, max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(models)
def test_reading_gives_back_what_was_written(model: Model) -> None:
    assert parse_graph(dump_graph(model)) == model


@given(graphs(), st.lists(names, max_size=1).map(tuple))
def test_one_graph_that_says_what_the_model_says_is_written_flat(graph: Graph, notes: tuple[str, ...]) -> None:
    same = Model(
        name=graph.name, phases={"forward": graph}, parameters=1, precision="bf16", source=graph.source, notes=notes
    )
    text = dump_graph(same)
    assert ("\nphases:" in text) == bool(graph.notes)
    assert parse_graph(text) == same


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "gemma-2-2b", "gpt-oss-20b", "bert-base", "vit-b-16"])
def test_catalog_models_survive_a_file(name: str, tmp_path: Path) -> None:
    model = load_model(name)
    write_graph_file(model, tmp_path / "model.yaml")
    assert load_model(str(tmp_path / "model.yaml")) == model


# --------------------------------------------------------------------------------- files written by hand


def test_a_file_written_by_hand() -> None:
    model = parse_graph(TINY, "tiny.yaml")
    only = model.phases["forward"]
    assert (model.name, model.source, model.precision, model.max_context) == ("tiny", "tiny.yaml", "bf16", 0)
    assert model.parameters == 3 * 256 * 512
    assert only.symbols == ("batch", "tokens")
    assert only.tensors["x"].shape == (size("batch"), size("tokens"), 512)
    assert only.tensors["y"].kind == "activation"
    assert (only.ops[0].repeat, only.ops[0].block, only.ops[0].attributes) == (3, "layer", {})


@pytest.mark.parametrize(
    ("dtype", "compute", "precision"),
    [
        ("fp32", "fp32", "fp32"),
        ("fp32", "tf32", "tf32"),
        ("bf16", "bf16", "bf16"),
        ("int8", "bf16", "w8a16"),
        ("int8", "int8", "int8"),
        ("int4_g128", "bf16", "w4a16"),
        ("nvfp4", "fp4", "nvfp4"),
        ("int3_g128", "bf16", "bf16"),  # no precision stores so: that of the multiplications
        ("int3_g128", "int3", "fp32"),  # nor computes so
    ],
)
def test_precision_follows_the_weights(dtype: str, compute: str, precision: str) -> None:
    text = TINY.replace("bf16, kind: weight", f"{dtype}, kind: weight")
    assert parse_graph(text.replace("repeat:", f"attributes: {{compute: {compute}}}, repeat:")).precision == precision


def test_attributes_that_are_sizes() -> None:
    text = TINY.replace("repeat: 3", "attributes: {axis_size: {size: 2*tokens}, function: tokens, list: [1, {a: 2}]}")
    assert parse_graph(text).phases["forward"].ops[0].attributes == {
        "axis_size": size("tokens") * 2,
        "function": "tokens",
        "list": [1, {"a": 2}],
    }


MISTAKES = """name: wrong
symbols: [batch, tokens, batch, 2x]
precison: bf16
precision: bf61
parameters: -3
max_context: lots
facts: [1]
tensors:
  x: {shape: [batch, tokn, 512], dtype: bf16, kind: input}
  w: {shape: [512, -1, 0], dtype: bf61, kind: weigth}
  v: {shape: [512, batch], dtype: bf16, kind: weight}
  y: {shape: [1.5, "tokens +", 9007199254740993, -batch], copies: 0}
  z: {shape: 5, dtype: bf16, copies: two, knd: 1}
  z: {shape: [4], dtype: bf16}
  a: {shape: [4], dtype: bf16}
  b: {shape: [4], dtype: bf16}
  c: {shape: [4], dtype: bf16}
  d: {shape: [4], dtype: }
ops:
  - {name: p, kind: linear, inputs: [x, u], outputs: [y], repeat: 0}
  - {name: p, kind: linear, inputs: [x, w], outputs: [y, v]}
  - {name: r, kind: pointwise, inputs: [a], outputs: [b], attribute: {}}
  - {name: s, kind: pointwise, inputs: [b], outputs: [a], repeat: 1.5}
  - {name: late, kind: pointwise, inputs: [d], outputs: [c]}
  - {name: early, kind: pointwise, inputs: [x], outputs: [d]}
  - {name: q, kind: pointwise, inputs: z, outputs: []}
  - {kind: pointwise, inputs: [z], outputs: [], attributes: {n: {size: 1.5}, m: {size: length}}}
  - 7
"""
FOUND = [
    "2: symbols.2: symbol 'batch' stands here twice",
    "2: symbols.3: '2x' cannot be a symbol",
    "3: precison: unknown key; did you mean 'precision'?",
    "4: precision: unknown precision 'bf61'; did you mean 'bf16'?",
    "5: parameters: must be at least 0, is -3",
    "6: max_context: must be a whole number, not 'lots'",
    "7: facts: must be a section",
    "9: tensors.x.shape.1: tensor 'x', dimension 1: 'tokn' is not among the symbols",
    "did you mean 'tokens'?",
    "10: tensors.w.dtype: tensor 'w' has the unknown dtype 'bf61'; did you mean 'bf16'?",
    "10: tensors.w.kind: tensor 'w': kind must be one of input, weight, activation, cache, is 'weigth'",
    "10: tensors.w.shape.1: tensor 'w', dimension 1: must be at least 1, is -1",
    "10: tensors.w.shape.2: tensor 'w', dimension 2: must be at least 1, is 0",
    "11: tensors.v.shape.1: tensor 'v', dimension 1: batch is no number",
    "12: tensors.y.dtype: is missing",
    "12: tensors.y.copies: tensor 'y': copies must be at least 1, is 0",
    "12: tensors.y.shape.0: 1.5 is no size",
    "12: tensors.y.shape.1: cannot read 'tokens +' as a size",
    "12: tensors.y.shape.2: tensor 'y', dimension 2: 9007199254740993 is larger than 2**53",
    "12: tensors.y.shape.3: tensor 'y', dimension 3: -batch is never positive",
    "13: tensors.z.shape: must be a list of sizes like [batch, tokens, 512], not 5",
    "13: tensors.z.copies: must be a whole number, not 'two'",
    "13: tensors.z.knd: unknown key; did you mean 'kind'?",
    "14: tensors.z: stands here twice (first in line 13)",
    "18: tensors.d.dtype: is empty",
    "20: ops.0.repeat: op 'p': repeat must be at least 1, is 0",
    "20: ops.0.inputs: op 'p' names the tensor 'u', which is not in the graph",
    "21: ops.1.name: two ops are called 'p'",
    "21: ops.1.outputs: op 'p' writes 'y', which op 'p' writes already",
    "21: ops.1.outputs: op 'p' writes 'v', which is of kind weight",
    "22: ops.2.attribute: unknown key; did you mean 'attributes'?",
    "22: ops.2: cycle: each of these ops needs what the one before it makes: r -> s -> r",
    "23: ops.3.repeat: must be a whole number, not 1.5",
    "24: ops.4.inputs: op 'late' reads 'd' before op 'early' writes it",
    "26: ops.6.inputs: must be a list",
    "27: ops.7.name: is missing",
    "27: ops.7.inputs: op 'ops.7' reads 'z', which no op writes; if it comes from outside, its kind is input, weight",
    "27: ops.7.attributes.n.size: 1.5 is no size",
    "27: ops.7.attributes.m: op 'ops.7', m: 'length' is not among the symbols",
    "28: ops.8: must be a section with keys (name, kind, inputs, outputs",
]


def test_every_mistake_is_found_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse_graph(MISTAKES, "wrong.yaml")
    missing = [message for message in FOUND if message not in str(caught.value)]
    assert not missing
    assert len(caught.value.problems) == len(FOUND) - 1  # one of them is found with two texts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("[1, 2]", "must be a section with keys"),
        ("name: x", "ops: is missing"),
        ("name: x\ntensors: 3\nops: 4", "3: ops: must be a list of ops"),
        ("name: x\ntensors: {}\nops: []", "a graph needs at least one op"),
        ("name: x\nphases: {}", "needs at least one of encode_text, denoise, decode_image, "),
        ("name: x\nphases: {decod: {}}", "unknown key; did you mean 'decode'?"),
        ("name: x\nphases: {decode: {tensors: {}, ops: []}}", "the phase decode needs the phase prefill too"),
        ("name: x\nphases: {forward: {}}\nops: []", "ops: unknown key"),
        ("name: [x", "is not valid YAML"),
        ("name: &a x\ntensors: {}\nops: *a", "anchors"),
    ],
)
def test_files_that_are_something_else(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_graph(text)
    assert message in str(caught.value)


def test_a_weight_is_the_same_in_all_phases() -> None:
    phase = "\n".join("    " + line for line in TINY.strip().splitlines()[1:])
    wider = phase.replace("[256, 512]", "[257, 512]")
    with pytest.raises(SpecError, match=r"phases\.decode\.tensors.w: 'w' is another tensor in the phase prefill"):
        parse_graph(f"name: two\nphases:\n  prefill:\n{phase}\n  decode:\n{wider}\n")
    assert parse_graph(f"name: two\nphases:\n  prefill:\n{phase}\n  decode:\n{phase}\n").parameters == 3 * 256 * 512


# ------------------------------------------------------------------------------------ files on a disk


def simple(name: str = "simple") -> Model:
    tensors = [x("x", "batch 8"), w("w", "4 8"), y("y", "batch 4")]
    only = graph(tensors, *chain(("p", "linear", "x w", "y")), name=name)
    return Model(name=name, phases={"forward": only}, parameters=32, precision="bf16", source="")


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    write_graph_file(simple("first"), path)
    unwritable = simple("second")
    broken = Model(
        name="second", phases=unwritable.phases, parameters=1, precision="bf16", source="", facts={"bad": object()}
    )
    with pytest.raises(GraphError, match="cannot write <object"):
        write_graph_file(broken, path)
    assert read_graph_file(path).name == "first"
    write_graph_file(unwritable, path)
    assert read_graph_file(path) == unwritable
    assert [own.name for own in tmp_path.iterdir()] == ["model.yaml"]


def test_files_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.yaml cannot be written: there is no folder .*nowhere"):
        write_graph_file(simple(), tmp_path / "nowhere" / "model.yaml")
    (tmp_path / "model.yaml").mkdir()
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        write_graph_file(simple(), tmp_path / "model.yaml")
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_graph_file(tmp_path / "nothing.yaml")


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "graph.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_graph_file_is_predicted(tmp_path: Path) -> None:
    prediction = perfmodel.explain(written(tmp_path, TINY), "h100-sxm", batch=4, input_tokens=128)
    assert prediction.phases["forward"].cost.matrix_flops == 3 * 2 * 4 * 128 * 256 * 512
    assert prediction.request.model == "tiny"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            ("[256, 512]", "[256, 513]"),
            GraphError,
            "op 'projection' .*input dimensions of 'x' and 'w' differ: 512 and 513",
        ),
        (("tokens, 256]", "tokens, 255]"), GraphError, "op 'projection' .*sizes of output and product differ"),
        (("inputs: [x, w]", "inputs: [y, w]"), SpecError, "cycle: .*projection -> projection"),
    ],
)
def test_contradictions_are_refused_by_name(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        perfmodel.predict(written(tmp_path, TINY.replace(*change)), "h100-sxm")


def test_a_symbol_that_predict_cannot_fill_is_named(tmp_path: Path) -> None:
    text: Any = TINY.replace("tokens", "frames")
    with pytest.raises(GraphError, match="frames"):
        perfmodel.predict(written(tmp_path, text), "h100-sxm")
