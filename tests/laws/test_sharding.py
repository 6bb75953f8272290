"""What all devices of a layout do and keep is the model: nothing is lost, and only what is said is done twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from laws.strategies import ROUNDING, caches, decoders, examples, layouts, precisions
from perfmodel.costs import cost_op
from perfmodel.errors import UnsupportedError
from perfmodel.graphs.shard import LOAD_SKEW, shard
from perfmodel.graphs.shard_counts import base_name
from perfmodel.graphs.shard_stages import shard_stage
from perfmodel.layouts import Layout
from perfmodel.precisions import storage_bytes
from perfmodel.preparing import in_precision
from perfmodel.sizes import evaluate
from perfmodel.spreading import own_batch
from perfmodel.types import Graph, Model

# done by every device itself: projections to latents, routers
WHOLE = ("attention.qkv_a", "attention.kv_a", "moe.router")
batches = st.builds(
    lambda batch, tokens, more: {"batch": batch, "tokens": tokens, "context": tokens + more},
    st.integers(1, 32), st.integers(1, 2000), st.integers(0, 4000),
)  # fmt: skip


def spread(model: Model, layout: Layout) -> Model:
    try:
        return shard(model, layout, node=8)
    except UnsupportedError:
        assume(False)
        raise


def flops(graph: Graph, values: dict[str, float]) -> dict[str, float]:
    return {op.name: float((cost_op(op, graph.tensors, values) * op.repeat).matrix_flops) for op in graph.ops}


def kept(graph: Graph, kind: str, values: dict[str, float]) -> dict[str, float]:
    """Bytes of its weights or caches."""
    return {
        tensor.name: float(evaluate(storage_bytes(tensor.shape, tensor.dtype), values)) * tensor.copies
        for tensor in graph.tensors.values()
        if tensor.kind == kind
    }


def sizes_of(phase: str, values: dict[str, int], groups: int) -> tuple[dict[str, float], dict[str, float]]:
    """(sizes of the whole model, those of one attention group)."""
    own = {"batch": float(values["batch"]), "tokens": float(values["tokens"]), "context": float(values["context"])}
    own |= {"tokens": 1.0} if phase == "decode" else {"context": own["tokens"]}
    return own | {"batch": own["batch"] * groups}, own


@examples(80)
@given(decoders(), layouts, precisions, batches)
def test_flops(model: Model, layout: Layout, precision: str | None, values: dict[str, int]) -> None:
    model = in_precision(model, precision, None)
    parts = spread(model, layout)
    for phase, graph in model.phases.items():
        all_sizes, own_sizes = sizes_of(phase, values, layout.attention_data)
        whole, part = flops(graph, all_sizes), flops(parts.phases[phase], own_sizes)
        assert sum(part.values()) * layout.ranks >= sum(whole.values()) * (1 - ROUNDING)
        for op in graph.ops:
            alone, together = whole[op.name], part[op.name] * layout.ranks
            assert together >= alone * (1 - ROUNDING), op.name  # nothing is lost
            if alone == 0:
                continue
            copies = layout.tensor if base_name(op.name, op.block) in WHOLE else 1
            if op.kind == "experts":  # the busiest device has more than its share
                copies *= LOAD_SKEW if layout.expert > 1 else 1
            if divides(graph, layout):
                assert together <= alone * copies * (1 + ROUNDING), (op.name, together / alone)


def divides(graph: Graph, layout: Layout) -> bool:
    """Whether heads, vocabulary and widths come out even, so that no device pads, and kv heads are no copies."""
    if layout.tensor == 1:
        return True
    attention = next(op for op in graph.ops if op.kind == "attention")
    heads = [graph.tensors[name].shape[1] for name in attention.inputs[:2]]
    return all(isinstance(count, int) and count % layout.tensor == 0 for count in heads)


@examples(80)
@given(decoders(), layouts, precisions, caches, batches)
def test_weights_and_caches(
    model: Model, layout: Layout, precision: str | None, cache: str | None, values: dict[str, int]
) -> None:
    model = in_precision(model, precision, cache)
    parts = spread(model, layout)
    for phase, graph in model.phases.items():
        all_sizes, own_sizes = sizes_of(phase, values, layout.attention_data)
        for kind in ("weight", "cache"):
            whole, part = (
                kept(own, kind, given) for own, given in ((graph, all_sizes), (parts.phases[phase], own_sizes))
            )
            assert whole.keys() == part.keys()
            for name, alone in whole.items():
                together = part[name] * layout.ranks
                assert together >= alone * (1 - ROUNDING), name
                # at the worst it lies on every device
                assert part[name] <= alone * (1 + ROUNDING) or "vocab" in name or padded(model, layout), name


def padded(model: Model, layout: Layout) -> bool:
    return bool(model.facts["vocabulary"] % layout.tensor)


@examples(60)
@given(decoders(), layouts, precisions)
def test_pipeline_stages_hold_all_layers(model: Model, layout: Layout, precision: str | None) -> None:
    """The fullest stage has the layers that do not come out even, and stages together have all."""
    model = in_precision(model, precision, None)
    spread(model, layout)
    stage = shard_stage(model, layout, node=8)
    one = shard_stage(model, replace(layout, pipeline=1), node=8) if layout.ranks > 1 else model
    whole, part = (sum(kept(own.phases["decode"], "weight", {}).values()) for own in (one, stage))
    assert part * layout.pipeline >= whole * (1 - ROUNDING)
    assert part <= whole * (1 + ROUNDING)


@examples(20)
@given(decoders(), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]))
def test_batches_are_shared_out(model: Model, groups: int, more: int) -> None:
    batches = np.arange(1, 40) * more
    own = own_batch(batches, Layout(attention_data=groups))
    assert np.all(own * groups >= batches)
    assert np.all((own - 1) * groups < batches)
    assert own_batch(7, Layout()) == 7
