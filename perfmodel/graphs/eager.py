"""A model's graph as eager PyTorch code of its family runs it: kernel by kernel, nothing fused.

Front-ends that read a config describe the kernels that serving engines run: one matrix for q, k and v, addition and
norm in one kernel, fused attention. `eager_graph` takes them apart as Hugging Face's modelling code does; `FAMILIES`
says how a family differs. `without_cache` makes a plain forward pass of a decoder's prefill.

May import: errors, types, sizes, expansion, eager_attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from perfmodel.errors import GraphError
from perfmodel.graphs.eager_attention import LLAMA, STYLES, AttentionStyle, drop, unfuse_attention
from perfmodel.graphs.expansion import Place, expand, without_unused_tensors
from perfmodel.sizes import bind, size
from perfmodel.types import Graph, Op

_GATED = "_mul"  # functions of one tensor with gate and value side by side: silu_mul, gelu_mul, ...
# ops after which training drops activations: the branches of a layer and the embeddings
_DROPPED = ("attention.output", "mlp.down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How the eager code of a model family differs.

    Args:
        separate_projections: q, k and v are three linear layers. python_gelu: gelu_tanh is eight pointwise kernels.
        hidden_dropout, attention_dropout: what the family's configs drop in training by default.
        embedding_dropout: op whose output is dropped as well, "" for none.
    """

    attention: AttentionStyle
    separate_projections: bool = True
    python_gelu: bool = False
    hidden_dropout: bool = False
    attention_dropout: bool = False
    embedding_dropout: str = ""


_BERT = Family(attention=STYLES["bert"], hidden_dropout=True, attention_dropout=True,
               embedding_dropout="embedding_norm")  # fmt: skip
_VIT = Family(attention=STYLES["vit"])
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "distilbert"), _BERT),
    **dict.fromkeys(("vit", "deit"), _VIT),
    "gpt2": Family(attention=STYLES["gpt2"], separate_projections=False, python_gelu=True, hidden_dropout=True,
                   attention_dropout=True, embedding_dropout="add_positions"),
    "opt": Family(attention=STYLES["opt"], hidden_dropout=True),
}  # fmt: skip
OTHER = Family(attention=LLAMA)


def eager_graph(graph: Graph, family: Family, *, training: bool = False) -> Graph:
    """The graph with everything taken apart that eager code runs as several kernels.

    Args:
        training: with the dropouts of the family.
    """
    graph = unfuse_attention(graph, family.attention, dropout=training and family.attention_dropout)
    if family.separate_projections:
        graph = _separate_projections(graph)
    graph = expand(graph, _split_norm)
    if training and family.hidden_dropout:
        graph = _with_dropout(graph, family.embedding_dropout)
    return expand(graph, lambda op, place: _split_activation(op, place, python_gelu=family.python_gelu))


def without_cache(graph: Graph) -> Graph:
    """A prefill as a plain forward pass: every key there is stands in the prompt, and nothing is kept.

    Raises:
        GraphError: a graph that works on caches in another way than by appending to them, or a decode step.
    """
    caches = {name for name, tensor in graph.tensors.items() if tensor.kind == "cache"}
    if not caches:
        return graph
    if "tokens" not in graph.symbols:
        raise GraphError(f"{graph.name}: a single step needs its cache")
    appended = {
        cache: new
        for op in graph.ops
        if op.kind == "cache_append"
        for new, cache in zip(op.inputs, op.outputs)  # noqa: B905
    }
    if caches - appended.keys():
        raise GraphError(f"{graph.name}: {', '.join(sorted(caches - appended.keys()))} is more than a cache of keys")
    tokens = {"context": size("tokens")}
    tensors = {
        name: replace(tensor, shape=tuple(bind(dim, tokens) for dim in tensor.shape))
        for name, tensor in graph.tensors.items()
    }
    ops = tuple(
        replace(op, inputs=tuple(appended.get(name, name) for name in op.inputs))
        for op in graph.ops
        if op.kind != "cache_append"
    )
    symbols = tuple(symbol for symbol in graph.symbols if symbol != "context")
    return without_unused_tensors(replace(graph, ops=ops, tensors=tensors, symbols=symbols))


# ------------------------------------------------------------------------------------------------------ rules


def _separate_projections(graph: Graph) -> Graph:
    """One linear layer each for q, k and v instead of one whose output is cut into heads."""
    cuts = {op.inputs[0]: op for op in graph.ops if op.kind == "view" and _cuts_into_heads(op, graph)}
    gone: set[str] = set()

    def rule(op: Op, place: Place) -> bool:
        if op.kind == "linear" and op.outputs[0] in cuts:
            cut = cuts[op.outputs[0]]
            gone.add(cut.name)
            for part, head in zip(("query", "key", "value"), cut.outputs, strict=True):
                _project(op, place, part, head)
            return True
        return op.name in gone

    return expand(graph, rule)


def _cuts_into_heads(op: Op, graph: Graph) -> bool:
    return len(op.outputs) == 3 and all(len(graph.tensors[name].shape) == 4 for name in op.outputs)


def _project(op: Op, place: Place, part: str, head: str) -> None:
    """One of the three projections, and the view of its output as heads."""
    x, *weights = op.inputs
    _, heads, _, channels = place.shape(head)
    rows = heads * channels
    own = []
    for name in weights:
        whole = place.tensor_of(name)
        weight = replace(whole, name=f"{name}.{part}", shape=(rows, *whole.shape[1:]))
        own.append(place.builder.tensor(weight.name, weight.shape, weight.dtype, weight.kind, weight.copies))
    y = place.activation(f"{part}.out", (*place.shape(x)[:-1], rows), place.dtype(op.outputs[0]))
    place.put(part, "linear", (x, *own), (y,), op.attributes)
    place.put(f"{part}_heads", "view", (y,), (head,))


def _split_norm(op: Op, place: Place) -> bool:
    """Addition of the residual and normalisation as two kernels."""
    if op.kind != "normalization" or not op.attributes.get("residual", False):
        return False
    pending, residual, *weights = op.inputs
    total = op.outputs[1] if len(op.outputs) > 1 else ""
    total = place.apply("add", "pointwise", "add", (pending, residual), shape=place.shape(residual), out=total)
    place.apply("", "normalization", str(op.attributes["function"]), (total, *weights), out=op.outputs[0])
    return True


def _with_dropout(graph: Graph, embedding: str) -> Graph:
    def rule(op: Op, place: Place) -> bool:
        local = op.name.removeprefix(f"{op.block}.") if op.block else op.name
        if local not in _DROPPED and op.name != embedding:
            return False
        y = op.outputs[0]
        kept = place.activation("kept", place.shape(y), place.dtype(y))
        place.put("", op.kind, op.inputs, (kept, *op.outputs[1:]), op.attributes)
        drop(place, "dropout", kept, out=y)
        return True

    return expand(graph, rule)


def _split_activation(op: Op, place: Place, *, python_gelu: bool) -> bool:
    """Gated activations as activation and product; gelu_tanh as Python code where the family has it so."""
    function = str(op.attributes.get("function", ""))
    if op.kind != "pointwise":
        return False
    if function.endswith(_GATED) and len(op.inputs) == 1:
        _split_gate(op, place, function.removesuffix(_GATED))
        return True
    if function == "gelu_tanh" and python_gelu:
        _gelu_in_python(op, place)
        return True
    return False


def _split_gate(op: Op, place: Place, function: str) -> None:
    (x,), (y,) = op.inputs, op.outputs
    gate, value = (place.activation(part, place.shape(y), place.dtype(y)) for part in ("gate", "value"))
    place.put("halves", "view", (x,), (gate, value))
    activated = place.apply("function", "pointwise", function, (gate,))
    place.apply("", "pointwise", "mul", (activated, value), out=y)


def _gelu_in_python(op: Op, place: Place) -> None:
    """0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))): a kernel for each operation."""
    (x,), (y,) = op.inputs, op.outputs

    def step(part: str, function: str, *inputs: str) -> str:
        return place.apply(part, "pointwise", function, inputs)

    half = step("half", "mul", x)
    inner = step("sum", "add", x, step("scaled_cube", "mul", step("cube", "pow", x)))
    bounded = step("tanh", "tanh", step("inner", "mul", inner))
    place.apply("", "pointwise", "mul", (half, step("shifted", "add", bounded)), out=y)


def family_of(model_type: str) -> Family:
    """The eager code of a model_type; that of llama for types without an entry."""
    return FAMILIES.get(model_type, OTHER)
