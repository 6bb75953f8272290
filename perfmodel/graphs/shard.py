"""A model on many devices: Graph -> the graph of one device, the one that has most to do, with its collectives.

    tensor           projections to heads and widths by rows, those back by columns, an all-reduce after each of these;
                     embedding and logits over the vocabulary. The latent of latent attention is on every device
    attention_data   attention and dense layers see the sequences of their own group: `batch` counts those. Experts see
                     the tokens of all groups: an all-gather before them and a reduce-scatter after, or, where whole
                     experts lie on more devices than a token has experts, messages to those devices and back
                     (all-to-all), as TensorRT-LLM chooses
    expert           whole experts on each device, the busiest of which has more than its even share of tokens
    sequence         norms and the residual stream over tokens: a reduce-scatter and an all-gather for an all-reduce
    pipeline         all layers one after the other, as a token passes them, and a message between stages

What one device has to keep of a pipeline is in shard_stages.py. May import: errors, layouts, sizes, types, shard_*.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs.shard_collectives import ALL, CHUNK, OWN, Network, Placement, Spread, collective_attributes
from perfmodel.graphs.shard_counts import (
    Block,
    Findings,
    base_name,
    block_shares,
    blocks_of,
    check_roles,
    own_groups,
)
from perfmodel.graphs.shard_roles import EXPERTS, IMAGE_PHASE, MIXTURE, MIXTURE_ENDS, PARTIAL, STREAM
from perfmodel.graphs.shard_shapes import own_tensors
from perfmodel.layouts import Layout
from perfmodel.types import Graph, Model, Op

# (token, expert) pairs of the busiest device over an even share, where whole experts are spread over devices: what
# served models with expert parallelism take, in a closed form of their steps
LOAD_SKEW = 1.2


def shard(model: Model, layout: Layout, *, node: int = 0) -> Model:
    """The model as one device of a layout runs it: its tensors, its ops, and the collectives between devices.

    The symbol `batch` of the result counts the sequences of one attention group.

    Args:
        model: a decoder-only language model; a vision tower in front of it runs whole on every device.
        node: devices that are joined by fast links; collectives over more of them use the network. 0: all are.

    Raises:
        UnsupportedError: a layout that cannot work for this model, with all reasons.

    >>> from perfmodel.graphs import load_model
    >>> graph = shard(load_model("llama-3.1-8b"), Layout(tensor=4)).phases["decode"]
    >>> graph.tensors["layer.attention.qkv.weight"].shape, graph.tensors["layer.attention.output.weight"].shape
    ((1536, 4096), (4096, 1024))
    """
    if layout.devices == 1:
        return model
    findings, network = Findings(), Network(layout, node)
    phases = {
        name: graph if name == IMAGE_PHASE and len(model.phases) > 1 else shard_graph(graph, network, findings)
        for name, graph in model.phases.items()
    }
    if layout.expert > 1 and not findings.reasons and not any(_experts(graph) for graph in phases.values()):
        findings.refuse(f"it has no experts to spread over {layout.expert} devices")
    layers = int(model.facts.get("layers", layout.pipeline))
    if layout.pipeline > layers:
        findings.refuse(f"{layers} layers do not make {layout.pipeline} pipeline stages")
    if findings.reasons:
        raise UnsupportedError(f"{model.name} cannot run as {layout}: {'; '.join(findings.reasons)}")
    if IMAGE_PHASE in phases:
        findings.note("the image encoder runs whole on every device")
    return replace(model, phases=phases, notes=(*model.notes, *findings.notes))


def shard_graph(graph: Graph, network: Network, findings: Findings) -> Graph:
    """One graph of a model; as it is where something forbids the layout, which is then found.

    Raises:
        InputError: the graph's sizes are numbers already.
    """
    layout = network.layout
    if not check_roles(graph, findings):
        return graph
    if "batch" not in graph.symbols:
        raise InputError(f"{graph.name}: its batch is a number already; spread the model over devices before")
    sending = any(sends_tokens(layout, op) for op in _experts(graph))
    blocks = blocks_of(graph)
    shares = {block.name: block_shares(block, layout, whole_shared=sending, findings=findings) for block in blocks}
    if findings.reasons:
        return graph
    placement = Placement(network, sending, own_tensors(graph, blocks, shares, layout, findings))
    _note_experts(layout, _experts(graph), sending, findings)
    ends = {_mixture_end(block) for block in blocks}
    first = next((op for op in graph.ops if op.block), None)
    for op in graph.ops:
        if op is first:
            _send_on(placement, op)
        _place(placement, op, graph, ends)
    return placement.graph(graph)


def sends_tokens(layout: Layout, experts: Op) -> bool:
    """Whether tokens are sent to their experts, instead of gathered: with few experts of a token among many devices.

    TensorRT-LLM's rule: attention data parallelism, and more devices with whole experts than experts of a token.
    """
    whole = layout.expert > 1 and layout.experts_split == 1
    return layout.attention_data > 1 and whole and layout.expert > int(experts.attributes["experts_per_token"])


def _experts(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.kind == "experts"]


def _mixture_end(block: Block) -> str:
    """The op that makes the output of a block's mixture of experts; "" without one."""
    return next((block.ops[end].name for end in MIXTURE_ENDS if end in block.ops), "")


def _place(placement: Placement, op: Op, graph: Graph, ends: set[str]) -> None:
    """Put an op into the graph of one device, with the collectives around it."""
    layout, base = placement.network.layout, base_name(op.name, op.block)
    op = _own_op(op, base, placement, graph)
    if base == EXPERTS and layout.attention_data > 1:
        placement.make(op, ALL, only_first=True)  # who goes to which expert travels along, in hardly any bytes
        placement.settle(op.outputs[0], CHUNK if placement.sending else OWN, op)
    else:
        placement.make(op, _spread_of(base, layout, placement.sending))
    complete = placement.sending and base.startswith(MIXTURE)
    if (base in PARTIAL or op.name in ends) and not complete:
        placement.reduce(op.outputs[0], op, scatter=layout.sequence and base != "mamba.selection")
    if base == "head":
        _gather_logits(placement, op)


def _spread_of(base: str, layout: Layout, sending: bool) -> Spread:
    """How the tokens of an op are spread."""
    in_chunks = (layout.sequence and base in STREAM) or (sending and base.startswith(MIXTURE))
    return CHUNK if in_chunks and layout.tensor > 1 else OWN


def _own_op(op: Op, base: str, placement: Placement, graph: Graph) -> Op:
    """An op with the attributes and inputs it has on one device."""
    layout = placement.network.layout
    if op.kind == "state_space_scan":
        return replace(op, attributes={**op.attributes, "groups": own_groups(op, layout.tensor)})
    if op.kind == "experts" and layout.expert > 1:
        experts = graph.tensors[op.inputs[1]].shape[0]
        return replace(op, attributes={**op.attributes, "experts": experts, "load_skew": LOAD_SKEW})
    if op.kind == "normalization" and _norm_is_split(op, base, placement, graph):
        return _with_sums(op, base, placement)
    return op


# ------------------------------------------------------------------------------------ norms over all devices


def _norm_is_split(op: Op, base: str, placement: Placement, graph: Graph) -> bool:
    """Whether a norm is over channels that several devices share."""
    if base == "mamba.norm":  # over the channels of a group
        scans = [other for other in graph.ops if other.block == op.block and other.kind == "state_space_scan"]
        return any(int(scan.attributes["groups"]) % placement.network.layout.tensor for scan in scans)
    x, *weights = (name for name in op.inputs if name in graph.tensors)
    last = placement.tensors[x].shape[-1] != graph.tensors[x].shape[-1]
    return last or any(
        graph.tensors[name].kind == "weight" and placement.tensors[name].shape != graph.tensors[name].shape
        for name in weights
    )


def _with_sums(op: Op, base: str, placement: Placement) -> Op:
    """The norm with the sums of squares of all devices: a small all-reduce, one for queries and keys together."""
    together = base in ("attention.query_norm", "attention.key_norm")
    name = f"{op.block}.attention.norm_sums" if together else f"{op.name}_sums"
    if f"{name}.out" not in placement.tensors:
        key = [f"{op.block}.attention.split.key"] if together else []
        inputs = [placement.fetch(x, OWN, op) for x in (op.inputs[0], *key)]
        shape = placement.tensors[inputs[0]].shape
        sums = (shape[0], shape[2] if together else shape[1], len(inputs))
        placement.add(name, "reduce", inputs, sums, {"function": "sum_of_squares"}, op, "fp32")
        placement.collective("all_reduce", "tensor", f"{name}.out", f"{name}.all_reduce", sums, op)
    return replace(op, inputs=(*op.inputs, f"{name}.all_reduce.out"))


# --------------------------------------------------------------------------------------------- ends of a step


def _gather_logits(placement: Placement, op: Op) -> None:
    name = op.outputs[0]
    shape = placement.tensors[name].shape
    whole = (*shape[:-1], shape[-1] * placement.network.layout.tensor)
    placement.there[name] = {OWN: placement.collective("all_gather", "tensor", name, "head.all_gather", whole, op)}


def _send_on(placement: Placement, first: Op) -> None:
    """The messages between pipeline stages, all of them in front of the first layer."""
    outside = Op(name="pipeline", kind="", inputs=(), outputs=())
    for name in dict.fromkeys(name for name in first.inputs if name in placement.there):
        spread, x = next(iter(placement.there[name].items()))
        for count, inside, word in zip(placement.network.hops(), (2, 1), ("send", "send_across"), strict=True):
            if count:
                attributes = collective_attributes("send_recv", 2, inside)
                by = replace(outside, repeat=count)
                x = placement.add(f"pipeline.{word}", "collective", (x,), placement.tensors[x].shape, attributes, by)
        placement.there[name] = {spread: x}


def _note_experts(layout: Layout, experts: list[Op], sending: bool, findings: Findings) -> None:
    if not experts:
        if layout.attention_data > 1:
            findings.note(f"without experts the {layout.attention_data} attention groups have nothing in common")
        return
    if layout.expert > 1:
        findings.note(
            f"the busiest of {layout.expert} devices with whole experts is taken to have {LOAD_SKEW} times its even "
            "share of (token, expert) pairs"
        )
    if layout.attention_data > 1:
        way = "sent to the devices of their experts and back (all-to-all)"
        if not sending:
            way = "gathered from all attention groups, and results scattered (all-gather, reduce-scatter)"
        findings.note(f"tokens of experts are {way}")
