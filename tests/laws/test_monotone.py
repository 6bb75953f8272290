"""More to do never takes less time, nor less memory; narrower formats never take more bytes; load never helps."""

from __future__ import annotations

from dataclasses import replace
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
    configs,
    decoders,
    examples,
    graphs,
    layouts,
    loaded,
    precisions,
    runtimes,
    sizes,
    timed,
    workloads,
)
from perfmodel.errors import UnsupportedError
from perfmodel.layouts import Layout
from perfmodel.precisions import FORMATS, find_format, storage_bytes
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction_arrays import predict_serving_arrays
from perfmodel.types import Graph, Hardware, Model, Prediction

# (wide, narrow): of weights; 4 bits with the scales of the formats are fewer than 8
NARROWER = [("fp32", "bf16"), ("bf16", "fp8"), ("bf16", "int8"), ("bf16", "w8a16"), ("fp8", "nvfp4"), ("int8", "mxfp4"),
            ("w8a16", "w4a16"), ("fp32", "w4a16"), ("fp32", "tf32")]  # fmt: skip


def no_less(small: Prediction, large: Prediction) -> None:
    for name, phase in small.phases.items():
        assert large.phases[name].time.seconds >= phase.time.seconds * (1 - ROUNDING), name
    for part in ("weights", "cache", "activations", "total"):
        assert large.memory_bytes[part] >= small.memory_bytes[part], part


@pytest.mark.parametrize("name", ["batch", "tokens", "context"])
@examples(60)
@given(graph=graphs(), chip=chips(), runtime=runtimes, values=sizes, more=st.integers(1, 5000))
def test_sizes_of_any_graph(
    name: str, graph: Graph, chip: Hardware, runtime: str, values: dict[str, int], more: int
) -> None:
    larger = values | {name: values[name] + more} | ({"context": values["context"] + more} if name == "tokens" else {})
    small, large = (timed(graph, chip, runtime, own) for own in (values, larger))
    # a causal window drops half of its diagonal: where it fills up, that shows by less than a percent
    windowed = any(op.attributes.get("window") for op in graph.ops)
    assert large.seconds[0] >= small.seconds[0] * (0.99 if windowed else 1 - ROUNDING)
    assert large.bound_seconds[0] >= small.bound_seconds[0] * (0.99 if windowed else 1 - ROUNDING)


@pytest.mark.parametrize("name", ["batch", "input_tokens", "output_tokens"])
@examples(15)
@given(model=decoders(), chip=chips(), layout=layouts, precision=precisions, cache=caches, work=workloads,
       more=st.integers(1, 3000))  # fmt: skip
def test_workloads_of_any_decoder(
    name: str, model: Model, chip: Hardware, layout: Layout, precision: str | None, cache: str | None,
    work: dict[str, int], more: int,
) -> None:  # fmt: skip
    asked: dict[str, Any] = {"layout": layout, "precision": precision, "cache_precision": cache}
    small = answered(model, chip, work, **asked)
    assume(small is not None)
    large = answered(model, chip, work | {name: work[name] + more}, **asked)
    assert small
    assert large
    no_less(small, large)


@examples(40)
@given(configs(), chips(), precisions, workloads,
       st.sampled_from(["num_hidden_layers", "intermediate_size", "vocab_size"]), st.integers(1, 8))  # fmt: skip
def test_larger_models(
    config: dict[str, Any], chip: Hardware, precision: str | None, work: dict[str, int], name: str, more: int
) -> None:
    step = 1 if name == "num_hidden_layers" else 64
    small, large = loaded(config), loaded(config | {name: config[name] + step * more})
    no_less(*(_found(answered(own, chip, work, precision=precision)) for own in (small, large)))


def _found(prediction: Prediction | None) -> Prediction:
    assert prediction
    return prediction


@examples(20)
@given(decoders(), chips(), layouts, workloads, st.sampled_from(NARROWER))
def test_narrower_formats_take_no_more_bytes(
    model: Model, chip: Hardware, layout: Layout, work: dict[str, int], pair: tuple[str, str]
) -> None:
    wide, narrow = (answered(model, chip, work, layout=layout, precision=name) for name in pair)
    assume(wide is not None)
    assert wide
    assert narrow
    for part in ("weights", "cache", "activations", "total"):
        assert narrow.memory_bytes[part] <= wide.memory_bytes[part], part
    assert narrow.fits or not wide.fits
    full, half = (
        answered(model, chip, work, layout=layout, precision=pair[0], cache_precision=name) for name in ("bf16", "fp8")
    )
    assert full
    assert half
    assert half.memory_bytes["cache"] <= full.memory_bytes["cache"]
    assert half.phases["decode"].time.seconds <= full.phases["decode"].time.seconds * (1 + ROUNDING)


@examples(100)
@given(st.sampled_from(sorted(FORMATS)), st.lists(st.integers(1, 5000), min_size=2, max_size=3), st.integers(0, 2),
       st.integers(1, 999))  # fmt: skip
def test_a_larger_tensor_takes_no_fewer_bytes(name: str, shape: list[int], place: int, more: int) -> None:
    grown = [*shape]
    grown[place % len(shape)] += more
    small, large = storage_bytes(tuple(shape), name), storage_bytes(tuple(grown), name)
    assert 0 < small <= large
    assert float(small) >= np.prod([float(dim) for dim in shape]) * find_format(name).bits / 8


@pytest.mark.parametrize("kind", ["concurrency", "rate"])
@examples(8)
@given(model=decoders(), chip=chips(("gpu",)), layout=layouts, engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
       tokens_in=st.integers(1, 4000), tokens_out=st.integers(2, 900))  # fmt: skip
def test_more_load_never_answers_sooner(
    kind: str, model: Model, chip: Hardware, layout: Layout, engine: str, tokens_in: int, tokens_out: int
) -> None:
    try:
        server = deploy(model, chip, engine=engine, layout=layout)
    except UnsupportedError:
        assume(False)
    load = np.unique(np.round(np.geomspace(1, 3000, 40)))
    lengths = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    if kind == "rate":
        highest = predict_serving_arrays(server, concurrency=1.0, **lengths).columns["highest_rate"][0]
        assume(highest > 0)
        load = highest * np.linspace(0.01, 0.99, 40)
    found = predict_serving_arrays(server, **lengths, **{kind: load}).columns
    whole = found["e2e_seconds"]
    assert np.all(whole[1:] >= whole[:-1] * (1 - ROUNDING))


@examples(8)
@given(decoders(), chips(("gpu",)), st.sampled_from(["vllm", "sglang"]), st.integers(1, 300), st.integers(1, 3000),
       st.integers(2, 600), st.floats(1.1, 4))  # fmt: skip
def test_longer_requests_at_a_server(
    model: Model, chip: Hardware, engine: str, users: int, tokens_in: int, tokens_out: int, factor: float
) -> None:
    server = deploy(model, replace(chip, memory_bytes=1e15), engine=engine)
    longer = [tokens_in, round(tokens_in * factor)], [tokens_out, round(tokens_out * factor)]
    for prompts, answers in ((longer[0], tokens_out), (tokens_in, longer[1])):
        found = predict_serving_arrays(server, concurrency=users, input_tokens=prompts, output_tokens=answers).columns
        few, many = found["e2e_seconds"]
        assert many >= few * (1 - ROUNDING)
