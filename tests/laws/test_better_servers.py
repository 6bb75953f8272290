"""A server on better hardware: no step is slower, no rate lower, no fewer users fit, and no plan needs more devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laws.strategies import chips, decoders, examples, layouts
from laws.test_better_hardware import BETTER, each_way, factors
from perfmodel.errors import UnsupportedError
from perfmodel.layouts import Layout
from perfmodel.planning.capacity import plan
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.servers import server_of
from perfmodel.serving.step_table import step_seconds
from perfmodel.types import Hardware, Model

# what an engine's coefficients do to the parts of a kernel's time is not known when its tile is chosen (docs/laws.md)
TILES_CHANGE = 1.015
users = st.integers(1, 600)


def steps(model: Model, chip: Hardware, **asked: Any) -> Any:
    table = server_of(deploy(model, chip, **asked)).table
    random = np.random.default_rng(0)
    batch, context = np.round(np.geomspace(1, 512, 40)), random.uniform(32, 8000, 40)
    prompt = random.choice([0.0, 1.0], 40) * random.uniform(1, 4000, 40)
    return step_seconds(table, sequences=batch, context=context, prefill_tokens=prompt, prefill_context=prompt)


@each_way
@examples(2)
@given(model=decoders(), chip=chips(("gpu",)), layout=layouts, engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
       load=users, data=st.data())  # fmt: skip
def test_servers(
    way: str, model: Model, chip: Hardware, layout: Layout, engine: str, load: int, data: st.DataObject
) -> None:
    """No step is slower, no rate lower, and no fewer users fit."""
    factor = data.draw(st.integers(2, 9) if way == "cores" else factors)
    asked: dict[str, Any] = {"engine": engine, "layout": layout}
    better = BETTER[way](chip, factor)
    try:
        before = predict_serving(model, chip, concurrency=load, **asked)
    except UnsupportedError:
        assume(False)
    after = predict_serving(model, better, concurrency=load, **asked)
    assert np.all(steps(model, better, **asked) <= steps(model, chip, **asked) * TILES_CHANGE)
    assert after.capacity >= before.capacity
    assert after.highest_rate >= before.highest_rate / TILES_CHANGE
    assert after.throughput["output_tokens"] >= before.throughput["output_tokens"] / TILES_CHANGE


PROFILE = """\
id: {id}
kind: gpu
vendor: NVIDIA
family: hopper
source: made up for a test
peaks: {{matrix: {{bf16: {peak} TFLOP/s}}, vector: {{fp32: {vector} TFLOP/s}}}}
memory: {{capacity: {capacity} GB, bandwidth: {bandwidth} TB/s}}
cores: {{count: 100}}
clocks: {{boost: 1.7 GHz}}
links: {{name: AnyLink, bandwidth: 450 GB/s, domain_size: 8, devices_per_node: 8}}
"""


@pytest.mark.parametrize("way", ["peak", "bandwidth", "capacity"])
@examples(2)
@given(factor=st.floats(1.05, 1.9), rate=st.floats(1, 60), ttft=st.floats(0.3, 3), tpot=st.floats(0.02, 0.2),
       model=st.sampled_from(["llama-3.1-8b", "llama-3.2-1b", "qwen2.5-7b"]))  # fmt: skip
def test_plans_need_no_more_devices(
    tmp_path_factory: pytest.TempPathFactory, way: str, factor: float, rate: float, ttft: float, tpot: float, model: str
) -> None:
    folder = tmp_path_factory.mktemp("chips")
    figures = {"peak": 400.0, "vector": 40.0, "capacity": 60.0, "bandwidth": 2.0}
    better = figures | {way: figures[way] * factor} | ({"vector": 40 * factor} if way == "peak" else {})
    found = []
    for name, own in (("some", figures), ("better", better)):
        path = folder / f"{name}.yaml"
        path.write_text(PROFILE.format(id=name, **own))
        load = {"rate": rate, "input_tokens": 600, "output_tokens": 150}
        found.append(plan(model, str(path), ttft=ttft, tpot=tpot, **load).feasible)  # type: ignore[arg-type]
    before, after = found
    if before:
        assert after[0].gpus <= before[0].gpus
