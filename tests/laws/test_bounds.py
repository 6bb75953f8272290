"""Nothing predicted beats bytes/bandwidth or FLOPs/peak, counted here from shapes alone, chip by chip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from laws.strategies import (
    ROUNDING,
    answered,
    caches,
    chips,
    decoders,
    examples,
    graphs,
    layouts,
    precisions,
    runtimes,
    sizes,
    timed,
    workloads,
)
from perfmodel.anchoring import Anchor, Subject
from perfmodel.costs import cost_graph, cost_op
from perfmodel.errors import GraphError, UnsupportedError
from perfmodel.graphs.eager import eager_graph, family_of
from perfmodel.graphs.training import training_step
from perfmodel.kernels.convolution import WINOGRAD_SHORTCUT
from perfmodel.layouts import Layout
from perfmodel.planning.compression import compress
from perfmodel.planning.scaling import scale
from perfmodel.precisions import storage_bytes
from perfmodel.predict import predict, predict_arrays
from perfmodel.preparing import in_precision, prepare
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.servers import server_of
from perfmodel.serving.simulator import simulate
from perfmodel.serving.workload import Arrival, make_workload
from perfmodel.sizes import evaluate
from perfmodel.types import Graph, Hardware, Model


def caches_hold(chip: Hardware) -> bool:
    """Whether a part of a network's bytes may come from caches."""
    return chip.kind == "cpu" and chip.l2_bytes > 0


def least_seconds(graph: Graph, chip: Hardware, values: dict[str, int]) -> float:
    """Each op's bytes at the datasheet's bandwidth, its FLOPs at its highest peak, whichever takes longer."""
    total = 0.0
    for own in graph.ops:
        # what the chip has no units for computes in 16 bits, and nothing is rewritten in 8 before
        native = own.attributes.get("compute") in (None, *chip.native)
        op = own if native else replace(own, attributes={**own.attributes, "quantize_input": False})
        cost = cost_op(op, graph.tensors, {name: float(value) for name, value in values.items()})
        moved = 0.0 if caches_hold(chip) else cost.bytes / chip.memory_bandwidth_bytes_per_second
        flops = cost.matrix_flops / (WINOGRAD_SHORTCUT if op.kind == "convolution" else 1)
        total += op.repeat * max(moved, flops / max(chip.peaks.values()))
    return total


@examples(150)
@given(graphs(), chips(), runtimes, sizes)
def test_ops_of_any_graph(graph: Graph, chip: Hardware, runtime: str, values: dict[str, int]) -> None:
    found = timed(graph, chip, runtime, values)
    assert found.seconds[0] >= least_seconds(graph, chip, values) * (1 - ROUNDING)
    assert found.seconds[0] >= found.bound_seconds[0] * (1 - ROUNDING)


def decode_bound(model: Model, chip: Hardware, layout: Layout, work: dict[str, int]) -> float:
    """A step reads every weight but those of experts and embeddings, and every key and value; all devices together."""
    graph = model.phases["decode"]
    values = {"batch": work["batch"], "tokens": 1, "context": work["input_tokens"] + work["output_tokens"] // 2}
    moved, flops = 0.0, 0.0
    for op in graph.ops:
        cost = cost_op(op, graph.tensors, {name: float(value) for name, value in values.items()}) * op.repeat
        flops += cost.matrix_flops
        if op.kind == "linear":
            moved += op.repeat * float(evaluate(storage_bytes(graph.tensors[op.inputs[1]].shape,
                                                              graph.tensors[op.inputs[1]].dtype), {}))  # fmt: skip
        moved += cost.cache_bytes
    moved = 0.0 if caches_hold(chip) else moved
    return max(moved / chip.memory_bandwidth_bytes_per_second, flops / max(chip.peaks.values())) / layout.ranks


@examples(60)
@given(decoders(), chips(), layouts, precisions, caches, workloads, st.sampled_from([0.5, 0.8, 0.99]))
def test_decoding_steps_of_any_decoder(
    model: Model, chip: Hardware, layout: Layout, precision: str | None, cache: str | None, work: dict[str, int],
    level: float,
) -> None:  # fmt: skip
    asked: dict[str, Any] = {"layout": layout, "precision": precision, "cache_precision": cache}
    found = answered(model, chip, work, level=level, **asked)
    assume(found is not None)
    assert found
    least = decode_bound(in_precision(model, precision, cache), chip, layout, work)
    assert found.phases["decode"].time.low >= least * (1 - ROUNDING)
    rows = predict_arrays(prepare(model, chip, **asked), level=level, **{name: [own] for name, own in work.items()})
    assert rows["decode_low"][0] >= least * (1 - ROUNDING)


@examples(40)
@given(decoders(), chips(), workloads, st.floats(-7, 7), st.sampled_from([0.5, 0.8, 0.99]))
def test_anchored_predictions(model: Model, chip: Hardware, work: dict[str, int], ratio: float, level: float) -> None:
    """A run that claims to be a thousand times as fast moves a prediction to the bound, and not below it."""
    for phase in ("prefill", "decode"):
        subject = Subject(hardware=chip.id, shares={}, sd=0.3, model=model.name, phase=phase)
        found = predict(model, chip, **work, level=level, anchors=[Anchor(subject=subject, log_ratio=ratio)] * 3)
        for own in found.phases.values():
            assert own.bound_seconds * (1 - ROUNDING) <= own.time.low <= own.time.seconds <= own.time.high


@examples(12)
@given(decoders(), chips(), workloads)
def test_compressed_and_scaled_models(model: Model, chip: Hardware, work: dict[str, int]) -> None:
    found = compress(model, chip, **work, channels=[0.5], layers=[0.5], rank=[0.25], precisions=["w4a16"])
    predictions = [found.original, *(each.prediction for each in found.variants if each.prediction)]
    assert len(predictions) > 1
    for each in found.variants:
        for phase, time in each.times.items():
            assert each.prediction
            assert time.low >= each.prediction.phases[phase].bound_seconds * (1 - ROUNDING)
    for prediction in predictions:
        for own in prediction.phases.values():
            assert own.time.low >= own.bound_seconds * (1 - ROUNDING)
    for line in scale([model], chip, **work):
        own = found.original.phases[line.phase]
        assert [point.time.seconds for point in line.points] == [own.time.seconds]


@examples(25)
@given(decoders(), chips(), st.integers(1, 8), st.integers(1, 200))
def test_training_steps(model: Model, chip: Hardware, batch: int, tokens: int) -> None:
    """Forward and backward in one: three times the FLOPs of every weight's product."""
    try:
        step = training_step(eager_graph(model.phases["prefill"], family_of("llama")))
    except GraphError:  # an op whose gradient is not known
        assume(False)
    values = {"batch": batch, "tokens": tokens, "context": tokens}
    assert timed(step, chip, "eager", values).seconds[0] >= least_seconds(step, chip, values) * (1 - ROUNDING)


engines = st.sampled_from(["vllm", "sglang", "trtllm", "llama-cpp"])


@examples(12)
@given(decoders(), chips(("gpu",)), layouts, engines, st.integers(1, 3000), st.integers(1, 3000), st.integers(2, 900))
def test_servers(
    model: Model, chip: Hardware, layout: Layout, engine: str, users: int, tokens_in: int, tokens_out: int
) -> None:
    """Weights are read once for a token of every sequence; a prompt is computed before its first token."""
    lengths = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    try:
        found = predict_serving(model, chip, engine=engine, layout=layout, concurrency=users, **lengths)
    except UnsupportedError:
        assume(False)
    # one sequence at the least, of however many run
    least = decode_bound(found.deployment.model, chip, Layout(), {"batch": 1, "input_tokens": 1, "output_tokens": 1})
    for end in ("seconds", "low"):
        assert getattr(found.latencies["tpot"], end) >= 0.99 * least  # tables between their knots
        assert getattr(found.latencies["e2e"], end) >= 0.99 * least * (tokens_out - 1)
    cost = cost_graph(
        found.deployment.model.phases["prefill"], {"batch": 1.0, "tokens": 1.0 * tokens_in, "context": 1.0 * tokens_in}
    )
    assert found.latencies["ttft"].low >= 0.9 * cost.matrix_flops / max(chip.peaks.values())


@examples(6)
@given(decoders(), chips(("gpu",)), engines, st.integers(1, 40), st.integers(1, 2000), st.integers(2, 60))
def test_simulated_steps(
    model: Model, chip: Hardware, engine: str, users: int, tokens_in: int, tokens_out: int
) -> None:
    deployment = deploy(model, chip, engine=engine)
    lengths = (np.full(40, tokens_in, dtype=np.int32), np.full(40, tokens_out, dtype=np.int32))
    requests = make_workload(Arrival(process="closed", users=users), *lengths)
    found = simulate(
        server_of(deployment).table, deployment.engine, requests, kv_capacity_tokens=1e9, max_context=10**6
    )
    least = decode_bound(deployment.model, chip, Layout(), {"batch": 1, "input_tokens": 1, "output_tokens": 1})
    per_token = (found.finish_seconds - found.first_token_seconds) / (tokens_out - 1)
    assert per_token.min() >= 0.99 * least
    assert (found.first_token_seconds - found.start_seconds).min() >= 0.99 * least
