"""Intervals: the prediction lies inside, higher levels hold lower ones, and no end beats physics."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
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
    workloads,
)
from perfmodel.anchoring import Anchor, Subject
from perfmodel.errors import GraphError, UnsupportedError
from perfmodel.layouts import Layout
from perfmodel.predict import explain, predict
from perfmodel.serving.prediction import predict_serving
from perfmodel.types import Graph, Hardware, Model, OpTime, Prediction

LEVELS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.99)


def check(time: OpTime, bound: float) -> None:
    assert 0 <= bound * (1 - ROUNDING) <= time.low <= time.seconds < time.high


def nested(narrow: OpTime, wide: OpTime) -> None:
    assert wide.low <= narrow.low * (1 + ROUNDING)
    assert narrow.high < wide.high
    assert wide.seconds == narrow.seconds


def all_levels(found: list[Prediction]) -> None:
    for prediction in found:
        for phase in prediction.phases.values():
            check(phase.time, phase.bound_seconds)
            for op in phase.ops:
                assert op.time.seconds == 0 or 0 < op.time.low <= op.time.seconds < op.time.high
                assert op.time.low >= op.bound_seconds * (1 - ROUNDING)
    for narrow, wide in pairwise(found):
        for name, phase in narrow.phases.items():
            nested(phase.time, wide.phases[name].time)
            for op, wider in zip(phase.ops, wide.phases[name].ops, strict=True):
                assert wider.time.low <= op.time.low * (1 + ROUNDING)
                assert op.time.high <= wider.time.high


@examples(30)
@given(decoders(), chips(), layouts, precisions, caches, workloads)
def test_decoders(
    model: Model, chip: Hardware, layout: Layout, precision: str | None, cache: str | None, work: dict[str, int]
) -> None:
    asked: dict[str, Any] = {"layout": layout, "precision": precision, "cache_precision": cache}
    assume(answered(model, chip, work, **asked) is not None)
    all_levels([explain(model, chip, level=level, **asked, **work) for level in LEVELS])


@examples(30)
@given(graphs(), chips(), runtimes, st.integers(1, 300), st.integers(1, 2000))
def test_any_graph(graph: Graph, chip: Hardware, runtime: str, batch: int, tokens: int) -> None:
    model = Model(name="any", phases={"forward": graph}, parameters=1, precision="bf16", source="")
    asked: dict[str, Any] = {"runtime": runtime, "batch": batch, "input_tokens": tokens}
    if all(op.kind == "view" for op in graph.ops) and chip.kind != "cpu":
        with pytest.raises(GraphError, match="nothing in its phase forward takes time"):
            explain(model, chip, **asked)
    else:
        all_levels([explain(model, chip, level=level, **asked) for level in LEVELS])


@examples(25)
@given(decoders(), chips(), workloads, st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.booleans())
def test_anchored(model: Model, chip: Hardware, work: dict[str, int], ratios: list[float], same_model: bool) -> None:
    subject = Subject(
        hardware=chip.id, shares={"gemm.bf16": 1.0}, sd=0.3, model=model.name if same_model else "other", phase="decode"
    )
    anchors = [Anchor(subject=subject, log_ratio=ratio) for ratio in ratios]
    plain = predict(model, chip, **work)
    found = predict(model, chip, anchors=anchors, **work)
    for name, phase in found.phases.items():
        check(phase.time, phase.bound_seconds)
        own = plain.phases[name].time
        assert phase.time.high / phase.time.seconds <= own.high / own.seconds * (1 + ROUNDING)  # never wider
    all_levels([predict(model, chip, anchors=anchors, level=level, **work) for level in LEVELS])


@examples(10)
@given(decoders(), chips(("gpu",)), layouts, st.sampled_from(["vllm", "sglang", "trtllm", "llama-cpp"]),
       st.integers(1, 500), st.integers(1, 2000), st.integers(1, 900))  # fmt: skip
def test_servers(
    model: Model, chip: Hardware, layout: Layout, engine: str, users: int, tokens_in: int, tokens_out: int
) -> None:
    asked: dict[str, Any] = {"engine": engine, "layout": layout, "concurrency": users}
    lengths = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    try:
        found = [predict_serving(model, chip, level=level, **asked, **lengths) for level in LEVELS]
    except UnsupportedError:
        assume(False)
    for answer in found:
        for own in answer.latencies.values():
            assert 0 < own.low <= own.seconds
            assert own.seconds < own.high or np.isinf(own.seconds)
    for narrow, wide in pairwise(found):
        for metric, own in narrow.latencies.items():
            other = wide.latencies[metric]
            assert own.seconds == other.seconds
            assert other.low <= own.low * (1 + ROUNDING)
            assert other.high >= own.high
