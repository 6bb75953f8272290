"""What one device keeps of a pipeline: the model of its fullest stage, whose memory decides whether a layout fits.

    stage = ceil(layers / pipeline) layers that follow each other, those with most bytes, + embedding or logits

Engines cut a model into stages of as many layers as possible each, and give those in the middle one more where they do
not divide; the fullest stage here is as full as any of theirs. May import: layouts, precisions, sizes, types, shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from perfmodel.graphs.shard import shard
from perfmodel.graphs.shard_roles import IMAGE_PHASE
from perfmodel.layouts import Layout
from perfmodel.precisions import storage_bytes
from perfmodel.sizes import evaluate
from perfmodel.types import Graph, Model, Op, Tensor

# sizes at which stages are compared: a sequence whose cache is not negligible
_SIZES = {"batch": 1, "tokens": 8192, "context": 8192}


def shard_stage(model: Model, layout: Layout, *, node: int = 0, batches: int = 1) -> Model:
    """The fullest pipeline stage of a model on one device of a layout; without a pipeline as `shard`.

    Its weights and caches are those that the device keeps; its ops run as often as it has layers.

    Args:
        model: the whole model. node: as `shard`.
        batches: that are in flight, as many as stages when all of them work; each keeps a cache.

    Raises:
        UnsupportedError: a layout that cannot work for this model, with all reasons.

    >>> from perfmodel.graphs import load_model
    >>> stage = shard_stage(load_model("llama-3.1-8b"), Layout(pipeline=4)).phases["decode"]
    >>> [name in stage.tensors for name in ("embedding.weight", "head.weight")]
    [False, True]
    >>> stage.tensors["layer.attention.qkv.weight"].copies
    8
    """
    sharded = shard(model, layout, node=node)
    if layout.pipeline == 1:
        return sharded
    reference = next(graph for name, graph in sharded.phases.items() if name != IMAGE_PHASE)
    layers = _layers(model, reference)
    count = -(-len(layers) // layout.pipeline)
    sizes = _block_bytes(reference)
    windows = [layers[start : start + count] for start in range(len(layers) - count + 1)]
    fullest = max(windows, key=lambda window: sum(sizes.get(block, 0.0) for block in window))
    at_start = _end_bytes(reference, start=True) >= _end_bytes(reference, start=False)
    phases = {
        name: graph if name == IMAGE_PHASE else _stage(graph, fullest, batches, at_start=at_start)
        for name, graph in sharded.phases.items()
    }
    return replace(sharded, phases=phases)


def _layers(model: Model, graph: Graph) -> Sequence[str]:
    """The block of each layer, first to last; where a model does not say, layers of one kind follow each other."""
    stated = model.facts.get("layer_order")
    if stated:
        return [str(block) for block in stated]
    return [
        block for block, repeat in {op.block: op.repeat for op in graph.ops if op.block}.items() for _ in range(repeat)
    ]


def _bytes(tensor: Tensor) -> float:
    """Of one copy of a tensor that a device keeps, at the sizes at which stages are compared."""
    if tensor.kind not in ("weight", "cache"):
        return 0.0
    shape = tuple(int(evaluate(dim, _SIZES)) for dim in tensor.shape)
    return float(storage_bytes(shape, tensor.dtype))  # type: ignore[arg-type]


def _block_of(name: str, blocks: Sequence[str]) -> str:
    return next((block for block in blocks if name.startswith(f"{block}.")), "")


def _blocks(graph: Graph) -> list[str]:
    return [*dict.fromkeys(op.block for op in graph.ops if op.block)]


def _block_bytes(graph: Graph) -> dict[str, float]:
    """What a device keeps of one layer of each block."""
    blocks, sizes = _blocks(graph), dict[str, float]()
    for tensor in graph.tensors.values():
        block = _block_of(tensor.name, blocks)
        sizes[block] = sizes.get(block, 0.0) + _bytes(tensor)
    return sizes


def _ends(graph: Graph) -> tuple[list[Op], list[Op]]:
    """The ops before and after the layers."""
    first = next((place for place, op in enumerate(graph.ops) if op.block), len(graph.ops))
    before = [op for op in graph.ops[:first] if not op.block and not op.name.startswith("pipeline.")]
    return before, [op for op in graph.ops[first:] if not op.block]


def _end_bytes(graph: Graph, *, start: bool) -> float:
    before, after = _ends(graph)
    names = {name for op in (before if start else after) for name in op.inputs}
    return sum(_bytes(graph.tensors[name]) for name in names)


def _stage(graph: Graph, window: Sequence[str], batches: int, *, at_start: bool) -> Graph:
    """The part of a graph that a stage runs."""
    counts = {block: window.count(block) for block in _blocks(graph)}
    ends = {op.name for op in _ends(graph)[0 if at_start else 1]}
    ops = tuple(
        replace(op, repeat=counts[op.block]) if op.block else op
        for op in graph.ops
        if op.name in ends or counts.get(op.block)
    )
    return replace(graph, ops=ops, tensors=_kept(graph, ops, counts, batches))


def _kept(graph: Graph, ops: Sequence[Op], counts: Mapping[str, int], batches: int) -> dict[str, Tensor]:
    """The tensors of a stage: those of its ops, and those of its layers that no op reads."""
    used = {name for op in ops for name in (*op.inputs, *op.outputs)}
    made = {name for op in ops for name in op.outputs}
    read = {name for op in graph.ops for name in op.inputs}
    kept: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        count = counts.get(_block_of(name, [*counts]), 1)
        unread = tensor.kind == "weight" and name not in read and count > 0
        if name not in used and not unread:
            continue
        if tensor.kind == "activation" and name not in made:  # what the stage before has sent
            tensor = replace(tensor, kind="input")
        elif tensor.kind in ("weight", "cache") and _block_of(name, [*counts]) and tensor.copies > 1:
            tensor = replace(tensor, copies=min(count, tensor.copies))
        if tensor.kind == "cache" and batches > 1:
            tensor = replace(tensor, shape=(tensor.shape[0] * batches, *tensor.shape[1:]))
        kept[name] = tensor
    return kept
